"""`Parallel`: many calls at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sized
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from warnings import warn

from retain._memory.sizes import parse_size
from retain._memory.verbose import Talking
from retain._parallel import registry
from retain._parallel import verbose as lines
from retain._parallel.backends import FallbackToBackend, MultiprocessingBackend, SequentialBackend
from retain._parallel.checks import checked_batch_size, checked_retries, checked_timeout, one_of
from retain._parallel.config import DEFAULTS, active, chosen
from retain._parallel.engine import Call
from retain._parallel.expressions import eval_expr
from retain._parallel.gathering import Gathering, Noting, Watching, watching
from retain._parallel.hits import lookups
from retain._parallel.sequential import SequentialEngine, all_of, batched

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from retain._parallel.engine import Engine, Task
    from retain._parallel.stats import Stats
    from retain._parallel.trace import Trace

_PRE_DISPATCH: Final = "2 * n_jobs"
_RETURN_AS = ("list", "generator", "generator_unordered")
_ON_ERROR = ("raise", "return", "skip")
# A configuration of these goes to the backend together with what the user gave it.
_FOR_BACKENDS = ("max_nbytes", "temp_folder", "mmap_mode", "prefer", "require", "verbose")


class Parallel(Talking):
    """
    Calls functions side by side, on every core.

    Parameters
    ----------
    n_jobs : int, optional
        How many tasks run at once: -1 for all processors, -2 for all but one. 1, which None means, runs them one after
        the other, where they are called.
    backend : str, backend or executor, optional
        Who runs the tasks: ``"loky"`` or ``"processes"`` for worker processes, which is the default, ``"threading"``
        or ``"threads"``, ``"sequential"``, ``"multiprocessing"``, ``"dask"``, ``"ray"``, a name that was given to
        `register_parallel_backend`, a `ParallelBackendBase`, or any executor of :mod:`concurrent.futures`' kind.
    return_as : {"list", "generator", "generator_unordered"}, default "list"
        Generators give each result as soon as it is there: in the order of the tasks, or in the order they end. They
        start no more tasks than their caller keeps up with.
    verbose : int, default 0
        How much is told; from 50 on to stdout.
    timeout : float, optional
        For how many seconds the next result is waited for, before all is given up with a `TimeoutError`.
    pre_dispatch : {"all"} or int or str, default "2 * n_jobs"
        How many tasks are taken from the iterable ahead of those that run; an expression of ``n_jobs``. As long as it
        is the default, as many as the speed of the tasks asks for.
    batch_size : {"auto"} or int, default "auto"
        How many tasks are sent to a worker together.
    temp_folder : str, optional
        Where large arrays are shared if they cannot be in memory.
    max_nbytes : int or str or None, default "1M"
        From what size on arrays are shared with worker processes instead of sent; None: never.
    mmap_mode : {"r", "r+", "w+", "c", None}, default "r"
        How workers see what is shared: "r" read only, "c" as a copy of their own if they write.
    prefer : {"processes", "threads"}, optional
        Which backend is used if none is chosen.
    require : {"sharedmem"}, optional
        What the backend must be able to do.
    progress : bool or str, default False
        Show a progress bar, with a label if it is a text.
    retries : int, default 0
        How often a task that fails is tried again, or whose worker dies.
    task_timeout : float, optional
        After how many seconds a task is ended, and counts as failed. In worker processes only.
    on_error : {"raise", "return", "skip"}, default "raise"
        What is done about a task that failed: its exception is raised and the other tasks are given up; or it stands
        in the place of the result; or its place is left out.
    initializer : callable, optional
        What each worker calls first: a process once, a thread once in each call. Where tasks run one after the other,
        the caller is their worker and calls it once in each call.
    initargs : tuple, optional
        The arguments of `initializer`.
    memory_limit : int or str, optional
        How much memory a worker process may use, such as ``"2G"``.
    trace : str or os.PathLike, optional
        The name of a file that is to tell when and where each task ran, for Perfetto or Chrome's tracing.
    **backend_kwargs
        Goes to the backend. With ``context=multiprocessing.get_context("spawn")``, worker processes are new
        interpreters; all other contexts of multiprocessing mean the fastest way.

    Attributes
    ----------
    n_jobs : int
        How many jobs were asked for.
    n_tasks : int or None
        How many tasks there are, where the iterable can tell.
    n_dispatched_tasks, n_dispatched_batches, n_completed_tasks : int
        How far it is.

    Raises
    ------
    TerminatedWorkerError
        In a call: if a worker process died of a task.
    multiprocessing.TimeoutError
        In a call: if a `timeout` or a `task_timeout` was over.

    Examples
    --------
    >>> import retain
    >>> retain.Parallel(n_jobs=2)(retain.delayed(pow)(i, 2) for i in range(4))
    [0, 1, 4, 9]
    """

    n_dispatched_tasks = n_dispatched_batches = n_completed_tasks = 0
    n_tasks: int | None = None
    _nb_consumed = 0
    _running = _calling = _managed_backend = False
    _iterating = _exception = _aborting = _aborted = False
    _is_cancelled = False
    _original_iterator: Any = None
    _pre_dispatch_amount = 0
    _start_time = 0.0
    _engine: Engine | None = None
    _seconds = 0.0
    _workers = 1

    def __init__(  # noqa: PLR0917 - joblib's signature
        self,
        n_jobs: Any = DEFAULTS["n_jobs"],
        backend: Any = DEFAULTS["backend"],
        return_as: Literal["list", "generator", "generator_unordered"] = "list",
        verbose: Any = DEFAULTS["verbose"],
        timeout: float | None = None,
        pre_dispatch: int | str = _PRE_DISPATCH,
        batch_size: int | Literal["auto"] = "auto",
        temp_folder: Any = DEFAULTS["temp_folder"],
        max_nbytes: Any = DEFAULTS["max_nbytes"],
        mmap_mode: Any = DEFAULTS["mmap_mode"],
        prefer: Any = DEFAULTS["prefer"],
        require: Any = DEFAULTS["require"],
        *,
        progress: bool | str = False,
        retries: int = 0,
        task_timeout: float | None = None,
        on_error: Literal["raise", "return", "skip"] = "raise",
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        memory_limit: int | str | None = None,
        trace: str | os.PathLike[str] | None = None,
        **backend_kwargs: Any,
    ) -> None:
        standing, config = active(prefer, require, verbose)
        self.verbose = chosen(verbose, config, "verbose")
        self.timeout = timeout
        self.pre_dispatch = pre_dispatch
        self.batch_size = checked_batch_size(batch_size)
        self.return_as = one_of("return_as", return_as, _RETURN_AS)
        self.return_generator = return_as != "list"
        self.return_ordered = return_as != "generator_unordered"
        self.progress = progress
        self.retries = checked_retries(retries)
        self.task_timeout = checked_timeout(task_timeout)
        self.on_error = one_of("on_error", on_error, _ON_ERROR)
        self.memory_limit = None if memory_limit is None else parse_size("memory_limit", memory_limit)
        self.trace = trace
        given = (max_nbytes, temp_folder, mmap_mode, prefer, require, verbose)
        self._backend_kwargs: dict[str, Any] = {
            **backend_kwargs,
            **{key: chosen(value, config, key) for key, value in zip(_FOR_BACKENDS, given, strict=True)},
        }
        if isinstance(self._backend_kwargs["max_nbytes"], str):
            self._backend_kwargs["max_nbytes"] = parse_size("max_nbytes", self._backend_kwargs["max_nbytes"])
        self._backend_kwargs["verbose"] = max(0, self.verbose - 50)
        if initializer is not None:
            self._backend_kwargs |= {"initializer": initializer, "initargs": tuple(initargs)}
        self._backend = self._chosen_backend(backend, standing)
        if isinstance(self._backend, MultiprocessingBackend):
            # Programs look it up here.
            context = self._backend.backend_kwargs.get("context") or self._backend.default_context()
            self._backend_kwargs.setdefault("context", context)
        self.n_jobs = self._chosen_n_jobs(n_jobs, config)
        self._check_backend(require)
        self._lock = threading.RLock()
        prepare = getattr(self._backend, "prepare", None)
        if prepare is not None:
            prepare(self)

    def _chosen_backend(self, backend: Any, standing: Any) -> Any:
        if backend is DEFAULTS["backend"] or backend is None:
            return standing
        if isinstance(backend, str):
            return registry.made(backend, standing.nesting_level)
        found = registry.adopted(backend)
        if found.nesting_level is None:
            found.nesting_level = standing.nesting_level
        return found

    def _chosen_n_jobs(self, n_jobs: Any, config: dict[str, Any]) -> int:
        n_jobs = chosen(DEFAULTS["n_jobs"] if n_jobs is None else n_jobs, config, "n_jobs")
        if n_jobs is None:
            n_jobs = self._backend.default_n_jobs
        try:
            return int(n_jobs)
        except (ValueError, TypeError):
            raise ValueError(f"n_jobs could not be converted to int: it is {n_jobs!r}") from None

    def _check_backend(self, require: Any) -> None:
        backend = self._backend
        if require == "sharedmem" and not getattr(backend, "supports_sharedmem", False):
            raise ValueError(f"Backend {backend} does not support shared memory. Use backend='threading'")
        if (
            self.return_generator
            and not isinstance(backend, SequentialBackend)
            and not getattr(backend, "supports_return_generator", False)
        ):
            raise ValueError(f"Backend {backend} does not support return_as={self.return_as}. Use backend='loky'")

    # --- calls ---

    def __call__(self, iterable: Iterable[Task]) -> Any:
        """
        Run tasks.

        Parameters
        ----------
        iterable : iterable of tuple
            ``(function, args, kwargs)`` each, as `delayed` makes them. It is advanced as tasks are needed.

        Returns
        -------
        list or generator
            The results.
        """
        self._reset_run_tracking()
        is_ready = False
        try:
            self.n_tasks = len(iterable) if isinstance(iterable, Sized) else None
            self._start_time = time.time()
            n_jobs = self._effective_n_jobs() if self._managed_backend else self._initialize_backend()
            runs_here = n_jobs == 1 and not getattr(self._backend, "runs_elsewhere", False)
            if runs_here:
                self._initialize_here()
            if runs_here and self._is_plain():
                return self._run_plainly(iterable)
            is_ready = True
            call = self._call(n_jobs)
            gathering, tasks = self._begun(call, iterable, runs_here=runs_here)
        except BaseException:
            self._running = False
            if is_ready:
                self._terminate_and_reset()
            raise
        if not self.return_generator:
            return self._listed(gathering, tasks)
        output = self._given(gathering, tasks)
        # Up to the first `yield`, the tasks are taken on.
        next(output)
        return output

    def _initialize_here(self) -> None:
        told = {**getattr(self._backend, "backend_kwargs", {}), **self._backend_kwargs}
        if told.get("initializer") is not None:
            told["initializer"](*(told.get("initargs") or ()))

    def _is_plain(self) -> bool:
        """Whether the tasks need no more than to be called."""
        return not (
            self.return_generator
            or self.on_error != "raise"
            or self.retries
            or self.progress
            or self.trace is not None
            or self.task_timeout is not None
            or watching(self, None, None, calls_back=False).is_watched
        )

    def _run_plainly(self, iterable: Iterable[Task]) -> list[Any]:
        try:
            return all_of(iterable if self.batch_size in {"auto", 1} else batched(iterable, self.batch_size), self)
        finally:
            self._engine, self._workers = None, 1
            self._seconds = time.time() - self._start_time
            self._running = False

    def _call(self, n_jobs: int) -> Call:
        """Return what an engine is to know."""
        if n_jobs == 0:
            raise RuntimeError(f"{type(self._backend).__name__} has no active worker.")
        nested = self._backend.get_nested_backend()
        told = self._backend_kwargs
        return Call(
            n_jobs=n_jobs,
            # Older backends give no number of jobs.
            nested=nested if isinstance(nested, tuple) else (nested, None),
            window=self._window(n_jobs),
            batch_size=None if self.batch_size == "auto" else self.batch_size,
            retries=self.retries,
            task_timeout=self.task_timeout,
            max_nbytes=told["max_nbytes"],
            mmap_mode=told["mmap_mode"],
            temp_folder=told["temp_folder"],
            memory_limit=self.memory_limit,
            detailed=bool(self.progress) or self.trace is not None,
            kind=type(self._backend).__name__,
            parallel=self,
        )

    def _window(self, n_jobs: int) -> int | None:
        """Return how many tasks may be outstanding; None if that is left to the engine."""
        told = self.pre_dispatch
        if told == "all":
            self._pre_dispatch_amount = 0
            return sys.maxsize
        if told == _PRE_DISPATCH:
            amount = 2 * n_jobs
        else:
            amount = int(eval_expr(told.replace("n_jobs", str(n_jobs))) if isinstance(told, str) else told)
        if amount < 1:
            raise ValueError(f"pre_dispatch is {told!r}, which comes to {amount}, but at least one task is taken")
        self._pre_dispatch_amount = amount
        if self.batch_size != "auto":
            return amount * int(self.batch_size)
        return None if told == _PRE_DISPATCH else amount

    def _begun(self, call: Call, iterable: Iterable[Task], *, runs_here: bool) -> tuple[Gathering, Iterator[Task]]:
        """Return the call in progress, and its tasks."""
        backend = self._backend
        if runs_here or not getattr(backend, "limits_tasks", False):
            self._warn_of_limits()
        trace = None
        if self.trace is not None:
            from retain._parallel.trace import Trace

            # First, as it may have nowhere to be written to.
            trace = Trace(self.trace)
        engine: Engine
        if runs_here:
            engine = SequentialEngine(call)
            if call.batch_size is not None and call.batch_size > 1:
                iterable = batched(iterable, call.batch_size)
        else:
            self._print(f"Using backend {type(backend).__name__} with {call.n_jobs} concurrent workers.")
            if hasattr(backend, "start_call"):
                backend.start_call()
            self._calling = True
            engine = self._made_engine(call)
        self._engine, self._workers = engine, call.n_jobs
        tasks = iter(iterable)
        watching = self._watching(engine, trace)
        if watching.trace is not None:
            tasks = watching.trace.tasks(tasks)
        self._original_iterator = tasks
        self._iterating = True
        if watching.is_watched:
            tasks = Noting(self, tasks)
        self._watched = watching
        bound = call.window
        if bound is None:
            bound = 2 * call.n_jobs if self.return_ordered else call.n_jobs + 1
        gathering = Gathering(
            self, engine, watching, None if bound == sys.maxsize else bound, is_free=call.window is None
        )
        return gathering, tasks

    def _made_engine(self, call: Call) -> Engine:
        make = getattr(self._backend, "engine", None)
        if make is None:
            from retain._parallel.foreign import ForeignEngine

            return ForeignEngine(self._backend, call)
        made: Engine = make(call)
        return made

    def _watching(self, engine: Engine, trace: Trace | None) -> Watching:
        bar = None
        if self.progress:
            from retain._parallel.progress import bar as new_bar

            bar = new_bar(self.progress, self.n_tasks)
        return watching(self, bar, trace, calls_back=getattr(engine, "calls_back", False))

    def _warn_of_limits(self) -> None:
        for name in ("task_timeout", "memory_limit"):
            limit = getattr(self, name)
            if limit is not None:
                warn(
                    f"The backend class {type(self._backend).__name__!r} does not support {name}. You have set "
                    f"{name}={limit} in Parallel, but it will not be used: only worker processes can be ended.",
                    UserWarning,
                    stacklevel=5,
                )

    def _listed(self, gathering: Gathering, tasks: Iterator[Task]) -> list[Any]:
        try:
            results = gathering.listed(tasks, lookups())
            self._told_all(gathering)
        except BaseException as error:
            self._give_up()
            self._finish(error)
            raise
        self._finish(None)
        return results

    def _given(self, gathering: Gathering, tasks: Iterator[Task]) -> Iterator[Any]:
        try:
            yield from gathering.given(tasks, lookups())
            self._told_all(gathering)
        except GeneratorExit as error:
            # The caller wants no more.
            is_left = self._give_up()
            self._finish(error)
            if is_left and not self._is_cancelled:
                self._warn_exit_early()
            raise
        except BaseException as error:
            self._give_up()
            self._finish(error)
            raise
        self._finish(None)

    def _told_all(self, gathering: Gathering) -> None:
        """Tell that all is done, if the last of the tasks was not known to be the last."""
        self._original_iterator = None
        self._iterating = False
        if self._watched.progress is not None and not gathering.is_told:
            self._watched.progress()

    def _give_up(self) -> bool:
        """Give up what has not ended; whether it had not been before."""
        self._exception = self._aborting = True
        was_aborted, self._aborted = self._aborted, True
        if self._engine is not None:
            self.n_dispatched_tasks, self.n_completed_tasks = self._engine.pulled, self._engine.completed
        self._abort()
        return not was_aborted

    def _abort(self) -> None:
        """Give up the tasks."""
        self._aborting = self._aborted = True
        if self._engine is not None:
            self._engine.cancel()
        if hasattr(self._backend, "abort_everything") and self._calling:
            self._backend.abort_everything(ensure_ready=self._managed_backend)

    def _cancel(self) -> None:
        """Give up the call, from any thread: it raises `CancelledError` where it runs."""
        self._is_cancelled = True
        if self._engine is not None:
            self._engine.cancel()

    def _finish(self, error: BaseException | None) -> None:
        watched = self._watched
        self._seconds = time.time() - self._start_time
        self._iterating = False
        self._original_iterator = None
        for watcher in (watched.bar, watched.trace):
            if watcher is not None:
                watcher.close() if watcher is watched.bar else watcher.close(error)
        self._watched = watched._replace(bar=None, trace=None)
        self._running = False
        self._terminate_and_reset()

    def _reset_run_tracking(self) -> None:
        with self._lock:
            if self._running:
                advice = (
                    " Before submitting new tasks, you must wait for the completion of all the previous tasks, or "
                    "clean all references to the output generator."
                )
                raise RuntimeError(f"This Parallel instance is already running !{advice * self.return_generator}")
            self._running = True
        self.n_dispatched_batches = self.n_dispatched_tasks = self.n_completed_tasks = self._nb_consumed = 0
        self._exception = self._aborting = self._aborted = False

    # --- the backend ---

    def __enter__(self) -> Self:
        self._managed_backend = True
        self._calling = False
        self._initialize_backend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._managed_backend = False
        if self.return_generator and self._calling:
            self._abort()
        self._terminate_and_reset()

    def _initialize_backend(self) -> int:
        """Make the backend ready, and return how many jobs there are."""
        try:
            n_jobs: int = self._backend.configure(n_jobs=self.n_jobs, parallel=self, **self._backend_kwargs)
        except FallbackToBackend as other:
            self._backend = other.backend
            return self._initialize_backend()
        except Exception as error:
            # joblib's own backends raise joblib's.
            if type(error).__name__ != "FallbackToBackend":
                raise
            self._backend = registry.made("sequential", self._backend.nesting_level)
            return self._initialize_backend()
        if self.timeout is not None and not self._backend.supports_timeout:
            warn(
                f"The backend class {type(self._backend).__name__!r} does not support timeout. You have set "
                f"'timeout={self.timeout}' in Parallel but the 'timeout' parameter will not be used.",
                UserWarning,
                stacklevel=4,
            )
        return n_jobs

    def _effective_n_jobs(self) -> int:
        n_jobs: int = self._backend.effective_n_jobs(self.n_jobs)
        return n_jobs

    def _terminate_and_reset(self) -> None:
        if self._calling and hasattr(self._backend, "stop_call"):
            self._backend.stop_call()
        self._calling = False
        if not self._managed_backend:
            self._backend.terminate()

    # --- what it tells ---

    def stats(self) -> Stats:
        """
        Return what became of the tasks of the last call.

        Returns
        -------
        Stats
            How many there were, ran, were found in a store, failed and were tried again; how long it took, and how
            busy the workers were.
        """
        from retain._parallel.stats import Stats

        return Stats.of(
            self._engine if self._engine is not None else self, seconds=self._seconds, workers=self._workers
        )

    # The names under which engines count, for calls that need none.
    @property
    def pulled(self) -> int:
        """How many tasks were taken from the iterable."""
        return self.n_dispatched_tasks

    @property
    def completed(self) -> int:
        """How many tasks have ended."""
        return self.n_completed_tasks

    def dispatch_next(self) -> None:
        """Do nothing: tasks are dispatched without being told. For callbacks that were written for joblib."""

    def print_progress(self) -> None:
        """Tell how far the call is. To be overridden."""
        lines.tell_progress(self)

    def _print(self, message: str) -> None:
        lines.tell(self, message)

    def _is_completed(self) -> bool:
        return self.n_completed_tasks == self.n_dispatched_tasks and not (self._iterating or self._aborting)

    def _warn_exit_early(self) -> None:
        """Warn of results that no one will see."""
        unseen = self.n_completed_tasks - self._nb_consumed
        running = self.n_dispatched_tasks - self.n_completed_tasks
        told = []
        if unseen > 0:
            told.append(f"{unseen} tasks have been successfully executed  but not used.")
        if running > 0:
            told.append(f"{running} tasks which were still being processed by the workers have been cancelled.")
        if told:
            warn(
                f"{' Additionally, '.join(told)} You could benefit from adjusting the input task iterator to limit "
                "unnecessary computation time.",
                UserWarning,
                stacklevel=3,
            )

    @cached_property
    def _id(self) -> str:
        """A name for what joblib's own backends keep for it."""
        from uuid import uuid4

        return uuid4().hex

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_jobs={self.n_jobs})"
