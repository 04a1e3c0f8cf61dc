"""`load`: a value from a file."""

from __future__ import annotations

import os
from typing import Any, Literal

from retain._files.mapped import Mapped
from retain._files.unpickler import Unpickler
from retain._retain import Reader


def load(
    filename: Any,
    mmap_mode: Literal["r", "r+", "w+", "c"] | None = None,
    ensure_native_byte_order: bool | Literal["auto"] = "auto",
) -> Any:
    """
    Read a value from a file.

    Files of `dump`, of joblib (from 0.8 on), plain pickles, `.npy` and `.npz` are read, compressed by any codec that
    `dump` knows. The checksums of files that `dump` wrote are checked.

    A pickle runs code: load files of people you trust. `safe_load` is for those of others.

    Parameters
    ----------
    filename : str, os.PathLike or file object
        What to read. A file object has a method `read`; it is left behind the value, so that another can be read.
    mmap_mode : {None, "r", "r+", "w+", "c"}, default None
        Map arrays of uncompressed files instead of reading them, as `numpy.memmap` does: read-only, to be written to in
        place ("w+" is "r+"), or copied when written to. What is mapped is not checked. Arrays are `numpy.memmap` then.
    ensure_native_byte_order : bool or "auto", default "auto"
        Convert arrays of the other byte order to this machine's. "auto" does, unless they are mapped.

    Returns
    -------
    object
        The value.

    Raises
    ------
    CorruptFileError
        If the file is damaged, cut short, or of no kind that is known.
    ValueError
        If arrays are to be mapped and converted at once.
    OSError
        If the file cannot be read.
    """
    if mmap_mode not in (None, "r", "r+", "w+", "c"):
        raise ValueError(f'mmap_mode must be None, "r", "r+", "w+" or "c", got {mmap_mode!r}')
    if ensure_native_byte_order == "auto":
        ensure_native_byte_order = mmap_mode is None
    if ensure_native_byte_order and mmap_mode is not None:
        raise ValueError(
            "Native byte ordering can only be enforced if 'mmap_mode' parameter is set to None, "
            f"but got 'mmap_mode={mmap_mode}' instead."
        )
    if isinstance(filename, os.PathLike):
        filename = os.fspath(filename)
    mode = "r+" if mmap_mode == "w+" else mmap_mode
    reader = Reader.open(filename, None if mode is None else Mapped(filename, mode))
    if reader is None:
        raise NotImplementedError
    if mode == "r+":
        offset, trailer = reader.without_checksums()
        with open(filename, "r+b") as file:
            file.seek(offset)
            file.write(trailer)
    return Unpickler(reader, filename, mode, ensure_native_byte_order).load()
