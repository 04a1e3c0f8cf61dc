"""Any executor of :pep:`3148` as a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retain._parallel.backends import ParallelBackendBase
from retain._parallel.batching import AutoBatchingMixin

if TYPE_CHECKING:
    from collections.abc import Callable


def is_executor(backend: Any) -> bool:
    """Whether an object runs what it is given with ``submit``, as executors do, and is no backend."""
    return callable(getattr(backend, "submit", None)) and not hasattr(backend, "effective_n_jobs")


class ExecutorBackend(AutoBatchingMixin, ParallelBackendBase):
    """
    Run tasks on an executor, which stays its user's: it is never shut down here.

    Functions and arguments that leave the process are pickled, through cloudpickle where pickle does not do; on threads
    they are handed over as they are. A task that is running cannot be stopped: a `Parallel` that ends early cancels
    what waits.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Or anything with its ``submit``: that of a dask client, of mpi4py, of loky.
    """

    supports_retrieve_callback = True
    runs_elsewhere = True
    limits_tasks = True
    default_n_jobs = -1

    def __init__(self, executor: Any = None, *, nesting_level: int | None = None, **options: Any) -> None:
        super().__init__(nesting_level=nesting_level, **options)
        self.executor = executor
        self.supports_sharedmem = self.uses_threads = _is_of_threads(executor)

    def compute_batch_size(self) -> int:
        """Return how many tasks are to be submitted together; to threads, one."""
        return 1 if self.uses_threads else super().compute_batch_size()

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: Any = None, require: Any = None, **backend_kwargs: Any
    ) -> int:
        """Make ready."""
        asked = {name: backend_kwargs.get(name) for name in ("initializer", "idle_worker_timeout")}
        asked["memory_limit"] = getattr(parallel, "memory_limit", None)
        for name, value in asked.items():
            if value is not None:
                raise ValueError(
                    f"{name} is {value!r}, but the workers of {type(self).__name__} are not retain's: tell it to what "
                    "starts them"
                )
        return super().configure(n_jobs, parallel, prefer, require, **backend_kwargs)

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks the executor runs at once, or the fewer that are asked for."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        workers = self.workers()
        if n_jobs is None or n_jobs == -1:
            return workers
        return min(n_jobs, workers) if n_jobs > 0 else max(workers + 1 + n_jobs, 1)

    def workers(self) -> int:
        """Return how many tasks the executor runs at once."""
        for name in ("_max_workers", "num_workers"):
            found = getattr(self.executor, name, None)
            if isinstance(found, int) and found > 0:
                return found
        client: Any = getattr(self.executor, "_client", None)
        if hasattr(client, "ncores"):
            return max(int(sum(client.ncores().values())), 1)
        from retain._parallel.cores import cpu_count

        return cpu_count()

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None) -> Any:
        """Give a batch to the executor."""
        future = self.executor.submit(func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return the result of a future that is done."""
        return out.result()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.executor!r})"


def _is_of_threads(executor: Any) -> bool:
    import sys

    # Those who have one have imported it.
    futures = sys.modules.get("concurrent.futures.thread")
    if futures is None or not isinstance(executor, futures.ThreadPoolExecutor):
        return False
    return "Interpreter" not in type(executor).__name__
