"""
The files of joblib before 0.10, read.

In these, the pickle names other files that lie beside it: `.npy` files (`NDArrayWrapper`), or compressed ones with an
array's bytes alone (`ZNDArrayWrapper`). Compressed pickles and arrays are Z-files: `ZF`, the length in hexadecimal, and
a zlib stream.
"""

from __future__ import annotations

import os
import sys

from retain._files.errors import CorruptFileError
from retain._files.joblib_layout import NumpyArrayWrapper, in_native_byte_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

Z_PREFIX = b"ZF"
_LENGTH_DIGITS = 19  # "0x" and 17 digits at most, padded with blanks
_MODULES = ("joblib", "sklearn.externals.joblib")


class NDArrayWrapper:
    """What an old file has in the place of an array: the name of a `.npy` file beside it."""

    filename: Any
    subclass: Any
    # Not there before joblib 0.9.
    allow_mmap: bool = True


class ZNDArrayWrapper(NDArrayWrapper):
    """What an old compressed file has in the place of an array: the name of a Z-file, and what its bytes are."""

    init_args: Any
    state: Any


_WRAPPERS: dict[str, type] = {
    "NumpyArrayWrapper": NumpyArrayWrapper,
    "NDArrayWrapper": NDArrayWrapper,
    "ZNDArrayWrapper": ZNDArrayWrapper,
}


def wrapper_class(module: str, name: str) -> type | None:
    """
    Return our class of that name, if a file asks for one of joblib's wrappers; else None.

    joblib was a part of scikit-learn at a time, and the older classes have been in two modules.
    """
    package, _, last = module.rpartition(".")
    if package in _MODULES and last in {"numpy_pickle", "numpy_pickle_compat"}:
        return _WRAPPERS.get(name)
    return None


def read_array_beside(
    wrapper: NDArrayWrapper, mmap_mode: str | None = None, filename: str | None = None, *, allow_pickle: bool = True
) -> Any:
    """
    Return the array of an old wrapper, from the file that it names.

    Parameters
    ----------
    wrapper : NDArrayWrapper or ZNDArrayWrapper
        As it came out of the pickle.
    mmap_mode : {None, "r", "r+", "w+", "c"}
        How to map a `.npy` file into memory.
    filename : str, optional
        The file of the pickle. The other lies in the same folder.
    allow_pickle : bool
        Whether arrays of objects are loaded, which runs what the file says.

    Raises
    ------
    retain.CorruptFileError
        Where the wrapper or the file that it names are not what they should be.
    FileNotFoundError
        Where that file is missing.
    """
    name = getattr(wrapper, "filename", None)
    # joblib wrote names without folders. One with folders is not joblib's, and might be anybody's file.
    if not isinstance(name, str) or not name or os.path.basename(name) != name or name in {".", ".."}:
        raise CorruptFileError(
            f"an array is said to lie in the file {name!r}, which is no name of a file beside", filename
        )
    if filename is None:
        raise CorruptFileError(f"an array lies in the file {name!r}, and the folder is not known: give load the path")
    path = os.path.join(os.path.dirname(filename), name)
    if isinstance(wrapper, ZNDArrayWrapper):
        return _read_z_array(wrapper, path)
    from retain._files.numpy_files import load_numpy_file

    array = load_numpy_file(path, mmap_mode if wrapper.allow_mmap else None, allow_pickle=allow_pickle)
    if isinstance(array, dict):
        raise CorruptFileError("holds several arrays where one is expected", path)
    if mmap_mode is None:
        array = in_native_byte_order(array)
    return _as_subclass(array, getattr(wrapper, "subclass", None))


def _as_subclass(array: Any, subclass: Any) -> Any:
    import numpy as np

    if isinstance(subclass, type) and issubclass(subclass, np.ndarray) and subclass not in (np.ndarray, np.memmap):
        return array.view(subclass)
    return array


def _read_z_array(wrapper: ZNDArrayWrapper, path: str) -> Any:
    import numpy as np

    init_args, state = getattr(wrapper, "init_args", None), getattr(wrapper, "state", None)
    # What numpy's own pickles have: a class, an empty shape and a type; then a version, shape, dtype and order.
    if not (
        isinstance(init_args, tuple)
        and len(init_args) == 3
        and isinstance(init_args[0], type)
        and issubclass(init_args[0], np.ndarray)
        and isinstance(state, tuple)
        and len(state) == 4
        and isinstance(state[2], np.dtype)
        and not state[2].hasobject
    ):
        raise CorruptFileError("the description of an array is not one of joblib's", path)
    with open(path, "rb") as file:
        data = read_z(file, path)
    array = np.ndarray.__new__(init_args[0], (0,), np.uint8)
    try:
        array.__setstate__((*state, data))
    except (ValueError, TypeError) as error:
        raise CorruptFileError(f"not the bytes of the array that is described: {error}", path) from error
    return array


def read_z(file: BinaryIO, filename: str | None = None, limit: int = sys.maxsize) -> bytes:
    """
    Return what a Z-file holds.

    Parameters
    ----------
    file : file object
        At its beginning.
    filename : str, optional
        The file's name, for messages.
    limit : int
        How many bytes it may hold.

    Raises
    ------
    retain.CorruptFileError
        Where it is damaged, or holds more.
    """
    import zlib

    prefix = file.read(len(Z_PREFIX))
    digits = file.read(_LENGTH_DIGITS)
    try:
        length = int(digits.strip().rstrip(b"L"), 16)
    except ValueError:
        length = -1
    if prefix != Z_PREFIX or not 0 <= length < limit:
        raise CorruptFileError("not a compressed file of joblib before 0.10", filename)
    packed = file.read()
    # Python 2's had a field one character wider. No zlib stream begins with a blank.
    packed = packed.removeprefix(b" ")
    unpacking = zlib.decompressobj()
    try:
        # The length in the file is a claim; what there is decides how much memory is taken.
        data = unpacking.decompress(packed, length + 1)
    except zlib.error as error:
        raise CorruptFileError(f"damaged: {error}", filename) from error
    if len(data) != length or not unpacking.eof:
        raise CorruptFileError(
            f"holds {'more' if len(data) > length else 'less'} than the {length:,} bytes that it is said to hold",
            filename,
        )
    return data
