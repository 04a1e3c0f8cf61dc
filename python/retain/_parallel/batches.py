"""What travels to workers that are not retain's own: calls that are made together, and what became of each."""

from __future__ import annotations

import os
import pickle
import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple

from retain._parallel.engine import DONE, FAILED
from retain._parallel.pickling import by_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import Context

    from retain._parallel.engine import Task


class BatchedCalls:
    """
    Some tasks as one callable without arguments.

    It can be pickled by any pickler: what plain pickle does not take goes through cloudpickle. Where it is not pickled
    at all, on a thread, the tasks see the context variables of who made it.

    Parameters
    ----------
    iterator_slice : iterable of tuples
        The tasks: ``(function, args, kwargs)``.
    backend_and_jobs : tuple or object
        The backend of a `Parallel` inside the tasks, and its number of jobs.
    reducer_callback : callable, optional
        Called when the batch is pickled.
    pickle_cache : dict, optional
        Not used; joblib's batches have it.

    Attributes
    ----------
    items : list of tuples
        The tasks.
    """

    def __init__(
        self,
        iterator_slice: Iterable[Task],
        backend_and_jobs: Any,
        reducer_callback: Callable[[], object] | None = None,
        pickle_cache: dict[Any, Any] | None = None,
    ) -> None:
        self.items = list(iterator_slice)
        self._backend, self._n_jobs = (
            backend_and_jobs if isinstance(backend_and_jobs, tuple) else (backend_and_jobs, None)
        )
        self._reducer_callback = reducer_callback
        self._pickle_cache = pickle_cache
        self._context: Context | None = copy_context()

    def __call__(self) -> list[Any]:
        """Make the calls."""
        from retain._parallel.config import parallel_config

        results: list[Any] = []
        with parallel_config(backend=self._backend, n_jobs=self._n_jobs):
            for function, args, kwargs in self.items:
                if self._context is None:
                    results.append(function(*args, **kwargs))
                else:
                    results.append(self._context.copy().run(function, *args, **kwargs))
        return results

    @property
    def name(self) -> str:
        """What to call it where tasks are shown: the function's name, with the number of calls if there are more."""
        names = {getattr(function, "__name__", type(function).__name__) for function, _, _ in self.items}
        name = names.pop() if len(names) == 1 else "mixed"
        return name if len(self.items) == 1 else f"{name}-{len(self.items)}"

    def __len__(self) -> int:
        return len(self.items)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reducer_callback is not None:
            # The pickler of who asked to be told has ways of its own with functions and large arrays.
            self._reducer_callback()
            return _remade_batch, (self.items, (self._backend, self._n_jobs))
        try:
            payload = packed((self.items, (self._backend, self._n_jobs)))
        except Exception as error:
            raise pickle.PicklingError("Could not pickle the task to send it to the workers.") from error
        return _unpacked_batch, (payload,)


def _unpacked_batch(payload: bytes) -> BatchedCalls:
    return _remade_batch(*pickle.loads(payload))  # noqa: S301 - the tasks of our own parent


def _remade_batch(items: list[Task], nested: tuple[Any, int | None]) -> BatchedCalls:
    batch = BatchedCalls(items, nested)
    batch._context = None
    return batch


def packed(value: Any) -> bytes:
    """Return a pickle of anything that pickle or cloudpickle can take, functions of the main program too."""
    try:
        payload = pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - each type has its own way to refuse
        payload = b""
    # By name, what is in `__main__` would be looked for in the worker's `__main__`.
    if payload and b"__main__" not in payload and not by_value():
        return payload
    import cloudpickle

    pickled: bytes = cloudpickle.dumps(value, protocol=5)
    return pickled


class Answer(NamedTuple):
    """
    What became of a task, as its worker tells it.

    Attributes
    ----------
    status : int
        `DONE` or `FAILED`.
    value : object
        The result, or a `Failure`.
    started : int
        When it began, in nanoseconds since 1970: the clock that machines share.
    lasted : int
        Nanoseconds.
    worker : tuple
        Who did it: machine, process and thread.
    """

    status: int
    value: Any
    started: int
    lasted: int
    worker: tuple[Any, ...]


class Failure:
    """An exception that survives every pickler. Where it is not pickled, it stays as it was raised."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        from retain._parallel import failures

        return _unpacked_failure, (failures.packed(self.error),)


def _unpacked_failure(payload: bytes) -> Failure:
    from retain._parallel import failures

    return Failure(failures.unpacked(payload))


class Guarded:
    """
    A function that answers with an `Answer`, and never raises.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, /, *args: Any, **kwargs: Any) -> Answer:
        """Call the function."""
        started = time.time_ns()
        begun = time.perf_counter_ns()
        try:
            value = self.function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - told to the parent, which raises it
            return Answer(FAILED, Failure(error), started, time.perf_counter_ns() - begun, _here())
        return Answer(DONE, value, started, time.perf_counter_ns() - begun, _here())

    @property
    def __name__(self) -> str:
        """The function's name, for those who show what they run."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Guarded) and self.function is other.function

    def __hash__(self) -> int:
        return hash((Guarded, id(self.function)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Guarded, (self.function,)


def _here() -> tuple[Any, ...]:
    return _NODE, os.getpid(), threading.get_ident()


_NODE = os.uname().nodename if hasattr(os, "uname") else ""
