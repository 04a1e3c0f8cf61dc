"""Values that a function can tell apart have different digests."""

from __future__ import annotations

import itertools
import re

import corpus
import pytest
import retain
from hypothesis import given, settings
from hypothesis import strategies as st


def groups(text):
    """Read groups of expressions, which " | " separates; a line that is indented goes on with the group before."""
    return [
        [part.strip() for part in group.split(" | ")] for group in re.sub(r"\n +\|", " |", text).strip().split("\n")
    ]


# Each group holds values every two of which differ.
STANDARD = groups(r"""
1 | True | 1.0 | 1 + 0j | "1" | b"1" | decimal.Decimal(1) | fractions.Fraction(1) | Level.LOW | Integer(1) | [1]
    | (1,)
0 | False | 0.0 | -0.0 | 0j | None | "" | b"" | () | [] | {} | set() | frozenset() | bytearray() | range(0) | ...
complex(0.0, 0.0) | complex(-0.0, 0.0) | complex(0.0, -0.0)
float("nan") | -float("nan") | struct.unpack("<d", b"\x01\0\0\0\0\0\xf8\x7f")[0] | float("inf") | None
2 ** 63 | -(2 ** 63) | 2 ** 63 - 1 | 2 ** 64 | float(2 ** 63)
127 | 128 | -128 | -129 | 255 | 256 | 0x7f00 | 0x8000
"a" | b"a" | bytearray(b"a") | ["a"] | ("a",) | {"a"} | frozenset("a") | {"a": None} | Text("a")
    | collections.UserString("a")
"a" | "A" | "a " | "a\0" | "ab"
"é" | "e\u0301" | "é".encode() | "Ã©"
"\ud800" | "\udfff" | "\ufffd" | "?"
"x" * 300 | b"x" * 300 | "x" * 301 | ["x" * 300]
["ab", "c"] | ["a", "bc"] | ["abc"] | ["a", "b", "c"] | [["ab", "c"]] | [["ab"], "c"] | ["ab", ["c"]]
[[], []] | [[[]]] | [[]] | [] | [[[], []]]
[1, [2, 3]] | [[1, 2], 3] | [1, 2, 3] | [[1, 2, 3]] | [1, 2, [3]] | (1, 2, 3)
{1: 2} | {2: 1} | {1: [2]} | {1, 2} | [(1, 2)] | {(1, 2)} | {1: 2, 2: 1}
{"a": "b", "c": "d"} | {"a": "d", "c": "b"} | {"ab": "", "c": "d"} | {"a": "b", "cd": ""}
{"a": 1} | {"a": True} | {"a": 1.0} | {"a": "1"} | {b"a": 1}
{1: "a"} | {True: "a"} | {1.0: "a"}
{1, 2} | frozenset({1, 2}) | [1, 2] | (1, 2) | {1: None, 2: None} | {1, 2, 3} | Members({1, 2})
{frozenset({1, 2}), frozenset({3})} | {frozenset({1}), frozenset({2, 3})} | {frozenset({1, 2, 3})}
"z" * 255 | ("z" * 255,) | ["z" * 255] | {"z" * 255}
range(3) | range(0, 3, 2) | range(1, 3) | [0, 1, 2] | (0, 1, 2) | range(0, 4, 2)
range(0) | range(1, 1) | range(0, -1)
slice(1) | slice(1, None) | slice(None, 1, 1) | slice(0, 1) | (None, 1, None)
bytes(3) | bytearray(3) | memoryview(bytes(3)) | array.array("B", bytes(3)) | io.BytesIO(bytes(3)) | [0, 0, 0]
memoryview(b"abcd") | memoryview(b"abcd").cast("i") | memoryview(b"abcd").cast("B", (2, 2)) | memoryview(b"abce")
    | b"abcd"
array.array("i", [1]) | array.array("I", [1]) | array.array("b", [1]) | array.array("f", [1]) | [1]
array.array("d", [0.0]) | array.array("d", [-0.0]) | array.array("q", [0])
collections.OrderedDict(a=1, b=2) | collections.OrderedDict(b=2, a=1) | dict(a=1, b=2) | [("a", 1), ("b", 2)]
collections.OrderedDict() | {} | collections.Counter() | collections.defaultdict() | collections.defaultdict(int)
    | collections.defaultdict(list) | collections.UserDict() | collections.ChainMap() | types.MappingProxyType({})
    | types.SimpleNamespace() | Mapping() | {}.keys() | {}.values() | {}.items()
collections.ChainMap({"a": 1}, {"b": 2}) | collections.ChainMap({"b": 2}, {"a": 1})
    | collections.ChainMap({"a": 1, "b": 2})
collections.deque([1, 2]) | collections.deque([1, 2], 2) | collections.deque([2, 1]) | [1, 2]
    | collections.UserList([1, 2]) | Deque([1, 2])
collections.Counter("aab") | collections.Counter("abb") | {"a": 2, "b": 1}
datetime.datetime(2020, 1, 1) | datetime.date(2020, 1, 1)
    | datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc) | datetime.datetime(2020, 1, 1, fold=1)
    | datetime.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")) | "2020-01-01"
datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.timezone.utc)
    | datetime.datetime(2020, 1, 1, 13, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    | datetime.datetime(2020, 1, 1, 13, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
datetime.time(1) | datetime.time(1, fold=1) | datetime.time(1, tzinfo=datetime.timezone.utc)
    | datetime.timedelta(hours=1)
datetime.timezone.utc | datetime.timezone(datetime.timedelta(0), "UTC") | zoneinfo.ZoneInfo("UTC")
    | datetime.timezone(datetime.timedelta(0), "Z")
datetime.timedelta(1) | datetime.timedelta(seconds=1) | datetime.timedelta(microseconds=1) | datetime.timedelta(-1)
decimal.Decimal("1") | decimal.Decimal("1.0") | decimal.Decimal("1.00") | decimal.Decimal("1E0") * 10
    | decimal.Decimal("10E-1") * 1000
decimal.Decimal("0") | decimal.Decimal("-0") | decimal.Decimal("0.0") | decimal.Decimal("0E5")
decimal.Decimal("NaN") | decimal.Decimal("-NaN") | decimal.Decimal("sNaN") | decimal.Decimal("NaN1")
    | decimal.Decimal("Infinity") | decimal.Decimal("-Infinity")
fractions.Fraction(1, 2) | fractions.Fraction(2, 1) | fractions.Fraction(-1, 2) | 0.5 | decimal.Decimal("0.5")
    | (1, 2)
uuid.UUID(int=1) | 1 | uuid.UUID(int=2) | uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe) | uuid.UUID(int=1).bytes
    | str(uuid.UUID(int=1))
pathlib.PurePosixPath("a") | pathlib.PureWindowsPath("a") | pathlib.PosixPath("a") | "a"
    | pathlib.PurePosixPath("a/b") | pathlib.PurePosixPath("/a")
re.compile("a") | re.compile(b"a") | re.compile("a", re.I) | "a" | re.compile("(a)")
ipaddress.ip_address("1.2.3.4") | ipaddress.ip_network("1.2.3.4") | ipaddress.ip_interface("1.2.3.4") | "1.2.3.4"
    | int(ipaddress.ip_address("1.2.3.4"))
io.BytesIO(b"ab") | advanced(io.BytesIO(b"ab"), 1) | io.StringIO("ab") | io.BytesIO(b"abc")
ValueError("a") | TypeError("a") | ValueError("b") | ValueError("a", 1) | ValueError()
    | with_attributes(ValueError("a"), code=1) | Failure("a") | Failure("a", 1)
OSError(2, "m") | OSError(2, "m", "f") | OSError(2, "m", "f", None, "g") | PermissionError(2, "m")
Colour.RED | Colour.BLUE | 1 | "b" | "RED" | Level.LOW
Level.LOW | Level.HIGH | 1 | Permission.READ
Permission.READ | Permission.WRITE | Permission(3) | Permission(0)
Mode.FAST | "fast" | Text("fast")
Point(1, 2) | (1, 2) | Pair(1, 2) | Point(2, 1) | [1, 2] | {"x": 1, "y": 2}
Row("a") | Row("b") | Row("a", [1]) | Frozen("a") | ("a", []) | {"name": "a", "values": []}
    | Plain(name="a", values=[])
Plain() | Plain(a=1) | Plain(b=1) | Plain(a=2) | Plain(a=1, b=None) | types.SimpleNamespace(a=1) | Slotted(1)
Slotted(1) | Slotted(2) | SlottedToo(1) | with_attributes(SlottedToo(1), y=1) | with_attributes(SlottedToo(1), z=1)
Keyed("a") | Keyed("b") | "a" | Plain(name="a")
Reduced(1) | Reduced(1, 2) | Reduced((1, 2)) | Stateful(1) | Stateful((1,))
Integer(5) | 5 | Real(5) | Text("5") | Integer(6) | with_attributes(Integer(5), a=1)
Items([1]) | [1] | with_attributes(Items([1]), a=1) | with_attributes(Items([1]), a=2) | Items([2])
Data(b"a") | b"a" | Data(b"b")
functools.partial(int) | functools.partial(float) | functools.partial(int, 1) | functools.partial(int, x=1)
    | functools.partial(int, (1,)) | int
functools.partial(int, "1", base=2) | functools.partial(int, "1", base=3) | functools.partial(int, "2", base=2)
    | with_attributes(functools.partial(int, "1", base=2), note=1)
[].append | [1].append | [].extend | list.append | (1,).count | [].count
len | sum | int | float | str.upper | str.lower | bytes.upper | "len"
list[int] | list[str] | tuple[int] | typing.List[int] | list | dict[int, int]
int | str | typing.Union[int, str] | typing.Union[str, int] | typing.Optional[int] | typing.Any
typing.Literal[1] | typing.Literal[True] | typing.Literal["1"] | typing.Annotated[int, 1] | typing.Annotated[int, 2]
    | int
staticmethod(len) | classmethod(len) | property(len) | len | functools.partial(len)
cell_of(1) | cell_of(2) | cell_of(True) | 1
operator.itemgetter(1) | operator.itemgetter("1") | operator.itemgetter(1, 2) | operator.attrgetter("a")
    | operator.attrgetter("b")
random.Random(1) | random.Random(2) | random.Random(1).getstate()
string.Template("a") | string.Template("b") | "a"
[None] | [False] | [0] | [...] | [NotImplemented] | [[]]
""")

NUMPY = groups(r"""
np.float64(1) | 1.0 | np.float32(1) | np.float16(1) | np.longdouble(1) | np.int64(1) | 1 | np.bool_(True)
    | np.array(1.0) | np.array([1.0]) | np.complex128(1)
np.int8(1) | np.uint8(1) | np.int16(1) | np.int64(1) | np.timedelta64(1) | np.timedelta64(1, "s")
np.str_("a") | "a" | np.bytes_(b"a") | b"a" | np.array("a") | np.void(b"a")
np.float64(0.0) | np.float64(-0.0) | np.float64("nan")
np.datetime64("2020-01-01") | np.datetime64("2020-01-01", "s") | np.datetime64("2020-01-01", "ns")
    | np.datetime64("2020") | datetime.date(2020, 1, 1)
np.zeros(3) | np.zeros(3, "f4") | np.zeros(3, "i8") | np.zeros(3, "u8") | np.zeros(3, ">f8") | np.zeros(3, "M8[s]")
    | np.zeros(3, "M8[ms]") | np.zeros(3, "m8[s]") | np.zeros(3, "S8") | np.zeros(3, "V8") | np.zeros(3, "U2")
    | np.zeros(3, "O") | np.zeros(3, [("a", "f8")]) | np.zeros(3, [("b", "f8")]) | [0.0] * 3 | np.zeros(3).tobytes()
np.zeros((2, 3)) | np.zeros((3, 2)) | np.zeros(6) | np.zeros((2, 3, 1)) | np.zeros((1, 2, 3))
    | np.zeros((2, 3), order="F")
np.zeros((0, 3)) | np.zeros((3, 0)) | np.zeros(0) | np.zeros(0, "f4") | np.zeros((0, 0))
np.arange(6).reshape(2, 3) | np.arange(6).reshape(2, 3, order="F") | np.asfortranarray(np.arange(6).reshape(2, 3))
    | np.arange(6).reshape(3, 2)
np.array([0.0]) | np.array([-0.0]) | np.array([np.nan]) | np.array([-np.nan]) | np.array([1e-320])
np.array([b"a"]) | np.array([b"a"], "S2") | np.array(["a"]) | np.array(["a"], "U2") | np.array(["a"], object)
    | np.array(["a"], np.dtypes.StringDType())
np.array([1, 2], object) | np.array([1, 2.0], object) | np.array([True, 2], object) | np.array([[1, 2]], object)
    | np.array([1, 2]) | [1, 2]
np.array([1]) | np.array([1]).view(np.matrix) | np.ma.array([1]) | np.array([1]).view(np.recarray)
    | np.ma.array([1], mask=[1]) | np.ma.array([1], fill_value=7) | np.ma.array([1], hard_mask=True)
np.zeros(1, "i4,i4") | np.zeros(1, "i4,f4") | np.zeros(1, [("f0", "i4", (2,))])
    | np.zeros(1, {"names": ["f0", "f1"], "formats": ["i4", "i4"], "offsets": [4, 0]})
    | np.zeros(1, [(("t", "f0"), "i4"), ("f1", "i4")])
np.dtype("i1,f8") | np.dtype("i1,f8", align=True)
    | np.dtype({"names": ["f0", "f1"], "formats": ["i1", "f8"], "itemsize": 32}) | np.dtype((np.record, "i1,f8"))
np.dtype("f8") | np.dtype(">f8") | np.dtype("f4") | np.float64 | "f8" | np.dtype(("f8", (1,)))
np.dtypes.StringDType() | np.dtypes.StringDType(na_object=None) | np.dtypes.StringDType(na_object=np.nan)
    | np.dtypes.StringDType(coerce=False) | np.dtype("U") | np.dtype("O")
np.random.default_rng(1) | np.random.default_rng(2) | np.random.RandomState(1) | np.random.PCG64(1)
    | np.random.Generator(np.random.MT19937(1)) | np.random.SeedSequence(1)
np.add | np.subtract | np.sum | np.float64 | np.float32
np.poly1d([1, 2]) | np.poly1d([2, 1]) | np.array([1, 2])
""")

PANDAS = groups(r"""
pd.Series([1, 2]) | pd.Series([1.0, 2.0]) | pd.Series([1, 2], dtype="i4") | pd.Series([1, 2], dtype="Int64")
    | pd.Series([1, 2], dtype=object) | pd.Series([1, 2], name="a") | pd.Series([1, 2], index=[1, 2])
    | pd.Series([1, 2], index=[0, 1]) | pd.Index([1, 2]) | np.array([1, 2]) | pd.DataFrame([1, 2])
    | with_attributes(pd.Series([1, 2]), attrs={"a": 1}) | pd.Series([1, 2]).set_flags(allows_duplicate_labels=False)
pd.RangeIndex(3) | pd.Index([0, 1, 2]) | pd.RangeIndex(3, name="a") | pd.RangeIndex(0, 3, 2) | pd.Index([0.0, 1, 2])
    | range(3)
pd.Series(["a"]) | pd.Series(["a"], dtype=object) | pd.Series(["a"], dtype="string")
    | pd.Series(["a"], dtype="string[python]") | pd.Series(["a"], dtype="category")
    | pd.Series(["a"], dtype=pd.ArrowDtype(pa.string()))
pd.Series([None, "a"], dtype=object) | pd.Series([np.nan, "a"], dtype=object) | pd.Series([pd.NA, "a"], dtype=object)
    | pd.Series([pd.NaT, "a"], dtype=object)
pd.Categorical(["a", "b"]) | pd.Categorical(["a", "b"], ["b", "a"]) | pd.Categorical(["a", "b"], ["a", "b", "c"])
    | pd.Categorical(["a", "b"], ordered=True) | pd.Categorical(["b", "a"])
pd.array([1, None]) | pd.array([1, 0]) | pd.array([1, None], dtype="Int32") | pd.array([1.0, None])
    | pd.array([True, None]) | pd.array([None, 1])
pd.DataFrame({"a": [1], "b": [2]}) | pd.DataFrame({"b": [2], "a": [1]}) | pd.DataFrame({"a": [1], "b": [3]})
    | pd.DataFrame({"a": [1]}) | pd.DataFrame({"a": [1], "b": [2.0]}) | pd.DataFrame({"a": [1], "b": [2]}, index=[1])
    | pd.DataFrame({"a": [1], "b": [2]}).rename_axis("x")
    | pd.DataFrame({"a": [1], "b": [2]}).rename_axis(columns="x")
pd.DataFrame({"a": [1, 2]}) | pd.DataFrame({"a": [2, 1]}) | pd.DataFrame({"a": [1, 2]})[::-1]
    | pd.DataFrame({"a": [1, 2]}).T
pd.DataFrame() | pd.DataFrame(index=[1]) | pd.DataFrame(columns=["a"]) | pd.Series(dtype=float)
pd.Timestamp("2020") | pd.Timestamp("2020", tz="UTC") | pd.Timestamp("2020").as_unit("ns")
    | datetime.datetime(2020, 1, 1) | np.datetime64("2020-01-01", "us") | pd.Timestamp("2021") | pd.Period("2020")
    | pd.NaT | pd.NA | None
pd.Timedelta(1, "s") | pd.Timedelta(1, "s").as_unit("ns") | datetime.timedelta(seconds=1) | pd.Timedelta(2, "s")
pd.Interval(0, 1) | pd.Interval(0, 1, "left") | pd.Interval(0.0, 1.0) | pd.Interval(0, 2)
pd.date_range("2020", periods=2) | pd.DatetimeIndex(["2020-01-01", "2020-01-02"])
    | pd.date_range("2020", periods=2, tz="UTC") | pd.date_range("2020", periods=2, unit="ns")
    | pd.Index(["2020-01-01", "2020-01-02"])
pd.MultiIndex.from_tuples([(1, 2)]) | pd.MultiIndex.from_tuples([(1, 2)], names=["a", "b"])
    | pd.Index([(1, 2)], tupleize_cols=False) | pd.MultiIndex.from_tuples([(2, 1)])
pd.arrays.SparseArray([0, 1]) | pd.arrays.SparseArray([0, 1], fill_value=1) | pd.array([0, 1])
    | pd.arrays.SparseArray([1, 0])
pd.offsets.Day(1) | pd.offsets.Day(2) | pd.offsets.BDay(1) | pd.offsets.BDay(1, normalize=True) | pd.Timedelta(1, "D")
pd.CategoricalDtype() | pd.CategoricalDtype([]) | pd.CategoricalDtype(ordered=True) | pd.StringDtype()
    | pd.StringDtype("python") | pd.Int64Dtype() | pd.Int32Dtype() | np.dtype("i8")
""")

ARROW = groups(r"""
pa.array([1]) | pa.array([1], pa.int8()) | pa.array([1], pa.uint64()) | pa.array([1.0]) | pa.array([True])
    | pa.chunked_array([[1]]) | pa.scalar(1) | pa.array([1, None]) | pa.array([[1]]) | pa.array(["1"])
    | pa.array([1]).dictionary_encode()
pa.array(["a", None]) | pa.array(["a", ""]) | pa.array([None, "a"]) | pa.array(["a", None], pa.large_string())
    | pa.array([b"a", None]) | pa.array(["a", None], pa.string_view())
pa.array(["ab", "c"]) | pa.array(["a", "bc"]) | pa.array(["abc"]) | pa.array(["ab", "c", ""])
pa.array([[1, 2], [3]]) | pa.array([[1], [2, 3]]) | pa.array([[1, 2, 3]]) | pa.array([[1, 2], [3], []])
    | pa.array([[1, 2], [3], None]) | pa.array([[1, 2], [3, None]])
pa.array([{"a": 1}]) | pa.array([{"b": 1}]) | pa.array([{"a": None}])
    | pa.array([None], pa.struct([("a", pa.int64())])) | pa.array([1])
pa.array([], pa.int8()) | pa.array([], pa.int16()) | pa.array([], pa.string()) | pa.array([]) | pa.array([None])
pa.table({"a": [1], "b": [2]}) | pa.table({"b": [2], "a": [1]}) | pa.table({"a": [1]})
    | pa.record_batch({"a": [1], "b": [2]}) | pa.table({"a": [1], "b": [2]}).replace_schema_metadata({"k": "v"})
pa.field("a", pa.int8()) | pa.field("a", pa.int8(), False) | pa.field("b", pa.int8())
    | pa.field("a", pa.int8(), metadata={"k": "v"}) | pa.schema([("a", pa.int8())])
pa.list_(pa.int8()) | pa.list_(pa.int8(), 1) | pa.large_list(pa.int8()) | pa.list_view(pa.int8())
    | pa.list_(pa.field("x", pa.int8())) | pa.list_(pa.field("item", pa.int8(), False)) | pa.int8()
pa.timestamp("s") | pa.timestamp("ms") | pa.timestamp("s", "UTC") | pa.duration("s") | pa.date32() | pa.date64()
""")

OTHERS = {
    "scipy": groups(r"""
sparse.csr_array([[1, 0]]) | sparse.csr_matrix([[1, 0]]) | sparse.csc_array([[1, 0]]) | sparse.coo_array([[1, 0]])
    | sparse.csr_array([[1.0, 0]]) | sparse.csr_array([[1]]) | sparse.csr_array([[0, 1]]) | sparse.lil_array([[1, 0]])
    | sparse.dok_array([[1, 0]]) | np.array([[1, 0]])
"""),
    "polars": groups(r"""
pl.Series("a", [1]) | pl.Series("b", [1]) | pl.Series("a", [1.0]) | pl.Series("a", [1], dtype=pl.Int8)
    | pl.DataFrame({"a": [1]}) | pl.Series("a", [None]) | pl.Series("a", ["1"])
"""),
}
GROUPS = {"own": STANDARD, "numpy": NUMPY, "pandas": PANDAS, "pyarrow": ARROW, **OTHERS}


@pytest.mark.parametrize(("name", "group"), [(name, group) for name, found in GROUPS.items() for group in found])
def test_these_differ(name, group):
    scope = corpus.scope(name)
    if scope is None:
        pytest.skip(f"{name} is not installed")
    digests = {}
    for expression in group:
        digest = retain.hash(eval(expression, scope))  # noqa: S307
        assert digest not in digests, f"{expression} is taken for {digests[digest]}"
        digests[digest] = expression


def test_there_are_at_least_200_pairs():
    assert sum(len(list(itertools.combinations(group, 2))) for group in STANDARD) >= 200


# Expressions for one value.
SAME = [
    {"shared()", "unshared()"},
    {"Plain(a=1, b=[2])", "Plain(b=[2], a=1)"},
    {
        'pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc"))',
        'pd.DataFrame(np.asfortranarray(np.arange(12.0).reshape(4, 3)), columns=list("abc"))',
    },
]


def test_all_values_of_the_corpus_differ():
    names = {expression: number for number, group in enumerate(SAME) for expression in group}
    found = {}
    for _, expression, value, _ in corpus.values():
        found.setdefault(retain.hash(value), set()).add(names.get(expression, expression))
    assert [group for group in found.values() if len(group) > 1] == []


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.binary(max_size=5)
    | st.complex_numbers()
    | st.dates()
    | st.decimals(allow_nan=False)
)
HASHABLE = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=5
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
    ),
    max_leaves=12,
)


def canonical(value):
    """Write a value so that those and only those that are the same are written alike."""
    kind = type(value).__name__
    if isinstance(value, (tuple, list)):
        return f"{kind}[{','.join(map(canonical, value))}]"
    if isinstance(value, (set, frozenset)):
        return f"{kind}[{','.join(sorted(map(canonical, value)))}]"
    if isinstance(value, dict):
        return f"dict[{','.join(sorted(canonical(key) + ':' + canonical(item) for key, item in value.items()))}]"
    if isinstance(value, float):
        return f"float {corpus.struct.pack('<d', value).hex()}"
    if isinstance(value, complex):
        return f"complex {corpus.struct.pack('<dd', value.real, value.imag).hex()}"
    return f"{kind} {value!r}"


def rebuilt(value):
    """Build the same value of new parts, in another order where order does not count."""
    if isinstance(value, (tuple, list)):
        return type(value)([rebuilt(part) for part in value])
    if isinstance(value, (set, frozenset)):
        return type(value)(reversed([rebuilt(part) for part in value]))
    if isinstance(value, dict):
        return {rebuilt(key): rebuilt(item) for key, item in reversed(value.items())}
    return corpus.fresh(value) if isinstance(value, str) else value


@settings(deadline=None)
@given(VALUES)
def test_the_same_structure_built_anew_has_the_same_digest(value):
    assert retain.hash(rebuilt(value)) == retain.hash(value)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_digests_are_equal_exactly_where_values_are_the_same(one, other):
    assert (retain.hash(one) == retain.hash(other)) == (canonical(one) == canonical(other))


@settings(deadline=None)
@given(st.lists(VALUES, min_size=2, max_size=6))
def test_in_a_container_too(values):
    written = {canonical(value) for value in values}
    assert len({retain.hash([value]) for value in values}) == len(written)
    assert len({retain.hash({"key": (value,)}) for value in values}) == len(written)


@settings(deadline=None)
@given(VALUES)
def test_the_compiled_digest_is_that_of_the_written_encoding(value):
    pytest.importorskip("blake3")
    from reference_encoding import digest

    assert retain.hash(value) == digest(value)
