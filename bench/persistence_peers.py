"""The values that bench/persistence.py writes and reads, who writes and reads them, and how they take turns."""

from __future__ import annotations

import gc
import pickle
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import retain
import safetensors.numpy

MB = 1_000_000


# --- the values ------------------------------------------------------------------------------------------------


def forest(trees=300):
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(trees, random_state=0).fit(*load_digits(return_X_y=True))


def nested(objects=500_000):
    """Records as a document has them; keys and leaves are counted."""
    return [
        {"id": number, "name": f"name {number}", "values": [number, number + 1, number / 3], "valid": True}
        for number in range(objects // 12)
    ]


def array(megabytes=500):
    return np.random.default_rng(0).random(megabytes * MB // 8)


def arrays(count=200):
    random = np.random.default_rng(0)
    return {f"array {number}": random.random(MB // 8) for number in range(count)}


def readings(megabytes=100):
    """Measurements to two decimals: floats that can be compressed, as most can."""
    steps = np.random.default_rng(0).normal(size=megabytes * MB // 8)
    return np.round(np.cumsum(steps), 2)


def frame(strings, rows=1_000_000):
    import pandas as pd

    random = np.random.default_rng(0)
    numbers = {name: random.random(rows) for name in "abc"}
    names = (random.integers(0, 100_000, rows).astype(str).astype(object) for _ in "xy")
    texts = {name: pd.Series(values, dtype=strings) for name, values in zip("xy", names, strict=True)}
    return pd.DataFrame({**numbers, "n": np.arange(rows), **texts})


# --- the contestants -------------------------------------------------------------------------------------------


def pickle_dump(value, path):
    with Path(path).open("wb") as file:
        pickle.dump(value, file, 5)


def pickle_load(path):
    with Path(path).open("rb") as file:
        return pickle.load(file)


def raw_write(data, path):
    with Path(path).open("wb", buffering=0) as file:
        file.write(data)


def raw_read(path):
    into = np.empty(Path(path).stat().st_size, np.uint8)
    with Path(path).open("rb", buffering=0) as file:
        assert file.readinto(into) == into.nbytes
    return into


def raw_write_all(value, path):
    with Path(path).open("wb", buffering=0) as file:
        file.writelines(value.values())


def raw_read_all(value, path):
    read = {}
    with Path(path).open("rb", buffering=0) as file:
        for name, like in value.items():
            read[name] = np.empty_like(like)
            file.readinto(read[name])
    return read


@dataclass
class Peer:
    """How a peer writes a value to a path, and reads the path."""

    dump: object
    load: object


def everybody(value):
    """Who can keep the value, and how."""
    peers = {
        "retain": Peer(partial(retain.dump, value), retain.load),
        "joblib": Peer(partial(joblib.dump, value), joblib.load),
        "pickle 5": Peer(partial(pickle_dump, value), pickle_load),
    }
    if isinstance(value, np.ndarray):
        peers["numpy"] = Peer(partial(numpy_save, value), np.load)
        value = {"array": value}
    if isinstance(value, dict):
        peers["safetensors"] = Peer(partial(safetensors.numpy.save_file, value), safetensors.numpy.load_file)
        peers["raw"] = Peer(partial(raw_write_all, value), partial(raw_read_all, value))
    else:
        data = pickle.dumps(value, 5)
        peers["raw"] = Peer(partial(raw_write, data), raw_read)
    return peers


def numpy_save(value, path):
    # A name would be given an extension.
    with Path(path).open("wb") as file:
        np.save(file, value)


def dump_compressed(library, value, compress, path):
    library.dump(value, path, compress=compress)


# --- turns -----------------------------------------------------------------------------------------------------


@dataclass
class Times:
    """Seconds of each round, on the wall and of the processors."""

    wall: list = field(default_factory=list)
    cpu: list = field(default_factory=list)


def take_turns(actions, rounds, before=lambda: None):
    """Time the actions in turn, round after round, after one round that is not counted."""
    times = {name: Times() for name in actions}
    order = list(actions)
    gc.collect()
    gc.freeze()
    try:
        for number in range(rounds + 1):
            for name in order:
                before()
                gc.collect()
                cpu, wall = time.process_time(), time.perf_counter()
                result = actions[name]()
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                del result
                if number:
                    times[name].wall.append(wall)
                    times[name].cpu.append(cpu)
            order = order[1:] + order[:1]
    finally:
        gc.unfreeze()
    return times


def short(action, seconds=0.05):
    """An action that takes microseconds, as often as is needed to time it; and how often that is."""
    action()
    start = time.perf_counter()
    action()
    number = max(1, round(seconds / max(time.perf_counter() - start, 1e-7)))

    def often():
        for _ in range(number):
            action()

    return often, number


@contextmanager
def folder():
    path = Path(tempfile.mkdtemp(prefix="retain-bench-"))
    try:
        yield path
    finally:
        # Whoever writes there in the background may do so once more.
        shutil.rmtree(path, ignore_errors=True)


def empty(path):
    for file in path.iterdir():
        file.unlink()


def measure_dumps(peers, place, rounds):
    dumps = {name: partial(peer.dump, str(place / f"{name}.bench")) for name, peer in peers.items()}
    return take_turns(dumps, rounds, before=partial(empty, place))


def measure_loads(peers, place, rounds):
    empty(place)
    for name, peer in peers.items():
        peer.dump(str(place / f"{name}.bench"))
    loads = {name: partial(peer.load, str(place / f"{name}.bench")) for name, peer in peers.items()}
    return take_turns(loads, rounds)
