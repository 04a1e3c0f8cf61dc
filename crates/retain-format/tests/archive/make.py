# ruff: noqa: INP001
"""Write the files that archive.rs reads: one value, by pickle, joblib and retain as they are at the time."""

import collections
import pickle
import types
from pathlib import Path

import joblib
import numpy as np
import retain

HERE = Path(__file__).parent


class Slotted:
    """An object whose attributes lie in slots."""

    __slots__ = ("weights",)

    def __getstate__(self) -> tuple:
        return None, {"weights": self.weights}


def value() -> dict:
    """Make something of everything that `archive.rs` looks for."""
    record = np.zeros(2, np.dtype([("a", "<i2"), ("when", "<M8[25us]"), ("b", "<f4", (2,))], align=True))
    record["b"] = [[1, 2], [3, 4]]
    slotted = Slotted()
    slotted.weights = np.array([1 + 2j, 3 - 4j])
    shared = np.arange(3, dtype=np.uint8)
    circle: list = [shared]
    circle.append(circle)
    return {
        "x": np.arange(6, dtype="<f8").reshape(2, 3),
        "model": types.SimpleNamespace(
            coef=np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)), name="a model", slotted=slotted
        ),
        "plain": [1, -2, 2.5, None, True, False, "text é €", b"\x00bytes\xff", (2**40, 2**70), {3}, frozenset([4])],
        "record": record,
        "objects": np.array([shared, "text", {"deep": np.float32(0.5)}], dtype=object),
        "flags": np.array([True, False, True]),
        "a key": np.zeros((0, 4), np.int64),
        10: np.array(7, np.int32),
        "ordered": collections.OrderedDict(first=np.array([-1], np.int8)),
        "long": "z" * 300,
        "circle": circle,
    }


def main() -> None:
    """Write it in every way."""
    one = value()
    for protocol in range(6):
        (HERE / f"pickle{protocol}.pkl").write_bytes(pickle.dumps(one, protocol))
    joblib.dump(one, HERE / "joblib.joblib")
    retain.dump(one, HERE / "retain.pkl")
    np.save(HERE / "array.npy", one["model"].coef)


if __name__ == "__main__":
    main()
