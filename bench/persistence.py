"""Values to files and back: retain against joblib, pickle, numpy, safetensors and the raw bytes.

All write the same value to a file of their own in one folder, and read it back from the page cache.
They take turns, and no turn finds a file of an earlier one in its way. "raw" writes and reads as
many bytes as the value has, into fresh memory: the floor that the machine sets. Times are of the
clock on the wall; tables of the same turns have the processor time, user and system, of all threads.
Python's collector runs as it does for everybody, but does not see what was made before the turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import joblib
import numpy as np
import persistence_memory
import retain
from persistence_peers import (
    MB,
    Peer,
    array,
    arrays,
    dump_compressed,
    everybody,
    folder,
    forest,
    frame,
    measure_dumps,
    measure_loads,
    nested,
    readings,
    short,
    take_turns,
)
from timing import Table, Target, median, ratio

# --- plain files -----------------------------------------------------------------------------------------------

NOTE = "Medians; the ratios are medians of the ratios within each round."
PEERS = ("joblib", "pickle 5", "numpy", "safetensors", "raw")


@dataclass
class Case:
    """A value, whom safe_load must trust with it, and the bounds on the ratios."""

    name: str
    make: object
    # The least of joblib's time over ours, the most of ours over a peer's.
    dump: dict
    load: dict
    trusted: tuple = ()
    slow: bool = False


CASES = (
    Case("RandomForest(300) on digits", forest, {"joblib": 7}, {"joblib": 3}, trusted=("sklearn",)),
    Case(
        "nested dicts and lists, 5e5 objects",
        nested,
        {"joblib": 8, "pickle 5": 1.1},
        {"joblib": 8, "pickle 5": 1.1},
    ),
    Case("500 MB of float64", array, {"raw": 1.15}, {"raw": 1.15}, slow=True),
    Case("200 arrays of 1 MB", arrays, {"joblib": 1.5}, {"joblib": 1.5}),
    Case(
        "DataFrame 1e6 x 6, two of str in objects",
        partial(frame, "object"),
        {"pickle 5": 1.1},
        {"joblib": 5},
        slow=True,
    ),
    Case("DataFrame 1e6 x 6, two of pandas' str", partial(frame, "str"), {"pickle 5": 1.1}, {}, slow=True),
)


def compare(table, processors, name, times, targets):
    """A row of milliseconds and ratios for each clock, with the targets on the wall's."""
    ours = times["retain"]

    def milliseconds(clock):
        return [median(getattr(times[peer], clock)) * 1e3 if peer in times else None for peer in ("retain", *PEERS)]

    faster = ratio(times["joblib"].wall, ours.wall)
    cells = [faster, Target(faster, least=targets["joblib"]) if "joblib" in targets else None]
    for peer in ("pickle 5", "raw"):
        slower = ratio(ours.wall, times[peer].wall)
        cells += [slower, Target(slower, most=targets[peer]) if peer in targets else None]
    table.add(name, *milliseconds("wall"), *cells)
    processors.add(name, *milliseconds("cpu"), ratio(times["joblib"].cpu, ours.cpu), ratio(ours.cpu, times["raw"].cpu))


def safety(table, name, path, trusted, rounds):
    """safe_load and load of the same file."""
    times = take_turns(
        {"load": partial(retain.load, path), "safe_load": partial(retain.safe_load, path, trusted=trusted)}, rounds
    )
    more = ratio(times["safe_load"].wall, times["load"].wall)
    table.add(name, *(median(times[verb].wall) * 1e3 for verb in times), more, Target(more, most=1.3))


def at_a_glance(table, name, path, value):
    """What needs no look at most of a large file."""
    bounds = {"retain.scan(file)": 50} if isinstance(value, np.ndarray) else {"retain.scan(file)": None}
    looks = {"retain.scan(file)": partial(retain.scan, path)}
    if isinstance(value, (np.ndarray, dict)):
        looks['retain.load(file, mmap_mode="r")'] = partial(retain.load, path, mmap_mode="r")
        if isinstance(value, np.ndarray):
            bounds['retain.load(file, mmap_mode="r")'] = 1
    for verb, action in looks.items():
        often, number = short(action)
        took = median(take_turns({verb: often}, 5)[verb].wall) / number * 1e3
        bound = bounds.get(verb)
        table.add(f"{name}: {verb}", took, Target(took, most=bound) if bound else None)


def plain(quick):
    columns = ("value", "retain", *PEERS, "joblib/retain", "target", "retain/pickle", "target ", "retain/raw", "target")
    fewer = ("value", "retain", *PEERS, "joblib/retain", "retain/raw")
    tables = {verb: Table(f"{verb} (ms)", columns, NOTE) for verb in ("dump", "load")}
    processors = {verb: Table(f"{verb}: user + system (ms)", fewer, "The same turns.") for verb in tables}
    safe = Table("safe_load of the same files (ms)", ("value", "load", "safe_load", "safe_load/load", "target"), NOTE)
    glance = Table("What need not read the arrays (ms)", ("call", "ms", "target"))
    rounds = 3 if quick else 7
    for case in CASES:
        if quick and case.slow:
            continue
        value = case.make()
        peers = everybody(value)
        with folder() as place:
            times = measure_dumps(peers, place, rounds)
            compare(tables["dump"], processors["dump"], case.name, times, case.dump)
            times = measure_loads(peers, place, rounds)
            compare(tables["load"], processors["load"], case.name, times, case.load)
            path = str(place / "retain.bench")
            safety(safe, case.name, path, case.trusted, rounds)
            at_a_glance(glance, case.name, path, value)
        del value, peers
    yield from tables.values()
    yield from processors.values()
    yield safe
    yield glance


# --- compressed files ------------------------------------------------------------------------------------------


def compressed(quick):
    times = ("value", "retain, ms", "joblib, ms", "user+sys, ms", "joblib's, ms", "joblib/retain", "target")
    sizes = ("MB", "joblib's MB", "ratio", "target ")
    pairs = {
        'compress="zstd" against joblib\'s compress=3': ("zstd", 3, {"dump": 10}, 1),
        'compress="lz4" against joblib\'s': ("lz4", "lz4", {"dump": 1, "load": 1}, None),
    }
    made = {
        "RandomForest(300) on digits": forest,
        "nested dicts and lists, 5e5 objects": nested,
        "100 MB of float64, two decimals": readings,
    }
    if not quick:
        made["DataFrame 1e6 x 6, two of str in objects"] = partial(frame, "object")
        made["DataFrame 1e6 x 6, two of pandas' str"] = partial(frame, "str")
    columns = {"dump": times + sizes, "load": times}
    tables = {(pair, verb): Table(f"{verb}, {pair}", columns[verb], NOTE) for pair in pairs for verb in columns}
    for name, make in made.items():
        value = make()
        for pair, (ours, theirs, faster, larger) in pairs.items():
            peers = {
                "retain": Peer(partial(dump_compressed, retain, value, ours), retain.load),
                "joblib": Peer(partial(dump_compressed, joblib, value, theirs), joblib.load),
            }
            with folder() as place:
                loads = measure_loads(peers, place, 1 if quick else 3)
                size, joblibs = ((place / f"{peer}.bench").stat().st_size / MB for peer in peers)
                dumps = measure_dumps(peers, place, 1 if quick else 3)
            share = Target(size / joblibs, most=larger) if larger else None
            tables[pair, "dump"].add(name, *paired(dumps, faster.get("dump")), size, joblibs, size / joblibs, share)
            tables[pair, "load"].add(name, *paired(loads, faster.get("load")))
    return tables.values()


def paired(times, least):
    """The cells of retain and joblib alone."""
    ours, theirs = times["retain"], times["joblib"]
    faster = ratio(theirs.wall, ours.wall)
    cells = [median(each) * 1e3 for each in (ours.wall, theirs.wall, ours.cpu, theirs.cpu)]
    return *cells, faster, Target(faster, least=least) if least else None


def measure(quick):
    yield from plain(quick)
    yield from compressed(quick)
    yield from persistence_memory.measure(quick)
