"""What runs the tasks of one call of `Parallel`, whatever runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Task: TypeAlias = "tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]"
# (index, status, value), and where it was asked for: worker, started_ns, ended_ns, attempts. A task that was answered
# without being run has worker -1.
Outcome: TypeAlias = "tuple[Any, ...]"
# Gives (value,) where the result of a call is at hand, None where it must be computed.
Lookup: TypeAlias = "Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[Any] | None]"

# The statuses of an outcome. Of these, DONE and FAILED end a task.
DONE: Final = 0
FAILED: Final = 1
# The value is what a worker wrote or logged: (kind, payload).
OUTPUT: Final = 2
# The value is the exception of an attempt that is followed by another. Told by engines that were asked for details.
RETRIED: Final = 3


class Call(NamedTuple):
    """
    One call of `Parallel`, as an engine needs to know it.

    Attributes
    ----------
    n_jobs : int
        How many tasks run at once.
    window : int or None
        How many tasks may be outstanding at once; None leaves it to the engine.
    batch_size : int or None
        How many tasks are sent together; None leaves it to the engine.
    nested : tuple
        The backend and the number of jobs of a `Parallel` inside a task.
    retries : int
        How often a task that fails is tried again.
    task_timeout : float or None
        For how many seconds a task may run.
    max_nbytes : int or None
        From what size on buffers are shared with worker processes; None: never.
    mmap_mode : str or None
        How workers see shared buffers.
    temp_folder : str or None
        Where shared buffers lie if not in memory.
    initializer : callable or None
        What each worker calls first, with `initargs`.
    initargs : tuple
        Its arguments.
    memory_limit : int or None
        How many bytes a worker may use.
    inner_max_num_threads : int or None
        How many threads the libraries in a worker may use.
    idle : float
        After how many seconds without a task a worker leaves.
    detailed : bool
        Whether outcomes say where and when.
    spawns : bool
        Whether each worker process is a new interpreter, however else processes are started here.
    kind : str
        The name of the backend's class.
    parallel : object
        The `Parallel` itself, for backends that are not retain's.
    """

    n_jobs: int
    nested: tuple[Any, int | None]
    window: int | None = None
    batch_size: int | None = None
    retries: int = 0
    task_timeout: float | None = None
    max_nbytes: int | None = 1 << 20
    mmap_mode: str | None = "r"
    temp_folder: str | None = None
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    memory_limit: int | None = None
    inner_max_num_threads: int | None = None
    idle: float = 300.0
    detailed: bool = False
    spawns: bool = False
    kind: str = "LokyBackend"
    parallel: Any = None


class Engine(Protocol):
    """
    What runs the tasks of one call.

    The iterator is advanced by the thread that calls `step`, or under a lock by threads that the engine started; what
    it raises comes out of `step`.

    Attributes
    ----------
    pulled, dispatched, completed, retried : int
        How many tasks were taken from the iterator, were given to a worker, have ended, and were tried again.
    hits : int
        How many tasks were answered by a lookup.
    """

    @property
    def pulled(self) -> int: ...
    @property
    def dispatched(self) -> int: ...
    @property
    def completed(self) -> int: ...
    @property
    def retried(self) -> int: ...
    @property
    def hits(self) -> int: ...

    def begin(self, tasks: Iterator[Task], lookup: Mapping[type, Lookup]) -> None:
        """Take the tasks on. A task whose function is of a type in `lookup` is looked up before it is dispatched."""

    def step(self, wait: bool | float = True, limit: int | None = None) -> list[Outcome] | None:
        """
        Go on, and return the outcomes that came.

        Parameters
        ----------
        wait : bool or float, default True
            Whether to wait for the first outcome; a number is the seconds to wait at most.
        limit : int, optional
            How many tasks may be taken from the iterator by this step.

        Returns
        -------
        list of tuple or None
            None when the iterator is exhausted and all outcomes were given.
        """

    def cancel(self) -> None:
        """Give up the tasks that have not ended."""
