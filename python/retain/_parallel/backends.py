"""Who runs tasks: the backends that are retain's own, and what others are made from."""

from __future__ import annotations

import os
import sys
import threading
from abc import ABCMeta, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from warnings import warn

from retain._parallel.batching import NO_JOBS, AutoBatchingMixin, PoolManagerMixin
from retain._parallel.cores import THREAD_VARIABLES, cpu_count, multiprocessing_allowed
from retain._parallel.engine import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from retain._parallel.engine import Engine

_FROM_OUTSIDE = ("submit", "apply_async", "_get_pool", "retrieve_result_callback", "retrieve_result")


class FallbackToBackend(Exception):  # noqa: N818 - joblib's name
    """
    Raised by `configure` where another backend shall be used.

    Parameters
    ----------
    backend : backend
        The other.
    """

    def __init__(self, backend: Any) -> None:
        self.backend = backend


class ParallelBackendBase(metaclass=ABCMeta):
    """
    What runs tasks: the base of all backends.

    A backend of one's own gives `effective_n_jobs` and `submit`, and `retrieve_result_callback` together with
    ``supports_retrieve_callback = True``.

    Parameters
    ----------
    nesting_level : int, optional
        How many `Parallel` it is inside of.
    inner_max_num_threads : int, optional
        How many threads the libraries in a worker process may use.
    **backend_kwargs
        Kept for `configure`.
    """

    default_n_jobs = 1
    supports_inner_max_num_threads = False
    supports_retrieve_callback = False
    supports_sharedmem = False
    uses_threads = False
    # Whether the tasks run on other machines, or in processes of others: then also if there is one job.
    runs_elsewhere = False
    # Whether it does as `task_timeout` says.
    limits_tasks = False
    nesting_level: int | None = None
    inner_max_num_threads: int | None = None
    parallel: Any = None

    MAX_NUM_THREADS_VARS: ClassVar[list[str]] = list(THREAD_VARIABLES)
    TBB_ENABLE_IPC_VAR = "ENABLE_IPC"

    def __init__(
        self, nesting_level: int | None = None, inner_max_num_threads: int | None = None, **backend_kwargs: Any
    ) -> None:
        super().__init__()
        self.nesting_level = nesting_level
        self.inner_max_num_threads = inner_max_num_threads
        self.backend_kwargs = backend_kwargs

    @property
    def supports_return_generator(self) -> bool:
        """Whether results can be given as they come."""
        return self.supports_retrieve_callback

    @property
    def supports_timeout(self) -> bool:
        """Whether a task can be waited for a limited time."""
        return self.supports_retrieve_callback

    @abstractmethod
    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once where so many are asked for; -1 asks for as many as there can be."""

    def apply_async(self, func: Callable[[], Any], callback: Callable[..., Any] | None = None) -> Any:
        """Do what `submit` does; the older name."""
        raise NotImplementedError("Implement `submit` instead.")

    def submit(self, func: Callable[[], Any], callback: Callable[..., Any] | None = None) -> Any:
        """
        Schedule a function.

        Parameters
        ----------
        func : callable
            To be called without arguments.
        callback : callable, optional
            To be called with what the function came to, or with the future.

        Returns
        -------
        object
            A future, or the like of it.
        """
        warn("`apply_async` is deprecated, implement and use `submit` instead.", DeprecationWarning, stacklevel=2)
        return self.apply_async(func, callback)

    def retrieve_result_callback(self, out: Any) -> Any:  # noqa: B027 - optional
        """Return the result from what the callback was called with, or raise what the function raised."""

    def retrieve_result(self, out: Any, timeout: float | None = None) -> Any:
        """Return the result from what `submit` returned, or raise what the function raised."""
        return out.get(timeout=timeout) if self.supports_timeout else out.get()

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: Any = None,  # noqa: ARG002 - for subclasses
        require: Any = None,  # noqa: ARG002
        **backend_kwargs: Any,  # noqa: ARG002
    ) -> int:
        """Make ready for calls of a `Parallel`, and return how many tasks will run at once."""
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def start_call(self) -> None:  # noqa: B027 - optional
        """Be told that a call begins."""

    def stop_call(self) -> None:  # noqa: B027 - optional
        """Be told that a call has ended."""

    def terminate(self) -> None:  # noqa: B027 - optional
        """Let go of the workers."""

    def compute_batch_size(self) -> int:
        """Return how many tasks are to be submitted together."""
        return 1

    def batch_completed(self, batch_size: int, duration: float) -> None:  # noqa: B027 - optional
        """Be told how long a batch took."""

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: B027 - optional
        """Give up all tasks; `ensure_ready` asks to be ready for others."""

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Return the backend, and the number of jobs, of a `Parallel` inside a task: threads, and below these none."""
        level = (self.nesting_level or 0) + 1
        if level > 1:
            return SequentialBackend(nesting_level=level), None
        return ThreadingBackend(nesting_level=level), None

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Surround the wait for results."""
        yield

    @staticmethod
    def in_main_thread() -> bool:
        """Whether this is the main thread."""
        return threading.current_thread() is threading.main_thread()

    def _prepare_worker_env(self, n_jobs: int) -> dict[str, str]:
        """Return the environment that keeps libraries in `n_jobs` processes from using more threads than there are."""
        from retain._parallel.pools import thread_budget

        return dict(thread_budget(n_jobs, self.inner_max_num_threads))

    def engine(self, call: Call) -> Engine:
        """Return what runs the tasks of one call."""
        from retain._parallel.foreign import ForeignEngine

        return ForeignEngine(self, call)

    def _submits_as(self, own: type) -> bool:
        """Whether no subclass has changed how tasks are submitted, so that they may go a faster way."""
        kind = type(self)
        return kind is own or all(getattr(kind, name, None) is getattr(own, name, None) for name in _FROM_OUTSIDE)


class SequentialBackend(ParallelBackendBase):
    """Runs one task after the other, where it is called."""

    uses_threads = True
    supports_sharedmem = True

    @property
    def supports_timeout(self) -> bool:
        """A task that is running cannot be left."""
        return False

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return 1."""
        if n_jobs == 0:
            raise ValueError(NO_JOBS)
        return 1

    def submit(self, func: Callable[[], Any], callback: Callable[..., Any] | None = None) -> Any:  # noqa: ARG002
        """Refuse: tasks are called."""
        raise RuntimeError("Should never be called for SequentialBackend.")

    def retrieve_result_callback(self, out: Any) -> Any:  # noqa: ARG002
        """Refuse: tasks are called."""
        raise RuntimeError("Should never be called for SequentialBackend.")

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Return what holds here: no level was entered."""
        from retain._parallel.config import get_active_backend

        return get_active_backend()


class ThreadingBackend(PoolManagerMixin, ParallelBackendBase):
    """Runs tasks in threads of this process."""

    supports_retrieve_callback = True
    uses_threads = True
    supports_sharedmem = True
    _initializer: tuple[Any, tuple[Any, ...]] = None, ()

    def configure(  # type: ignore[override]  # these are heeded when a backend is chosen
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        **backend_kwargs: Any,
    ) -> int:
        """Make ready."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level, **self.backend_kwargs))
        options = {**self.backend_kwargs, **backend_kwargs}
        self._initializer = options.get("initializer"), tuple(options.get("initargs") or ())
        self.parallel = parallel
        self._n_jobs = n_jobs
        return n_jobs

    def _get_pool(self) -> Any:
        # For subclasses that submit in a way of their own.
        if self._pool is None:
            from multiprocessing.pool import ThreadPool

            self._pool = ThreadPool(self._n_jobs)
        return self._pool

    def engine(self, call: Call) -> Engine:
        """Return what runs the tasks of one call."""
        if not self._submits_as(ThreadingBackend):
            return super().engine(call)
        from retain._parallel.threads import ThreadsEngine

        initializer, initargs = self._initializer
        return ThreadsEngine(call._replace(initializer=initializer, initargs=initargs))


class _ProcessesBackend(AutoBatchingMixin, ParallelBackendBase):
    """What the backends of processes share."""

    supports_retrieve_callback = True
    _workers: Any = None
    # Processes of the standard library, where there are none of retain's own.
    _standard: Any = None
    _options: dict[str, Any]
    limits_tasks = True

    def _check_options(self, options: dict[str, Any]) -> None:
        """Refuse options that are misunderstood."""

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: Any = None,  # noqa: ARG002 - it was heeded when the backend was chosen
        require: Any = None,  # noqa: ARG002
        idle_worker_timeout: float | None = None,
        **backend_kwargs: Any,
    ) -> int:
        """Make ready."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level, **self.backend_kwargs))
        options = {**self.backend_kwargs, **backend_kwargs}
        self._check_options(options)
        if idle_worker_timeout is not None:
            options["idle_worker_timeout"] = idle_worker_timeout
        self._options = options
        self._workers = _Workers()
        self.parallel = parallel
        return n_jobs

    def terminate(self) -> None:
        """Let go of the workers, which stay for the next call."""
        self._release()
        self._workers = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Be done with the workers that had tasks; the engine has ended them."""
        self._release()
        self._workers = _Workers() if ensure_ready else None

    def _release(self) -> None:
        standard, self._standard = self._standard, None
        if standard is not None:
            standard.release()

    def engine(self, call: Call) -> Engine:
        """Return what runs the tasks of one call."""
        own = MultiprocessingBackend if isinstance(self, MultiprocessingBackend) else LokyBackend
        if not self._submits_as(own):
            return super().engine(call)
        call = self._told(call, self._options)
        if not _has_workers():
            from retain._parallel.standard import StandardBackend

            self._release()
            self._standard = StandardBackend(call)
            return self._standard.engine(call)  # type: ignore[no-any-return]
        from retain._parallel.pools import pool_of
        from retain._parallel.processes import engine

        found: Engine = engine(call, pool_of(call))
        return found

    def prepare(self, parallel: Any) -> None:
        """Start the workers while the program is getting its tasks ready."""
        from retain._parallel import config

        n_jobs = parallel.n_jobs if parallel.n_jobs > 0 else cpu_count() + 1 + parallel.n_jobs
        own = MultiprocessingBackend if isinstance(self, MultiprocessingBackend) else LokyBackend
        if n_jobs < 2 or self.nesting_level or config.worker_of is not None or not self._submits_as(own):
            return
        if not _has_workers():
            return
        from retain._parallel.pools import pool_of

        call = Call(n_jobs=n_jobs, nested=(None, None), memory_limit=parallel.memory_limit)
        try:
            pool_of(self._told(call, {**self.backend_kwargs, **parallel._backend_kwargs}))
        except Exception:  # noqa: BLE001, S110 - what is wrong is told by the call, if there is one
            pass

    def _told(self, call: Call, options: dict[str, Any]) -> Call:
        """Return a call with what the backend was told."""
        return call._replace(
            initializer=options.get("initializer"),
            initargs=tuple(options.get("initargs") or ()),
            idle=options.get("idle_worker_timeout") or 300.0,
            inner_max_num_threads=self.inner_max_num_threads,
            spawns=_spawns(options.get("context")),
            kind=type(self).__name__,
        )


class _Workers:
    """Stands for workers that were got ready together; what becomes of them is the pool's business."""

    def close(self) -> None:
        """Do nothing."""

    def terminate(self) -> None:
        """Do nothing."""


def _has_workers() -> bool:
    """Whether there are worker processes of retain's own on this system."""
    from retain import _retain

    return hasattr(_retain, "Pool")


def _spawns(context: Any) -> bool:
    """Whether a context of multiprocessing asks for new interpreters; all others mean what is best here."""
    if context is None:
        return False
    if not hasattr(context, "get_start_method"):
        raise TypeError(
            f"context is {context!r}, but it must be a context of multiprocessing, such as "
            "multiprocessing.get_context('spawn')"
        )
    return bool(context.get_start_method() == "spawn")


def _is_daemon() -> bool:
    """Whether this is a process that may have no children."""
    from retain._parallel import config

    if config.worker_of == "MultiprocessingBackend":
        return True
    if "multiprocessing.process" not in sys.modules:
        return False
    # Another thread may be about to import it: the statement waits for that.
    from multiprocessing.process import current_process

    return bool(current_process().daemon)


def _one_job(n_jobs: int | None, message: str) -> int:
    if n_jobs != 1:
        if inside_dask_worker():
            message = (
                "Inside a Dask worker with daemon=True, setting n_jobs=1.\nPossible work-arounds:\n"
                "- dask.config.set({'distributed.worker.daemon': False})\n"
                "- set the environment variable DASK_DISTRIBUTED__WORKER__DAEMON=False\n"
                "before creating your Dask cluster."
            )
        warn(message, UserWarning, stacklevel=4)
    return 1


class MultiprocessingBackend(PoolManagerMixin, _ProcessesBackend):
    """Runs tasks in worker processes, which have no children."""

    @staticmethod
    def default_context() -> Any:
        """Return the context that says how processes are started, as joblib's users set it."""
        import multiprocessing

        return multiprocessing.get_context(os.environ.get("JOBLIB_START_METHOD", "").strip() or None)

    @property
    def supports_return_generator(self) -> bool:
        """As in joblib."""
        return False

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once: one, with a warning, inside a worker or below threads."""
        from retain._parallel import config

        if not multiprocessing_allowed():
            return 1
        if _is_daemon():
            return _one_job(n_jobs, "Multiprocessing-backed parallel loops cannot be nested, setting n_jobs=1")
        if config.worker_of is not None:
            return _one_job(
                n_jobs, "Multiprocessing-backed parallel loops cannot be nested, below loky, setting n_jobs=1"
            )
        if not (self.nesting_level == 0 or self.in_main_thread()):
            return _one_job(
                n_jobs, "Multiprocessing-backed parallel loops cannot be nested below threads, setting n_jobs=1"
            )
        return super().effective_n_jobs(n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **backend_kwargs: Any) -> int:  # type: ignore[override]
        """Make ready."""
        n_jobs = _ProcessesBackend.configure(self, n_jobs, parallel, **backend_kwargs)
        self._pool = self._workers
        return n_jobs

    def terminate(self) -> None:
        """Let go of the workers, which stay for the next call."""
        super().terminate()
        _ProcessesBackend.terminate(self)


class LokyBackend(_ProcessesBackend):
    """Runs tasks in worker processes that are kept for the next call: the default."""

    supports_inner_max_num_threads = True

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once: one, with a warning, in a daemonic process or below threads."""
        if n_jobs == 0:
            raise ValueError(NO_JOBS)
        if n_jobs is None or not multiprocessing_allowed():
            return 1
        if _is_daemon():
            return _one_job(
                n_jobs, "Loky-backed parallel loops cannot be called in a multiprocessing, setting n_jobs=1"
            )
        if not (self.nesting_level == 0 or self.in_main_thread()):
            return _one_job(n_jobs, "Loky-backed parallel loops cannot be nested below threads, setting n_jobs=1")
        return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def _check_options(self, options: dict[str, Any]) -> None:
        if "timeout" in options:
            raise ValueError(
                "The 'timeout' parameter is not supported by the LokyBackend. "
                "Please use the `idle_worker_timeout` parameter instead."
            )
        depth = int(os.environ.get("RETAIN_DEPTH", "0"))
        most = int(os.environ.get("LOKY_MAX_DEPTH", "10"))
        if depth >= most:
            raise RuntimeError(
                f"Processes are nested {depth} deep, which is the most that LOKY_MAX_DEPTH={most} allows. Use n_jobs=1 "
                "or backend='threading' in the inner calls"
            )


def inside_dask_worker() -> bool:
    """Whether this is called by a task of dask."""
    get_worker = getattr(sys.modules.get("distributed"), "get_worker", None)
    if get_worker is None:
        return False
    try:
        get_worker()
    except ValueError:
        return False
    return True
