"""Who a value is and who a function is: retain.hash against joblib.hash and C pickle, and retain.identity.

The contestants take turns. Times are of the clock on the wall, since large arrays are hashed by
several threads; the rows that say "one thread" run on one processor. What pickle does is only to
write the value down: it is the floor of everything that hashes a pickle, not a peer.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import timeit
from contextlib import contextmanager

import joblib
import numpy as np
import pandas as pd
import retain
from timing import Table, Target, median, ratio, take_turns

ROWS = 1_000_000
# pandas keeps a column of str in Arrow where pyarrow is installed, and in Python's objects where it is not.
STRINGS = {
    "str, in objects": pd.StringDtype("python", na_value=np.nan),
    "str, in Arrow": pd.StringDtype("pyarrow", na_value=np.nan),
    "object": "object",
}


def small_call():
    return 1, 2, "mean", {"axis": 0, "keepdims": True, "weights": None}


def nested():
    """Objects of which a document is made, 100,000 with all keys and leaves."""
    return [
        {"id": number, "name": f"name {number}", "values": [number, number + 1, number / 3], "valid": True}
        for number in range(8333)
    ]


def frame(strings):
    random = np.random.default_rng(0)
    columns = {name: random.random(ROWS) for name in "abcd"}
    names = random.integers(0, 100_000, ROWS).astype(str).astype(object)
    return pd.DataFrame({**columns, "name": pd.Series(names, dtype=strings)})


def forest():
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100, random_state=0).fit(*load_digits(return_X_y=True))


@contextmanager
def processors(count):
    """Let this process run on so many processors only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def turn(call):
    return lambda number: timeit.Timer(call, timer=time.perf_counter).timeit(number) / number * 1e9


def contestants(value):
    calls = {
        "retain": (lambda: retain.hash(value)),
        "joblib": (lambda: joblib.hash(value)),
        "pickle": (lambda: pickle.dumps(value, 5)),
    }
    return {name: turn(call) for name, call in calls.items()}


def values(quick):
    yield "arguments (1, 2, str, dict of 3)", small_call(), None, {"joblib": 20, "most": 2e3}
    yield "nested dicts and lists, 1e5 objects", nested(), None, {"joblib": 100, "pickle": 2}
    for size in (10,) if quick else (10, 100):
        array = np.random.default_rng(0).random(size * 125_000)
        yield f"{size} MB of float64, one thread", array, 1, {"joblib": 6}
        if len(os.sched_getaffinity(0)) > 1:
            yield f"{size} MB of float64, two threads", array, 2, {"joblib": 10}
    if not quick:
        for kind, strings in STRINGS.items():
            yield f"DataFrame 1e6 x 5, a column of {kind}", frame(strings), None, {"joblib": 60}
    yield "RandomForestClassifier(100), fitted", forest(), None, {"joblib": 10}


def hashes(quick):
    table = Table(
        "Hashing a value",
        ("value", "retain, us", "joblib, us", "pickle, us", "joblib/retain", "target", "pickle/retain", "target "),
        "Medians; the ratios are medians of the ratios within each round.",
    )
    for name, value, count, targets in values(quick):
        with processors(count or len(os.sched_getaffinity(0))):
            times = take_turns(contestants(value), 5 if quick else 9, 0.02)
        ours = times["retain"]
        against = {peer: ratio(times[peer], ours) for peer in ("joblib", "pickle")}
        table.add(
            name,
            *(median(times[peer]) / 1e3 for peer in ("retain", "joblib", "pickle")),
            against["joblib"],
            Target(against["joblib"], least=targets["joblib"]),
            against["pickle"],
            Target(against["pickle"], least=targets["pickle"]) if "pickle" in targets else None,
        )
        if "most" in targets:
            table.add(f"{name}, ns", None, None, None, None, Target(median(ours), most=targets["most"]), None, None)
    return table


SCALE = 3.5
NAMES = ("a", "b")


def helper(x):
    return x * SCALE


def function_to_identify(x):
    return helper(x), len(NAMES), SCALE


TABLE = {"small": 1, "dict": [2, 3]}


def function_with_table(x):
    return helper(x), TABLE


def identities(quick):
    table = Table(
        "retain.identity of an unchanged function",
        ("function", "us", "target"),
        "From the second call on, in which all that it reads is looked at again.",
    )
    cases = {
        "globals are functions and immutable values": (function_to_identify, Target(0, most=1)),
        "and a small dict": (function_with_table, None),
    }
    turns = {name: turn(lambda function=function: retain.identity(function)) for name, (function, _) in cases.items()}
    for function, _ in cases.values():
        retain.identity(function)
    for name, times in take_turns(turns, 5 if quick else 15, 0.02).items():
        target = cases[name][1]
        table.add(name, median(times) / 1e3, target and Target(median(times) / 1e3, most=target.most))
    return table


PEAK = """
import resource, sys, numpy, retain
value = {"array": lambda: numpy.ones(62_500_000), "strided array": lambda: numpy.ones((2, 62_500_000))[:, ::2],
         "bytes": lambda: bytes(500_000_000)}[sys.argv[1]]()
retain.hash(numpy.ones(10)[::2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
retain.hash(value)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def memory():
    table = Table("Peak memory while 500 MB are hashed", ("value", "MB more", "target"))
    for kind in ("array", "strided array", "bytes"):
        output = subprocess.run([sys.executable, "-c", PEAK, kind], check=True, capture_output=True, text=True).stdout
        grown = int(output) * 1024 / 1e6
        table.add(kind, grown, Target(grown, most=8))
    return table


def measure(quick):
    yield hashes(quick)
    yield identities(quick)
    yield memory()
