"""Who a call is: equal for calls that come to the same, and for no others."""

from __future__ import annotations

import gc
import inspect
import math
import os
import subprocess
import sys
import threading
import weakref
from functools import partial
from types import FunctionType, SimpleNamespace

import pytest
from retain._memoize import _signature
from retain._memory.reprs import about
from retain._retain import Address


def address(function, ignore=(), **options):
    return Address(function, _signature(inspect, function, ignore), **options)


def area(width, height=1, *more, scale=1.0, **options):
    return width * height * scale


# --- the spellings of a call ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((2,), {}),
        ((), {"width": 2}),
        ((2, 1), {}),
        ((2,), {"height": 1}),
        ((), {"height": 1, "width": 2}),
        ((2,), {"scale": 1.0}),
        ((2, 1), {"scale": 1.0}),
    ],
)
def test_all_spellings_of_a_call_are_one(args, kwargs):
    who = address(area)
    assert who(*args, **kwargs) == who(2)
    assert who.arguments(*args, **kwargs) == who(2)[32:]
    assert who.version() == who(2)[:32]
    assert who.bind(*args, **kwargs) == {"width": 2, "height": 1, "scale": 1.0, "*": (), "**": {}}


def test_the_order_of_keywords_does_not_count():
    who = address(area)
    assert who(1, a=1, b=2) == who(1, b=2, a=1)
    assert list(who.bind(1, b=2, a=1)["**"]) == ["a", "b"]


def test_what_is_given_further_is_told_from_what_has_a_name():
    who = address(area)
    calls = [who(1), who(1, 1, 2), who(1, 1, (2,)), who(1, a=2), who(1, b=2), who(1, a=2, b=2), who(1, 1, 2, a=2)]
    calls += [who(1, 2), who(2, 1), who(1, scale=2.0), who(1, scale=1), who(1, 1, None), who(1, a=None)]
    assert len(set(calls)) == len(calls)


def test_names_of_parameters_count():
    def one(a, *, b=None, c=None): ...

    who = address(one)
    assert who.arguments(1, b=2) != who.arguments(1, c=2)


def test_keywords_of_a_subclass_of_str_are_their_text():
    class Name(str):
        __slots__ = ()

        def __hash__(self):
            return 0

        def __str__(self):
            return "other"

    who = address(area)
    assert who(**{Name("width"): 2}) == who(2)
    assert who(1, **{Name("a"): 2}) == who(1, a=2)
    with pytest.raises(TypeError, match="keywords must be strings"):
        who(1, **{1: 2})


def test_keywords_may_be_any_text():
    who = address(area)
    calls = {who(1, **{name: 1}) for name in ("*", "**", "é", "a b", "\ud800", "名", "")}
    assert len(calls) == 7


def test_more_parameters_than_most_have():
    names = [f"p{number}" for number in range(40)]
    scope: dict = {}
    exec(f"def many({', '.join(names)}, last=0): ...", scope)  # noqa: S102 - names by the dozen
    who = address(scope["many"])
    values = range(40)
    assert who(*values) == who(**dict(zip(reversed(names), reversed(values), strict=True))) == who(*values, last=0)


def test_positional_only_parameters_leave_their_names_to_others():
    def one(a, /, **more): ...

    who = address(one)
    assert who.bind(1, a=2) == {"a": 1, "**": {"a": 2}}
    assert who(1, a=2) != who(2, a=1)


# --- a wrong call -----------------------------------------------------------------------------------------------------


class Scale:
    factor = 2

    def by(self, value, *, twice=False):
        return self.factor * value * (1 + twice)

    def __call__(self, value):
        return value


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (area, (), {}),
        (area, (1,), {"width": 2}),
        (Scale().by, (), {}),
        (Scale().by, (1, 2), {}),
        (lambda a: a, (1, 2), {}),
        (lambda a: a, (1,), {"b": 2}),
    ],
)
def test_a_call_that_does_not_fit_raises_the_own_error_of_the_function(function, args, kwargs):
    with pytest.raises(TypeError) as own:
        function(*args, **kwargs)
    who = address(function)
    for told in (who, who.arguments, who.bind):
        with pytest.raises(TypeError) as raised:
            told(*args, **kwargs)
        assert str(raised.value) == str(own.value)


def test_what_binds_in_its_own_way_is_not_run_to_find_that_a_call_does_not_fit():
    ran = []

    def loose(*args, **kwargs):
        ran.append(args)

    loose.__signature__ = inspect.signature(lambda a: a)
    for function in (loose, Scale(), Scale, partial(area, 1, height=2)):
        with pytest.raises(TypeError):
            address(function)(1, 2, 3, height=4, width=5, x=6)
    assert not ran


# --- what counts ------------------------------------------------------------------------------------------------------


def test_types_and_all_bits_count():
    who = address(lambda x: x)
    values = [1, 1.0, True, "1", b"1", None, 0.0, -0.0, (1,), [1], {1}, frozenset([1]), {1: 1}, 1 + 0j, 10**30]
    assert len({who(value) for value in values}) == len(values)


def test_nan_is_itself():
    who = address(lambda x: x)
    assert who(math.nan) == who(float("nan")) == who(x=float("nan"))
    assert who([math.nan]) == who([float("nan")])


def test_what_is_shared_or_interned_does_not_count():
    who = address(lambda a, b: None)
    inner = [1, 2]
    text = str(b"abc", "ascii")
    assert who(inner, inner) == who([1, 2], [1, 2])
    assert who("abc", text) == who(text, "abc")


def test_arguments_that_contain_themselves():
    who = address(area)

    def loop():
        made: list = [1]
        made.append(made)
        return made

    assert who(loop(), a=loop()) == who(loop(), a=loop())
    assert who(loop()) != who([1, [1]])


def test_a_mutable_argument_counts_as_it_is_now():
    who = address(area)
    data = [1, 2]
    before = who(data, option={"a": data})
    data.append(3)
    assert who(data, option={"a": data}) != before
    data.pop()
    assert who(data, option={"a": data}) == before


def test_what_is_ignored_does_not_count():
    who = address(area, ignore=["height", "options"])
    assert who(1, 2) == who(1, 3) == who(1, a=3)
    assert who(1, threading.Lock()) == who(1)
    assert who(1) != who(2)
    assert who.bind(1, 2, 3, a=4) == {"width": 1, "scale": 1.0, "*": (3,)}
    assert address(area, ignore=["more"])(1, 1, 2, 3) == address(area, ignore=["more"])(1)


def test_a_callback_counts_by_its_code():
    who = address(lambda f: f)

    def made(source):
        scope: dict = {"__name__": "elsewhere"}
        exec(source, scope)  # noqa: S102 - functions of one name
        return scope["key"]

    one, same, other = made("def key(x): return x"), made("def key(x): return x"), made("def key(x): return x + 1")
    assert who(one) == who(same) != who(other)
    before = who(one)
    one.__code__ = other.__code__
    assert who(one) != before


def test_what_a_callback_closes_over_counts():
    who = address(lambda f: f)

    def adder(n):
        return lambda x: x + n

    assert who(adder(1)) == who(adder(1)) != who(adder(2))
    assert who(partial(adder(1), 2)) != who(partial(adder(1), 3))


def test_an_instance_counts_by_its_attributes_and_its_class():
    who = address(lambda x: x)

    class Thing:
        def __init__(self, value):
            self.value = value

        def method(self):
            return self.value

    thing = Thing(1)
    before = who(thing)
    assert who(Thing(1)) == before != who(Thing(2))
    assert who(thing.method) != before
    thing.more = 1
    assert who(thing) != before
    del thing.more
    Thing.method = lambda self: 2
    assert who(thing) != before


def test_arrays_count_by_their_content_dtype_and_order():
    np = pytest.importorskip("numpy")
    who = address(lambda x: x)
    array = np.arange(6).reshape(2, 3)
    same = [array.copy(), np.arange(12).reshape(2, 6)[:, ::2] // 2, np.ascontiguousarray(array)]
    others = [array.T, array.astype("f8"), np.asfortranarray(array), array.ravel(), array.tolist()]
    assert {who(x) for x in same} == {who(array)}
    assert len({who(x) for x in [array, *others]}) == 6


def test_a_memory_map_counts_as_the_array_that_it_shows(tmp_path):
    np = pytest.importorskip("numpy")
    who = address(lambda x, y=None: x)
    array = np.arange(300_000.0)
    np.save(tmp_path / "array.npy", array)
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
    assert who(mapped) == who(array)
    assert who([mapped], {"a": mapped}) == who([array], {"a": array})
    assert who(mapped[1:]) == who(array[1:]) != who(array)


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda who: who(threading.Lock()), "argument 'width': a thread lock"),
        (
            lambda who: who(1, scale=[1, {"k": threading.Lock()}]),
            r"argument 'scale' -> \[1\] -> \['k'\]: a thread lock",
        ),
        (lambda who: who(1, 2, 3, threading.Lock()), "argument number 5: a thread lock"),
        (lambda who: who(1, b=2, a=threading.Lock()), "argument 'a': a thread lock"),
        (lambda who: who(1, cfg=SimpleNamespace(pool=[iter([])])), r"argument 'cfg' .*pool.*\[0\]"),
    ],
)
def test_what_has_no_identity_is_refused_by_name(call, path):
    who = address(area)
    with pytest.raises(TypeError, match=r"area\(\): " + path):
        call(who)
    # The path is of the value, also where something else leads to a cycle.
    loop: list = []
    loop.append(loop)
    with pytest.raises(TypeError, match="argument 'height': a thread lock"):
        who(loop, threading.Lock())


# --- the function -----------------------------------------------------------------------------------------------------


def double(x):
    return factor * helper(x)


def helper(x):
    return x


factor = 2


def test_version_moves_with_globals_helpers_and_code_and_back(monkeypatch):
    who = address(double)
    seen = [who.version()]
    monkeypatch.setitem(globals(), "factor", 3)
    seen.append(who.version())
    monkeypatch.setitem(globals(), "factor", 2)
    assert who.version() == seen[0]
    monkeypatch.setattr(helper, "__code__", (lambda x: -x).__code__)
    seen.append(who.version())
    monkeypatch.undo()
    assert who.version() == seen[0]
    monkeypatch.setattr(double, "__defaults__", (1,))
    seen.append(who.version())
    assert len(set(seen)) == 4
    assert all(len(version) == 32 for version in seen)


def test_version_moves_with_cells():
    def make(n):
        def inner(x):
            return x + n

        def change(value):
            nonlocal n
            n = value

        return inner, change

    inner, change = make(1)
    who = address(inner)
    before = who.version()
    assert who.version() == address(make(1)[0]).version() == before
    change(2)
    assert who.version() != before
    change(1)
    assert who.version() == before


def test_options_of_the_identity_count(monkeypatch):
    plain = address(double).version()
    assert address(double, version="1").version() != plain
    assert address(double, version="1").version() != address(double, version="2").version()
    own = address(double, track="own")
    before = own.version()
    monkeypatch.setitem(globals(), "factor", 3)
    assert own.version() == before
    table = {"a": 1}
    dispatched = address(double, depends=[table])
    before = dispatched.version()
    table["a"] = 2
    assert dispatched.version() != before
    with pytest.raises(ValueError, match="track is 'none'"):
        address(double, track="none")
    with pytest.raises(ValueError, match="has no version"):
        address(double, track="version")


def test_a_bound_method_is_the_function_and_its_instance():
    scale = Scale()
    who = address(scale.by)
    assert who(2) == who(value=2) == who(2, twice=False) == address(Scale().by)(2)
    other = Scale()
    other.factor = 3
    assert address(other.by)(2) != who(2)


def test_callables_of_c_take_what_they_take():
    assert address(math.hypot).bind(3, 4) == {"*": (3, 4), "**": {}} or address(math.hypot).bind(3, 4)
    assert address(math.hypot)(3, 4) != address(math.hypot)(4, 3)
    assert address(max)([1], key=len) != address(max)([1], key=abs)


def test_two_functions_of_one_name_are_two():
    def made(body):
        scope: dict = {"__name__": "same"}
        exec(f"def f(x): return {body}", scope)  # noqa: S102 - as above
        return address(scope["f"])

    assert made("x")(1) != made("-x")(1)
    assert made("x")(1) == made("x")(1)


def test_an_address_is_the_same_in_every_process(tmp_path):
    (tmp_path / "work.py").write_text("scale = 2\ndef f(x, *, names=(), table=None): return scale * x\n")
    code = (
        "import inspect, work; from retain._memoize import _signature; from retain._retain import Address\n"
        "who = Address(work.f, _signature(inspect, work.f, ()))\n"
        "print(who(1.5, names={'a', 'b', 'c'}, table={'x': work.f, 'y': [len]}).hex())"
    )
    seen = set()
    for seed in ("0", "1", "77"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
        ran = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        seen.add(ran.stdout)
    assert len(seen) == 1


def test_an_address_keeps_no_function_alive_that_leads_back_to_it():
    def made():
        holder = SimpleNamespace()

        def inner(x=holder):
            return holder

        holder.address = address(inner)
        holder.address.version()
        holder.address.arguments(1)
        return weakref.ref(inner)

    gone = made()
    gc.collect()
    assert gone() is None


def test_arguments_that_change_the_keywords_while_they_are_told():
    # A mapping passed to the type itself is not copied.
    class Meddling:
        def __reduce_ex__(self, protocol):
            given.clear()
            gc.collect()
            return str, ("meddling",)

    who = address(area)
    given = {"width": Meddling(), "a": [1] * 3, "b": Meddling()}
    first = type(who).__call__(who, **given)
    given = {"width": Meddling(), "a": [1] * 3, "b": Meddling()}
    assert who(**given) == first


def test_threads_ask_at_once():
    who = address(double)
    expected = [who(number) for number in range(200)]
    failed = []

    def ask():
        for _ in range(20):
            if [who(number) for number in range(200)] != expected:
                failed.append(1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed


def test_code_objects_are_no_arguments_of_a_wrong_type():
    with pytest.raises(TypeError):
        Address(3, ([], 0, 0, "kept", "kept")).version()
    assert isinstance(address(FunctionType(area.__code__, {})).version(), bytes)


def test_arguments_are_told_at_a_glance_as_they_are_told_at_length():
    def function(a, b=None, *rest, c=1.5, **more): ...

    def bare(): ...

    who = address(function)
    texts = ["x", "", 'quo"te', "back\\slash", "tab\t\n\r\x00\x1f\x7f", "é名", "it's", "a" * 80, b"bytes\xff", b""]
    at_a_glance = [1, -1, True, None, 0.1, float("nan"), 1e300, 2**63 - 1, *texts]
    for value in at_a_glance:
        for args, kwargs in [((value,), {}), ((1, value), {"c": value})]:
            told = who.told(args, kwargs)
            assert told is not None or len(repr(value)) > 80
            assert told in {None, about(who.bind(*args, **kwargs))}
    for args, kwargs in [
        ((1, 2, 3), {}),
        ((1,), {"d": 1}),
        (([],), {}),
        ((2**64,), {}),
        (("a" * 81,), {}),
        (("\ud800",), {}),
    ]:
        assert who.told(args, kwargs) in {None, about(who.bind(*args, **kwargs))}
    assert address(bare).told((), {}) == about({}) == b'{"input_args":{}}'
    assert address(function, ignore=["a", "rest", "more"]).told((1,), {}) == b'{"input_args":{"b":"None","c":"1.5"}}'
