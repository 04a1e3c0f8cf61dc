"""Tasks in worker processes: what travels there and back, and what is heard of them."""

import contextvars
import functools
import logging
import multiprocessing
import operator
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from retain import Parallel, TerminatedWorkerError, delayed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="retain has none of its own there")


def run(tasks, **options):
    return Parallel(n_jobs=2, **options)(tasks)


def program(source, *arguments, cwd=None, check=True):
    """Runs a program of its own, whose functions are those of `__main__`."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=cwd,
    )
    if check:
        assert found.returncode == 0, found.stderr
    return found


def square(x):
    return x * x


class Counter:
    def __init__(self, start):
        self.start = start

    def plus(self, x):
        return self.start + x

    def __call__(self, x):
        return self.start * x

    @classmethod
    def made(cls, x):
        return cls(x).start

    @staticmethod
    def twice(x):
        return 2 * x


# What is called.


def test_functions_of_modules_run_in_other_processes():
    pids = run(delayed(os.getpid)() for _ in range(8))
    assert os.getpid() not in pids
    assert run(delayed(square)(i) for i in range(100)) == [i * i for i in range(100)]


def test_lambdas_and_closures_travel():
    offset = 10

    def plus(x):
        return x + offset

    assert run(delayed(lambda x: x + 1)(i) for i in range(5)) == [1, 2, 3, 4, 5]
    assert run(delayed(plus)(i) for i in range(5)) == [10, 11, 12, 13, 14]
    # Each a function of its own.
    assert run(delayed(lambda i=i: i)() for i in range(200)) == list(range(200))


def test_all_kinds_of_callables_travel():
    counter = Counter(5)
    assert run(delayed(counter.plus)(i) for i in range(4)) == [5, 6, 7, 8]
    assert run(delayed(counter)(i) for i in range(4)) == [0, 5, 10, 15]
    assert run(delayed(Counter(i))(3) for i in range(4)) == [0, 3, 6, 9]
    assert run(delayed(functools.partial(operator.add, i))(1) for i in range(4)) == [1, 2, 3, 4]
    assert run(delayed(Counter.made)(i) for i in range(4)) == [0, 1, 2, 3]
    assert run(delayed(Counter.twice)(i) for i in range(4)) == [0, 2, 4, 6]
    assert [c.start for c in run(delayed(Counter)(i) for i in range(4))] == [0, 1, 2, 3]
    assert run(delayed("abc".index)(c) for c in "abc") == [0, 1, 2]


class Number(int):
    pass


def test_small_values_travel_exactly():
    values = [
        0, -1, 2**31, -(2**63), 2**63 - 1, 2**63, -(2**63) - 1, 10**40, True, False, None, 0.0, -0.0, float("inf"),
        1e-320, "", "text", "ä€😀", "\ud800", "x" * 64, "x" * 65, "\0", (), (1,), [1], b"b", Number(3), 1j,
    ]  # fmt: skip
    for sent, back in zip(values, run(delayed(lambda x: (repr(x), x))(x) for x in values), strict=True):
        assert back[0] == repr(sent)
    for sent, back in zip(values, run(delayed(operator.itemgetter(0))([x]) for x in values), strict=True):
        assert type(back) is type(sent)
        assert repr(back) == repr(sent)
    assert run([delayed(max)(*range(20)), delayed(max)(1, 2.5), delayed("-".join)("ab")]) == [19, 2.5, "a-b"]


def test_named_arguments_travel():
    assert run(delayed(dict)([(1, i)], a=i) for i in range(3)) == [{1: i, "a": i} for i in range(3)]
    assert run(delayed(sorted)([3, 1, 2], reverse=True) for _ in range(3)) == [[3, 2, 1]] * 3


def test_functions_and_classes_of_a_program_travel_by_value():
    program("""
        from retain import Parallel, delayed
        import math

        SCALE = 3

        class Point:
            def __init__(self, x):
                self.x = x
            def moved(self):
                return Point(self.x + SCALE)

        class Broken(Exception):
            def __init__(self, code, *, hint):
                super().__init__(f"code {code}")
                self.code, self.hint = code, hint

        def helper(x):
            return math.floor(x) * SCALE

        def work(x):
            return helper(x)

        def fail(x):
            raise Broken(x, hint="so")

        # No guard: the workers do not run this program.
        assert Parallel(n_jobs=2)(delayed(work)(i + 0.5) for i in range(4)) == [0, 3, 6, 9]
        SCALE = 4
        assert Parallel(n_jobs=2)(delayed(work)(i) for i in range(4)) == [0, 4, 8, 12]
        points = Parallel(n_jobs=2)(delayed(Point.moved)(Point(i)) for i in range(3))
        assert all(type(point) is Point for point in points)
        assert [point.x for point in points] == [4, 5, 6]
        try:
            Parallel(n_jobs=2)([delayed(fail)(7)])
        except Broken as error:
            assert (error.code, error.hint, error.args) == (7, "so", ("code 7",))
        else:
            raise AssertionError
    """)


def test_a_program_without_a_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        print("begun")
        from retain import Parallel, delayed

        def f(x):
            return x + 1

        print(Parallel(n_jobs=2)(delayed(f)(i) for i in range(3)))
    """)
    )
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50, check=True)
    assert found.stdout == "begun\n[1, 2, 3]\n"
    assert not found.stderr


# Large data.


def test_a_large_array_is_shared_once_and_read_only():
    array = np.arange(500_000, dtype=float)

    def look(a, i):
        return a[i], a.flags.writeable, a.sum()

    parallel = Parallel(n_jobs=2)
    found = parallel(delayed(look)(array, i) for i in range(16))
    assert found == [(i, False, array.sum()) for i in range(16)]


def test_copies_on_write_are_the_tasks_own():
    array = np.zeros(500_000)

    def write(a, i):
        seen = a[:4].copy()
        a[:4] = i + 1
        return seen.sum(), a[:4].sum()

    for mode in ("c", None):
        assert run((delayed(write)(array, i) for i in range(6)), mmap_mode=mode) == [(0, 4 * (i + 1)) for i in range(6)]
    assert array.sum() == 0


def test_a_change_in_place_between_tasks_is_seen():
    array = np.zeros(500_000)

    def tasks():
        for i in range(6):
            array[:] = i
            yield delayed(np.sum)(array)

    assert run(tasks()) == [i * 500_000 for i in range(6)]

    def sparse():
        for i in range(6):
            array[77_777] = i
            yield delayed(np.sum)(array)

    array[:] = 0
    assert run(sparse()) == list(range(6))


def changed_one_by_one(array, length=None):
    """Tasks that sum an array; between them, one element after the other becomes 1."""
    length = len(array) if length is None else length
    yield delayed(np.sum)(array)
    yield delayed(np.sum)(array)
    for place in (0, 1, 511, 512, length // 2, length // 2, length - 512, length - 1):
        array[place] = 1
        yield delayed(np.sum)(array)


SUMS = [0, 0, 1, 2, 3, 4, 5, 5, 6, 7]


@pytest.mark.parametrize("part", [np.s_[:], np.s_[1:], np.s_[3:-5]])
def test_one_changed_element_of_a_very_large_array_is_seen(part):
    # So large that the kernel tells of writes, if it does.
    array = np.zeros(3_000_000)
    for window in ("all", "2 * n_jobs", 1):
        array[:] = 0
        assert run(changed_one_by_one(array[part]), pre_dispatch=window) == SUMS
    fresh = np.zeros(3_000_000)
    assert run(changed_one_by_one(fresh[part])) == SUMS, "no page of it had been touched"


def test_each_change_of_an_enormous_array_is_seen():
    array = np.zeros(40_000_000)

    def tasks():
        for i in range(4):
            array[26_666_667] = i
            yield delayed(np.take)(array, 26_666_667)

    for _ in range(2):
        assert run(tasks()) == [0, 1, 2, 3]


def test_a_call_that_has_ended_holds_no_array():
    array = np.zeros(3_000_000)
    held = weakref.ref(array)
    parallel = Parallel(n_jobs=2)
    assert parallel(delayed(np.sum)(array) for _ in range(4)) == [0] * 4
    del array
    assert held() is None


@pytest.mark.parametrize("length", [500_000, 3_000_000])
def test_a_change_under_a_read_only_view_is_seen(length):
    def tasks(array):
        view = array.view()
        view.flags.writeable = False
        for i in range(6):
            array[77_777] = i
            yield delayed(np.sum)(view)

    assert run(tasks(np.zeros(length))) == list(range(6))
    (result,) = run([delayed(np.zeros)(length)])
    assert run(tasks(result)) == list(range(6))


def test_a_change_is_seen_through_each_of_several_views_that_overlap():
    array = np.zeros(7_000_000)
    views = [array, array[1_000_000:], array[3_000_000:], array[:4_500_000]]

    def tasks(order, places):
        for i, (view, place) in enumerate(zip(order, places, strict=True)):
            array[place] = i
            yield delayed(np.sum)(views[view])

    def sums(order, places):
        model = {}
        for i, (view, place) in enumerate(zip(order, places, strict=True)):
            model[place] = i
            first, last = ((0, 7_000_000), (1_000_000, 7_000_000), (3_000_000, 7_000_000), (0, 4_500_000))[view]
            yield sum(value for at, value in model.items() if first <= at < last)

    order = [0, 1, 0, 2, 0, 3, 1, 2, 3, 0, 2, 1, 3, 2, 0, 0]
    places = [3_200_000, 1_500_000, 6_999_999, 10] * 4
    for window in ("all", "2 * n_jobs", 3):
        array[:] = 0
        assert run(tasks(order, places), pre_dispatch=window) == list(sums(order, places))


def test_a_change_by_another_process_is_seen():
    from multiprocessing.shared_memory import SharedMemory

    memory = SharedMemory(create=True, size=24_000_000)
    try:
        array = np.ndarray(3_000_000, buffer=memory.buf)
        other = f"""
import struct
with open("/dev/shm/{memory.name}", "r+b") as file:
    file.seek(8 * 1_234_567)
    file.write(struct.pack("d", 1))
"""

        def tasks():
            yield delayed(np.sum)(array)
            yield delayed(np.sum)(array)
            subprocess.run([sys.executable, "-c", other], check=True, timeout=60)
            yield delayed(np.sum)(array)

        assert run(tasks()) == [0, 0, 1]
        del array, tasks
    finally:
        memory.close()
        memory.unlink()


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_come_back_whole_and_writable(order):
    found = run(delayed(np.full)((500, 1000), i, dtype=np.int64, order=order) for i in range(4))
    for i, array in enumerate(found):
        assert (array == i).all()
        assert array.flags.f_contiguous == (order == "F")
        array[:] += 1
        assert (array == i + 1).all()


def test_results_stay_as_they_are_when_workers_go_on():
    parallel = Parallel(n_jobs=2)
    kept = []
    for i in range(12):
        kept += parallel(delayed(np.full)(200_000, i * 10 + j) for j in range(3))
    assert [array[0] for array in kept] == [i * 10 + j for i in range(12) for j in range(3)]
    assert all((array == array[0]).all() for array in kept)


def test_other_arrays_travel_as_well():
    arrays = [
        np.arange(600_000)[::2],
        np.array(["a", None, 3], dtype=object),
        np.arange(10, dtype=">i4"),
        np.ma.masked_array(np.arange(300_000), mask=np.arange(300_000) % 2 == 0),
        np.zeros(0),
        np.array(5),
        np.zeros(200_000, dtype=[("a", "i4"), ("b", "f8")]),
    ]
    for array, (sent, back) in zip(arrays, run(delayed(lambda a: (repr(a), a))(a) for a in arrays), strict=True):
        assert sent == repr(array)
        assert repr(back) == repr(array)
        assert back.dtype == array.dtype


def test_mapped_files_are_passed_by_name(tmp_path):
    output = np.memmap(tmp_path / "out", dtype=np.float64, shape=(4, 10), mode="w+")

    def write(out, i):
        out[i] = i
        return type(out).__name__

    assert run(delayed(write)(output, i) for i in range(4)) == ["memmap"] * 4
    assert (output == np.arange(4)[:, None]).all()
    views = run(delayed(lambda part: float(part.sum()))(np.asarray(output)[i, ::2]) for i in range(4))
    assert views == [0, 5, 10, 15]


def test_a_large_closure_travels():
    table = {i: str(i) for i in range(100_000)}
    array = np.arange(400_000)

    def look(i):
        return table[i], int(array[i])

    assert run(delayed(look)(i) for i in range(50)) == [(str(i), i) for i in range(50)]


def test_large_bytes_travel():
    assert run(delayed(lambda b: b + b"!")(bytes([i]) * 3_000_000) for i in range(3)) == [
        bytes([i]) * 3_000_000 + b"!" for i in range(3)
    ]


# Exceptions.


class Refused(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class Unpicklable(Exception):
    def __init__(self, text):
        super().__init__(text, threading.Lock())
        self.lock = threading.Lock()
        self.number = 3


def raise_(error):
    raise error


def caused():
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("outer") from error


def test_exceptions_keep_type_arguments_attributes_and_traceback():
    def refuse():
        raise Refused(7, "no")

    with pytest.raises(Refused, match="no") as caught:
        run([delayed(refuse)()])
    assert (caught.value.code, caught.value.reason, caught.value.args) == (7, "no", ("no (7)",))
    assert "in refuse" in str(caught.value.__cause__)
    with pytest.raises(KeyError) as caught:
        run([delayed(operator.getitem)({}, "key")])
    assert caught.value.args == ("key",)
    with pytest.raises(FileNotFoundError) as missing:
        run([delayed(open)("/nowhere/at all")])
    assert missing.value.filename == "/nowhere/at all"
    with pytest.raises(UnicodeDecodeError):
        run([delayed(bytes.decode)(b"\xff")])


def test_the_cause_of_an_exception_is_kept():
    with pytest.raises(ValueError, match="outer") as caught:
        run([delayed(caused)()])
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert cause.args == ("key",)
    assert "in caused" in str(cause.__cause__)


def test_an_exception_that_cannot_be_pickled_keeps_its_type():
    def fail():
        raise Unpicklable("held")

    with pytest.raises(Unpicklable) as caught:
        run([delayed(fail)()])
    assert caught.value.args[0] == "held"
    assert "lock" in caught.value.args[1]
    assert caught.value.number == 3


def test_exceptions_of_local_classes_and_groups_travel():
    class Local(Exception):
        pass

    def fail():
        raise ExceptionGroup("both", [ValueError(1), Local("two")])

    with pytest.raises(ExceptionGroup) as caught:
        run([delayed(fail)()])
    assert [type(error) for error in caught.value.exceptions] == [ValueError, Local]


def test_what_cannot_be_pickled_is_told_of():
    with pytest.raises(pickle.PicklingError, match="Could not pickle the task to send it to the workers") as caught:
        run([delayed(square)(threading.Lock())])
    assert "lock" in str(caught.value.__cause__)
    with pytest.raises(pickle.PicklingError, match=r"the result of (allocate_)?lock\(\)"):
        run([delayed(threading.Lock)()])
    # The workers go on.
    assert run(delayed(square)(i) for i in range(3)) == [0, 1, 4]


class Trap:
    def __reduce__(self):
        return raise_, (ZeroDivisionError("trap"),)


def test_what_cannot_be_unpickled_is_told_of():
    with pytest.raises(BrokenProcessPool, match="un-serialize") as caught:
        run([delayed(square)(Trap())])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(BrokenProcessPool, match="A result has failed to un-serialize"):
        run([delayed(Trap)()])


def test_sys_exit_in_a_task_is_raised_like_any_other():
    with pytest.raises(SystemExit) as caught:
        run([delayed(sys.exit)(3)])
    assert caught.value.code == 3


def test_memory_errors_are_raised():
    with pytest.raises(MemoryError):
        run([delayed(bytearray)(1 << 60)])


# Deaths.


def test_a_death_costs_one_task():
    def task(i):
        if i == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return i

    found = run((delayed(task)(i) for i in range(20)), on_error="return")
    assert found[:3] + found[4:] == [i for i in range(20) if i != 3]
    assert isinstance(found[3], TerminatedWorkerError)
    assert "SIGKILL(-9)" in str(found[3])
    assert "task(3)" in str(found[3])


def test_an_exit_of_a_worker_is_told_with_its_code():
    with pytest.raises(TerminatedWorkerError, match="exited with code 5"):
        run([delayed(os._exit)(5)])
    assert issubclass(TerminatedWorkerError, BrokenProcessPool)


def test_a_death_is_retried(tmp_path):
    def task(path):
        if not path.exists():
            path.touch()
            os._exit(1)
        return path.name

    assert run((delayed(task)(tmp_path / str(i)) for i in range(3)), retries=1) == ["0", "1", "2"]


def test_a_task_that_takes_too_long_is_ended():
    found = run((delayed(time.sleep)(t) for t in (0, 60, 0)), task_timeout=0.5, on_error="return")
    assert isinstance(found[1], multiprocessing.TimeoutError)
    assert "sleep(60)" in str(found[1])
    assert found[::2] == [None, None]


# What is heard.


def test_prints_appear_in_the_program(capsys):
    def talk(i):
        print("hello", i)
        print("half", end="", file=sys.stderr)
        sys.stdout.buffer.write(b"bytes\n")

    run([delayed(talk)(1)])
    out, err = capsys.readouterr()
    assert out == "hello 1\nbytes\n"
    assert err == "half"


def test_logs_reach_the_programs_handlers(caplog):
    def talk():
        log = logging.getLogger("some.task")
        log.debug("too quiet")
        log.info("value %d", 3, extra={"who": threading.Lock()})
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("failed")

    with caplog.at_level(logging.INFO, logger="some"):
        run([delayed(talk)()])
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("some.task", "INFO", "value 3"),
        ("some.task", "ERROR", "failed"),
    ]
    assert "ZeroDivisionError" in caplog.text


def test_warnings_are_shown_and_filters_hold():
    def talk():
        warnings.warn("look out", UserWarning, stacklevel=1)
        return 1

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run(delayed(talk)() for _ in range(3)) == [1, 1, 1]
    assert [(str(w.message), w.category) for w in caught] == [("look out", UserWarning)] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="look out"):
            run([delayed(talk)()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run([delayed(talk)()]) == [1]


variable = contextvars.ContextVar("variable", default="unset")


def look():
    return variable.get()


def spoil():
    before = variable.get()
    variable.set("spoiled")
    return before


def test_context_variables_are_those_of_the_caller():
    def within():
        variable.set("set")
        assert run(delayed(look)() for _ in range(4)) == ["set"] * 4
        assert run(delayed(spoil)() for _ in range(8)) == ["set"] * 8
        assert run(delayed(lambda: variable.get())() for _ in range(2)) == ["set"] * 2

    contextvars.copy_context().run(within)
    assert run(delayed(look)() for _ in range(4)) == ["unset"] * 4


def test_directory_paths_and_environment_are_those_of_the_caller(tmp_path, monkeypatch):
    (tmp_path / "found_there.py").write_text("def f(x):\n    return x + 100\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RETAINED_VALUE", "here")
    from found_there import f

    assert run(delayed(f)(i) for i in range(3)) == [100, 101, 102]
    assert run(delayed(os.getcwd)() for _ in range(3)) == [str(tmp_path)] * 3
    assert run(delayed(os.getenv)("RETAINED_VALUE") for _ in range(3)) == ["here"] * 3
    monkeypatch.delenv("RETAINED_VALUE")
    assert run(delayed(os.getenv)("RETAINED_VALUE") for _ in range(3)) == [None] * 3


def test_workers_are_numbered_and_do_not_share_random_numbers():
    numbers = set(run(delayed(os.getenv)("RETAIN_WORKER") for _ in range(50)))
    assert numbers <= {"0", "1"}

    def draw(_):
        time.sleep(0.05)
        return os.getpid(), np.random.random()  # noqa: NPY002 - the generator that processes may share

    drawn = dict(run(delayed(draw)(i) for i in range(8)))
    assert len(set(drawn.values())) == len(drawn)


def test_an_exception_of_the_iterator_comes_out():
    def tasks():
        yield delayed(square)(1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        run(tasks())
    assert run(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_ctrl_c_ends_the_call_at_once():
    found = program("""
        import os, signal, threading, time
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
    assert found.stdout == "interrupted True\n[0, 1, 2]\n"


def test_nothing_is_left_when_the_program_is_killed():
    found = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
            import os, time
            from retain import Parallel, delayed
            def where():
                return os.getpid(), os.getppid()
            pids = {pid for pair in Parallel(n_jobs=2)(delayed(where)() for _ in range(8)) for pid in pair}
            print(*pids, flush=True)
            Parallel(n_jobs=2)(delayed(time.sleep)(50) for _ in range(2))
        """),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with found:
        pids = [int(pid) for pid in found.stdout.readline().split()]
        found.kill()
    assert len(pids) >= 2
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_calls_in_many_threads_do_not_mix():
    found = {}

    def call(k):
        found[k] = Parallel(n_jobs=2)(delayed(operator.mul)(k, i) for i in range(200))

    threads = [threading.Thread(target=call, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: [k * i for i in range(200)] for k in range(4)}


def test_a_forked_child_starts_workers_of_its_own():
    program("""
        import os, warnings
        warnings.simplefilter("ignore")
        from retain import Parallel, delayed
        parents = set(Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(8)))
        pid = os.fork()
        if pid == 0:
            children = set(Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(8)))
            os._exit(1 if children & parents else 0)
        assert os.waitpid(pid, 0)[1] == 0
        assert Parallel(n_jobs=2)(delayed(abs)(-i) for i in range(3)) == [0, 1, 2]
    """)


def test_what_an_initializer_does_is_there():
    def begin(value):
        os.environ["RETAINED_BEGUN"] = value

    found = run((delayed(os.getenv)("RETAINED_BEGUN") for _ in range(4)), initializer=begin, initargs=("yes",))
    assert found == ["yes"] * 4
