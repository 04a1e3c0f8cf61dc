"""The backend ``"ray"``: tasks on a cluster of ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retain._parallel.executors import ExecutorBackend
from retain._parallel.sharing import Shares, results, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from retain._parallel.batches import BatchedCalls


class RayBackend(ExecutorBackend):
    """
    Run tasks on the workers of ray.

    Where ray is not initialised, ``ray.init()`` is called, which connects to the cluster of ``RAY_ADDRESS`` or starts
    one on this machine. Large arrays among functions and arguments are put into its object store once in a run,
    however many tasks use them, and are read-only in the tasks.

    Parameters
    ----------
    nesting_level : int, optional
        How many `Parallel` it is inside of.
    **options
        Handed to ``options`` of the remote function, such as ``num_cpus=``, ``num_gpus=``, ``resources=``.

    Raises
    ------
    ImportError
        If ray is not installed.
    """

    def __init__(self, *, nesting_level: int | None = None, **options: Any) -> None:
        super().__init__(nesting_level=nesting_level)
        try:
            import ray
        except ImportError as error:
            raise ImportError("backend='ray' needs ray: pip install 'retain[ray]'") from error
        self._ray = ray
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=True)
        self.options = options
        self._run = ray.remote(run)
        self._shares: Shares | None = None
        self._references: dict[Future[Any], Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.options,)

    def workers(self) -> int:
        """Return how many tasks the cluster runs at once."""
        each = self.options.get("num_cpus", 1) or 1
        return max(int(self._ray.cluster_resources().get("CPU", 1) // each), 1)

    def start_call(self) -> None:
        """Begin to share."""
        self._shares = Shares(self._ray.put)

    def stop_call(self) -> None:
        """Let go of what was shared."""
        self._shares = None
        self._references.clear()

    def submit(self, func: BatchedCalls, callback: Callable[[Any], object] | None = None) -> Any:  # type: ignore[override]
        """Give a batch to the cluster."""
        shares = self._shares or Shares(self._ray.put)
        payload, parts = shares.packed(func)
        # A worker that dies is reported, and its tasks are made again as `retries` says.
        options = {"name": func.name, "max_retries": 0, **self.options}
        reference = self._run.options(**options).remote(payload, *parts)
        future = reference.future()
        self._references[future] = reference
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return what became of a batch."""
        self._references.pop(out, None)
        return results(out.result())

    def abandon(self, jobs: Iterable[Any]) -> None:
        """End batches, with their worker if they run."""
        for job in jobs:
            reference = self._references.pop(job, None)
            if reference is not None:
                self._ray.cancel(reference, force=True)

    def explain(self, error: BaseException, function: Any, args: Any, kwargs: Any) -> BaseException | None:
        """Return the exception for a task whose worker died, None if it did not."""
        dead = self._ray.exceptions
        if not isinstance(error, (dead.WorkerCrashedError, dead.NodeDiedError, dead.OutOfMemoryError)):
            return None
        from retain._parallel import failures

        lost: BaseException = failures.TerminatedWorkerError(
            f"{failures.called(function, args, kwargs)} lost its ray worker: {error}"
        )
        lost.__cause__ = error
        return lost


def _remade(options: dict[str, Any]) -> RayBackend:
    return RayBackend(**options)
