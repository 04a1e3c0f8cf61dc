"""Arrays of retain's own files: made of a buffer, which may be mapped."""

from __future__ import annotations

from typing import Any

from retain._files.joblib_layout import in_native_byte_order


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
            import numpy as np

            self._whole = np.memmap(self._filename, dtype=np.uint8, mode=self._mode)  # type: ignore[call-overload]
        part = self._whole[offset : offset + length]
        part.offset = offset
        return part


def from_buffer(buffer: Any, dtype: Any, shape: Any, order: str, axes: Any = None) -> Any:
    """Return an array of the bytes of `buffer`: a `numpy.memmap` if they are mapped."""
    import numpy as np

    if isinstance(buffer, np.memmap):
        return _shaped(buffer.view(dtype), shape, order, axes)
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
