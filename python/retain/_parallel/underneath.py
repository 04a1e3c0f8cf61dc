"""Retain's worker processes underneath joblib's `Parallel`, for libraries that import joblib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retain._parallel.backends import LokyBackend

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from retain._parallel.parallel import Parallel

_TAKEN = ("max_nbytes", "mmap_mode", "initializer", "initargs", "idle_worker_timeout")


class RetainBackend(LokyBackend):
    """
    Runs the batches of joblib's `Parallel` in worker processes of retain: to be registered with joblib.

    Parameters
    ----------
    nesting_level : int, optional
        How many `Parallel` it is inside of.
    inner_max_num_threads : int, optional
        How many threads the libraries in a worker process may use.
    **options
        Of retain's `Parallel`: `retries`, `task_timeout` and `memory_limit`, each for a batch of joblib's.

    Examples
    --------
    >>> import joblib, retain.parallel
    >>> joblib.register_parallel_backend("retain", retain.parallel.RetainBackend)
    >>> with joblib.parallel_config("retain", n_jobs=2, retries=1):
    ...     joblib.Parallel()(joblib.delayed(abs)(-number) for number in range(3))
    [0, 1, 2]
    """

    _threads: ThreadPoolExecutor

    def configure(self, n_jobs: int = 1, parallel: Any = None, **told: Any) -> int:  # type: ignore[override]
        """Make ready."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            from joblib._parallel_backends import FallbackToBackend, SequentialBackend

            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._n_jobs = n_jobs
        self._options = {**{name: told[name] for name in _TAKEN if name in told}, **self.backend_kwargs}
        self._running: set[Parallel] = set()
        self._threads = self._new_threads()
        return n_jobs

    def _new_threads(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        # Each waits for a batch.
        return ThreadPoolExecutor(self._n_jobs, "retain")

    def submit(self, func: Callable[[], Any], callback: Callable[..., Any] | None = None) -> Any:
        """Give a batch to a worker."""
        future = self._threads.submit(self._run, func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return the results of a batch."""
        return out.result()

    def _run(self, func: Any) -> Any:
        from retain._parallel.parallel import Parallel

        names = {getattr(function, "__name__", type(function).__name__) for function, *_ in getattr(func, "items", ())}
        # What errors call it.
        func.__qualname__ = f"joblib's batch of {', '.join(sorted(names))}"
        workers = LokyBackend(nesting_level=0, inner_max_num_threads=self.inner_max_num_threads)
        parallel = Parallel(self._n_jobs, workers, **self._options)
        self._running.add(parallel)
        try:
            return parallel([(func, (), {})])[0]
        finally:
            self._running.discard(parallel)

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Return joblib's backend, and the number of jobs, of a `Parallel` inside a task."""
        from joblib._parallel_backends import SequentialBackend, ThreadingBackend

        level = (self.nesting_level or 0) + 1
        return (SequentialBackend if level > 1 else ThreadingBackend)(nesting_level=level), None

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End the batches that run, and drop the others."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for parallel in list(self._running):
            parallel._cancel()
        if ensure_ready:
            self._threads = self._new_threads()

    def terminate(self) -> None:
        """Let go of the workers, which stay for the next call."""
        self._threads.shutdown(wait=False)
        self.reset_batch_stats()
