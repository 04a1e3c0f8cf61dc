"""Peak memory of dump and load beyond the object and the result.

Each figure is taken in a process of its own, as VmHWM after it was set back through
/proc/self/clear_refs, less VmRSS before. VmHWM counts the pages of mapped files as well. The result's
size is that of its arrays' bytes; of other values, the memory that is still held when the call has
returned.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import retain
import safetensors.numpy
from persistence_peers import (
    MB,
    array,
    arrays,
    dump_compressed,
    everybody,
    folder,
    frame,
    nested,
    pickle_load,
    readings,
)
from timing import Table, Target

PEERS = ("retain", "joblib", "pickle 5", "numpy", "safetensors")
LOADS = {
    "retain": retain.load,
    "joblib": joblib.load,
    "pickle 5": pickle_load,
    "numpy": np.load,
    "safetensors": safetensors.numpy.load_file,
}
# The values, and how they are compressed by retain and by joblib.
VALUES = {
    "500 MB of float64": (array, None),
    "200 arrays of 1 MB": (arrays, None),
    "100 MB of float64, compressed": (readings, ("zstd", 3)),
    "nested dicts and lists, 5e5 objects": (nested, None),
    "DataFrame 1e6 x 6, two of pandas' str": (partial(frame, "str"), None),
}


def resident(what):
    """`VmRSS` or `VmHWM` of this process, in bytes."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(what))


def grown(action):
    """What the action returned, and the bytes by which memory grew at most and for good."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    result = action()
    peak = resident("VmHWM")
    gc.collect()
    return result, peak - before, resident("VmRSS") - before


def held(result, for_good):
    """The bytes of the result."""
    parts = result.values() if isinstance(result, dict) else [result]
    if all(isinstance(part, np.ndarray) for part in parts):
        return sum(part.nbytes for part in parts)
    return for_good


def dumpers(value, compress):
    found = {name: peer.dump for name, peer in everybody(value).items()}
    if compress is None:
        return found
    libraries = ((retain, compress[0]), (joblib, compress[1]))
    return {each.__name__: partial(dump_compressed, each, value, how) for each, how in libraries}


def warm_up(peer, compress, path):
    """What the first call imports and allocates is not the value's."""
    import pandas as pd

    for small in (np.arange(3.0), {"array": np.arange(3.0)}, [1.5, "a", pd.DataFrame({"a": ["b"]})]):
        dump = dumpers(small, compress).get(peer)
        if dump:
            dump(path + ".warm")
            LOADS[peer](path + ".warm")
            Path(path + ".warm").unlink()


def child(verb, peer, name, path):
    """Print the bytes beyond the object or the result, or nothing if the peer cannot keep such a value."""
    make, compress = VALUES[name]
    warm_up(peer, compress, path)
    if verb == "dump":
        value = make()
        dump = dumpers(value, compress).get(peer)
        if dump:
            _, peak, _ = grown(partial(dump, path))
            print(peak)
    elif Path(path).exists():
        result, peak, for_good = grown(partial(LOADS[peer], path))
        print(peak - held(result, for_good))


def measure(quick):
    note = "VmHWM of a process for each figure, beyond the object (dump) or the result (load)."
    if not Path("/proc/self/clear_refs").exists():
        note = "Not measured: peaks are read from /proc, which is not here."
        yield Table("Peak memory of dump and load (MB)", ("value",), note)
        return
    tables = {
        verb: Table(f"Peak memory of {verb} (MB)", ("value", *PEERS, "target"), note) for verb in ("dump", "load")
    }
    for name in VALUES:
        if quick and not name.startswith(("200", "100")):
            continue
        found = {verb: {} for verb in tables}
        with folder() as place:
            for peer in PEERS:
                path = str(place / "value.bench")
                for verb in tables:
                    command = [sys.executable, __file__, verb, peer, name, path]
                    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    found[verb][peer] = int(shown) / MB if shown else None
                Path(path).unlink(missing_ok=True)
        for verb, table in tables.items():
            ours = found[verb]["retain"]
            table.add(name, *(found[verb][peer] for peer in PEERS), Target(ours, most=16))
    yield from tables.values()


if __name__ == "__main__":
    child(*sys.argv[1:])
