"""`retain.map` is the built-in's on every core, and `map_async` the same while an event loop goes on."""

import asyncio
import contextlib
import contextvars
import gc
import itertools
import threading

import pytest
import retain
from retain import parallel_config

THREADS = {"backend": "threading", "n_jobs": 2}
variable = contextvars.ContextVar("variable", default="unset")


def raises(number):
    if number == 3:
        raise ValueError("three is refused", number)
    return number


# --- map ---


def test_results_come_in_order():
    assert retain.map(abs, range(-20, 0), **THREADS) == list(range(20, 0, -1))


def test_several_iterables_give_several_arguments():
    assert retain.map(pow, [2, 3, 4], [5, 2, 3], **THREADS) == [32, 9, 64]


def test_it_ends_with_the_shortest_iterable_and_takes_no_more():
    endless = itertools.count()
    assert retain.map(lambda *both: both, "abc", endless, **THREADS) == [("a", 0), ("b", 1), ("c", 2)]
    # As with zip: one may be taken of an iterable that stands before the one that ends.
    assert next(endless) == 3


@pytest.mark.parametrize("order", ["generator", "generator_unordered"])
def test_an_endless_iterable_gives_results_as_they_are_asked_for(order):
    results = retain.map(abs, itertools.count(), return_as=order, pre_dispatch=4, **THREADS)
    assert min(itertools.islice(results, 3)) >= 0
    with pytest.warns(UserWarning, match="tasks"):
        results.close()


def test_the_number_of_calls_is_known_where_iterables_have_a_length():
    seen = []

    class Asked(retain.Parallel):
        def __call__(self, iterable):
            seen.append(len(iterable) if hasattr(iterable, "__len__") else None)
            return super().__call__(iterable)

    from retain._parallel import map as module

    Asked(n_jobs=1)(module._calls(pow, ([1, 2, 3], range(2))))
    Asked(n_jobs=1)(module._calls(pow, ([1, 2, 3], iter(range(2)))))
    assert seen == [2, None]


def test_options_are_those_of_parallel():
    assert retain.map(raises, range(5), on_error="skip", **THREADS) == [0, 1, 2, 4]
    assert retain.map(abs, [-1], n_jobs=1) == [1]
    with parallel_config(backend="threading"):
        assert retain.map(lambda _: threading.get_ident(), [1], n_jobs=2) != [threading.get_ident()]


def test_what_the_function_raises_is_raised():
    with pytest.raises(ValueError, match="three is refused"):
        retain.map(raises, range(6), **THREADS)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((abs,), "at least one iterable"),
        ((5, [1]), "int is not callable"),
        ((abs, 7), "iterable 1 of map is 7"),
        ((pow, [1], None), "iterable 2 of map is None"),
    ],
)
@pytest.mark.parametrize("maps", [retain.map, retain.map_async])
def test_wrong_arguments_are_named(maps, arguments, complaint):
    with pytest.raises(TypeError, match=complaint):
        maps(*arguments)


# --- map_async ---


def test_it_can_be_awaited():
    async def main():
        return await retain.map_async(pow, [2, 3], [3, 2], **THREADS)

    assert asyncio.run(main()) == [8, 9]


def test_it_can_be_gone_through():
    async def main():
        return [result async for result in retain.map_async(abs, range(-9, 0), **THREADS)]

    assert asyncio.run(main()) == list(range(9, 0, -1))


def test_it_is_an_asynchronous_iterator():
    async def main():
        results = retain.map_async(abs, [-1, -2], **THREADS)
        found = [await anext(results), await anext(results)]
        with pytest.raises(StopAsyncIteration):
            await anext(results)
        return found

    assert asyncio.run(main()) == [1, 2]


def test_an_empty_iterable_gives_nothing():
    async def main():
        assert await retain.map_async(abs, [], **THREADS) == []
        assert [result async for result in retain.map_async(abs, [], **THREADS)] == []

    asyncio.run(main())


def test_results_may_come_in_the_order_they_end():
    first_may_end = threading.Event()

    def task(number):
        if number == 0:
            first_may_end.wait(30)
        return number

    async def main():
        found = []
        async for result in retain.map_async(task, range(3), return_as="generator_unordered", **THREADS):
            found.append(result)
            if len(found) == 2:
                first_may_end.set()
        return found

    assert asyncio.run(main()) == [1, 2, 0]


def test_it_is_used_once():
    async def main():
        results = retain.map_async(abs, [-1], **THREADS)
        assert await results == [1]
        with pytest.raises(RuntimeError, match="call map_async again"):
            await results
        with pytest.raises(RuntimeError, match="call map_async again"):
            await anext(results)

    asyncio.run(main())


def test_the_event_loop_goes_on_meanwhile():
    may_end = threading.Event()

    async def main():
        async def ends_it():
            may_end.set()

        # The tasks end only if the loop comes to run what is behind them.
        results, _ = await asyncio.gather(retain.map_async(may_end.wait, [30, 30], **THREADS), ends_it())
        return results

    assert asyncio.run(main()) == [True, True]


def test_the_iterables_are_advanced_off_the_loop():
    threads = set()

    def numbers():
        for number in range(5):
            threads.add(threading.get_ident())
            yield number

    async def main():
        await retain.map_async(abs, numbers(), **THREADS)

    asyncio.run(main())
    assert threading.get_ident() not in threads


def test_what_the_function_raises_is_raised_where_it_is_awaited():
    async def main():
        with pytest.raises(ValueError, match="three is refused"):
            await retain.map_async(raises, range(6), **THREADS)
        found = []
        with pytest.raises(ValueError, match="three is refused"):
            async for result in retain.map_async(raises, range(6), **THREADS):
                found.append(result)
        assert found == [0, 1, 2][: len(found)]

    asyncio.run(main())


def test_a_cancelled_task_cancels_the_calls():
    begun, may_end = threading.Event(), threading.Event()
    taken = []

    def numbers():
        for number in itertools.count():
            taken.append(number)
            yield number

    def task(number):
        begun.set()
        may_end.wait(30)
        return number

    async def main():
        job = asyncio.ensure_future(retain.map_async(task, numbers(), pre_dispatch=2, batch_size=1, **THREADS))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    asyncio.run(main())
    may_end.set()
    _no_thread_is_left("retain-map")
    # Of an endless iterable no more is taken.
    assert len(taken) < 10


def test_leaving_a_loop_cancels_the_calls():
    async def main():
        async with contextlib.aclosing(retain.map_async(abs, itertools.count(), **THREADS)) as results:
            async for result in results:
                if result == 3:
                    break
        async for result in retain.map_async(abs, itertools.count(), **THREADS):
            if result == 3:
                break
        gc.collect()

    asyncio.run(main())
    _no_thread_is_left("retain-map")


def test_many_maps_run_in_one_loop():
    async def main():
        return await asyncio.gather(*(retain.map_async(abs, [-n, n], **THREADS) for n in range(8)))

    assert asyncio.run(main()) == [[n, n] for n in range(8)]


def test_context_variables_and_configuration_are_those_of_the_task():
    async def main():
        variable.set("of the task")
        with parallel_config(backend="threading", n_jobs=2):
            results = retain.map_async(lambda _: (variable.get(), threading.current_thread().name), [1, 2], n_jobs=None)
        found = await results
        assert [value for value, _ in found] == ["of the task"] * 2
        assert "MainThread" not in {name for _, name in found}

    asyncio.run(main())


def test_a_slow_consumer_stops_the_calls():
    done = []

    async def main():
        results = retain.map_async(done.append, range(1000), pre_dispatch=4, batch_size=1, **THREADS)
        async with contextlib.aclosing(results):
            await anext(results)
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert len(done) < 20

    asyncio.run(main())


def _no_thread_is_left(name):
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(30)
            assert not thread.is_alive()
