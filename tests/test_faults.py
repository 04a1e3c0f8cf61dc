"""What once went wrong: forks, aliases, interrupts, closed loops, odd signatures."""

from __future__ import annotations

import asyncio
import copy
import os
import subprocess
import sys
import textwrap
import threading

import pytest
import retain

TIMEOUT = 30


def script(text, *arguments):
    """Run a program in a Python of its own: exit status and what it wrote."""
    command = [sys.executable, "-c", textwrap.dedent(text), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_method_of_varargs_alone_tells_its_calls_apart():
    class Counter:
        @retain.memoize
        def count(*args):
            return len(args)

    counter = Counter()
    assert counter.count(1) == 2
    assert counter.count(counter, 1) == 3
    assert Counter.count(counter, 1) == 2


def test_a_memoized_function_put_into_a_class_stays_a_function():
    slug = retain.memoize(lambda text: text.lower())

    class Options:
        make = staticmethod(slug)
        default = slug

    assert slug("A") == "a"
    assert Options.make("B") == "b"
    assert Options.default("C") == "c"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_child_of_a_fork_does_not_wait_for_a_thread_of_its_parent():
    status, out, err = script("""
        import os, signal, threading
        import retain

        started, go = threading.Event(), threading.Event()

        @retain.memoize
        def compute(x):
            if threading.current_thread() is not threading.main_thread():
                started.set()
                go.wait()
            return x

        thread = threading.Thread(target=compute, args=(1,))
        thread.start()
        started.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            os._exit(0 if compute(1) == 1 else 3)
        status = os.waitpid(child, 0)[1]
        go.set()
        thread.join()
        print("status", status)
    """)
    assert (status, out) == (0, "status 0\n"), err


def test_an_interrupt_while_hashing_comes_through():
    class Key:
        interrupted = False

        def __hash__(self):
            if not Key.interrupted:
                Key.interrupted = True
                raise KeyboardInterrupt
            return 1

    function = retain.memoize(lambda key: 1)
    with pytest.raises(KeyboardInterrupt):
        function(Key())
    assert function.cache_info().misses == 0
    assert function(Key()) == 1


def test_a_bound_method_is_copied_with_its_instance():
    class Thing:
        @retain.memoize
        def name(self):
            return "thing"

    copied = copy.deepcopy(Thing().name)
    assert isinstance(copied.__self__, Thing)
    assert copied() == "thing"


def test_a_result_that_awaits_again_as_it_goes_does_not_block():
    @retain.memoize
    async def compute(x):
        return Value()

    class Value:
        def __del__(self):
            awaitable.close()

    asyncio.run(compute(1))
    awaitable = compute(1)
    compute.cache_clear()
    closing = threading.Thread(target=awaitable.close, daemon=True)
    closing.start()
    closing.join(TIMEOUT)
    assert not closing.is_alive()


@pytest.mark.filterwarnings("ignore")
def test_a_computation_whose_loop_was_closed_is_begun_anew():
    stuck = True

    @retain.memoize
    async def compute(x):
        if stuck:
            await asyncio.Event().wait()
        return x

    loop = asyncio.new_event_loop()
    task = loop.create_task(compute(1))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    stuck = False

    async def again():
        return await asyncio.wait_for(compute(1), TIMEOUT)

    assert asyncio.run(again()) == 1
    del task


def test_a_refresh_in_the_background_that_closes_a_circle_of_waits_ends():
    status, out, err = script("""
        import threading, time
        import retain

        renewing, asked = threading.Event(), threading.Event()

        @retain.memoize(ttl=0.1, stale_while_revalidate=0.3)
        def source(x):
            if threading.current_thread().name != "retain-refresh":
                return 0
            renewing.set()
            asked.wait()
            time.sleep(0.05)
            return derived(x)

        @retain.memoize
        def derived(x):
            asked.set()
            renewing.wait()
            time.sleep(0.5)  # what the source has is not even stale any more
            return source(x)

        source(1)
        other = threading.Thread(target=derived, args=(1,), daemon=True)
        other.start()
        asked.wait()
        while not renewing.is_set():  # on a busy machine, it may be past being stale: then this computes it
            time.sleep(0.15)
            source(1)
        other.join(10)
        print("hangs" if other.is_alive() else "ends")
    """)
    assert (status, out) == (0, "ends\n"), err


def test_threads_that_first_call_a_method_of_one_slotted_instance_share_one_computation():
    class Slotted:
        __slots__ = ("__weakref__",)
        calls = 0

        @retain.memoize
        def method(self):
            Slotted.calls += 1
            return 1

    previous = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            instance, barrier = Slotted(), threading.Barrier(4)

            def call(instance=instance, barrier=barrier):
                barrier.wait()
                instance.method()

            threads = [threading.Thread(target=call) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(previous)
    assert Slotted.calls == 50


SHUTDOWN = {
    "property": "thing.value",
    "refresh": "stale(1)",
    "call": "outer(1)",
    "insert": "cache.get_or_insert(1, lambda key: outer(2))",
}


@pytest.mark.parametrize("use", SHUTDOWN)
def test_daemon_threads_in_nested_calls_do_not_disturb_the_end(use):
    text = f"""
        import threading, time
        import retain

        class Thing:
            @retain.memoize
            def slow(self):
                time.sleep(0.01)
                return object()

            @retain.cached_property
            def value(self):
                return [self.slow() for self.x in range(10)]

        @retain.memoize
        def inner(x):
            time.sleep(0.001)
            return x

        @retain.memoize(ttl=0.001)
        def outer(x):
            return Thing().value and inner(x)

        stale = retain.memoize(lambda x: outer(x), ttl=0.001, stale_while_revalidate=5)
        cache = retain.Cache(ttl=0.001)

        def work():
            while True:
                thing = Thing()
                {SHUTDOWN[use]}

        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)
    """
    for _ in range(3):
        status, _, err = script(text)
        assert (status, err) == (0, "")
