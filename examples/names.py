"""A program that is fast because its results are kept: once with functools' caches, once with retain's.

The program looks for names in this interpreter's standard library that may be misspelt. It takes
names that occur in one module only, and finds for each the one, among those that begin alike and
occur in several, whose alignment costs least. A gap costs little more for being long, so that the
alignment tries gaps of every length (Waterman, Smith and Beyer, 1976). It is the textbook's
recursion, feasible because its results are kept: words that end alike share most of the work.
"""

from __future__ import annotations

import functools
import statistics
import sys
import sysconfig
import threading
import time
from collections import Counter
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

import retain

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Any]

ROUNDS = 3
BOUND = 20_000
RARE = 40
SHORTEST, LONGEST = 7, 14

MISMATCH = 2
# By the length of the gap; none is longer than the longest word.
GAP = [0, *(2 + length.bit_length() for length in range(1, LONGEST + 1))]


def names_in(code: CodeType) -> set[str]:
    """Return the names that a piece of compiled code uses, the code inside it included."""
    names = {*code.co_names, *code.co_varnames}
    inside = (part for part in code.co_consts if isinstance(part, CodeType))
    return names.union(*map(names_in, inside))


def read_library() -> Counter[str]:
    """Count in how many modules of the standard library each name occurs."""
    found: Counter[str] = Counter()
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        names = names_in(compile(path.read_bytes(), str(path), "exec", dont_inherit=True))
        found.update(name for name in names if SHORTEST <= len(name) <= LONGEST)
    return found


def choose(counts: Counter[str]) -> dict[str, list[str]]:
    """Return names that occur once, spread over the alphabet, each with those that it may mean."""
    once = sorted(name for name, count in counts.items() if count == 1 and name.islower())
    often = sorted(name for name, count in counts.items() if count > 1)
    choices = {}
    for name in once[:: len(once) // RARE]:
        alike = [other for other in often if other[:2] == name[:2]]
        if alike:
            choices[name] = alike
    return choices


class Endings:
    """All endings of some words, numbered: words that end alike share the numbers of their ends.

    Ending 0 is the empty one; any other is a letter and the rest of it, which is an ending too.
    `shorter` holds, for each, all endings of it with the cost of the gap that leads there.
    """

    def __init__(self, words: set[str]) -> None:
        self.numbers = {"": 0}
        self.letters = [""]
        self.shorter: list[list[tuple[int, int]]] = [[]]
        for word in sorted(words):
            for start in reversed(range(len(word))):
                ending = word[start:]
                if ending not in self.numbers:
                    self.numbers[ending] = len(self.letters)
                    self.letters.append(ending[0])
                    shorter = [ending[cut:] for cut in range(1, len(ending) + 1)]
                    costs = zip(map(self.numbers.__getitem__, shorter), GAP[1:], strict=False)
                    self.shorter.append(list(costs))


def make_align(decorator: Decorator, endings: Endings) -> Any:
    """Return the memoized recursion; this is all the code that the caches have to do with."""
    letters, shorter = endings.letters, endings.shorter

    @decorator
    def align(left: int, right: int) -> int:
        if left == right:
            return 0
        if not left or not right:
            return shorter[left or right][-1][1]
        mismatch = MISMATCH * (letters[left] != letters[right])
        costs = [align(shorter[left][0][0], shorter[right][0][0]) + mismatch]
        costs += [align(ending, right) + gap for ending, gap in shorter[left]]
        costs += [align(left, ending) + gap for ending, gap in shorter[right]]
        return min(costs)

    return align


def run(align: Any, choices: dict[str, list[str]], endings: Endings) -> dict[str, tuple[int, str]]:
    """Find for each name the nearest other, and the cost of the alignment."""
    numbers = endings.numbers
    return {
        name: min((align(numbers[name], numbers[other]), other) for other in others) for name, others in choices.items()
    }


def compare(choices: dict[str, list[str]], endings: Endings) -> dict[str, tuple[int, str]]:
    """Run the program with each cache in turn, print the table, and return the result."""
    caches: dict[str, Decorator] = {
        "functools.cache": functools.cache,
        "retain.cache": retain.cache,
        f"functools.lru_cache({BOUND})": functools.lru_cache(BOUND),
        f"retain.lru_cache({BOUND})": retain.lru_cache(BOUND),
    }
    seconds: dict[str, list[float]] = {name: [] for name in caches}
    infos, results = {}, {}
    for _ in range(ROUNDS):
        for name, decorator in caches.items():
            align = make_align(decorator, endings)
            start = time.perf_counter()
            results[name] = run(align, choices, endings)
            seconds[name].append(time.perf_counter() - start)
            infos[name] = align.cache_info()

    same = True
    print(f"\n{'cache':<28}{'seconds':>9}{'hits':>11}{'misses':>11}{'speed':>9}")
    for name, info in infos.items():
        peer = name.replace("retain", "functools")
        pairs = zip(seconds[peer], seconds[name], strict=True)
        speed = statistics.median(theirs / ours for theirs, ours in pairs)
        middle = statistics.median(seconds[name])
        print(f"{name:<28}{middle:>9.2f}{info.hits:>11,}{info.misses:>11,}{speed:>8.2f}x")
        same &= results[name] == results[peer] and info == infos[peer]
    print(f"Medians of {ROUNDS} rounds in turn, the program's own work included.")
    print(f"Same results, hits and misses: {same}")
    if not same:
        sys.exit("the caches disagree")
    return results["retain.cache"]


def beyond(choices: dict[str, list[str]], endings: Endings, expected: dict[str, tuple[int, str]]) -> None:
    """Show on the same program what functools has no means for."""
    print("\nWhat functools has no means for, on the same program:")

    align = make_align(retain.memoize(max_bytes=1_000_000, ttl=3600), endings)
    same = run(align, choices, endings) == expected
    info = align.cache_info()
    print("- bounded in bytes and time, memoize(max_bytes=1_000_000, ttl=3600):")
    print(f"  {info.weight:,} bytes in {info.currsize:,} entries, {info.evictions:,} evicted")
    print(f"  {info.hits:,} hits, {info.misses:,} misses; same results: {same}")
    print(f"- statistics: {info.time_saved:.1f} s is what computing the hits would have taken")

    number = endings.numbers[min(choices)]
    align(number, number)
    before = align.cache_info().hits
    align(right=number, left=number)
    found = align.cache_info().hits - before
    print(f"- one call in two spellings, by position and by keyword: {found} hit")
    print(f"- one entry forgotten, the others kept: {align.invalidate(number, number)}")

    few = dict(list(choices.items())[:10])
    counts = [ask_at_once(cache, few, endings) for cache in (functools.cache, retain.memoize)]
    print("- 8 threads ask for one slow result at once: functools.cache computes it ", end="")
    print("{} times, memoize {}".format(*counts))


def ask_at_once(decorator: Decorator, choices: dict[str, list[str]], endings: Endings) -> int:
    """Return how often a result is computed when 8 threads ask for it."""
    computed = 0

    @decorator
    def search() -> dict[str, tuple[int, str]]:
        nonlocal computed
        computed += 1
        return run(make_align(functools.cache, endings), choices, endings)

    threads = [threading.Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return computed


def main() -> None:
    """Read the standard library, run the program, print what it found."""
    start = time.perf_counter()
    counts = read_library()
    choices = choose(counts)
    endings = Endings({*choices, *(other for others in choices.values() for other in others)})
    print(
        f"Python {sys.version.split()[0]}: {len(counts):,} names in its standard library, read in "
        f"{time.perf_counter() - start:.1f} s."
    )
    pairs = sum(map(len, choices.values()))
    print(f"{len(choices)} that occur once, each against those that begin alike: {pairs:,} pairs.")
    nearest = compare(choices, endings)
    closest = sorted((cost, name, other) for name, (cost, other) in nearest.items())[:4]
    print("Nearest: " + ", ".join(f"{name} ~ {other}" for _, name, other in closest))
    beyond(choices, endings, nearest)


if __name__ == "__main__":
    main()
