"""Parallel calls: retain's against joblib's backends and concurrent.futures, with 2 workers each.

They take turns in one process, their workers being warm, but for what is said to be measured in
processes of its own. Times are of the clock on the wall. "loky / retain" is the median of the
ratios within each round; among threads, "loky" stands for joblib's threading.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import timeit
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import parallel_peers
import parallel_work as work
import retain
from timing import Table, Target, median, ratio, take_turns

PEERS = ("retain", "loky", "multiprocessing", "executor")
HERE = Path(__file__).parent


@dataclass
class Bounds:
    """What is asked for: the most of our figure, and the least of loky's over it."""

    most: float | None = None
    least: float | None = None


def often(call):
    """A turn: calls so many times and returns the nanoseconds that one took."""
    return lambda number: timeit.Timer(call, timer=time.perf_counter).timeit(number) / number * 1e9


def columns(first, names=PEERS):
    return (first, *names, "loky / retain", "target", "retain", "target ")


def add(table, name, times, bounds, unit=1e3, peers=PEERS):
    """Add a row: each peer's median, the ratio to joblib, and the targets."""
    cells = [median(times[peer]) / unit if times.get(peer) else None for peer in peers]
    ours = median(times["retain"]) / unit
    faster = ratio(times["loky"], times["retain"])
    cells += [faster, Target(faster, least=bounds.least) if bounds.least else None]
    table.add(name, *cells, ours, Target(ours, most=bounds.most) if bounds.most else None)


def child(verb, peer):
    """Measure something in a process of its own."""
    command = [sys.executable, str(HERE / "parallel_child.py"), verb, peer]
    # What pip installs is compiled, what is developed here may not be.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    return json.loads(done.stdout)


def cold(quick):
    peers = ("retain", "loky", "multiprocessing", "executor fork", "executor forkserver", "executor spawn")
    table = Table(
        "Parallel, cold: until two tasks that use numpy are done, the program having imported it (ms)",
        columns("first call", peers),
        "Each in a new process. What is forked from the program has numpy; but threads and locks are forked as well.",
    )
    times = {peer: [] for peer in peers}
    for _ in range(3 if quick else 9):
        for peer in peers:
            times[peer].append(child("cold", peer))
    add(table, "2 tasks", times, Bounds(180, 2.8), 1, peers)
    return table


def overhead(quick):
    table = Table("Parallel: microseconds per task that does nothing; of the first row, per call", columns("tasks"))
    rounds = 3 if quick else 9
    peers = parallel_peers.processes()
    shapes = {
        "a warm call of 2 tasks": (2, {}, 1, Bounds(400, 25)),
        "2,000 tasks, batch_size=1": (2000, {"batch_size": 1}, 2000, Bounds(20, 15)),
        "5,000 tasks, batches as they come": (5000, {}, 5000, Bounds(2, 5)),
        "50,000 tasks, batches as they come": (50_000, {}, 50_000, Bounds(2, 5)),
    }
    for name, (count, options, per, bounds) in shapes.items():
        turns = {who: often(partial(peer, work.nothing, range(count), **options)) for who, peer in peers.items()}
        add(table, name, take_turns(turns, rounds, 0.1, per), bounds)
    for peer in peers.values():
        peer.close()
    peers = parallel_peers.threads()
    turns = {who: often(partial(peer, work.nothing, range(5000))) for who, peer in peers.items()}
    add(table, "5,000 tasks, in threads", take_turns(turns, rounds, 0.1, 5000), Bounds(8, 9))
    for peer in peers.values():
        peer.close()
    return table


def one_job(quick):
    table = Table(
        "Parallel: n_jobs=1, microseconds per task that does nothing",
        ("10,000 tasks", "a loop", "retain", "joblib", "retain - 1.3 loops", "target"),
    )
    items, sequential = range(10_000), parallel_peers.Joblib(retain, n_jobs=1)
    delayed = retain.delayed(work.nothing)
    loops = {
        "[f(item) for item in items]": lambda: [work.nothing(item) for item in items],
        "the same over delayed(f)(item)": lambda: [f(*args, **kw) for f, args, kw in (delayed(i) for i in items)],
    }
    joblib = parallel_peers.Joblib(parallel_peers.joblib, n_jobs=1)
    for name, loop in loops.items():
        turns = {"loop": often(loop), "retain": often(partial(sequential, work.nothing, items))}
        turns["joblib"] = often(partial(joblib, work.nothing, items))
        times = take_turns(turns, 5 if quick else 15, 0.05, len(items))
        plain, ours, theirs = (median(times[who]) / 1e3 for who in ("loop", "retain", "joblib"))
        over = ours - 1.3 * plain
        table.add(name, plain, ours, theirs, over, Target(over, most=0.5))
    return table


def timed(call):
    """A turn that is taken once in each round."""
    start = time.perf_counter_ns()
    call()
    return float(time.perf_counter_ns() - start)


def once_each(turns, rounds, before=lambda: None):
    times = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            argument = before()
            times[name].append(timed(partial(turn, argument) if argument is not None else turn))
    return times


def captured(kind):
    """A function that holds 50 MB: in its closure, or as a global of the main module."""
    data = {n: f"{n:01000}" for n in range(50_000)} if "dict" in kind else np.ones(6_250_000)

    def closure(number):
        return number + len(data)

    if "global" not in kind:
        return closure
    # A module of that name cannot be imported by workers: it is taken along by its value, as that of a script is.
    names = {"__name__": "__main__", "data": data}
    exec("def reads(number):\n    return number + len(data)", names)  # noqa: S102
    return names["reads"]


def data(quick):
    table = Table("Parallel: large data (ms)", columns("what"))
    rounds = 3 if quick else 7
    peers = parallel_peers.processes()
    for peer in peers.values():
        peer(work.nothing, range(8))
    # A new array for each: what was sent is not found again.
    turns = {who: lambda array, peer=peer: peer(work.total, [array] * 16, batch_size=1) for who, peer in peers.items()}
    add(
        table,
        "an array of 100 MB to 16 tasks",
        once_each(turns, rounds, partial(work.array, 100)),
        Bounds(None, 1),
        1e6,
    )
    turns = {who: partial(peer, work.array, [20] * 16, batch_size=1) for who, peer in peers.items()}
    add(table, "16 arrays of 20 MB back", once_each(turns, rounds), Bounds(None, 4), 1e6)
    del peers["multiprocessing"], peers["executor"]  # they cannot send closures
    for kind in ("a dict in a closure", "an array in a closure", "an array in a global"):
        function = captured(kind)
        turns = {who: partial(peer, function, range(64), batch_size=1) for who, peer in peers.items()}
        name = f"64 tasks that read {kind}, 50 MB"
        add(table, name, once_each(turns, 1 if quick else 3), Bounds(None, 20), 1e6)
    return table


def unequal(quick):
    table = Table(
        "Parallel: 120 tasks of 1 to 100 ms, in any order (seconds)",
        ("peer", "seconds", "ideal", "% of the ideal", "target"),
        "They sleep, so that a busy machine does not count. Ideal: the sum over 2 workers.",
    )
    chance = random.Random(0)
    lengths = [chance.uniform(0.001, 0.1) for _ in range(120)]
    ideal = max(sum(lengths) / parallel_peers.WORKERS, *lengths)
    peers = parallel_peers.processes()
    for peer in peers.values():
        peer(work.nothing, range(8))
    times = once_each({who: partial(peer, work.sleep, lengths) for who, peer in peers.items()}, 1 if quick else 3)
    for who in PEERS:
        seconds = median(times[who]) / 1e9
        share = 100 * ideal / seconds
        table.add(who, seconds, ideal, share, Target(share, least=97) if who == "retain" else None)
    for peer in peers.values():
        peer.close()
    return table


def memory(quick):
    table = Table(
        "Parallel: memory",
        ("what", "retain", "loky", "target"),
        "Each in a new process. Results held: by how many the resident memory of the parent grows at most.",
    )
    measures = {
        "results of 20 MB held for a slow consumer (generator_unordered)": ("consumer", 3),
        "copies of an array of 100 MB that 16 tasks read, the program's own left out": ("copies", 1.1),
        "MB of private memory of an idle worker": ("idle", 15),
    }
    for name, (verb, most) in measures.items():
        found = {peer: median([child(verb, peer) for _ in range(1 if quick else 3)]) for peer in ("retain", "loky")}
        table.add(name, found["retain"], found["loky"], Target(found["retain"], most=most))
    return table


def measure(quick):
    yield cold(quick)
    yield overhead(quick)
    yield one_job(quick)
    yield data(quick)
    yield unequal(quick)
    if sys.platform == "linux":
        yield memory(quick)
