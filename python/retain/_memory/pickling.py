"""How what is memorized travels to other processes: by name where it can be found by one, and never with results."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType


def reduced_function(function: Any) -> Any:
    """Return how a memorized function is pickled."""
    name = _name(function)
    if name is not None:
        return name
    return _function, (type(function), function.func, _place_state(function), function._settings)


def reduced_unkept(function: Any) -> Any:
    """Return how a function that is not memorized is pickled."""
    name = _name(function)
    return name if name is not None else (type(function), (function.func,))


def reduced_result(result: Any) -> Any:
    """Return how a reference to a result is pickled."""
    return _result, (
        type(result),
        _backend_state(result.store_backend),
        result._call_id,
        result.mmap_mode,
        result.verbose,
        result.metadata,
    )


def _name(function: Any) -> str | None:
    """Return the qualified name under which a function is found in its module; None if it is not."""
    name, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return None
    if module == "__main__" and _is_cloudpickled():
        return None  # which takes functions of `__main__` along
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return name if found is function else None


def _is_cloudpickled() -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if "cloudpickle" in str(frame.f_globals.get("__name__")):
            return True
        frame = frame.f_back
    return False


def _backend_state(backend: Any) -> Any:
    from retain._memory.place import LocalStoreBackend

    if not isinstance(backend, LocalStoreBackend):
        return backend
    folder = backend._folder
    return folder.location, folder.options, backend.compress, backend.mmap_mode, backend.verbose


def _backend(state: Any) -> Any:
    from retain._memory.place import Folder, LocalStoreBackend

    if not isinstance(state, tuple):
        return state
    location, options, *rest = state
    return LocalStoreBackend(Folder.of(location, *options), *rest)


def _place_state(function: Any) -> Any:
    return _backend_state(function.store_backend)


def _function(kind: Any, func: Any, state: Any, settings: Any) -> Any:
    from retain._memory.adapter import BackendPlace
    from retain._memory.place import LocalStoreBackend
    from retain._memory.tier import RAM_BYTES

    backend = _backend(state)
    place = backend._folder if isinstance(backend, LocalStoreBackend) else BackendPlace(backend, RAM_BYTES)
    return kind._make(func, place, backend, settings, None)


def _result(  # noqa: PLR0917 - as they are pickled
    kind: Any, state: Any, call_id: Any, mmap_mode: Any, verbose: int, metadata: Any
) -> Any:
    return kind(_backend(state), call_id, mmap_mode=mmap_mode, verbose=verbose, metadata=metadata)
