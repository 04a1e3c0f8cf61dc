"""The arrays within a value, by names that tell where they are: ``model.coef``, ``layers[0].weight``."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import numpy as np

ALONE = "arr_0"  # the name of an array that is the whole value: numpy's own for it


class NamingError(ValueError):
    """A value with parts that are no arrays, or whose names are not distinct."""


@dataclass(slots=True)
class Named:
    """
    Arrays by name.

    Attributes
    ----------
    arrays : dict
    left_out : list of str
        Where in the value there was something else that was to be skipped.
    """

    arrays: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def named_arrays(value: object, *, skip: bool = False) -> Named:
    """
    Return the arrays of a value by name.

    Mappings and sequences are gone through; numbers become arrays without dimensions, a DataFrame's columns and a
    sparse matrix's parts arrays of their own.

    Parameters
    ----------
    value : object
    skip : bool, default False
        Leave out what is no array, and report it.

    Raises
    ------
    NamingError
        At something that is no array, unless it is skipped; and where two arrays would have one name.
    """
    named = Named()
    # With the containers above each part, since a value can hold itself.
    waiting: list[tuple[str, object, tuple[int, ...]]] = [("", value, ())]
    while waiting:
        name, part, above = waiting.pop()
        array = _as_array(part)
        if array is not None:
            name = name or ALONE
            if name in named.arrays:
                raise NamingError(f"two arrays would have the name {name!r}: a key with dots or brackets clashes")
            named.arrays[name] = array
            continue
        if id(part) in above:
            raise NamingError(f"{name}: the value holds itself")
        below = _below(part)
        if below is None:
            if not skip:
                raise NamingError(
                    f"{name or 'the value'} is {_article(part)}: only arrays, numbers, and dicts, lists and tuples of "
                    "these have a place in a file of arrays"
                )
            named.left_out.append(name or "the value")
            continue
        waiting += reversed([(_joined(name, step), each, (*above, id(part))) for step, each in below])
    return named


def _as_array(part: object) -> np.ndarray[Any, Any] | None:
    import numpy as np

    if not isinstance(part, (np.ndarray, np.generic, bool, int, float, complex)) or isinstance(part, np.ma.MaskedArray):
        return None
    array = np.asarray(part)
    # Items that are Python objects would have to be pickled.
    return None if array.dtype.hasobject else array


def _below(part: object) -> Iterator[tuple[str, object]] | None:
    if isinstance(part, dict):
        return ((key if isinstance(key, str) else f"[{key!r}]", each) for key, each in part.items())
    if isinstance(part, (list, tuple)):
        return ((f"[{place}]", each) for place, each in enumerate(part))
    library = type(part).__module__.partition(".")[0]
    if library == "pandas":
        return _of_pandas(part)
    if library == "scipy" and hasattr(part, "tocoo"):
        return _of_sparse(part)
    return None


def _of_pandas(part: Any) -> Iterator[tuple[str, object]] | None:
    # It has been imported, or there would be no part of its.
    pd = sys.modules["pandas"]
    if isinstance(part, pd.DataFrame):
        columns = ((str(name), part.iloc[:, place].to_numpy()) for place, name in enumerate(part.columns))
        index = [] if isinstance(part.index, pd.RangeIndex) else [("index", part.index.to_numpy())]
        return iter([*columns, *index])
    if isinstance(part, (pd.Series, pd.Index)):
        return iter([("values", part.to_numpy())])
    return None


def _of_sparse(part: Any) -> Iterator[tuple[str, object]]:
    import numpy as np

    # Compressed rows and columns have these parts; the others become coordinates, two unless they are of our day.
    if part.format in {"csr", "csc", "bsr"}:
        parts = [(name, getattr(part, name)) for name in ("data", "indices", "indptr")]
    else:
        whole = part.tocoo()
        names = ("row", "col") if part.ndim == 2 else tuple(f"coords[{axis}]" for axis in range(part.ndim))
        parts = [("data", whole.data), *zip(names, whole.coords, strict=True)]
    return iter([*parts, ("shape", np.asarray(part.shape))])


def _joined(name: str, step: str) -> str:
    return name + step if step.startswith("[") or not name else f"{name}.{step}"


def _article(part: object) -> str:
    kind = type(part)
    if kind.__name__ == "ndarray":
        return "an array of Python objects"
    text = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"an object of the type {text}"
