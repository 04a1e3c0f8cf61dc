"""A program that ends while threads are at work ends as with functools: at once and quietly."""

import subprocess
import sys

import pytest


def run(program):
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


PROGRAM = """
import sys, threading, time
{imports}

inside = threading.Event()

def work(*_):
    inside.set()
    {body}

{setup}

threading.Thread(target=call, daemon=True).start()
inside.wait()
{then}
print("done")
sys.exit(3)
"""

BODIES = ["time.sleep(60)", "while True: time.sleep(0)", "while True: pass"]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("decorator", ["cache", "lru_cache", "lru_cache(maxsize=0)"])
def test_a_thread_inside_a_cached_call_ends_as_with_functools(decorator, body):
    setup = f"function = {decorator}(work)\ndef call(): function(1)"
    outcomes = [
        run(PROGRAM.format(imports=f"from {module} import cache, lru_cache", body=body, setup=setup, then=""))
        for module in ("functools", "retain")
    ]
    assert outcomes[0] == outcomes[1] == (3, "done\n", "")


SETUPS = {
    "cached property": """
class Data:
    value = retain.cached_property(work)
def call(): Data().value
""",
    "hash": """
class Key:
    __hash__ = work
@retain.cache
def function(key): pass
def call(): function(Key())
""",
    "equality": """
class Key:
    def __hash__(self): return 1
    __eq__ = work
@retain.cache
def function(key): pass
def call():
    function(Key())
    function(Key())
""",
    "memoized equality": """
class Key:
    def __hash__(self): return 1
    __eq__ = work
@retain.memoize
def function(key): pass
def call():
    function(Key())
    function(Key())
""",
    "memoized": "function = retain.memoize(work)\ndef call(): function(1)",
    "memoized, without single flight": (
        "function = retain.memoize(work, single_flight=False)\ndef call(): function(1)"
    ),
    "memoized, refreshed": "function = retain.memoize(work)\ndef call(): function.refresh(1)",
    "memoized method": """
class Data:
    method = retain.memoize(work)
def call(): Data().method()
""",
    "property over a memoized method": """
class Data:
    method = property(retain.memoize(work))
def call(): Data().method
""",
    "key function": """
@retain.memoize(key=work)
def function(x): pass
def call(): function(1)
""",
    "weigher": """
@retain.memoize(weigher=work)
def function(x): pass
def call(): function(1)
""",
    "time to live": """
@retain.memoize(ttl=work)
def function(x): pass
def call(): function(1)
""",
    "copier": """
@retain.memoize(copy=work)
def function(x): pass
def call(): function(1)
""",
    "eviction callback": """
@retain.memoize(maxsize=1, on_evict=work)
def function(x): pass
def call():
    for number in range(9): function(number)
""",
    "coroutine": """
import asyncio
@retain.memoize
async def function(x): work()
def call(): asyncio.run(function(1))
""",
    "factory": "cache = retain.Cache()\ndef call(): cache.get_or_insert(1, work)",
    "stale value computed anew": """
released = []
@retain.memoize(ttl=0.001, stale_while_revalidate=60)
def function(x):
    if released: work()
    released.append(1)
def call():
    function(1)
    time.sleep(0.01)
    function(1)
""",
}


@pytest.mark.parametrize("body", BODIES[1:])
@pytest.mark.parametrize("where", SETUPS)
def test_a_thread_inside_the_users_code_does_not_disturb_the_end(where, body):
    program = PROGRAM.format(imports="import retain", body=body, setup=SETUPS[where], then="")
    assert run(program) == (3, "done\n", "")


@pytest.mark.parametrize("where", ["memoized", "cached property", "memoized, refreshed", "factory", "coroutine"])
def test_a_thread_that_waits_for_another_does_not_disturb_the_end(where):
    setup = SETUPS[where].replace("Data().value", "data.value")
    if where == "cached property":
        setup += "data = Data()\n"
    then = """
for _ in range(3):
    threading.Thread(target=call, daemon=True).start()
time.sleep(0.05)
"""
    for body in BODIES[:2]:
        program = PROGRAM.format(imports="import retain", body=body, setup=setup, then=then)
        assert run(program) == (3, "done\n", "")


USES = {
    "calls": "function(number % 50)",
    "methods": "data.method(number % 50)",
    "counts": "function.cache_info()",
    "counts of a method": "Data.method.cache_info(); data.method.cache_info()",
    "entries": "list(function); function.set(1, number % 50); function.invalidate(number % 50)",
    "cached": "cached(number % 50); cached.cache_info()",
    "mapping": "cache[number % 50] = Late(); cache.stats(); list(cache.items())",
    "new instances": "new = Data(); new.method(1); new.value",
    "stale": "stale(number % 5)",
    "late": "late(number % 50)",
}


@pytest.mark.parametrize("use", USES)
def test_threads_that_use_caches_without_end_do_not_disturb_the_end(use):
    program = """
import retain, sys, threading, time

class Late:
    def __del__(self):
        for _ in range(10): pass

function = retain.memoize(lambda x: [x], maxsize=20)
late = retain.memoize(lambda x: Late(), maxsize=20, on_evict=lambda *_: None)
stale = retain.memoize(lambda x: [x], ttl=0.0001, stale_while_revalidate=60)
cached = retain.lru_cache(maxsize=20)(lambda x: [x])
cache = retain.Cache(20)

class Data:
    @retain.memoize
    def method(self, x): return [x]
    @retain.cached_property
    def value(self): return 1

data = Data()
sys.setswitchinterval(1e-5)

def work():
    number = 0
    while True:
        number += 1
        USE

for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
print("done")
sys.exit(3)
""".replace("USE", USES[use])
    for _ in range(3):
        assert run(program) == (3, "done\n", "")


def test_caches_that_live_until_the_end_are_taken_down_quietly():
    program = """
import asyncio, retain, sys

class Node:
    def __init__(self, *functions):
        self.functions = functions
    def __del__(self):
        for function in self.functions:
            function(3)

@retain.cache
def one(x):
    return Node(one, other)

@retain.memoize(ttl=60, on_evict=print)
def other(x):
    return Node(one, other)

class Data:
    @retain.memoize
    def method(self):
        return self
    @retain.cached_property
    def value(self):
        return self

@retain.memoize
async def task(x):
    return Node(one)

data = Data()
data.method().value
data.cache = retain.Cache(on_evict=print)
data.cache["self"] = data
asyncio.run(task(1))
one(1), other(1)
sys.modules["held"] = one, other, data
print("done")
"""
    status, printed, _ = run(program)
    assert (status, printed) == (0, "done\n")


def test_a_wait_of_the_main_thread_ends_on_an_interrupt():
    program = """
import retain, signal, threading, time, os

entered = threading.Event()

@retain.memoize
def slow(x):
    entered.set()
    time.sleep(60)

threading.Thread(target=slow, args=(1,), daemon=True).start()
entered.wait()
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    slow(1)
except KeyboardInterrupt:
    print("interrupted")
print(slow.cache_info().in_flight)
"""
    assert run(program) == (0, "interrupted\n1\n", "")


def test_an_interrupt_of_the_main_thread_that_computes_lets_a_waiter_compute():
    program = """
import retain, signal, threading, time, os

calls, entered, results = [], threading.Event(), []

@retain.memoize
def slow(x):
    calls.append(threading.current_thread() is threading.main_thread())
    if len(calls) == 1:
        entered.set()
        time.sleep(60)
    return "value"

def wait():
    entered.wait()
    results.append(slow(1))

waiter = threading.Thread(target=wait)
waiter.start()
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    slow(1)
except KeyboardInterrupt:
    print("interrupted")
waiter.join()
print(calls, results)
"""
    assert run(program) == (0, "interrupted\n[True, False] ['value']\n", "")
