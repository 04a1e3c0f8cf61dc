"""`backend="dask"` on a cluster of this machine."""

import sys
from pathlib import Path

import pytest

distributed = pytest.importorskip("distributed")
import dask  # noqa: E402 - there as well

sys.path.insert(0, str(Path(__file__).parent))

from promises import Deaths, Promises  # noqa: E402 - beside this file
from retain import Parallel, delayed  # noqa: E402

# Of the libraries, not of ours.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module", autouse=True)
def client():
    with (
        # A task that ends its worker is not to end three others, which take their time to start.
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


class TestDask(Promises):
    backend = "dask"

    def test_all_cores_of_the_cluster_are_used(self, client):
        parallel = self.parallel()
        parallel([delayed(abs)(1)])
        assert parallel.stats().workers == sum(client.ncores().values()) == 2

    def test_a_clients_executor_is_a_backend(self, client):
        assert Parallel(backend=client.get_executor())(delayed(abs)(-i) for i in range(5)) == [0, 1, 2, 3, 4]

    def test_a_nested_call_uses_the_cluster_and_does_not_hang(self):
        def inner(count):
            return sum(Parallel(backend="dask")(delayed(abs)(i) for i in range(count)))

        assert self.parallel()(delayed(inner)(count) for count in (2, 3, 4)) == [1, 3, 6]

    def test_nothing_stays_on_the_cluster(self, client):
        import gc

        self.parallel()(delayed(abs)(i) for i in range(10))
        gc.collect()
        assert not client.futures or all(future.status != "pending" for future in client.futures.values())


class TestDaskDeaths(Deaths):
    backend = "dask"
