"""What files are that are no pickles: numpy's, safetensors', and joblib's before 0.10."""

from __future__ import annotations

import os
from typing import Any

from retain._files import numpy_files, safetensors
from retain._files.report import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_NOTHING: dict[str, Any] = {
    "codec": None,
    "protocol": 0,
    "bytes": 0,
    "opcodes": 0,
    "arrays": [],
    "globals": [],
    "refusals": [],
    "more_refusals": 0,
    "damage": None,
    "signed": False,
}


def is_safetensors(filename: str, start: bytes) -> bool:
    """Whether a file is one of safetensors, by its name or by what it begins with: the format has no magic number."""
    return filename.lower().endswith(".safetensors") or safetensors.looks_like(start)


def scan_other(filename: str, start: bytes, trusted: Iterable[str] = ()) -> Report:
    """
    Return the report of a file that is no pickle.

    Parameters
    ----------
    filename : str
    start : bytes
        Its first bytes, 16 of them at least, or all.
    trusted : iterable of str
        As for `retain.scan`.
    """
    from retain._files.legacy import Z_PREFIX

    if start.startswith(Z_PREFIX):
        return _of_z(filename, list(trusted))
    if is_safetensors(filename, start):
        return _of_arrays(filename, "safetensors")
    return _of_arrays(filename, "npz" if start.startswith(b"PK") else "npy")


def _of_z(filename: str, trusted: list[str]) -> Report:
    """Return the report of the pickle in a Z-file."""
    import io

    from retain._files.errors import CorruptFileError
    from retain._files.legacy import read_z
    from retain._retain import Block, scan_block

    size = os.path.getsize(filename)
    with open(filename, "rb") as file:
        try:
            content = read_z(file, filename)
            block = Block.of(io.BytesIO(content), len(content))
        except CorruptFileError as error:
            return Report.from_scan(filename, _damaged("joblib", size, error))
    if isinstance(block, bytes):
        return Report.from_scan(filename, _damaged("joblib", size, "there is no pickle in it"))
    found = scan_block(block, trusted, len(content))
    return Report.from_scan(filename, {**found, "format": "joblib", "codec": "zlib", "size": size})


def _of_arrays(filename: str, kind: str) -> Report:
    """Return the report of a file of arrays, in which only arrays of objects could run anything."""
    from retain._files.errors import CorruptFileError

    size = os.path.getsize(filename)
    found = {**_NOTHING, "format": kind, "size": size, "bytes": size, "verdict": "safe"}
    try:
        found["arrays"] = safetensors.infos(filename) if kind == "safetensors" else numpy_files.infos(filename)
    except (CorruptFileError, safetensors.SafetensorsError) as error:
        return Report.from_scan(filename, _damaged(kind, size, error))
    objects = [each["path"] for each in found["arrays"] if each["object"]]
    if objects:
        what = "an array of Python objects, which numpy keeps as a pickle"
        found["refusals"] = [{"offset": 0, "reason": f"{name}: {what}" if name else what} for name in objects]
        found["verdict"] = "unsafe"
    return Report.from_scan(filename, found)


def _damaged(kind: str, size: int, why: object) -> dict[str, Any]:
    return {
        **_NOTHING,
        "format": kind,
        "size": size,
        "bytes": size,
        "verdict": "damaged",
        "damage": getattr(why, "reason", None) or str(why),
    }
