"""Retain's workers underneath joblib's `Parallel`, for libraries that import joblib."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

joblib = pytest.importorskip("joblib")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="retain has no workers of its own there")

from retain import TerminatedWorkerError  # noqa: E402
from retain.parallel import RetainBackend  # noqa: E402


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(joblib.parallel.BACKENDS, "retain", RetainBackend)
    with joblib.parallel_config("retain", n_jobs=2):
        yield


def run(tasks, **options):
    return joblib.Parallel(**options)(tasks)


def parent_names(_):
    """The command lines of a worker's parent: the helper that workers are forked from."""
    return Path(f"/proc/{os.getppid()}/cmdline").read_bytes()


def test_results_come_in_the_order_of_the_tasks():
    offset = 1
    assert run(joblib.delayed(lambda x: x + offset)(i) for i in range(5000)) == list(range(1, 5001))
    found = run((joblib.delayed(abs)(-i) for i in range(20)), return_as="generator_unordered")
    assert sorted(found) == list(range(20))


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked from a helper on Linux")
def test_tasks_run_in_workers_of_retain():
    assert all(b"retain._parallel.zygote" in line for line in run(joblib.delayed(parent_names)(i) for i in range(4)))


def test_large_arrays_travel():
    array = np.arange(500_000)
    for i, found in enumerate(run(joblib.delayed(np.add)(array, i) for i in range(4))):
        assert (found == array + i).all()
        found[0] = -1


def test_the_exception_of_a_task_is_raised_and_ends_the_others():
    with pytest.raises(ZeroDivisionError):
        run([joblib.delayed(divmod)(1, 0), *(joblib.delayed(time.sleep)(1000) for _ in range(3))], batch_size=1)
    assert run(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]


def test_a_death_is_told_and_tried_again(tmp_path):
    def task(path):
        if not path.exists():
            path.touch()
            os._exit(1)
        return path.name

    with pytest.raises(TerminatedWorkerError, match="joblib's batch of _exit"):
        run([joblib.delayed(os._exit)(5)])
    with joblib.parallel_config("retain", n_jobs=2, retries=1):
        assert run(joblib.delayed(task)(tmp_path / str(i)) for i in range(3)) == ["0", "1", "2"]


def test_a_task_that_takes_too_long_is_ended():
    with (
        joblib.parallel_config("retain", n_jobs=2, task_timeout=0.5),
        pytest.raises(multiprocessing.TimeoutError, match="joblib's batch of sleep"),
    ):
        run([joblib.delayed(time.sleep)(60)])


def test_a_parallel_inside_a_task_is_joblibs_and_has_threads():
    def inner():
        parallel = joblib.Parallel(n_jobs=2)
        return type(parallel._backend).__name__, parallel(joblib.delayed(os.getpid)() for _ in range(2)), os.getpid()

    [(name, pids, pid)] = run([joblib.delayed(inner)()])
    assert (name, set(pids)) == ("ThreadingBackend", {pid})


def test_one_job_is_joblibs_own_loop():
    assert run((joblib.delayed(os.getpid)() for _ in range(2)), n_jobs=1) == [os.getpid()] * 2


def test_a_context_manager_keeps_the_workers():
    with joblib.Parallel() as parallel:
        for _ in range(3):
            assert parallel(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]
        with pytest.raises(ZeroDivisionError):
            parallel([joblib.delayed(divmod)(1, 0)])
        assert parallel(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]


def test_scikit_learn_finds_the_same_scores():
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_iris
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    iris, labels = load_iris(return_X_y=True)
    found = cross_val_score(SVC(), iris, labels, cv=4, n_jobs=2)
    assert found.tolist() == cross_val_score(SVC(), iris, labels, cv=4, n_jobs=1).tolist()


def test_joblib_is_not_imported_by_retain():
    program = "import sys, retain.parallel; print('joblib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert found.stdout == "False\n"
