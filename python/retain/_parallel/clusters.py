"""What the backends of clusters have in common: what many tasks use is put into the cluster once."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from retain._parallel.executors import ExecutorBackend
from retain._parallel.sharing import Shares, results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from retain._parallel.batches import BatchedCalls


class ClusterBackend(ExecutorBackend):
    """
    Run tasks on the workers of a cluster.

    Parameters
    ----------
    nesting_level : int, optional
        How many `Parallel` it is inside of.
    """

    _max_nbytes: int | None = 1 << 20
    _shares: Shares | None = None
    _shared_before = 0

    def __init__(self, *, nesting_level: int | None = None) -> None:
        super().__init__(nesting_level=nesting_level)
        # What the cluster knows of the batches that are under way.
        self._sent: dict[Future[bytes], Any] = {}

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: Any = None, require: Any = None, **backend_kwargs: Any
    ) -> int:
        """Make ready."""
        self._max_nbytes = backend_kwargs.get("max_nbytes", self._max_nbytes)
        return super().configure(n_jobs, parallel, prefer, require, **backend_kwargs)

    def start_call(self) -> None:
        """Begin to share."""
        self._shares = Shares(self._put, self._max_nbytes)

    def stop_call(self) -> None:
        """Let go of what was shared."""
        self._shared_before = self.shared_bytes
        self._shares = None
        self._sent.clear()

    @property
    def shared_bytes(self) -> int:
        """How many bytes the last call put into the cluster, for all of its tasks."""
        return self._shared_before if self._shares is None else self._shares.bytes

    def submit(self, func: BatchedCalls, callback: Callable[[Any], object] | None = None) -> Any:  # type: ignore[override]
        """Give a batch to the cluster."""
        shares = self._shares or Shares(self._put, self._max_nbytes)
        there, here = self._begin(func.name, *shares.packed(func))
        self._sent[here] = there
        if callback is not None:
            here.add_done_callback(callback)
        return here

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return what became of a batch."""
        self._sent.pop(out, None)
        return results(out.result())

    def abandon(self, jobs: Iterable[Any]) -> None:
        """Give up batches, and end those that run if the cluster can."""
        there = [self._sent.pop(job, None) for job in jobs]
        self._cancel([each for each in there if each is not None])

    def explain(
        self, error: BaseException, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> BaseException | None:
        """Return the exception for a task whose worker died, None if it did not."""
        if not self._is_death(error):
            return None
        from retain._parallel.failures import called
        from retain._parallel.terminated import TerminatedWorkerError

        lost = TerminatedWorkerError(f"{called(function, args, kwargs)} lost its worker: {error}")
        lost.__cause__ = error
        return lost

    # --- of each cluster its own ----------------------------------------------------------------------------------

    @abstractmethod
    def _put(self, value: Any) -> Any:
        """Put a value into the cluster, and return what stands for it."""

    @abstractmethod
    def _begin(self, name: str, payload: bytes, parts: list[Any]) -> tuple[Any, Future[bytes]]:
        """Have a worker call `sharing.run`; return what the cluster knows it by, and a future of the answer."""

    @abstractmethod
    def _cancel(self, there: list[Any]) -> None:
        """Cancel batches."""

    @abstractmethod
    def _is_death(self, error: BaseException) -> bool:
        """Whether an error says that a worker died."""
