"""
Flip bits of a folder, and call what is kept there.

Run as ``python tests/havoc/flips.py --flips 10000``. Whatever bit it is: the value is the right one, and no call
raises. Half of the bits are flipped while the folder is open.
"""

import argparse
import random
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import functions
import retain

SMALL, LARGE, MIXED = 20, 2, 1


def fill(folder, layout, key=None):
    """Keep a few results of each kind."""
    cached, memory = functions.memorized(folder, layout, key=key)
    for kept, count in zip(cached, (SMALL, LARGE, MIXED), strict=True):
        for number in range(count):
            kept(number)
    memory._store.flush()


def flip(folder, chance):
    """Flip one bit: half of the time of any file, half of the time of any byte."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.stat().st_size]
    weights = None if chance.random() < 0.5 else [path.stat().st_size for path in files]
    path = chance.choices(files, weights)[0]
    at = chance.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))
    return path.name, at


def ask(cached):
    """Call everything; how many results were wrong, and how many were computed anew."""
    wrong = 0
    before = sum(kept.cache_info().misses for kept in cached)
    for kept, function, count in zip(cached, functions.ALL, (SMALL, LARGE, MIXED), strict=True):
        for number in range(count):
            wrong += kept(number) != function(number)
    return wrong, sum(kept.cache_info().misses for kept in cached) - before


def run(flips, layout, seed, key=None, report=lambda text: None):
    """Return what came of it, as a dict of numbers."""
    chance = random.Random(seed)
    found = {"flips": 0, "wrong": 0, "raised": 0, "computed": 0, "refused": 0}
    with tempfile.TemporaryDirectory(prefix="retain-flips-") as top:
        whole = Path(top, "whole")
        fill(whole, layout, key)
        for trial in range(flips):
            folder = Path(top, f"copy{trial}")
            shutil.copytree(whole, folder)
            # A folder whose permissions let others write to it is refused.
            folder.chmod(0o700)
            is_open = chance.random() < 0.5
            where = None if is_open else flip(folder, chance)
            found["flips"] += 1
            try:
                cached, memory = functions.memorized(folder, layout, key=key, ram_bytes=0)
            except retain.StoreError:
                # Who cannot tell what the folder is says so before anything is called.
                assert where[0] == "retain-store", where
                found["refused"] += 1
                continue
            try:
                if is_open:
                    ask(cached)
                    where = flip(folder, chance)
                for _ in range(2):
                    wrong, computed = ask(cached)
                    found["wrong"] += wrong
                    found["computed"] += computed
                if wrong or computed:
                    # What was computed is kept, if the folder is one still.
                    report(f"\n{where} open={is_open}: {wrong} wrong, {computed} computed anew each time")
            except Exception as error:
                found["raised"] += 1
                report(f"\n{where} open={is_open}: {type(error).__name__}: {error}\n")
            del cached, memory
            shutil.rmtree(folder)
            if trial % 50 == 0:
                report(f"\r{found}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--layout", default="indexed", choices=["indexed", "plain"])
    parser.add_argument("--keyed", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    key = bytes(range(32)) if options.keyed else None
    found = run(options.flips, options.layout, seed, key, lambda text: print(text, end="", flush=True))
    print(f"\nseed {seed}: {found}")
    sys.exit(bool(found["wrong"] or found["raised"]))


if __name__ == "__main__":
    main()
