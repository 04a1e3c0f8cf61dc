"""What `retain.memoize` promises of a function: its options, its results, what can be done with them."""

import copy
import gc
import inspect
import itertools
import pickle
import random
import threading
import warnings
import weakref
from datetime import timedelta
from fractions import Fraction

import pytest
import retain
from hypothesis import given, settings
from hypothesis import strategies as st
from retain import memoize

POLICIES = ["s3fifo", "lru", "sieve", "lfu", "fifo", "unbounded"]


def counted(**options):
    """A memoized function that returns its arguments, and the list of calls that it got."""
    calls = []

    @memoize(**options)
    def function(x, y=0):
        calls.append((x, y))
        return x, y

    return function, calls


# --- Options ---


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"maxsize": -1}, ValueError, "maxsize is -1, but it must be 0 or more"),
        ({"maxsize": 2**63}, ValueError, "maxsize is 9223372036854775808, but it must be 0 or"),
        ({"maxsize": 1.5}, TypeError, "maxsize is 1.5, but it is a whole number"),
        ({"maxsize": "10"}, TypeError, "maxsize is '10', but it is a whole number, or None"),
        ({"policy": "mru"}, ValueError, "policy is 'mru', but it must be one of 's3fifo', 'lru'"),
        ({"policy": None}, ValueError, "policy is None, but it must be one of"),
        ({"policy": []}, ValueError, r"policy is \[\], but it must be one of"),
        ({"policy": "unbounded", "maxsize": 3}, ValueError, "maxsize is 3, but policy='unbounded'"),
        ({"policy": "unbounded", "max_bytes": 3}, ValueError, "max_bytes is 3, but policy='unb"),
        ({"max_bytes": -1}, ValueError, "max_bytes is -1, but it must be 0 or more"),
        ({"max_bytes": "1M"}, TypeError, "max_bytes is '1M', but it is a whole number"),
        ({"ttl": 0}, ValueError, "ttl is 0, but it must be more than 0 seconds; leave it out"),
        ({"ttl": -1}, ValueError, "ttl is -1, but it must be more than 0 seconds"),
        ({"ttl": float("nan")}, ValueError, "ttl is nan, but it must be more than 0"),
        ({"ttl": -(10**400)}, ValueError, "ttl is -1000"),
        ({"ttl": timedelta(seconds=-1)}, ValueError, "ttl is -1.0, but it must be more than 0"),
        ({"ttl": "1h"}, TypeError, "ttl is '1h', but it is a number of seconds or a timedelta"),
        ({"ttl": True}, TypeError, "ttl is True, but it is a number of seconds"),
        ({"ttl_jitter": 0.5}, ValueError, "ttl_jitter is 0.5 but there is no ttl to vary"),
        ({"ttl": 1, "ttl_jitter": 1.5}, ValueError, "ttl_jitter is 1.5, but it is a share"),
        ({"ttl": 1, "ttl_jitter": -0.5}, ValueError, "ttl_jitter is -0.5, but it must be 0 s"),
        ({"time_to_idle": 0}, ValueError, "time_to_idle is 0, but it must be more than 0"),
        ({"time_to_idle": "x"}, TypeError, "time_to_idle is 'x', but it is a number of seconds"),
        ({"stale_while_revalidate": 5}, ValueError, "stale_while_revalidate is 5 but without a ttl"),
        ({"ttl": 1, "stale_while_revalidate": 0}, ValueError, "stale_while_revalidate is 0, but"),
        ({"weigher": 3}, TypeError, "weigher is 3, but it is a callable or None"),
        ({"key": "x"}, TypeError, "key is 'x', but it is a callable or None"),
        ({"on_evict": 3}, TypeError, "on_evict is 3, but it is a callable or None"),
        ({"ignore": "x"}, TypeError, r"ignore is 'x', but it is a list of names: ignore=\['x'\]"),
        ({"ignore": 3}, TypeError, "ignore is 3, but it is a list of names"),
        ({"copy": "shallow"}, ValueError, "copy is 'shallow', but it must be True, 'deepcopy' or"),
        ({"cache_exceptions": KeyError}, TypeError, r"it is a pair of types and seconds: \(Look"),
        ({"cache_exceptions": (3, 60)}, TypeError, "cache_exceptions names 3, but it is not a"),
        ({"cache_exceptions": ((KeyError, int), 60)}, TypeError, "cache_exceptions names <class 'i"),
        ({"cache_exceptions": (KeyError, 0)}, ValueError, "cache_exceptions' ttl is 0, but it"),
        ({"cache_exceptions": (KeyError, "x")}, TypeError, "cache_exceptions' ttl is 'x', but"),
    ],
)
def test_a_wrong_option_is_refused_at_decoration_and_says_what_helps(options, error, message):
    with pytest.raises(error, match=message):
        memoize(**options)
    with pytest.raises(error, match=message):
        memoize(lambda x: x, **options)


def test_an_option_that_is_not_there_is_refused():
    with pytest.raises(TypeError, match="size"):
        memoize(size=3)
    with pytest.raises(TypeError):
        memoize(len, 3)


def test_what_is_not_callable_cannot_be_decorated():
    with pytest.raises(TypeError, match="decorates a callable, but was given 128; options are"):
        memoize(128)


def test_a_generator_function_is_refused():
    def generate():
        yield 1

    async def generate_later():
        yield 1

    for function in (generate, generate_later):
        with pytest.raises(TypeError, match="generator function.*Return a list"):
            memoize(function)


def test_bare_and_with_options_decorate_alike():
    for function in (memoize(len), memoize()(len), memoize(maxsize=3)(len), memoize(len, ttl=9)):
        assert function("abc") == function("abc") == 3
        assert function.cache_info()[:2] == (1, 1)


def test_one_decorator_makes_caches_that_share_nothing():
    decorate = memoize(maxsize=2)
    one, other = decorate(lambda x: ("one", x)), decorate(lambda x: ("other", x))
    assert (one(1), other(1)) == (("one", 1), ("other", 1))
    one.cache_clear()
    assert other.cache_info().currsize == 1


def test_the_parameters_can_be_asked_for():
    function, _ = counted(ttl=60, policy="lru", ignore=["y"])
    parameters = function.cache_parameters()
    assert parameters["ttl"] == 60
    assert parameters["policy"] == "lru"
    assert parameters["ignore"] == ("y",)
    assert parameters["maxsize"] == 1024
    assert set(parameters) == set(inspect.signature(memoize).parameters) - {"function"}
    parameters["ttl"] = 1
    assert function.cache_parameters()["ttl"] == 60


@pytest.mark.parametrize(
    ("options", "maxsize"),
    [
        ({}, 1024),
        ({"maxsize": None}, None),
        ({"maxsize": 7}, 7),
        ({"max_bytes": 100}, None),
        ({"max_bytes": 100, "maxsize": 7}, 7),
        ({"policy": "unbounded"}, None),
        ({"policy": "unbounded", "maxsize": None}, None),
    ],
)
def test_the_bound_is_as_documented(options, maxsize):
    function, _ = counted(**options)
    assert function.cache_info().maxsize == maxsize
    assert function.cache_parameters()["maxsize"] == maxsize


# --- Results ---


@pytest.mark.parametrize("policy", POLICIES)
def test_under_every_policy_values_are_right_and_bounds_are_kept(policy):
    bound = None if policy == "unbounded" else 10
    function, calls = counted(policy=policy, maxsize=bound)
    choose = random.Random(1)
    for _ in range(2000):
        x = int(choose.expovariate(0.1))
        assert function(x) == (x, 0)
    info = function.cache_info()
    assert info.hits + info.misses == 2000
    assert info.misses == len(calls)
    assert info.hits > 100
    if bound:
        assert info.currsize == bound
        assert info.evictions == info.misses - bound
    else:
        assert info.currsize == len(set(calls)) == len(calls)


def test_the_lru_policy_forgets_what_was_not_asked_for_the_longest():
    function, calls = counted(policy="lru", maxsize=2)
    for x in (1, 2, 1, 3, 1, 2):
        function(x)
    assert [x for x, _ in calls] == [1, 2, 3, 2]


def test_the_fifo_policy_forgets_what_came_first():
    function, calls = counted(policy="fifo", maxsize=2)
    for x in (1, 2, 1, 3, 1):
        function(x)
    assert [x for x, _ in calls] == [1, 2, 3, 1]


@pytest.mark.parametrize("policy", ["s3fifo", "sieve", "lfu"])
def test_what_is_asked_for_again_survives_a_scan(policy):
    function, calls = counted(policy=policy, maxsize=20)
    for _ in range(5):
        for x in range(5):
            function(x)
    for x in range(1000, 1200):
        function(x)
        function(x % 5)
    assert len(calls) <= 5 + 200 + 5


def test_without_room_every_call_computes():
    function, calls = counted(maxsize=0)
    assert function(1) == function(1) == (1, 0)
    assert len(calls) == 2
    assert function.cache_info().currsize == 0


def test_none_is_a_result_like_any_other():
    calls = []
    function = memoize(calls.append)
    assert function(1) is None
    assert function(1) is None
    assert calls == [1]


def test_the_result_is_the_same_object_each_time():
    function = memoize(lambda x: [x])
    assert function(1) is function(1)


def test_an_exception_is_not_kept():
    calls = []

    @memoize
    def function(x):
        calls.append(x)
        raise LookupError(x)

    for _ in range(2):
        with pytest.raises(LookupError):
            function(1)
    assert calls == [1, 1]
    assert function.cache_info().in_flight == 0


def test_the_wrapper_looks_like_the_function():
    def function(x: int, *, y: str = "a") -> str:
        """Documented."""

    memoized = memoize(function)
    assert memoized.__wrapped__ is function
    assert memoized.__doc__ == "Documented."
    assert memoized.__name__ == "function"
    assert inspect.signature(memoized) == inspect.signature(function)
    assert not inspect.iscoroutinefunction(memoized)


@memoize
def at_the_top(x):
    return x


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_by_name_and_copies_are_itself(protocol):
    assert pickle.loads(pickle.dumps(at_the_top, protocol)) is at_the_top
    assert copy.copy(at_the_top) is copy.deepcopy(at_the_top) is at_the_top


def test_unhashable_arguments_count_by_their_content():
    function, calls = counted()
    assert function(1, [2, {"a": {3}}]) == function(1, [2, {"a": {3}}])
    assert function({"a": 1, "b": 2}, 1) == function({"b": 2, "a": 1}, 1)
    assert len(calls) == 2
    assert function((1, [2]), 0) == function((1, [2]), 0)
    assert len(calls) == 3
    for other in ([2, {"a": {4}}], [2.0, {"a": {3}}], (2, {"a": {3}}), [{"a": {3}}, 2]):
        function(1, other)
    assert len(calls) == 7


def test_an_argument_that_was_changed_is_another():
    function, calls = counted()
    items = [1, 2]
    function(items, 0)
    items.append(3)
    function(items, 0)
    function(items, 0)
    del items[2]
    function(items, 0)
    assert len(calls) == 2


def test_entries_of_unhashable_arguments_are_found_again():
    function, _ = counted()
    function({"a": 1}, 0)
    assert function.peek({"a": 1}, 0) == function({"a": 1}, 0)
    (entry,) = function
    assert repr(entry.arguments["x"]).startswith("<content of a dict: ")
    assert function.invalidate({"a": 1}, 0) is True
    assert function.invalidate({"a": 1}, 0) is False
    assert list(function) == []


def test_a_content_is_no_value_of_its_own():
    function, calls = counted()
    function([1], 0)
    (entry,) = function
    content = entry.arguments["x"]
    assert content.digest == retain.hash([1])
    function(content.digest, 0)
    function(bytes.fromhex(content.digest), 0)
    assert len(calls) == 3


def test_arguments_without_identity_say_what_helps():
    function, calls = counted()
    with pytest.raises(TypeError) as caught:
        function(1, [{"pool": threading.Lock()}])
    text = str(caught.value)
    assert "counted.<locals>.function(): argument 'y' -> [0] -> ['pool']: a thread lock has no stable identity" in text
    assert "key=" in text
    assert "ignore=['y']" in text
    assert calls == []
    for method in (function.invalidate, function.peek, function.refresh):
        with pytest.raises(TypeError, match="argument 'x' -> "):
            method([threading.Lock()])


def test_a_key_function_takes_what_cannot_be_hashed():
    calls = []

    @memoize(key=lambda items, scale=1: (tuple(items), scale))
    def total(items, scale=1):
        calls.append(items)
        return sum(items) * scale

    assert total([1, 2]) == total([1, 2]) == total([1, 2], scale=1) == 3
    assert total([1, 2], 2) == 6
    assert len(calls) == 2
    assert total.peek([1, 2]) == 3
    assert total.invalidate([1, 2]) is True
    assert [entry.arguments for entry in total] == [((1, 2), 2)]


def test_a_key_counts_by_its_content_too():
    calls = []
    function = memoize(calls.append, key=lambda x: [abs(x)])
    function(1)
    function(-1)
    assert calls == [1]


def test_a_key_function_that_returns_no_key_says_so():
    function = memoize(lambda x: x, key=lambda x: [threading.Lock()])
    with pytest.raises(TypeError, match=r"what key= returned -> \[0\]: a thread lock has no stable identity"):
        function(1)


def test_what_a_key_function_raises_comes_through():
    function = memoize(lambda x: x, key=lambda x: 1 / x)
    with pytest.raises(ZeroDivisionError):
        function(0)
    assert function(1) == 1


def test_what_hash_and_equality_raise_comes_through_and_the_cache_stays_whole():
    class Bad:
        fails = None

        def __hash__(self):
            if self.fails == "hash":
                raise ZeroDivisionError
            return 1

        def __eq__(self, other):
            if self.fails == "eq":
                raise ZeroDivisionError
            return self is other

    function, _calls = counted()
    stored, other = Bad(), Bad()
    function(stored)
    other.fails = "hash"
    with pytest.raises(ZeroDivisionError):
        function(other)
    other.fails, stored.fails = None, "eq"
    for call in (function, function.invalidate, function.peek, function.refresh):
        with pytest.raises(ZeroDivisionError):
            call(other)
    with pytest.raises(ZeroDivisionError):
        function.set(3, other)
    stored.fails = None
    assert function(stored) == (stored, 0)
    info = function.cache_info()
    assert (info.currsize, info.in_flight) == (1, 0)


# --- Which arguments are one ---

CLOSE = [0, 0.0, -0.0, False, 1, 1.0, True, Fraction(1), 1 + 0j, (1,), (1.0,), (True,), ((1,), 2)]
CLOSE += [((1.0,), 2), ((True,), 2), (0.0,), (-0.0,), "1", b"1", None, ()]


def exact(value):
    """A description that tells types and zeros apart, inside tuples too."""
    if isinstance(value, tuple):
        return tuple(exact(item) for item in value)
    return type(value), repr(value)


@pytest.mark.parametrize("shape", ["positional", "second", "keyword", "further", "named further"])
def test_arguments_of_different_types_are_different_calls(shape):
    calls = {
        "positional": lambda f, x: f(x),
        "second": lambda f, x: f("first", x),
        "keyword": lambda f, x: f("first", k=x),
        "further": lambda f, x: f("first", "second", x),
        "named further": lambda f, x: f("first", name=x),
    }
    for one, other in itertools.permutations(CLOSE, 2):
        made = []

        @memoize
        def function(x, y=None, *args, k=None, made=made, **kwargs):
            made.append(1)
            return object()

        apart = calls[shape](function, one) is not calls[shape](function, other)
        assert apart == (exact(one) != exact(other)), (one, other)


def test_without_typed_equal_arguments_are_one_call():
    for one, other in itertools.permutations(CLOSE, 2):
        function = memoize(lambda x: object(), typed=False)
        assert (function(one) is function(other)) == (one == other), (one, other)


def test_deeply_nested_tuples_are_told_apart_too():
    def nest(leaf, depth):
        for _ in range(depth):
            leaf = (leaf,)
        return leaf

    function = memoize(lambda x: object())
    for depth in (5, 20, 60):
        assert function(nest(1, depth)) is function(nest(1, depth))
        assert function(nest(1, depth)) is not function(nest(1.0, depth))
        assert function(nest(1, depth)) is not function(nest(True, depth))


def test_a_nan_is_like_itself():
    nan = float("nan")
    function, calls = counted()
    function(nan), function(nan), function((nan, 1)), function((nan, 1))
    assert len(calls) == 2


def test_instances_of_subclasses_are_different_calls():
    class Number(int):
        pass

    class Text(str):
        __slots__ = ()

    function, calls = counted()
    function(1), function(Number(1)), function(Number(1)), function("a"), function(Text("a"))
    assert [type(x) for x, _ in calls] == [int, Number, str, Text]


# --- What can be done with results ---


def test_cache_info_tells_everything():
    function, _ = counted(maxsize=2, policy="lru")
    for x in (1, 1, 2, 3):
        function(x)
    info = function.cache_info()
    assert info._fields == (
        "hits",
        "misses",
        "maxsize",
        "currsize",
        "evictions",
        "expirations",
        "in_flight",
        "weight",
        "time_saved",
    )
    assert info[:7] == (1, 3, 2, 2, 1, 0, 0)
    assert info.time_saved >= 0


def test_clearing_forgets_results_and_counts():
    function, calls = counted()
    function(1), function(1)
    assert function.cache_clear() is None
    info = function.cache_info()
    assert (info.hits, info.misses, info.currsize, info.time_saved) == (0, 0, 0, 0)
    function(1)
    assert len(calls) == 2


def test_invalidate_forgets_one_result():
    function, calls = counted()
    function(1), function(2)
    assert function.invalidate(1) is True
    assert function.invalidate(x=1, y=0) is False
    assert function.invalidate(y=0, x=2) is True
    function(1)
    assert [x for x, _ in calls] == [1, 2, 1]


def test_peek_gives_a_result_without_computing_or_counting():
    function, calls = counted()
    with pytest.raises(KeyError, match=r"function\(\) has no result for these arguments"):
        function.peek(1)
    value = function(1)
    before = function.cache_info()
    assert function.peek(1) is function.peek(x=1) is value
    assert function.cache_info() == before
    assert len(calls) == 1


def test_set_keeps_a_result():
    function, calls = counted()
    assert function.set("given", 1) is None
    assert function(1) == function(x=1, y=0) == "given"
    function.set("other", x=1)
    assert function(1) == "other"
    assert calls == []
    assert function.cache_info().currsize == 1
    with pytest.raises(TypeError, match=r"set\(\) needs the value, then the arguments"):
        function.set()


def test_refresh_computes_anew():
    results = iter(range(9))
    function = memoize(lambda x: next(results))
    assert function(1) == 0
    assert function.refresh(1) == 1
    assert function(1) == 1
    assert function.refresh(2) == 2
    assert function(2) == 2


def test_a_refresh_that_raises_leaves_the_old_result():
    fail = []

    @memoize
    def function(x):
        if fail:
            raise LookupError
        return "old"

    function(1)
    fail.append(1)
    with pytest.raises(LookupError):
        function.refresh(1)
    assert function(1) == "old"


def test_arguments_that_do_not_fit_are_refused_by_every_method():
    function, _ = counted()
    for method in (function.invalidate, function.peek, function.refresh):
        for args in ((), (1, 2, 3)):
            with pytest.raises(TypeError, match="the arguments do not fit its signature"):
                method(*args)
    with pytest.raises(TypeError, match="the arguments do not fit its signature"):
        function.set("value")
    for method in (function.cache_info, function.cache_clear):
        with pytest.raises(TypeError, match="takes no arguments"):
            method(1)


def test_iterating_gives_the_entries():
    @memoize
    def function(a, *rest, b=5, **named):
        return a

    function(1)
    function(2, 3, 4, b=6, c=7)
    entries = {entry.value: entry for entry in function}
    assert entries[1].arguments == {"a": 1, "b": 5}
    assert entries[2].arguments == {"a": 2, "b": 6, "*": (3, 4), "c": 7}
    assert entries[1]._fields == ("arguments", "value", "weight", "cost")
    assert entries[1].cost >= 0


def test_iterating_while_the_cache_changes_gives_what_was_there():
    function, _ = counted()
    for x in range(10):
        function(x)
    seen = []
    for entry in function:
        function.cache_clear()
        seen.append(entry.value[0])
    assert sorted(seen) == list(range(10))


def test_the_time_saved_grows_with_hits():
    pause = threading.Event()
    function = memoize(lambda x: pause.wait(0.01))
    function(1)
    assert function.cache_info().time_saved == 0
    function(1)
    first = function.cache_info().time_saved
    function(1)
    assert first > 0.005
    assert function.cache_info().time_saved == pytest.approx(2 * first)


# --- Against a model ---

operations = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 5), st.integers(0, 2)),
    st.tuples(st.just("invalidate"), st.integers(0, 5), st.integers(0, 2)),
    st.tuples(st.just("set"), st.integers(0, 5), st.integers(0, 2)),
    st.tuples(st.just("refresh"), st.integers(0, 5), st.integers(0, 2)),
    st.tuples(st.just("peek"), st.integers(0, 5), st.integers(0, 2)),
    st.tuples(st.just("clear"), st.just(0), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(POLICIES), st.lists(operations, max_size=60))
def test_any_sequence_of_operations_agrees_with_a_dict(policy, sequence):
    fresh = itertools.count()
    function = memoize(lambda x, y=0: next(fresh), policy=policy, maxsize=None)
    model = {}
    for operation, x, y in sequence:
        if operation == "call":
            value = function(x, y) if y else function(x=x)
            assert model.setdefault((x, y), value) == value
        elif operation == "invalidate":
            assert function.invalidate(x, y=y) == (model.pop((x, y), None) is not None)
        elif operation == "set":
            model[x, y] = next(fresh)
            function.set(model[x, y], x, y)
        elif operation == "refresh":
            model[x, y] = function.refresh(x, y)
        elif operation == "clear":
            function.cache_clear()
            model.clear()
        elif (x, y) in model:
            assert function.peek(x, y) == model[x, y]
        else:
            with pytest.raises(KeyError):
                function.peek(x, y)
        listed = {(e.arguments["x"], e.arguments["y"]): e.value for e in function}
        assert listed == model
        assert function.cache_info().currsize == len(model)


# --- Memory ---


class Node:
    pass


@pytest.mark.parametrize("where", ["value", "argument", "keyword", "further", "default", "key", "on_evict", "error"])
def test_a_cycle_through_the_cache_is_collected(where):
    node = Node()

    class Callback:
        def __call__(self, *args):
            return node

    options = {
        "key": {"key": lambda *args: node},
        "on_evict": {"on_evict": Callback()},
        "error": {"cache_exceptions": (LookupError, 60)},
    }

    @memoize(**options.get(where, {}))
    def function(x, *args, k=node if where == "default" else None):
        if where == "error":
            raise LookupError(node)
        return node if where == "value" else None

    node.function = function
    if where == "argument":
        function(node)
    elif where == "keyword":
        function(1, k=node)
    elif where == "further":
        function(1, (node,))
    elif where == "error":
        with pytest.raises(LookupError):
            function(1)
    else:
        function(1)
    references = weakref.ref(node), weakref.ref(function)
    del node, function, options, Callback
    gc.collect()
    assert all(reference() is None for reference in references)


def test_what_leaves_is_given_up_at_once():
    @memoize(maxsize=1, policy="lru")
    def function(x):
        return Node()

    references = [weakref.ref(function(1))]
    references.append(weakref.ref(function(2)))
    assert references[0]() is None
    function.invalidate(2)
    assert references[1]() is None
    references.append(weakref.ref(function(3)))
    function.set(None, 3)
    assert references[2]() is None
    references.append(weakref.ref(function(4)))
    function.cache_clear()
    assert references[3]() is None


def test_an_exception_is_given_up_at_once():
    @memoize
    def function(x):
        node = Node()
        references.append(weakref.ref(node))
        raise LookupError(node)

    references = []
    with pytest.raises(LookupError) as caught:
        function(1)
    del caught
    gc.collect()
    assert references[0]() is None


def test_threads_that_do_everything_at_once_get_right_values():
    @memoize(maxsize=16, ttl=60)
    def function(x, *, y=0):
        return x + y

    wrong = []

    def work(seed):
        choose = random.Random(seed)
        for _ in range(1500):
            x, what = choose.randrange(40), choose.randrange(20)
            if what == 0:
                function.invalidate(x)
            elif what == 1:
                function.set(x, x)
            elif what == 2 and function.refresh(x) != x:
                wrong.append(x)
            elif what == 3 and choose.random() < 0.1:
                function.cache_clear()
            elif what == 4:
                list(function)
            elif function(x, y=0) != x:
                wrong.append(x)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    info = function.cache_info()
    assert (info.in_flight, info.currsize <= 16) == (0, True)


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function, _ = counted(ttl=1, max_bytes=1000)
        assert function(1) == (1, 0)
