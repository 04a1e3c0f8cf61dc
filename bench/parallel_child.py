"""What is measured in a process of its own: `python bench/parallel_child.py VERB PEER` prints its figures as JSON."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

LIBRARY = {"retain": "retain", "loky": "joblib", "multiprocessing": "joblib", "threading": "joblib"}


def parallel(peer, **options):
    """The call of a peer, with its backend."""
    library = __import__(LIBRARY[peer])
    if LIBRARY[peer] == "joblib":
        options["backend"] = peer
    return library.Parallel(n_jobs=2, **options), library.delayed


def cold(peer):
    """Milliseconds until the first results of two tasks, everything that they need being imported but by workers."""
    from parallel_work import numbers

    if peer.startswith("executor"):
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        start = time.perf_counter()
        with ProcessPoolExecutor(2, multiprocessing.get_context(peer.split()[1])) as executor:
            list(executor.map(numbers, range(2)))
            return (time.perf_counter() - start) * 1e3
    start = time.perf_counter()
    call, delayed = parallel(peer)
    call(delayed(numbers)(number) for number in range(2))
    return (time.perf_counter() - start) * 1e3


def rollup(pid, *names):
    """The sum of some lines of a process's memory, in MB; nothing if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return 0.0
    found = dict(line.split()[:2] for line in lines)
    return sum(int(found[name + ":"]) for name in names) * 1024 / 1e6


def tree():
    """The ids of this process and of all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


@contextmanager
def sampled(measure, every=0.01):
    """Take a measure again and again; the list of what it was, of which the first is from before."""
    found, ended = [measure()], threading.Event()

    def sample():
        while not ended.wait(every):
            found.append(measure())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield found
    finally:
        ended.set()
        sampler.join()


def idle(peer):
    """MB of private memory of each worker that waits."""
    from parallel_work import numbers, pid_of

    call, delayed = parallel(peer)
    with call:
        call(delayed(numbers)(number) for number in range(8))
        pids = set(call(delayed(pid_of)(0.05) for _ in range(8)))
        time.sleep(0.3)
        return max(rollup(pid, "Private_Clean", "Private_Dirty") for pid in pids)


def consumer(peer):
    """Results of 20 MB by which the parent grows while it takes them slowly, 40 of them."""
    from parallel_work import array, numbers

    call, delayed = parallel(peer, return_as="generator_unordered")
    list(call(delayed(numbers)(number) for number in range(4)))
    with sampled(lambda: rollup(os.getpid(), "Rss"), 0.005) as found:
        for result in call(delayed(array)(20) for _ in range(40)):
            result.sum()
            time.sleep(0.05)
    return (max(found) - found[0]) / 20


def copies(peer):
    """How many times an array of 100 MB is in memory besides the program's own, while 16 tasks read it."""
    from parallel_work import numbers, reads

    call, delayed = parallel(peer)
    call(delayed(numbers)(number) for number in range(8))
    array = np.ones(12_500_000)
    with sampled(lambda: sum(rollup(pid, "Pss") for pid in tree()), 0.02) as found:
        call(delayed(reads)(array) for _ in range(16))
    return (max(found) - found[0]) / 100


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
