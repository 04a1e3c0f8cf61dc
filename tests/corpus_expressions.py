"""
The expressions of the corpus, one a line.

An expression that starts with "!" makes what pickle does not take.
"""

from __future__ import annotations

STANDARD = """
None
True
False
...
NotImplemented
0
1
-1
127
128
-128
-129
255
256
2 ** 31
2 ** 63 - 1
2 ** 63
-(2 ** 63)
-(2 ** 63) - 1
2 ** 64
10 ** 30
-(10 ** 30)
1 << 20_000
0.0
-0.0
1.0
1.5
-1e308
5e-324
float("inf")
float("-inf")
float("nan")
struct.unpack("<d", b"\\x01\\0\\0\\0\\0\\0\\xf8\\x7f")[0]
0j
1 + 2j
complex(-0.0, 0.0)
complex(0.0, float("nan"))
""
"a"
"retain"
fresh("retain_me")
fresh("interned or not")
"é"
"ÿ" * 300
"\\u20ac" * 100
"\\U0001f600"
"\\ud800"
"a\\udfffb"
"\\0"
"x" * 254
"x" * 255
"x" * 300
"x" * 100_000
"é" * 70_000
b""
b"a"
b"x" * 254
b"x" * 300
b"x" * 100_000
bytes(range(256))
bytearray()
bytearray(b"a")
bytearray(b"x" * 1000)
!memoryview(b"abc")
!memoryview(b"abcdef")[::2]
!memoryview(array.array("i", [1, 2, 3]))
!memoryview(b"abcdef").cast("B", (2, 3))
()
(1,)
(1, 2)
((), ((),))
tuple(range(1000))
[]
[1, "a", 2.0, None]
[[]]
[[], []]
list(range(1000))
nested(100)
shared()
unshared()
{}
{"a": 1}
{1: "a", "1": 1, 1.5: None, (1, 2): [3]}
shuffled({"a": 1, "b": 2, "c": [3]})
shuffled({n: str(n) for n in range(500)})
shuffled({"a": {"b": shuffled({"c": 1, "d": 2})}, "e": set()})
{"key " * 100: "value " * 100}
set()
{1}
shuffled({"a", "b", "c", "d"})
shuffled(set(range(500)))
shuffled({(1, 2), "a", 3.5, None, frozenset({1})})
{"x" * 300, "y" * 300}
frozenset()
shuffled(frozenset({"a", "b", "c"}))
frozenset({frozenset(), frozenset({frozenset()})})
[1, True, 1.0, "1", b"1"]
range(0)
range(10)
range(1, 10, 3)
range(10 ** 30)
slice(None)
slice(1, 2)
slice("a", None, [1])
array.array("b")
array.array("i", [1, 2, 3])
array.array("d", [1.0, float("nan")])
array.array("Q", range(1000))
collections.OrderedDict()
collections.OrderedDict(a=1, b=[2])
collections.OrderedDict([("b", 2), ("a", 1)])
collections.OrderedDict((n, n) for n in range(100))
collections.defaultdict(list)
collections.defaultdict(int, a=1, b=2)
collections.defaultdict(None, {"a": 1})
collections.Counter()
collections.Counter("retain")
collections.deque()
collections.deque([1, 2, 3])
collections.deque([1, 2], maxlen=2)
collections.deque([[1]] * 3, maxlen=10)
collections.ChainMap({"a": 1}, {"b": 2})
collections.ChainMap()
collections.UserDict(a=1)
collections.UserList([1, 2])
collections.UserString("text")
!types.MappingProxyType({"a": 1})
!types.MappingProxyType(collections.OrderedDict(a=1))
types.SimpleNamespace()
types.SimpleNamespace(a=1, b=[2])
!shuffled({"a": 1, "b": 2}).keys()
!shuffled({"a": 1, "b": 2}).values()
!shuffled({"a": 1, "b": 2}).items()
datetime.date(2020, 2, 29)
datetime.date.min
datetime.time(1, 2, 3, 4)
datetime.time(1, 2, fold=1)
datetime.time(1, tzinfo=datetime.timezone.utc)
datetime.datetime(2020, 1, 2)
datetime.datetime(2020, 1, 2, 3, 4, 5, 6)
datetime.datetime(2020, 1, 2, fold=1)
datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)
datetime.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
datetime.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
datetime.timedelta(0)
datetime.timedelta(1, 2, 3)
datetime.timedelta(microseconds=-1)
datetime.timezone.utc
datetime.timezone(datetime.timedelta(hours=2))
datetime.timezone(datetime.timedelta(hours=2), "CEST")
zoneinfo.ZoneInfo("UTC")
zoneinfo.ZoneInfo("America/New_York")
decimal.Decimal("0")
decimal.Decimal("-0")
decimal.Decimal("1")
decimal.Decimal("1.0")
decimal.Decimal("1E+10")
decimal.Decimal("123456789.123456789")
decimal.Decimal("Infinity")
decimal.Decimal("-Infinity")
decimal.Decimal("NaN")
decimal.Decimal("sNaN")
decimal.Decimal("-NaN123")
decimal.Context(prec=10)
fractions.Fraction(1, 3)
fractions.Fraction(0)
fractions.Fraction(-10 ** 20, 7)
uuid.UUID(int=0)
uuid.UUID("12345678-1234-5678-1234-567812345678")
uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe)
uuid.SafeUUID.unsafe
pathlib.PurePosixPath("/a/b")
pathlib.PurePosixPath("a/../b")
pathlib.PureWindowsPath("C:/a/b")
pathlib.Path("a")
pathlib.Path("/tmp") / "x" / "y.txt"
re.compile("a+")
re.compile("a+", re.IGNORECASE | re.MULTILINE)
re.compile(b"a+")
!re.match("(a)(b)?", "ac")
re.IGNORECASE
re.IGNORECASE | re.MULTILINE
ipaddress.ip_address("127.0.0.1")
ipaddress.ip_address("::1")
ipaddress.ip_network("10.0.0.0/8")
ipaddress.ip_interface("10.0.0.1/8")
string.Template("$a and $b")
io.BytesIO()
io.BytesIO(b"content")
advanced(io.BytesIO(b"content"), 3)
io.StringIO("content")
advanced(io.StringIO("content"), 3)
!mapped(b"content")
ValueError()
ValueError("message", 1)
KeyError("a")
FileNotFoundError(2, "No such file", "name")
ImportError("no module", name="x", path="y")
UnicodeDecodeError("utf-8", b"\\xff", 0, 1, "invalid")
StopIteration(1)
ExceptionGroup("several", [ValueError(1), TypeError(2)])
with_attributes(ValueError("noted"), code=3)
random.Random(1)
operator.itemgetter(1)
operator.itemgetter(1, "a")
operator.attrgetter("a.b")
operator.methodcaller("upper", 1, key=2)
functools.partial(int, "10", base=2)
functools.partial(functools.partial(int), base=2)
functools.partial(sorted, key=len)
!cell_of(1)
!cell_of([1])
[].append
[1, 2].index
"a".upper
{"a": 1}.get
len
int
ValueError
collections.OrderedDict
str.upper
dict.fromkeys
list[int]
dict[str, list[int]]
tuple[int, ...]
int | None
typing.Optional[int]
typing.Union[int, str]
typing.List[int]
typing.List
typing.Callable[[int], str]
typing.Literal["a", 1]
typing.Annotated[int, "metres"]
typing.Any
typing.ClassVar
typing.ClassVar[int]
!staticmethod(len)
!classmethod(len)
!property(len)
with_attributes(functools.partial(len), note=1)
""".strip().splitlines()

OWN = """
Colour.RED
Colour.BLUE
Level.LOW
Permission.READ
Permission.READ | Permission.WRITE
Permission(0)
Mode.FAST
Point(1)
Point(1, 2)
Pair(1, 2)
Row("a")
Row("a", [1, 2])
Frozen("a", 1.5)
Plain()
Plain(a=1, b=[2])
Plain(b=[2], a=1)
Slotted(1)
with_attributes(SlottedToo(1), y=2, z=3)
Keyed("a")
Reduced(1, 2)
Stateful([1])
Integer(5)
Text("text")
Real(1.5)
Data(b"data")
Items([1, 2])
with_attributes(Items([1]), name="a")
Mapping(a=1)
Members({1, 2})
Members(shuffled({"a", "b", "c"}))
Deque([1, 2], maxlen=3)
Failure("message", 3)
Plain(inner=Plain(inner=Plain()), path=pathlib.Path("a"))
[Plain(n=n) for n in range(100)]
functools.partial(Plain, a=1)
Plain(a=1).__init__
Colour
Plain
""".strip().splitlines()

NUMPY = """
np.dtype("f8")
np.dtype(">f8")
np.dtype("?")
np.dtype("S5")
np.dtype("U5")
np.dtype("V5")
np.dtype("O")
np.dtype("M8[s]")
np.dtype("M8[25s]")
np.dtype("m8[D]")
np.dtype("M8")
np.dtype("g")
np.dtype([("a", "i4"), ("b", "f8")])
np.dtype([("a", "i1"), ("b", "f8")], align=True)
np.dtype([(("title", "a"), "i4")])
np.dtype({"names": ["a", "b"], "formats": ["i4", "f8"], "offsets": [8, 0], "itemsize": 24})
np.dtype([("a", "i4", (2, 3)), ("b", [("c", "U3")])])
np.dtype(("i4", (2,)))
np.dtype("i4", metadata={"a": 1})
np.dtypes.StringDType()
np.dtypes.StringDType(na_object=None)
np.dtypes.StringDType(coerce=False)
np.float64(1)
np.float32(1)
np.float16(1)
np.longdouble(1)
np.clongdouble(1 + 2j)
np.complex64(1)
np.int64(1)
np.int8(1)
np.uint64(2 ** 64 - 1)
np.bool_(True)
np.str_("text")
np.bytes_(b"text")
np.datetime64("2020-01-01")
np.datetime64("2020-01-01T00", "ns")
np.datetime64("NaT")
np.timedelta64(5, "s")
np.array([(1, 2.0)], dtype="i4,f8")[0]
np.void(b"abc")
np.array(1)
np.array(1.0)
np.array([])
np.array([], dtype="i4")
np.empty((0, 3))
np.empty((3, 0), order="F")
np.arange(10)
np.arange(10, dtype="i1")
np.arange(10, dtype=">i4")
np.arange(10.0, dtype="f2")
np.arange(12.0).reshape(3, 4)
np.asfortranarray(np.arange(12.0).reshape(3, 4))
np.arange(12.0).reshape(3, 4).T
np.arange(24).reshape(2, 3, 4)[:, ::2]
np.arange(24).reshape(2, 3, 4)[::-1, ::-2, 1:]
np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2)
np.arange(10)[::-1]
np.broadcast_to(np.arange(3), (4, 3))
np.arange(200_000.0)
np.arange(200_000.0)[::2]
np.arange(300_000).reshape(300, 1000)[:, ::3]
np.array([True, False])
np.array([1 + 2j])
np.array([0.0, -0.0, np.nan, np.inf])
np.array([1, 2], dtype="g")
np.array([[1, 2], [3, 4]], dtype="G")[:, ::-1]
np.array(["a", "bcd"])
np.array(["a", "é"], dtype=">U3")
np.array([b"a", b"bcd"])
np.array([b"a\\0b"], dtype="V3")
np.array(["2020-01-01", "NaT"], dtype="M8[D]")
np.array([1, 2], dtype="m8[ns]")
np.array([1, "a", None, [1]], dtype=object)
np.array([[1, "a"], [None, 2.5]], dtype=object).T
np.array([], dtype=object)
np.array(None, dtype=object)
np.array(["a", "long " * 10], dtype=np.dtypes.StringDType())
np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None))
np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i4"), ("b", "f8")])
np.array([(1, 2.0), (3, 4.0)], dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True))
np.array([(1, [1]), (2, "a")], dtype=[("a", "i4"), ("b", object)])
np.array([((1, 2), "a")], dtype=[("a", "i4", (2,)), ("b", "U2")])
np.zeros(3, dtype={"names": ["a", "b"], "formats": ["i4", "f8"], "offsets": [8, 0], "itemsize": 24})
np.zeros((2, 2), dtype=[])
np.array([[1, 2]]).view(np.matrix)
np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])[0]
np.char.array(["a", "b"])
np.ma.array([1, 2, 3])
np.ma.array([1, 2, 3], mask=[0, 1, 0])
np.ma.array([1.0, 2.0], mask=[0, 1], fill_value=7)
np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]], order="F")
np.ma.array([(1, 2.0)], dtype="i4,f8", mask=[(1, 0)])
np.ma.array(["a", "b"], mask=[1, 0])
np.ma.masked
np.random.default_rng(1)
np.random.default_rng(np.random.Philox(1))
np.random.RandomState(1)
np.random.PCG64(1)
np.random.MT19937(1)
np.random.SFC64(1)
np.random.SeedSequence(1)
np.random.SeedSequence(1, spawn_key=(2,))
np.add
np.sqrt
np.float64
np.linspace
np.poly1d([1, 2])
np.polynomial.Polynomial([1, 2])
[np.int64(n) for n in range(100)]
{"a": np.arange(3), "b": [np.float32(1.5)]}
""".strip().splitlines()

PANDAS = """
pd.NA
pd.NaT
pd.Timestamp("2020-01-01")
pd.Timestamp("2020-01-01", tz="Europe/Berlin")
pd.Timestamp("2020-01-01").as_unit("ns")
pd.Timedelta("1 day")
pd.Timedelta(5, "ns")
pd.Period("2020", "M")
pd.Interval(0, 1)
pd.Interval(0.5, 1, closed="both")
pd.offsets.Day(2)
pd.offsets.BDay()
pd.offsets.MonthEnd()
pd.offsets.CustomBusinessDay(holidays=["2020-01-01"])
pd.DateOffset(months=1)
pd.CategoricalDtype()
pd.CategoricalDtype(["a", "b"], ordered=True)
pd.StringDtype()
pd.StringDtype("python")
pd.StringDtype("pyarrow", na_value=np.nan)
pd.Int64Dtype()
pd.BooleanDtype()
pd.PeriodDtype("M")
pd.DatetimeTZDtype("ns", "UTC")
pd.IntervalDtype("int64")
pd.SparseDtype("float")
pd.ArrowDtype(pa.int64())
pd.Index([1, 2, 3])
pd.Index([1, 2, 3], name="a")
pd.Index([1.0, 2.0])
pd.Index(["a", "b"])
pd.Index(["a", "b"], dtype=object)
pd.Index([1, "a", None])
pd.Index([])
pd.RangeIndex(3)
pd.RangeIndex(0, 10, 2, name="r")
pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None])
pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])[:1]
pd.date_range("2020", periods=3)
pd.date_range("2020", periods=3, tz="Europe/Berlin")
pd.DatetimeIndex(["2020-01-01", "2020-01-05"])
pd.timedelta_range("1D", periods=3)
pd.period_range("2020", periods=3, freq="M")
pd.interval_range(0, 3)
pd.CategoricalIndex(["a", "b", "a"])
pd.Categorical(["a", "b", None])
pd.Categorical(["a", "b"], categories=["b", "a", "c"], ordered=True)
pd.array([1, None, 3])
pd.array([1, 2, 3])
pd.array([1.5, None])
pd.array([True, None])
pd.array(["a", None])
pd.array(["a", None], dtype="string[python]")
pd.array(["a", None], dtype=pd.ArrowDtype(pa.string()))
pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))
pd.array(["2020"], dtype="M8[s]")
pd.arrays.SparseArray([0, 0, 1])
pd.arrays.IntervalArray.from_breaks([0, 1, 2])
pd.arrays.NumpyExtensionArray(np.array([1, 2]))
pd.Series([1, 2, 3])
pd.Series([1.5, np.nan], index=["a", "b"], name="s")
pd.Series(["a", None, "c"])
pd.Series(["a", None, "c"], dtype=object)
pd.Series(["a", None, "c"], dtype=pd.StringDtype("python", na_value=np.nan))
pd.Series([], dtype=float)
pd.Series(pd.date_range("2020", periods=3))
pd.Series(pd.date_range("2020", periods=3, tz="UTC"))
pd.Series([{"a": 1}, [2]])
with_attributes(pd.Series([1]), attrs={"unit": "m"})
pd.Series([1, 2]).set_flags(allows_duplicate_labels=False)
pd.Series([str(n) if n % 7 else None for n in range(70_000)])
pd.Series(range(70_000), dtype="Int64").mask(pd.Series(range(70_000)) % 7 == 0)
pd.DataFrame()
pd.DataFrame(index=[1, 2])
pd.DataFrame({"a": [1, 2]})
pd.DataFrame({"a": [1, 2], "b": [1.5, 2.5], "c": ["x", None]})
pd.DataFrame({"a": [1, 2], "b": [3, 4], "c": [5, 6]})
pd.DataFrame([[1, 2], [3, 4]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))
pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc"))
pd.DataFrame(np.asfortranarray(np.arange(12.0).reshape(4, 3)), columns=list("abc"))
pd.DataFrame({"d": pd.date_range("2020", periods=2), "e": pd.Categorical(["a", "b"]), "f": pd.array([1, None])})
pd.DataFrame({"p": pd.period_range("2020", periods=2, freq="M"), "i": pd.interval_range(0, 2)})
pd.DataFrame({"s": pd.arrays.SparseArray([0, 1])})
pd.DataFrame({"o": [[1], {"a": 2}]})
""".strip().splitlines()

ARROW = """
pa.int8()
pa.timestamp("ns", "UTC")
pa.decimal128(5, 2)
pa.list_(pa.int8())
pa.list_(pa.field("x", pa.int8(), nullable=False))
pa.list_(pa.int8(), 2)
pa.map_(pa.string(), pa.int8())
pa.struct([("a", pa.int8()), ("b", pa.string())])
pa.dictionary(pa.int8(), pa.string())
pa.sparse_union([pa.field("a", pa.int8())])
pa.run_end_encoded(pa.int32(), pa.int8())
pa.uuid()
pa.fixed_shape_tensor(pa.int8(), [2])
pa.field("a", pa.int8())
pa.field("a", pa.int8(), nullable=False, metadata={"k": "v"})
pa.schema([("a", pa.int8())])
pa.schema([("a", pa.int8())], metadata={"k": "v"})
pa.schema([])
pa.array([])
pa.array([], pa.string())
pa.array([None, None])
pa.array([1, 2, None])
pa.array([1, 2, None], pa.int8())
pa.array([1.5, None], pa.float32())
pa.array([1.5, None], pa.float16())
pa.array([True, None, False] * 5)
pa.array(["a", None, "", "long " * 10])
pa.array(["a", None, "", "long " * 10], pa.large_string())
pa.array(["a", None, "", "long " * 10], pa.string_view())
pa.array([b"a", None], pa.binary())
pa.array([b"abc", None], pa.binary(3))
pa.array([b"a", None, b"long " * 10], pa.binary_view())
pa.array([datetime.datetime(2020, 1, 1), None])
pa.array([datetime.date(2020, 1, 1), None])
pa.array([datetime.time(1, 2), None])
pa.array([datetime.timedelta(1), None])
pa.array([decimal.Decimal("1.25"), None])
pa.array([decimal.Decimal("1.25"), None], pa.decimal256(50, 10))
pa.array([None, (1, 2, 3)], pa.month_day_nano_interval())
pa.array([[1, 2], None, [], [None]])
pa.array([[1, 2], None, []], pa.large_list(pa.int8()))
pa.array([[1, 2], None], pa.list_(pa.int8(), 2))
pa.array([[1, 2], None, []], pa.list_view(pa.int8()))
pa.array([[["a"], None], None, []])
pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}])
pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int8()))
pa.array(["a", "b", None, "a"]).dictionary_encode()
pa.array([1, 1, 2, None]).dictionary_encode()
pa.UnionArray.from_sparse(pa.array([0, 1, 0], pa.int8()), [pa.array([1, 2, 3]), pa.array(["a", "b", "c"])])
pa.UnionArray.from_dense(pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["b"])])
pc.run_end_encode(pa.array([1, 1, 2, None]))
pa.array([b"0" * 16, None], pa.uuid())
pa.chunked_array([[1, 2], [3]])
pa.chunked_array([], pa.string())
pa.chunked_array([["a", None], [], ["b"]])
pa.chunked_array([[str(n) for n in range(start, start + 1000)] for start in range(0, 100_000, 1000)])
pa.table({"a": [1, 2], "b": ["x", None]})
pa.table({})
pa.table({"a": [1]}).replace_schema_metadata({"k": "v"})
pa.record_batch({"a": [1, 2]})
pa.scalar(1)
pa.scalar(None)
pa.scalar("a")
pa.scalar([1, None])
pa.scalar({"a": 1})
pa.scalar(decimal.Decimal("1.5"))
pa.py_buffer(b"abc")
""".strip().splitlines()

SCIPY = """
sparse.csr_array([[0, 1], [2, 0]])
sparse.csr_matrix([[0, 1], [2, 0]])
sparse.csc_array([[0, 1], [2, 0]])
sparse.coo_array([[0, 1], [2, 0]])
sparse.coo_array([0, 1, 2])
sparse.bsr_array(np.eye(4))
sparse.dia_array(np.eye(3))
sparse.lil_array([[0, 1], [2, 0]])
sparse.dok_array([[0, 1], [2, 0]])
sparse.csr_array((3, 4))
sparse.eye_array(3, format="csr", dtype="f4")
scipy.stats.norm(0, 1).args
scipy.special.expit
""".strip().splitlines()

POLARS = """
pl.DataFrame()
pl.DataFrame({"a": [1, 2], "b": ["x", None]})
pl.DataFrame({"a": [1.5, None], "d": [datetime.date(2020, 1, 1), None], "l": [[1], None]})
pl.Series("a", [1, 2, 3])
pl.Series("a", ["x", None, "long " * 10])
pl.Series("c", ["x", "y", "x"], dtype=pl.Categorical)
pl.Series("e", ["x", "y"], dtype=pl.Enum(["y", "x"]))
pl.Series("s", [{"a": 1, "b": "x"}, None])
pl.Series("t", [datetime.datetime(2020, 1, 1)], dtype=pl.Datetime("ms", "UTC"))
pl.Series("b", [True, None, False])
pl.Series("n", [None])
pl.Int64
pl.List(pl.Int8)
""".strip().splitlines()

SKLEARN = """
sklearn.linear_model.LogisticRegression(C=2.0)
sklearn.linear_model.LinearRegression().fit(X, y)
sklearn.linear_model.LogisticRegression().fit(X, y > 20)
sklearn.tree.DecisionTreeClassifier(random_state=0).fit(X, y > 20)
sklearn.ensemble.RandomForestRegressor(5, random_state=0).fit(X, y)
sklearn.ensemble.GradientBoostingRegressor(n_estimators=5, random_state=0).fit(X, y)
sklearn.ensemble.HistGradientBoostingRegressor(max_iter=5, random_state=0).fit(X, y)
sklearn.neighbors.KNeighborsRegressor(3, algorithm="kd_tree").fit(X, y)
sklearn.svm.SVC(random_state=0).fit(X, y > 20)
sklearn.cluster.KMeans(2, n_init=1, random_state=0).fit(X)
sklearn.pipeline.make_pipeline(sklearn.preprocessing.StandardScaler(), sklearn.linear_model.Ridge()).fit(X, y)
sklearn.feature_extraction.text.TfidfVectorizer().fit(["a text", "another text"])
sklearn.decomposition.PCA(2).fit(X)
""".strip().splitlines()

SECTIONS = {
    "standard": STANDARD,
    "own": OWN,
    "numpy": NUMPY,
    "pandas": PANDAS,
    "pyarrow": ARROW,
    "scipy": SCIPY,
    "polars": POLARS,
    "sklearn": SKLEARN,
}
