"""Backends by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from retain._parallel.backends import LokyBackend, MultiprocessingBackend, SequentialBackend, ThreadingBackend
from retain._parallel.cores import multiprocessing_allowed

if TYPE_CHECKING:
    from collections.abc import Callable

BACKENDS: Final[dict[str, Callable[..., Any]]] = {
    "threading": ThreadingBackend,
    "sequential": SequentialBackend,
}
DEFAULT_BACKEND = DEFAULT_PROCESS_BACKEND = "threading"
DEFAULT_THREAD_BACKEND: Final = "threading"
MAYBE_AVAILABLE_BACKENDS: Final = {"multiprocessing", "loky"}
if multiprocessing_allowed():
    BACKENDS["multiprocessing"] = MultiprocessingBackend
    BACKENDS["loky"] = LokyBackend
    DEFAULT_BACKEND = DEFAULT_PROCESS_BACKEND = "loky"

# What retain calls them.
_ALIASES: Final = {"processes": "loky", "threads": "threading"}


def _register_dask() -> None:
    from retain._parallel.dask import DaskBackend

    BACKENDS["dask"] = DaskBackend


def _register_ray() -> None:
    from retain._parallel.ray import RayBackend

    BACKENDS["ray"] = RayBackend


# What registers a backend when it is first asked for.
EXTERNAL_BACKENDS: Final[dict[str, Callable[[], object]]] = {"dask": _register_dask, "ray": _register_ray}


def default_backend() -> Callable[..., Any]:
    """Return what makes the backend that is used where none was chosen."""
    # It is a variable of joblib.parallel that programs assign to.
    face = sys.modules.get("retain.parallel")
    # It may be half imported, by another thread.
    return BACKENDS[getattr(face, "DEFAULT_BACKEND", DEFAULT_BACKEND)]


def register_parallel_backend(name: str, factory: Callable[..., Any], make_default: bool = False) -> None:
    """
    Give a backend a name, under which `Parallel` and `parallel_config` know it.

    Parameters
    ----------
    name : str
        The name.
    factory : callable
        Returns a `ParallelBackendBase`; called with the keyword ``nesting_level`` and the user's parameters.
    make_default : bool, default False
        Whether it is used where none is chosen.
    """
    global DEFAULT_BACKEND  # noqa: PLW0603 - joblib's variable
    BACKENDS[name] = factory
    if make_default:
        DEFAULT_BACKEND = name
        face = sys.modules.get("retain.parallel")
        if face is not None:
            face.DEFAULT_BACKEND = name  # type: ignore[attr-defined]


def made(name: str, level: int | None, params: dict[str, Any] | None = None) -> Any:
    """
    Return a new backend of a name.

    Raises
    ------
    ValueError
        If there is none.
    """
    name = _ALIASES.get(name, name) if name not in BACKENDS else name
    if name not in BACKENDS:
        if name in EXTERNAL_BACKENDS:
            EXTERNAL_BACKENDS[name]()
        elif name in MAYBE_AVAILABLE_BACKENDS:
            from warnings import warn

            warn(
                f"joblib backend '{name}' is not available on your system, falling back to {DEFAULT_BACKEND}.",
                UserWarning,
                stacklevel=4,
            )
            BACKENDS[name] = BACKENDS[DEFAULT_BACKEND]
        else:
            raise ValueError(f"Invalid backend: {name}, expected one of {sorted(BACKENDS)}")
    if params is not None:
        # The level is set afterwards: a factory of the user's need not know it.
        return BACKENDS[name](**params)
    return BACKENDS[name](nesting_level=level)


def is_backend(backend: Any) -> bool:
    """Whether an object is a backend, joblib's own included."""
    return hasattr(backend, "effective_n_jobs") and hasattr(backend, "configure")


def adopted(backend: Any) -> Any:
    """
    Return the backend that an object is, or stands for: an executor, a context of multiprocessing.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(backend, type):
        raise ValueError(f"Invalid backend: {backend}, which is a class. Give an instance of it")  # noqa: TRY004
    if is_backend(backend):
        return backend
    if hasattr(backend, "Pool") and hasattr(backend, "Lock"):
        return MultiprocessingBackend(context=backend)
    if callable(getattr(backend, "submit", None)):
        from retain._parallel.executors import ExecutorBackend

        return ExecutorBackend(backend)
    raise ValueError(
        f"Invalid backend: {backend!r}, expected one of {sorted(BACKENDS)}, a backend, or an executor with a method "
        "`submit`"
    )
