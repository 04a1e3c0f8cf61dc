"""Tasks that are run one after the other, where they are called."""

from __future__ import annotations

from itertools import chain, islice
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from retain._parallel.engine import DONE, FAILED, RETRIED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from retain._parallel.engine import Call, Lookup, Outcome, Task


def batched(tasks: Iterable[Task], size: int) -> Iterator[Task]:
    """Return tasks that are taken from their iterator so many at a time."""
    rest = iter(tasks)
    return chain.from_iterable(iter(lambda: tuple(islice(rest, size)), ()))


class SequentialEngine:
    """
    Runs a task in each step.

    Parameters
    ----------
    call : Call
        What is asked for.
    """

    hits = died = timed_out = shared_bytes = 0

    def __init__(self, call: Call) -> None:
        self._retries = call.retries
        self._detailed = call.detailed
        self.pulled = self.dispatched = self.completed = self.retried = self.failed = self.busy_ns = 0

    def begin(self, tasks: Iterator[Task], lookup: Mapping[type, Lookup]) -> None:  # noqa: ARG002 - who is called looks
        """Take the tasks on."""
        self._tasks: Iterator[Task] | None = tasks

    def step(self, wait: bool | float = True, limit: int | None = None) -> list[Outcome] | None:
        """Run the next task."""
        if self._tasks is None:
            return None
        if wait is False or limit == 0:
            return []
        try:
            function, args, kwargs = next(self._tasks)
        except StopIteration:
            self._tasks = None
            return None
        index = self.pulled
        self.pulled = self.dispatched = index + 1
        outcomes: list[Outcome] = []
        attempt = 1
        started = perf_counter_ns()
        while True:
            try:
                status, value = DONE, function(*args, **kwargs)
            except (KeyboardInterrupt, GeneratorExit):
                # These are meant for the caller.
                raise
            except BaseException as error:  # noqa: BLE001 - it is an outcome
                status, value = FAILED, error
            if status == DONE or attempt > self._retries:
                break
            if self._detailed:
                outcomes.append((index, RETRIED, value, 0, started, perf_counter_ns(), attempt))
            attempt += 1
            self.retried += 1
        ended = perf_counter_ns()
        self.completed += 1
        self.failed += status == FAILED
        self.busy_ns += ended - started
        outcomes.append(
            (index, status, value, 0, started, ended, attempt) if self._detailed else (index, status, value)
        )
        return outcomes

    def cancel(self) -> None:
        """Give up the tasks that have not ended."""
        self._tasks = None


def all_of(tasks: Iterable[Task], counts: Any) -> list[Any]:
    """
    Return the results of tasks, as fast as they can be called.

    Parameters
    ----------
    tasks : iterable
        The tasks.
    counts : Parallel
        Where they are counted.
    """
    results: list[Any] = []
    keep = results.append
    try:
        for function, args, kwargs in tasks:
            keep(function(*args, **kwargs))
    finally:
        counts.n_dispatched_tasks = counts.n_dispatched_batches = counts.n_completed_tasks = len(results)
    return results
