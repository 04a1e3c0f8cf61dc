"""The picklers that write to a sink."""

from __future__ import annotations

import _pickle
from typing import TYPE_CHECKING, Any

from retain._files.numpy_arrays import reducer
from retain._retain import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The first protocol that has out-of-band buffers.
SPLICED = 5


def protocol_of(protocol: int | None) -> int:
    """Return the protocol to write: 5, which every Python that is supported reads, if none is asked for."""
    if protocol is None:
        return SPLICED
    if not isinstance(protocol, int):
        raise TypeError(f"protocol must be an int or None, not {type(protocol).__name__}")
    if protocol < 0:
        return SPLICED
    if protocol > SPLICED:
        raise ValueError(f"protocol must be at most {SPLICED}, got {protocol}")
    return protocol


def writer() -> str:
    """Return what the trailer tells of who wrote a file."""
    import sys

    import retain

    return f"retain {retain.__version__}, Python {sys.version_info.major}.{sys.version_info.minor}"


def pickle_into(sink: Sink, value: object, protocol: int, *, by_value: bool, in_band: bool = False) -> None:
    """
    Pickle `value` into `sink`, with the functions and classes that cannot be imported by value if asked.

    With `in_band`, buffers are copied into the stream as they come.
    """
    buffers = sink.buffer if protocol >= SPLICED and not in_band else None
    override = reducer(sink, in_band=in_band) if protocol >= SPLICED else None
    if by_value:
        pickler = _by_value()(sink, protocol, buffer_callback=buffers)
        pickler.arrays = override
    elif override is None:
        pickler = _pickle.Pickler(sink, protocol, buffer_callback=buffers)
    else:
        pickler = _Pickler(sink, protocol, buffer_callback=buffers)
        pickler.reducer_override = override
    pickler.dump(value)


class _Pickler(_pickle.Pickler):
    """CPython's pickler, with room for an attribute."""

    reducer_override: Callable[[object], Any]


def _by_value() -> Any:
    """Return cloudpickle's pickler, which leaves arrays to ours."""
    from importlib import import_module

    base: Any = import_module("cloudpickle").Pickler

    class Pickler(base):  # type: ignore[misc]
        arrays: Callable[[object], Any] | None

        def reducer_override(self, obj: object) -> Any:
            if self.arrays is not None:
                reduced = self.arrays(obj)
                if reduced is not NotImplemented:
                    return reduced
            return super().reducer_override(obj)

    return Pickler


class NumpyPickler(_pickle.Pickler):
    """
    Pickle to a file object, with large buffers aligned beside the opcodes.

    It may be subclassed and be given a `dispatch_table`, as any pickler.

    Parameters
    ----------
    fp : file object
        Has a method `write` that takes bytes.
    protocol : int, optional
        The pickle protocol, 5 by default. Below 5 the result is a plain pickle.
    """

    dispatch_table: Mapping[type, Callable[[Any], Any]]

    def __init__(self, fp: Any, protocol: int | None = None) -> None:
        self.file_handle = fp
        self.proto = protocol_of(protocol)
        self._output = _Output(fp, self.proto >= SPLICED)
        super().__init__(
            self._output, self.proto, buffer_callback=self._output.buffer if self.proto >= SPLICED else None
        )

    def reducer_override(self, obj: Any) -> Any:
        """Return how an array is reduced; `dispatch_table` comes first."""
        if self.proto < SPLICED:
            return NotImplemented
        if type(obj) in getattr(self, "dispatch_table", ()):
            self._output.sink.watch()
            return NotImplemented
        return self._output.reduce(obj)

    def dump(self, obj: object) -> None:
        """
        Write `obj`, and end the stream. A further call writes a further one.

        Raises
        ------
        pickle.PicklingError
            If a part of it cannot be pickled.
        """
        if self._output.has_ended:
            self._output.begin()
            # What the stream before has cannot be referred to from another.
            self.clear_memo()
        try:
            super().dump(obj)
            self._output.sink.finish(writer())
        finally:
            self._output.has_ended = True


class _Output:
    """The streams of a pickler, one after the other."""

    def __init__(self, file: Any, spliced: bool) -> None:
        self._file = file
        self._spliced = spliced
        self.begin()

    def begin(self) -> None:
        """Begin a stream."""
        self.sink = Sink(None, self._file, self._spliced, base=position(self._file))
        self.reduce = reducer(self.sink)
        self.has_ended = False

    def write(self, data: Any) -> int:
        """Take opcodes."""
        return self.sink.write(data)

    def buffer(self, buffer: Any) -> bool:
        """Take a buffer."""
        return self.sink.buffer(buffer)


def position(file: Any) -> int:
    """Return where in `file` the next byte goes, if it can tell."""
    try:
        found = file.tell()
    except (AttributeError, OSError, ValueError, NotImplementedError):
        return 0
    return found if isinstance(found, int) and found >= 0 else 0
