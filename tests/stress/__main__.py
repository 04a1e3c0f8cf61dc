"""
Threads call, clear, resize and invalidate at random, with keys whose ``__eq__`` yields, re-enters or raises.

Run as ``python tests/stress --seconds 60``. Every value that comes back is checked, and at the end every key and value
that was ever made must be gone: a crash, a wrong value, a hang or a leak fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import faulthandler
import gc
import logging
import random
import sys
import threading
import time

import retain

KEYS = 60


class Trouble(Exception):
    """Raised on purpose by keys and functions."""


class Counted:
    """Knows how many of its kind are alive."""

    alive = 0
    lock = threading.Lock()

    def __init__(self):
        with Counted.lock:
            Counted.alive += 1

    def __del__(self):
        with Counted.lock:
            Counted.alive -= 1


class Key(Counted):
    """A key that is compared by number, with hashes that collide, and that misbehaves as it is told."""

    def __init__(self, number, stage=None, mood="calm"):
        super().__init__()
        self.number = number
        self.stage = stage
        self.mood = mood

    def __hash__(self):
        return self.number % 7

    def __eq__(self, other):
        if not isinstance(other, Key):
            return NotImplemented
        for mood in {self.mood, other.mood}:
            if mood == "yields":
                time.sleep(0)
            elif mood == "raises" and random.random() < 0.3:
                raise Trouble
            elif mood == "re-enters" and self.stage is not None and random.random() < 0.2:
                self.stage.disturb()
        return self.number == other.number


class Value(Counted):
    def __init__(self, number):
        super().__init__()
        self.number = number


class Stage:
    """Functions and a mapping, all of which map a number to a value of that number."""

    def __init__(self):
        def compute(key):
            if random.random() < 0.02:
                raise Trouble
            if random.random() < 0.05:
                time.sleep(0)
            return Value(key.number)

        self.evicted = 0
        self.mapping = retain.Cache(maxsize=20, policy="s3fifo")
        self.functions = [
            retain.lru_cache(maxsize=25)(compute),
            retain.lru_cache(maxsize=None, typed=True)(compute),
            retain.memoize(compute, maxsize=30, ttl=0.01, stale_while_revalidate=0.005),
            retain.memoize(compute, maxsize=16, policy="lru", on_evict=self.count),
            retain.memoize(compute, maxsize=16, policy="sieve", single_flight=False),
            retain.memoize(compute, maxsize=16, policy="lfu", cache_exceptions=(Trouble, 0.005)),
            retain.memoize(compute, max_bytes=500, weigher=lambda value: value.number),
            retain.memoize(lambda key, extra=0: compute(key), typed=False, time_to_idle=0.002),
        ]
        self.compute = compute

    def count(self, arguments, value, cause):
        assert arguments["key"].number == value.number
        assert cause in ("evicted", "expired")
        self.evicted += 1

    def key(self):
        mood = random.choice(["calm", "calm", "calm", "yields", "re-enters", "raises"])
        return Key(random.randrange(KEYS), self, mood)

    def disturb(self):
        """Do something to the tables from inside of a comparison."""
        function = random.choice(self.functions)
        action = random.randrange(4)
        if action == 0:
            function.cache_clear()
        elif action == 1 and hasattr(function, "invalidate"):
            function.invalidate(Key(random.randrange(KEYS)))
        elif action == 2:
            self.mapping.resize(random.choice([5, 20, 40]))
        else:
            check(function(number := Key(random.randrange(KEYS))), number)

    def act(self):
        """Do something at random; what comes back is right."""
        key = self.key()
        function = random.choice(self.functions)
        action = random.random()
        if action < 0.7:
            check(function(key), key)
        elif action < 0.9:
            self.act_on_mapping(key)
        elif action < 0.905:
            function.cache_clear()
        elif hasattr(function, "invalidate"):
            self.act_on_memo(function, key)
        else:
            function.cache_info()

    def act_on_mapping(self, key):
        action = random.randrange(7)
        if action == 0:
            self.mapping[key] = Value(key.number)
        elif action == 1:
            check(self.mapping.get(key, Value(key.number)), key)
        elif action == 2:
            check(self.mapping.pop(key, Value(key.number)), key)
        elif action == 3:
            check(self.mapping.setdefault(key, Value(key.number)), key)
        elif action == 4:
            check(self.mapping.get_or_insert(key, self.compute), key)
        elif action == 5:
            for other, value in self.mapping.items():
                check(value, other)
        else:
            self.mapping.resize(random.choice([0, 5, 20, 40]))

    def act_on_memo(self, function, key):
        action = random.randrange(5)
        if action == 0:
            function.invalidate(key)
        elif action == 1:
            function.set(Value(key.number), key)
        elif action == 2:
            check(function.refresh(key), key)
        elif action == 3:
            try:
                check(function.peek(key), key)
            except KeyError:
                pass
        else:
            for entry in function:
                check(entry.value, entry.arguments["key"])

    def clear(self):
        for function in self.functions:
            function.cache_clear()
        self.mapping.clear()


def check(value, key):
    if value.number != key.number:
        raise AssertionError(f"{value.number} came back for {key.number}")


def hammer(stage, until, failures, done):
    while time.monotonic() < until and not failures:
        try:
            stage.act()
            done[threading.get_ident()] += 1
        except Trouble:
            pass
        except BaseException as error:
            failures.append(error)
            raise


async def hammer_tasks(until):
    @retain.memoize(maxsize=10, ttl=0.01)
    async def compute(key):
        await asyncio.sleep(random.choice([0, 0, 0.001]))
        if random.random() < 0.05:
            raise Trouble
        return Value(key.number)

    async def one():
        key = Key(random.randrange(KEYS), None, random.choice(["calm", "raises"]))
        try:
            check(await compute(key), key)
        except Trouble:
            pass

    while time.monotonic() < until:
        tasks = [asyncio.create_task(one()) for _ in range(50)]
        await asyncio.sleep(0)
        for task in random.sample(tasks, 10):
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
                raise result
        if random.random() < 0.1:
            compute.cache_clear()


def run(seconds, threads):
    failures = []
    done = collections.Counter()
    stage = Stage()
    until = time.monotonic() + seconds
    workers = [threading.Thread(target=hammer, args=(stage, until, failures, done)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    asyncio.run(hammer_tasks(until))
    for worker in workers:
        worker.join(60)
        if worker.is_alive():
            faulthandler.dump_traceback(all_threads=True)
            raise SystemExit("a thread hangs")
    if failures:
        raise failures[0]
    stage.clear()
    stage.mapping = None
    stage.functions.clear()
    return done.total()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=6)
    options = parser.parse_args()
    faulthandler.enable()
    logging.getLogger("retain").setLevel(logging.CRITICAL)  # failing refreshes are part of it
    sys.setswitchinterval(1e-5)
    random.seed()
    actions = run(options.seconds, options.threads)
    deadline = time.monotonic() + 10
    while Counted.alive and time.monotonic() < deadline:
        # Refreshes in the background may still be under way.
        time.sleep(0.05)
        gc.collect()
    if Counted.alive:
        raise SystemExit(f"{Counted.alive} keys and values leaked")
    print(f"{actions} actions, no wrong value, nothing leaked")


if __name__ == "__main__":
    main()
