"""Arrays of retain's own files: made of a buffer, which may be mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retain._files.joblib_layout import in_native_byte_order

if TYPE_CHECKING:
    from typing import BinaryIO


class Mapped:
    """
    A file mapped once, of which buffers are parts.

    Parameters
    ----------
    file : file object
        The open file: what is mapped is what is read, even if another file gets its name.
    mode : {"r", "r+", "c"}
        As for `numpy.memmap`.
    """

    def __init__(self, file: BinaryIO, mode: str) -> None:
        self._file = file
        self._mode = mode
        self._whole: Any = None

    def __call__(self, offset: int, length: int) -> Any:
        """Return the bytes of the file from `offset` on, as a view of a `numpy.memmap`."""
        if self._whole is None:
            import numpy as np

            self._whole = np.memmap(self._file, dtype=np.uint8, mode=self._mode)  # type: ignore[call-overload]
        part = self._whole[offset : offset + length]
        part.offset = offset
        # Buffers of other objects than arrays are to be like the bytes that they would be.
        return memoryview(part)


def from_buffer(buffer: Any, dtype: Any, shape: Any, order: str, axes: Any = None) -> Any:
    """Return an array of the bytes of `buffer`: a `numpy.memmap` if they are mapped."""
    import numpy as np

    if isinstance(buffer, memoryview) and isinstance(buffer.obj, np.memmap):
        return _shaped(buffer.obj.view(dtype), shape, order, axes)
    return _shaped(np.frombuffer(buffer, dtype=dtype), shape, order, axes)


def native_from_buffer(buffer: Any, dtype: Any, shape: Any, order: str, axes: Any = None) -> Any:
    """Return an array of the bytes of `buffer`, in the byte order of this machine."""
    import numpy as np

    array = _shaped(np.frombuffer(buffer, dtype=dtype), shape, order, axes)
    return array if dtype.isnative else in_native_byte_order(array)


def _shaped(array: Any, shape: Any, order: str, axes: Any) -> Any:
    """Return an array in its shape, its axes as they were: numpy 2.4 writes "K" where neither C nor F will do."""
    if order == "K" and axes is not None:
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order=order)
