"""Single flight: whoever asks for a result that is being computed waits for it, and nobody waits for ever."""

import gc
import sys
import threading
import time
import weakref

import pytest
from retain import memoize

TIMEOUT = 20


class Gate:
    """A function to memoize that stops inside until it is let go."""

    def __init__(self, result=lambda x, call: (x, call)):
        self.entered, self.go, self.calls, self.result = threading.Event(), threading.Event(), [], result

    def __call__(self, x):
        self.calls.append(x)
        call = len(self.calls)
        self.entered.set()
        assert self.go.wait(TIMEOUT)
        return self.result(x, call)


class Worker(threading.Thread):
    """A thread that notes what a call returned or raised."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args, self.outcome = function, args, None
        self.start()

    def run(self):
        try:
            self.outcome = self.function(*self.args)
        except BaseException as error:
            self.outcome = error

    def end(self):
        self.join(TIMEOUT)
        assert not self.is_alive(), "it waits for ever"
        return self.outcome


def waiting(function, count):
    """Give so many threads the time to begin to wait, as far as that can be seen."""
    end = time.monotonic() + TIMEOUT
    frames = sys._current_frames
    while sum(frame.f_code is Worker.run.__code__ for frame in frames().values()) < count:
        assert time.monotonic() < end
        time.sleep(0.001)
    time.sleep(0.02)


def test_eight_threads_that_ask_for_one_result_compute_it_once():
    gate = Gate(lambda x, call: object())
    function = memoize(gate)
    workers = [Worker(function, 1) for _ in range(8)]
    assert gate.entered.wait(TIMEOUT)
    waiting(function, 7)
    assert function.cache_info().in_flight == 1
    gate.go.set()
    results = {id(worker.end()) for worker in workers}
    assert gate.calls == [1]
    assert results == {id(function(1))}
    info = function.cache_info()
    assert (info.hits, info.misses, info.in_flight) == (8, 1, 0)


def test_an_exception_reaches_all_eight_and_the_next_call_computes_again():
    def result(x, call):
        if call == 1:
            raise LookupError("for everyone")
        return "second"

    gate = Gate(result)
    function = memoize(gate)
    workers = [Worker(function, 1) for _ in range(8)]
    assert gate.entered.wait(TIMEOUT)
    waiting(function, 7)
    gate.go.set()
    outcomes = [worker.end() for worker in workers]
    assert [type(outcome) for outcome in outcomes] == [LookupError] * 8
    assert gate.calls == [1]
    assert function(1) == "second"
    assert gate.calls == [1, 1]


def test_other_arguments_do_not_wait():
    together = threading.Barrier(4, timeout=TIMEOUT)
    function = memoize(lambda x: together.wait() is not None)
    workers = [Worker(function, x) for x in range(4)]
    assert [worker.end() for worker in workers] == [True] * 4


def test_without_single_flight_everyone_computes():
    together = threading.Barrier(4, timeout=TIMEOUT)

    @memoize(single_flight=False)
    def function(x):
        together.wait()
        return object()

    workers = [Worker(function, 1) for _ in range(4)]
    results = {worker.end() for worker in workers}
    assert len(results) == 4
    assert function(1) in results
    assert function.cache_info()[:2] == (1, 4)


def test_arguments_with_their_own_equality_share_a_flight():
    class Key:
        def __init__(self, number):
            self.number = number

        def __eq__(self, other):
            return self.number == other.number

        def __hash__(self):
            return 1

    gate = Gate(lambda key, call: key.number)
    function = memoize(gate)
    workers = [Worker(function, Key(number % 2)) for number in range(8)]
    assert gate.entered.wait(TIMEOUT)
    waiting(function, 6)
    gate.go.set()
    assert sorted(worker.end() for worker in workers) == [0] * 4 + [1] * 4
    assert len(gate.calls) == 2


# --- Circles ---


def test_a_call_of_itself_with_the_same_arguments_computes_again():
    depth = []

    @memoize
    def function(x):
        depth.append(x)
        return function(x) + 1 if len(depth) < 4 else 0

    assert function(1) == 3
    assert len(depth) == 4
    assert function.cache_info().in_flight == 0


def test_recursion_without_end_raises_recursion_error():
    function = memoize(lambda x: function(x))
    with pytest.raises(RecursionError):
        function(1)
    assert function.cache_info().in_flight == 0


def test_recursion_over_other_arguments_computes_each_once():
    calls = []

    @memoize(maxsize=None)
    def fibonacci(n):
        calls.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(100) == 354224848179261915075
    assert len(calls) == 101


@pytest.mark.parametrize("count", [2, 3, 5])
def test_computations_that_need_one_another_in_a_circle_do_not_wait_for_ever(count):
    together = threading.Barrier(count, timeout=TIMEOUT)
    met = set()

    @memoize
    def function(x):
        if x not in met:
            met.add(x)
            together.wait()
            return [x, function((x + 1) % count)]
        return x

    workers = [Worker(function, x) for x in range(count)]
    outcomes = [worker.end() for worker in workers]
    assert all(outcome[0] == x for x, outcome in enumerate(outcomes))
    assert function.cache_info().in_flight == 0


def test_a_circle_through_two_functions_is_seen():
    together = threading.Barrier(2, timeout=TIMEOUT)
    depth = {"one": 0, "other": 0}

    def make(name, others):
        @memoize
        def function(x):
            depth[name] += 1
            if depth[name] == 1:
                together.wait()
                return name, functions[others](x)
            return name

        return function

    functions = {"one": make("one", "other"), "other": make("other", "one")}
    workers = [Worker(function, 1) for function in functions.values()]
    for worker in workers:
        assert worker.end()[0] in functions


def test_refreshing_inside_the_computation_does_not_wait_for_ever():
    depth = []

    @memoize
    def function(x):
        depth.append(x)
        return function.refresh(x) + 1 if len(depth) < 3 else 0

    worker = Worker(function, 1)
    assert worker.end() == 2


# --- Interrupts ---


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_of_the_one_who_computes_is_not_given_to_those_who_wait(kind):
    def result(x, call):
        if call == 1:
            raise kind
        return "computed again"

    gate = Gate(result)
    function = memoize(gate)
    first = Worker(function, 1)
    assert gate.entered.wait(TIMEOUT)
    others = [Worker(function, 1) for _ in range(4)]
    waiting(function, 4)
    gate.go.set()
    assert type(first.end()) is kind
    assert [worker.end() for worker in others] == ["computed again"] * 4
    assert len(gate.calls) == 2


# --- Changes while it is computed ---


@pytest.mark.parametrize("change", ["invalidate", "cache_clear", "set"])
@pytest.mark.parametrize("single_flight", [True, False])
def test_a_result_that_was_outdated_while_it_was_computed_is_not_kept(change, single_flight):
    gate = Gate()
    function = memoize(gate, single_flight=single_flight)
    worker = Worker(function, 1)
    assert gate.entered.wait(TIMEOUT)
    if change == "invalidate":
        assert function.invalidate(1) is False
    elif change == "cache_clear":
        function.cache_clear()
    else:
        function.set("set", 1)
    gate.go.set()
    assert worker.end() == (1, 1)
    assert function(1) == ("set" if change == "set" else (1, 2))


def test_who_asks_after_an_invalidation_does_not_get_the_outdated_result():
    gate = Gate()
    function = memoize(gate)
    old = Worker(function, 1)
    assert gate.entered.wait(TIMEOUT)
    gate.entered.clear()
    function.invalidate(1)
    new = Worker(function, 1)
    assert gate.entered.wait(TIMEOUT), "it joined the outdated computation"
    gate.go.set()
    assert {old.end(), new.end()} == {(1, 1), (1, 2)}
    assert new.outcome == (1, 2)
    assert function(1) == (1, 2)


def test_an_invalidation_of_other_arguments_does_no_harm():
    gate = Gate()
    function = memoize(gate)
    worker = Worker(function, 1)
    assert gate.entered.wait(TIMEOUT)
    function.invalidate(2)
    function.set("set", 3)
    gate.go.set()
    assert worker.end() == (1, 1)
    assert function(1) == (1, 1)


def test_peek_does_not_wait():
    gate = Gate()
    function = memoize(gate)
    worker = Worker(function, 1)
    assert gate.entered.wait(TIMEOUT)
    with pytest.raises(KeyError):
        function.peek(1)
    assert list(function) == []
    gate.go.set()
    worker.end()


def test_a_refresh_joins_a_computation_in_flight():
    gate = Gate()
    function = memoize(gate)
    one = Worker(function, 1)
    assert gate.entered.wait(TIMEOUT)
    other = Worker(function.refresh, 1)
    waiting(function, 1)
    gate.go.set()
    assert one.end() == other.end() == (1, 1)


def test_the_old_result_is_served_while_a_refresh_computes():
    gate = Gate()
    function = memoize(gate)
    function.set("old", 1)
    worker = Worker(function.refresh, 1)
    assert gate.entered.wait(TIMEOUT)
    assert function(1) == "old"
    gate.go.set()
    assert worker.end() == (1, 1)
    assert function(1) == (1, 1)


# --- What is left behind ---


def test_a_weigher_that_fails_harms_nobody_who_waits():
    gate = Gate()
    function = memoize(gate, weigher=lambda value: -1)
    with pytest.warns(RuntimeWarning, match="weigher returned -1"):
        workers = [Worker(function, 1) for _ in range(4)]
        assert gate.entered.wait(TIMEOUT)
        waiting(function, 3)
        gate.go.set()
        assert [worker.end() for worker in workers] == [(1, 1)] * 4


def test_nothing_is_kept_alive_once_everyone_has_it():
    class Node:
        pass

    gate = Gate(lambda x, call: Node())
    function = memoize(gate, maxsize=0)
    workers = [Worker(function, 1) for _ in range(4)]
    assert gate.entered.wait(TIMEOUT)
    waiting(function, 3)
    gate.go.set()
    reference = weakref.ref(workers[0].end())
    for worker in workers:
        worker.end()
    workers.clear()
    del worker
    gc.collect()
    assert reference() is None


def test_many_threads_over_few_keys_compute_each_once():
    calls, lock = [], threading.Lock()

    @memoize(maxsize=None)
    def function(x):
        with lock:
            calls.append(x)
        time.sleep(0.0005)
        return x

    def work():
        return [function(x) for x in range(100)]

    workers = [Worker(work) for _ in range(16)]
    assert all(worker.end() == list(range(100)) for worker in workers)
    assert sorted(calls) == list(range(100))
    info = function.cache_info()
    assert (info.hits, info.misses) == (1500, 100)
