"""`load`: a value from a file."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from retain._files import compressors
from retain._files.keys import key_line
from retain._files.mapped import Mapped
from retain._files.unpickler import Unpickler
from retain._retain import Block, Reader

if TYPE_CHECKING:
    from typing import BinaryIO

_UNLIMITED = 2**64 - 1
# Where the file objects are from that read compressed files.
_COMPRESSED = {"gzip", "bz2", "lzma", "zipfile", "compression.zstd", "_compression"}


def load(
    filename: Any,
    mmap_mode: Literal["r", "r+", "w+", "c"] | None = None,
    ensure_native_byte_order: bool | Literal["auto"] = "auto",
    *,
    verify: Any = None,
) -> Any:
    """
    Read a value from a file.

    Files of `dump`, of joblib (from 0.8 on), plain pickles, `.npy` and `.npz` are read, compressed by any codec that
    `dump` knows. The checksums of files that `dump` wrote are checked.

    A pickle runs code: load files of people you trust. `safe_load` is for those of others.

    Parameters
    ----------
    filename : str, bytes, os.PathLike or file object
        What to read. A file object has a method `read`; it is left behind the value, so that another can be read.
    mmap_mode : {None, "r", "r+", "w+", "c"}, default None
        Map arrays of uncompressed files instead of reading them, as `numpy.memmap` does: read-only, to be written to in
        place ("w+" is "r+"), or copied when written to. What is mapped is not checked. Arrays are `numpy.memmap` then.
    ensure_native_byte_order : bool or "auto", default "auto"
        Convert arrays of the other byte order to this machine's. "auto" does, unless they are mapped.
    verify : str or os.PathLike, optional
        The file with a public key made by `retain keygen`, or its line: the file is loaded only if its bytes are as the
        owner of the key signed them. It is read into memory for that, and cannot be mapped.

    Returns
    -------
    object
        The value.

    Raises
    ------
    CorruptFileError
        If the file is damaged, cut short, or of no kind that is known.
    SignatureError
        If the file is not signed by the key in `verify`. Nothing of it was looked at then.
    ValueError
        If arrays are to be mapped and converted at once.
    OSError
        If the file cannot be read.
    """
    _check_mode(mmap_mode)
    if ensure_native_byte_order == "auto":
        ensure_native_byte_order = mmap_mode is None
    if ensure_native_byte_order and mmap_mode is not None:
        raise ValueError(
            "Native byte ordering can only be enforced if 'mmap_mode' parameter is set to None, "
            f"but got 'mmap_mode={mmap_mode}' instead."
        )
    filename = named(filename)
    if verify is not None:
        if mmap_mode is not None or hasattr(filename, "read"):
            raise ValueError("verify= takes a path, and no mmap_mode: what is verified is what lies in memory")
        block: Any = Block.of_file(filename, _UNLIMITED, key_line(verify, "verify"))
        verified = Reader.of_block(block)
        return _unpickled(Unpickler(verified, filename, None, ensure_native_byte_order), verified)
    if hasattr(filename, "read"):
        custom = _registered_of(filename)
        if custom is None:
            return _load_object(filename, mmap_mode, ensure_native_byte_order)
        _ignored(mmap_mode, f"the file object {filename!r}")
        # Not closed: it might close what is the caller's.
        return _load_object(custom.decompressor_file(filename), None, ensure_native_byte_order)
    mode = "r+" if mmap_mode == "w+" else mmap_mode
    custom = _registered(filename)
    if custom is not None:
        _ignored(mmap_mode, f"the compressed file {filename}")
        with open(filename, "rb") as file, custom.decompressor_file(file) as content:
            return _load_object(content, None, ensure_native_byte_order)
    if not is_regular(filename):
        _ignored(mmap_mode, f"{filename}, which is a pipe or a device,")
        return _load_pipe(filename, ensure_native_byte_order)
    is_pickle, found = _load_file(filename, mode, ensure_native_byte_order)
    return found if is_pickle else _load_other(filename, found, mode, ensure_native_byte_order)


def _load_pipe(filename: str, native: bool) -> Any:
    """Load what is read from front to back, and may have to be waited for."""
    # Python's own waiting ends at Ctrl-C; without a buffer, it waits for no more than there is.
    with open(filename, "rb", buffering=0) as raw:
        file: Any = raw
        if compressors.any_registered():
            file = _Begun(raw)
            if file.codec is not None:
                return _load_object(file.codec.decompressor_file(io.BufferedReader(file)), None, native)
        reader: Reader | bytes = Reader.of(file, False, filename)
        if isinstance(reader, bytes):
            return _load_other_object(file, filename, reader, native)
        return _unpickled(Unpickler(reader, filename, None, native), reader, below=1)


def _load_file(filename: str, mode: Literal["r", "r+", "c"] | None, native: bool) -> tuple[bool, Any]:
    """
    Load a file that can be read at any place.

    Returns
    -------
    (True, object)
        The value.
    (False, bytes)
        What the file begins with, if it is no pickle.
    """
    if mode is not None:
        return _load_mapped(filename, mode, native)
    reader = Reader.open(filename)
    if isinstance(reader, bytes):
        return False, reader
    return True, _unpickled(Unpickler(reader, filename, None, native), reader, below=1)


def named(filename: Any) -> Any:
    """Return a path as a str; a file object as it is."""
    if isinstance(filename, (str, bytes, os.PathLike)):
        return os.fsdecode(filename)
    if not hasattr(filename, "read"):
        raise TypeError(f"filename must be a str, bytes, os.PathLike or a file object, not {type(filename).__name__}")
    return filename


def is_regular(filename: str) -> bool:
    """Tell whether a file can be read at any place; what is not there counts as such, since opening it tells."""
    import stat

    try:
        mode = os.stat(filename).st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _load_mapped(filename: str, mode: Literal["r", "r+", "c"], native: bool) -> tuple[bool, Any]:
    """
    Load a file whose arrays are mapped, from the one file that has the name now.

    Returns what `_load_file` does.
    """
    file, denied = _opened_to_map(filename, mode)
    with file:
        reader = Reader.open(filename, Mapped(file, mode), _handle(file))
        if isinstance(reader, bytes):
            return False, reader
        if reader.codec is not None:
            _ignored(mode, f"the compressed file {filename}", below=2)
            return True, _unpickled(Unpickler(reader, filename, None, native), reader, below=2)
        if denied is not None:
            raise denied
        if mode == "r+":
            _forget_checksums(file, reader)
        return True, _unpickled(Unpickler(reader, filename, mode, native, file=file), reader, below=2)


def _opened_to_map(filename: str, mode: str) -> tuple[BinaryIO, OSError | None]:
    """Return the file, and why it cannot be written to, which matters only if it is one that is mapped."""
    if mode == "r+":
        try:
            return open(filename, "r+b"), None
        except OSError as error:
            return open(filename, "rb"), error
    return open(filename, "rb"), None


def _handle(file: BinaryIO) -> int:
    """Return what the operating system knows an open file by."""
    if sys.platform == "win32":
        import msvcrt

        return msvcrt.get_osfhandle(file.fileno())
    return file.fileno()


def _check_mode(mmap_mode: str | None) -> None:
    if mmap_mode not in (None, "r", "r+", "w+", "c"):
        raise ValueError(f'mmap_mode must be None, "r", "r+", "w+" or "c", got {mmap_mode!r}')


def _unpickled(unpickler: Unpickler, reader: Reader, *, below: int = 0) -> Any:
    value = unpickler.load()
    reader.finish()
    if unpickler.is_legacy:
        import warnings

        warnings.warn(
            "The file was written by joblib before 0.10, with its arrays in files of their own: dump it anew.",
            DeprecationWarning,
            stacklevel=3 + below,
        )
    return value


def _forget_checksums(file: BinaryIO, reader: Reader) -> None:
    """Let the file say that its arrays are not checked: they are about to be written to."""
    found = reader.without_checksums()
    if found is not None:
        offset, trailer = found
        file.seek(offset)
        file.write(trailer)
        file.flush()


def _ignored(mmap_mode: str | None, what: str, *, below: int = 0) -> None:
    """Warn the caller of `load`, who is so many calls above that of this function's caller."""
    if mmap_mode is not None:
        import warnings

        warnings.warn(f'mmap_mode "{mmap_mode}" is not compatible with {what} and is ignored', stacklevel=3 + below)


def _registered(filename: str) -> Any:
    """Return the registered codec that the file is compressed with, if it is one."""
    # Of a pipe, what was read is gone.
    if not compressors.any_registered() or not is_regular(filename):
        return None
    with open(filename, "rb") as file:
        return compressors.by_prefix(file.read(64))


def _registered_of(file: Any) -> Any:
    """Return the same of a file object, which is left as it was; None where it lets nobody look ahead."""
    if not compressors.any_registered():
        return None
    if hasattr(file, "peek"):
        return compressors.by_prefix(file.peek(64)[:64])
    if not _is_seekable(file):
        return None
    position = file.tell()
    start = file.read(64)
    if not start:
        # What was just written to memory.
        position = file.seek(0)
        start = file.read(64)
    file.seek(position)
    return compressors.by_prefix(start)


class _Begun(io.RawIOBase):
    """A pipe whose first bytes were looked at: no more of them than tell whether a registered codec is theirs."""

    def __init__(self, below: io.FileIO) -> None:
        self._below = below
        self._start = b""
        while compressors.could_begin(self._start) and (more := below.read(1)):
            self._start += more
        self.codec = compressors.by_prefix(self._start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if not self._start:
            return self._below.readinto(buffer)
        count = min(len(buffer), len(self._start))
        memoryview(buffer)[:count] = self._start[:count]
        self._start = self._start[count:]
        return count


def _load_other(filename: str, start: bytes, mode: Any, native: bool) -> Any:
    """Load what is no pickle: numpy's files, and those of joblib before 0.10."""
    from retain._files.legacy import Z_PREFIX, read_z
    from retain._files.numpy_files import load_numpy_file

    if not start.startswith(Z_PREFIX):
        return load_numpy_file(filename, mode, native)
    _ignored(mode, f"the compressed file {filename}", below=1)
    with open(filename, "rb") as file:
        reader = opened(io.BytesIO(read_z(file, filename)))
    return _unpickled(Unpickler(reader, filename, None, native), reader, below=1)


def _load_object(file: Any, mmap_mode: str | None, native: bool) -> Any:
    """Load from a file object, and leave it behind the value."""
    name = getattr(file, "name", None)
    filename = name if isinstance(name, str) else None
    _ignored(mmap_mode, f"the file object {file!r}", below=1)
    peeking = _Peeking(file) if _is_compressed(file) else None
    reader = opened(file) if peeking is None else Reader.of(peeking, False)
    if isinstance(reader, bytes):
        if peeking is not None:
            peeking.end(0)
        return _load_other_object(file, filename, reader, native)
    value = _unpickled(Unpickler(reader, filename, None, native), reader)
    if peeking is not None:
        peeking.end(reader.finish())
    elif reader.codec is None and _is_seekable(file):
        beyond = reader.finish()
        if beyond:
            file.seek(-beyond, 1)
    return value


def opened(file: Any) -> Any:
    """Return a reader of a file object; the file's first bytes if it holds no pickle."""
    seekable = _is_seekable(file)
    if seekable and not hasattr(file, "peek"):
        # What was just written to memory is read from its beginning, as joblib does.
        position = file.tell()
        file.seek(position if file.read(1) else 0)
    return Reader.of(file, not seekable)


class _Peeking:
    """
    A file object that decompresses: what is not taken of a value's end is not read.

    Going back there would mean to decompress all from the beginning.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        # How much of what the file would give next was given already.
        self._given = 0

    def read(self, size: int) -> bytes:
        """Return some of the next bytes."""
        self._file.read(self._given)
        found: bytes = self._file.peek(size)[:size]
        self._given = len(found)
        return found

    def end(self, beyond: int) -> None:
        """Leave the file where so many bytes of those given come next."""
        if beyond <= self._given:
            self._file.read(self._given - beyond)
        else:
            self._file.seek(self._given - beyond, 1)


def _is_compressed(file: Any) -> bool:
    return hasattr(file, "peek") and any(base.__module__ in _COMPRESSED for base in type(file).__mro__)


def _is_seekable(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):
        return False


def _load_other_object(file: Any, filename: str | None, start: bytes, native: bool) -> Any:
    from retain._files.legacy import Z_PREFIX, read_z
    from retain._files.numpy_files import load_numpy_file

    whole = io.BytesIO(start + file.read())
    if not start.startswith(Z_PREFIX):
        return load_numpy_file(whole, None, native)
    reader = opened(io.BytesIO(read_z(whole, filename)))
    return _unpickled(Unpickler(reader, filename, None, native), reader)
