"""Arrays of a file, mapped instead of read."""

from __future__ import annotations

from typing import Any


class Mapped:
    """
    A file mapped once, of which buffers are parts.

    Parameters
    ----------
    filename : str
        The file.
    mode : {"r", "r+", "c"}
        As for `numpy.memmap`.
    """

    def __init__(self, filename: str, mode: str) -> None:
        self._filename = filename
        self._mode = mode
        self._whole: Any = None

    def __call__(self, offset: int, length: int) -> Any:
        """Return the bytes of the file from `offset` on, as a `numpy.memmap`."""
        if self._whole is None:
            import numpy

            self._whole = numpy.memmap(self._filename, dtype=numpy.uint8, mode=self._mode)  # type: ignore[call-overload]
        part = self._whole[offset : offset + length]
        part.offset = offset
        return part


def from_buffer(buffer: Any, dtype: Any, shape: Any, order: str) -> Any:
    """Return an array of the bytes of `buffer`: a `numpy.memmap` if they are mapped."""
    import numpy

    if isinstance(buffer, numpy.memmap):
        return buffer.view(dtype).reshape(shape, order=order)
    return numpy.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def native_from_buffer(buffer: Any, dtype: Any, shape: Any, order: str) -> Any:
    """Return an array of the bytes of `buffer`, in the byte order of this machine."""
    import numpy

    array = numpy.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)
    return array if dtype.isnative else native(array)


def native(array: Any) -> Any:
    """Return `array` in the byte order of this machine."""
    if array.dtype.isnative or array.dtype.hasobject:
        return array
    return array.astype(array.dtype.newbyteorder("="), copy=False)
