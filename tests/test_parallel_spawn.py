"""Worker processes that are new interpreters each: what is promised of workers holds of them as well."""

import contextvars
import logging
import multiprocessing
import operator
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from faults_parallel.lab import outcome
from faults_parallel.table import SITUATIONS
from retain import Parallel, delayed, parallel_config

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all workers are new interpreters")
SPAWN = multiprocessing.get_context("spawn")


def run(tasks, **options):
    return Parallel(n_jobs=2, **{"context": SPAWN, **options})(tasks)


def program(source, **options):
    """Runs a program of its own, whose functions are those of `__main__`."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        **options,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def square(x):
    return x * x


def is_spawned(**options):
    """Whether this process itself is the parent of its workers: else they are forked from a helper."""
    [parent] = set(Parallel(n_jobs=2, **options)(delayed(os.getppid)() for _ in range(4)))
    return parent == os.getpid()


# Which workers there are.


@pytest.mark.parametrize(
    "options",
    [
        {"backend": SPAWN},
        {"backend": "multiprocessing", "context": SPAWN},
        {"context": SPAWN},
        {"backend": "loky", "context": SPAWN},
    ],
    ids=["backend", "multiprocessing", "default", "loky"],
)
def test_workers_are_new_interpreters_if_a_context_says_so(options):
    assert is_spawned(**options)


@pytest.mark.parametrize("backend", ["multiprocessing", "loky"])
def test_workers_are_new_interpreters_if_a_configuration_says_so(backend):
    with parallel_config(backend, context=SPAWN):
        assert is_spawned()
    assert not is_spawned()


def test_workers_are_new_interpreters_if_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("JOBLIB_START_METHOD", "spawn")
    assert is_spawned(backend="multiprocessing")
    # As in joblib: the default backend has a way of its own.
    assert not is_spawned()


def test_workers_are_new_interpreters_if_the_program_says_so():
    found = program("""
        import multiprocessing, os
        from retain import Parallel, delayed
        multiprocessing.set_start_method("spawn")
        parents = Parallel(n_jobs=2, backend="multiprocessing")(delayed(os.getppid)() for _ in range(3))
        print(set(parents) == {os.getpid()})
    """)
    assert found == "True\n"


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_all_other_contexts_mean_what_is_best(method):
    assert not is_spawned(backend=multiprocessing.get_context(method))


def test_what_is_no_context_is_refused():
    with pytest.raises(TypeError, match=r"context is 'spawn', but .* multiprocessing.get_context\('spawn'\)"):
        run([delayed(square)(2)], context="spawn")


# What holds of them.


@pytest.mark.parametrize(
    "name",
    """
    killed crashed left named tried_again out_of_memory over_the_limit leaking exception_with_arguments
    exception_that_cannot_be_pickled result_that_cannot_be_pickled argument_that_cannot_be_pickled
    argument_that_cannot_be_unpickled iterator_that_raises system_exit printing task_without_end
    task_without_end_in_c timeout_with_a_grandchild interrupt interrupt_grandchildren interrupt_twice
    parent_killed parent_killed_grandchildren parent_killed_in_c parent_killed_at_rest parent_terminated
    unhandled grandchild_left no_guard no_guard_spawned threads nested forked forked_and_left changed_in_place
    dropped
    """.split(),
)
@pytest.mark.timeout(120)
def test_faults_are_as_they_are_in_other_workers(tmp_path, monkeypatch, name):
    monkeypatch.setenv("FAULTS_START_METHOD", "spawn")
    shown, said = outcome(SITUATIONS[name], "retain", tmp_path)
    assert re.fullmatch(SITUATIONS[name].right, shown), f"{shown}\n{said}"


def test_functions_of_all_kinds_travel():
    offset = 10
    assert run(delayed(square)(i) for i in range(100)) == [i * i for i in range(100)]
    assert run(delayed(lambda x: x + offset)(i) for i in range(5)) == [10, 11, 12, 13, 14]
    assert run(delayed(operator.methodcaller("upper"))(c) for c in "abc") == ["A", "B", "C"]


def test_functions_and_classes_of_a_program_travel_by_value():
    found = program("""
        import multiprocessing
        from retain import Parallel, delayed

        print("begun")
        SCALE = 3

        class Point:
            def __init__(self, x):
                self.x = x

        def moved(point):
            return Point(point.x + SCALE)

        # No guard: the workers do not run this program.
        parallel = Parallel(n_jobs=2, context=multiprocessing.get_context("spawn"))
        points = parallel(delayed(moved)(Point(i)) for i in range(3))
        print([type(point) is Point and point.x for point in points])
    """)
    assert found == "begun\n[3, 4, 5]\n"


def test_large_arrays_are_shared_and_come_back_writable():
    array = np.arange(500_000, dtype=float)

    def look(a, i):
        return a[i], a.flags.writeable, a + i

    for i, (item, writable, back) in enumerate(run(delayed(look)(array, i) for i in range(6))):
        assert (item, writable) == (i, False)
        assert (back == array + i).all()
        back[0] = -1


def test_each_worker_is_numbered_and_calls_the_initializer_first(tmp_path):
    def begin(value):
        os.environ["RETAINED_BEGUN"] = value

    def look(i):
        # Both at once, so that one worker cannot have both.
        (tmp_path / str(i)).touch()
        while not (tmp_path / str(1 - i)).exists():
            time.sleep(0.001)
        return os.environ["RETAIN_WORKER"], os.environ["RETAINED_BEGUN"]

    found = run((delayed(look)(i) for i in range(2)), initializer=begin, initargs=("yes",))
    assert sorted(found) == [("0", "yes"), ("1", "yes")]


def test_thread_budgets_are_there_before_anything_is_imported():
    def look():
        # What the process was started with.
        told = Path("/proc/self/environ").read_bytes().split(b"\0")
        return sorted(entry.decode() for entry in told if entry.startswith((b"OMP_NUM", b"OPENBLAS_NUM")))

    with parallel_config("loky", context=SPAWN, inner_max_num_threads=3):
        [found] = Parallel(n_jobs=2)([delayed(look)()])
    assert found == ["OMP_NUM_THREADS=3", "OPENBLAS_NUM_THREADS=3"]


variable = contextvars.ContextVar("variable", default="unset")


def test_what_holds_in_the_program_holds_in_the_task(tmp_path, monkeypatch):
    def look():
        return Path.cwd(), os.getenv("RETAINED_VALUE"), sys.path[0], variable.get()

    def within():
        variable.set("set")
        return run([delayed(look)()])

    run([delayed(look)()])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RETAINED_VALUE", "here")
    monkeypatch.syspath_prepend(tmp_path)
    assert contextvars.copy_context().run(within) == [(tmp_path, "here", str(tmp_path), "set")]


def test_what_tasks_say_is_heard(capsys, caplog):
    def talk():
        print("hello")
        print("half", end="", file=sys.stderr)
        logging.getLogger("some.task").info("value %d", 3)
        warnings.warn("look out", UserWarning, stacklevel=1)

    with caplog.at_level(logging.INFO, logger="some"), pytest.warns(UserWarning, match="look out"):
        run([delayed(talk)()])
    assert capsys.readouterr() == ("hello\n", "half")
    assert [record.getMessage() for record in caplog.records] == ["value 3"]


def test_workers_outlive_the_thread_that_called_first():
    found = []

    def call():
        found.append(set(run((delayed(os.getpid)() for _ in range(20)), idle_worker_timeout=200)))

    for _ in range(2):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert found[0] & found[1]
