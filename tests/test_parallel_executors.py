"""Any executor of PEP 3148 runs the tasks of a `Parallel`."""

import contextvars
import multiprocessing
import operator
import os
import pickle
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from retain import Parallel, delayed, parallel_config

variable = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


class Inline(Executor):
    """Runs what it is given at once, where it is given."""

    def __init__(self):
        self.batches = []

    def submit(self, function, /, *args, **kwargs):
        self.batches.append(function)
        future = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def raises(number):
    if number == 3:
        raise ValueError("three is refused", number)
    return number


def test_results_come_in_the_order_of_the_tasks(processes):
    assert Parallel(backend=processes)(delayed(operator.mul)(i, i) for i in range(50)) == [i * i for i in range(50)]


def test_tasks_run_in_the_executors_processes(processes):
    pids = set(Parallel(backend=processes)(delayed(os.getpid)() for _ in range(8)))
    assert pids <= {process.pid for process in multiprocessing.active_children()}


def test_tasks_run_on_the_executors_threads():
    with ThreadPoolExecutor(2, thread_name_prefix="own") as executor:
        names = Parallel(backend=executor)(delayed(lambda: threading.current_thread().name)() for _ in range(8))
    assert all(name.startswith("own") for name in names)


def test_one_worker_is_used_as_well_and_not_the_caller():
    with ThreadPoolExecutor(1) as executor:
        assert Parallel(backend=executor)([delayed(threading.get_ident)()]) != [threading.get_ident()]


def test_functions_that_pickle_refuses_travel_to_processes(processes):
    offset = 5
    assert Parallel(backend=processes)(delayed(lambda x: x + offset)(i) for i in range(4)) == [5, 6, 7, 8]


def test_arguments_are_handed_over_to_threads_as_they_are(threads):
    lock = threading.Lock()
    assert Parallel(backend=threads)(delayed(lambda x: x)(lock) for _ in range(3)) == [lock] * 3


def test_the_executor_is_not_shut_down(threads):
    Parallel(backend=threads)(delayed(abs)(-1) for _ in range(3))
    with Parallel(backend=threads) as parallel:
        parallel(delayed(abs)(-1) for _ in range(3))
    assert threads.submit(abs, -2).result() == 2


def test_an_executor_of_ones_own_is_a_backend():
    executor = Inline()
    with parallel_config(backend=executor):
        assert Parallel(n_jobs=2)(delayed(abs)(-i) for i in range(5)) == [0, 1, 2, 3, 4]
    assert executor.batches


@pytest.mark.parametrize("options", [{"initializer": print}, {"memory_limit": "1G"}])
def test_what_only_workers_of_retain_can_do_is_refused(threads, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is .* not retain's"):
        Parallel(backend=threads, **options)([delayed(abs)(1)])


def test_what_has_no_submit_is_refused():
    with pytest.raises(ValueError, match="Invalid backend"):
        Parallel(backend=object())


def test_an_exception_keeps_its_type_arguments_and_remote_traceback(processes):
    with pytest.raises(ValueError, match="three is refused") as caught:
        Parallel(backend=processes)(delayed(raises)(i) for i in range(6))
    assert caught.value.args == ("three is refused", 3)
    assert "in raises" in str(caught.value.__cause__)


def test_an_exception_on_a_thread_is_the_very_object(threads):
    error = KeyError("own")

    def fails():
        raise error

    with pytest.raises(KeyError) as caught:
        Parallel(backend=threads)([delayed(fails)()])
    assert caught.value is error


@pytest.mark.parametrize(("on_error", "expected"), [("return", [0, 1, 2, ValueError, 4]), ("skip", [0, 1, 2, 4])])
def test_a_failure_can_be_a_result_or_be_left_out(processes, on_error, expected):
    found = Parallel(backend=processes, on_error=on_error)(delayed(raises)(i) for i in range(5))
    assert [type(each) if isinstance(each, Exception) else each for each in found] == expected


def test_a_failed_task_is_tried_again(threads):
    attempts = []

    def flaky():
        attempts.append(None)
        if len(attempts) < 3:
            raise OSError("not yet")
        return len(attempts)

    parallel = Parallel(backend=threads, retries=2)
    assert parallel([delayed(flaky)()]) == [3]
    assert parallel.stats().retried == 2


def test_a_task_that_takes_too_long_fails_alone(threads):
    never = threading.Event()
    try:
        found = Parallel(backend=threads, task_timeout=0.2, on_error="return")(
            [delayed(abs)(-1), delayed(never.wait)(), delayed(abs)(-2)]
        )
    finally:
        never.set()
    assert found[0] == 1
    assert found[2] == 2
    assert isinstance(found[1], multiprocessing.TimeoutError)
    assert "wait" in str(found[1])
    assert "0.2" in str(found[1])


def test_a_call_that_takes_too_long_is_given_up(threads):
    never = threading.Event()
    try:
        with pytest.raises(multiprocessing.TimeoutError):
            Parallel(backend=threads, timeout=0.1)([delayed(never.wait)(), delayed(never.wait)()])
    finally:
        never.set()


def test_what_cannot_be_pickled_is_told_so(processes):
    with pytest.raises(pickle.PicklingError, match="Could not pickle the task"):
        Parallel(backend=processes)([delayed(abs)(threading.Lock())])


def test_a_broken_pool_is_an_error_and_no_hang():
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor,
        pytest.raises(BrokenExecutor),
    ):
        Parallel(backend=executor)(delayed(os._exit)(1) for _ in range(3))


def test_an_executor_that_was_shut_down_is_an_error():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        Parallel(backend=executor)([delayed(abs)(1)])


def test_context_variables_reach_threads_and_stay_there(threads):
    def look(value):
        found = variable.get()
        variable.set(value)
        return found

    token = variable.set("callers")
    try:
        assert Parallel(backend=threads)(delayed(look)(i) for i in range(6)) == ["callers"] * 6
        assert variable.get() == "callers"
    finally:
        variable.reset(token)


@pytest.mark.parametrize("order", ["generator", "generator_unordered"])
def test_generators_give_results_as_they_come(threads, order):
    assert sorted(Parallel(backend=threads, return_as=order)(delayed(abs)(-i) for i in range(30))) == list(range(30))


def test_no_more_tasks_are_taken_than_asked_for(threads):
    taken = []

    def tasks():
        for i in range(100):
            taken.append(i)
            yield delayed(abs)(i)

    results = Parallel(backend=threads, return_as="generator", pre_dispatch=3, batch_size=1)(tasks())
    assert next(results) == 0
    assert len(taken) <= 6
    assert list(results) == list(range(1, 100))


def test_an_iterable_that_raises_raises_in_the_caller(threads):
    def tasks():
        yield delayed(abs)(1)
        raise KeyError("from the iterable")

    with pytest.raises(KeyError, match="from the iterable"):
        Parallel(backend=threads)(tasks())


def test_no_more_jobs_run_than_asked_for():
    running, most = set(), []
    guard = threading.Lock()

    def task(number):
        with guard:
            running.add(number)
            most.append(len(running))
        time.sleep(0.01)
        with guard:
            running.discard(number)

    with ThreadPoolExecutor(8) as executor:
        Parallel(n_jobs=2, backend=executor)(delayed(task)(i) for i in range(12))
    assert max(most) <= 2


def test_a_parallel_inside_a_task_runs(processes):
    def inner(n):
        return sum(Parallel(n_jobs=2)(delayed(abs)(i) for i in range(n)))

    assert Parallel(backend=processes)(delayed(inner)(n) for n in (2, 3, 4)) == [1, 3, 6]


def test_many_tasks_travel_together_to_processes(processes):
    parallel = Parallel(backend=processes, batch_size=25)
    assert parallel(delayed(abs)(-i) for i in range(101)) == list(range(101))
    assert parallel.stats().completed == 101
