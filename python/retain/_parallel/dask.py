"""The backend ``"dask"``: tasks on a cluster of dask.distributed."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from retain._parallel.clusters import ClusterBackend
from retain._parallel.sharing import run

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 10.0  # seconds until a worker must be there

_made: list[Any] = []  # the client of a cluster that was made here


class DaskBackend(ClusterBackend):
    """
    Run tasks on the workers of dask.

    The client is the current one, or else that of a cluster of processes on this machine, which is made once and ends
    with the program. Large arrays among functions and arguments are scattered once in a run, however many tasks use
    them, and are read-only in the tasks.

    Parameters
    ----------
    client : distributed.Client, optional
    scheduler_host : str, optional
        The address of a scheduler to connect to.
    scatter : list, optional
        Arrays to be on each worker before the first task.
    wait_for_workers_timeout : float, default 10
        How many seconds to wait for a first worker.
    nesting_level : int, optional
        How many `Parallel` it is inside of.
    **submit_kwargs
        Handed to `distributed.Client.submit`, such as ``resources=``.

    Raises
    ------
    ImportError
        If dask.distributed is not installed.
    """

    MAX_IDEAL_BATCH_DURATION = 1

    def __init__(
        self,
        client: Any = None,
        *,
        scheduler_host: str | None = None,
        scatter: list[Any] | tuple[Any, ...] | None = None,
        wait_for_workers_timeout: float = _PATIENCE,
        nesting_level: int | None = None,
        **submit_kwargs: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level)
        if scatter is not None and not isinstance(scatter, (list, tuple)):
            raise TypeError(f"scatter must be a list or a tuple, not {type(scatter).__name__}")
        self.client = client or _client(scheduler_host)
        self.wait_for_workers_timeout = wait_for_workers_timeout
        self.submit_kwargs = submit_kwargs
        self._scatter = scatter or ()

    def __reduce__(self) -> tuple[Any, ...]:
        # In a worker, the current client is the worker's own.
        return DaskBackend, ()

    def workers(self) -> int:
        """Return how many tasks the cluster runs at once; without a worker, wait for one."""
        cores: int = sum(self.client.ncores().values())
        if not cores and self.wait_for_workers_timeout:
            from distributed import TimeoutError as NoWorkerError

            try:
                self.client.wait_for_workers(1, timeout=self.wait_for_workers_timeout)
            except NoWorkerError as error:
                raise TimeoutError(
                    f"dask has no worker after {self.wait_for_workers_timeout:g} seconds. Make sure that workers are "
                    "started and reach the scheduler, or wait longer: "
                    "parallel_config(backend='dask', wait_for_workers_timeout=60)"
                ) from error
            cores = sum(self.client.ncores().values())
        return max(cores, 1)

    def start_call(self) -> None:
        """Begin to share, with what all workers are to have."""
        super().start_call()
        for value in self._scatter:
            if self._shares is not None:
                self._shares.put_first(value, self._put_everywhere)

    def _put(self, value: Any) -> Any:
        # Without a hash of dask's own: nested calls that scatter by hash were seen to be cancelled.
        return self.client.scatter(value, hash=False)

    def _put_everywhere(self, value: Any) -> Any:
        return self.client.scatter(value, broadcast=True, hash=False)

    def _begin(self, name: str, payload: bytes, parts: list[Any]) -> tuple[Any, Future[bytes]]:
        from uuid import uuid4

        key = f"{name}-{uuid4().hex}"
        there = self.client.submit(run, payload, *parts, key=key, pure=False, **self.submit_kwargs)
        here: Future[bytes] = Future()
        self.client.loop.add_callback(self._fetch, here, there)
        return there, here

    async def _fetch(self, here: Future[bytes], there: Any) -> None:
        """Bring a result as soon as it is there, and again if it is lost on its way with a worker."""
        try:
            here.set_result(await self.client.gather(there, asynchronous=True))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            here.set_exception(error)

    def _cancel(self, there: list[Any]) -> None:
        # What runs goes on: dask cannot end it.
        self.client.cancel(there)

    def _is_death(self, error: BaseException) -> bool:
        from distributed import KilledWorker

        return isinstance(error, KilledWorker)

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Return this backend: the cluster runs nested calls as well."""
        return DaskBackend(self.client, nesting_level=(self.nesting_level or 0) + 1), -1

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Leave the worker's slot while a task waits for tasks of its own."""
        from distributed import rejoin, secede
        from distributed.worker import thread_state

        within = hasattr(thread_state, "execution_state")
        if within:
            secede()
        try:
            yield
        finally:
            if within:
                rejoin()


def _client(address: str | None) -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ImportError("backend='dask' needs dask.distributed: pip install 'retain[dask]'") from error
    if address is not None:
        return distributed.Client(address, set_as_default=False)
    try:
        return distributed.get_client()
    except ValueError:
        pass
    if not _made or _made[0].status != "running":
        _made[:] = [distributed.Client(processes=True, dashboard_address=None, set_as_default=False)]
    return _made[0]
