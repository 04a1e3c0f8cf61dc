"""`Memory` and coroutine functions: one computation for all who await it, and nothing that blocks the loop."""

import asyncio
import functools
import inspect
import pickle
import sys
import threading
import time

import pytest
import retain
from retain import CacheWarning, MemorizedResult, Memory
from retain._memory.asynchronous import AsyncMemorizedFunc, AsyncNotMemorizedFunc
from retain._memory.results import NotMemorizedResult

TIMEOUT = 20


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def memory(folder):
    return Memory(folder, verbose=0)


def again(folder, **options):
    return Memory(folder, verbose=0, ram_bytes=0, **options)


def is_known_as_coroutine_function(function):
    # Before Python 3.12, only asyncio knows of objects that are.
    return (inspect if sys.version_info >= (3, 12) else asyncio).iscoroutinefunction(function)


async def within_time(awaitable):
    return await asyncio.wait_for(awaitable, TIMEOUT)


def run(awaitable):
    return asyncio.run(within_time(awaitable))


async def module_level(x):
    await asyncio.sleep(0)
    return [x]


async def type_name(x):
    await asyncio.sleep(0)
    return type(x).__name__


def test_a_result_is_kept_and_found_by_another_memory(folder, memory):
    calls = []

    async def function(x):
        await asyncio.sleep(0)
        calls.append(x)
        return {"x": x}

    async def main():
        for each in (memory, memory, again(folder)):
            found = await each.cache(function)(1)
            assert found == {"x": 1}
            found["x"] = 2

    run(main())
    run(main())
    assert calls == [1]


@pytest.mark.parametrize("size", [1, 100_000])
def test_fifty_tasks_await_one_computation_and_get_objects_of_their_own(memory, size):
    calls = []

    @memory.cache
    async def slow(x):
        calls.append(x)
        await asyncio.sleep(0.05)
        return [x] * size

    async def main():
        return await asyncio.gather(*[slow(1) for _ in range(50)])

    found = run(main())
    assert calls == [1]
    assert found == [[1] * size] * 50
    assert len({id(each) for each in found}) == 50


def test_the_store_is_read_and_written_on_other_threads(memory):
    loop_thread = threading.get_ident()
    used = set()
    store = memory._store

    class Watched:
        def __getattr__(self, name):
            if name != "removals":
                used.add((name, threading.get_ident() == loop_thread))
            return getattr(store, name)

    memory._place._store = Watched()
    function = memory.cache(module_level)

    async def main():
        await function(1)
        memory._place.forget()
        await function(1)

    run(main())
    assert {name for name, _ in used} >= {"get", "put"}
    assert [name for name, on_loop in used if on_loop] == []


def test_large_arguments_are_hashed_on_another_thread(memory):
    loop_thread = threading.get_ident()
    where = []

    class Told:
        def __retain_key__(self):
            where.append(threading.get_ident() == loop_thread)
            return 1

    assert run(memory.cache(type_name)(Told())) == "Told"
    assert where == [False]


def test_an_exception_propagates_to_all_and_is_not_kept(memory):
    calls = []

    @memory.cache
    async def function(x):
        calls.append(x)
        await asyncio.sleep(0.01)
        raise LookupError("mine")

    async def main():
        return await asyncio.gather(*[function(1) for _ in range(3)], return_exceptions=True)

    found = run(main())
    assert [type(error) for error in found] == [LookupError] * 3
    assert calls == [1]
    run(main())
    assert calls == [1, 1]
    assert function.entries() == []


def test_a_cancelled_task_does_not_cancel_the_others(memory):
    @memory.cache
    async def slow():
        await asyncio.sleep(0.1)
        return "done"

    async def main():
        tasks = [asyncio.ensure_future(slow()) for _ in range(3)]
        await asyncio.sleep(0.02)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = run(main())
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == ["done", "done"]


def test_when_all_are_cancelled_so_is_the_computation_and_nothing_is_kept(memory):
    ended = []

    @memory.cache
    async def slow():
        try:
            await asyncio.sleep(TIMEOUT)
        except asyncio.CancelledError:
            ended.append(1)
            raise

    async def main():
        task = asyncio.ensure_future(slow())
        while not memory._place.leading:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)

    run(main())
    assert ended == [1]
    assert slow.entries() == []


def test_a_ttl_and_a_callback_hold_for_awaited_results(memory):
    calls, answers = [], [True, False, True]

    async def function():
        calls.append(1)
        await asyncio.sleep(0)

    async def main():
        short = memory.cache(function, ttl=0.05)
        for _ in range(2):
            await short()
            await asyncio.sleep(0.1)
        assert len(calls) == 2
        for _ in range(2):
            await memory.cache(function, ttl=1000)()
        assert len(calls) == 3
        checked = memory.cache(function, cache_validation_callback=lambda _: answers.pop(0))
        for _ in range(3):
            await checked()
        assert len(calls) == 4

    run(main())


def test_methods_partials_and_callable_objects_are_awaited(memory):
    class Client:
        def __init__(self, name):
            self.name = name

        @memory.cache
        async def ask(self, what):
            await asyncio.sleep(0)
            return self.name, what

        async def __call__(self, what):
            await asyncio.sleep(0)
            return what

    async def main():
        assert await Client("a").ask(1) == ("a", 1)
        assert await Client("b").ask(what=1) == ("b", 1)
        assert Client("a").ask.check_call_in_cache(1)
        assert Client("a").ask.invalidate(1)
        assert not Client("a").ask.check_call_in_cache(1)
        assert await memory.cache(functools.partial(module_level, 5))() == [5]
        assert await memory.cache(Client("c"))(7) == 7

    run(main())


def test_shelving_and_computing_anew(memory):
    function = memory.cache(module_level)

    async def main():
        for _ in range(2):
            result = await function.call_and_shelve(2)
            assert isinstance(result, MemorizedResult)
            assert result.get() == [2]
        result.clear()
        with pytest.raises(KeyError):
            result.get()
        value, metadata = await function.call(2)
        assert value == [2]
        assert metadata["input_args"] == {"x": "2"}
        assert function.check_call_in_cache(2)

    run(main())


def test_what_cannot_be_kept_is_returned_with_one_warning(memory):
    @memory.cache
    async def function():
        await asyncio.sleep(0.02)
        return threading.Lock()

    async def main():
        return await asyncio.gather(*[function() for _ in range(3)])

    with pytest.warns(CacheWarning, match="cannot be pickled") as caught:
        found = run(main())
    assert len(caught) == 1
    assert len({id(each) for each in found}) == 3


def test_a_store_that_fails_costs_no_result(memory):
    class Failing:
        def __getattr__(self, name):
            raise OSError(5, "Input/output error")

    memory._place._store = Failing()
    function = memory.cache(module_level)
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert run(function(1)) == [1]
    assert {warning.category for warning in caught} == {CacheWarning}


def test_mapped_results_are_mapped(folder):
    np = pytest.importorskip("numpy")

    async def ones():
        await asyncio.sleep(0)
        return np.ones(3)

    function = Memory(folder, mmap_mode="r", verbose=0).cache(ones)
    for _ in range(2):
        assert isinstance(run(function()), np.memmap)


def test_it_is_known_as_a_coroutine_function(memory):
    function = memory.cache(module_level)
    assert isinstance(function, AsyncMemorizedFunc)
    assert is_known_as_coroutine_function(function)
    assert pickle.loads(pickle.dumps(function)).check_call_in_cache(1) is False


def test_without_a_location_nothing_is_kept():
    calls = []

    @Memory(None).cache
    async def function(x):
        calls.append(x)
        await asyncio.sleep(0)
        return x

    assert isinstance(function, AsyncNotMemorizedFunc)
    assert is_known_as_coroutine_function(function)
    assert run(function(1)) == run(function(1)) == 1
    assert calls == [1, 1]
    assert run(function.call(1)) == (1, {})
    result = run(function.call_and_shelve(1))
    assert isinstance(result, NotMemorizedResult)
    assert result.get() == 1
    assert run(Memory(None).eval(module_level, 1)) == [1]


def test_two_loops_share_a_result(memory):
    calls = []

    @memory.cache
    async def slow():
        calls.append(1)
        await asyncio.sleep(0.1)
        return [1]

    found = []
    threads = [threading.Thread(target=lambda: found.append(run(slow())), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    assert found == [[1]] * 3
    assert len(calls) == 1


@pytest.mark.timeout(20)
def test_a_call_of_itself_computes_again(memory):
    depth = iter([1, 2, 3])

    @memory.cache(track="own")
    async def function(x):
        return await function(x) + 1 if next(depth) < 3 else 0

    assert run(function(1)) == 2


def test_sync_and_async_waits_for_other_processes_do_not_block_the_loop(memory):
    """Another owner leads the call: meanwhile the loop goes on."""
    function = memory.cache(module_level)
    call = function._address(1)
    lead = memory._store.lead(call, retain._retain.Owner())
    ticks = []

    async def main():
        task = asyncio.ensure_future(function(1))
        for _ in range(20):
            ticks.append(time.monotonic())
            await asyncio.sleep(0.005)
        lead.release()
        return await task

    assert run(main()) == [1]
    assert len(ticks) == 20
