"""Where retain has no worker processes of its own, those of the standard library take their place."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from retain import Parallel, TerminatedWorkerError, delayed, parallel_config
from retain._parallel import backends

HIDE = """
    # As on Windows: what is of Unix alone, and what the compiled part has only there, is not there.
    import os, signal, sys
    import concurrent.futures.process, multiprocessing.connection, multiprocessing.popen_spawn_posix  # first
    import multiprocessing.resource_tracker, multiprocessing.pool, subprocess, tempfile, random, logging, asyncio
    for name in ("fork", "register_at_fork", "sched_getaffinity", "getuid", "geteuid", "fchmod", "fchown",
                 "getpgid", "killpg", "O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC"):
        delattr(os, name)
    for name in ("SIGALRM", "SIGHUP", "SIGCHLD", "pthread_kill"):
        delattr(signal, name)
    for name in ("fcntl", "resource", "pwd", "grp", "termios"):
        sys.modules[name] = None
    from retain import _retain
    for name in ("Pool", "Run", "ZygoteServer", "emit", "note_fork", "work", "write"):
        delattr(_retain, name)
"""


def program(source):
    """Runs a program of its own that finds no more than there is on Windows."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HIDE) + textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    monkeypatch.setattr(backends, "_has_workers", lambda: False)


def run(tasks, **options):
    return Parallel(n_jobs=2, **options)(tasks)


def square(x):
    return x * x


def test_everything_can_be_imported():
    found = program("""
        import importlib, pkgutil
        del signal.SIGKILL  # only now: the standard library itself ends processes by it
        import retain
        for module in pkgutil.walk_packages(retain.__path__, "retain."):
            if not module.name.endswith("__main__"):
                try:
                    importlib.import_module(module.name)
                except ModuleNotFoundError as error:
                    # A library that is not installed here.
                    top = error.name.partition(".")[0]
                    assert top != "retain" and top not in sys.stdlib_module_names, (module.name, error)
        print([getattr(retain, name) is not None for name in ("Parallel", "map", "parallel_config", "Memory")])
    """)
    assert found == "[True, True, True, True]\n"


def test_calls_run_without_what_is_of_unix_alone():
    found = program("""
        import retain
        from retain import Parallel, delayed

        class Point:
            def __init__(self, x):
                self.x = x

        def moved(point):
            return Point(point.x + 1)

        # No guard: the workers do not run this program.
        print([point.x for point in Parallel(n_jobs=2)(delayed(moved)(Point(i)) for i in range(3))])
        print(retain.map(lambda x: x + 1, range(3), n_jobs=2))
        with retain.parallel_config("multiprocessing"):
            print(Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(2)).count(os.getpid()))
    """)
    assert found == "[1, 2, 3]\n[1, 2, 3]\n0\n"


def test_a_script_without_a_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(HIDE)
        + textwrap.dedent("""
        print("begun")
        from retain import Parallel, delayed

        def f(x):
            return x + 1

        print(Parallel(n_jobs=2)(delayed(f)(i) for i in range(3)))
    """)
    )
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50, check=True)
    assert (found.stdout, found.stderr) == ("begun\n[1, 2, 3]\n", "")


def test_functions_and_arrays_travel():
    offset = 10
    assert run(delayed(square)(i) for i in range(100)) == [i * i for i in range(100)]
    assert run(delayed(lambda x: x + offset)(i) for i in range(5)) == [10, 11, 12, 13, 14]
    [array] = run([delayed(np.add)(np.arange(500_000), 1)])
    assert (array == np.arange(1, 500_001)).all()


def test_workers_are_kept_for_the_next_call():
    first = set(run(delayed(os.getpid)() for _ in range(20)))
    again = set(run(delayed(os.getpid)() for _ in range(20)))
    assert os.getpid() not in first
    assert first & again


def test_workers_find_their_budget_and_number_before_anything_is_imported(monkeypatch):
    def look():
        return [os.environ[name] for name in ("OMP_NUM_THREADS", "RETAIN_DEPTH")], os.environ["RETAIN_WORKER"]

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with parallel_config("loky", inner_max_num_threads=3):
        [(found, number)] = Parallel(n_jobs=2)([delayed(look)()])
    assert found == ["3", "1"]
    assert number in {"0", "1"}
    assert dict(os.environ) == before


@pytest.mark.skipif(sys.platform != "linux", reason="what a process was started with is seen on Linux")
def test_the_budget_is_what_workers_are_started_with():
    with parallel_config("loky", inner_max_num_threads=3):
        [found] = Parallel(n_jobs=2)([delayed(Path.read_bytes)(Path("/proc/self/environ"))])
    assert b"OMP_NUM_THREADS=3" in found.split(b"\0")


def test_a_death_is_told_and_the_next_call_works():
    with pytest.raises(TerminatedWorkerError, match=r"_exit\(5\) was under way"):
        run([delayed(os._exit)(5)])
    assert run(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_a_death_is_retried(tmp_path):
    def task(path):
        if not path.exists():
            path.touch()
            os._exit(1)
        return path.name

    assert run([delayed(task)(tmp_path / "a")], retries=1) == ["a"]


def test_a_failure_can_stand_in_the_place_of_the_result():
    found = run((delayed(divmod)(1, i) for i in range(3)), on_error="return")
    assert [type(each) for each in found] == [ZeroDivisionError, tuple, tuple]
    assert run((delayed(divmod)(1, i) for i in range(3)), on_error="skip") == [(1, 0), (0, 1)]
    with pytest.raises(ZeroDivisionError):
        run(delayed(divmod)(1, i) for i in range(3))


def test_what_cannot_be_pickled_is_told():
    with pytest.raises(pickle.PicklingError, match="Could not pickle the task"):
        run([delayed(square)(threading.Lock())])
    found = run([delayed(threading.Lock)(), delayed(square)(2)], batch_size=2, on_error="return")
    assert "Could not pickle the result" in str(found[0])
    assert found[1] == 4


def test_a_call_that_fails_ends_its_tasks(tmp_path):
    def task(i):
        (tmp_path / str(i)).write_text(str(os.getpid()))
        while i:
            time.sleep(0.01)
        while not (tmp_path / "1").exists():
            time.sleep(0.01)
        raise LookupError

    with pytest.raises(LookupError):
        run((delayed(task)(i) for i in range(2)), batch_size=1)
    ended(int((tmp_path / "1").read_text()))


def ended(pid):
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_task_that_takes_too_long_fails_alone_and_ends_with_the_call(tmp_path):
    def task(i):
        (tmp_path / str(i)).write_text(str(os.getpid()))
        while i == 1:
            time.sleep(0.01)
        return i

    run(delayed(square)(i) for i in range(2))
    found = run((delayed(task)(i) for i in range(4)), task_timeout=2, on_error="return")
    assert isinstance(found[1], multiprocessing.TimeoutError)
    assert found[:1] + found[2:] == [0, 2, 3]
    ended(int((tmp_path / "1").read_text()))


def test_an_initializer_is_called_first_and_its_exception_is_raised():
    def begin(value):
        os.environ["RETAINED_BEGUN"] = value

    def fail():
        raise LookupError("not here")

    found = run((delayed(os.getenv)("RETAINED_BEGUN") for _ in range(8)), initializer=begin, initargs=("yes",))
    assert found == ["yes"] * 8
    with pytest.raises(LookupError, match="not here"):
        run([delayed(square)(2)], initializer=fail)


def test_what_cannot_be_kept_is_told():
    with pytest.warns(UserWarning, match="memory_limit is 1000000000, but it will not be used") as caught:
        assert run([delayed(square)(2)], memory_limit=10**9) == [4]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_generators_give_results_as_they_come(return_as):
    found = run((delayed(square)(i) for i in range(20)), return_as=return_as)
    assert next(found) in {i * i for i in range(20)}
    assert len(list(found)) == 19


def test_a_context_manager_keeps_workers():
    with Parallel(n_jobs=2) as parallel:
        assert parallel(delayed(square)(i) for i in range(3)) == [0, 1, 4]
        with pytest.raises(ZeroDivisionError):
            parallel([delayed(divmod)(1, 0)])
        assert parallel(delayed(square)(i) for i in range(3)) == [0, 1, 4]


@pytest.mark.skipif(sys.platform == "win32", reason="a signal of Unix")
def test_ctrl_c_ends_the_call():
    found = program("""
        import threading, time
        from retain import Parallel, delayed
        parallel = Parallel(n_jobs=2)
        parallel(delayed(time.sleep)(0) for _ in range(2))
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()
        try:
            parallel(delayed(time.sleep)(40) for _ in range(2))
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - begun < 20)
        print(parallel(delayed(abs)(-i) for i in range(3)))
    """)
    assert found == "interrupted True\n[0, 1, 2]\n"
