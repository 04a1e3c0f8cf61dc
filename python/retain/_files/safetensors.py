"""
Files of the safetensors format, read and written.

Such a file is eight bytes of length, so many bytes of JSON that give each array's dtype, shape and place, and the
arrays' bytes, little-endian and in C order, without holes between them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    import numpy as np

LONGEST_HEADER = 100_000_000  # bytes, by the format
# The format's dtypes that numpy has, by numpy's codes.
DTYPES = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
    "C64": "<c8",
}
_NAMES = {code: name for name, code in DTYPES.items()}
# Those that it has not. They are not turned into others: a file is to be what it was.
_NOT_IN_NUMPY = ("BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4")


class SafetensorsError(ValueError):
    """A file that breaks the rules of its format, or a value that has no place in it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def looks_like(prefix: bytes) -> bool:
    """Whether a file that begins so can be one of this format: it has no magic number, only a length and a brace."""
    return len(prefix) > 8 and prefix[8:9] == b"{" and int.from_bytes(prefix[:8], "little") <= LONGEST_HEADER


def is_safetensors(filename: str, start: bytes) -> bool:
    """Whether a file is one of this format, by its name or by what it begins with."""
    return filename.lower().endswith(".safetensors") or looks_like(start)


def read(filename: str) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str]]:
    """
    Return the arrays of a file, mapped read-only and not yet read, and its metadata.

    Parameters
    ----------
    filename : str

    Raises
    ------
    SafetensorsError
        Where the file is not as the format demands, or holds what numpy has no dtype for.
    """
    import numpy as np

    entries, texts, start, size = _entries(filename)
    data = np.memmap(filename, np.uint8, "r", start, (size - start,)) if size > start else np.empty(0, np.uint8)
    arrays = {}
    for entry in entries:
        code = DTYPES.get(entry.dtype)
        if code is None:
            reason = "numpy has no such dtype" if entry.dtype in _NOT_IN_NUMPY else "no dtype of this format"
            raise SafetensorsError(f"{filename}: the array {entry.name!r} is of dtype {entry.dtype}: {reason}")
        part = np.asarray(data)[entry.begin : entry.end]
        arrays[entry.name] = part.view(code).reshape(entry.shape)
    return arrays, texts


def infos(filename: str) -> list[dict[str, Any]]:
    """Return what a report says of each array of a file, without reading their items."""
    entries, _, start, _ = _entries(filename)
    return [
        {
            "path": entry.name,
            "dtype": entry.dtype,
            "shape": entry.shape,
            "order": "C",
            "offset": start + entry.begin,
            "nbytes": entry.end - entry.begin,
            "object": False,
        }
        for entry in entries
    ]


def metadata(filename: str) -> dict[str, str]:
    """Return the texts that a file holds beside its arrays."""
    return _entries(filename)[1]


def _entries(filename: str) -> tuple[list[_Entry], dict[str, str], int, int]:
    with open(filename, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        return *_header(file, size, filename), size


def _header(file: BinaryIO, size: int, filename: str) -> tuple[list[_Entry], dict[str, str], int]:
    """Return the entries in the order of their bytes, the metadata, and where the bytes start."""

    def wrong(what: str) -> SafetensorsError:
        return SafetensorsError(f"{filename}: not a safetensors file, or a damaged one: {what}")

    if size < 8:
        raise wrong(f"it has {size} bytes, and 8 say how long the header is")
    length = int.from_bytes(file.read(8), "little")
    if length > LONGEST_HEADER:
        raise wrong(f"a header of {length:,} bytes, where {LONGEST_HEADER:,} are the most")
    if length > size - 8:
        raise wrong(f"it ends within the header, which is to have {length:,} bytes")
    text = file.read(length)
    if not text.startswith(b"{"):
        raise wrong("the header does not begin with a brace")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_no_name_twice, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise wrong(f"the header is not proper JSON: {error}") from error
    texts = header.pop("__metadata__", {})
    if not (isinstance(texts, dict) and all(isinstance(each, str) for each in texts.values())):
        raise wrong("__metadata__ holds more than texts")
    entries = []
    for name, given in header.items():
        entry = _entry(name, given)
        if entry is None:
            raise wrong(f"the entry of {name!r} is not a dtype, a shape and two offsets")
        entries.append(entry)
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    fault = _fault(entries, size - 8 - length)
    if fault is not None:
        raise wrong(fault)
    return entries, texts, 8 + length


def _fault(entries: list[_Entry], nbytes: int) -> str | None:
    """Return what is wrong with where the arrays are said to lie: they lie one behind the other, to the end."""
    reached = 0
    for entry in entries:
        if entry.begin != reached:
            return f"the array {entry.name!r} begins at {entry.begin:,}, and the one before it ends at {reached:,}"
        reached = entry.end
        code = DTYPES.get(entry.dtype)
        if code is not None and prod(entry.shape) * int(code[2:]) != entry.end - entry.begin:
            return f"the array {entry.name!r} has {entry.end - entry.begin:,} bytes, which is not its shape's size"
    return None if reached == nbytes else f"the arrays are to have {reached:,} bytes, and there are {nbytes:,}"


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _no_constants(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _entry(name: str, given: Any) -> _Entry | None:
    if not isinstance(given, dict) or given.keys() != {"dtype", "shape", "data_offsets"}:
        return None
    dtype, shape, offsets = given["dtype"], given["shape"], given["data_offsets"]
    if not isinstance(dtype, str) or not _naturals(shape) or not _naturals(offsets):
        return None
    if len(offsets) != 2 or offsets[0] > offsets[1] or len(shape) > 64:
        return None
    return _Entry(name, dtype, tuple(shape), *offsets)


def _naturals(given: Any) -> bool:
    return isinstance(given, list) and all(type(each) is int and 0 <= each < 1 << 63 for each in given)


def write(
    arrays: Mapping[str, np.ndarray[Any, Any]], file: BinaryIO, metadata: Mapping[str, str] | None = None
) -> None:
    """
    Write arrays by name.

    Parameters
    ----------
    arrays : mapping
        Of arrays that `refusal` has nothing against.
    file : file object
    metadata : mapping of str to str, optional
    """
    import numpy as np

    # The largest items first, so that all lie on multiples of their size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {}
    if metadata:
        header["__metadata__"] = dict(metadata)
    reached = 0
    for name in order:
        array = arrays[name]
        header[name] = {
            "dtype": _NAMES[_code(array)],
            "shape": list(array.shape),
            "data_offsets": [reached, reached + array.nbytes],
        }
        reached += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise SafetensorsError(f"the names and shapes need {len(text):,} bytes, where {LONGEST_HEADER:,} are the most")
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        array = np.ascontiguousarray(arrays[name], _code(arrays[name]))
        if array.nbytes:
            file.write(array.reshape(-1).view(np.uint8).data)


def refusal(name: str, array: np.ndarray[Any, Any]) -> str | None:
    """Return why an array has no place in such a file, if so."""
    if name == "__metadata__":
        return "the name __metadata__ is taken by the format"
    if _code(array) not in _NAMES:
        return f"safetensors has no dtype for {array.dtype}"
    return None


def _code(array: np.ndarray[Any, Any]) -> str:
    code: str = array.dtype.newbyteorder("<").str
    return code
