"""Values of all kinds that files hold, made afresh by each process, and what it means that two are alike."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import ipaddress
import pathlib
import types
import uuid
import warnings
import zoneinfo

import numpy as np

try:
    import pandas as pd
except ImportError:
    pd = None
try:
    import pyarrow as pa
except ImportError:
    pa = None
try:
    import scipy.sparse as sp
except ImportError:
    sp = None
try:
    import sklearn
except ImportError:
    sklearn = None
try:
    import polars as pl
except ImportError:
    pl = None


class Plain:
    """A class of the user's."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Tagged(np.ndarray):
    """A subclass of arrays with an attribute that survives."""

    tag = None

    def __reduce__(self):
        make, arguments, state = super().__reduce__()
        return make, arguments, (state, self.tag)

    def __setstate__(self, state):
        super().__setstate__(state[0])
        self.tag = state[1]


Pair = collections.namedtuple("Pair", "x y")  # noqa: PYI024  # the older way to make one


def plain():
    """Return values of Python itself and of its library: those that need no trust."""
    deep = inner = []
    for _ in range(200):
        inner.append([])
        inner = inner[0]
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    return {
        "none and truth": [None, True, False, Ellipsis, NotImplemented],
        "ints": [0, 1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**63, -(2**63), 2**64, 10**100, -(10**3000)],
        "floats": [0.0, -0.0, 1.5, 1e308, 5e-324, float("inf"), float("-inf")],
        "nan": float("nan"),
        "complex": 1 - 2j,
        "texts": ["", "a", "ü", "名", "\U0001f600", "\ud800", "x" * 300, "y" * 70_000, "\n\0"],
        "bytes": [b"", b"a", bytes(range(256)), b"z" * 70_000],
        "a large bytes": b"0123456789" * 30_000,
        "bytearray": [bytearray(b"abc"), bytearray(200_000)],
        "lists": [[], [1], [[[]]], list(range(3000))],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((),)],
        "dicts": {"a": {}, 1: {2: {3: 4}}, (1, 2): [], None: {n: str(n) for n in range(2000)}},
        "sets": [set(), {1, 2}, frozenset(), frozenset({"a", 3}), {frozenset({1})}],
        "deep": deep,
        "range and slice": [range(10), range(5, -5, -2), slice(1, None, 2)],
        "dates": [
            dt.date(2020, 1, 2),
            dt.time(1, 2, 3, 4),
            dt.datetime(2020, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001
            dt.datetime(2020, 1, 2, tzinfo=dt.UTC),
            dt.datetime(2020, 7, 2, tzinfo=zone),
            dt.timedelta(1, 2, 3),
            dt.timezone(dt.timedelta(hours=2), "name"),
        ],
        "numbers": [decimal.Decimal("1.50"), decimal.Decimal("NaN"), fractions.Fraction(1, 3)][::2],
        "uuid": uuid.UUID(int=5),
        "paths": [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:/d")],
        "addresses": [ipaddress.ip_address("1.2.3.4"), ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_address("::1")],
        "collections": [
            collections.OrderedDict(a=1, b=2),
            collections.defaultdict(list, a=[1]),
            collections.Counter("abca"),
            collections.deque([1, 2], maxlen=5),
            types.SimpleNamespace(a=1, b=[2]),
        ],
    }


def arrays():
    """Return arrays of all kinds that need no trust."""
    rng = np.random.default_rng(3)
    record = np.dtype([("a", "<i4"), ("b", ">f8", (2,)), ("c", "S3"), ("d", [("e", "<u2"), ("f", "M8[s]")])])
    objects = np.empty((2, 2), object)
    objects[:] = [[1, "text"], [None, [1, 2]]]
    found = {
        "bool": np.array([True, False, True]),
        **{
            f"{kind}{size}": np.arange(-3, 30).astype(f"{kind}{size}")
            for kind, sizes in {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8)}.items()
            for size in sizes
        },
        "longdouble": np.arange(5, dtype=np.longdouble) / 3,
        "complex64": np.array([1 + 2j, np.nan], "c8"),
        "complex128": np.array([1 + 2j, complex("inf")]),
        "clongdouble": np.arange(5, dtype=np.clongdouble),
        "special floats": np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        "texts": np.array(["a", "bcd", "名", ""]),
        "bytes": np.array([b"a", b"bcd", b""]),
        "datetime64": np.array(["2020-01-01", "NaT"], "M8[ns]"),
        "datetime64 days": np.array(["2020-01-01", "NaT"], "M8[D]"),
        "datetime64 of 25 s": np.array([1, 2, 3], "M8[25s]"),
        "timedelta64": np.array([1, 2], "m8[us]"),
        "timedelta64 generic": np.array([1, 2], "m8"),
        "void": np.array([b"ab", b"cd"], "V5"),
        "records": np.zeros(4, record),
        "aligned records": np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
        "titled records": np.zeros(3, np.dtype([(("title", "a"), "i4")])),
        "overlapping records": np.zeros(3, np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]})),
        "objects": objects,
        "records with objects": np.array([(1, "x"), (2, None)], [("n", "i4"), ("o", "O")]),
        "0-d": np.array(7.5),
        "0-d of objects": np.array({"a": 1}, object),
        "empty": np.zeros(0),
        "empty 3-d": np.zeros((3, 0, 2), "i2"),
        "no items": np.zeros(3, "S0"),
        "one dimension each": np.zeros((1,) * 32),
        "F": np.asfortranarray(rng.random((30, 40))),
        "C": rng.random((30, 40)),
        "strided": rng.random((30, 40))[::2, ::-3],
        "reversed": np.arange(10)[::-1],
        "transposed": rng.random((3, 4, 5)).transpose(1, 2, 0),
        "broadcast": np.broadcast_to(np.arange(4), (3, 4)),
        "a field": np.zeros(4, record)["b"],
        "large": rng.random(200_000),
        "many small": [np.full(3, n) for n in range(300)],
        "shared": [[array := np.arange(10)], array],
        "scalars": [
            np.float64(1.5),
            np.int8(3),
            np.bool_(True),
            np.str_("a"),
            np.datetime64("2020-01-01", "s"),
            np.complex64(1),
        ],
        "a scalar of records": np.zeros(1, record)[0],
        "dtypes": [np.dtype("f8"), np.dtype(">i4"), record, np.dtype("M8[ns]"), np.dtype("O"), np.dtype("U7")],
    }
    if hasattr(np.dtypes, "StringDType"):
        found["StringDType"] = np.array(
            ["a", "a much longer text than fits into the array itself", ""], np.dtypes.StringDType()
        )
    return found


def subclasses():
    """Return instances of subclasses of arrays."""
    records = np.rec.array([(1, "a"), (2, "b")], dtype=[("x", "i4"), ("y", "U3")])
    tagged = np.arange(6.0).view(Tagged)
    tagged.tag = "kept"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrices = [np.matrix([[1, 2], [3, 4]]), np.asmatrix(np.ones((3, 2), order="F"))]
    return {
        "matrix": matrices,
        "recarray": records,
        "record": records[0],
        "masked": np.ma.masked_greater(np.arange(10.0), 5),
        "masked records": np.ma.array([(1, 2.0)], mask=[(True, False)], dtype=[("a", "i4"), ("b", "f8")]),
        "nothing masked": np.ma.array([1, 2]),
        "chararray": np.char.array(["a", "bc"]) if hasattr(np, "char") else None,
        "of the user": tagged,
        "random state": np.random.RandomState(5),
        "generator": np.random.default_rng(5),
    }


def frames():
    """Return values of pandas."""
    if pd is None:
        return {}
    n = 60
    rng = np.random.default_rng(1)
    when = pd.date_range("2020-01-01", periods=n, freq="h")
    columns = {
        "int": np.arange(n),
        "small": np.arange(n).astype("i2"),
        "float": rng.random(n),
        "bool": np.arange(n) % 2 == 0,
        "text": [f"text {i}" for i in range(n)],
        "objects": pd.Series([1, "a", None, (1, 2)] * (n // 4), dtype=object),
        "category": pd.Categorical(["a", "b", "c"] * (n // 3)),
        "ordered": pd.Categorical([1, 2, 3] * (n // 3), ordered=True, categories=[3, 2, 1]),
        "when": when,
        "zoned": when.tz_localize("Europe/Berlin", ambiguous="NaT", nonexistent="NaT"),
        "utc": when.tz_localize("UTC"),
        "delta": pd.to_timedelta(np.arange(n), unit="min"),
        "period": pd.period_range("2020", periods=n, freq="M"),
        "Int64": pd.array([1, None] * (n // 2), "Int64"),
        "UInt8": pd.array([1, None] * (n // 2), "UInt8"),
        "Float32": pd.array([1.5, None] * (n // 2), "Float32"),
        "boolean": pd.array([True, None] * (n // 2), "boolean"),
        "string": pd.array(["a", None] * (n // 2), "string[python]"),
        "interval": pd.interval_range(0, n),
        "sparse": pd.arrays.SparseArray([0, 0, 1] * (n // 3)),
        "complex": rng.random(n) + 1j,
    }
    if pa is not None:
        columns["string of arrow"] = pd.array(["a", None] * (n // 2), "string[pyarrow]")
        columns["int of arrow"] = pd.array([1, None] * (n // 2), "int64[pyarrow]")
        columns["list of arrow"] = pd.Series([[1], None] * (n // 2), dtype=pd.ArrowDtype(pa.list_(pa.int64())))
    frame = pd.DataFrame(columns)
    found = {f"series of {name}": frame[name] for name in columns}
    numbers = pd.DataFrame(rng.random((50, 4)), columns=list("abcd"))
    multi = pd.MultiIndex.from_product([["a", "b"], [1, 2, 3]], names=["x", "y"])
    indexes = {
        "RangeIndex": pd.RangeIndex(3, 10, 2, name="r"),
        "Index of ints": pd.Index([3, 1, 2]),
        "Index of texts": pd.Index(["a", "b"], name="t"),
        "MultiIndex": multi,
        "DatetimeIndex": when,
        "DatetimeIndex zoned": when.tz_localize("UTC"),
        "TimedeltaIndex": pd.to_timedelta([1, 2], unit="s"),
        "PeriodIndex": pd.period_range("2020", periods=3, freq="Q"),
        "IntervalIndex": pd.interval_range(0, 3),
        "CategoricalIndex": pd.CategoricalIndex(["a", "b", "a"]),
    }
    return {
        **found,
        **indexes,
        "frame of all": frame,
        "frame of floats": numbers,
        "frame of one column": numbers[["a"]],
        "frame transposed": numbers.T,
        "frame of every second row": numbers[::2],
        "frame by a MultiIndex": pd.DataFrame(rng.random((6, 2)), index=multi),
        "frame with MultiIndex columns": pd.DataFrame(rng.random((2, 6)), columns=multi),
        "frame by dates": numbers.set_index(when[:50]),
        "empty frame": pd.DataFrame(),
        "no rows": frame[:0],
        "two frames that share": [numbers, numbers],
        "series of nothing": pd.Series([], dtype="f8"),
        "named series": pd.Series([1.5, 2], index=["x", "y"], name="n"),
        "Timestamp": [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-01", tz="UTC"), pd.NaT],
        "Timedelta": pd.Timedelta(5, "s"),
        "Period": pd.Period("2020-01", "M"),
        "Interval": pd.Interval(1, 2, "both"),
        "NA": pd.NA,
    }


def tables():
    """Return values of pyarrow and polars."""
    found = {}
    if pa is not None:
        table = pa.table(
            {"a": [1, 2, None], "b": ["x", None, "z"], "c": [[1], [], None], "d": [1.5, 2.5, float("inf")]}
        )
        found |= {
            "pyarrow table": table,
            "pyarrow slice": table.slice(1, 2),
            "pyarrow array": pa.array([1, None, 3]),
            "pyarrow chunked": pa.chunked_array([[1, 2], [3]]),
            "pyarrow dictionary": pa.array(["a", "b", "a"]).dictionary_encode(),
            "pyarrow batch": table.to_batches()[0],
            "pyarrow schema": table.schema,
            "pyarrow buffer": pa.py_buffer(b"bytes" * 1000),
        }
    if pl is not None:
        frame = pl.DataFrame({"a": [1, 2, None], "b": ["x", None, "z"], "c": [1.5, 2.5, 3.5]})
        found |= {"polars frame": frame, "polars series": frame["b"], "polars lazy": frame.lazy()}
    return found


def matrices():
    """Return sparse matrices and arrays of scipy."""
    if sp is None:
        return {}
    base = sp.random(40, 30, density=0.1, random_state=1)
    found = {f"sparse {form}": base.asformat(form) for form in ("csr", "csc", "coo", "bsr", "lil", "dok")}
    found["sparse dia"] = sp.diags([1.0, 2.0, 3.0])
    found |= {
        f"sparse array {form}": sp.random_array((20, 10), density=0.2, format=form, rng=1) for form in ("csr", "coo")
    }
    return found


def models():
    """Return estimators of scikit-learn, fitted."""
    if sklearn is None:
        return {}
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeRegressor

    x = np.random.default_rng(0).random((60, 4))
    y = (x[:, 0] > 0.5).astype(int)
    estimators = [
        LogisticRegression(),
        make_pipeline(StandardScaler(), SVC()),
        RandomForestClassifier(5, random_state=0),
        GradientBoostingClassifier(n_estimators=3, random_state=0),
        HistGradientBoostingClassifier(max_iter=3, random_state=0),
        KNeighborsClassifier(algorithm="kd_tree"),
        DecisionTreeRegressor(random_state=0),
    ]
    return {f"sklearn {type(each).__name__}": each.fit(x, y) for each in estimators}


def users():
    """Return instances of classes of the user's, which need trust."""
    itself = Plain(a=1, array=np.arange(1000.0))
    itself.itself = itself
    return {
        "instance": itself,
        "namedtuple": Pair(1, np.ones(3)),
        "function": alike,
        "class": Plain,
    }


def everything():
    """Return all of them by name."""
    return {**plain(), **arrays(), **subclasses(), **frames(), **tables(), **matrices(), **models(), **users()}


def same_items(one, other):
    """Tell whether two arrays of one dtype and shape have the same items, NaN and signs of zero included."""
    if one.dtype.names:
        return all(same_items(one[name], other[name]) for name in one.dtype.names)
    if one.dtype.hasobject:
        return all(alike(a, b) for a, b in zip(one.flat, other.flat, strict=True))
    if one.dtype.kind in "fc":
        signs = [
            (np.signbit(a.real) | np.isnan(a.real)) == (np.signbit(b.real) | np.isnan(b.real))
            for a, b in [(one, other)]
        ]
        return np.array_equal(one, other, equal_nan=True) and bool(np.all(signs))
    return one.tobytes() == other.tobytes()


def same_arrays(one, other):
    """Tell whether two arrays are alike, up to whether they are views."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.names and one.dtype.fields != other.dtype.fields:
        return False
    if one.flags.f_contiguous and not other.flags.f_contiguous:
        return False
    if isinstance(one, np.ma.MaskedArray):
        if not same_items(np.ma.getmaskarray(one), np.ma.getmaskarray(other)):
            return False
        one, other = one.data, other.data
    if one.dtype.kind == "T":
        return one.tolist() == other.tolist()
    return same_items(np.asarray(one), np.asarray(other)) and getattr(one, "tag", 0) == getattr(other, "tag", 0)


def alike(one, other):
    """Tell whether two values are the same in all that can be told."""
    if isinstance(one, np.memmap) or isinstance(other, np.memmap):
        one, other = np.asarray(one), np.asarray(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return same_arrays(one, other)
    if pd is not None and isinstance(one, (pd.DataFrame, pd.Series, pd.Index)):
        compare = {pd.DataFrame: pd.testing.assert_frame_equal, pd.Series: pd.testing.assert_series_equal}
        try:
            compare.get(type(one), pd.testing.assert_index_equal)(one, other)
        except AssertionError:
            return False
        return True
    if pl is not None and isinstance(one, (pl.DataFrame, pl.Series)):
        return one.equals(other)
    if pl is not None and isinstance(one, pl.LazyFrame):
        return one.collect().equals(other.collect())
    if sp is not None and sp.issparse(one):
        same_type = (one.dtype, one.shape, one.format) == (other.dtype, other.shape, other.format)
        return same_type and abs(one - other).sum() == 0
    if isinstance(one, (list, tuple, collections.deque)):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, np.random.RandomState):
        return alike(one.get_state(), other.get_state())
    if isinstance(one, np.random.Generator):
        return alike(one.bit_generator.state, other.bit_generator.state)
    if isinstance(one, Plain):
        return one.a == other.a and alike(one.array, other.array) and other.itself is other
    if isinstance(one, (np.generic, float, complex, decimal.Decimal)) and one != one:
        return other != other
    if isinstance(one, float):
        return str(one) == str(other)
    if sklearn is not None and type(one).__module__.startswith("sklearn"):
        x = np.random.default_rng(9).random((30, 4))
        return np.array_equal(one.predict(x), other.predict(x))
    if pd is not None and (one is pd.NA or one is pd.NaT):
        return other is one
    return bool(one == other)
