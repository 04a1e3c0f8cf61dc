"""What backends that submit tasks to a pool are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retain._parallel.cores import cpu_count, multiprocessing_allowed

if TYPE_CHECKING:
    from collections.abc import Callable

NO_JOBS = "n_jobs == 0 in Parallel has no meaning"


class PoolManagerMixin:
    """Submits tasks to a pool with the methods of `multiprocessing.pool.Pool`."""

    _pool: Any = None
    parallel: Any

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once."""
        if n_jobs == 0:
            raise ValueError(NO_JOBS)
        if n_jobs is None or not multiprocessing_allowed():
            return 1
        return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)

    def terminate(self) -> None:
        """Shut the pool down."""
        if self._pool is not None:
            self._pool.close()
            self._pool.terminate()
            self._pool = None

    def _get_pool(self) -> Any:
        return self._pool

    def submit(self, func: Callable[[], Any], callback: Callable[..., Any] | None = None) -> Any:
        """Give a function to the pool."""
        return self._get_pool().apply_async(SafeFunction(func), (), callback=callback, error_callback=callback)

    def retrieve_result_callback(self, result: Any) -> Any:
        """Return the result, or raise what was raised."""
        return raised_here(result)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Shut the pool down, and make another if that is asked for."""
        self.terminate()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel, **self.parallel._backend_kwargs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **backend_kwargs: Any) -> int:
        """Make ready."""
        raise NotImplementedError


class SafeFunction:
    """
    A function whose exceptions are results.

    Parameters
    ----------
    func : callable
        The function.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.func(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it is raised again by the caller
            return Raised(error)


class Raised:
    """
    An exception on its way to another process, with its traceback as a text.

    Parameters
    ----------
    error : BaseException
        The exception.
    """

    def __init__(self, error: BaseException) -> None:
        import traceback

        self.error = error
        self.text = "".join(traceback.format_exception(error))
        error.__traceback__ = None


class _RemoteTraceback(Exception):  # noqa: N818 - what Python calls it
    """The traceback of another process."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def raised_here(result: Any) -> Any:
    """Return a result, or raise the exception that it is."""
    if isinstance(result, Raised):
        result.error.__cause__ = _RemoteTraceback(result.text)
        raise result.error
    if isinstance(result, BaseException):
        raise result
    return result


class AutoBatchingMixin:
    """Chooses how many tasks are submitted together, so that a batch takes from 0.2 to 2 seconds."""

    MIN_IDEAL_BATCH_DURATION = 0.2
    MAX_IDEAL_BATCH_DURATION = 2
    _DEFAULT_EFFECTIVE_BATCH_SIZE = 1
    _DEFAULT_SMOOTHED_BATCH_DURATION = 0.0

    parallel: Any
    _effective_batch_size: int
    _smoothed_batch_duration: float

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reset_batch_stats()

    def compute_batch_size(self) -> int:
        """Return how many tasks are to be submitted together."""
        old, took = self._effective_batch_size, self._smoothed_batch_duration
        ideal = 2 * int(old * self.MIN_IDEAL_BATCH_DURATION / took) if took > 0 else old
        if 0 < took < self.MIN_IDEAL_BATCH_DURATION:
            new, how = max(1, min(2 * old, ideal)), "fast"
        elif took > self.MAX_IDEAL_BATCH_DURATION and old >= 2:
            new, how = max(1, ideal), "slow"
        else:
            return old
        self._effective_batch_size = new
        if self.parallel.verbose >= 10:
            self.parallel._print(f"Batch computation too {how} ({took}s.) Setting batch_size={new}.")
        if new != old:
            # What was measured belongs to the other size.
            self._smoothed_batch_duration = self._DEFAULT_SMOOTHED_BATCH_DURATION
        return new

    def batch_completed(self, batch_size: int, duration: float) -> None:
        """Be told how long a batch took."""
        if batch_size != self._effective_batch_size:
            return
        old = self._smoothed_batch_duration
        first = old == self._DEFAULT_SMOOTHED_BATCH_DURATION
        self._smoothed_batch_duration = duration if first else 0.8 * old + 0.2 * duration

    def reset_batch_stats(self) -> None:
        """Forget what was measured."""
        self._effective_batch_size = self._DEFAULT_EFFECTIVE_BATCH_SIZE
        self._smoothed_batch_duration = self._DEFAULT_SMOOTHED_BATCH_DURATION
