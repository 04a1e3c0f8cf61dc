"""Nanoseconds per miss that evicts: a stream of keys never seen before, against full caches.

The wrapped function is called each time, and its own time is in every figure: functions in C show
the caches at their barest. Ints in a row are the best case for a dict, which places them one beside
the other; strings are placed at random.
"""

from __future__ import annotations

import functools
import itertools

import cachebox
import cachetools
import retain
from timing import Table, Target, clock, median, ratio, take_turns

SIZE = 2048

DECORATORS = {
    "functools": functools.lru_cache(SIZE),
    "retain": retain.lru_cache(SIZE),
    "memoize": retain.memoize(maxsize=SIZE),
    "cachetools": cachetools.cached(cachetools.LRUCache(SIZE)),
    "cachebox": cachebox.cached(cachebox.LRUCache(SIZE)),
}


def identity(number):
    return number


# What is wrapped, and what makes an argument of a number.
STREAMS = {
    "abs of ints": (abs, int),
    "len of strs": (len, lambda number: f"key {number}"),
    "def f(int)": (identity, int),
}


def stream(function, make_key):
    """A turn: nanoseconds per call, each with a new key, the loop included."""
    fresh = itertools.count(1000)

    def turn(number):
        keys = [make_key(count) for count in itertools.islice(fresh, number)]
        start = clock()
        for key in keys:
            function(key)
        return (clock() - start) / number * 1e9

    turn(2 * SIZE)
    return turn


def measure(quick):
    table = Table(
        f"Misses that evict: lru_cache({SIZE}) (ns per call)",
        ("call", *DECORATORS, "functools / retain", "target"),
        note="memoize runs S3-FIFO, notes how long each call took, and lets other threads join it.",
    )
    for name, (function, make_key) in STREAMS.items():
        rounds, seconds = (9, 0.003) if quick else (51, 0.004)
        caches = {label: stream(decorate(function), make_key) for label, decorate in DECORATORS.items()}
        times = take_turns(caches, rounds, seconds)
        more = ratio(times["functools"], times["retain"])
        medians = (median(times[label]) for label in DECORATORS)
        table.add(name, *medians, more, Target(more, least=1.5))
    return [table]
