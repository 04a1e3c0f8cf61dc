"""`explain` and what is told of arguments: why a call is computed again, in words, and at no cost."""

import dataclasses
import datetime as dt
import decimal
import enum
import time
from pathlib import Path

import pytest
from retain import Memory
from retain._memory.naming import function_name
from retain._memory.reprs import about, input_args, short
from retain._memory.sizes import parse_size


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path, verbose=0)


def define(memory, factor=1, body="x * FACTOR", default=1, **options):
    namespace = {"FACTOR": factor, "__name__": "somewhere"}
    exec(f"def function(x, y={default}):\n    return {body}\n", namespace)  # noqa: S102 - another version each time
    return memory.cache(namespace["function"], **options)


def test_a_hit_and_a_function_that_is_new(memory):
    function = define(memory)
    found = function.explain(1)
    assert (found.reason, found.would_hit) == ("new", False)
    assert "no result of this function is kept" in str(found)
    function(1)
    found = function.explain(1)
    assert (found.reason, found.would_hit) == ("hit", True)
    assert found.as_dict() == {
        "function": "somewhere.function",
        "reason": "hit",
        "would_hit": True,
        "details": list(found.details),
    }
    assert repr(found) == str(found)


def test_other_arguments_are_told_from_the_nearest(memory):
    function = define(memory)
    function(1, 2)
    function(5, 6)
    found = function.explain(1, 3)
    assert found.reason == "arguments"
    assert found.details[0].startswith("the nearest of 2 kept results")
    assert found.details[1:] == ("y: 3, kept is 2",)


def test_arguments_that_look_alike_are_told_to_differ_in_what_is_not_shown(memory):
    function = define(memory, body="1")
    function(list(range(100)))
    found = function.explain([*range(99), 0])
    assert "differ in what is not shown" in found.details[1]


def test_what_changed_in_a_function_is_told(memory):
    define(memory)(1)
    found = define(memory, factor=2).explain(1)
    assert found.reason == "changed"
    assert found.details == ("global FACTOR: 2, was 1",)
    assert define(memory, body="x * FACTOR + 1").explain(1).details == ("its code changed",)
    assert "default y: 2, was 1" in define(memory, default=2).explain(1).details
    assert "version: '2', was None" in define(memory, version="2").explain(1).details
    assert define(memory).explain(1).reason == "hit"


def test_an_end_a_refusal_and_a_removal_are_told(memory):
    function = define(memory)
    function(1)
    time.sleep(0.02)
    assert define(memory, ttl=0.01).explain(1).reason == "ended"
    assert define(memory, cache_validation_callback=lambda _: False).explain(1).reason == "refused"
    function.clear()
    assert function.explain(1).reason in {"removed", "new"}


def test_nothing_is_computed_by_explaining(memory):
    calls = []

    @memory.cache
    def function(x):
        calls.append(x)

    function.explain(1)
    assert calls == []
    assert function.entries() == []


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Settings:
    rate: float
    name: str = "n"
    secret: str = dataclasses.field(default="s3cret", repr=False)


class Client:
    def __init__(self):
        self.api_key = "s3cret"

    def __repr__(self):
        raise AssertionError("never called")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (-3, "-3"),
        (2**1000, "int of 1001 bits"),
        (1.5, "1.5"),
        ("text", "'text'"),
        (b"bytes", "b'bytes'"),
        ("x" * 1000, "'" + "x" * 40 + "'... (1000)"),
        ([], "[]"),
        ([1, [2, (3,)]], "[1, [2, (3,)]]"),
        (list(range(10**6)), "[0, 1, 2, 3, ...] (1000000)"),
        ({"a": 1, "b": {2}}, "{'a': 1, 'b': {2}}"),
        ({"b", "a", "c"}, "{'a', 'b', 'c'}"),
        ([[[[[1]]]]], "[[[[...] (1)]]]"),
        (range(11), "range(0, 11)"),
        (range(2**1000), "range(0, int of 1001 bits)"),
        ([range(0, 10, 2)], "[range(0, 10, 2)]"),
        (slice(None, 5), "slice(None, 5, None)"),
        (slice(Client()), "slice(None, <test_memory_explain.Client>, None)"),
        (bytearray(b"bytes"), "bytearray(b'bytes')"),
        (bytearray(1000), f"{bytearray(20)!r}"[:77] + "..."),
        (NotImplemented, "NotImplemented"),
        (Settings(0.5), "Settings(rate=0.5, name='n')"),
        (Client(), "<test_memory_explain.Client>"),
        (Client, "<class test_memory_explain.Client>"),
        (len, "<function builtins.len>"),
        (dt, "<module datetime>"),
        (dt.date(2020, 1, 2), "datetime.date(2020, 1, 2)"),
        (decimal.Decimal("1.5"), "Decimal('1.5')"),
        (Path("a/b"), f"{type(Path()).__name__}('a/b')"),
        (Colour.RED, "Colour.RED"),
    ],
)
def test_arguments_are_told_in_a_few_words(value, text):
    assert short(value) == text


def test_arrays_and_tables_are_told_by_their_shape():
    np = pytest.importorskip("numpy")
    assert short(np.arange(3)) == "ndarray int64 (3,) [0, 1, 2]"
    assert short(np.zeros((1000, 3))) == "ndarray float64 (1000, 3) [0.0, 0.0, 0.0, 0.0, ...]"
    assert short(np.array(["x" * 100])) == "ndarray <U100 (1,)"
    assert short(np.array([Client()])) == "ndarray object (1,)"
    assert short(np.float64(1.5)) == "np.float64(1.5)"
    pd = pytest.importorskip("pandas")
    assert short(pd.DataFrame({"a": [1], "b": [2]})) == "DataFrame (1, 2) [a, b]"
    assert short(pd.Series([1, 2])) == "Series int64 (2,)"


@pytest.mark.parametrize("value", ["\ud800", "\x00\n", [float("nan")], {1: object()}, range(3), 1j])
def test_what_is_told_is_never_longer_than_it_may_be_and_comes_back(value):
    assert len(short(value)) <= 80
    assert list(input_args(about({"x": value}))) == ["x"]


@pytest.mark.parametrize("told", [None, b"", b"no json", b"[]", b'{"input_args": 1}', b"\xff"])
def test_what_cannot_be_read_tells_nothing(told):
    assert input_args(told) == {}


@pytest.mark.parametrize(
    ("text", "size"),
    [(5, 5), ("5", 5), ("1K", 1024), ("2M", 2 << 20), ("1GiB", 1 << 30), ("1t", 1 << 40)],
)
def test_sizes_are_read(text, size):
    assert parse_size("max_bytes", text) == size


@pytest.mark.parametrize("text", ["", "many", "1X", "-1", "1 2"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="max_bytes is"):
        parse_size("max_bytes", text)


def test_functions_are_named_for_people():
    import functools

    assert function_name(function_name) == "retain._memory.naming.function_name"
    assert function_name(functools.partial(function_name, 1)) == "retain._memory.naming.function_name"
    assert function_name(Client().__init__) == "test_memory_explain.Client.__init__"
    assert function_name(len) == "builtins.len"
    assert function_name(functools.partial) == "functools.partial"
    assert function_name(Settings(1)) == "test_memory_explain.Settings"

    def nested():
        """Do nothing."""

    assert function_name(nested).endswith("test_functions_are_named_for_people.<locals>.nested")
    for module in ("__mp_main__", "__main__"):  # the first is what multiprocessing's children call it
        nested.__module__ = module
        assert function_name(nested).startswith("__main__-")
    assert "test_memory_explain.test_functions" in function_name(nested)
