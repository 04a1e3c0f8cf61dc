"""`backend="ray"` on a cluster of this machine."""

import os
import sys
from pathlib import Path

import pytest

# Nobody is to be told of a test.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Where the workers find what is beside this file, as they find what is beside a script.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
ray = pytest.importorskip("ray")

sys.path.insert(0, str(Path(__file__).parent))

from promises import Deaths, Promises  # noqa: E402 - beside this file
from retain import delayed  # noqa: E402

# Of the libraries, not of ours.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    yield
    ray.shutdown()


class TestRay(Promises):
    backend = "ray"

    def test_all_cores_of_the_cluster_are_used(self):
        parallel = self.parallel()
        parallel([delayed(abs)(1)])
        assert parallel.stats().workers == 2


class TestRayDeaths(Deaths):
    backend = "ray"
