"""A trace of every task of a run, for Perfetto (ui.perfetto.dev) and Chrome's ``about:tracing``."""

from __future__ import annotations

import json
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_IN_MEMORY = 1 << 23  # bytes of the trace that are held before they go to a file without a name
_PARENT = 0  # the row of the process that made the run; worker n has row n + 1

_VALUE, _FAILURE, _RETRY = 0, 1, 3


class Trace:
    """
    A file in the trace-event format that is written as the run goes on, and appears whole when it ends.

    Parameters
    ----------
    path : str or os.PathLike
        Where the file is to appear. One that is there is replaced.

    Raises
    ------
    OSError
        If there is no folder to write it to: now, and not after hours of work.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from tempfile import SpooledTemporaryFile

        self.path = os.fspath(path)
        folder = os.path.dirname(os.path.realpath(self.path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(2, f"trace={self.path!r} cannot be written, as its folder does not exist", folder)
        if os.path.isdir(self.path):
            raise IsADirectoryError(21, "trace= is a folder, and must be the name of a file", self.path)
        self._body = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed in `close`
        self._names: dict[int, str] = {}
        self._rows: set[int] = set()
        self._begun = time.monotonic_ns()
        self._pid = os.getpid()

    def tasks(self, iterator: Iterator[Any]) -> Iterator[Any]:
        """Yield the tasks, and note the functions that they call."""
        for index, task in enumerate(iterator):
            self._names[index] = _name(task[0])
            yield task

    def outcomes(self, outcomes: Iterable[tuple[Any, ...]]) -> None:
        """
        Note what became of tasks.

        Parameters
        ----------
        outcomes : iterable of tuples
            ``(index, status, value, worker, started_ns, ended_ns, attempts)``, as engines give them when they are asked
            for details.
        """
        lines = []
        for index, status, value, worker, started, ended, attempts in outcomes:
            if status not in (_VALUE, _FAILURE, _RETRY):
                continue
            name = self._names.get(index, "task") if status == _RETRY else self._names.pop(index, "task")
            lines.append(self._line(name, index, status, value, (worker, started, ended, attempts)))
        if lines:
            self._body.write(",\n".join(["", *lines]).encode())

    def _line(self, name: str, index: int, status: int, value: Any, at: tuple[int, int, int, int]) -> str:
        worker, started, ended, attempts = at
        more: dict[str, Any] = {"task": index, "attempts": attempts}
        event = {"name": name, "ph": "X", "pid": self._pid, "tid": worker + 1, "args": more}
        if worker < 0:
            # Found in the store: no worker did it, and it took no time.
            more["outcome"] = "hit"
            return _json({**event, "ph": "i", "s": "t", "cat": "hit", "ts": self._since(time.monotonic_ns())})
        self._rows.add(worker)
        event["ts"] = self._since(started)
        event["dur"] = max(ended - started, 0) / 1e3
        event["cat"] = more["outcome"] = _OUTCOMES[status]
        if status != _VALUE:
            more["error"] = f"{type(value).__name__}: {_text(value)}"
            # Reserved names of colours in the format.
            event["cname"] = "terrible" if status == _FAILURE else "bad"
        return _json(event)

    def close(self, error: BaseException | None = None) -> None:
        """
        Write the file.

        Parameters
        ----------
        error : BaseException, optional
            What the run ended with.
        """
        from retain._files.replacing import replacing

        run = {"name": "Parallel", "ph": "X", "cat": "run", "pid": self._pid, "tid": _PARENT, "ts": 0.0}
        run["dur"] = self._since(time.monotonic_ns())
        run["args"] = {"outcome": "done" if error is None else f"{type(error).__name__}: {_text(error)}"}
        head = [self._about("process_name", _PARENT, {"name": f"retain.Parallel in process {self._pid}"})]
        for row, name in [(_PARENT, "the run"), *((worker + 1, f"worker {worker}") for worker in sorted(self._rows))]:
            head += [
                self._about("thread_name", row, {"name": name}),
                self._about("thread_sort_index", row, {"sort_index": row}),
            ]
        try:
            with replacing(self.path) as file:
                file.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')
                file.write(",\n".join([*map(_json, head), _json(run)]).encode())
                self._body.seek(0)
                while part := self._body.read(_IN_MEMORY):
                    file.write(part)
                file.write(b"\n]}\n")
        except OSError as failure:
            import warnings

            # The results are worth more than the trace of how they came.
            warnings.warn(f"trace={self.path!r} could not be written: {failure}", stacklevel=2)
        finally:
            self._body.close()

    def _about(self, what: str, row: int, args: dict[str, Any]) -> dict[str, Any]:
        return {"name": what, "ph": "M", "pid": self._pid, "tid": row, "args": args}

    def _since(self, instant: int) -> float:
        return (instant - self._begun) / 1e3


_OUTCOMES = {_VALUE: "done", _FAILURE: "failed", _RETRY: "retried"}


def _name(function: Any) -> str:
    while not hasattr(function, "__qualname__"):
        below = getattr(function, "func", None) or getattr(function, "__wrapped__", None)
        if below is None or below is function:
            return type(function).__qualname__
        function = below
    return str(function.__qualname__)


def _text(error: Any) -> str:
    try:
        return str(error)[:1000]
    except Exception:  # noqa: BLE001 - an exception of a user may fail at its own text
        return "?"


def _json(event: dict[str, Any]) -> str:
    return json.dumps(event, separators=(",", ":"))
