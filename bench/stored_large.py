"""A folder of a million small results: what it takes to open it, to hit, to miss, to put at its limit, and to look.

The figures are beside those of a folder of a thousand. Hits are of calls in a random order, each
asked for once, and read from the folder.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import retain
from persistence_peers import folder
from timing import Table, Target, median, stopwatch

FEW = 1000
RESULT = 100
"""Bytes of each result."""


def text(number):
    return f"{number:x}".ljust(RESULT, "-")


def opened(place, **options):
    return retain.Memory(str(place), verbose=0, ram_bytes=0, **options)


def fill(place, entries):
    """Keep the results of so many calls; the seconds of each."""
    function = opened(place).cache(text)
    times = []
    for number in range(entries):
        start = time.perf_counter()
        function(number)
        times.append(time.perf_counter() - start)
    return times


def used(place):
    """Bytes on the disk, as `du` tells them."""
    return sum(os.lstat(Path(at) / name).st_blocks * 512 for at, _, names in os.walk(place) for name in names)


def microseconds(function, numbers):
    times = []
    for number in numbers:
        start = time.perf_counter()
        function(number)
        times.append(time.perf_counter() - start)
    return median(times) * 1e6


def open_anew(place, entries):
    """Open the folder and hit once, as a fresh process does; what was open before is forgotten."""
    times = []
    for _ in range(9):
        memory = None
        start = time.perf_counter()
        memory = opened(place)
        memory.cache(text)(entries // 2)
        times.append(time.perf_counter() - start)
        del memory
    return median(times) * 1e6


def measure(quick):
    many = 50_000 if quick else 1_000_000
    table = Table(
        f"Memory: a folder of {many:,} small results",
        ("what", f"{FEW:,} entries", f"{many:,} entries", "ratio", "target"),
        "Microseconds, medians.",
    )
    choose = random.Random(0)
    figures = {}
    with folder() as place:
        for entries in (FEW, many):
            at = place / str(entries)
            fill(at, entries)
            figures[entries] = {
                "opening, and one hit": open_anew(at, entries),
                "hit": microseconds(opened(at).cache(text), choose.sample(range(entries), FEW)),
                "miss": microseconds(opened(at).cache(text), range(entries, entries + FEW)),
            }
        for what, few in figures[FEW].items():
            more = figures[many][what] / few
            table.add(what, few, figures[many][what], more, Target(more, most=2))
        size = used(place / str(many)) / ((many + FEW) * RESULT)
        table.add("disk, of the results' bytes", None, size, None, Target(size, most=4))
        table.add("stat: seconds", None, *stat(place / str(many)))
        table.add(
            "puts at the limit, the longest stall, ms",
            None,
            *stalls(place / str(many), many, 2000 if quick else 20_000),
        )
    return [table]


def stat(place):
    """What the command asks the folder for."""
    memory = opened(place)
    took = stopwatch(lambda: memory._store.functions())
    return took, None, Target(took, most=1)


def stalls(place, entries, puts):
    """Each put makes room for itself."""
    function = opened(place, max_items=entries).cache(text)
    times = []
    for number in range(2 * entries, 2 * entries + puts):
        start = time.perf_counter()
        function(number)
        times.append(time.perf_counter() - start)
    longest = max(times) * 1e3
    return longest, None, Target(longest, most=20)
