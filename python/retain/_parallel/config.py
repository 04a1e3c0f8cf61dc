"""Which backend and which settings a `Parallel` takes that was not told otherwise."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from retain._parallel import registry

if TYPE_CHECKING:
    from types import TracebackType

_HINTS = ("processes", "threads", None)
_CONSTRAINTS = ("sharedmem", None)


class Default:
    """The value of a parameter that was not given."""

    __slots__ = ("default_value",)

    def __init__(self, default_value: Any) -> None:
        self.default_value = default_value

    def __repr__(self) -> str:
        return f"default({self.default_value!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # There is one of each parameter, and it is told by who it is.
        return _default, (next(key for key, value in DEFAULTS.items() if value is self),)


DEFAULTS: Final[dict[str, Any]] = {
    "backend": Default(None),
    "n_jobs": Default(None),
    "verbose": Default(0),
    "temp_folder": Default(None),
    "max_nbytes": Default("1M"),
    "mmap_mode": Default("r"),
    "prefer": Default(None),
    "require": Default(None),
}


def _default(key: str) -> Any:
    return DEFAULTS[key]


class State(threading.local):
    """What holds in this thread."""

    config: dict[str, Any] = DEFAULTS


state = State()
# The class of the backend that runs this process, in a worker process of retain.
worker_of: str | None = None


def chosen(param: Any, config: dict[str, Any], key: str) -> Any:
    """Return the value of a parameter: what was given, else what the context says, else the default."""
    default = DEFAULTS[key]
    if param is not default:
        return param
    found = config[key]
    return default.default_value if found is default else found


def nested_config(backend: Any, n_jobs: int | None) -> dict[str, Any]:
    """Return the configuration inside a task, as a `Parallel` there shall find it."""
    return {**DEFAULTS, "backend": backend, "n_jobs": n_jobs}


def nest(backend: Any, n_jobs: int | None, kind: str) -> None:
    """
    Set, in a worker process, what a `Parallel` inside a task takes.

    Parameters
    ----------
    backend, n_jobs
        What the parent's backend nests.
    kind : str
        The class of the parent's backend.
    """
    global worker_of  # noqa: PLW0603 - a process has one parent
    worker_of = kind
    state.config = nested_config(backend, n_jobs)


def get_active_backend(
    prefer: Any = DEFAULTS["prefer"],
    require: Any = DEFAULTS["require"],
    verbose: Any = DEFAULTS["verbose"],
) -> tuple[Any, int | None]:
    """
    Return the backend that a `Parallel` would use here, and its number of jobs.

    Parameters
    ----------
    prefer : {"processes", "threads"}, optional
        What is preferred where no backend was chosen.
    require : {"sharedmem"}, optional
        What the backend must be able to do.
    verbose : int, optional
        From 10 on, a backend that is not the one chosen is told of.
    """
    backend, config = active(prefer, require, verbose)
    return backend, chosen(DEFAULTS["n_jobs"], config, "n_jobs")


def active(prefer: Any, require: Any, verbose: Any) -> tuple[Any, dict[str, Any]]:
    """Return the backend that holds here, and the configuration."""
    config = state.config
    backend = chosen(DEFAULTS["backend"], config, "backend")
    prefer = chosen(prefer, config, "prefer")
    require = chosen(require, config, "require")
    _check(prefer, require)
    was_chosen = backend is not None
    if backend is None:
        backend = registry.default_backend()(nesting_level=0)
    level = backend.nesting_level
    if require == "sharedmem" and not getattr(backend, "supports_sharedmem", False):
        threads = registry.made("threading", level)
        if was_chosen and chosen(verbose, config, "verbose") >= 10:
            print(  # noqa: T201 - joblib's words, where joblib says them
                f"Using {type(threads).__name__} as joblib backend instead of {type(backend).__name__} "
                "as the latter does not provide shared memory semantics."
            )
        return threads, {**config, "n_jobs": 1}
    if not was_chosen:
        uses_threads = getattr(backend, "uses_threads", False)
        if prefer == "threads" and not uses_threads:
            return registry.made("threading", level), {**config, "n_jobs": 1}
        if prefer == "processes" and uses_threads:
            return registry.made(registry.DEFAULT_PROCESS_BACKEND, level), config
    return backend, config


def _check(prefer: Any, require: Any) -> None:
    if prefer not in _HINTS:
        raise ValueError(f"prefer={prefer} is not a valid backend hint, expected one of {_HINTS}")
    if require not in _CONSTRAINTS:
        raise ValueError(f"require={require} is not a valid backend constraint, expected one of {_CONSTRAINTS}")
    if prefer == "processes" and require == "sharedmem":
        raise ValueError("prefer='processes' and require='sharedmem' are inconsistent: processes share no memory")


class parallel_config:  # noqa: N801 - joblib's name
    """
    Set what each `Parallel` of this thread takes that is not told otherwise.

    It holds from the call on; as a context manager, until the block ends. Otherwise `unregister` ends it.

    Parameters
    ----------
    backend : str, backend or executor, optional
        Who runs the tasks: ``"loky"`` for processes, ``"threading"``, ``"multiprocessing"``, ``"sequential"``, a name
        given to `register_parallel_backend`, ``"dask"``, ``"ray"``, or an object.
    n_jobs : int, optional
        How many tasks run at once; -1 for all processors.
    verbose : int, optional
        How much is told.
    temp_folder, max_nbytes, mmap_mode
        How large arrays are shared with worker processes.
    prefer : {"processes", "threads"}, optional
        What is preferred where no backend is chosen.
    require : {"sharedmem"}, optional
        What the backend must be able to do.
    inner_max_num_threads : int, optional
        How many threads the libraries in a worker process may use.
    **backend_params
        Parameters of the backend, where it is given by name.

    Examples
    --------
    >>> import retain
    >>> with retain.parallel_config(backend="threading", n_jobs=2):
    ...     retain.Parallel()(retain.delayed(abs)(i) for i in (-1, -2))
    [1, 2]
    """

    def __init__(
        self,
        backend: Any = DEFAULTS["backend"],
        *,
        n_jobs: Any = DEFAULTS["n_jobs"],
        verbose: Any = DEFAULTS["verbose"],
        temp_folder: Any = DEFAULTS["temp_folder"],
        max_nbytes: Any = DEFAULTS["max_nbytes"],
        mmap_mode: Any = DEFAULTS["mmap_mode"],
        prefer: Any = DEFAULTS["prefer"],
        require: Any = DEFAULTS["require"],
        inner_max_num_threads: int | None = None,
        **backend_params: Any,
    ) -> None:
        self.old_parallel_config = state.config
        given = {
            "backend": self._backend(backend, inner_max_num_threads, backend_params),
            "n_jobs": n_jobs,
            "verbose": verbose,
            "temp_folder": temp_folder,
            "max_nbytes": max_nbytes,
            "mmap_mode": mmap_mode,
            "prefer": prefer,
            "require": require,
        }
        changed = {key: value for key, value in given.items() if value is not DEFAULTS[key]}
        self.parallel_config = state.config = {**self.old_parallel_config, **changed}

    def _backend(self, backend: Any, threads: int | None, params: dict[str, Any]) -> Any:
        if backend is DEFAULTS["backend"] or backend is None:
            if threads is not None or params:
                raise ValueError(
                    f"inner_max_num_threads and {sorted(params)} are parameters of a backend: they are only supported "
                    "when backend is not None"
                )
            return backend
        if isinstance(backend, str):
            backend = registry.made(backend, None, params)
        elif params:
            raise ValueError(f"{sorted(params)} are parameters of a backend, only supported when backend is a string")
        else:
            backend = registry.adopted(backend)
        if threads is not None:
            if not getattr(backend, "supports_inner_max_num_threads", False):
                raise AssertionError(
                    f"{type(backend).__name__} does not accept setting the inner_max_num_threads argument."
                )
            backend.inner_max_num_threads = threads
        if backend.nesting_level is None:
            outer = chosen(DEFAULTS["backend"], self.old_parallel_config, "backend")
            backend.nesting_level = 0 if outer is None else outer.nesting_level
        return backend

    def __enter__(self) -> Any:
        return self.parallel_config

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unregister()

    def unregister(self) -> None:
        """Return to what held before."""
        state.config = self.old_parallel_config


class parallel_backend(parallel_config):  # noqa: N801 - joblib's name
    """
    Set the backend of each `Parallel` of this thread; all processors are used unless `n_jobs` says otherwise.

    `parallel_config` can do more.

    Parameters
    ----------
    backend : str, backend or executor
        Who runs the tasks.
    n_jobs : int, default -1
        How many tasks run at once.
    inner_max_num_threads : int, optional
        How many threads the libraries in a worker process may use.
    **backend_params
        Parameters of the backend, where it is given by name.
    """

    def __init__(
        self, backend: Any, n_jobs: int | None = -1, inner_max_num_threads: int | None = None, **backend_params: Any
    ) -> None:
        super().__init__(backend, n_jobs=n_jobs, inner_max_num_threads=inner_max_num_threads, **backend_params)
        self.old_backend_and_jobs = (self.old_parallel_config["backend"], self.old_parallel_config["n_jobs"])
        self.new_backend_and_jobs = (self.parallel_config["backend"], self.parallel_config["n_jobs"])

    def __enter__(self) -> tuple[Any, Any]:
        return self.new_backend_and_jobs


def effective_n_jobs(n_jobs: int | None = -1) -> int:
    """
    Return how many tasks a `Parallel` would run at once.

    Parameters
    ----------
    n_jobs : int or None, default -1
        As for `Parallel`.
    """
    if n_jobs == 1:
        return 1
    backend, configured = get_active_backend()
    found: int = backend.effective_n_jobs(configured if n_jobs is None else n_jobs)
    return found
