"""What `retain.hash` once took for equal, or could not hash, or kept alive."""

from __future__ import annotations

import collections
import copy
import decimal
import enum
import functools
import gc
import importlib
import io
import pathlib
import pickle
import sys
import types
import typing
import weakref

import corpus
import pytest
import retain
from corpus import Items, Plain, with_attributes
from retain import _parts


@pytest.fixture
def registered():
    """Register keys for the time of a test."""
    before = dict(_parts._registered)
    yield retain.register_key
    _parts._registered.clear()
    _parts._registered.update(before)
    _parts._retain.forget_handlers()


def library(name):
    """Import a library, or skip the test."""
    return pytest.importorskip(name)


def same(*values):
    return len({retain.hash(value) for value in values}) == 1


def different(*values):
    return len({retain.hash(value) for value in values}) == len(values)


class Path(pathlib.PurePosixPath):
    pass


MADE_WITH_ATTRIBUTES = {
    "OrderedDict": lambda: collections.OrderedDict(a=1),
    "ChainMap": lambda: collections.ChainMap({"a": 1}),
    "Counter": lambda: collections.Counter("ab"),
    "BytesIO": lambda: io.BytesIO(b"a"),
    "StringIO": lambda: io.StringIO("a"),
    "UserDict": lambda: collections.UserDict(a=1),
    "SimpleNamespace": lambda: types.SimpleNamespace(a=1),
    "a subclass of deque": lambda: corpus.Deque([1]),
    "partial": lambda: functools.partial(len),
    "staticmethod": lambda: staticmethod(len),
    "classmethod": lambda: classmethod(len),
    "cached_property": lambda: functools.cached_property(len),
    "an exception": lambda: ValueError(1),
    "a sparse array": lambda: library("scipy.sparse").csr_array([[0, 1]]),
    "a sparse array in a dict": lambda: library("scipy.sparse").dok_array([[0, 1]]),
    "a masked array": lambda: library("numpy").ma.array([1], mask=[0]),
    "a frame of polars": lambda: library("pyarrow") and library("polars").DataFrame({"a": [1]}),
    "a column of polars": lambda: library("pyarrow") and library("polars").Series("a", [1]),
}


@pytest.mark.parametrize("name", MADE_WITH_ATTRIBUTES)
def test_attributes_of_values_of_known_types_count(name):
    make = MADE_WITH_ATTRIBUTES[name]
    noted = with_attributes(make(), note=1)
    assert different(make(), noted, with_attributes(make(), note=2), with_attributes(make(), remark=1))
    assert same(noted, with_attributes(make(), note=1))
    del noted.note
    assert same(make(), noted)


def test_slots_of_the_same_name_count_all():
    class Base(list):
        __slots__ = ("x",)

    class Child(Base):
        __slots__ = ("__dict__", "x")

    def child(hidden=None, x=None, attribute=None):
        made = Child()
        if hidden is not None:
            Base.x.__set__(made, hidden)
        if x is not None:
            made.x = x
        if attribute is not None:
            made.__dict__["x"] = attribute
        return made

    assert different(child(1, 1, 1), child(2, 1, 1), child(1, 2, 1), child(1, 1, 2))
    assert different(child(), child(hidden=1), child(x=1), child(attribute=1))
    assert same(child(1, 2, 3), child(1, 2, 3))


def test_attributes_of_a_memory_map_count(tmp_path):
    np = library("numpy")
    path = tmp_path / "map"
    np.arange(3.0).tofile(path)
    one, other = np.memmap(path, mode="r"), np.memmap(path, mode="r")
    assert same(one, other)
    other.unit = "m"
    assert different(one, other)


def test_what_python_keeps_in_a_path_of_a_subclass_does_not_count():
    used, unused = Path("/a/b.txt"), Path("/a/b.txt")
    assert hash(used) == hash(unused)
    assert (used.parts, used.suffix, used < Path("z")) == (("/", "a", "b.txt"), ".txt", True)
    assert same(used, Path("/a/b.txt"))
    assert different(used, Path("/a/b.tx"), pathlib.PurePosixPath("/a/b.txt"))


def test_subclasses_of_numpys_generators_differ_from_them():
    np = library("numpy")

    class State(np.random.RandomState):
        pass

    class Sequence(np.random.SeedSequence):
        pass

    class Generator(np.random.Generator):
        pass

    assert different(np.random.RandomState(1), State(1))
    assert different(np.random.SeedSequence(1), Sequence(1))
    generators = [Generator(np.random.PCG64(1)) for _ in range(2)]
    assert same(*generators)
    generators[0].note = 1
    assert different(*generators)


def test_subclasses_of_polars_types_differ_from_them():
    pl = library("polars")
    library("pyarrow")

    class Frame(pl.DataFrame):
        pass

    class Column(pl.Series):
        pass

    class Query(pl.LazyFrame):
        pass

    assert different(pl.DataFrame({"a": [1]}), Frame({"a": [1]}), with_attributes(Frame({"a": [1]}), note=1))
    assert same(Frame({"a": [1]}), Frame({"a": [1]}))
    assert different(pl.Series("a", [1]), Column("a", [1]), Column("a", [2]))
    assert different(pl.Int64(), pl.Int32(), pl.Datetime("ms"), pl.Datetime("us"))
    with pytest.raises(TypeError, match="has not been run"):
        retain.hash(Query())


def test_methods_in_c_of_a_base_and_of_the_class_differ():
    ordered = collections.OrderedDict(a=1)
    assert different(dict.pop.__get__(ordered), ordered.pop)
    assert different(int.__repr__.__get__(True), bool.__repr__.__get__(True))
    assert different(dict.__dict__["fromkeys"].__get__(None, collections.OrderedDict), collections.OrderedDict.fromkeys)
    assert different(ordered.pop, collections.OrderedDict(a=2).pop)
    assert same(ordered.pop, collections.OrderedDict(a=1).pop)


def test_methods_in_c_of_a_subclass_are_what_they_are_after_pickling():
    items = Items([1])
    assert same(items.append, pickle.loads(pickle.dumps(items.append)), Items([1]).append)
    assert different(items.append, [1].append, Items([2]).append)


def test_methods_in_c_of_none_and_of_modules_have_digests():
    assert different(None.__repr__, sys.__repr__, pickle.__repr__, type(None).__repr__)


def test_a_method_in_c_runs_nothing_of_the_class():
    class Strange(list):
        @property
        def append(self):
            raise AssertionError

    assert different(list.append.__get__(Strange()), [].append)


# Pairs of exceptions that differ in what C keeps of them, though not in their arguments.
EXCEPTIONS = {
    "AttributeError.name": lambda: (AttributeError("x", name="a"), AttributeError("x", name="b"), AttributeError("x")),
    "NameError.name": lambda: (NameError("x", name="a"), NameError("x", name="b"), NameError("x")),
    "UnicodeDecodeError.start": lambda: [
        with_attributes(UnicodeDecodeError("utf-8", b"abc", 0, 1, "no"), start=start) for start in range(3)
    ],
    "UnicodeTranslateError.reason": lambda: [
        with_attributes(UnicodeTranslateError("abc", 0, 1, "no"), reason=reason) for reason in ("no", "other", "")
    ],
    "SystemExit.code": lambda: (SystemExit(1), with_attributes(SystemExit(1), code=2)),
    "StopIteration.value": lambda: (StopIteration(1), StopIteration(2), of_another_value(StopIteration(1), 2)),
    "SyntaxError.lineno": lambda: [
        with_attributes(SyntaxError("x", ("file", 1, 2, "text")), lineno=line) for line in (1, 2, None)
    ],
    "OSError.errno": lambda: (OSError(2, "x"), with_attributes(OSError(2, "x"), errno=3)),
    "OSError.filename": lambda: (OSError(2, "x"), OSError(2, "x", "a"), OSError(2, "x", "b")),
    "BlockingIOError.characters_written": lambda: (
        BlockingIOError(1, "x"),
        BlockingIOError(1, "x", 5),
        with_attributes(BlockingIOError(1, "x"), characters_written=5),
    ),
    "ImportError.msg": lambda: (ImportError("x"), with_attributes(ImportError("x"), msg="y")),
    "ExceptionGroup.exceptions": lambda: (
        group([1]),
        group([1, 2]),
        with_attributes(group([1, 2]), args=group([1]).args),
    ),
    "args": lambda: (SystemExit(1), with_attributes(SystemExit(1), args=()), with_attributes(SystemExit(), args=(1,))),
    "__notes__": lambda: (ValueError("x"), with_attributes(ValueError("x"), __notes__=["a"])),
}


def of_another_value(error, value):
    error.value = value
    return error


def group(values):
    return ExceptionGroup("several", [ValueError(value) for value in values])


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_the_state_of_exceptions_counts(name):
    made, again = EXCEPTIONS[name](), EXCEPTIONS[name]()
    assert different(*made)
    assert [retain.hash(error) for error in made] == [retain.hash(error) for error in again]


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(10**6),
        StopIteration([1]),
        SyntaxError("x", ("file", 1000, 2000, "text")),
        UnicodeDecodeError("utf-8", bytes(2000), 1000, 1001, "no"),
        ExceptionGroup("several", [ValueError(1), ExceptionGroup("more", [OSError(2, "x")])]),
        BlockingIOError(1, "x", 5000),
        ImportError("x", name="a", path="b"),
        OSError(2, "x", "a", None, "b"),
        OSError("x"),
        with_attributes(OSError(2, "x", "a"), note=1),
        with_attributes(ImportError("x", name="a"), note=1),
    ],
)
def test_exceptions_are_the_same_after_pickling_and_copying(error):
    assert same(error, pickle.loads(pickle.dumps(error)), copy.deepcopy(error))


def test_slots_of_an_error_of_ones_own_count():
    class Failure(OSError):
        __slots__ = ("code",)

    assert different(*(with_attributes(Failure(2, "x"), code=code) for code in (1, 2)))


def test_looking_at_the_attributes_of_an_error_does_not_count():
    looked_at = OSError(2, "x")
    assert vars(looked_at) == {}
    assert same(looked_at, OSError(2, "x"))


def test_whence_an_exception_came_does_not_count():
    def raised():
        try:
            Plain().missing
        except AttributeError as error:
            return error

    error = raised()
    assert error.obj is not None
    assert same(error, AttributeError(*error.args, name="missing"))


def test_an_empty_struct_of_arrow_is_not_a_missing_one():
    pa = library("pyarrow")
    kind = pa.struct([])
    assert different(pa.scalar({}, kind), pa.scalar(None, kind), pa.scalar(None))
    assert same(pa.scalar({}, kind), pa.scalar({}, kind))


WALKED = [None, True, 1, 1.0, 1j, "", b"", bytearray(), (), [], {}, set(), frozenset()]


@pytest.mark.parametrize(
    "kind", [*map(type, WALKED), type, type(same), types.ModuleType, type(str.upper), enum.EnumMeta]
)
def test_register_key_refuses_what_is_hashed_without_asking(registered, kind):
    with pytest.raises(TypeError, match="subclass.*memoize a key="):
        registered(kind, lambda value: 1)


def test_register_key_takes_subclasses_of_plain_containers(registered):
    class Mine(list):
        pass

    registered(Mine, len)
    assert same(Mine([1]), Mine([2]))
    assert different(Mine([1]), Mine([1, 2]))


def test_whether_a_key_is_registered_is_known_by_type(registered):
    class Base:
        pass

    class Child(Base):
        pass

    class Keyed:
        def __retain_key__(self):
            return 1

    assert not _parts.registered(Child)
    registered(Base, lambda value: 1)
    assert _parts.registered(Child)
    assert _parts.registered(Keyed)
    assert not _parts.registered(decimal.Decimal)


def of_own_class():
    class Own(Plain):
        __slots__ = ("slot",)

    return with_attributes(Own(a=1), slot=2)


def with_key():
    class Keyed:
        def __retain_key__(self):
            return __class__.__name__  # a method that refers to its class

    return Keyed()


def of_subclass(*bases):
    return lambda: type("Mine", bases, {"__slots__": ("__dict__", "slot"), "a": 1})([1])


def of_enum():
    return next(iter(enum.Enum("Mine", "RED GREEN")))


def of_exception():
    class Failure(OSError):
        pass

    return Failure(2, "x")


def of_numpy(make):
    return lambda: make(library("numpy"))


def of_frame():
    pd = library("pandas")

    class Frame(pd.DataFrame):
        pass

    return Frame({"a": [1]})


def of_sparse():
    sparse = library("scipy.sparse")

    class Sparse(sparse.csr_array):
        pass

    return Sparse([[0, 1]])


def of_polars():
    pl = library("polars")
    library("pyarrow")

    class Frame(pl.DataFrame):
        pass

    return Frame({"a": [1]})


OF_NEW_CLASSES = {
    "of one's own": of_own_class,
    "a key": with_key,
    "a list": of_subclass(list),
    "a deque": of_subclass(collections.deque),
    "an OrderedDict": lambda: type("Mine", (collections.OrderedDict,), {})(a=1),
    "a path": lambda: type("Mine", (pathlib.PurePosixPath,), {})("a"),
    "a partial": lambda: type("Mine", (functools.partial,), {})(len),
    "a named tuple": lambda: typing.NamedTuple("Mine", [("x", int)])(1),
    "an enum": of_enum,
    "an exception": of_exception,
    "an array": of_numpy(lambda np: np.arange(3).view(type("Mine", (np.ndarray,), {}))),
    "a masked array": of_numpy(lambda np: np.ma.array([1]).view(type("Mine", (np.ma.MaskedArray,), {}))),
    "a scalar": of_numpy(lambda np: type("Mine", (np.float64,), {})(1)),
    "a generator": of_numpy(lambda np: type("Mine", (np.random.Generator,), {})(np.random.PCG64(1))),
    "a frame": of_frame,
    "a sparse array": of_sparse,
    "a frame of polars": of_polars,
}


@pytest.mark.parametrize("name", OF_NEW_CLASSES)
def test_a_class_whose_instances_were_hashed_can_go(name):
    make = OF_NEW_CLASSES[name]
    value = make()
    kind = weakref.ref(type(value))
    assert retain.hash(value) == retain.hash(value)
    del value
    gc.collect()
    assert kind() is None


@pytest.mark.parametrize("name", OF_NEW_CLASSES)
def test_a_handler_keeps_no_class_alive(name):
    value = OF_NEW_CLASSES[name]()
    kind = weakref.ref(type(value))
    handler = _parts.handler(type(value))
    if handler is not None:
        assert len(list(handler(value))) > 1
    del value
    gc.collect()
    assert kind() is None


class Unprintable:
    def __init__(self, name):
        self.name = name

    def __hash__(self):
        return hash(self.name)

    def __eq__(self, other):
        return type(other) is Unprintable and self.name == other.name

    def __repr__(self):
        raise RuntimeError("no name today")


def test_keys_and_labels_are_not_printed_while_nothing_fails():
    huge = 10**5000
    assert same(collections.OrderedDict({huge: [1]}), collections.OrderedDict({huge: [1]}))
    assert different(collections.OrderedDict({huge: [1]}), collections.OrderedDict({huge + 1: [1]}))
    assert same(collections.OrderedDict({Unprintable("a"): [1]}), collections.OrderedDict({Unprintable("a"): [1]}))


def test_a_frame_whose_labels_cannot_be_printed_has_a_digest():
    pd = library("pandas")

    def frame(*names):
        return pd.DataFrame([[1, 2.0]], columns=pd.Index([*names], dtype=object))

    assert same(frame(Unprintable("a"), "b"), frame(Unprintable("a"), "b"))
    assert different(frame(Unprintable("a"), "b"), frame(Unprintable("b"), "b"), frame(10**5000, "b"))


@pytest.mark.parametrize(
    ("key", "step"),
    [
        ("a'b", '["a\'b"]'),
        (-5, "[-5]"),
        (10**5000, "[int]"),
        (1.5, "[float]"),
        (Unprintable("a"), "[Unprintable]"),
        ("x" * 1000, f"['{'x' * 60}'...]"),
    ],
    ids=range(6),
)
def test_the_path_of_an_error_names_a_key_as_far_as_that_is_safe(key, step):
    with pytest.raises(TypeError) as caught:
        retain.hash(collections.OrderedDict({key: iter(())}))
    assert str(caught.value).startswith(f"obj -> {step}: ")


class Silent(type):
    """A metaclass whose classes cannot be asked for anything."""

    def __getattribute__(cls, name):
        raise RuntimeError(name)

    def __eq__(cls, other):
        raise RuntimeError("==")

    def __hash__(cls):
        raise RuntimeError("hash")


def test_a_metaclass_is_not_asked_anything_for_a_handler():
    class Keyed(metaclass=Silent):
        def __retain_key__(self):
            return 1

    assert same(Keyed(), Keyed())
    assert _parts.registered(Keyed)
    for base in (object, list, collections.deque, ValueError, decimal.Decimal, pathlib.PurePosixPath):
        kind = Silent("Kind", (base,), {})
        assert (_parts.handler(kind) is None) == (base is object)
    for name, attribute in [("numpy", "ndarray"), ("pandas", "DataFrame"), ("polars", "DataFrame")]:
        try:
            base = getattr(importlib.import_module(name), attribute)
        except ImportError:
            continue
        assert _parts.handler(Silent("Kind", (base,), {})) is not None


def test_compiled_formats_count():
    import struct

    assert retain.hash(struct.Struct("<i")) == retain.hash(struct.Struct("<i"))
    assert retain.hash(struct.Struct("<i")) != retain.hash(struct.Struct(">i"))
