"""Tasks that are run by threads of this process, which take them from the iterator themselves."""

from __future__ import annotations

import os
import sys
import threading
from _queue import Empty, SimpleQueue
from contextvars import copy_context
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from retain._parallel.config import DEFAULTS, nested_config, state
from retain._parallel.engine import DONE, FAILED, RETRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from retain._parallel.engine import Call, Lookup, Outcome, Task

# After so many seconds without work a thread ends.
_IDLE = 10.0


class _Crew:
    """Threads that wait for work: to start one takes longer than a small task."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: list[_Member] = []

    def work(self, work: Callable[[int], object], number: int) -> None:
        """Have a thread call `work` with `number`."""
        with self._guard:
            member = self._waiting.pop() if self._waiting else None
        if member is None:
            member = _Member(self)
            member.given = work, number
            threading.Thread(target=member.run, name="retain", daemon=True).start()
        else:
            member.given = work, number
            member.wake.release()

    def rest(self, member: _Member) -> bool:
        """Let a thread wait for work; whether it has some."""
        with self._guard:
            self._waiting.append(member)
        if member.wake.acquire(timeout=_IDLE):
            return True
        with self._guard:
            if member in self._waiting:
                self._waiting.remove(member)
                return False
        # It was given work at the last moment.
        return member.wake.acquire()


class _Member:
    """A thread of the crew."""

    def __init__(self, crew: _Crew) -> None:
        self.crew = crew
        self.given: tuple[Callable[[int], object], int] | None = None
        self.wake = threading.Lock()
        self.wake.acquire()

    def run(self) -> None:
        while self.given is not None:
            work, number = self.given
            # What it worked for is not to be kept while it waits.
            self.given = None
            work(number)
            del work
            state.config = DEFAULTS
            if not self.crew.rest(self):
                return


_crew = _Crew()


def _forget() -> None:
    """Forget, in a forked process, the threads that only its parent has."""
    global _crew  # noqa: PLW0603 - another thread may hold its lock
    _crew = _Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class ThreadsEngine:
    """
    Runs tasks in threads.

    Each task runs in a copy of the caller's context. What is running when the call is given up goes on to its end, as
    threads cannot be stopped.

    Parameters
    ----------
    call : Call
        What is asked for.
    """

    died = timed_out = shared_bytes = 0

    def __init__(self, call: Call) -> None:
        self._retries = call.retries
        self._initializer, self._initargs = call.initializer, call.initargs
        self._detailed = call.detailed
        self._everything = call.window == sys.maxsize
        self._width = call.n_jobs if call.window is None else min(call.n_jobs, call.window)
        # Threads do not wait for the next step: while the caller waits, they may take so many tasks and no more.
        self.at_once = 32 * call.n_jobs
        self._nested = nested_config(*call.nested)
        # What came, and None where something else happened.
        self._outcomes: SimpleQueue[Outcome | None] = SimpleQueue()
        # Held where a task is taken from the iterator.
        self._turn = threading.Lock()
        # How many more tasks may be taken; None: all there are. Threads that may and have not yet are counted.
        self._gate = threading.Condition(threading.Lock())
        self._allowed: int | None = 0
        self._about_to = 0
        self._tasks: Iterator[Task] | None = None
        self._broken: BaseException | None = None
        self._given_up = False
        self.pulled = self.completed = self.retried = self.hits = self.failed = self.busy_ns = 0

    @property
    def dispatched(self) -> int:
        """How many tasks were begun."""
        return self.pulled - self.hits

    def begin(self, tasks: Iterator[Task], lookup: Mapping[type, Lookup]) -> None:
        """Take the tasks on."""
        self._tasks = iter(list(tasks)) if self._everything else tasks
        self._lookup = lookup
        self._context = copy_context()
        self._taking = self._context.copy()
        for number in range(self._width):
            _crew.work(self._work, number)

    def step(self, wait: bool | float = True, limit: int | None = None) -> list[Outcome] | None:
        """Return what came."""
        if limit is not None or self._allowed is not None:
            with self._gate:
                self._allowed = limit if limit is None else max(0, limit - self._about_to)
                if limit != 0:
                    self._gate.notify_all()
        queue = self._outcomes
        while not self._given_up:
            found = self._come()
            if found:
                return found
            if self._broken is not None:
                error, self._broken = self._broken, None
                raise error
            if self._tasks is None and self.completed == self.pulled:
                return None
            if wait is False:
                return []
            try:
                first = queue.get() if wait is True else queue.get(timeout=wait)
            except Empty:
                return []
            if first is not None:
                return self._come(first)
        return None

    def _come(self, first: Outcome | None = None) -> list[Outcome]:
        get = self._outcomes.get_nowait
        found = [] if first is None else [first]
        for _ in range(self._outcomes.qsize()):
            outcome = get()
            if outcome is not None:
                found.append(outcome)
        self.completed += sum(outcome[1] != RETRIED for outcome in found) if self._detailed else len(found)
        return found

    def cancel(self) -> None:
        """Give up the tasks that have not ended."""
        self._given_up = True
        self._stop()

    def _stop(self) -> None:
        self._tasks = None
        with self._gate:
            self._gate.notify_all()
        self._outcomes.put(None)

    # --- in the threads ---

    def _work(self, number: int) -> None:
        nested, put, copied = self._nested, self._outcomes.put, self._context.copy
        initializer = self._initializer
        while True:
            # A task may have left a configuration behind.
            state.config = nested
            task = self._take()
            if task is None:
                return
            if initializer is not None:
                try:
                    initializer(*self._initargs)
                except BaseException as error:  # noqa: BLE001 - it is raised to the caller
                    self._broken = error
                    self._stop()
                    return
                initializer = None
            index, (function, args, kwargs) = task
            look = self._lookup.get(type(function)) if self._lookup else None
            known = None if look is None else copied().run(look, function, args, kwargs)
            if known is not None:
                with self._turn:
                    self.hits += 1
                put((index, DONE, known[0], -1, 0, 0, 1) if self._detailed else (index, DONE, known[0]))
            elif self._detailed or self._retries:
                self._try(index, function, args, kwargs, number)
            else:
                try:
                    outcome = index, DONE, copied().run(function, *args, **kwargs)
                except BaseException as error:  # noqa: BLE001 - it is an outcome
                    with self._turn:
                        self.failed += 1
                    outcome = index, FAILED, error
                put(outcome)
            # Nothing of a task is kept while the next is awaited.
            del task, function, args, kwargs, known
            outcome = None  # type: ignore[assignment]

    def _take(self) -> tuple[int, Task] | None:
        """Take a task from the iterator, when it is this thread's turn; None if there is no more."""
        is_counted = self._allowed is not None
        if is_counted:
            with self._gate:
                while self._allowed == 0 and self._tasks is not None:
                    self._gate.wait()
                if self._allowed is not None:
                    self._allowed -= 1
                self._about_to += 1
        with self._turn:
            tasks = self._tasks
            try:
                if tasks is None:
                    return None
                task = self._taking.run(next, tasks)
                index = self.pulled
                self.pulled = index + 1
            except StopIteration:
                self._stop()
                return None
            except BaseException as error:  # noqa: BLE001 - it is raised to the caller
                self._broken = error
                self._stop()
                return None
            finally:
                if is_counted:
                    with self._gate:
                        self._about_to -= 1
        return index, task

    def _try(self, index: int, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], number: int) -> None:
        """Run a task as often as it may be tried."""
        attempt = 1
        while True:
            started = perf_counter_ns()
            try:
                status, value = DONE, self._context.copy().run(function, *args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is an outcome
                status, value = FAILED, error
            ended = perf_counter_ns()
            if status == FAILED and attempt <= self._retries and not self._given_up:
                status = RETRIED
            with self._turn:
                self.busy_ns += ended - started
                self.retried += status == RETRIED
                self.failed += status == FAILED
            if self._detailed:
                self._outcomes.put((index, status, value, number, started, ended, attempt))
            elif status != RETRIED:
                self._outcomes.put((index, status, value))
            if status != RETRIED:
                return
            attempt += 1
