"""Processes that share a folder: how hits scale, and how often a slow call that all miss is computed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from persistence_peers import folder
from timing import Table, Target

PROCESSES = 8
SLOW = 1.0


def small(number, name="mean", *, weights=None):
    return number


def slow(place):
    time.sleep(SLOW)
    with (Path(place) / "computed").open("a") as file:
        file.write("x")
    return 1


def memory(library, place, **options):
    if library == "a loop":
        return SimpleNamespace(cache=lambda function: function)
    return __import__(library).Memory(str(Path(place) / library), verbose=0, **options)


def child(verb, library, place, seconds):
    """Wait for the word, then hit for so many seconds, or miss once; print how often that was."""
    options = {"ram_bytes": 0} if library == "retain" else {}
    if verb == "hit":
        function = memory(library, place, **options).cache(small)
        function(1)
        print("ready", flush=True)
        sys.stdin.readline()
        # Often enough that the clock is no part of it.
        turn = 2000 if library == "a loop" else 20
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(turn):
                function(1)
            count += turn
        print(json.dumps(count / seconds))
    else:
        function = memory(library, place).cache(slow)
        print("ready", flush=True)
        sys.stdin.readline()
        function(place)
        print("0")


def together(verb, library, place, processes, seconds=1.0):
    """Let so many processes begin at once; what each printed, and the seconds until the last one ended."""
    command = [sys.executable, __file__, verb, library, str(place), str(seconds)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen(command, **pipes) for _ in range(processes)]
    for each in children:
        assert each.stdout.readline() == "ready\n"
    start = time.perf_counter()
    for each in children:
        each.stdin.write("go\n")
        each.stdin.flush()
    printed = [json.loads(each.communicate(timeout=120)[0]) for each in children]
    return printed, time.perf_counter() - start


def measure(quick):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    scaling = Table(
        f"Memory: processes that hit at once, on {cores} cores (hits per second, of all)",
        ("library", "1 process", f"{PROCESSES} processes", "per core used", "of a loop's", "target"),
        "Per core used: the rate of all over that of one, divided by the cores that they can use. A process that only\n"
        "loops tells how much of its cores the machine gives.",
    )
    flights = Table(
        f"Memory: {PROCESSES} processes that miss on the same call of {SLOW:g} s",
        ("library", "computed", "seconds", "target"),
    )
    with folder() as place:
        seconds = 0.5 if quick else 2.0
        # What else runs on the machine comes and goes: the best of a few.
        rounds = range(1 if quick else 3)
        shares = {}
        for library in ("a loop", "joblib", "retain"):
            one = max(sum(together("hit", library, place, 1, seconds)[0]) for _ in rounds)
            all_of_them = max(sum(together("hit", library, place, PROCESSES, seconds)[0]) for _ in rounds)
            shares[library] = all_of_them / one / min(cores, PROCESSES)
            share = shares[library] / shares["a loop"]
            target = Target(share, least=0.9) if library == "retain" else None
            scaling.add(library, one, all_of_them, shares[library], share, target)
        for library in ("joblib", "retain"):
            at = place / f"slow {library}"
            at.mkdir()
            _, took = together("miss", library, at, PROCESSES)
            computed = len((at / "computed").read_text())
            flights.add(library, computed, took, Target(computed, most=1) if library == "retain" else None)
    return [scaling, flights]


if __name__ == "__main__":
    child(*sys.argv[1:4], float(sys.argv[4]))
