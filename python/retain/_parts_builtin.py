"""The parts of built-in types and of those in `collections`, `array`, `types` and `io`."""

from __future__ import annotations

import builtins
from types import GetSetDescriptorType, MemberDescriptorType

from retain._parts import attributes, name_of, of_table, refuse, step, subclass
from retain._retain import At, Raw

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from array import array
    from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
    from collections.abc import Iterator, KeysView
    from io import BytesIO, StringIO
    from mmap import mmap
    from types import MappingProxyType, SimpleNamespace
    from typing import Any

    from retain._parts import Parts, PartsOf

    _Member = GetSetDescriptorType | MemberDescriptorType

_MRO = type.__dict__["__mro__"].__get__


def find(base: type, kind: type) -> PartsOf | None:
    """Return what gives the parts of instances of `kind`, as far as its base `base` tells; see `handler`."""
    name = name_of(base)
    content = _CONTENTS.get(name)
    if content is not None and base is not kind:
        # The exact types need no parts, only what inherits from them.
        return subclass(kind, base, name, lambda value: (name, content(value)))
    if base is BaseException:
        return _exception(kind)
    return of_table(_TABLE, base, kind, _TOLD)


# What an instance of a subclass holds, whatever methods the subclass overrides.
_CONTENTS: dict[str, Any] = {
    "builtins.int": int.__int__,
    "builtins.float": float.__float__,
    "builtins.complex": complex.__complex__,
    "builtins.str": str.__str__,
    "builtins.bytes": lambda value: bytes.__getitem__(value, slice(None)),
    "builtins.bytearray": lambda value: bytearray(memoryview(value)),
    "builtins.tuple": lambda value: tuple.__getitem__(value, slice(None)),
    "builtins.list": lambda value: list.__getitem__(value, slice(None)),
    "builtins.dict": lambda value: dict(dict.items(value)),
    "builtins.set": lambda value: set(set.__iter__(value)),
    "builtins.frozenset": lambda value: frozenset(frozenset.__iter__(value)),
}


def _exception(kind: type) -> PartsOf:
    # The traceback, the cause and the context are not kept by pickle either: they tell of a run, not of the error. So
    # does the object without the attribute. All else that C keeps counts, even though pickle drops part of it (the name
    # in a NameError and what is assigned later; in 3.11, the name in an AttributeError): a function can see it.
    read = attributes(kind)
    builtin: Any = next(error for error in _MRO(kind) if id(error) in _BUILTIN)
    reduced = issubclass(builtin, (ImportError, OSError))
    named = ("name", "name_from", "path") if issubclass(builtin, ImportError) else ()
    state = _state(builtin, (*named, "obj"))

    def parts(error: BaseException) -> Iterator[object]:
        args, found = error.args, read(error)
        if reduced:
            # As pickle has them: files that are concerned are among the arguments, modules among the attributes.
            args = builtin.__reduce__(error)[1]
            told = {name: getattr(error, name, None) for name in named}
            found = found | {name: part for name, part in told.items() if part is not None}
            yield from ("reduce", type(error), At(".args", args), found or None, None, None, None)
        else:
            yield from ("exception", type(error), At(".args", args), found)
        if not state:
            return
        # What follows from the arguments is not told again.
        made = _made(builtin, args)
        for name, member in state:
            value = _value(member, error)
            if not _is_same(value, _value(member, made)):
                yield name
                yield At(f".{name}", value)

    return parts


_BUILTIN = {id(kind) for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)}


def _state(builtin: type, without: tuple[str, ...]) -> list[tuple[str, _Member]]:
    """Return what C keeps in an exception besides what it keeps in all of them."""
    found = {
        name: member
        for base in _MRO(builtin)
        if base not in (BaseException, object)
        for name, member in vars(base).items()
        if type(member) in (GetSetDescriptorType, MemberDescriptorType) and name not in (*without, "__weakref__")
    }
    return sorted(found.items())


def _made(kind: type[BaseException], args: tuple[object, ...]) -> BaseException | None:
    """Return the exception that these arguments make."""
    try:
        return kind(*args)
    except Exception:  # noqa: BLE001  # the arguments may be anything by now
        return None


def _value(member: _Member, error: BaseException | None) -> object:
    try:
        return None if error is None else member.__get__(error)
    except AttributeError:
        return None


def _is_same(one: object, other: object) -> bool:
    """Tell whether two values are the same, without calling anything of them."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if type(one) is tuple and type(other) is tuple:
        return len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) in (int, str, bytes) and one == other


def _memoryview(view: memoryview[Any]) -> Parts:
    return "memoryview", view.format, view.shape, Raw(view) if view.c_contiguous else view.tobytes()


def _range(numbers: range) -> Parts:
    return "range", numbers.start, numbers.stop, numbers.step


def _slice(part: slice[Any, Any, Any]) -> Parts:
    return "slice", At(".start", part.start), At(".stop", part.stop), At(".step", part.step)


def _array(values: array[Any]) -> Parts:
    return "array.array", values.typecode, Raw(values)


def _mmap(file: mmap) -> Iterator[object]:
    yield "mmap.mmap"
    with memoryview(file) as content:
        yield Raw(content)


def _ordered_dict(ordered: OrderedDict[Any, Any]) -> Iterator[object]:
    from collections import OrderedDict

    yield "collections.OrderedDict"
    for key, value in OrderedDict.items(ordered):
        yield key
        yield At(step(key), value)


def _default_dict(mapping: defaultdict[Any, Any]) -> Parts:
    return "collections.defaultdict", At(".default_factory", mapping.default_factory), dict(dict.items(mapping))


def _counter(counter: Counter[Any]) -> Parts:
    return "collections.Counter", dict(dict.items(counter))


def _deque(items: deque[Any]) -> Parts:
    from collections import deque

    return "collections.deque", list(deque.__iter__(items)), items.maxlen


def _chain_map(chain: ChainMap[Any, Any]) -> Parts:
    return "collections.ChainMap", At(".maps", chain.maps)


def _mapping_proxy(proxy: MappingProxyType[Any, Any]) -> Parts:
    # The mapping behind it cannot be had, only a copy.
    copy = getattr(proxy, "copy", None)
    return "types.MappingProxyType", dict(proxy) if copy is None else copy()


def _namespace(namespace: SimpleNamespace) -> Parts:
    return "types.SimpleNamespace", dict(vars(namespace))


def _keys(keys: KeysView[Any]) -> Parts:
    return "dict_keys", set(keys)


def _values(values: Any) -> Parts:
    return "dict_values", values.mapping


def _items(items: Any) -> Parts:
    return "dict_items", items.mapping


def _bytes_io(stream: BytesIO) -> Iterator[object]:
    _check_open(stream)
    yield "io.BytesIO"
    with stream.getbuffer() as content:
        yield Raw(content)
    yield stream.tell()


def _string_io(stream: Any) -> Parts:
    _check_open(stream)
    value, newline, position, _ = stream.__getstate__()
    return "io.StringIO", value, newline, position


def _check_open(stream: BytesIO | StringIO) -> None:
    if stream.closed:
        raise TypeError("a closed stream has no content")


def _cell(cell: Any) -> Parts:
    try:
        return "cell", At(".cell_contents", cell.cell_contents)
    except ValueError:
        return ("cell",)


_TABLE: dict[str, PartsOf] = {
    "_io.BytesIO": _bytes_io,
    "_io.StringIO": _string_io,
    "_struct.Struct": lambda compiled: ("struct.Struct", compiled.format),
    "array.array": _array,
    "builtins.NotImplementedType": lambda _: ("NotImplemented",),
    "builtins.cell": _cell,
    "builtins.dict_items": _items,
    "builtins.dict_keys": _keys,
    "builtins.dict_values": _values,
    "builtins.ellipsis": lambda _: ("Ellipsis",),
    "builtins.mappingproxy": _mapping_proxy,
    "builtins.memoryview": _memoryview,
    "builtins.range": _range,
    "builtins.slice": _slice,
    "collections.ChainMap": _chain_map,
    "collections.Counter": _counter,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "collections.deque": _deque,
    "mmap.mmap": _mmap,
    "types.SimpleNamespace": _namespace,
}
# Those that can have attributes, and which of them are among the parts.
_TOLD: dict[str, tuple[str, ...]] = {
    "_io.BytesIO": (),
    "_io.StringIO": (),
    "collections.ChainMap": ("maps",),
    "collections.Counter": (),
    "collections.OrderedDict": (),
}
for _name in ("odict_keys", "odict_values", "odict_items"):
    _TABLE[f"builtins.{_name}"] = refuse("a view of an OrderedDict has no identity of its own")
