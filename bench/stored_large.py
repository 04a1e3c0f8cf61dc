"""A folder of a million small results: what it takes to open it, to hit, to miss, to put at its limit, and to look.

The figures are beside those of a folder of a thousand. Hits are of calls in a random order, each
asked for once, and read from the folder. The folder is filled, and opened, by processes of their own.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
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
    """Keep the results of so many calls."""
    function = opened(place).cache(text)
    for number in range(entries):
        function(number)


def open_anew(place, entries):
    """Open the folder, and hit once; print the microseconds."""
    with folder() as other:
        # All that is imported at first use.
        opened(other).cache(text)(0)
    start = time.perf_counter()
    found = opened(place).cache(text)(entries // 2)
    print((time.perf_counter() - start) * 1e6)
    assert found == text(entries // 2)


def by_child(verb, place, entries):
    # Imported: functions of a program have its name.
    code = f"import stored_large; stored_large.{verb}({str(place)!r}, {entries})"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=3600, cwd=Path(__file__).parent)
    return found.stdout


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
            by_child("fill", at, entries)
            size = used(at) / (entries * RESULT)
            figures[entries] = {
                "opening, and one hit": median([float(by_child("open_anew", at, entries)) for _ in range(5)]),
                "hit": microseconds(opened(at).cache(text), choose.sample(range(entries), FEW)),
                "miss": microseconds(opened(at).cache(text), range(entries, entries + FEW)),
            }
        for what, few in figures[FEW].items():
            more = figures[many][what] / few
            table.add(what, few, figures[many][what], more, Target(more, most=2))
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
