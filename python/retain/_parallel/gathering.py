"""The outcomes of one call of `Parallel`, in the order that its caller wants."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from retain._parallel.callbacks import BatchCompletionCallBack, completion_callback
from retain._parallel.engine import DONE, FAILED, OUTPUT, RETRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from retain._parallel.engine import Engine, Lookup, Outcome, Task
    from retain._parallel.parallel import Parallel

# Where a task ends this often, tasks are small, and so are the results that a slow caller leaves lying.
_SHORT = 0.002


class _Skipped:
    """In the place of a result that is left out."""


_SKIPPED = _Skipped()


class Watching(NamedTuple):
    """Who wants to know what becomes of each task."""

    # Called with the number of tasks that have ended since.
    progress: Callable[[], object] | None
    bar: Any
    trace: Any
    callback: type[BatchCompletionCallBack] | None

    @property
    def is_watched(self) -> bool:
        """Whether there is anyone."""
        return any(watcher is not None for watcher in self)


def watching(parallel: Parallel, bar: Any, trace: Any, *, calls_back: bool) -> Watching:
    """Return who watches a call."""
    from retain._parallel.parallel import Parallel as Own

    callback = completion_callback()
    told = parallel.verbose or type(parallel).print_progress is not Own.print_progress
    return Watching(
        parallel.print_progress if told else None,
        bar,
        trace,
        None if calls_back or callback is BatchCompletionCallBack else callback,
    )


class Noting:
    """
    An iterator that notes when it has come to its end.

    Parameters
    ----------
    parallel : Parallel
        Where it is noted.
    tasks : iterator
        The tasks.
    """

    def __init__(self, parallel: Parallel, tasks: Iterator[Task]) -> None:
        self._parallel = parallel
        self._tasks = tasks

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        try:
            return next(self._tasks)
        except StopIteration:
            self._parallel._iterating = False
            self._parallel._original_iterator = None
            raise


class Gathering:
    """
    One call in progress.

    Parameters
    ----------
    parallel : Parallel
        Whose call it is.
    engine : Engine
        What runs its tasks.
    watching : Watching
        Who watches.
    bound : int or None
        How many results of a generator may be outstanding, that which the caller has included; None: any number.
    is_free : bool
        Whether there may be more of small tasks.
    """

    def __init__(
        self, parallel: Parallel, engine: Engine, watching: Watching, bound: int | None, *, is_free: bool
    ) -> None:
        self._parallel = parallel
        self._engine = engine
        self._watching = watching if watching.is_watched else None
        self._bound = bound
        self._is_free = is_free
        self._on_error = parallel.on_error
        self._timeout = parallel.timeout
        self._began = time.monotonic()
        self._since: float | None = None
        # How many tasks a step may take while the caller waits; None where the engine takes no more than it needs.
        self._at_once: int | None = getattr(engine, "at_once", None)
        # Whether it was told that all is done.
        self.is_told = False
        self._failure: BaseException | None = None
        # By number; or in the order they came.
        self._found: dict[int, Any] = {}
        self._came: deque[Any] | None = None if parallel.return_ordered else deque()

    def listed(self, tasks: Iterator[Task], lookup: Mapping[type, Lookup]) -> list[Any]:
        """Return all results."""
        engine, found = self._engine, self._found
        if self._timeout is not None:
            return list(self.given(tasks, lookup))[1:]
        self._begin(tasks, lookup)
        with self._context():
            while (outcomes := self._step(True, None)) is not None:
                self._settle(outcomes)
        if len(found) == engine.pulled and self._on_error != "skip":
            return [found[index] for index in range(len(found))]
        return [found[index] for index in sorted(found) if found[index] is not _SKIPPED]

    def given(self, tasks: Iterator[Task], lookup: Mapping[type, Lookup]) -> Iterator[Any]:
        """Give None when the tasks have been taken on, and then one result after the other."""
        parallel = self._parallel
        self._begin(tasks, lookup)
        outcomes: list[Outcome] | None = None
        try:
            outcomes = self._step(False, self._bound)
        except Exception as error:  # noqa: BLE001 - whatever the tasks' iterator raises
            self._failure = error
        yield None
        # What went wrong so soon is raised where results are asked for, as all that goes wrong later.
        self._settle(outcomes or [])
        del outcomes
        with self._context():
            one_by_one = self._in_order() if self._came is None else self._as_they_come()
            for value in one_by_one:
                if value is not _SKIPPED:
                    parallel._nb_consumed += 1
                    yield value
                # While the next is awaited, only the caller keeps what was given.
                del value

    def _begin(self, tasks: Iterator[Task], lookup: Mapping[type, Lookup]) -> None:
        self._engine.begin(tasks, lookup)
        if self._parallel._is_cancelled:
            # Before there was anything to be cancelled.
            self._engine.cancel()

    def _in_order(self) -> Iterator[Any]:
        found, index = self._found, 0
        while True:
            while index not in found:
                # Who waits is no slow caller: the next one is late, not he.
                outcomes = self._wait(self._at_once if self._is_quick() else self._unused())
                if outcomes is None:
                    return
                self._settle(outcomes)
                del outcomes
            value = found.pop(index)
            index += 1
            self._since = None
            self._refill(index - 1)
            yield value
            del value

    def _as_they_come(self) -> Iterator[Any]:
        came, given = self._came, 0
        assert came is not None  # noqa: S101 - for mypy
        while True:
            while not came:
                outcomes = self._wait(self._at_once if self._is_quick() else self._room(given))
                if outcomes is None:
                    return
                if outcomes:
                    self._since = None
                    self._settle(outcomes)
                del outcomes
            value = came.popleft()
            self._refill(given)
            given += 1
            yield value
            del value

    def _room(self, given: int) -> int | None:
        """Return how many more tasks may be taken, `given` results being done with."""
        return None if self._bound is None else max(0, self._bound - (self._engine.pulled - given))

    def _is_quick(self) -> bool:
        """Whether tasks are small, and the caller keeps up with them."""
        lasted = time.monotonic() - self._began
        return self._is_free and lasted * self._parallel._workers < self._engine.completed * _SHORT

    def _unused(self) -> int | None:
        """Return how many more tasks may be at work."""
        at_work = self._engine.pulled - self._engine.completed
        return None if self._bound is None else max(0, self._bound - at_work)

    def _refill(self, given: int) -> None:
        """Keep the workers busy while the caller is."""
        outcomes = self._step(False, self._room(given))
        if outcomes:
            self._settle(outcomes)

    def _wait(self, limit: int | None) -> list[Outcome] | None:
        """Wait for outcomes, until the time is up."""
        if self._timeout is None:
            return self._step(True, limit)
        now = time.monotonic()
        if self._since is None:
            self._since = now
        left = self._since + self._timeout - now
        if left <= 0:
            from multiprocessing import TimeoutError as TimedOut

            raise TimedOut(
                f"A task has not ended {self._timeout} s after it was waited for: give a larger timeout=, or "
                "task_timeout= to end this task only"
            )
        return self._step(left, limit)

    def _step(self, wait: bool | float, limit: int | None) -> list[Outcome] | None:
        outcomes = self._engine.step(wait, limit)
        if outcomes is None and self._parallel._is_cancelled:
            from concurrent.futures import CancelledError

            raise CancelledError
        return outcomes

    # --- outcomes ---

    def _settle(self, outcomes: list[Outcome]) -> None:
        """Put outcomes where they are looked for."""
        if self._watching is not None:
            self._settle_watched(outcomes, self._watching)
        else:
            self._settle_unwatched(outcomes)
        if self._failure is not None:
            # Nothing that the traceback leads to may hold the exception, or both would stay until the next collection.
            outcomes.clear()
            try:
                raise self._failure
            finally:
                self._failure = None

    def _settle_unwatched(self, outcomes: list[Outcome]) -> None:
        parallel, engine = self._parallel, self._engine
        found, came = self._found, self._came
        # Nobody asked for details: there are three items each.
        for index, status, value in outcomes:
            if status == DONE:
                if came is None:
                    found[index] = value
                else:
                    came.append(value)
            else:
                self._settle_other((index, status, value))
        parallel.n_dispatched_tasks = parallel.n_dispatched_batches = engine.pulled
        parallel.n_completed_tasks = engine.completed

    def _settle_other(self, outcome: Outcome) -> None:
        index, status, value = outcome[:3]
        if status == OUTPUT:
            from retain._parallel.context import deliver

            deliver(*value)
        elif status == FAILED:
            if self._on_error == "raise":
                self._parallel._exception = True
                if self._failure is None:
                    self._failure = value
                return
            self._put(index, _SKIPPED if self._on_error == "skip" else value)

    def _put(self, index: int, value: Any) -> None:
        if self._came is None:
            self._found[index] = value
        else:
            self._came.append(value)

    def _settle_watched(self, outcomes: list[Outcome], watching: Watching) -> None:
        parallel, engine = self._parallel, self._engine
        if watching.trace is not None:
            watching.trace.outcomes(outcomes)
        for outcome in outcomes:
            parallel.n_dispatched_tasks = parallel.n_dispatched_batches = engine.pulled
            if outcome[1] == DONE:
                self._put(outcome[0], outcome[2])
            else:
                self._settle_other(outcome)
            if outcome[1] in {OUTPUT, RETRIED}:
                continue
            parallel.n_completed_tasks += 1
            if watching.callback is not None:
                watching.callback(time.time(), 1, parallel)(outcome[2])
            if watching.progress is not None:
                watching.progress()
                self.is_told = parallel._is_completed()
        if watching.bar is not None:
            watching.bar.to(parallel.n_completed_tasks, parallel.n_tasks)

    def _context(self) -> Any:
        backend = self._parallel._backend
        return backend.retrieval_context() if hasattr(backend, "retrieval_context") else _Nothing()


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass
