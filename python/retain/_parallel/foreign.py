"""The engine over any backend in joblib's manner: executors, clusters, and what users register."""

from __future__ import annotations

import math
import time
from collections import deque
from contextlib import ExitStack
from itertools import islice
from multiprocessing import TimeoutError as TaskTimeoutError
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from retain._parallel.batches import Answer, BatchedCalls, Guarded
from retain._parallel.engine import DONE, FAILED, RETRIED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from retain._parallel.engine import Call, Lookup, Outcome, Task

_HITS = 64  # tasks that a step may answer by a lookup before it lets its caller have them
_HIT = -1  # the worker of such tasks


class ForeignEngine:
    """
    Run tasks through a backend that knows nothing of retain's engines.

    Tasks are taken from the iterator, and outcomes handled, by the thread that calls `step`. What other threads call
    when a batch is done only puts it into a queue.

    Parameters
    ----------
    backend : ParallelBackendBase
        retain's or joblib's.
    call : Call
    """

    def __init__(self, backend: Any, call: Call) -> None:
        self._backend = backend
        self._call = call
        # A task that may be given up, or tried again by itself, goes alone.
        alone = call.task_timeout is not None
        self._fixed_size = 1 if alone else call.batch_size
        self._stops = not call.retries
        self._slots: float = math.inf
        self._tasks: Iterator[Task] = iter(())
        self._lookup: Mapping[type, Lookup] = {}
        self._exhausted = False
        self._cancelled = False
        self._cut: deque[list[_Task]] = deque()  # batches that were taken from the iterator with others
        self._again: deque[_Task] = deque()
        self._ready: list[Outcome] = []
        self._sent: dict[int, _Sent] = {}  # in the order in which they were sent
        self._given_up: set[int] = set()  # timed out, but they keep their worker until they end
        self._numbers = 0
        self._answers: SimpleQueue[tuple[int, bool, Any]] = SimpleQueue()
        self._retriever: _Retriever | None = None
        self._within = ExitStack()
        self._entered = False
        self._workers: dict[tuple[Any, ...], int] = {}
        self._clock = time.monotonic_ns() - time.time_ns()
        self.pulled = 0
        self.dispatched = 0
        self.completed = 0
        self.retried = 0
        self.hits = 0
        self.failed = 0
        self.died = 0
        self.timed_out = 0
        self.busy_ns = 0

    def begin(self, tasks: Iterator[Task], lookup: Mapping[type, Lookup]) -> None:
        """Take the tasks on."""
        self._tasks = tasks
        self._lookup = lookup
        window = self._call.window
        if window is not None:
            self._slots = max(math.ceil(window / self._size()), min(window, self._call.n_jobs), 1)
        if not getattr(self._backend, "supports_retrieve_callback", False):
            self._retriever = _Retriever(self._backend, self._answers)

    def step(self, wait: bool | float = True, limit: int | None = None) -> list[Outcome] | None:
        """Go on, and return the outcomes that came; None when there are no more."""
        if not self._entered:
            self._entered = True
            self._within.enter_context(self._backend.retrieval_context())
        until = math.inf if wait is True else time.monotonic() + wait
        allowed = math.inf if limit is None else self.pulled + limit
        while True:
            self._fill(allowed)
            self._collect(until if not self._ready else 0.0)
            if self._ready:
                found, self._ready = self._ready, []
                return found
            if self._exhausted and not (self._sent or self._cut or self._again):
                self._end()
                return None
            if self._cancelled:
                return None
            if time.monotonic() >= until or (not self._sent and self.pulled >= allowed):
                return []

    def cancel(self) -> None:
        """Give up the tasks that have not ended."""
        self._cancelled = self._exhausted = True
        self._cut.clear()
        self._again.clear()
        for sent in self._sent.values():
            _cancel(sent.job)
        self._sent.clear()
        self._end()

    def _end(self) -> None:
        if self._retriever is not None:
            self._retriever.end()
        self._within.close()

    # --- sending --------------------------------------------------------------------------------------------------

    def _size(self) -> int:
        return max(self._fixed_size or self._backend.compute_batch_size(), 1)

    def _fill(self, allowed: float) -> None:
        while len(self._sent) < self._slots and len(self._ready) < _HITS:
            batch = self._next(allowed)
            if batch is None:
                return
            if batch:
                self._send(batch)

    def _next(self, allowed: float) -> list[_Task] | None:
        """Return the next batch; an empty one if its tasks were all answered, None if there is none."""
        if self._again:
            return [self._again.popleft()]
        if self._cut:
            return self._cut.popleft()
        if self._exhausted or self.pulled >= allowed:
            return None
        size = self._size()
        jobs = max(self._call.n_jobs, 1)
        window = self._call.window
        if window is not None and not self.completed:
            # What is sent before the first result is no more than the window.
            size = min(size, max(window // jobs, 1))
        # The next batches of all workers are taken at once: if the tasks end with them, they are made smaller.
        wanted = int(min(1 if size == 1 else size * jobs, allowed - self.pulled))
        taken = self._take(wanted)
        if len(taken) < wanted and self._exhausted and size > 1:
            size = max(len(taken) // (10 * jobs), 1)
        self._cut.extend(taken[start : start + size] for start in range(0, len(taken), size))
        return self._cut.popleft() if self._cut else []

    def _take(self, wanted: int) -> list[_Task]:
        taken = []
        count = 0
        for function, args, kwargs in islice(self._tasks, wanted):
            index = self.pulled
            self.pulled += 1
            count += 1
            look = self._lookup.get(type(function)) if self._lookup else None
            found = None if look is None else look(function, args, kwargs)
            if found is None:
                taken.append(_Task(index, function, args, kwargs))
            else:
                self.hits += 1
                self.completed += 1
                now = time.monotonic_ns()
                self._give(index, DONE, found[0], _HIT, now, now, 0)
        if count < wanted:
            self._exhausted = True
        return taken

    def _send(self, batch: list[_Task]) -> None:
        for task in batch:
            task.attempts += 1
        number = self._numbers = self._numbers + 1
        sent = self._sent[number] = _Sent(batch)
        items = [(Guarded(task.function, stops=self._stops), task.args, task.kwargs) for task in batch]
        self.dispatched += len(batch)
        answers = self._answers

        def done(out: Any = None) -> None:
            answers.put((number, True, out))

        try:
            job = self._backend.submit(BatchedCalls(items, self._call.nested), callback=done)
        except Exception as error:  # noqa: BLE001 - an outcome of its tasks, as if it had come later
            answers.put((number, False, error))
            return
        sent.job = job
        if self._retriever is not None:
            self._retriever.put(number, job)
        elif (watch := getattr(job, "add_done_callback", None)) is not None:
            # Backends have forgotten to tell of failures.
            watch(lambda future: _tell_failure(answers, number, future))

    # --- receiving ------------------------------------------------------------------------------------------------

    def _collect(self, until: float) -> None:
        """Handle the answers that are there; without any, wait for one."""
        arrived = False
        while not self._cancelled:
            try:
                answer = self._answers.get_nowait()
            except Empty:
                if arrived or not self._sent:
                    return
                now = time.monotonic()
                deadline = min(until, self._next_deadline(now))
                if deadline <= now:
                    self._give_up(now)
                    return
                try:
                    answer = self._answers.get(timeout=None if deadline == math.inf else deadline - now)
                except Empty:
                    self._give_up(time.monotonic())
                    return
            arrived = True
            self._handle(*answer)

    def _handle(self, number: int, good: bool, out: Any) -> None:
        self._given_up.discard(number)
        sent = self._sent.get(number)
        if sent is None:
            return
        if good and self._retriever is not None:
            # Its result comes from the retriever, when all before it have come.
            if not sent.freed:
                sent.freed = True
            return
        if good:
            try:
                out = self._backend.retrieve_result_callback(out)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                good, out = False, error
        elif isinstance(out, _Retrieved):
            good, out = True, out.value
        del self._sent[number]
        if not good:
            self._fail(sent.batch, out)
            return
        self._backend.batch_completed(len(sent.batch), time.monotonic() - sent.at)
        for task, answer in zip(sent.batch, out, strict=False):
            self._answer(task, answer)
        # Those behind a failure, when nothing is to be tried again, were left out.

    def _answer(self, task: _Task, answer: Answer) -> None:
        self.busy_ns += answer.lasted
        started = answer.started + self._clock
        worker = self._workers.setdefault(answer.worker, len(self._workers))
        if answer.status == DONE:
            self.completed += 1
            self._give(task.index, DONE, answer.value, worker, started, started + answer.lasted, task.attempts)
        else:
            self._failed(task, answer.value.error, worker, started, started + answer.lasted)

    def _fail(self, batch: list[_Task], error: Any) -> None:
        """Handle a batch that has no answers."""
        if not isinstance(error, BaseException):
            error = RuntimeError(f"{type(self._backend).__name__} lost a batch of {len(batch)} tasks: {error!r}")
        explain = getattr(self._backend, "explain", None)
        now = time.monotonic_ns()
        for task in batch:
            died = None if explain is None else explain(error, task.function, task.args, task.kwargs)
            self.died += died is not None
            self._failed(task, died or error, 0, now, now)

    def _failed(self, task: _Task, error: BaseException, worker: int, started: int, ended: int) -> None:
        if task.attempts <= self._call.retries and not self._cancelled:
            self.retried += 1
            self._again.append(task)
            if self._call.detailed:
                self._give(task.index, RETRIED, error, worker, started, ended, task.attempts)
            return
        self.failed += 1
        self.completed += 1
        self._give(task.index, FAILED, error, worker, started, ended, task.attempts)

    def _give(self, index: int, status: int, value: Any, *details: int) -> None:
        self._ready.append((index, status, value, *details) if self._call.detailed else (index, status, value))

    # --- time-outs of tasks ---------------------------------------------------------------------------------------

    def _running(self) -> list[tuple[int, _Sent]]:
        """Return the batches that run, as far as can be told: those sent first, as many as there are workers."""
        free = max(self._call.n_jobs - len(self._given_up), 1)
        return list(islice(self._sent.items(), free))

    def _next_deadline(self, now: float) -> float:
        limit = self._call.task_timeout
        if limit is None:
            return math.inf
        for _, sent in self._running():
            sent.runs_since = sent.runs_since or now
        return min((sent.runs_since + limit for _, sent in self._running()), default=math.inf)

    def _give_up(self, now: float) -> None:
        limit = self._call.task_timeout
        if limit is None:
            return
        for number, sent in self._running():
            if sent.runs_since and now >= sent.runs_since + limit:
                del self._sent[number]
                if not _cancel(sent.job):
                    self._given_up.add(number)
                abandon = getattr(self._backend, "abandon", None)
                if abandon is not None and sent.job is not None:
                    abandon(sent.job)
                self.timed_out += 1
                [task] = sent.batch
                error = TaskTimeoutError(f"{task} took longer than task_timeout={limit:g} seconds")
                start = time.monotonic_ns() - int((now - sent.runs_since) * 1e9)
                self._failed(task, error, 0, start, time.monotonic_ns())


class _Task:
    __slots__ = ("args", "attempts", "function", "index", "kwargs")

    def __init__(self, index: int, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.index = index
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.attempts = 0

    def __str__(self) -> str:
        from retain._parallel import failures

        return failures.called(self.function, self.args, self.kwargs)


class _Sent:
    __slots__ = ("at", "batch", "freed", "job", "runs_since")

    def __init__(self, batch: list[_Task]) -> None:
        self.batch = batch
        self.job: Any = None
        self.at = time.monotonic()
        self.runs_since = 0.0
        self.freed = False


class _Retrieved:
    """A result that the retriever brought."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Retriever:
    """
    Waits for the jobs of backends whose callback does not bring the result, one after another.

    Such a backend need not call back for a failure at all. So each job's result is asked for, in the order of
    submission, on a thread of its own: the caller's can be interrupted meanwhile.
    """

    def __init__(self, backend: Any, answers: SimpleQueue[tuple[int, bool, Any]]) -> None:
        self._backend = backend
        self._answers = answers
        self._jobs: SimpleQueue[tuple[int, Any] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def put(self, number: int, job: Any) -> None:
        self._jobs.put((number, job))
        if self._thread is None:
            self._thread = Thread(target=self._run, name="retain-retrieve", daemon=True)
            self._thread.start()

    def end(self) -> None:
        self._jobs.put(None)

    def _run(self) -> None:
        while (each := self._jobs.get()) is not None:
            number, job = each
            try:
                value: Any = _Retrieved(self._backend.retrieve_result(job))
            except BaseException as error:  # noqa: BLE001 - an outcome of its tasks
                value = error
            self._answers.put((number, False, value))


def _tell_failure(answers: SimpleQueue[tuple[int, bool, Any]], number: int, future: Any) -> None:
    try:
        error = future.exception()
    except BaseException as found:  # noqa: BLE001 - cancelled
        error = found
    if error is not None:
        answers.put((number, False, error))


def _cancel(job: Any) -> bool:
    """Cancel a job that has not begun; False if it goes on, or if its backend cannot tell."""
    try:
        return bool(job.cancel())
    except Exception:  # noqa: BLE001 - not every job can be cancelled, and each says so in its own way
        return False
