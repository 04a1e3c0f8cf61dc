"""The backend ``"ray"``: tasks on a cluster of ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retain._parallel.clusters import ClusterBackend
from retain._parallel.sharing import run

if TYPE_CHECKING:
    from concurrent.futures import Future


class RayBackend(ClusterBackend):
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

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.options,)

    def workers(self) -> int:
        """Return how many tasks the cluster runs at once."""
        each = self.options.get("num_cpus", 1) or 1
        return max(int(self._ray.cluster_resources().get("CPU", 1) // each), 1)

    def _put(self, value: Any) -> Any:
        return self._ray.put(value)

    def _begin(self, name: str, payload: bytes, parts: list[Any]) -> tuple[Any, Future[bytes]]:
        # A worker that dies is reported, and its tasks are made again as `retries` says.
        options = {"name": name, "max_retries": 0, **self.options}
        there = self._run.options(**options).remote(payload, *parts)
        return there, there.future()

    def _cancel(self, there: list[Any]) -> None:
        for each in there:
            self._ray.cancel(each, force=True)

    def _is_death(self, error: BaseException) -> bool:
        dead = self._ray.exceptions
        return isinstance(error, (dead.WorkerCrashedError, dead.NodeDiedError, dead.OutOfMemoryError))


def _remade(options: dict[str, Any]) -> RayBackend:
    return RayBackend(**options)
