"""
The bytes of a result.

Small ones are a pickle, kept in the store's index; large ones a file of `retain.dump`, whose arrays can be mapped.
"""

from __future__ import annotations

import _pickle
import io
import pickle
import time
from typing import TYPE_CHECKING, Any

from retain._files.dump import _codec, dump
from retain._files.load import load
from retain._files.pickler import SPLICED, pickle_into, writer
from retain._files.unpickler import Unpickler
from retain._retain import Block, Reader

if TYPE_CHECKING:
    from pickle import PickleBuffer

SMALL = 32 << 10
"""Bytes of a pickle that is kept in the index."""
_WORTH_COMPRESSING = 1 << 10
_SAME = (int, str, bytes, float, bool, complex, type(None))

loads = pickle.loads


class TooLarge(Exception):  # noqa: N818 - no error, but a turn to another way
    """The value belongs in a file."""


def small_pickle(value: Any, compress: Any) -> bytes:
    """
    Return the pickle of a small value, compressed if that is asked for and worth it.

    Raises
    ------
    TooLarge
        If it belongs in a file; not much of it was pickled to find out.
    """
    kind = type(value)
    if kind in (str, bytes) and len(value) > SMALL:
        raise TooLarge
    if kind in _SAME:
        payload = pickle.dumps(value, SPLICED)
        if len(payload) > SMALL:
            raise TooLarge
    else:
        if getattr(value, "nbytes", 0) > SMALL and kind.__module__ == "numpy":
            raise TooLarge
        room = _Room()
        _pickle.Pickler(room, SPLICED, buffer_callback=room.buffer).dump(value)
        payload = b"".join(room.parts)
    if compress and len(payload) > _WORTH_COMPRESSING:
        packed = io.BytesIO()
        codec, level = codec_of(compress)
        dump(value, packed, compress=(codec, level) if level is not None else codec)
        if len(packed.getvalue()) < len(payload):
            return packed.getvalue()
    return payload


class _Room:
    """A file in memory that takes so much and no more."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._left = SMALL

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge

    def write(self, data: Any) -> int:
        """Take opcodes."""
        size = len(data)
        self._take(size)
        self.parts.append(bytes(data))
        return size

    def buffer(self, buffer: PickleBuffer) -> bool:
        """Let a buffer into the stream, unless it is too large to be copied for nothing."""
        if memoryview(buffer).nbytes > self._left:
            raise TooLarge
        return True


def codec_of(compress: Any) -> tuple[str | None, int | None]:
    """Return the codec and level that `compress` asks for."""
    return _codec(compress, None)


def put_file(store: Any, call: bytes, function: str, value: Any, compress: Any, *rest: Any) -> None:
    """Put a value as a file: `rest` is its cost, its life, and what is told about it."""
    codec, level = codec_of(compress)
    sink = store.begin(call, codec, level)
    try:
        _into(sink, value)
    except RuntimeError:
        if not sink.is_changed:
            raise
        # An object uses the memory again of what it gave away: all is copied at once then.
        sink = store.begin(call, codec, level)
        _into(sink, value, in_band=True)
    store.put_file(call, function, sink, *rest)


def _into(sink: Any, value: Any, *, in_band: bool = False) -> None:
    try:
        pickle_into(sink, value, SPLICED, by_value=False, in_band=in_band)
        sink.finish(writer())
    except BaseException:
        sink.abort()
        raise


def could_be_mapped(payload: Any) -> bool:
    """Tell whether a small pickle may hold arrays, which can be mapped if they lie in a file."""
    return type(payload) is bytes and b"numpy" in payload


def mapped(store: Any, call: bytes, function: str, value: Any, mode: str) -> Any:
    """Return a value that was kept as a small pickle with its arrays mapped: it is put into a file for that."""
    found = store.contains(call)
    if found is None:
        return value
    _, cost, expires = found
    lives = None if expires is None else max(expires - time.time(), 0.0)
    put_file(store, call, function, value, False, cost, lives, store.about(call) or b"")
    again = store.get(call)
    return value if again is None else decode(again[0], mode)


def decode(stored: Any, mode: str | None, *, stays: bool = False) -> Any:
    """
    Return the value of what a store gave: a pickle, the path of a file, or a file's verified bytes.

    Parameters
    ----------
    stored : bytes, str or Block
    mode : {None, "r", "c"}
        How arrays are mapped.
    stays : bool
        Whether a file stays readable while it is open, whoever removes it. Memory that nobody writes to is the file's
        own then, and a large array costs no copy.

    Raises
    ------
    FileNotFoundError
        If the file is gone by now.
    Exception
        Whatever the value raises as it is made; `CorruptFileError` if it is damaged.
    """
    if type(stored) is bytes:
        return loads(stored) if stored[:1] == b"\x80" else load(io.BytesIO(stored))
    if type(stored) is str:
        if mode is not None:
            return load(stored, mmap_mode=mode)  # type: ignore[arg-type]
        stored = Block.of_immutable(stored, stays)
    if type(stored) is Block:
        reader = Reader.of_block(stored)
        value = Unpickler(reader, None).load()
        reader.finish()
        return value
    return stored.value()
