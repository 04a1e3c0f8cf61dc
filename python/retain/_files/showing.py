"""The outline of what is in a file, whatever its format."""

from __future__ import annotations

from retain._files.errors import CorruptFileError, UnsafeFileError
from retain._files.outline import Array, Beside, Buffer, Node, Outliner, StandIn, outline, wrapped
from retain._files.report import Report, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any


def show(filename: str, shown: int = 10) -> Node:
    """
    Return the outline of a file's value. Nothing that the file names is imported or run.

    Parameters
    ----------
    filename : str
    shown : int
        How many members of each container have a line.

    Raises
    ------
    retain.UnsafeFileError
        Where the file is hostile: even to look into it could need all memory there is.
    retain.CorruptFileError
        Where it is damaged.
    """
    from retain._files import numpy_files, safetensors

    with open(filename, "rb") as file:
        prefix = file.read(16)
    if numpy_files.is_numpy_file(prefix):
        return _arrays("numpy file", numpy_files.infos(filename), shown)
    if safetensors.is_safetensors(filename, prefix):
        node = _arrays("safetensors file", safetensors.infos(filename), shown)
        texts = [Node(visible(name), repr(text)) for name, text in safetensors.metadata(filename).items()]
        beside = [Node("metadata", f"{len(texts):,} texts", texts)] if texts else []
        return Node("", node.text, [*node.below, *beside])
    return _pickled(filename, shown)


def outlined(payload: Any, shown: int = 10) -> Node:
    """
    Return the outline of the pickle in a buffer, or in the file at a path, as `show` does.

    Parameters
    ----------
    payload : bytes, Block or str
    shown : int
        How many members of each container have a line.

    Raises
    ------
    retain.UnsafeFileError
        Where it is hostile.
    retain.CorruptFileError
        Where it is damaged.
    """
    if isinstance(payload, str):
        return _pickled(payload, shown)
    import io

    from retain._files.safe import FLOOR
    from retain._retain import Block, Reader, scan_block

    limit = FLOOR + 1000 * len(payload)
    block = Block.of(io.BytesIO(payload), limit) if isinstance(payload, bytes) else payload
    report = Report.from_scan("", scan_block(block, [], limit, True))
    _check(report, None)
    return outline(_Outliner(Reader.of_block(block)).load(), shown)


def _arrays(kind: str, infos: Sequence[dict[str, Any]], shown: int) -> Node:
    nodes = [Node(visible(each["path"]), Array(each["dtype"], each["shape"]).text()) for each in infos]
    if len(nodes) == 1 and not nodes[0].label:
        return nodes[0]
    more = [Node("", f"and {len(nodes) - shown:,} more")] if len(nodes) > shown else []
    return Node("", f"{kind} of {len(nodes):,} {'array' if len(nodes) == 1 else 'arrays'}", [*nodes[:shown], *more])


def _pickled(filename: str, shown: int) -> Node:
    import retain

    _check(retain.scan(filename), filename)
    reader = _opened(filename)
    return outline(_Outliner(reader).load(), shown)


def _check(report: Report, filename: str | None) -> None:
    if report.verdict not in ("safe", "needs trust"):
        reasons = [each.reason for each in report.refusals] or [report.damage or ""]
        raise UnsafeFileError(f"not shown, since it is {report.verdict}: {'; '.join(reasons[:5])}", filename)


def _opened(filename: str) -> Any:
    from retain._retain import Reader

    reader = Reader.open(filename, lambda _offset, length: Buffer(length))
    if isinstance(reader, bytes):
        import io

        from retain._files.legacy import read_z

        with open(filename, "rb") as file:
            reader = Reader.of(io.BytesIO(read_z(file, filename)), False)
    return reader


class _Outliner(Outliner):
    """Outlines what a reader gives, and passes over the bytes of arrays."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        super().__init__(reader, self._array, self._buffers())

    def _buffers(self) -> Iterator[Buffer]:
        for buffer in self._reader:
            # The trailer comes as None.
            yield buffer if isinstance(buffer, Buffer) else Buffer(0 if buffer is None else len(buffer))

    def _array(self, wrapper: Any) -> Any:
        reader = self._reader
        if not reader.arrive():
            raise UnsafeFileError(f"an object outside of the file is wanted, by the id {wrapper!r}")
        if isinstance(wrapper, StandIn) and wrapper.name != "NumpyArrayWrapper":
            name = wrapper.state.get("filename") if isinstance(wrapper.state, dict) else None
            reader.resume()
            return Beside(name if isinstance(name, str) else "")
        found = wrapped(wrapper)
        if found is None:
            raise CorruptFileError("the description of an array makes no sense")
        if found.nbytes is None:
            reader.enter()
            Outliner(reader).load()
            reader.leave()
        else:
            if found.aligned:
                padding = bytearray(1)
                reader.read_raw(padding)
                reader.skip_raw(padding[0])
            reader.skip_raw(found.nbytes)
        reader.resume()
        return found.array
