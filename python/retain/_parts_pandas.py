"""
The parts of pandas' types: frames, series, indexes, extension arrays, their dtypes and scalars.

A frame is its columns one by one, however its blocks lie in memory; what is missing is missing, whatever value lies
below the mask; and what an index keeps for its own use does not count.
"""

from __future__ import annotations

import numpy as np

from retain._parts import name_of, qualname, step
from retain._retain import At

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from retain._parts import Parts, PartsOf

_BATCH = 65_536


def find(base: type, kind: type) -> PartsOf | None:
    """Return what gives the parts of instances of `kind`, as far as its base `base` tells; see `handler`."""
    # By their names alone: the modules that pandas' classes lie in differ from version to version.
    make = _TABLE.get(qualname(base))
    if make is None:
        return None
    # pandas' own ones are known by their names, in every version of it.
    return make(qualname(kind)) if name_of(kind).startswith("pandas.") else lambda value: make(type(value))(value)


def _frame(name: object) -> PartsOf:
    def parts(frame: Any) -> Iterator[object]:
        yield "pandas.DataFrame"
        yield name
        yield At(".index", frame.index)
        yield At(".columns", frame.columns)
        column = getattr(frame, "_get_column_array", None) or (lambda place: frame.iloc[:, place]._values)
        for place, label in enumerate(frame.columns):
            yield At(step(label), column(place))
        yield from _details(frame)

    return parts


def _series(name: object) -> PartsOf:
    def parts(series: Any) -> Iterator[object]:
        yield "pandas.Series"
        yield name
        yield At(".index", series.index)
        yield At(".name", series.name)
        yield At(".array", series._values)
        yield from _details(series)

    return parts


def _details(frame: Any) -> Iterator[object]:
    yield At(".attrs", frame.attrs)
    yield frame.flags.allows_duplicate_labels
    # What a subclass says that it has, and pandas takes along.
    names = [name for name in frame._metadata if name not in ("_name", "name")]
    yield {name: getattr(frame, name, None) for name in names}


def _index(name: object) -> PartsOf:
    return lambda index: (
        "pandas.Index",
        name,
        At(".name", index.name),
        At(".freq", getattr(index, "freq", None)),
        At(".array", index._values),
    )


def _range_index(name: object) -> PartsOf:
    return lambda index: ("pandas.RangeIndex", name, At(".name", index.name), index.start, index.stop, index.step)


def _multi_index(name: object) -> PartsOf:
    return lambda index: (
        "pandas.MultiIndex",
        name,
        At(".names", list(index.names)),
        index.sortorder,
        At(".levels", list(index.levels)),
        [np.asarray(codes) for codes in index.codes],
    )


def _categorical(name: object) -> PartsOf:
    return lambda values: ("pandas.Categorical", name, At(".dtype", values.dtype), np.asarray(values.codes))


def _backed(name: object) -> PartsOf:
    """Arrays that are a numpy array and a dtype that says what it means."""
    return lambda values: (
        "pandas.array",
        name,
        At(".dtype", values.dtype),
        At(".freq", getattr(values, "_freq", None)),
        values._ndarray,
    )


def _masked(name: object) -> PartsOf:
    def parts(values: Any) -> Iterator[object]:
        data, mask = values._data, values._mask
        yield "pandas.masked"
        yield name
        if not mask.any():
            yield data
            return
        yield len(data)
        for start in range(0, len(data), _BATCH):
            rows = slice(start, start + _BATCH)
            yield mask[rows]
            yield np.where(mask[rows], data.dtype.type(0), data[rows])

    return parts


def _arrow_backed(name: object) -> PartsOf:
    return lambda values: (
        "pandas.arrow",
        name,
        At(".dtype", values.dtype),
        values._pa_array if hasattr(values, "_pa_array") else values._data,
    )


def _interval_array(name: object) -> PartsOf:
    return lambda values: (
        "pandas.IntervalArray",
        name,
        values.closed,
        At(".left", values._left),
        At(".right", values._right),
    )


def _sparse(name: object) -> PartsOf:
    return lambda values: (
        "pandas.SparseArray",
        name,
        At(".dtype", values.dtype),
        (len(values), values.kind),
        np.asarray(values.sp_index.to_int_index().indices),
        values.sp_values,
    )


def _timestamp(name: object) -> PartsOf:
    return lambda moment: ("pandas.Timestamp", name, moment.unit, moment._value, moment.fold, At(".tz", moment.tz))


def _timedelta(name: object) -> PartsOf:
    return lambda span: ("pandas.Timedelta", name, span.unit, span._value)


def _period(name: object) -> PartsOf:
    return lambda period: ("pandas.Period", name, At(".freq", period.freq), period.ordinal)


def _interval(name: object) -> PartsOf:
    return lambda part: ("pandas.Interval", name, part.closed, At(".left", part.left), At(".right", part.right))


def _offset(name: object) -> PartsOf:
    def parts(offset: Any) -> Parts:
        _, arguments, *state = offset.__reduce_ex__(4)
        return "pandas.offset", name, arguments, *state

    return parts


def _dtype(*names: str) -> Callable[[object], PartsOf]:
    """Make parts of dtypes that are told by these attributes."""

    def make(name: object) -> PartsOf:
        return lambda dtype: ("pandas.dtype", name, *(At(f".{part}", getattr(dtype, part)) for part in names))

    return make


_TABLE: dict[str, Callable[[object], PartsOf]] = {
    "ArrowDtype": _dtype("pyarrow_dtype"),
    "ArrowExtensionArray": _arrow_backed,
    "BaseMaskedArray": _masked,
    "BaseMaskedDtype": _dtype(),
    "BaseOffset": _offset,
    "Categorical": _categorical,
    "CategoricalDtype": _dtype("categories", "ordered"),
    "DataFrame": _frame,
    "DatetimeTZDtype": _dtype("unit", "tz"),
    "Index": _index,
    "Interval": _interval,
    "IntervalArray": _interval_array,
    "IntervalDtype": _dtype("subtype", "closed"),
    "MultiIndex": _multi_index,
    "NAType": lambda _: lambda _: ("pandas.NA",),
    "NDArrayBackedExtensionArray": _backed,
    "NaTType": lambda _: lambda _: ("pandas.NaT",),
    "Period": _period,
    "PeriodDtype": _dtype("freq"),
    "RangeIndex": _range_index,
    "Series": _series,
    "SparseArray": _sparse,
    "SparseDtype": _dtype("subtype", "fill_value"),
    "StringDtype": _dtype("storage", "na_value"),
    "Timedelta": _timedelta,
    "Timestamp": _timestamp,
}
