"""Make the files that fuzzing begins with: ``python -m attacks.seeds [FOLDER]``.

Small pickles of all protocols, of the standard library and, where they are installed, of numpy, pandas, scipy and
joblib; and the hostile files of ``tests/attacks``.
"""

import collections
import contextlib
import datetime as dt
import decimal
import pickle
import sys
import uuid
from pathlib import Path

from attacks import hostile


def values():
    """Yield a name and a value."""
    yield "plain", [None, True, 1, -1, 1 << 40, 1 << 90, 1.5, "text", "\xe9\u1234", b"bytes", bytearray(b"x")]
    yield "nested", {"a": [(1, 2), {3}, frozenset([4])], ("k", 1): {"b": []}}
    yield "dates", [dt.date(2020, 2, 29), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]
    yield "numbers", [decimal.Decimal("1.5"), complex(1, 2), uuid.UUID(int=7), range(3)]
    yield "mappings", [collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]), collections.Counter("aab")]
    yield "deque", collections.deque([1, 2], 5)
    with contextlib.suppress(ImportError):
        import numpy as np

        for kind in ("f8", ">i4", "S3", "U2", "M8[ns]", "O", [("a", "i4"), ("b", "O")], [("a", "f4", 2)]):
            yield f"numpy-{kind}", np.zeros(3, kind)
        yield "numpy-order", np.asfortranarray(np.ones((2, 3)))
        yield "numpy-scalar", [np.float64(1), np.str_("a"), np.datetime64("2020")]
        yield "numpy-masked", np.ma.array([1, 2], mask=[0, 1])
        yield "numpy-random", [np.random.default_rng(0), np.random.Generator(np.random.Philox(1))]
    with contextlib.suppress(ImportError):
        import pandas as pd

        frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1], "c": ["x", "y"]})
        yield "pandas-frame", frame
        yield "pandas-series", frame["a"]
        yield "pandas-index", pd.MultiIndex.from_product([[1, 2], ["a"]])
        yield "pandas-categories", pd.Categorical(["a", None])
        yield "pandas-times", pd.date_range("2020", periods=2, tz="Europe/Paris")
        yield "pandas-masked", pd.array([1, None], dtype="Int64")
    with contextlib.suppress(ImportError):
        import scipy.sparse

        for layout in ("csr", "csc", "coo", "bsr", "dia", "lil"):
            yield f"scipy-{layout}", scipy.sparse.eye(3, format=layout)


def main(folder: str = "corpus") -> None:
    """Write all to ``folder``."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name, value in values():
        for protocol in range(6):
            name_of_file = name.translate(dict.fromkeys(map(ord, "[]()<>', "), "_"))
            (place / f"{name_of_file}.{protocol}").write_bytes(pickle.dumps(value, protocol))
        with contextlib.suppress(ImportError):
            import joblib

            joblib.dump(value, place / f"{name_of_file}.joblib")
    for name, content, kind in hostile.hostile("mark"):
        if len(content) < 10_000:
            (place / f"{kind}-{name}").write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
