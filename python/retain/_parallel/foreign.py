"""The engine over any backend in joblib's manner: executors, clusters, and what users register."""

from __future__ import annotations

import math
import time
from collections import deque
from contextlib import suppress
from functools import partial
from itertools import islice
from multiprocessing import TimeoutError as TaskTimeoutError
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from retain._parallel.batches import Answer, BatchedCalls, Guarded
from retain._parallel.callbacks import completion_callback
from retain._parallel.engine import DONE, FAILED, RETRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from retain._parallel.engine import Call, Lookup, Outcome, Task

_HITS = 64  # tasks that a step may answer by a lookup before it lets its caller have them
_HIT = -1  # the worker of such tasks
_WAKE = 0, False, None  # no batch has the number 0


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

    # It makes the callbacks that programs put in retain.parallel.
    calls_back = True

    def __init__(self, backend: Any, call: Call) -> None:
        self._backend = backend
        self._call = call
        # A task that may be given up, or tried again by itself, goes alone.
        alone = call.task_timeout is not None
        self._fixed_size = 1 if alone else call.batch_size
        self._window = 2 * call.n_jobs if call.window is None else call.window
        self._slots = 1
        self._freed = 0  # of the batches that were sent, those that are done and have their result not yet
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
        self._on_pickling: Callable[[], object] | None = None
        self._answers: SimpleQueue[tuple[int, bool, Any]] = SimpleQueue()
        self._retriever: _Retriever | None = None
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

    @property
    def shared_bytes(self) -> int:
        """Bytes that the backend sent once for many tasks."""
        return int(getattr(self._backend, "shared_bytes", 0))

    def begin(self, tasks: Iterator[Task], lookup: Mapping[type, Lookup]) -> None:
        """Take the tasks on."""
        self._tasks = tasks
        self._lookup = lookup
        self._slots = max(math.ceil(self._window / self._size()), min(self._window, self._call.n_jobs), 1)
        workers = getattr(self._backend, "workers", None)
        if self._call.task_timeout is not None or (workers is not None and workers() > self._call.n_jobs):
            # No more at once than was asked for, whatever the backend could do; and where a task's time counts, none
            # that waits behind another.
            self._slots = min(self._slots, self._call.n_jobs)
        manager = getattr(getattr(self._backend, "_workers", None), "_temp_folder_manager", None)
        if manager is not None:
            # joblib's loky: the folder of large arrays is to be this call's, which removes it.
            self._on_pickling = partial(manager.set_current_context, self._call.parallel._id)
        if not getattr(self._backend, "supports_retrieve_callback", False):
            self._retriever = _Retriever(self._backend, self._answers)

    def step(self, wait: bool | float = True, limit: int | None = None) -> list[Outcome] | None:
        """Go on, and return the outcomes that came; None when there are no more."""
        until = math.inf if wait is True else time.monotonic() + wait
        allowed = math.inf if limit is None else self.pulled + limit
        while True:
            self._fill(allowed)
            self._collect(until if not self._ready else 0.0)
            if self._ready and not self._cancelled:
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
        if self._cancelled:
            return
        self._cancelled = self._exhausted = True
        # Another thread may be in `step`: what it holds is not changed, but left behind.
        sent, self._sent = self._sent, {}
        self._cut, self._again = deque(), deque()
        self._abandon([each.job for each in list(sent.values())])
        self._end()
        self._answers.put(_WAKE)

    def _end(self) -> None:
        self._tasks = iter(())
        if self._retriever is not None:
            self._retriever.end()

    # --- sending --------------------------------------------------------------------------------------------------

    def _size(self) -> int:
        return max(self._fixed_size or self._backend.compute_batch_size(), 1)

    def _fill(self, allowed: float) -> None:
        while not self._cancelled and len(self._ready) < _HITS:
            if self._sent and len(self._sent) - self._freed + len(self._given_up) >= self._slots:
                return
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
        if not self.completed:
            # What is sent before the first result is no more than the window.
            size = min(size, max(self._window // jobs, 1))
        # The next batches of all workers are taken at once: if the tasks end with them, they are made smaller.
        may_shrink = size > 1 and self._fixed_size is None
        taken, is_last = self._take(int(min(size * jobs if may_shrink else size, allowed - self.pulled)))
        if is_last and may_shrink:
            size = max(len(taken) // (10 * jobs), 1)
        self._cut.extend(taken[start : start + size] for start in range(0, len(taken), size))
        return self._cut.popleft() if self._cut else []

    def _take(self, wanted: int) -> tuple[list[_Task], bool]:
        """Take tasks from the iterator; return those that are to be run, and whether the iterator has ended."""
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
        is_last = count < wanted
        self._exhausted = self._exhausted or is_last
        return taken, is_last

    def _send(self, batch: list[_Task]) -> None:
        for task in batch:
            task.attempts += 1
        number = self._numbers = self._numbers + 1
        sent = self._sent[number] = _Sent(batch)
        items = [(Guarded(task.function), task.args, task.kwargs) for task in batch]
        self.dispatched += len(batch)
        answers = self._answers
        callback = completion_callback()(time.time(), len(batch), self._call.parallel)
        callback.receive = lambda out=None: answers.put((number, True, out))
        try:
            job = self._backend.submit(BatchedCalls(items, self._call.nested, self._on_pickling), callback=callback)
        except Exception as error:  # noqa: BLE001 - an outcome of its tasks, as if it had come later
            answers.put((number, False, error))
            return
        sent.job = job
        if self._cancelled:
            self._abandon([job])
        elif self._retriever is not None:
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
                deadline = min(until, self._next_deadline())
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
            self._freed += not sent.freed
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
        self._drop(number)
        if not good:
            self._fail(sent.batch, out)
            return
        self._backend.batch_completed(len(sent.batch), time.monotonic() - sent.at)
        for task, answer in zip(sent.batch, out, strict=True):
            self._answer(task, answer)

    def _drop(self, number: int) -> None:
        self._freed -= self._sent.pop(number).freed

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

    def _next_deadline(self) -> float:
        limit = self._call.task_timeout
        if limit is None:
            return math.inf
        return min((sent.at + limit for sent in self._sent.values()), default=math.inf)

    def _give_up(self, now: float) -> None:
        limit = self._call.task_timeout
        if limit is None:
            return
        for number, sent in list(self._sent.items()):
            if now >= sent.at + limit:
                self._drop(number)
                self._given_up.add(number)
                self._abandon([sent.job])
                self.timed_out += 1
                [task] = sent.batch
                error = TaskTimeoutError(f"{task} took longer than task_timeout={limit:g} seconds")
                start = time.monotonic_ns() - int((now - sent.at) * 1e9)
                self._failed(task, error, 0, start, time.monotonic_ns())

    def _abandon(self, jobs: list[Any]) -> None:
        """Give up what was sent: what has not begun, and what runs if the backend can end it."""
        jobs = [job for job in jobs if job is not None]
        abandon = getattr(self._backend, "abandon", None)
        if abandon is not None:
            abandon(jobs)
            return
        for job in jobs:
            # Not every job can be cancelled, and each says so in its own way.
            with suppress(Exception):
                job.cancel()


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

        named: str = failures.called(self.function, self.args, self.kwargs)
        return named


class _Sent:
    __slots__ = ("at", "batch", "freed", "job")

    def __init__(self, batch: list[_Task]) -> None:
        self.batch = batch
        self.job: Any = None
        self.at = time.monotonic()
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
