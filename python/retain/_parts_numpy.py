"""The parts of numpy's types: dtypes, scalars, arrays of all kinds, random generators, ufuncs."""

from __future__ import annotations

import sys

import numpy as np

from retain._parts import REMEDY, attributes, name_of, qualname, refuse, step, subclass, with_attributes
from retain._retain import At

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Literal

    from retain._parts import Parts, PartsOf

# Of an x86 long double's 16 bytes, 10 are its value; the others are whatever was in memory.
_LONG_DOUBLE = np.dtype(np.longdouble).itemsize
_LONG_DOUBLE_USED = 10 if np.finfo(np.longdouble).nmant == 63 else _LONG_DOUBLE
_TEXTS = 1 << 16  # texts


def find(base: type, kind: type) -> PartsOf | None:
    """Return what gives the parts of instances of `kind`, as far as its base `base` tells; see `handler`."""
    if base in _ITERATORS:
        return refuse("an iterator changes as it is read and has no stable identity")
    if issubclass(base, np.dtype):
        return _dtype
    if issubclass(base, np.generic):
        return _scalar(kind)
    make = _MAKERS.get(base)
    return None if make is None else make(kind)


def _own(kind: type) -> bool:
    return name_of(kind).partition(".")[0] == "numpy"


def _class(value: object) -> object:
    # numpy's own ones are known by their names, in every version of it.
    kind = type(value)
    return qualname(kind) if _own(kind) else kind


_ITERATORS = (np.nditer, np.flatiter, np.broadcast, np.ndenumerate, np.ndindex)


def array(values: np.ndarray[Any, Any]) -> Iterator[object]:
    """
    Yield the parts of an array whose bytes refer to what it holds: strings of any length, fields that are objects.

    Of the others, the walk reads the bytes.
    """
    dtype = values.dtype
    yield "array"
    yield dtype
    yield values.shape
    yield "C"
    if dtype.kind == "T":
        flat = values.ravel()
        for start in range(0, values.size, _TEXTS):
            yield flat[start : start + _TEXTS].astype(object).tolist()
    else:
        for name in dtype.names or ():
            yield At(step(name), values[name])


def _order(values: np.ndarray[Any, Any]) -> Literal["C", "F"]:
    return "F" if values.flags.f_contiguous and not values.flags.c_contiguous else "C"


def mask(dtype: np.dtype[Any]) -> bytes:
    """Return for each byte of an item whether it is part of its value: 255 or 0."""
    return (_used(dtype) * np.uint8(255)).tobytes()


def _used(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return np.tile(_used(base), int(np.prod(shape, dtype=int)))
    found = np.zeros(dtype.itemsize, bool)
    if dtype.fields is None:
        found[:] = True
        if dtype.char in "gG":
            found.reshape(-1, _LONG_DOUBLE)[:, _LONG_DOUBLE_USED:] = False
    for name in dtype.names or ():
        field, offset = dtype.fields[name][:2]  # type: ignore[index]  # there are fields where there are names
        found[offset : offset + field.itemsize] |= _used(field)
    return found


def _array(kind: type) -> PartsOf:
    if kind is np.ndarray:
        return array
    read = attributes(kind)

    def parts(values: np.ndarray[Any, Any]) -> Iterator[object]:
        yield "numpy.ndarray"
        yield _class(values)
        yield np.ndarray.view(values, np.ndarray)
        yield read(values)

    return parts


def _masked(kind: type) -> PartsOf:
    read = attributes(kind)

    def parts(values: np.ma.MaskedArray[Any, Any]) -> Iterator[object]:
        if values is np.ma.masked:
            yield "numpy.ma.masked"
            return
        held = read(values)
        fill = held.get("_fill_value")
        if fill is None:
            # Asking `fill_value` would set it.
            fill = np.ma.default_fill_value(values.dtype)
        mask = np.ma.getmaskarray(values)
        yield "numpy.ma.MaskedArray"
        yield _class(values)
        yield _hide(np.ndarray.view(values, np.ndarray), np.asarray(mask))
        yield np.asarray(mask, order="C")  # pickle gives it the order of the data
        yield _fit(fill, values.dtype)
        yield bool(held.get("_hardmask"))
        yield {name: value for name, value in held.items() if name not in _OF_MASKED}

    return parts


# What numpy keeps there, for itself or told otherwise.
_OF_MASKED = frozenset(
    ("_baseclass", "_basedict", "_data", "_fill_value", "_hardmask", "_isfield", "_mask", "_sharedmask")
)


def _fit(fill: object, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return the fill value in the dtype of the data, for which numpy's own default (999999, 1e20) may be too large."""
    with np.errstate(over="ignore"):
        try:
            return np.asarray(fill, dtype=dtype)
        except OverflowError:
            return np.asarray(fill).astype(dtype)


def _hide(data: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the data with zeros where the mask is set."""
    if data.dtype.names is None:
        if not mask.any():
            return data
        hidden = data.copy(order=_order(data))
        hidden[mask] = np.zeros((), data.dtype)[()]
        return hidden
    hidden = np.zeros(data.shape, data.dtype, order=_order(data))
    for name in data.dtype.names:
        hidden[name] = _hide(data[name], mask[name])
    return hidden


def _dtype(dtype: np.dtype[Any]) -> Parts:
    return "numpy.dtype", *_of_dtype(dtype), *([dict(dtype.metadata)] if dtype.metadata else [])


def _of_dtype(dtype: np.dtype[Any]) -> tuple[object, ...]:
    if dtype.kind == "T":
        # A missing value has a place of its own: None may stand for it, and then differs from there being none.
        missing = (dtype.na_object,) if hasattr(dtype, "na_object") else ()
        return "T", missing, bool(dtype.coerce)  # type: ignore[attr-defined]
    if dtype.subdtype is not None:
        return "of", *dtype.subdtype
    if dtype.fields is None:
        return dtype.str, *(() if _own(dtype.type) else (dtype.type,))
    names = dtype.names or ()
    fields = [(name, dtype.fields[name][1], dtype.fields[name][0], *dtype.fields[name][2:]) for name in names]
    kind = dtype.type.__qualname__ if dtype.type in (np.void, np.record) else dtype.type
    return "fields", fields, dtype.itemsize, dtype.isalignedstruct, kind


def _scalar(kind: type) -> PartsOf | None:
    if not _own(kind):
        return _scalar_of_subclass(kind)
    if issubclass(kind, np.str_):
        return lambda value: ("numpy.str_", str.__str__(value))
    if issubclass(kind, np.bytes_):
        return lambda value: ("numpy.bytes_", bytes.__getitem__(value, slice(None)))
    if issubclass(kind, (np.void, np.longdouble, np.clongdouble)):
        return lambda value: ("numpy.scalar", kind.__qualname__, np.asarray(value))
    if issubclass(kind, (np.datetime64, np.timedelta64)):
        return lambda value: ("numpy.scalar", value.dtype.str, value.tobytes())
    name = np.dtype(kind).str
    return lambda value: ("numpy.scalar", name, value.tobytes())


def _scalar_of_subclass(kind: type) -> PartsOf:
    read = attributes(kind)
    return lambda value: ("numpy.scalar", type(value), np.asarray(value), read(value))


def _memory_map(values: np.memmap[Any, Any]) -> Parts:
    return "numpy.memmap", _class(values), np.ndarray.view(values, np.ndarray)


# Where the file is and how it was opened is not what it holds.
_OF_MEMORY_MAPS = ("_mmap", "filename", "mode", "offset")


def _generator(generator: np.random.Generator) -> Parts:
    return "numpy.random.Generator", _class(generator), At(".bit_generator", generator.bit_generator)


def _bit_generator(bits: Any) -> Parts:
    # What it was seeded with counts where pickle keeps it, from numpy 2 on.
    return "numpy.random.BitGenerator", _class(bits), bits.__reduce__()[2]


def _ufunc(function: np.ufunc) -> Parts:
    name = function.__name__
    for module in ("numpy", "scipy.special", "numpy._core.umath", "numpy.core.umath"):
        if getattr(sys.modules.get(module), name, None) is function:
            return "numpy.ufunc", module.removesuffix("._core.umath").removesuffix(".core.umath"), name
    raise TypeError(f"the ufunc {name!r} has no name that stands for it: {REMEDY}")


def _or_subclass(kind: type, base: type, parts: PartsOf) -> PartsOf:
    return parts if base is kind else subclass(kind, base, f"numpy.random.{qualname(base)}", parts)


def _random_state(state: np.random.RandomState) -> Parts:
    return "numpy.random.RandomState", state.get_state(legacy=False)


def _seed_sequence(sequence: np.random.SeedSequence) -> Parts:
    return "numpy.random.SeedSequence", sequence.state


_MAKERS: dict[type, Callable[[type], PartsOf]] = {
    np.ma.MaskedArray: _masked,
    np.memmap: lambda kind: with_attributes(kind, _memory_map, _OF_MEMORY_MAPS),
    np.ndarray: _array,
    np.random.BitGenerator: lambda kind: with_attributes(kind, _bit_generator),
    np.random.Generator: lambda kind: with_attributes(kind, _generator),
    np.random.RandomState: lambda kind: _or_subclass(kind, np.random.RandomState, _random_state),
    np.random.SeedSequence: lambda kind: _or_subclass(kind, np.random.SeedSequence, _seed_sequence),
    np.ufunc: lambda _: _ufunc,
}
