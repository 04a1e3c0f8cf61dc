"""`Parallel` keeps joblib's surface: results, orders, generators, messages and what is refused, on every backend."""

import contextvars
import gc
import io
import multiprocessing
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import pytest
import retain
from retain import Parallel, delayed

needs_processes = pytest.mark.skipif(
    find_spec("retain._parallel.processes") is None, reason="there are no worker processes on this platform"
)
IN_TURN = pytest.param(("sequential", 1), id="sequential")
THREADS = pytest.param(("threading", 2), id="threading")
PROCESSES = pytest.param(("loky", 2), id="loky", marks=needs_processes)
MULTIPROCESSING = pytest.param(("multiprocessing", 2), id="multiprocessing", marks=needs_processes)
ANY = [IN_TURN, THREADS, PROCESSES, MULTIPROCESSING]
GIVING = [IN_TURN, THREADS, PROCESSES]
AT_ONCE = [THREADS, PROCESSES]


def of(backend, **options):
    name, n_jobs = backend
    return Parallel(n_jobs=n_jobs, backend=name, **options)


def square(x):
    return x * x


def added(x, y=0, *, z=0):
    return x + y + z


def slow_square(x, seconds):
    time.sleep(seconds)
    return x * x


def failing(x, at=3):
    if x == at:
        raise ZeroDivisionError(f"task {x}")
    return x


class Flaky(Exception):
    def __init__(self, first, second):
        super().__init__(first)
        self.second = second


def breaking(x):
    if x == 3:
        raise Flaky("no", second=x)
    return x


def flaky(path, times):
    with Path(path).open("a") as file:
        size = file.write("x") and file.tell()
    if size <= times:
        raise Flaky("not yet", second=2)
    return size


# --- results ---


@pytest.mark.parametrize("backend", ANY)
@pytest.mark.parametrize("batch_size", ["auto", 1, 7])
@pytest.mark.parametrize("pre_dispatch", ["2 * n_jobs", "all", 1, "n_jobs"])
def test_results_come_in_the_order_of_the_tasks(backend, batch_size, pre_dispatch):
    parallel = of(backend, batch_size=batch_size, pre_dispatch=pre_dispatch)
    assert parallel(delayed(square)(i) for i in range(50)) == [i * i for i in range(50)]
    assert parallel.n_completed_tasks == parallel.n_dispatched_tasks == 50
    assert parallel.n_dispatched_batches > 0


@pytest.mark.parametrize("backend", ANY)
def test_no_tasks_give_no_results(backend):
    assert of(backend)([]) == []
    assert of(backend)(iter(())) == []


@pytest.mark.parametrize("backend", ANY)
def test_arguments_go_by_position_and_by_name(backend):
    assert of(backend)([delayed(added)(1), delayed(added)(1, 2), delayed(added)(1, y=2, z=3)]) == [1, 3, 6]


@pytest.mark.parametrize("backend", ANY)
def test_a_list_tells_how_many_tasks_there_are(backend):
    parallel = of(backend)
    parallel([delayed(square)(1)] * 3)
    assert parallel.n_tasks == 3
    parallel(delayed(square)(i) for i in range(3))
    assert parallel.n_tasks is None


@pytest.mark.parametrize("backend", ANY)
def test_the_same_instance_is_called_again_and_again(backend):
    with of(backend) as parallel:
        assert parallel(delayed(square)(i) for i in range(5)) == [0, 1, 4, 9, 16]
        assert parallel(delayed(square)(i) for i in range(2)) == [0, 1]
    assert parallel(delayed(square)(i) for i in range(3)) == [0, 1, 4]


def test_lambdas_and_closures_are_tasks():
    offset = 10
    for backend in (("sequential", 1), ("threading", 2)):
        assert of(backend)(delayed(lambda x: x + offset)(i) for i in range(3)) == [10, 11, 12]


@pytest.mark.parametrize("backend", AT_ONCE)
def test_tasks_run_at_the_same_time(backend):
    of(backend)(delayed(square)(i) for i in range(4))
    start = time.monotonic()
    of(backend)(delayed(time.sleep)(0.3) for _ in range(2))
    assert time.monotonic() - start < 0.59


@pytest.mark.parametrize("backend", AT_ONCE)
def test_calls_from_many_threads_do_not_mix(backend):
    results = {}

    def call(number):
        results[number] = of(backend)(delayed(added)(number, i) for i in range(30))

    threads = [threading.Thread(target=call, args=(number * 1000,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert results == {number * 1000: [number * 1000 + i for i in range(30)] for number in range(6)}


def test_threads_see_the_callers_context_and_keep_theirs():
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(5)

    def seen(x):
        found = variable.get()
        variable.set(x)
        return found

    assert Parallel(n_jobs=2, backend="threading")(delayed(seen)(i) for i in range(20)) == [5] * 20
    assert variable.get() == 5


def test_a_generator_of_tasks_is_advanced_in_the_callers_context():
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(5)
    assert Parallel(n_jobs=2, backend="threading")(delayed(square)(variable.get()) for _ in range(9)) == [25] * 9


# --- what goes wrong ---


def test_each_thread_calls_the_initializer_first():
    mine = threading.local()
    met = threading.Barrier(2, timeout=30)

    def begin(value, log):
        mine.value = value
        log.append(threading.get_ident())

    def look(_):
        met.wait()
        return mine.value, threading.get_ident()

    log = []
    found = Parallel(n_jobs=2, backend="threading", initializer=begin, initargs=("yes", log))(
        delayed(look)(i) for i in range(4)
    )
    assert {value for value, _ in found} == {"yes"}
    assert sorted(log) == sorted({thread for _, thread in found})
    with retain.parallel_config("threading", initializer=begin, initargs=("told", log)):
        assert {value for value, _ in Parallel(n_jobs=2)(delayed(look)(i) for i in range(4))} == {"told"}


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_one_job_calls_the_initializer_where_its_tasks_run(backend):
    log = []
    parallel = Parallel(n_jobs=1, backend=backend, initializer=log.append, initargs=("begun",))
    assert parallel(delayed(log.copy)() for _ in range(2)) == [["begun"]] * 2
    assert list(parallel(delayed(log.copy)() for _ in range(1))) == [["begun"] * 2]
    parallel = Parallel(n_jobs=1, backend=backend, return_as="generator", initializer=log.append, initargs=("again",))
    assert [found[-1] for found in parallel(delayed(log.copy)() for _ in range(2))] == ["again", "again"]
    assert log == ["begun", "begun", "again"]
    with retain.parallel_config(backend, initializer=log.append, initargs=("told",)):
        assert Parallel(n_jobs=1)([delayed(log.copy)()])[0][-1] == "told"


@pytest.mark.parametrize("options", [{"backend": "threading", "n_jobs": 2}, {"n_jobs": 1}])
@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_what_the_initializer_raises_is_raised(options, on_error):
    def begin():
        raise LookupError("not here")

    ran = []
    parallel = Parallel(**options, on_error=on_error, initializer=begin)
    for _ in range(2):
        with pytest.raises(LookupError, match="not here"):
            parallel(delayed(ran.append)(i) for i in range(4))
    assert ran == []


@pytest.mark.parametrize("backend", ANY)
def test_the_exception_of_a_task_is_raised(backend):
    parallel = of(backend)
    with pytest.raises(ZeroDivisionError, match="task 3"):
        parallel(delayed(failing)(i) for i in range(10))
    # And it is ready for more.
    assert parallel(delayed(square)(i) for i in range(3)) == [0, 1, 4]


@pytest.mark.parametrize("backend", [THREADS, PROCESSES])
@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
def test_an_exception_that_was_dealt_with_is_gone(backend, return_as):
    error = None
    gc.collect()
    gc.disable()
    try:
        try:
            list(of(backend, return_as=return_as)(delayed(breaking)(i) for i in range(10)))
        except Flaky as caught:
            error = weakref.ref(caught)
        deadline = time.monotonic() + 5
        while error() is not None and time.monotonic() < deadline:
            # Another thread may be about to forget it.
            time.sleep(0.01)
        assert error() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("backend", GIVING)
def test_an_exception_that_comes_while_results_are_given_is_raised(backend):
    results = of(backend, return_as="generator")(delayed(failing)(i) for i in range(10))
    with pytest.raises(ZeroDivisionError, match="task 3"):
        list(results)


@pytest.mark.parametrize("backend", ANY)
def test_what_the_iterable_raises_is_raised(backend):
    def tasks(at):
        for i in range(20):
            if i == at:
                raise LookupError(f"no task {i}")
            yield delayed(square)(i)

    for at in (0, 5, 19):
        with of(backend) as parallel, pytest.raises(LookupError, match=f"no task {at}"):
            parallel(tasks(at))


@pytest.mark.parametrize("backend", GIVING)
def test_what_the_iterable_raises_is_raised_where_results_are_asked_for(backend):
    def tasks():
        yield delayed(square)(2)
        raise LookupError("no more")

    results = of(backend, return_as="generator", pre_dispatch=1)(tasks())
    with pytest.raises(LookupError, match="no more"):
        list(results)


@pytest.mark.parametrize("backend", ANY)
def test_an_exception_stands_in_the_place_of_the_result(backend):
    results = of(backend, on_error="return")(delayed(failing)(i) for i in range(6))
    assert results[:3] + results[4:] == [0, 1, 2, 4, 5]
    assert isinstance(results[3], ZeroDivisionError)


@pytest.mark.parametrize("backend", ANY)
def test_a_task_that_fails_is_left_out(backend):
    assert of(backend, on_error="skip")(delayed(failing)(i) for i in range(6)) == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("backend", GIVING)
@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_a_task_that_fails_is_left_out_of_a_generator(backend, return_as):
    results = of(backend, on_error="skip", return_as=return_as)(delayed(failing)(i) for i in range(6))
    assert sorted(results) == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("backend", ANY)
def test_a_task_is_tried_again(backend, tmp_path):
    parallel = of(backend, retries=2)
    assert parallel([delayed(flaky)(str(tmp_path / "a"), 2), delayed(square)(3)]) == [3, 9]
    assert parallel.stats().retried == 2
    with pytest.raises(Flaky, match="not yet") as caught:
        of(backend, retries=1)([delayed(flaky)(str(tmp_path / "b"), 5), delayed(square)(3)])
    assert caught.value.second == 2


@pytest.mark.parametrize("backend", AT_ONCE)
def test_waiting_has_an_end(backend):
    start = time.monotonic()
    with pytest.raises(multiprocessing.TimeoutError):
        of(backend, timeout=0.1)(delayed(time.sleep)(3) for _ in range(4))
    assert time.monotonic() - start < 2.5
    assert of(backend, timeout=30)(delayed(square)(i) for i in range(3)) == [0, 1, 4]


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_waiting_for_the_next_of_a_generator_has_an_end(return_as):
    results = Parallel(2, backend="threading", timeout=0.1, return_as=return_as)(
        delayed(slow_square)(i, 0.0 if i < 3 else 2.0) for i in range(6)
    )
    with pytest.raises(multiprocessing.TimeoutError):
        list(results)


def test_a_timeout_that_cannot_be_kept_is_told():
    with pytest.warns(UserWarning, match="'SequentialBackend' does not support timeout") as told:
        Parallel(n_jobs=1, timeout=1)(delayed(square)(i) for i in range(3))
    assert len(told) == 1
    with pytest.warns(UserWarning, match="task_timeout=1.0 in Parallel, but it will not be used"):
        Parallel(n_jobs=2, backend="threading", task_timeout=1)(delayed(square)(i) for i in range(3))
    with pytest.warns(UserWarning, match="memory_limit=1000000000 in Parallel, but it will not be used"):
        Parallel(n_jobs=2, backend="threading", memory_limit=10**9)(delayed(square)(i) for i in range(3))


def test_a_task_may_raise_what_ends_programs():
    def leave(kind):
        raise kind("bye")

    for kind in (SystemExit, KeyboardInterrupt):
        with pytest.raises(kind, match="bye"):
            Parallel(2, backend="threading")(delayed(leave)(kind) for _ in range(2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"return_as": "tuple"}, "return_as.*'generator_unordered'.*got 'tuple'"),
        ({"on_error": "ignore"}, "on_error.*'skip'.*got 'ignore'"),
        ({"batch_size": 0}, "batch_size must be 'auto' or a positive integer, got: 0"),
        ({"batch_size": 1.5}, "batch_size must be"),
        ({"n_jobs": "many"}, "n_jobs could not be converted to int: it is 'many'"),
        ({"retries": -1}, "retries is -1"),
        ({"retries": True}, "retries is True"),
        ({"task_timeout": 0}, "task_timeout is 0"),
        ({"backend": "no such"}, r"Invalid backend: no such, expected one of \["),
        ({"backend": 7}, "Invalid backend: 7"),
        ({"prefer": "gpus"}, "prefer=gpus is not a valid backend hint"),
        ({"require": "gpus"}, "require=gpus is not a valid backend constraint"),
        ({"prefer": "processes", "require": "sharedmem"}, "inconsistent"),
        ({"backend": "loky", "require": "sharedmem"}, "does not support shared memory"),
        ({"backend": "multiprocessing", "return_as": "generator"}, "does not support return_as=generator"),
        ({"max_nbytes": "much"}, "max_nbytes is 'much'"),
        ({"memory_limit": "much"}, "memory_limit is 'much'"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Parallel(**options)


@pytest.mark.parametrize("pre_dispatch", ["0", 0, "n_jobs - 2", "import os", "2 ** 99", "n_jobs * " * 9 + "1"])
def test_a_number_of_tasks_that_makes_no_sense_is_refused(pre_dispatch):
    with pytest.raises(ValueError):
        Parallel(n_jobs=2, backend="threading", pre_dispatch=pre_dispatch)(delayed(square)(i) for i in range(3))


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing", "sequential"])
@pytest.mark.parametrize("n_jobs", [0, 0.5, "0"])
def test_no_jobs_are_refused(backend, n_jobs):
    with pytest.raises(ValueError, match="n_jobs == 0 in Parallel has no meaning"):
        Parallel(n_jobs=n_jobs, backend=backend)(delayed(square)(i) for i in range(3))


# --- generators ---


@pytest.mark.parametrize("backend", GIVING)
def test_a_generator_gives_results_in_order(backend):
    results = of(backend, return_as="generator")(delayed(square)(i) for i in range(200))
    assert list(results) == [i * i for i in range(200)]


@pytest.mark.parametrize("backend", GIVING)
def test_an_unordered_generator_gives_every_result_once(backend):
    results = of(backend, return_as="generator_unordered")(delayed(square)(i) for i in range(200))
    assert sorted(results) == [i * i for i in range(200)]


@pytest.mark.parametrize("backend", AT_ONCE)
def test_an_unordered_generator_gives_the_fastest_first(backend):
    results = of(backend, return_as="generator_unordered")(
        delayed(slow_square)(i, 1.0 if i == 1 else 0.0) for i in range(10)
    )
    assert sorted(next(results) for _ in range(9)) == [i * i for i in range(10) if i != 1]
    assert list(results) == [1]


@pytest.mark.parametrize("backend", AT_ONCE)
@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
@pytest.mark.parametrize(("pre_dispatch", "most"), [("2 * n_jobs", {"generator": 4, "generator_unordered": 3}), (7, 7)])
def test_a_slow_caller_stops_the_workers(backend, return_as, pre_dispatch, most):
    begun = []

    def tasks():
        for i in range(40):
            begun.append(i)
            yield delayed(slow_square)(i, 0.003)

    results = of(backend, return_as=return_as, pre_dispatch=pre_dispatch)(tasks())
    most = most if isinstance(most, int) else most[return_as]
    for taken in range(1, 6):
        next(results)
        before = len(begun)
        time.sleep(0.03)
        # What the caller holds is one of those that are outstanding.
        if return_as == "generator_unordered":
            assert len(begun) <= taken - 1 + most
        # In order, others may have gone on while the next one was late. They do not now.
        assert len(begun) - before < most
    assert len(list(results)) == 35
    assert len(begun) == 40


def test_the_generator_of_one_job_runs_a_task_when_it_is_asked_for():
    done = []
    results = Parallel(n_jobs=1, return_as="generator")(delayed(done.append)(i) for i in range(3))
    assert done == []
    next(results)
    assert done == [0]
    list(results)
    assert done == [0, 1, 2]


@pytest.mark.parametrize("backend", AT_ONCE)
def test_tasks_of_a_generator_start_with_the_call(backend, tmp_path):
    results = of(backend, return_as="generator")(delayed(flaky)(str(tmp_path / str(i)), 0) for i in range(4))
    deadline = time.monotonic() + 20
    while not list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert list(results) == [1, 1, 1, 1]


@pytest.mark.parametrize("backend", GIVING)
@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_an_instance_serves_one_generator_at_a_time(backend, return_as):
    parallel = of(backend, return_as=return_as)
    results = parallel(delayed(square)(i) for i in range(5))
    with pytest.raises(RuntimeError, match="This Parallel instance is already running ! Before submitting"):
        parallel(delayed(square)(i) for i in range(5))
    assert sorted(results) == [0, 1, 4, 9, 16]
    assert sorted(parallel(delayed(square)(i) for i in range(2))) == [0, 1]


@pytest.mark.parametrize("backend", AT_ONCE)
@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_a_generator_that_is_dropped_gives_up_its_tasks(backend, return_as):
    parallel = of(backend, return_as=return_as)
    results = parallel(delayed(slow_square)(i, 0.02 if i < 4 else 0.2) for i in range(100))
    next(results)
    with pytest.warns(UserWarning, match="which were still being processed by the workers have been cancelled"):
        del results
        gc.collect()
    assert parallel._aborting
    if return_as == "generator":
        assert list(parallel(delayed(square)(i) for i in range(3))) == [0, 1, 4]


def test_results_that_no_one_saw_are_told_of():
    results = Parallel(2, backend="threading", return_as="generator")(delayed(square)(i) for i in range(4))
    next(results)
    time.sleep(0.1)
    with pytest.warns(UserWarning, match=r"\d tasks have been successfully executed  but not used."):
        results.close()


def test_a_generator_keeps_no_result_it_has_given():
    class Value:
        pass

    results = Parallel(2, backend="threading", return_as="generator")(delayed(Value)() for _ in range(5))
    value = weakref.ref(next(results))
    next(results)
    gc.collect()
    assert value() is None
    list(results)


# --- as joblib is used ---


class Wrapping(Parallel):
    """As scikit-learn does it."""

    def __call__(self, iterable):
        return super().__call__((delayed(square), args, kwargs) for _, args, kwargs in iterable)


class Recipe(Parallel):
    """As tqdm's recipes do it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def print_progress(self):
        self.seen.append((self.n_completed_tasks, self.n_dispatched_tasks))


def test_call_can_be_overridden():
    results = Wrapping(n_jobs=2, backend="threading")(delayed(added)(i) for i in range(3))
    assert [(function, args) for function, args, _ in results] == [(square, (i,)) for i in range(3)]


@pytest.mark.parametrize("backend", ANY)
def test_print_progress_can_be_overridden(backend):
    parallel = Recipe(n_jobs=backend[1], backend=backend[0])
    parallel(delayed(square)(i) for i in range(10))
    assert [done for done, _ in parallel.seen][:10] == list(range(1, 11))
    assert parallel.seen[-1] == (10, 10)


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=needs_processes)])
def test_the_callback_of_completion_can_be_replaced(backend, monkeypatch):
    import retain.parallel

    sizes = []

    class Counting(retain.parallel.BatchCompletionCallBack):
        def __call__(self, *args, **kwargs):
            sizes.append(self.batch_size)
            return super().__call__(*args, **kwargs)

    monkeypatch.setattr(retain.parallel, "BatchCompletionCallBack", Counting)
    assert Parallel(2, backend=backend)(delayed(square)(i) for i in range(20)) == [i * i for i in range(20)]
    assert sum(sizes) == 20


def test_it_shows_who_it_is():
    assert repr(Parallel(n_jobs=2, backend="threading")) == "Parallel(n_jobs=2)"
    for name, kind in (("loky", "LokyBackend"), ("threading", "ThreadingBackend"), ("multiprocessing", "Multiproc")):
        assert kind in repr(Parallel(n_jobs=2, backend=name)._backend)
    assert Parallel()._effective_n_jobs() == 1
    assert Parallel(n_jobs=-1, backend="threading")._effective_n_jobs() == retain.cpu_count()
    assert Parallel(n_jobs="3", backend="threading")._effective_n_jobs() == 3
    assert Parallel(n_jobs=2.7, backend="threading").n_jobs == 2


def test_delayed_keeps_the_functions_name():
    assert delayed(square).__name__ == "square"
    assert delayed(square)(1, y=2) == (square, (1,), {"y": 2})
    assert delayed(io.StringIO().write)("x")[1:] == (("x",), {})


@pytest.mark.parametrize("backend", ANY)
def test_numbers_are_kept_of_a_call(backend):
    parallel = of(backend)
    parallel(delayed(square)(i) for i in range(12))
    stats = parallel.stats()
    assert (stats.tasks, stats.completed, stats.hits, stats.retried) == (12, 12, 0, 0)
    assert stats.workers == backend[1]
    assert stats.seconds > 0
    assert "12" in str(stats)


# --- what is told ---


def told(backend, **options):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        of(backend, **options)(delayed(square)(i) for i in range(12))
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize("backend", GIVING)
def test_nothing_is_told_unless_it_is_asked_for(backend):
    assert told(backend) == ("", "")


@pytest.mark.parametrize("backend", GIVING)
def test_lines_tell_how_far_it_is(backend):
    out, err = told(backend, verbose=11)
    assert out == ""
    lines = err.splitlines()
    if backend[1] == 2:
        kind = {"threading": "ThreadingBackend", "loky": "LokyBackend"}[backend[0]]
        assert lines.pop(0) == f"[Parallel(n_jobs=2)]: Using backend {kind} with 2 concurrent workers."
    assert re.fullmatch(r"\[Parallel\(n_jobs=\d\)\]: Done  12 out of  12 \| elapsed:    \d\.\ds finished", lines[-1])
    assert all(re.fullmatch(r"\[Parallel\(n_jobs=\d\)\]: Done .*\| elapsed: .*", line) for line in lines)
    assert len(lines) >= 2


def test_from_50_on_lines_go_to_stdout():
    out, err = told(("threading", 2), verbose=50)
    assert "Done  12 out of  12" in out
    assert err == ""


def test_the_lines_of_one_job():
    _, err = told(("sequential", 1), verbose=20)
    lines = err.splitlines()
    assert lines[0].startswith("[Parallel(n_jobs=1)]: Done   1 tasks      | elapsed:    0.0s")
    assert len(lines) == 13


# --- nesting ---


def kinds_below(depth):
    with Parallel(n_jobs=2) as parallel:
        here = [(type(parallel._backend).__name__, parallel._backend.nesting_level)]
        if not depth:
            return here
        return here + parallel([delayed(kinds_below)(depth - 1)])[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("threading", "ThreadingBackend"), pytest.param("loky", "LokyBackend", marks=needs_processes)],
)
def test_processes_nest_threads_and_threads_nest_nothing(name, kind):
    with retain.parallel_config(name, n_jobs=2):
        assert kinds_below(3) == [
            (kind, 0),
            ("ThreadingBackend", 1),
            ("SequentialBackend", 2),
            ("SequentialBackend", 2),
        ]


def test_a_parallel_inside_a_task_has_one_job_unless_told():
    def inner():
        return Parallel().n_jobs, type(Parallel()._backend).__name__

    assert Parallel(2, backend="threading")(delayed(inner)() for _ in range(2)) == [(1, "ThreadingBackend")] * 2


def test_processes_below_threads_are_not_started():
    def inner():
        import warnings

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Parallel(n_jobs=2, backend="loky")(delayed(square)(i) for i in range(2))
        return [str(each.message) for each in caught]

    told = Parallel(2, backend="threading")([delayed(inner)()])[0]
    assert told == ["Loky-backed parallel loops cannot be nested below threads, setting n_jobs=1"]


def test_calls_nested_without_end_are_a_recursion():
    def deeper():
        return Parallel()(delayed(deeper)() for _ in range(2))

    with retain.parallel_config("threading", n_jobs=2), pytest.raises(RecursionError):
        deeper()


# --- the program's end ---


def test_threads_keep_no_program_alive(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import time
            from retain import Parallel, delayed
            tasks = [delayed(time.sleep)(i) for i in (0, 30, 30)]
            results = Parallel(2, backend="threading", return_as="generator")(tasks)
            next(results)
            print("done")
        """)
    )
    start = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.stdout == "done\n", ended.stderr
    assert ended.returncode == 0
    assert time.monotonic() - start < 25


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    parallel = Parallel(2, backend="threading")
    assert parallel(delayed(square)(i) for i in range(3)) == [0, 1, 4]
    child = os.fork()
    if not child:
        os._exit(parallel(delayed(square)(i) for i in range(3)) != [0, 1, 4])
    assert os.waitpid(child, 0)[1] == 0
