"""The unpicklers that read from a reader."""

from __future__ import annotations

import _pickle
import pickle
from typing import TYPE_CHECKING, Any

from retain._files.errors import CorruptFileError
from retain._files.legacy import NDArrayWrapper, read_array_beside, wrapper_class

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from retain._retain import Reader

# Where numpy keeps the function that makes an array of a buffer.
_FROM_BUFFER = {("numpy._core.numeric", "_frombuffer"), ("numpy.core.numeric", "_frombuffer")}

# What the unpickler itself raises where a stream makes no sense.
_DAMAGE = (pickle.UnpicklingError, EOFError, ValueError, LookupError, OverflowError, MemoryError, AssertionError)


class Unpickler(_pickle.Unpickler):
    """
    CPython's unpickler, for the layouts that a reader tells of.

    Parameters
    ----------
    reader : Reader
        Gives the opcodes and the buffers.
    filename : str or None
        The file, for what is mapped, for what lies beside it, and for messages.
    mmap_mode : {None, "r", "r+", "c"}
        How arrays are mapped.
    native : bool
        Convert arrays to the byte order of this machine.
    find_class : callable, optional
        Looks a global up in place of pickle's own way.
    file : file object, optional
        What arrays are mapped from, in place of what has the name `filename` by now.
    """

    # Whether an array was read that an old joblib keeps in a file of its own.
    is_legacy = False

    def __init__(
        self,
        reader: Reader,
        filename: str | None,
        mmap_mode: str | None = None,
        native: bool = False,
        find_class: Callable[[str, str], Any] | None = None,
        *,
        file: BinaryIO | None = None,
    ) -> None:
        super().__init__(reader, buffers=reader)
        self._file = file
        self._reader = reader
        self._filename = filename
        self._mmap_mode = mmap_mode
        self._native = native
        self._lookup = find_class
        self._is_trusted = find_class is None

    def find_class(self, module: str, name: str) -> Any:
        """Return the global that a stream names, or what stands for it here."""
        wrapper = wrapper_class(module, name)
        if wrapper is not None:
            return wrapper
        if (module, name) in _FROM_BUFFER and (self._native or self._mmap_mode is not None):
            from retain._files.mapped import from_buffer, native_from_buffer

            return native_from_buffer if self._native else from_buffer
        # Not kept as a method: an unpickler that refers to itself would stay, with its file, until it is found.
        return super().find_class(module, name) if self._lookup is None else self._lookup(module, name)

    def persistent_load(self, pid: object) -> Any:
        """Return the array whose wrapper is `pid`."""
        if not self._reader.arrive():
            raise CorruptFileError(f"an object outside of the file is wanted, by the id {pid!r}", self._filename)
        if isinstance(pid, NDArrayWrapper):
            self.is_legacy = True
            # What lies in the other file was not verified with this one.
            array = read_array_beside(pid, self._mmap_mode, self._filename, allow_pickle=self._is_trusted)
        else:
            from retain._files.joblib_layout import read_wrapped_array

            stream: Any = _Arrays(self._reader, self.find_class, self._filename)
            mode: Any = self._mmap_mode
            array = read_wrapped_array(
                pid,  # type: ignore[arg-type]
                stream,
                mode,
                self._filename,
                self._native,
                file=self._file,
            )
        self._reader.resume()
        return array

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
        except Exception as error:
            _raise_damage(error, self._reader, self._filename)
            raise
        finally:
            self._reader.take_fault()


def _raise_damage(error: Exception, reader: Reader, filename: str | None) -> None:
    """Raise what an error amounts to that was caught around an unpickler, if it is the file's damage."""
    # Checksums that come last in the stream are checked now, if this may be damage.
    damage = reader.damage() if isinstance(error, _DAMAGE) else reader.take_fault()
    try:
        if damage is not None and damage is not error:
            raise damage from None
    finally:
        # The exception refers to this frame.
        del damage
    if isinstance(error, MemoryError) and reader.is_bounded:
        return
    # Raised by the unpickler, not in a function that the stream called.
    alone = error.__traceback__ is not None and error.__traceback__.tb_next is None
    if alone and isinstance(error, _DAMAGE) and not isinstance(error, CorruptFileError):
        raise CorruptFileError(_reason(error), filename) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "a str cannot be decoded: the file is damaged, or written by Python 2"
    return f"the pickle cannot be read: {str(error) or type(error).__name__}"


class _Arrays:
    """The stream at the place of an array of joblib's."""

    def __init__(self, reader: Reader, find_class: Callable[[str, str], Any], filename: str | None) -> None:
        self._reader = reader
        self._find_class = find_class
        self._filename = filename
        self.is_bounded = reader.is_bounded
        self.position = reader.position
        self.read_raw = reader.read_raw
        self.skip_raw = reader.skip_raw

    def read_pickle(self) -> Any:
        """Load the pickle that lies where the bytes of an array of objects would."""
        self._reader.enter()
        nested = _Nested(self._reader, self._find_class)
        try:
            value = nested.load()
        except Exception as error:
            _raise_damage(error, self._reader, self._filename)
            raise
        self._reader.leave()
        return value


class _Nested(_pickle.Unpickler):
    def __init__(self, reader: Reader, find_class: Callable[[str, str], Any]) -> None:
        super().__init__(reader)
        self._find_class = find_class

    def find_class(self, module: str, name: str) -> Any:
        return self._find_class(module, name)


class NumpyUnpickler(Unpickler):
    """
    Unpickle from a file object, with the arrays that `NumpyPickler` and joblib put beside the opcodes.

    It may be subclassed, and its `find_class` overridden.

    Parameters
    ----------
    filename : str
        The file's name, for what is mapped and for messages.
    file_handle : file object
        Has a method `read`.
    ensure_native_byte_order : bool
        Convert arrays to the byte order of this machine.
    mmap_mode : {None, "r", "r+", "w+", "c"}
        How arrays of joblib's layout are mapped.
    """

    def __init__(
        self, filename: str, file_handle: Any, ensure_native_byte_order: bool, mmap_mode: str | None = None
    ) -> None:
        from retain._files.load import opened

        self.filename = filename
        self.file_handle = file_handle
        self.mmap_mode = mmap_mode
        self.ensure_native_byte_order = ensure_native_byte_order
        super().__init__(opened(file_handle), filename or None, mmap_mode, ensure_native_byte_order)
