"""
joblib's arrays, read.

joblib puts an object that describes an array into the pickle, and the array's bytes right behind it. The classes of
these objects are here under joblib's names for them, so that its files load where joblib is not installed.
"""

from __future__ import annotations

import os
import sys
from math import prod

from retain._files.errors import CorruptFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Literal, Protocol, TypeAlias

    import numpy as np

    Array: TypeAlias = np.ndarray[Any, Any]

    class Stream(Protocol):
        """The file, at the place where an array's data lie."""

        is_bounded: bool

        def position(self) -> int:
            """Return where in the uncompressed file the next byte lies."""

        def read_raw(self, buffer: Any, /) -> None:
            """Fill a writable buffer with the next bytes; where there are fewer, raise `CorruptFileError`."""

        def skip_raw(self, count: int, /) -> None:
            """Pass over so many bytes."""

        def read_pickle(self) -> Any:
            """Load the pickle that lies next, with the class lookup of the one around it."""


# joblib puts arrays on multiples of so many bytes, since its version 1.2.
_ALIGNMENT = 16
# The attributes that joblib gives to a wrapper; the last is missing before its version 1.2.
_STATE = ("subclass", "shape", "order", "dtype", "allow_mmap")


class NumpyArrayWrapper:
    """What a file of joblib 0.10 or later has in the place of an array: everything about it but its bytes."""

    subclass: Any
    shape: Any
    order: Any
    dtype: Any
    allow_mmap: Any
    numpy_array_alignment_bytes: int | None = None


def read_wrapped_array(
    wrapper: NumpyArrayWrapper,
    stream: Stream,
    mmap_mode: Literal["r", "r+", "w+", "c"] | None = None,
    filename: str | None = None,
    ensure_native_byte_order: bool = False,
    *,
    file: BinaryIO | None = None,
) -> Array:
    """
    Return the array of a wrapper, and leave the stream behind its data.

    Parameters
    ----------
    wrapper : NumpyArrayWrapper
        As it came out of the pickle.
    stream : Stream
    mmap_mode : {None, "r", "r+", "w+", "c"}
        How to map the array into memory, as far as its wrapper allows; "w+" is "r+".
    filename : str, optional
        The file, which is not compressed, if it is to be mapped.
    ensure_native_byte_order : bool
        Convert an array that is read to this machine's byte order.
    file : file object, optional
        What to map, in place of what has the name `filename` by now.

    Raises
    ------
    retain.CorruptFileError
        Where the wrapper does not describe an array, or its bytes are not all there.
    """
    dtype, shape, fortran = _described(wrapper, filename)
    if dtype.hasobject:
        array = stream.read_pickle()
        return in_native_byte_order(array) if ensure_native_byte_order and _is_array(array) else array
    aligned = wrapper.numpy_array_alignment_bytes is not None
    # The padding has no place in the file where a mapping is told to begin, so it is passed in either case.
    before = stream.position()
    if aligned:
        padding = bytearray(1)
        stream.read_raw(padding)
        stream.skip_raw(padding[0])
    if mmap_mode is not None and filename is not None and wrapper.allow_mmap:
        array = _mapped(stream, (file, filename), mmap_mode, dtype, shape, fortran=fortran)
        if not aligned and before % _ALIGNMENT:
            _warn_of_alignment(array, filename)
        return _as_subclass(array, wrapper.subclass)
    array = _read(stream, dtype, shape, filename, fortran=fortran)
    if ensure_native_byte_order:
        array = in_native_byte_order(array)
    return _as_subclass(array, wrapper.subclass)


def _described(wrapper: NumpyArrayWrapper, filename: str | None) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    import numpy as np

    if not all(hasattr(wrapper, name) for name in _STATE):
        raise CorruptFileError("the description of an array lacks some of its parts", filename)
    dtype, order = wrapper.dtype, wrapper.order
    if not isinstance(dtype, np.dtype) or not isinstance(wrapper.shape, tuple):
        raise CorruptFileError("the description of an array has no dtype or no shape", filename)
    # Old files can have numpy's integers in shapes.
    shape = tuple(int(length) for length in wrapper.shape if isinstance(length, (int, np.integer)))
    if len(shape) != len(wrapper.shape) or len(shape) > 64 or any(length < 0 for length in shape):
        raise CorruptFileError(f"an array of the shape {wrapper.shape!r}", filename)
    if prod(shape) * dtype.itemsize > sys.maxsize:
        raise CorruptFileError(f"an array of the shape {shape} and the dtype {dtype}: no machine has as much", filename)
    return dtype, shape, order == "F"


def _is_array(value: Any) -> bool:
    import numpy as np

    return isinstance(value, np.ndarray)


def _read(
    stream: Stream, dtype: np.dtype[Any], shape: tuple[int, ...], filename: str | None, *, fortran: bool
) -> Array:
    import numpy as np

    # Memory is only touched as bytes arrive, but a length that is a lie should not even reserve it.
    try:
        array = np.empty(shape, dtype, "F" if fortran else "C")
    except (MemoryError, ValueError) as error:
        there = os.path.getsize(filename) if stream.is_bounded and filename is not None else 0
        if isinstance(error, MemoryError) and stream.position() + prod(shape) * dtype.itemsize <= there:
            # Not the file's fault.
            raise
        raise CorruptFileError(f"an array of the shape {shape} and the dtype {dtype}: {error}") from error
    if array.nbytes:
        stream.read_raw(array.reshape(-1, order="A").view(np.uint8))
    return array


def _mapped(
    stream: Stream,
    source: tuple[BinaryIO | None, str],
    mmap_mode: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    *,
    fortran: bool,
) -> Array:
    import numpy as np

    file, filename = source
    offset = stream.position()
    nbytes = prod(shape) * dtype.itemsize
    there = os.stat(filename if file is None else file.fileno()).st_size
    # numpy would make a file that it may write to longer.
    if offset + max(nbytes, 1) > there:
        raise CorruptFileError(
            f"ends in the middle of an array: {max(there - offset, 0):,} of its {nbytes:,} bytes are there", filename
        )
    mode: Any = "r+" if mmap_mode == "w+" else mmap_mode
    array: Array = np.memmap(file or filename, dtype, mode, offset, shape, "F" if fortran else "C")
    stream.skip_raw(nbytes)
    return array


def _warn_of_alignment(array: Array, filename: str) -> None:
    import warnings

    # The caller of `load` is to see it, who is above the unpickler and all that is here.
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("retain."):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"{filename}: an array of the shape {array.shape} and the dtype {array.dtype} does not begin on a multiple of "
        f"{_ALIGNMENT} bytes, and libraries may crash that are given it while it is mapped. joblib before 1.2 wrote "
        "such files: load the file without mmap_mode, or write it anew.",
        stacklevel=level,
    )


def _as_subclass(array: Array, subclass: Any) -> Array:
    import numpy as np

    # A memmap that was saved is what any array is when it is loaded.
    if subclass in (np.ndarray, np.memmap) or not (isinstance(subclass, type) and issubclass(subclass, np.ndarray)):
        return array
    return array.view(subclass)


def in_native_byte_order(array: Array) -> Array:
    """
    Return an array with this machine's byte order: the same if it has it already.

    Arrays of records count as of the other order where all of their fields are, as joblib has it.
    """
    foreign = ">" if sys.byteorder == "little" else "<"
    dtype = array.dtype
    if dtype.byteorder == foreign:
        swap = True
    elif dtype.fields:
        swap = dtype.byteorder == "|" and all(field[0].byteorder == foreign for field in dtype.fields.values())
    else:
        swap = False
    if not swap:
        return array
    native = dtype.newbyteorder("=")
    if not array.flags.writeable:
        return array.astype(native)
    # Where it lies, so that no second copy of it is needed.
    return array.byteswap(inplace=True).view(native)
