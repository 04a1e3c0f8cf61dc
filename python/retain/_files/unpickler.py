"""The unpickler that reads from a reader."""

from __future__ import annotations

import _pickle
import pickle
from typing import TYPE_CHECKING, Any

from retain._files.errors import CorruptFileError
from retain._files.mapped import from_buffer, native_from_buffer

if TYPE_CHECKING:
    from retain._retain import Reader

# Where numpy keeps the function that makes an array of a buffer.
_FROM_BUFFER = {("numpy._core.numeric", "_frombuffer"), ("numpy.core.numeric", "_frombuffer")}
_JOBLIB = ("joblib.numpy_pickle", "sklearn.externals.joblib.numpy_pickle")

# What the unpickler raises itself where a stream makes no sense.
_DAMAGE = (pickle.UnpicklingError, EOFError, ValueError, LookupError, OverflowError, MemoryError, AssertionError)


class Unpickler(_pickle.Unpickler):
    """
    CPython's unpickler, for the layouts that a reader tells of.

    Parameters
    ----------
    reader : Reader
        Gives the opcodes and the buffers.
    filename : str or None
        The file, for what is mapped and for messages.
    mmap_mode : {None, "r", "r+", "c"}
        How arrays are mapped.
    native : bool
        Convert arrays to the byte order of this machine.
    """

    def __init__(self, reader: Reader, filename: str | None, mmap_mode: str | None, native: bool) -> None:
        super().__init__(reader, buffers=reader)
        self.reader = reader
        self.filename = filename
        self.mmap_mode = mmap_mode
        self.ensure_native_byte_order = native

    def find_class(self, module: str, name: str) -> Any:
        """Return the global that a stream names, or what stands for it here."""
        if (module, name) in _FROM_BUFFER:
            if self.mmap_mode is not None:
                return from_buffer
            if self.ensure_native_byte_order:
                return native_from_buffer
        return super().find_class(module, name)

    def load(self) -> Any:
        """
        Return the value.

        Raises
        ------
        CorruptFileError
            If the stream makes no sense.
        """
        try:
            return super().load()
        except CorruptFileError:
            raise
        except _DAMAGE as error:
            # Raised here, not in a function that the stream called.
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:
                raise CorruptFileError(_reason(error), self.filename) from error
            raise


def _reason(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "a str cannot be decoded: the file is damaged, or written by Python 2"
    text = str(error) or type(error).__name__
    return f"the pickle cannot be read: {text}"
