"""`memoize` on `async def`: one computation however many tasks await it, and no task harms another."""

import asyncio
import contextvars
import gc
import inspect
import sys
import threading
import time
import weakref

import pytest
from retain import memoize


def echo(**options):
    """A memoized coroutine function, and the list of its calls."""
    calls = []

    @memoize(**options)
    async def function(x, y=0):
        calls.append((x, y))
        await asyncio.sleep(0)
        return [x, y]

    return function, calls


class Gate:
    """A coroutine function to memoize that stops inside until it is let go."""

    def __init__(self, result=lambda x, call: (x, call)):
        self.entered, self.go, self.calls, self.result = asyncio.Event(), asyncio.Event(), [], result
        self.cancelled = 0

    async def __call__(self, x):
        self.calls.append(x)
        call = len(self.calls)
        self.entered.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.result(x, call)


async def settle():
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


def run(main):
    """Run a coroutine function to its end; nothing that it started is left behind or complains."""
    complaints = []

    async def watched():
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        result = await asyncio.wait_for(main(), 20)
        await settle()
        gc.collect()
        await settle()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left
        return result

    result = asyncio.run(watched())
    gc.collect()
    assert not complaints
    return result


# --- What it is ---


def test_it_is_a_coroutine_function():
    function, _ = echo()
    assert asyncio.iscoroutinefunction(function) if sys.version_info < (3, 14) else True
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(function)


def test_its_calls_can_be_awaited_run_gathered_and_made_tasks():
    function, calls = echo()
    assert asyncio.run(function(1)) == [1, 0]
    assert asyncio.run(function(1)) == [1, 0]

    async def main():
        assert await function(1) == [1, 0]
        assert await asyncio.create_task(function(1)) == [1, 0]
        assert await asyncio.create_task(function(2)) == [2, 0]
        assert await asyncio.ensure_future(function(1)) == [1, 0]
        assert await asyncio.gather(function(1), function(2)) == [[1, 0], [2, 0]]
        assert await asyncio.wait_for(function(1), 5) == [1, 0]
        assert await asyncio.shield(function(1)) == [1, 0]
        done, _ = await asyncio.wait([asyncio.create_task(function(1))])
        assert done.pop().result() == [1, 0]
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            task = group.create_task(function(1))
        assert task.result() == [1, 0]
        return await asyncio.wait_for(function(3), 5)

    assert run(main) == [3, 0]
    assert calls == [(1, 0), (2, 0), (3, 0)]
    future = function(1)
    assert inspect.isawaitable(future)
    assert asyncio.iscoroutine(future)
    future.close()


@pytest.mark.parametrize("result", [None, (), (1, 2), StopIteration("inside"), [1], LookupError()])
def test_any_result_comes_back_as_it_was(result):
    async def function(x):
        return result

    memoized = memoize(function)

    async def main():
        return [await memoized(1) is result for _ in range(3)]

    assert run(main) == [True] * 3


def test_a_result_can_be_awaited_once_as_a_coroutine_can():
    function, _ = echo()

    async def main():
        await function(1)
        hit = function(1)
        await hit
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await hit

    run(main)


def test_a_hit_that_is_never_awaited_is_no_fault():
    function, _ = echo()

    async def main():
        await function(1)
        function(1)

    run(main)


def test_callable_objects_with_an_async_call_are_coroutine_functions():
    class Callable:
        calls = 0

        async def __call__(self, x):
            self.calls += 1
            return x

    inner = Callable()
    function = memoize(inner)

    async def main():
        return [await function(1), await function(x=1)]

    assert run(main) == [1, 1]
    assert inner.calls == 1


def test_arguments_are_bound_as_for_other_functions():
    function, calls = echo(ignore=["y"])

    async def main():
        for _ in range(2):
            await function(1)
            await function(x=1, y=5)
        with pytest.raises(TypeError, match=r"takes from 1 to 2 positional arguments but 3 were"):
            await function(1, 2, 3)
        with pytest.raises(TypeError, match="argument 'x' -> .*a thread lock has no stable identity"):
            await function([threading.Lock()])
        for _ in range(2):
            await function([1])

    run(main)
    assert calls == [(1, 0), ([1], 0)]


def test_without_a_running_loop_a_call_does_nothing_until_it_is_awaited():
    function, calls = echo()
    pending = function(1)
    assert calls == []
    assert asyncio.run(pending) == [1, 0]


# --- Single flight ---


def test_a_thousand_awaiting_tasks_compute_once():
    async def main():
        gate = Gate(lambda x, call: object())
        function = memoize(gate)
        tasks = [asyncio.create_task(function(1)) for _ in range(1000)]
        await gate.entered.wait()
        await settle()
        assert function.cache_info().in_flight == 1
        gate.go.set()
        results = await asyncio.gather(*tasks)
        assert len({id(result) for result in results}) == 1
        info = function.cache_info()
        assert (info.hits, info.misses, info.in_flight) == (999, 1, 0)
        return gate.calls

    assert run(main) == [1]


def test_an_exception_reaches_everyone_and_the_next_call_computes_again():
    def result(x, call):
        if call == 1:
            raise LookupError("for everyone")
        return "second"

    async def main():
        gate = Gate(result)
        function = memoize(gate)
        tasks = [asyncio.create_task(function(1)) for _ in range(50)]
        await gate.entered.wait()
        await settle()
        gate.go.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {LookupError}
        assert await function(1) == "second"
        return gate.calls

    assert run(main) == [1, 1]


def test_without_single_flight_everyone_computes():
    async def main():
        gate = Gate()
        function = memoize(gate, single_flight=False)
        tasks = [asyncio.create_task(function(1)) for _ in range(5)]
        await settle()
        gate.go.set()
        await asyncio.gather(*tasks)
        assert await function(1) in [task.result() for task in tasks]
        return len(gate.calls)

    assert run(main) == 5


def test_other_arguments_do_not_wait():
    async def main():
        gate = Gate()
        function = memoize(gate)
        tasks = [asyncio.create_task(function(x)) for x in range(5)]
        await settle()
        assert sorted(gate.calls) == list(range(5))
        gate.go.set()
        await asyncio.gather(*tasks)

    run(main)


# --- Cancellation ---


@pytest.mark.parametrize("victim", [0, 3])
def test_cancelling_one_who_waits_harms_no_other(victim):
    async def main():
        gate = Gate()
        function = memoize(gate)
        tasks = [asyncio.create_task(function(1)) for _ in range(6)]
        await gate.entered.wait()
        await settle()
        tasks[victim].cancel()
        await settle()
        assert tasks[victim].cancelled()
        gate.go.set()
        del tasks[victim]
        assert await asyncio.gather(*tasks) == [(1, 1)] * 5
        assert await function(1) == (1, 1)
        return gate.calls, gate.cancelled

    assert run(main) == ([1], 0)


def test_cancelling_everyone_cancels_the_computation():
    async def main():
        gate = Gate()
        function = memoize(gate)
        tasks = [asyncio.create_task(function(1)) for _ in range(6)]
        await gate.entered.wait()
        await settle()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await settle()
        assert gate.cancelled == 1
        assert function.cache_info().in_flight == 0
        gate.go.set()
        assert await function(1) == (1, 2)

    run(main)


def test_a_timeout_of_the_only_one_cancels_the_computation():
    async def main():
        gate = Gate()
        function = memoize(gate)
        caller = asyncio.ensure_future(function(1))
        await gate.entered.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller, 0.02)
        await settle()
        assert gate.cancelled == 1
        gate.go.set()
        assert await function(1) == (1, 2)

    run(main)


def test_who_comes_while_the_computation_is_being_cancelled_gets_a_result():
    async def main():
        gate = Gate()
        function = memoize(gate)
        first = asyncio.create_task(function(1))
        await gate.entered.wait()
        await settle()
        first.cancel()
        second = asyncio.create_task(function(1))
        await asyncio.sleep(0)
        third = asyncio.create_task(function(1))
        await settle()
        gate.go.set()
        assert await second == await third
        with pytest.raises(asyncio.CancelledError):
            await first

    run(main)


def test_a_computation_that_refuses_to_be_cancelled_is_kept():
    calls = []

    @memoize
    async def function(x):
        calls.append(x)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return "stubborn"

    async def main():
        task = asyncio.create_task(function(1))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()
        return await function(1)

    assert run(main) == "stubborn"
    assert calls == [1]


def test_a_computation_that_cancels_itself_cancels_its_caller_alone():
    calls = []

    async def main():
        entered, go = asyncio.Event(), asyncio.Event()

        @memoize
        async def function(x):
            calls.append(x)
            entered.set()
            await go.wait()
            if len(calls) == 1:
                raise asyncio.CancelledError
            return "second"

        tasks = [asyncio.create_task(function(1)) for _ in range(3)]
        await entered.wait()
        await settle()
        go.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert outcomes[1:] == ["second"] * 2

    run(main)
    assert calls == [1, 1]


# --- Circles ---


def test_a_call_of_itself_with_the_same_arguments_computes_again():
    depth = []

    @memoize
    async def function(x):
        depth.append(x)
        return await function(x) + 1 if len(depth) < 4 else 0

    assert run(lambda: function(1)) == 3
    assert len(depth) == 4


def test_a_call_of_itself_through_tasks_computes_again():
    depth = []

    @memoize
    async def function(x):
        depth.append(x)
        if len(depth) == 1:
            return await asyncio.gather(function(x), asyncio.create_task(function(x)))
        return "inner"

    assert run(lambda: function(1)) == ["inner", "inner"]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_computations_that_need_one_another_in_a_circle_do_not_wait_for_ever(count):
    async def main():
        met, all_met = set(), asyncio.Event()

        @memoize
        async def function(x):
            if x in met:
                return x
            met.add(x)
            if len(met) == count:
                all_met.set()
            await all_met.wait()
            return [x, await function((x + 1) % count)]

        outcomes = await asyncio.gather(*(function(x) for x in range(count)))
        assert [outcome[0] for outcome in outcomes] == list(range(count))
        assert function.cache_info().in_flight == 0

    run(main)


def test_recursion_over_other_arguments_computes_each_once():
    calls = []

    @memoize
    async def fibonacci(n):
        calls.append(n)
        if n < 2:
            return n
        one, other = await asyncio.gather(fibonacci(n - 1), fibonacci(n - 2))
        return one + other

    assert run(lambda: fibonacci(60)) == 1548008755920
    assert sorted(calls) == list(range(61))


# --- Changes while it is computed, and what can be done with results ---


@pytest.mark.parametrize("change", ["invalidate", "cache_clear", "set"])
@pytest.mark.parametrize("single_flight", [True, False])
def test_a_result_that_was_outdated_while_it_was_computed_is_not_kept(change, single_flight):
    async def main():
        gate = Gate()
        function = memoize(gate, single_flight=single_flight)
        task = asyncio.create_task(function(1))
        await gate.entered.wait()
        if change == "invalidate":
            assert function.invalidate(1) is False
        elif change == "cache_clear":
            function.cache_clear()
        else:
            function.set("set", 1)
        gate.go.set()
        assert await task == (1, 1)
        assert await function(1) == ("set" if change == "set" else (1, 2))

    run(main)


def test_results_can_be_seen_set_refreshed_and_forgotten():
    function, calls = echo()

    async def main():
        with pytest.raises(KeyError):
            function.peek(1)
        first = await function(1)
        assert function.peek(1) is first
        second = await function.refresh(1)
        assert second == first
        assert second is not first
        assert await function(1) is second
        function.set("set", 1)
        assert await function(1) == "set"
        assert [(e.arguments, e.value) for e in function] == [({"x": 1, "y": 0}, "set")]
        assert function.invalidate(1) is True
        await function(1)

    run(main)
    assert len(calls) == 3


def test_an_exception_is_kept_for_its_time():
    calls = []

    @memoize(cache_exceptions=(LookupError, 600))
    async def function(x):
        calls.append(x)
        raise LookupError(x)

    async def main():
        for _ in range(3):
            with pytest.raises(LookupError, match="1"):
                await function(1)

    run(main)
    assert calls == [1]


def test_each_caller_gets_a_copy():
    function, calls = echo(copy=True)

    async def main():
        results = await asyncio.gather(*(function(1) for _ in range(4)))
        results.append(await function(1))
        results.append(await function.refresh(1))
        assert results == [[1, 0]] * 6
        assert len({id(result) for result in results}) == 6

    run(main)
    assert len(calls) == 2


@pytest.mark.parametrize("single_flight", [True, False])
def test_what_a_copier_raises_reaches_the_caller(single_flight):
    function, calls = echo(copy=lambda value: value / 0, single_flight=single_flight)

    async def main():
        for _ in range(2):
            with pytest.raises(TypeError, match="unsupported operand"):
                await function(1)

    run(main)
    assert calls == [(1, 0)]


def test_a_weigher_that_fails_is_warned_of_and_the_result_is_returned():
    function, calls = echo(weigher=lambda value: -1)

    async def main():
        with pytest.warns(RuntimeWarning, match="weigher returned -1"):
            assert await function(1) == [1, 0]
        with pytest.warns(RuntimeWarning, match="weigher returned -1"):
            assert await function(1) == [1, 0]

    run(main)
    assert len(calls) == 2


def test_a_stale_result_is_served_while_a_task_computes_anew():
    async def main():
        gate = Gate()
        gate.go.set()
        function = memoize(gate, ttl=0.02, stale_while_revalidate=600)
        assert await function(1) == (1, 1)
        await asyncio.sleep(0.04)
        gate.go.clear()
        for _ in range(5):
            assert await function(1) == (1, 1)
        await settle()
        assert gate.calls == [1, 1]
        gate.go.set()
        await settle()
        assert function.peek(1) == (1, 2)

    run(main)


def test_a_failed_renewal_leaves_the_stale_result():
    def result(x, call):
        if call == 2:
            raise LookupError("no luck")
        return call

    async def main():
        gate = Gate(result)
        gate.go.set()
        function = memoize(gate, ttl=0.02, stale_while_revalidate=600)
        assert await function(1) == 1
        await asyncio.sleep(0.04)
        assert await function(1) == 1
        await settle()
        assert len(gate.calls) == 2
        assert await function(1) == 1
        await settle()
        assert function.peek(1) == 3

    run(main)


# --- Loops, threads, contexts ---


def test_loops_in_several_threads_share_one_computation():
    calls, entered, go = [], threading.Event(), threading.Event()

    @memoize
    async def function(x):
        calls.append(x)
        entered.set()
        while not go.is_set():
            await asyncio.sleep(0.001)
        return object()

    results = []
    workers = [threading.Thread(target=lambda: results.append(asyncio.run(function(1)))) for _ in range(6)]
    for worker in workers:
        worker.start()
    assert entered.wait(20)
    time.sleep(0.1)
    go.set()
    for worker in workers:
        worker.join(20)
    assert calls == [1]
    assert len(results) == 6
    assert len(set(results)) == 1


def test_a_loop_that_ends_while_it_computes_lets_others_compute():
    calls, entered = [], threading.Event()

    @memoize
    async def function(x):
        calls.append(x)
        if len(calls) == 1:
            entered.set()
            await asyncio.sleep(30)
        return "second"

    async def give_up():
        caller = asyncio.ensure_future(function(1))
        while not entered.is_set():
            await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller, 0.2)

    results = []
    first = threading.Thread(target=lambda: asyncio.run(give_up()))
    first.start()
    assert entered.wait(20)
    second = threading.Thread(target=lambda: results.append(asyncio.run(function(1))))
    second.start()
    first.join(20)
    # The computation of the first loop is that loop's: while it is waited for, it goes on until the loop ends.
    second.join(20)
    assert results == ["second"]


def test_results_outlive_the_loop_that_computed_them():
    function, calls = echo()
    first = asyncio.run(function(1))
    assert asyncio.run(function(1)) is first
    assert calls == [(1, 0)]


def test_the_computation_sees_the_context_of_the_one_who_began_it():
    variable = contextvars.ContextVar("variable", default="none")

    @memoize
    async def function(x):
        return variable.get()

    async def main():
        variable.set("mine")
        return await function(1)

    assert run(main) == "mine"


def test_nothing_is_kept_alive_once_everyone_has_it():
    from retain import _memo

    class Node:
        pass

    before = set(_memo._computations)

    @memoize(maxsize=0)
    async def function(x):
        return Node()

    async def main():
        results = await asyncio.gather(*(function(1) for _ in range(4)))
        reference = weakref.ref(results[0])
        results.clear()
        await settle()
        gc.collect()
        return reference()

    assert run(main) is None
    assert set(_memo._computations) <= before


def test_a_method_keeps_results_per_instance():
    class Client:
        calls = 0

        @memoize
        async def fetch(self, url, *, retries=3):
            self.calls += 1
            await asyncio.sleep(0)
            return url, retries

    one, other = Client(), Client()

    async def main():
        for _ in range(2):
            assert await one.fetch("/") == await one.fetch("/", retries=3) == ("/", 3)
        await asyncio.gather(*(other.fetch("/") for _ in range(10)))
        assert one.fetch.peek("/") == ("/", 3)
        assert one.fetch.cache_info().hits == 3
        await one.fetch.refresh("/")

    run(main)
    assert (one.calls, other.calls) == (2, 1)
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(one.fetch)
    reference = weakref.ref(one)
    del one
    gc.collect()
    assert reference() is None


def test_an_interrupt_inside_the_computation_ends_the_loop():
    @memoize
    async def function(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(function(1))
    assert function.cache_info().in_flight == 0
