"""What `retain.cache` and `retain.lru_cache` promise: functools' behaviour, call by call."""

import copy
import functools
import gc
import itertools
import pickle
import sys
import threading
import weakref

import pytest
from extent import extent
from hypothesis import given, settings
from hypothesis import strategies as st
from retain import cache, lru_cache


def both(maxsize=128, typed=False):
    """The same function under functools and under retain; it returns what it was called with."""

    def echo(*args, **kwargs):
        return args, tuple(kwargs.items())

    return functools.lru_cache(maxsize, typed)(echo), lru_cache(maxsize, typed)(echo)


class Like:
    """Equal to everything of the same number, with a hash of its own choice."""

    def __init__(self, number, code=7):
        self.number, self.code = number, code

    def __eq__(self, other):
        return isinstance(other, Like) and self.number == other.number

    def __hash__(self):
        return self.code

    def __repr__(self):
        return f"Like({self.number})"


class IntChild(int):
    pass


class StrChild(str):
    __slots__ = ()


class TupleChild(tuple):
    __slots__ = ()


NAN = float("nan")
ARGUMENTS = [
    0,
    1,
    True,
    False,
    1.0,
    0.0,
    -0.0,
    -1,
    -2,
    2**70,
    2.0**70,
    NAN,
    None,
    "",
    "a",
    "1",
    b"a",
    (),
    (1,),
    (1.0,),
    (True,),
    ("a", 1),
    ((1,), 1.0),
    (NAN,),
    frozenset([1]),
    frozenset([1.0]),
    1j,
    IntChild(1),
    StrChild("a"),
    TupleChild((1,)),
    int,
    str,
    Like(1),
    Like(1),
    Like(2),
]
calls = st.tuples(
    st.lists(st.sampled_from(ARGUMENTS), max_size=3),
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(ARGUMENTS)),
        max_size=2,
        unique_by=lambda pair: pair[0],
    ),
)


def same(one, other):
    """Equality that tells 1 from 1.0, and one NaN from another."""
    return repr(one) == repr(other) and [type(x) for x in one[0]] == [type(x) for x in other[0]]


@settings(max_examples=extent(400, 100), deadline=None)
@given(
    st.sampled_from([None, 0, 1, 2, 3, 5, 128, -4]),
    st.booleans(),
    st.lists(st.one_of(calls, st.just("clear")), max_size=60),
)
def test_every_sequence_of_calls_gives_what_functools_gives(maxsize, typed, sequence):
    theirs, ours = both(maxsize, typed)
    for call in sequence:
        if call == "clear":
            theirs.cache_clear()
            ours.cache_clear()
        else:
            args, kwargs = call[0], dict(call[1])
            assert same(theirs(*args, **kwargs), ours(*args, **kwargs))
        assert ours.cache_info() == theirs.cache_info()


@pytest.mark.parametrize("typed", [False, True])
def test_two_arguments_are_one_entry_exactly_where_functools_says_so(typed):
    for one, other in itertools.permutations(ARGUMENTS, 2):
        theirs, ours = both(None, typed)
        for function in (theirs, ours):
            function(one), function(other)
            function(one, 1), function(other, 1)
            function(k=one), function(k=other)
            function((one, one)), function((other, other))
        assert ours.cache_info() == theirs.cache_info(), (one, other)


def test_the_order_of_keywords_is_part_of_the_key():
    theirs, ours = both()
    for function in (theirs, ours):
        function(a=1, b=2), function(b=2, a=1), function(1, b=2), function(a=1, b=2)
    assert ours.cache_info() == theirs.cache_info()
    assert ours.cache_info()[:2] == (1, 3)


def test_an_int_and_an_equal_float_are_as_functools_has_them():
    theirs, ours = both()
    for function in (theirs, ours):
        assert [function(x)[0][0] for x in (1, 1.0, True, 1)] == [1, 1.0, 1.0, 1]
    assert ours.cache_info() == theirs.cache_info() == (2, 2, 128, 2)


def test_keywords_built_at_run_time_find_the_same_entry():
    _, ours = both()
    ours(**{"na" + "me": 1})
    ours(**{str(b"name", "ascii"): 1})
    assert ours.cache_info()[:2] == (1, 1)
    assert ours(**{StrChild("name"): 2}) == ((), (("name", 2),))


@pytest.mark.parametrize("maxsize", [None, 10])
def test_unhashable_arguments_raise_and_leave_the_cache_whole(maxsize):
    _, ours = both(maxsize)
    ours(1)
    for args in ([[]], [1, {}], [([],)]):
        with pytest.raises(TypeError, match="unhashable type"):
            ours(*args)
    with pytest.raises(TypeError, match="unhashable type"):
        ours(k=[])
    ours(1)
    assert ours.cache_info()[:2] == (1, 1)


def test_without_room_nothing_needs_to_be_hashable():
    theirs, ours = both(0)
    assert ours([1]) == theirs([1])
    assert ours.cache_info() == theirs.cache_info() == (0, 1, 0, 0)


class Trap:
    """A key whose hash or equality does what it is told."""

    def __init__(self, on_hash=None, on_eq=None, answer=False):
        self.on_hash, self.on_eq, self.answer = on_hash, on_eq, answer

    def __hash__(self):
        if self.on_hash:
            self.on_hash()
        return 7

    def __eq__(self, other):
        if self.on_eq:
            self.on_eq()
        return self.answer


def fail():
    raise ZeroDivisionError


@pytest.mark.parametrize("maxsize", [None, 10])
def test_a_hash_that_raises_comes_through(maxsize):
    _, ours = both(maxsize)
    ours(1)
    with pytest.raises(ZeroDivisionError):
        ours(Trap(on_hash=fail))
    with pytest.raises(ZeroDivisionError):
        ours(1, Trap(on_hash=fail))
    assert ours.cache_info()[:2] == (0, 1)
    assert ours(1) == ((1,), ())


@pytest.mark.parametrize("maxsize", [None, 10])
def test_an_equality_that_raises_comes_through(maxsize):
    _, ours = both(maxsize)
    stored = Trap()
    ours(stored)
    stored.on_eq = fail
    with pytest.raises(ZeroDivisionError):
        ours(Trap())
    stored.on_eq = None
    assert ours(stored) == ((stored,), ())
    assert ours.cache_info()[0] == 1


@pytest.mark.parametrize("maxsize", [None, 3])
def test_an_equality_that_clears_the_cache_is_survived(maxsize):
    _, ours = both(maxsize)
    stored = [Trap() for _ in range(3)]
    for key in stored:
        ours(key)
    for key in stored:
        key.on_eq = ours.cache_clear
    given = Trap()
    assert ours(given)[0][0] is given
    assert ours.cache_info().currsize <= 1


@pytest.mark.parametrize("maxsize", [None, 2])
def test_an_equality_that_calls_the_function_is_survived(maxsize):
    _, ours = both(maxsize)
    stored = Trap()
    ours(stored)

    def reenter():
        stored.on_eq = None
        for number in range(20):
            ours(number)
        gc.collect()

    stored.on_eq = reenter
    given = Trap()
    assert ours(given)[0][0] is given
    assert ours(1) == ((1,), ())


def test_an_argument_that_is_the_stored_one_is_never_compared():
    _, ours = both()
    key = Trap(on_eq=fail)
    ours(key)
    assert ours(key)[0][0] is key
    assert ours.cache_info().hits == 1


def test_different_hashes_are_never_compared():
    theirs, ours = both()
    for function in (theirs, ours):
        function(Like(1, code=1))
        function(Like(1, code=2))
    assert ours.cache_info() == theirs.cache_info()
    assert ours.cache_info().misses == 2


def test_a_recursive_function_computes_each_value_once():
    calls = []

    @cache
    def fibonacci(n):
        calls.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(150) == 9969216677189303386214405760200
    assert sorted(calls) == list(range(151))


def test_a_call_that_calls_itself_is_counted_as_functools_counts_it():
    def count(decorate):
        @decorate
        def function(n, inner=True):
            return function(n, inner=False) if inner else n

        function(1), function(1), function(1, inner=False), function(2)
        return function.cache_info()

    assert count(lru_cache(maxsize=2)) == count(functools.lru_cache(maxsize=2))
    assert count(cache) == count(functools.cache)


def test_recursion_without_end_raises_recursion_error():
    @cache
    def forever(n):
        return forever(n + 1)

    with pytest.raises(RecursionError):
        forever(0)
    assert forever.cache_info().currsize == 0


def test_an_exception_is_not_kept():
    calls = []

    @cache
    def function(x):
        calls.append(x)
        raise ValueError(x)

    for _ in range(2):
        with pytest.raises(ValueError, match="3"):
            function(3)
    assert calls == [3, 3]
    assert function.cache_info() == (0, 2, None, 0)


def test_the_least_recently_used_leaves_first():
    calls = []

    @lru_cache(maxsize=2)
    def function(x):
        calls.append(x)
        return x

    for x in (1, 2, 1, 3, 1, 2):
        function(x)
    assert calls == [1, 2, 3, 2]


@pytest.mark.parametrize("maxsize", [-1, -(2**70)])
def test_a_negative_maxsize_keeps_nothing(maxsize):
    _, ours = both(maxsize)
    ours(1), ours(1)
    assert ours.cache_info() == (0, 2, 0, 0)
    assert ours.cache_parameters() == {"maxsize": 0, "typed": False}


@pytest.mark.parametrize("wrong", ["10", 1.5, [], object()])
def test_a_maxsize_of_another_kind_raises_what_functools_raises(wrong):
    with pytest.raises(TypeError) as theirs:
        functools.lru_cache(wrong)
    with pytest.raises(TypeError) as ours:
        lru_cache(wrong)
    assert str(ours.value) == str(theirs.value)


def test_what_is_not_callable_cannot_be_decorated():
    for decorate in (cache, lru_cache(), lru_cache(maxsize=None), lru_cache(maxsize=0)):
        with pytest.raises(TypeError, match="the first argument must be callable"):
            decorate(3)


@pytest.mark.parametrize(
    ("decorate", "parameters"),
    [
        (cache, {"maxsize": None, "typed": False}),
        (lru_cache, {"maxsize": 128, "typed": False}),
        (lru_cache(), {"maxsize": 128, "typed": False}),
        (lru_cache(maxsize=3, typed=True), {"maxsize": 3, "typed": True}),
        (lru_cache(7), {"maxsize": 7, "typed": False}),
        (lru_cache(None, True), {"maxsize": None, "typed": True}),
    ],
)
def test_every_way_to_decorate_tells_its_parameters(decorate, parameters):
    function = decorate(lambda x: x)
    assert function.cache_parameters() == parameters
    assert function.cache_info().maxsize == parameters["maxsize"]
    function.cache_parameters()["maxsize"] = 99
    assert function.cache_parameters() == parameters


def test_cache_info_is_functools_own_named_tuple():
    theirs, ours = both()
    assert type(ours.cache_info()) is type(theirs.cache_info())


def test_the_wrapper_looks_like_the_function():
    def function(x: int, *, y: str = "a") -> str:
        """Documented."""

    function.colour = "red"
    ours = cache(function)
    assert ours.__wrapped__ is function
    assert (ours.__name__, ours.__doc__, ours.__module__) == ("function", "Documented.", __name__)
    assert ours.__qualname__ == function.__qualname__
    assert ours.__annotations__ == function.__annotations__
    assert ours.colour == "red"
    ours.colour = "blue"
    assert function.colour == "red"
    import inspect

    assert inspect.signature(ours) == inspect.signature(function)


@cache
def at_the_top(x):
    return x


class Holder:
    @lru_cache(maxsize=4)
    def method(self, x=0):
        return self, x

    @staticmethod
    @cache
    def static(x):
        return x

    @classmethod
    @cache
    def of_class(cls, x):
        return cls, x


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_by_name(protocol):
    assert pickle.loads(pickle.dumps(at_the_top, protocol)) is at_the_top
    assert pickle.loads(pickle.dumps(Holder.method, protocol)) is Holder.method


def test_a_local_function_cannot_be_pickled():
    theirs, ours = both()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(theirs)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(ours)


def test_copies_are_the_function_itself():
    assert copy.copy(at_the_top) is at_the_top
    assert copy.deepcopy(at_the_top) is at_the_top
    assert copy.deepcopy([at_the_top])[0] is at_the_top


def test_methods_bind_as_functions_do():
    one, other = Holder(), Holder()
    assert one.method(1) == (one, 1)
    assert one.method() == (one, 0)
    assert other.method(1) == (other, 1)
    bound = one.method
    assert bound.__self__ is one
    assert bound(1)[0] is one
    assert Holder.method(one, 1)[0] is one
    assert Holder.method.cache_info().hits >= 2
    assert one.method == one.method
    assert Holder.static(3) == Holder().static(3) == 3
    assert Holder.of_class(3) == Holder().of_class(3) == (Holder, 3)

    class Child(Holder):
        pass

    assert Child.of_class(3) == (Child, 3)
    Holder.method.cache_clear()


def test_a_method_without_instance_raises_the_functions_own_error():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'self'"):
        Holder.method()


def test_a_key_keeps_its_argument_alive_until_it_leaves():
    @lru_cache(maxsize=1)
    def function(x):
        return None

    key = Like(1)
    gone = weakref.ref(key)
    function(key)
    del key
    gc.collect()
    assert gone() is not None
    function(2)
    assert gone() is None


def test_clearing_gives_everything_up():
    @cache
    def function(key, **kwargs):
        return Like(3)

    keys = [Like(number) for number in range(20)]
    gone = [weakref.ref(key) for key in keys]
    gone += [weakref.ref(function(key, k=Like(0))) for key in keys]
    keys.clear()
    assert all(reference() is not None for reference in gone)
    function.cache_clear()
    assert all(reference() is None for reference in gone)


def test_a_value_that_calls_back_while_it_is_dropped_is_survived():
    class Late:
        def __init__(self, function):
            self.function = function

        def __del__(self):
            self.function(99)
            self.function.cache_info()

    @lru_cache(maxsize=2)
    def function(x):
        return Late(function) if x < 10 else x

    for x in range(10):
        function(x)
    function.cache_clear()
    assert function.cache_info().currsize <= 1
    assert function(99) == 99
    function.cache_clear()


def make_cycle(decorate, where):
    """References to a function whose cache refers back to it, and to what the cycle runs through."""

    class Node:
        pass

    node = Node()

    @decorate
    def function(*args, **kwargs):
        return node if where == "value" else None

    node.function = function
    if where == "value":
        function(1)
    elif where == "key":
        function(node)
    elif where == "second key":
        function(1, node)
    elif where == "keyword":
        function(k=node)
    elif where == "inside a tuple":
        function((node, 1))
    else:
        function.attribute = function
    return weakref.ref(function), weakref.ref(node)


@pytest.mark.parametrize("where", ["value", "key", "second key", "keyword", "inside a tuple", "attribute"])
@pytest.mark.parametrize("decorate", [cache, lru_cache, lru_cache(maxsize=None, typed=True)])
def test_a_cycle_through_the_cache_is_collected(decorate, where):
    references = make_cycle(decorate, where)
    gc.collect()
    assert all(reference() is None for reference in references)


def test_the_collector_does_not_take_what_is_in_use():
    @lru_cache(maxsize=None)
    def function(*args, **kwargs):
        return [args, kwargs]

    expected = [(function([].__len__, number), number) for number in range(5)]
    results = [function((number, str(number)), k=number) for number in range(2000)]
    for _ in range(3):
        gc.collect()
    assert [function((number, str(number)), k=number) for number in range(2000)] == results
    assert all(result[0][1] == number for result, number in expected)


def test_the_wrapper_can_be_weakly_referenced():
    ours = cache(lambda: 1)
    reference = weakref.ref(ours)
    assert reference() is ours
    del ours
    gc.collect()
    assert reference() is None


def test_threads_get_right_values_and_the_counts_add_up():
    threads, rounds = 8, 2000

    @lru_cache(maxsize=50)
    def function(x, *, y=0):
        return x, y

    wrong = []

    def work(seed):
        for step in range(rounds):
            x = (seed * 31 + step * 7) % 97
            if function(x, y=x) != (x, x):
                wrong.append(x)
            if step % 500 == 499:
                gc.collect(0)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    info = function.cache_info()
    assert not wrong
    assert info.hits + info.misses == threads * rounds
    assert info.currsize == 50


def test_threads_that_clear_while_others_call_do_no_harm():
    @cache
    def function(key):
        return key.number

    wrong, stop = [], threading.Event()

    def call():
        number = 0
        while not stop.is_set():
            number = (number + 1) % 40
            if function(Like(number)) != number:
                wrong.append(number)

    def clear():
        for _ in range(300):
            function.cache_clear()
            function.cache_info()
            function(Like(1))
        stop.set()

    workers = [threading.Thread(target=call) for _ in range(3)]
    workers.append(threading.Thread(target=clear))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_two_threads_in_the_same_call_both_compute():
    together = threading.Barrier(2, timeout=20)

    @cache
    def function(x):
        together.wait()
        return object()

    results = []
    workers = [threading.Thread(target=lambda: results.append(function(1))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 2
    assert function.cache_info() == (0, 2, None, 1)
    assert function(1) in results


def test_the_size_in_memory_grows_with_the_entries():
    _, ours = both(None)
    empty = sys.getsizeof(ours)
    for number in range(1000):
        ours(number)
    assert sys.getsizeof(ours) >= empty + 1000 * 8


def test_other_callables_can_be_cached():
    assert cache(functools.partial(max, 3))(5) == 5
    assert cache(len)("abc") == 3
    assert cache(int)("3") == 3

    class Callable:
        def __call__(self, x):
            return x + 1

    assert cache(Callable())(1) == 2
