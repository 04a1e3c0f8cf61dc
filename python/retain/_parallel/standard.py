"""Worker processes of the standard library, for systems on which retain has none of its own: Windows."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections import OrderedDict
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from multiprocessing import spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import TYPE_CHECKING, Any
from warnings import warn

from retain._parallel.executors import ExecutorBackend
from retain._parallel.pools import thread_budget
from retain._parallel.sharing import answered, results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retain._parallel.engine import Call

# So many kinds of workers are kept warm, as of retain's own.
_MOST = 4
# Windows waits for no more processes at once.
_MOST_WORKERS = 61 if sys.platform == "win32" else sys.maxsize
_kept: OrderedDict[Any, ProcessPoolExecutor] = OrderedDict()
_guard = threading.Lock()
_starting = threading.Lock()
# The initializers that were called in this process, if it is a worker.
_initialized: set[bytes] = set()


class StandardBackend(ExecutorBackend):
    """
    Run the tasks of one call in processes that the next call finds there.

    A process that dies takes with it all that is under way: which task it died of is not told.

    Parameters
    ----------
    call : Call
    """

    def __init__(self, call: Call) -> None:
        if call.memory_limit is not None:
            warn(
                f"memory_limit is {call.memory_limit}, but it will not be used: on this system, worker processes have "
                "no limit of their own",
                UserWarning,
                stacklevel=6,
            )
        self._environment = thread_budget(call.n_jobs, call.inner_max_num_threads)
        self._n_jobs = min(call.n_jobs, _MOST_WORKERS)
        self._initializer = None
        if call.initializer is not None:
            from cloudpickle import dumps

            self._initializer = dumps((call.initializer, call.initargs))
        self._left = False
        super().__init__(self._pool())
        self.parallel = call.parallel

    @property
    def _key(self) -> tuple[Any, ...]:
        return (self._n_jobs, self._initializer, *self._environment.values())

    def _pool(self) -> ProcessPoolExecutor:
        with _guard:
            pool = _kept.get(self._key)
            if pool is None:
                context: Any = _Context(self._environment)
                pool = _kept[self._key] = ProcessPoolExecutor(self._n_jobs, context, initializer=_begin)
                while len(_kept) > _MOST:
                    _kept.popitem(last=False)[1].shutdown(wait=False)
            _kept.move_to_end(self._key)
        return pool

    def _forget(self) -> None:
        with _guard:
            if _kept.get(self._key) is self.executor:
                del _kept[self._key]

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None) -> Any:
        """Give a batch to the processes; to new ones if one of them has died."""
        func = partial(_work, self._initializer, func)
        try:
            return super().submit(func, callback)
        except RuntimeError:
            # Broken, or shut down as those of other calls were used.
            self._forget()
            self.executor = self._pool()
            return super().submit(func, callback)

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return what became of a batch."""
        return results(out.result())

    def explain(
        self, error: BaseException, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> BaseException | None:
        """Return the exception for a task that was under way when a process died, None if none did."""
        if not isinstance(error, BrokenExecutor):
            return None
        from retain._parallel.failures import called
        from retain._parallel.terminated import TerminatedWorkerError

        lost = TerminatedWorkerError(
            "A worker process managed by the executor was unexpectedly terminated while "
            f"{called(function, args, kwargs)} was under way, or a task beside it. `retries` tries such tasks again."
        )
        lost.__cause__ = error
        return lost

    def abandon(self, jobs: list[Any]) -> None:
        """Cancel what has not begun; what runs is ended with the call."""
        for job in jobs:
            self._left |= not (job.cancel() or job.done())

    def release(self) -> None:
        """Let go of the processes, which are ended if they are at something that nobody wants."""
        if self._left:
            self._left = False
            self._forget()
            processes = list((getattr(self.executor, "_processes", None) or {}).values())
            self.executor.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()


class _Context(SpawnContext):
    """Starts processes with an environment, and a number each."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self._environment = environment
        self._numbers = count()

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802 - a class there
        process = _Process(*args, **kwargs)
        process.environment = {**self._environment, "RETAIN_WORKER": str(next(self._numbers))}
        return process


class _Process(SpawnProcess):
    environment: dict[str, str]

    def start(self) -> None:
        with _starting, _settings(self.environment):
            super().start()


@contextmanager
def _settings(environment: dict[str, str]) -> Iterator[None]:
    """
    Have a process that is started here find an environment before it imports anything, and not run the main program.

    What is of ``__main__`` travels by value, so a script needs no guard. There is no other way to tell either.
    """
    here = threading.get_ident()
    told = spawn.get_preparation_data

    def plain(name: str) -> dict[str, Any]:
        data: dict[str, Any] = told(name)
        if threading.get_ident() == here:
            data.pop("init_main_from_path", None)
            data.pop("init_main_from_name", None)
        return data

    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    spawn.get_preparation_data = plain
    try:
        yield
    finally:
        spawn.get_preparation_data = told
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin() -> None:
    # Ctrl-C reaches all processes of a terminal: the program tells what becomes of these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(initializer: bytes | None, batch: Any) -> bytes:
    if initializer is not None and initializer not in _initialized:
        function, args = pickle.loads(initializer)  # noqa: S301 - of the program that this process works for
        function(*args)
        _initialized.add(initializer)
    return answered(batch)
