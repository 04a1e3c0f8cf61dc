"""
Make many parallel calls with large arrays, kill workers meanwhile, and see what is left of it.

Run as ``python tests/havoc/parallel.py --calls 1000``: in each tenth call a worker that is chosen at random is killed
at a random instant. Its task is tried again, so all results must be right. At the end, file descriptors, threads,
processes, shared memory and temporary files must be as they were at the start. With ``--library joblib``, which tries
nothing again, calls that fail are counted.
"""

import argparse
import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path

import numpy as np

SETTLED = 20.0
"""Seconds in which what is kept for the next call, and is not needed, must be gone."""


def work(array, factor, megabytes):
    """Return a sum, a large array, and who computed them."""
    return float(array.sum()) * factor, np.full(megabytes * 125_000, factor), os.getpid()


def tree():
    """The ids of all processes below this one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state not in "ZX":
                parents[int(entry.name)] = int(parent)
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def shared(pids):
    """Bytes of the anonymous and temporary files that the processes hold, open or mapped, each of them once."""
    found = {}
    for pid in pids:
        for folder in ("fd", "map_files"):
            try:
                paths = list(Path(f"/proc/{pid}/{folder}").iterdir())
            except OSError:
                continue
            for path in paths:
                try:
                    name = str(path.readlink())
                    if name.startswith(("/memfd:", "/dev/shm/", tempfile.gettempdir())):  # noqa: S108
                        about = path.stat()
                        found[about.st_dev, about.st_ino] = about.st_blocks * 512
                except OSError:
                    continue
    return sum(found.values())


def state():
    """What the program has of all that can leak."""
    gc.collect()
    below = tree()
    mine = re.compile(rf"(?<!\d){os.getpid()}(?!\d)")
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "threads": threading.active_count(),
        "native threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208
        "processes": len(below),
        "shared MB": round(shared([os.getpid(), *below]) / 1e6),
        "in /dev/shm": sum(bool(mine.search(path.name)) for path in Path("/dev/shm").iterdir()),  # noqa: S108
        "in TMPDIR": sum(path.is_file() for path in Path(tempfile.gettempdir()).rglob("*")),
    }


def settled(wanted):
    """The state when it is at most `wanted`, or after a while."""
    end = time.monotonic() + SETTLED
    now = state()
    while any(found > wanted[name] for name, found in now.items()) and time.monotonic() < end:
        time.sleep(0.1)
        now = state()
    return now


def leave(library):
    """End what is kept for the next call."""
    if library == "joblib":
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown()
    else:
        from retain._parallel import pools

        pools.shutdown()


class Killer:
    """Kills a process after a while."""

    def __init__(self, pid, seconds):
        self.pid = pid
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.start()

    def _kill(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def end(self):
        self._timer.join()


def calls(number, library, seed):
    """Make the calls; what came of them."""
    module = import_module(library)
    options = {"retries": 5} if library == "retain" else {}
    chance = random.Random(seed)
    start = state()
    found = {"calls": 0, "kills": 0, "failed": 0, "wrong": 0}
    workers, warm = [], start
    for count in range(number):
        array = np.full(chance.randrange(1, 8) * 125_000, 0.5)
        factors = [chance.randrange(1, 100) for _ in range(chance.randrange(2, 9))]
        megabytes = chance.randrange(1, 6)
        kind = chance.choice(["list", "generator", "generator_unordered"])
        below = set(tree())
        alive = [pid for pid in workers if pid in below]
        killer = Killer(chance.choice(alive), chance.random() * 0.03) if count % 10 == 9 and alive else None
        found["kills"] += killer is not None
        tasks = (module.delayed(work)(array, factor, megabytes) for factor in factors)
        try:
            results = list(module.Parallel(n_jobs=2, return_as=kind, **options)(tasks))
        except Exception:
            found["failed"] += 1
            if library == "retain":
                raise
        else:
            sums = [total for total, _, _ in results]
            right = [array.sum() * factor for factor in factors]
            if kind == "generator_unordered":
                sums, right = sorted(sums), sorted(right)
            whole = all(
                len(large) == megabytes * 125_000 and large[-1] * array.sum() == total for total, large, _ in results
            )
            found["wrong"] += not (whole and sums == right)
            workers = list({pid for _, _, pid in results})
            del results
        if killer:
            killer.end()
        found["calls"] += 1
        if count == number // 10:
            warm = state()
    return {"start": start, "warm": warm, "last": settled(warm)} | {"found": found, "library": library}


def run(number, library, seed):
    """Make the calls in a process of its own, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="retain-parallel-") as folder:
        command = [
            sys.executable,
            __file__,
            "--inside",
            "--calls",
            str(number),
            "--library",
            library,
            "--seed",
            str(seed),
        ]
        environment = {**os.environ, "TMPDIR": folder, "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
        if done.returncode:
            raise RuntimeError(f"the calls ended with {done.returncode}")
        return json.loads(done.stdout)


def leaks(told):
    """What there is more of, after all, than before."""
    return {name: [before, told["end"][name]] for name, before in told["start"].items() if told["end"][name] > before}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--library", default="retain", choices=["retain", "joblib"])
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        told = calls(options.calls, options.library, options.seed)
        leave(options.library)
        print(json.dumps(told | {"end": settled(told["start"])}))
        return 0
    told = run(options.calls, options.library, options.seed)
    print(f"seed {options.seed}: {told['found']}")
    columns = ("start", "warm", "last", "end")
    print(f"{'':<15}" + "".join(f"{name:>8}" for name in columns))
    for name in told["start"]:
        print(f"{name:<15}" + "".join(f"{told[column][name]:>8}" for column in columns))
    more = leaks(told)
    print(f"leaked: {more or 'nothing'}")
    return int(bool(more) or told["found"]["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
