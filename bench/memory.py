"""Bytes per entry, and the garbage collector's time, against functools.

Each figure is taken in a fresh process. Keys and values are made beforehand and not counted: bytes
per entry is the growth of the resident memory while the cache fills, divided by the entries. The
collector's time is that of a `gc.collect()` with the full cache and all else in the process, the
least of seven. functools.cache is a dict, which the collector leaves out while nothing in it can be
part of a cycle.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from timing import Table, Target, stopwatch

CACHES = ("functools.cache", "retain.cache", "functools.lru_cache", "retain.lru_cache", "memoize")

# The arguments and the result of call number n. All are distinct objects.
KINDS = {
    "ints": (lambda n: (n + 1000,), lambda n: n + 1000),
    "pairs of ints": (lambda n: (n + 1000, n + 1000), lambda n: n + 1000),
    "strs": (lambda n: (f"key {n}",), lambda n: f"value {n}"),
    "tuples": (lambda n: ((n + 1000, "part"),), lambda n: (n, "part")),
    "frozensets, lists": (lambda n: (frozenset((n,)),), lambda n: [n]),
}


def decorate(cache, size, function):
    if cache == "memoize":
        import retain

        return retain.memoize(maxsize=size)(function)
    library, name = cache.split(".")
    decorator = getattr(__import__(library), name)
    return decorator(function) if name == "cache" else decorator(size)(function)


def resident():
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def child(cache, kind, size):
    """Fill the cache and print the bytes and the collector's seconds."""
    make_key, make_value = KINDS[kind]
    keys = [make_key(number) for number in range(size)]
    values = [make_value(number) for number in range(size)]
    result = iter(values).__next__
    single = len(keys[0]) == 1
    memoized = decorate(cache, size, (lambda a: result()) if single else (lambda a, b: result()))
    gc.collect()
    gc.disable()
    before = resident()
    # Each argument by name: a tuple that is unpacked would be taken over as the key.
    if single:
        for (a,) in keys:
            memoized(a)
    else:
        for a, b in keys:
            memoized(a, b)
    grown = resident() - before
    keys.clear()
    values.clear()
    gc.collect()
    seconds = min(stopwatch(gc.collect) for _ in range(7))
    assert memoized.cache_info().currsize == size
    print(json.dumps({"bytes": grown / size, "seconds": seconds}))


def take(kind, size, rounds):
    """The medians of fresh processes, the caches in turn."""
    taken = {cache: [] for cache in CACHES}
    for _ in range(rounds):
        for cache in CACHES:
            command = [sys.executable, __file__, cache, kind, str(size)]
            shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            taken[cache].append(json.loads(shown))
    return {
        cache: {what: statistics.median(figures[what] for figures in all_rounds) for what in ("bytes", "seconds")}
        for cache, all_rounds in taken.items()
    }


def measure(quick):
    columns = ("arguments", "functools.cache", "retain.cache", "ratio", "target")
    columns += ("functools.lru_cache", "retain.lru_cache", "ratio", "target", "memoize")
    memory = Table(
        "Memory: bytes per entry, arguments and results not counted",
        columns,
        note="How much room is left over after growing depends on the number of entries.",
    )
    collector = Table("Garbage collection: ms per gc.collect(), 300,000 entries", columns)
    if not Path("/proc/self/statm").exists():
        memory.note = "Not measured: resident memory is read from /proc, which is not here."
    for kind in KINDS:
        sizes = (300_000, 500_000, 1_000_000) if kind == "ints" else (300_000,)
        for size in sizes[:1] if quick else sizes:
            figures = take(kind, size, 1 if quick else 3)
            if Path("/proc/self/statm").exists():
                add(memory, f"{size:,} {kind}", figures, "bytes", 1)
            if size == 300_000:
                add(collector, kind, figures, "seconds", 1e3)
    return [memory, collector]


def add(table, name, figures, what, scale):
    cells = []
    for decorator in ("cache", "lru_cache"):
        theirs = figures[f"functools.{decorator}"][what] * scale
        ours = figures[f"retain.{decorator}"][what] * scale
        cells += [theirs, ours, ours / theirs, Target(ours / theirs, most=1.0)]
    table.add(name, *cells, figures["memoize"][what] * scale)


if __name__ == "__main__":
    child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
