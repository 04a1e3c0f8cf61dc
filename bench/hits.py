"""Nanoseconds per hit, by the shape of the call, against functools and third-party caches.

The figures are raw: each includes the loop around the call and the interpreter's own work for it,
which no cache can save. The column "loop" is the same loop with the arguments put on the stack and
no call; "less loop" is the ratio with that subtracted from both. The column "C" is a call, with as
many arguments, of a function in C that does nothing but return (`gc.isenabled`, `callable`,
`sys.audit` without hooks): a floor. Those with arguments are called on a path that the interpreter
keeps for such functions, which objects of other types cannot take. There is no such function for a
keyword or a method.
"""

from __future__ import annotations

import functools
import gc
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boltons.cacheutils
import cachebox
import cachetools
import retain
from timing import Table, Target, median, ratio, statement, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 2048
KEYS = 1000

PEERS = {
    "cachetools": cachetools.cached(cachetools.LRUCache(SIZE)),
    "cachebox": cachebox.cached(cachebox.LRUCache(SIZE)),
    "cachebox bare": cachebox.cached(cachebox.LRUCache(SIZE), postprocess=None, lock=None),
    "boltons": boltons.cacheutils.cached(boltons.cacheutils.LRU(SIZE)),
}
DECORATORS = {
    "functools.cache": functools.cache,
    "retain.cache": retain.cache,
    "functools.lru_cache": functools.lru_cache(SIZE),
    "retain.lru_cache": retain.lru_cache(SIZE),
    "memoize": retain.memoize(maxsize=SIZE),
    **PEERS,
}


@dataclass
class Shape:
    """A call of `f`, the same without the call, and the ratio to functools that is asked for."""

    function: Callable
    call: str
    bare: str
    target: float | None = None
    floor: Callable | None = None
    per_run: int = 1
    is_method: bool = False


def none():
    return 0


def one(a):
    return a


def two_defaults(a, b=0, c=0):
    return a


def three(a, b, c):
    return a


def method(self, a):
    return a


SHAPES = {
    "no arguments": Shape(none, "f()", "f", 1.8, gc.isenabled),
    "1 int": Shape(one, "f(5)", "f; 5", 1.8, callable),
    "1 str": Shape(one, "f(word)", "f; word", 1.8, callable),
    "3 positional": Shape(three, "f(1, word, 3)", "f; 1; word; 3", 1.8, sys.audit),
    "2 + 1 keyword": Shape(three, "f(1, word, c=3)", "f; 1; word; 3", 3.5),
    "a tuple": Shape(one, "f(pair)", "f; pair", 1.8, callable),
    "a method": Shape(method, "instance.f(5)", "instance; 5", 2.0, is_method=True),
    "1 of 3, defaults": Shape(two_defaults, "f(5)", "f; 5", floor=callable),
    "1000 ints": Shape(one, "for key in ints: f(key)", "for key in ints: f; key", None, callable, KEYS),
    "1000 strs": Shape(one, "for key in strs: f(key)", "for key in strs: f; key", None, callable, KEYS),
}


def names_for(function, shape):
    names = {
        "word": "some_identifier",
        "pair": (3, "some_identifier"),
        "ints": [key * 7919 + 1000 for key in range(KEYS)],
        "strs": [f"identifier_{key}" for key in range(KEYS)],
    }
    if shape.is_method:
        return names | {"instance": type("Thing", (), {"f": function})()}
    return names | {"f": function}


def contestants(shape):
    found = {}
    for label, decorate in DECORATORS.items():
        function = decorate(shape.function)
        if shape.is_method and label == "boltons":
            # Its `cached` is for functions; methods have a decorator of their own.
            lru = boltons.cacheutils.LRU(SIZE)
            function = boltons.cacheutils.cachedmethod(lru)(shape.function)
        found[label] = statement(shape.call, **names_for(function, shape))
    found["loop"] = statement(shape.bare, **names_for(shape.function, shape))
    if shape.floor:
        found["C"] = statement(shape.call, **names_for(shape.floor, shape))
    return found


def measure(quick):
    unbounded = Table(
        "Hits: retain.cache against functools.cache (ns per call)",
        ("call", "loop", "C", "functools", "retain", "ratio", "less loop", "target"),
    )
    bounded = Table(f"Hits: retain.lru_cache({SIZE}) against functools' (ns per call)", unbounded.columns)
    memoized = Table(
        f"Hits: memoize(maxsize={SIZE}) against retain.lru_cache (ns per call)",
        ("call", "lru_cache", "memoize", "memoize / lru_cache", "target"),
    )
    others = Table(
        f"Hits: LRU caches of {SIZE} entries of third parties against retain.lru_cache",
        ("call", "retain", *(f"{peer}, x retain" for peer in PEERS), "least ratio", "target"),
        note="Nanoseconds per call, then how many times retain's. The target is for cachetools\n"
        "and cachebox as one writes them; cachebox bare makes no copies and has no lock.",
    )
    for name, shape in SHAPES.items():
        rounds, seconds = (9, 0.001) if quick else (51, 0.0015)
        times = take_turns(contestants(shape), rounds, seconds, shape.per_run)
        loop = median(times["loop"])
        least = median(times["C"]) if "C" in times else None
        for table, label in ((unbounded, "cache"), (bounded, "lru_cache")):
            theirs, ours = times[f"functools.{label}"], times[f"retain.{label}"]
            raw = ratio(theirs, ours)
            net = (median(theirs) - loop) / (median(ours) - loop)
            asked = shape.target and Target(raw, least=shape.target)
            table.add(name, loop, least, median(theirs), median(ours), raw, net, asked)
        ours = times["retain.lru_cache"]
        more = ratio(times["memoize"], ours)
        memoized.add(name, median(ours), median(times["memoize"]), more, Target(more, most=1.25))
        ratios = {peer: ratio(times[peer], ours) for peer in PEERS}
        cells = [f"{median(times[peer]):.0f}, {ratios[peer]:.1f}x" for peer in PEERS]
        slowest = min(ratios["cachetools"], ratios["cachebox"])
        others.add(name, median(ours), *cells, slowest, Target(slowest, least=12))
    return [unbounded, bounded, memoized, others]
