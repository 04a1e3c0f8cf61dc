"""Results that outlive the process: retain.Memory against joblib's and diskcache's `memoize`.

Each keeps the results of the same function in a folder of its own. They take turns, in one process.
Times are of the clock on the wall, since large arguments are hashed by several threads. "held" is
retain with results in memory besides, as by default; "retain" alone reads from the folder each
time, as a fresh process does (`ram_bytes=0`).
"""

from __future__ import annotations

import itertools
import time
import timeit
from dataclasses import dataclass, field
from functools import partial

import diskcache
import joblib
import numpy as np
import retain
import stored_large
import stored_processes
from hashing import STRINGS, frame
from persistence_peers import folder
from persistence_peers import take_turns as take_long_turns
from timing import Table, Target, median, ratio, take_turns

MB = 1 << 20


def small(number, name="mean", *, weights=None):
    return number


def of_table(table, column="name"):
    return len(table)


def of_array(array, power=2):
    return float(array[0])


def large(number):
    return np.random.default_rng(number).random(12_500_000)


def decorators(place, *, mapped=False):
    """Who keeps results, each in a folder of its own below `place`."""
    mode = {"mmap_mode": "r"} if mapped else {}

    def memory(library, name, **options):
        return library.Memory(str(place / name), verbose=0, **mode, **options).cache

    return {
        "joblib": memory(joblib, "joblib"),
        "diskcache": diskcache.Cache(str(place / "diskcache")).memoize(typed=True),
        "retain": memory(retain, "retain", ram_bytes=0),
        "held": memory(retain, "held"),
    }


def often(call):
    """A turn: calls so many times and returns the nanoseconds that one took."""
    return lambda number: timeit.Timer(call, timer=time.perf_counter).timeit(number) / number * 1e9


@dataclass
class Bounds:
    """What is asked for: the most of our time in us, the least of joblib's over it, the same of "held"."""

    most: float | None = None
    least: float | None = None
    held_most: float | None = None
    held_least: float | None = None
    peers: tuple = field(default=("joblib", "diskcache", "retain", "held"))


COLUMNS = ("call", "joblib", "diskcache", "retain", "held", "joblib/retain", "target", "us", "joblib/held", "target ")


def compare(table, name, times, bounds):
    cells = [median(times[peer]) / 1e3 if peer in times else None for peer in ("joblib", "diskcache", "retain", "held")]
    ours, held = median(times["retain"]) / 1e3, times.get("held")
    faster = ratio(times["joblib"], times["retain"])
    cells += [faster, Target(faster, least=bounds.least) if bounds.least else None]
    cells.append(Target(ours, most=bounds.most) if bounds.most else None)
    more = ratio(times["joblib"], held) if held else None
    cells += [more, Target(more, least=bounds.held_least) if bounds.held_least else None]
    table.add(name, *cells)
    if bounds.held_most:
        us = median(held) / 1e3
        table.add(f"{name}, held, us", *[None] * 5, None, Target(us, most=bounds.held_most), None, None)


def hits(quick):
    table = Table("Memory: hits (us)", COLUMNS, "Medians; the ratios are medians of the ratios within each round.")
    calls = {
        "small arguments": (lambda function: lambda: function(7, "sum", weights=None), Bounds(12, 20, 2, 100)),
        "one int": (lambda function: lambda: function(7), Bounds()),
    }
    for name, (call, bounds) in calls.items():
        with folder() as place:
            functions = {who: decorate(small) for who, decorate in decorators(place).items()}
            turns = {who: often(call(function)) for who, function in functions.items()}
            compare(table, name, take_turns(turns, 5 if quick else 21, 0.02), bounds)
    arguments = {"an array of 10 MB": (of_array, np.random.default_rng(0).random(1_250_000), Bounds(least=5))}
    kinds = list(STRINGS.items())[:1] if quick else STRINGS.items()
    for kind, strings in kinds:
        arguments[f"a DataFrame 1e6 x 5, a column of {kind}"] = of_table, frame(strings), Bounds(least=40)
    for name, (function, value, bounds) in arguments.items():
        with folder() as place:
            peers = decorators(place)
            if function is of_table:
                # It takes as long as joblib, to pickle the argument into a key in the index.
                del peers["diskcache"]
            turns = {who: often(partial(decorate(function), value)) for who, decorate in peers.items()}
            compare(table, name, take_turns(turns, 3 if quick else 9, 0.05), bounds)
    return table


def wall(turns, rounds):
    """Nanoseconds of long calls, none of which is counted the first time."""
    for turn in turns.values():
        turn()
    return {who: [each * 1e9 for each in times.wall] for who, times in take_long_turns(turns, rounds).items()}


def misses(quick):
    table = Table(
        "Memory: misses, the function's own time being nothing (us)",
        COLUMNS,
        "Each call is a new one, and its result a small one.",
    )
    with folder() as place:
        functions = {who: decorate(small) for who, decorate in decorators(place).items()}
        fresh = itertools.count()

        def turn(function):
            def compute(number):
                start = time.perf_counter()
                for argument in itertools.islice(fresh, number):
                    function(argument)
                return (time.perf_counter() - start) / number * 1e9

            return compute

        turns = {who: turn(function) for who, function in functions.items()}
        times = take_turns(turns, 5 if quick else 21, 0.05)
        compare(table, "small arguments, small result", times, Bounds(least=8, held_least=8))
    return table


def results(quick):
    table = Table("Memory: results of 100 MB (us)", COLUMNS, "An array. Mapped: mmap_mode='r'.")
    for mapped in (False, True):
        with folder() as place:
            peers = decorators(place, mapped=mapped)
            if mapped:
                del peers["diskcache"]
            turns = {who: partial(decorate(large), 3) for who, decorate in peers.items()}
            bounds = Bounds(most=300) if mapped else Bounds(least=3)
            compare(table, "mapped" if mapped else "copied", wall(turns, 3 if quick else 7), bounds)
    return table


def measure(quick):
    yield hits(quick)
    yield misses(quick)
    yield results(quick)
    yield from stored_large.measure(quick)
    yield from stored_processes.measure(quick)
