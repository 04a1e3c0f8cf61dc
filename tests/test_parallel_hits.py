"""A delayed call of a memoized function whose result is at hand is not dispatched, and a run can be continued."""

import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest
import retain
from retain import Memory, Parallel, delayed, expires_after

needs_processes = pytest.mark.skipif(
    find_spec("retain._parallel.processes") is None, reason="there are no worker processes on this platform"
)
BACKENDS = ["threading", pytest.param("loky", marks=needs_processes)]


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path / "cache", verbose=0)


def square_beside(x, log):
    with Path(log).open("a") as file:
        file.write(f"{x}\n")
    return [x * x]


def calls(log):
    return sorted(int(line) for line in log.read_text().split()) if log.exists() else []


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_kept_is_not_computed_again(memory, log, backend):
    function = memory.cache(square_beside, ignore=["log"])
    parallel = Parallel(n_jobs=2, backend=backend)
    assert parallel(delayed(function)(i, log) for i in range(6)) == [[i * i] for i in range(6)]
    assert (parallel.stats().hits, calls(log)) == (0, list(range(6)))
    assert parallel(delayed(function)(i, log) for i in range(9)) == [[i * i] for i in range(9)]
    assert (parallel.stats().hits, parallel.stats().tasks) == (6, 9)
    assert calls(log) == list(range(9))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_hits_are_given_among_the_others(memory, log, backend, return_as):
    function = memory.cache(square_beside, ignore=["log"])
    for i in range(0, 40, 2):
        function(i, log)
    results = list(Parallel(2, backend=backend, return_as=return_as)(delayed(function)(i, log) for i in range(40)))
    assert (results if return_as == "generator" else sorted(results)) == [[i * i] for i in range(40)]
    assert calls(log) == list(range(40))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_result_that_is_not_valid_is_computed_again(memory, log, backend):
    valid = []
    function = memory.cache(
        square_beside, ignore=["log"], cache_validation_callback=lambda metadata: bool(valid) and metadata["time"] > 0
    )
    parallel = Parallel(n_jobs=2, backend=backend)
    for expected in (3, 6):
        parallel(delayed(function)(i, log) for i in range(3))
        assert (parallel.stats().hits, len(calls(log))) == (0, expected)
    valid.append(True)
    parallel(delayed(function)(i, log) for i in range(3))
    assert (parallel.stats().hits, len(calls(log))) == (3, 6)


def test_a_result_that_has_expired_is_computed_again(memory, log):
    function = memory.cache(square_beside, ignore=["log"], cache_validation_callback=expires_after(seconds=-1))
    parallel = Parallel(n_jobs=2, backend="threading")
    parallel(delayed(function)(i, log) for i in range(3))
    parallel(delayed(function)(i, log) for i in range(3))
    assert len(calls(log)) == 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_that_are_mapped_are_hits_too(memory, log, backend):
    numpy = pytest.importorskip("numpy")

    function = memory.cache(numpy.arange, mmap_mode="r")
    parallel = Parallel(n_jobs=2, backend=backend)
    for hits in (0, 2):
        found = parallel(delayed(function)(n) for n in (10_000, 20_000))
        assert [array.shape for array in found] == [(10_000,), (20_000,)]
        assert parallel.stats().hits == hits


def test_functions_held_in_memory_are_hits(log):
    function = retain.memoize(square_beside)
    parallel = Parallel(n_jobs=2, backend="threading")
    parallel(delayed(function)(i, log) for i in range(3))
    parallel(delayed(function)(i, log) for i in range(5))
    assert parallel.stats().hits == 3
    assert calls(log) == list(range(5))


def test_methods_are_hits(memory, log):
    class Model:
        def __init__(self, factor):
            self.factor = factor

        @memory.cache(ignore=["log"])
        def times(self, x, log):
            return square_beside(x * self.factor, log)

    model = Model(2)
    parallel = Parallel(n_jobs=2, backend="threading")
    for hits in (0, 3):
        assert parallel(delayed(model.times)(i, log) for i in range(3)) == [[0], [4], [16]]
        assert parallel.stats().hits == hits


def test_a_call_that_does_not_fit_is_told_as_such(memory, log):
    function = memory.cache(square_beside, ignore=["log"])
    with pytest.raises(TypeError, match="missing a required argument|required positional argument"):
        Parallel(n_jobs=2, backend="threading")([delayed(function)()])


def test_a_store_that_cannot_be_read_costs_a_computation(memory, log):
    function = memory.cache(square_beside, ignore=["log"])
    function(1, log)
    memory.clear(warn=False)
    assert Parallel(n_jobs=2, backend="threading")([delayed(function)(1, log)]) == [[1]]
    assert calls(log) == [1, 1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupted_run_continues_where_it_stopped(tmp_path, backend):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import os, sys, time
            from retain import Memory, Parallel, delayed

            memory = Memory(sys.argv[1], verbose=0)

            @memory.cache(ignore=["log"])
            def work(x, log):
                with open(log, "a") as file:
                    file.write(f"{x}\\n")
                return x * x

            def tasks(stop):
                for i in range(20):
                    if i == stop:
                        # When the others have ended.
                        deadline = time.monotonic() + 20
                        while len(open(sys.argv[2]).read().split()) < 8 and time.monotonic() < deadline:
                            time.sleep(0.01)
                        time.sleep(0.2)
                        os._exit(9)
                    yield delayed(work)(i, sys.argv[2])

            if __name__ == "__main__":
                parallel = Parallel(n_jobs=2, backend=sys.argv[3])
                print(sum(parallel(tasks(int(sys.argv[4])))), parallel.stats().hits)
        """)
    )
    (tmp_path / "log").touch()

    def run(stop):
        command = [sys.executable, str(program), str(tmp_path / "cache"), str(tmp_path / "log"), backend, str(stop)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, env=environment)

    assert run(10).returncode == 9
    done = len(calls(tmp_path / "log"))
    assert done >= 8
    again = run(-1)
    total, hits = again.stdout.split() if again.returncode == 0 else pytest.fail(again.stderr)
    assert int(total) == sum(i * i for i in range(20))
    assert int(hits) >= 8
    assert len(calls(tmp_path / "log")) <= 20 + (done - 8)
