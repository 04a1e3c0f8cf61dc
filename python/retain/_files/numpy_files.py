"""numpy's own files, `.npy` and `.npz`, read."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO
    from zipfile import ZipFile

    import numpy as np

_NPY = b"\x93NUMPY"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the second is of an archive without members


def is_numpy_file(prefix: bytes) -> bool:
    """Whether a file that begins so is a `.npy` or a `.npz`, or a zip archive at any rate."""
    return prefix.startswith((_NPY, *_ZIP))


def load_numpy_file(
    source: str | BinaryIO,
    mmap_mode: str | None = None,
    ensure_native_byte_order: bool = False,
    allow_pickle: bool = True,
) -> np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]]:
    """
    Return the array of a `.npy`, or the arrays of a `.npz` by name, as a dict.

    Parameters
    ----------
    source : str or file object
        The file's name; or a seekable binary file that stands at the beginning, which cannot be mapped.
    mmap_mode : {None, "r", "r+", "w+", "c"}
        How to map a `.npy` into memory; "w+" is "r+", as nothing is to be created. A `.npz` is read.
    ensure_native_byte_order : bool
    allow_pickle : bool
        Whether arrays of objects are loaded, which runs what the file says.

    Raises
    ------
    retain.CorruptFileError
        Where the file is damaged.
    retain.UnsafeFileError
        For arrays of objects, if they are not allowed.
    """
    from zipfile import BadZipFile
    from zlib import error as zlib_error

    from retain._files.errors import CorruptFileError

    name = source if isinstance(source, str) else str(getattr(source, "name", "") or "the file")
    if isinstance(source, str):
        with open(source, "rb") as file:
            prefix = file.read(len(_NPY))
    else:
        prefix = source.read(len(_NPY))
        source.seek(-len(prefix), 1)
    if not is_numpy_file(prefix):
        raise CorruptFileError("a file of safetensors, which `retain convert` makes another of", name)
    try:
        if not prefix.startswith(_NPY):
            return _archive(source, name, mmap_mode, ensure_native_byte_order, allow_pickle)
        return _array(source, name, mmap_mode, ensure_native_byte_order, allow_pickle)
    except CorruptFileError:
        raise
    except (ValueError, EOFError, BadZipFile, KeyError, NotImplementedError, zlib_error, SyntaxError) as error:
        raise CorruptFileError(f"not a whole .npy or .npz file: {error}", name) from error
    except OSError as error:
        # Of the system's own; bz2 has others, for members that are damaged.
        if error.errno is not None:
            raise
        raise CorruptFileError(f"not a whole .npy or .npz file: {error}", name) from error


def _archive(
    source: str | BinaryIO, name: str, mmap_mode: str | None, native: bool, allow_pickle: bool
) -> dict[str, np.ndarray[Any, Any]]:
    import warnings
    from zipfile import ZipFile

    if mmap_mode is not None:
        warnings.warn(
            f"{name}: the arrays of a .npz cannot be mapped into memory, they are read; mmap_mode={mmap_mode!r} is "
            "ignored",
            stacklevel=5,
        )
    arrays = {}
    with ZipFile(source) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                # numpy leaves the extension out of the names as well.
                arrays[member.removesuffix(".npy")] = _array(file, f"{name}, {member}", None, native, allow_pickle)
    return arrays


def _array(source: Any, name: str, mmap_mode: str | None, native: bool, allow_pickle: bool) -> np.ndarray[Any, Any]:
    import numpy as np
    from numpy.lib import format as npy

    from retain._files.errors import CorruptFileError, UnsafeFileError
    from retain._files.joblib_layout import in_native_byte_order

    if isinstance(source, str):
        if mmap_mode is None:
            with open(source, "rb") as file:
                return _array(file, name, None, native, allow_pickle)
        mapped = _mapped(source, mmap_mode)
        if mapped is not None:
            return mapped
        return _array(source, name, None, native, allow_pickle)
    if not allow_pickle:
        try:
            array = npy.read_array(source, allow_pickle=False)
        except ValueError as error:
            if "allow_pickle" in str(error) or "Object arrays" in str(error):
                raise UnsafeFileError("an array of Python objects, which numpy keeps as a pickle", name) from error
            raise
    else:
        array = npy.read_array(source, allow_pickle=True)
    if not isinstance(array, np.ndarray):
        raise CorruptFileError("holds no array", name)
    return in_native_byte_order(array) if native else array


def _mapped(filename: str, mmap_mode: str) -> np.ndarray[Any, Any] | None:
    """Return the array of a file, mapped; None where it holds objects, which cannot be."""
    from numpy.lib import format as npy

    mode: Any = "r+" if mmap_mode == "w+" else mmap_mode
    try:
        # To begin with, since numpy makes a file that is cut short longer where it may write to it.
        array = npy.open_memmap(filename, mode="r")
    except ValueError as error:
        if "Python objects" in str(error):
            return None
        raise
    return array if mode == "r" else npy.open_memmap(filename, mode=mode)


def infos(source: str) -> list[dict[str, Any]]:
    """
    Return what a report says of each array in a `.npy` or `.npz`, without reading their items.

    Parameters
    ----------
    source : str
        The file's name. The array of a `.npy` has an empty path.

    Raises
    ------
    retain.CorruptFileError
        Where the file is damaged.
    """
    from tokenize import TokenError
    from zipfile import BadZipFile, ZipFile
    from zlib import error as zlib_error

    from retain._files.errors import CorruptFileError

    try:
        with open(source, "rb") as file:
            if file.read(len(_NPY)) == _NPY:
                end = file.seek(0, 2)
                file.seek(0)
                found = _info("", file)
                if not found["object"] and found["offset"] + found["nbytes"] > end:
                    raise EOFError(f"it ends after {end:,} bytes, in the middle of the array")
                return [found]
        members = []
        with ZipFile(source) as archive:
            _check_members(archive)
            for member in archive.infolist():
                with archive.open(member) as part:
                    found = _info(member.filename.removesuffix(".npy"), part)
                if not found["object"] and found["offset"] + found["nbytes"] > member.file_size:
                    raise EOFError(f"{member.filename} ends in the middle of its array")
                # Where it lies in the archive is zip's business.
                members.append({**found, "offset": None})
    except _DAMAGE as error:
        raise CorruptFileError(f"not a whole .npy or .npz file: {error}", source) from error
    except (BadZipFile, TokenError, zlib_error) as error:
        raise CorruptFileError(f"not a whole .npy or .npz file: {error}", source) from error
    return members


# What headers that make no sense lead to, numpy's parser of literals included.
_DAMAGE = (
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,
    SyntaxError,
    TypeError,
    OverflowError,
    RecursionError,
    MemoryError,
)


# Arrays of items without bytes take nothing in a file and time in memory.
_MOST_OF_NOTHING = 1 << 20


def _check_members(archive: ZipFile) -> None:
    """Check that no two members of an archive have one name or share bytes: such inflate to any size."""
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two members have the same name")
    end = 0
    for member in members:
        if member.header_offset < end:
            raise ValueError(f"{member.filename} shares bytes with another member")
        end = member.header_offset + 30 + member.compress_size


def _info(path: str, file: Any) -> dict[str, Any]:
    from math import prod

    from numpy.lib import format as npy

    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if any(length < 0 for length in shape) or (not dtype.itemsize and prod(shape) > _MOST_OF_NOTHING):
        raise ValueError(f"an array of the shape {shape} and the dtype {dtype}")
    return {
        "path": path,
        "dtype": str(dtype),
        "shape": shape,
        "order": "F" if fortran else "C",
        "offset": None if dtype.hasobject else file.tell(),
        "nbytes": prod(shape) * dtype.itemsize,
        "object": dtype.hasobject,
    }
