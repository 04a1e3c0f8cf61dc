"""`scan`: what a file is, told without running it."""

from __future__ import annotations

import os
from typing import Any

from retain._files import numpy_files, safetensors
from retain._files.report import Report
from retain._files.safe import grants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def scan(filename: str | os.PathLike[str], trusted: Iterable[str] = ()) -> Report:
    """
    Tell what is in a file, and whether `safe_load` loads it. Nothing that the file names is imported or run.

    Parameters
    ----------
    filename : str or os.PathLike
        A file of retain, joblib or pickle, compressed or not; a `.npy`, `.npz` or `.safetensors`.
    trusted : iterable of str
        Names that the file may use, as for `safe_load`: of a class or function (``"package.module.Class"``), or of a
        whole package (``"sklearn"``).

    Returns
    -------
    Report
        Its format, sizes, arrays, all classes and functions that it names, and the verdict with the reasons. A file
        that is damaged has a report, too.

    Raises
    ------
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import pickle, retain, tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(pickle.dumps(print))
    ...     file.flush()
    ...     report = retain.scan(file.name)
    >>> report.safe, report.globals[0].name
    (False, 'print')
    """
    path = os.fspath(filename)
    with open(path, "rb") as file:
        start = file.read(64)
    if numpy_files.is_numpy_file(start):
        return _of_arrays(path, "npz" if start.startswith(b"PK") else "npy")
    # A pickle can be made to look like safetensors: `load` and `safe_load` read neither then.
    if safetensors.is_safetensors(path, start):
        return _of_arrays(path, "safetensors")
    return Report.from_scan(path, _pickled(path, start, grants(trusted)))


def _pickled(path: str, start: bytes, trusted: list[str]) -> dict[str, Any]:
    from io import BytesIO

    from retain._files.errors import CorruptFileError
    from retain._files.legacy import Z_PREFIX, read_z
    from retain._files.safe import limit_of
    from retain._retain import Block, scan_block, scan_file

    found: Any
    size, limit = os.path.getsize(path), limit_of(path)
    try:
        if start.startswith(Z_PREFIX):
            with open(path, "rb") as file:
                block: Any = Block.of(BytesIO(read_z(file, path, limit)), limit)
            found = scan_block(block, trusted, limit, True)
            return {**found, "format": "joblib", "codec": "zlib", "size": size}
        found = scan_file(path, trusted, limit)
        if found["verdict"] == "unsafe":
            # Some of what is refused in passing is harmless to those who look at all of it.
            block = Block.of_file(path, limit)
            found = scan_block(block, trusted, limit, True)
    except CorruptFileError as error:
        found = {**_NOTHING, "format": "unknown", "verdict": "damaged", "damage": error.reason, "size": size}
    return dict(found)


_NOTHING: dict[str, Any] = {
    "codec": None,
    "protocol": 0,
    "size": 0,
    "bytes": 0,
    "opcodes": 0,
    "allocation": 0,
    "arrays": [],
    "globals": [],
    "refusals": [],
    "more_refusals": 0,
    "damage": None,
}


def _of_arrays(path: str, kind: str) -> Report:
    """Return the report of a file of arrays, in which only arrays of objects could run anything."""
    from retain._files.errors import CorruptFileError

    size = os.path.getsize(path)
    found = {**_NOTHING, "format": kind, "size": size, "bytes": size, "verdict": "safe"}
    try:
        if kind == "safetensors":
            found["arrays"] = safetensors.infos(path)
        else:
            found["arrays"] = numpy_files.infos(path)
    except (CorruptFileError, safetensors.SafetensorsError) as error:
        return Report.from_scan(path, {**found, "verdict": "damaged", "damage": getattr(error, "reason", str(error))})
    objects = [each["path"] for each in found["arrays"] if each["object"]]
    if objects:
        found["verdict"] = "unsafe"
        what = "an array of Python objects, which numpy keeps as a pickle"
        found["refusals"] = [{"offset": 0, "reason": f"{name}: {what}" if name else what} for name in objects]
    found["allocation"] = sum(each["nbytes"] for each in found["arrays"])
    return Report.from_scan(path, found)
