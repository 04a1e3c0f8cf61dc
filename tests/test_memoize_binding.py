"""A call has one key however it is spelled: `memoize` binds arguments by the function's signature."""

import functools
import inspect
import threading

import pytest
from extent import extent
from hypothesis import given, settings
from hypothesis import strategies as st
from retain import memoize


def entries(function):
    return function.cache_info().currsize


def test_keyword_order_makes_no_difference():
    function = memoize(lambda a, b, c: (a, b, c))
    for arguments in ({"a": 1, "b": 2, "c": 3}, {"c": 3, "b": 2, "a": 1}, {"b": 2, "a": 1, "c": 3}):
        assert function(**arguments) == (1, 2, 3)
    assert function(1, c=3, b=2) == function(1, 2, 3) == (1, 2, 3)
    assert function.cache_info()[:2] == (4, 1)


def test_defaults_spelled_out_make_no_difference():
    function = memoize(lambda a, b=2, *, c=3: (a, b, c))
    for _ in range(2):
        function(1), function(1, 2), function(1, 2, c=3), function(1, c=3), function(b=2, a=1)
    assert function.cache_info()[:2] == (9, 1)
    assert function(1, b=3) == (1, 3, 3)


def test_a_default_of_another_type_is_another_call():
    function = memoize(lambda a=1: object())
    assert function() is function(1)
    assert function() is not function(1.0)
    assert function() is not function(True)


def test_an_unhashable_default_is_told_by_its_content():
    calls = []

    def function(a, extra=[]):  # noqa: B006
        calls.append(a)
        return a, extra

    memoized = memoize(function)
    assert memoized(1) == memoized(1) == (1, [])
    assert memoized(1, []) == (1, [])
    assert calls == [1]
    function.__defaults__[0].append(2)
    assert memoized(1) == memoized(1, [2]) == (1, [2])
    assert calls == [1, 1]


def test_keyword_only_arguments():
    function = memoize(lambda *, a, b=2: (a, b))
    assert function(a=1) == function(b=2, a=1) == (1, 2)
    assert entries(function) == 1
    with pytest.raises(TypeError, match="takes 0 positional arguments but 1 was given"):
        function(1)


def test_positional_only_arguments():
    def function(a, b=2, /, c=3):
        return a, b, c

    memoized = memoize(function)
    assert memoized(1) == memoized(1, 2) == memoized(1, 2, c=3) == (1, 2, 3)
    assert entries(memoized) == 1
    with pytest.raises(TypeError, match="positional-only arguments passed as keyword"):
        memoized(a=1)


def test_a_positional_only_name_can_be_a_further_keyword_too():
    def function(a, /, **rest):
        return a, rest

    memoized = memoize(function)
    assert memoized(1, a=2) == (1, {"a": 2})
    assert memoized(2, a=1) == (2, {"a": 1})
    assert memoized(1) == (1, {})
    assert entries(memoized) == 3


def test_further_arguments_are_part_of_the_key():
    function = memoize(lambda a, *rest: (a, rest))
    assert function(1) == (1, ())
    assert function(1, 2) == (1, (2,))
    assert function(1, 2, 3) == (1, (2, 3))
    assert function(1, (2, 3)) == (1, ((2, 3),))
    assert function(1, 2, 3) == (1, (2, 3))
    assert function.cache_info()[:2] == (1, 4)


def test_further_keywords_are_part_of_the_key_in_any_order():
    function = memoize(lambda a=0, **rest: (a, tuple(sorted(rest.items()))))
    assert function(x=1, y=2) == function(y=2, x=1) == function(y=2, a=0, x=1)
    assert entries(function) == 1
    assert function(x=2, y=1) == (0, (("x", 2), ("y", 1)))
    assert function(x=1) == (0, (("x", 1),))
    assert function(z=1, y=2) == (0, (("y", 2), ("z", 1)))
    assert entries(function) == 4


def test_further_arguments_and_further_keywords_are_not_confused():
    function = memoize(lambda *args, **kwargs: (args, kwargs))
    assert function(("a", 1)) == ((("a", 1),), {})
    assert function("a", 1) == (("a", 1), {})
    assert function(a=1) == ((), {"a": 1})
    assert function(1, a=1) == ((1,), {"a": 1})
    assert function(1, 1) == ((1, 1), {})
    assert function(1, ("a",)) == ((1, ("a",)), {})
    assert function(a=1, b=2) == ((), {"a": 1, "b": 2})
    assert function(1, b=2) == ((1,), {"b": 2})
    assert function() == ((), {})
    assert entries(function) == 9


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((1,), {}),
        ((1, 2, 3, 4), {}),
        ((1, 2), {"a": 1}),
        ((1, 2), {"nothing": 1}),
        ((1,), {"c": 1}),
    ],
)
def test_arguments_that_do_not_fit_raise_the_functions_own_error(args, kwargs):
    def function(a, b, c=3):
        return a

    with pytest.raises(TypeError) as theirs:
        function(*args, **kwargs)
    with pytest.raises(TypeError) as ours:
        memoize(function)(*args, **kwargs)
    assert str(ours.value) == str(theirs.value)


# --- ignore ---


def test_an_ignored_parameter_makes_no_difference():
    calls = []

    @memoize(ignore=["log"])
    def function(x, log=None, *, y=0):
        calls.append((x, log, y))
        return x, y

    assert function(1, print) == function(1, len) == function(1, log=[]) == function(1) == (1, 0)
    assert function(1, y=1) == (1, 1)
    assert calls == [(1, print, 0), (1, None, 1)]
    assert function.invalidate(1, log=object()) is True
    assert [entry.arguments for entry in function] == [{"x": 1, "y": 1}]


def test_every_kind_of_parameter_can_be_ignored():
    calls = []

    @memoize(ignore=("a", "rest", "k", "named"))
    def function(a, b, /, *rest, k=1, m=2, **named):
        calls.append(b)
        return b, m

    assert function([1], 2) == function({}, 2, [3], [4], k=[5], other=[6]) == (2, 2)
    assert function(0, 2, m=3) == function(1, 2, 9, m=3) == (2, 3)
    assert calls == [2, 2]


def test_everything_can_be_ignored():
    function = memoize(lambda x: object(), ignore=["x"])
    assert function(1) is function([2])
    assert entries(function) == 1


def test_a_required_parameter_that_is_ignored_is_still_required():
    function = memoize(lambda x, log: x, ignore=["log"])
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'log'"):
        function(1)


def test_ignoring_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="ignore names 'loger', but .* has no such parameter; it"):
        memoize(lambda x, logger: x, ignore=["loger"])
    with pytest.raises(ValueError, match="does not tell the names of its parameters: use key="):
        memoize(max, ignore=["key"])


# --- Other callables ---


def test_partials():
    def function(a, b, c=3):
        return a, b, c

    by_position = memoize(functools.partial(function, 1))
    assert by_position(2) == by_position(b=2) == by_position(2, c=3) == by_position(2, 3)
    assert entries(by_position) == 1

    by_keyword = memoize(functools.partial(function, b=2))
    assert by_keyword(1) == by_keyword(a=1) == by_keyword(1, b=2) == by_keyword(1, c=3) == (1, 2, 3)
    assert entries(by_keyword) == 1
    assert by_keyword(1, b=5) == (1, 5, 3)


def test_callable_objects():
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, x, y=1):
            return self.factor * x * y

    double, triple = memoize(Scale(2)), memoize(Scale(3))
    assert (double(5), triple(5)) == (10, 15)
    assert double(x=5, y=1) == 10
    assert entries(double) == 1


def test_classes():
    class Point:
        def __init__(self, x, y=0):
            self.place = x, y

    point = memoize(Point)
    assert point(1) is point(x=1, y=0)
    assert point(1).place == (1, 0)
    assert isinstance(point(1), Point)


def test_bound_methods():
    text = memoize("a-b-c".split)
    assert text("-") == text(sep="-") == text("-", maxsplit=-1) == ["a", "b", "c"]
    assert entries(text) == 1


def test_builtins_that_tell_no_signature():
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(max)
    biggest = memoize(max)
    assert biggest(1, 2) == biggest(1, 2) == 2
    assert biggest("a", "bb", key=len) == biggest("a", "bb", key=len) == "bb"
    assert biggest.cache_info()[:2] == (2, 2)
    with pytest.raises(TypeError, match="max expected at least 1 argument, got 0"):
        biggest()


def test_a_decorated_function_is_bound_by_what_the_decorator_takes():
    def shift(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args[1:], **kwargs)

        return wrapper

    @memoize
    @shift
    def function(a, b=2):
        return a, b

    assert function("dropped", 1) == (1, 2)
    assert function("dropped", 1, 5) == (1, 5)
    assert function("other", 1) == (1, 2)
    assert entries(function) == 3


def test_a_memoized_function_can_be_memoized():
    calls = []
    inner = memoize(lambda a, b=2: calls.append(a) or (a, b))
    outer = memoize(inner)
    assert outer(1) == outer(1, 2) == outer(b=2, a=1) == (1, 2)
    assert calls == [1]


def test_names_that_are_not_interned_are_found():
    function = memoize(lambda alpha, beta=2: (alpha, beta))
    assert function(**{str(b"alpha", "ascii"): 1}) == function(1) == (1, 2)
    assert entries(function) == 1


def test_a_name_of_a_subclass_of_str_gives_the_right_result():
    class Name(str):
        __slots__ = ()

    function = memoize(lambda alpha, **rest: (alpha, rest))
    assert function(**{Name("alpha"): 1}) == (1, {})
    assert function(1, **{Name("beta"): 2}) == (1, {"beta": 2})
    assert function(1, beta=3) == (1, {"beta": 3})


def test_many_parameters():
    names = [f"p{number}" for number in range(40)]
    namespace = {}
    exec(  # noqa: S102
        f"def function({', '.join(f'{n}={i}' for i, n in enumerate(names))}): return {names[-1]}",
        namespace,
    )
    function = memoize(namespace["function"])
    assert function() == function(*range(40)) == function(**dict(zip(names, range(40), strict=True)))
    assert entries(function) == 1
    assert function(p39="last") == "last"


# --- Against the interpreter ---

values = st.integers(0, 1)


@st.composite
def signatures(draw):
    """Parameters in a legal order, some with defaults."""
    kinds = inspect.Parameter
    parameters, default_seen = [], False
    for kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD):
        for _ in range(draw(st.integers(0, 2))):
            default_seen = default_seen or draw(st.booleans())
            default = draw(values) if default_seen else kinds.empty
            parameters.append(kinds("abcd"[len(parameters)], kind, default=default))
    if draw(st.booleans()):
        parameters.append(kinds("rest", kinds.VAR_POSITIONAL))
    for name in "mn"[: draw(st.integers(0, 2))]:
        default = draw(values) if draw(st.booleans()) else kinds.empty
        parameters.append(kinds(name, kinds.KEYWORD_ONLY, default=default))
    if draw(st.booleans()):
        parameters.append(kinds("named", kinds.VAR_KEYWORD))
    return inspect.Signature(parameters)


def make(signature):
    namespace = {}
    names = ", ".join(signature.parameters)
    exec(f"def function{signature}: return ({names}{',' if names else ''})", namespace)  # noqa: S102
    return namespace["function"]


spelled = st.tuples(st.lists(values, max_size=5), st.dictionaries(st.sampled_from("abcdmnxy"), values, max_size=4))


@settings(max_examples=extent(300, 100), deadline=None)
@given(signatures(), st.lists(spelled, max_size=12))
def test_two_calls_are_one_exactly_if_the_interpreter_binds_them_alike(signature, calls):
    function = make(signature)
    memoized = memoize(function)
    distinct = set()
    for args, kwargs in calls:
        try:
            expected = function(*args, **kwargs)
        except TypeError as error:
            with pytest.raises(TypeError) as caught:
                memoized(*args, **kwargs)
            assert str(caught.value) == str(error)
            continue
        assert memoized(*args, **kwargs) == expected
        # What it returns is how the interpreter bound the call.
        distinct.add(tuple(tuple(sorted(x.items())) if isinstance(x, dict) else x for x in expected))
        assert memoized.cache_info().currsize == len(distinct)


def test_further_arguments_without_identity_are_named():
    function = memoize(lambda *args, **kwargs: args)
    with pytest.raises(TypeError, match=r"argument number 2 -> \[0\]: .*key="):
        function(1, [threading.Lock()])
    with pytest.raises(TypeError, match=r"argument 'cfg' -> \[0\]: .*key="):
        function(1, cfg=[threading.Lock()])
