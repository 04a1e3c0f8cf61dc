"""What a run of `Parallel` did, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Stats:
    """
    What a run of `Parallel` did. ``print`` shows it as a table.

    Attributes
    ----------
    tasks : int
        Tasks that were taken from the iterable.
    completed : int
        Of these, those that have a result.
    hits : int
        Of these, those whose result was found in the store of a memoized function.
    retried : int
        Attempts that failed and were made again.
    failed : int
        Tasks that failed for good, whatever the reason.
    died : int
        Attempts that ended with their worker.
    timed_out : int
        Attempts that took longer than ``task_timeout``.
    workers : int
    seconds : float
        How long the run took.
    work : float
        Seconds that the workers spent in tasks, all of them together.
    shared_bytes : int
        Bytes of large arguments and results that were shared instead of copied into messages.
    """

    tasks: int = 0
    completed: int = 0
    hits: int = 0
    retried: int = 0
    failed: int = 0
    died: int = 0
    timed_out: int = 0
    workers: int = 1
    seconds: float = 0.0
    work: float = 0.0
    shared_bytes: int = 0

    @property
    def utilisation(self) -> float:
        """The share of the workers' time that went into tasks, from 0 to 1."""
        available = self.seconds * self.workers
        return min(self.work / available, 1.0) if available > 0 else 0.0

    @classmethod
    def of(cls, engine: Any, seconds: float, workers: int) -> Self:
        """
        Read the counters of an engine.

        Parameters
        ----------
        engine : Engine
            What it does not count is 0.
        seconds : float
        workers : int
        """

        def counted(name: str) -> int:
            return int(getattr(engine, name, 0))

        return cls(
            tasks=counted("pulled"),
            completed=counted("completed"),
            hits=counted("hits"),
            retried=counted("retried"),
            failed=counted("failed"),
            died=counted("died"),
            timed_out=counted("timed_out"),
            workers=workers,
            seconds=seconds,
            work=counted("busy_ns") / 1e9,
            shared_bytes=counted("shared_bytes"),
        )

    def __str__(self) -> str:
        return "\n".join(f"{name:<{_WIDTH}}{value:>14}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td style='text-align:left'>{name}</td><td style='text-align:right'>{value}</td></tr>"
            for name, value in self._rows()
        )
        return f"<table style='color:inherit'><tbody>{cells}</tbody></table>"

    def _rows(self) -> list[tuple[str, str]]:
        from retain._files.report import size
        from retain._memory.showing import duration, rate

        rows = [("tasks", f"{self.tasks:,}"), ("completed", f"{self.completed:,}")]
        # What did not happen is not worth a line.
        rare = {
            "found in the store": self.hits,
            "attempts made again": self.retried,
            "failed": self.failed,
            "workers that died": self.died,
            "timed out": self.timed_out,
        }
        rows += [(name, f"{value:,}") for name, value in rare.items() if value]
        rows += [
            ("workers", f"{self.workers:,}"),
            ("time", duration(self.seconds)),
            ("work", duration(self.work)),
            ("utilisation", rate(self.utilisation)),
        ]
        if self.shared_bytes:
            rows.append(("shared", size(self.shared_bytes)))
        return rows


_WIDTH = 22
