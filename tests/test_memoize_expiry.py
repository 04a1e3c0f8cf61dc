"""How long `memoize` keeps results, how many, at what weight, and what callers get of them."""

import gc
import sys
import threading
import time
import traceback
import warnings
from datetime import timedelta
from fractions import Fraction

import pytest
from retain import memoize

SHORT = 0.03
"""Seconds to live of what is to end soon."""
LONG = 600
"""Seconds to live of what is not to end."""


def outlive(seconds=SHORT):
    """Return when so many seconds have passed by the clock that results end by."""
    end = time.monotonic() + seconds + 0.01
    while time.monotonic() < end:
        time.sleep(0.005)


def counted(**options):
    calls = []

    @memoize(**options)
    def function(x):
        calls.append(x)
        return f"{x} for the {calls.count(x)}. time"

    return function, calls


# --- Time to live ---


@pytest.mark.parametrize("ttl", [SHORT, timedelta(seconds=SHORT), Fraction(3, 100)])
def test_a_result_ends_with_its_time_to_live(ttl):
    function, calls = counted(ttl=ttl)
    function(1)
    outlive()
    assert function(1) == "1 for the 2. time"
    assert calls == [1, 1]
    info = function.cache_info()
    assert (info.hits, info.misses, info.expirations, info.evictions) == (0, 2, 1, 0)


@pytest.mark.parametrize("ttl", [LONG, timedelta(hours=1), float("inf"), 10**400])
def test_a_result_lives_as_long_as_its_time_to_live(ttl):
    function, calls = counted(ttl=ttl)
    assert function(1) == function(1) == "1 for the 1. time"
    assert calls == [1]


def test_a_hit_does_not_prolong_the_time_to_live():
    function, calls = counted(ttl=0.15)
    started = time.monotonic()
    while len(calls) < 2 and time.monotonic() < started + 20:
        function(1)
        time.sleep(0.005)
    assert len(calls) == 2


def test_an_ended_result_is_not_shown():
    function, _ = counted(ttl=SHORT)
    function(1)
    outlive()
    with pytest.raises(KeyError):
        function.peek(1)
    assert list(function) == []
    assert function.invalidate(1) is False


def test_set_and_refresh_begin_the_time_anew():
    function, calls = counted(ttl=SHORT)
    function(1)
    outlive()
    function.set("given", 1)
    outlive()
    assert function(1) == "1 for the 2. time"
    outlive()
    assert function.refresh(1) == "1 for the 3. time"
    assert calls == [1, 1, 1]


def test_a_callable_tells_how_long_each_result_lives():
    calls = []
    lives = {"soon": SHORT, "later": LONG, "never": None, "at once": 0}

    @memoize(ttl=lives.get)
    def function(x):
        calls.append(x)
        return x

    for x in lives:
        function(x)
    outlive()
    for x in lives:
        function(x)
    assert calls == [*lives, "soon", "at once"]


@pytest.mark.parametrize(
    ("lifetime", "message"),
    [
        (lambda _: -1, "ttl returned -1, but a time to live is 0 seconds or more, or None"),
        (lambda _: float("nan"), "ttl returned nan, but a time to live is 0 seconds or more"),
        (lambda _: "x", "ttl returned 'x', but a time to live is a number of seconds, or None"),
        (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_lifetime_that_makes_no_sense_is_warned_of_and_the_result_is_returned(lifetime, message):
    function, calls = counted(ttl=lifetime)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match=r"a result of .*function\(\) was returned but not kept") as caught:
            assert function(1).startswith("1 for")
        assert message in str(caught[0].message)
    assert len(calls) == 2
    assert function.cache_info().currsize == 0


def test_jitter_shortens_lives_each_by_another_share():
    much = memoize(lambda x: x, ttl=6, ttl_jitter=1, maxsize=None)
    little = memoize(lambda x: x, ttl=60, ttl_jitter=0.1, maxsize=None)
    for x in range(300):
        much(x), little(x)
    time.sleep(1)
    # Some of the lives of up to 6 s are over; those of at least 54 s are not.
    assert 10 < sum(1 for _ in much) < 290
    assert sum(1 for _ in little) == 300


def test_jitter_can_be_combined_with_a_callable():
    function, calls = counted(ttl=lambda _: LONG, ttl_jitter=0.5)
    assert function(1) == function(1)
    assert calls == [1]


# --- Time to idle ---


def test_a_result_that_nobody_asks_for_ends():
    function, calls = counted(time_to_idle=SHORT)
    function(1)
    outlive()
    function(1)
    assert calls == [1, 1]
    assert function.cache_info().expirations == 1


def test_a_result_that_is_asked_for_does_not_end():
    function, calls = counted(time_to_idle=1)
    started = time.monotonic()
    while time.monotonic() < started + 1.5:
        function(1)
        time.sleep(0.01)
    assert calls == [1]


def test_time_to_idle_does_not_prolong_the_time_to_live():
    function, calls = counted(time_to_idle=LONG, ttl=SHORT)
    function(1)
    outlive()
    function(1)
    assert calls == [1, 1]


# --- Stale while revalidate ---


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def test_a_stale_result_is_served_while_one_thread_computes_anew():
    go, computing = threading.Event(), threading.Event()
    calls = []

    @memoize(ttl=SHORT, stale_while_revalidate=LONG)
    def function(x):
        calls.append(threading.current_thread())
        if len(calls) == 2:
            computing.set()
            go.wait(20)
        return len(calls)

    assert function(1) == 1
    outlive()
    for _ in range(5):
        assert function(1) == 1
    assert computing.wait(20)
    assert function(1) == 1
    assert function.cache_info().in_flight == 1
    go.set()
    wait_for(lambda: function.cache_info().in_flight == 0)
    assert len(calls) == 2
    assert calls[1] is not threading.current_thread()
    assert calls[1].daemon
    assert function.peek(1) == 2


def test_too_stale_is_not_served():
    function, calls = counted(ttl=SHORT, stale_while_revalidate=SHORT)
    function(1)
    outlive(2 * SHORT)
    assert function(1) == "1 for the 2. time"
    assert calls == [1, 1]


def test_a_failed_renewal_is_logged_and_the_stale_result_served_on(caplog):
    calls = []

    @memoize(ttl=SHORT, stale_while_revalidate=LONG)
    def function(x):
        calls.append(x)
        if len(calls) > 1:
            raise LookupError("no luck")
        return "old"

    function(1)
    outlive()
    assert function(1) == "old"
    wait_for(lambda: caplog.records)
    assert "the stale one is served while it may be" in caplog.text
    assert "no luck" in caplog.text
    assert caplog.records[0].name == "retain"
    assert function(1) == "old"
    wait_for(lambda: len(calls) == 3)
    wait_for(lambda: len(caplog.records) == 2)


def test_a_stale_result_is_a_hit():
    function, _ = counted(ttl=SHORT, stale_while_revalidate=LONG)
    function(1)
    outlive()
    function(1)
    wait_for(lambda: function.cache_info().in_flight == 0)
    info = function.cache_info()
    assert (info.hits, info.misses) == (1, 1)


# --- Weight ---


def test_the_weight_of_all_results_is_bounded():
    function = memoize(lambda x: "a" * x, max_bytes=100, weigher=len, policy="lru")
    for x in (40, 41, 42, 43):
        assert len(function(x)) == x
    info = function.cache_info()
    assert (info.weight, info.currsize, info.evictions) == (42 + 43, 2, 2)
    assert [entry.weight for entry in function] in ([42, 43], [43, 42])


def test_a_result_heavier_than_all_room_is_returned_and_not_kept():
    function = memoize(lambda x: "a" * x, max_bytes=100, weigher=len)
    function(50)
    assert len(function(101)) == 101
    assert function.cache_info().currsize == 1
    assert function.peek(50)


def test_replacing_a_result_replaces_its_weight():
    function = memoize(lambda x: "a" * x, max_bytes=100, weigher=len)
    function(10)
    function.set("a" * 30, 10)
    assert function.cache_info().weight == 30
    function.invalidate(10)
    assert function.cache_info().weight == 0
    function.set("", 10)
    assert function.cache_info().currsize == 1


def test_weight_and_count_bound_together():
    function = memoize(lambda x: "a" * x, max_bytes=1000, maxsize=3, weigher=len)
    for x in range(10):
        function(x)
    assert function.cache_info().currsize == 3
    function(990)
    assert function.cache_info().weight <= 1000


def test_a_weigher_without_a_bound_only_tells():
    function = memoize(lambda x: "a" * x, weigher=len)
    function(5), function(6)
    assert function.cache_info().weight == 11


def test_fractions_of_weight_count_as_one_more():
    function = memoize(lambda x: x, weigher=lambda _: 1.5)
    function(1)
    assert function.cache_info().weight == 2


def test_the_default_weigher_counts_bytes():
    function = memoize(lambda x: b"a" * x, max_bytes=10_000)
    for _ in range(2):
        for x in range(3000, 3010):
            function(x)
    info = function.cache_info()
    assert info.currsize == 3
    assert 9000 < info.weight <= 10_000


def test_the_default_weigher_follows_what_a_result_holds():
    from retain._weigh import weigh

    class Plain:
        def __init__(self, value):
            self.value = value

    class Slots:
        __slots__ = ("value",)

        def __init__(self, value):
            self.value = value

    data = b"a" * 100_000
    held = [
        [data],
        (data,),
        {data},
        frozenset([data]),
        {"key": data},
        {data: 1},
        Plain(data),
        Slots(data),
        [[(Plain([data]),)]],
        bytearray(data),
        "a" * 100_000,
    ]
    for value in held:
        assert 100_000 < weigh(value) < 103_000, type(value)
    assert weigh([data] * 1000) < 120_000
    assert weigh([weigh, sys, int]) < 200
    circle = []
    circle.append(circle)
    assert weigh(circle) > 0


def test_the_default_weigher_estimates_what_is_very_large():
    from retain._weigh import weigh

    value = [bytes(100) for _ in range(300_000)]
    exact = sys.getsizeof(value) + 300_000 * sys.getsizeof(value[0])
    assert 0.5 * exact < weigh(value) < 1.5 * exact


@pytest.mark.parametrize(
    ("weigher", "message"),
    [
        (lambda _: -1, "weigher returned -1, but a weight is 0 or more"),
        (lambda _: float("nan"), "weigher returned nan, but a weight is 0 or more"),
        (lambda _: "heavy", "weigher returned 'heavy', but a weight is a number"),
        (lambda _: None, "weigher returned None, but a weight is a number"),
        (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: 1, "TypeError: "),
    ],
)
@pytest.mark.parametrize("single_flight", [True, False])
def test_a_weigher_that_fails_is_warned_of_and_the_result_is_returned(weigher, message, single_flight):
    function, calls = counted(weigher=weigher, max_bytes=100, single_flight=single_flight)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match=r"a result of .*function\(\) was returned but not kept") as caught:
            assert function(1).startswith("1 for")
        assert message in str(caught[0].message)
    assert len(calls) == 2
    info = function.cache_info()
    assert (info.currsize, info.in_flight, info.weight) == (0, 0, 0)
    with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
        function.set("x", 1)


def test_the_warning_names_the_line_of_the_call():
    function = memoize(lambda x: x, weigher=lambda _: -1)
    with pytest.warns(RuntimeWarning) as caught:
        function(1)
    assert caught[0].filename == __file__


def test_a_warning_made_an_error_is_raised_and_nobody_waits_for_ever():
    function = memoize(lambda x: x, weigher=lambda _: -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            function(1)
    assert function.cache_info().in_flight == 0


def test_an_interrupt_inside_the_weigher_is_not_swallowed():
    def interrupt(_):
        raise KeyboardInterrupt

    for options in ({"weigher": interrupt}, {"ttl": interrupt}):
        function = memoize(lambda x: x, **options)
        with pytest.raises(KeyboardInterrupt):
            function(1)
        assert function.cache_info().in_flight == 0


# --- Exceptions that are kept ---


def failing(**options):
    calls = []

    @memoize(**options)
    def function(x):
        calls.append(x)
        raise LookupError(x) if x else OSError("zero")

    return function, calls


def test_an_exception_is_kept_for_its_time():
    function, calls = failing(cache_exceptions=(LookupError, LONG))
    for _ in range(3):
        with pytest.raises(LookupError, match="5"):
            function(5)
        with pytest.raises(OSError, match="zero"):
            function(0)
    assert calls == [5, 0, 0, 0]
    assert function.cache_info()[:2] == (2, 4)


def test_a_kept_exception_ends_with_its_time():
    function, calls = failing(cache_exceptions=((LookupError, OSError), timedelta(seconds=SHORT)))
    for x in (1, 0):
        with pytest.raises((LookupError, OSError)):
            function(x)
    outlive()
    for x in (1, 0):
        with pytest.raises((LookupError, OSError)):
            function(x)
    assert calls == [1, 0, 1, 0]


def test_results_live_on_where_exceptions_end():
    calls = []

    @memoize(cache_exceptions=(LookupError, SHORT))
    def function(x):
        calls.append(x)
        return x

    function(1)
    outlive()
    function(1)
    assert calls == [1]


def test_a_kept_exception_does_not_grow():
    function, _ = failing(cache_exceptions=(LookupError, LONG))
    depths = []
    for _ in range(10):
        try:
            function(1)
        except LookupError as error:
            depths.append(len(traceback.extract_tb(error.__traceback__)))
    assert len(set(depths[1:])) == 1


def test_a_kept_exception_keeps_no_frames_alive():
    import weakref

    class Node:
        pass

    nodes = []

    @memoize(cache_exceptions=(LookupError, LONG))
    def function(x):
        node = Node()
        nodes.append(weakref.ref(node))
        raise LookupError(x)

    with pytest.raises(LookupError):
        function(1)
    gc.collect()
    assert nodes[0]() is None
    with pytest.raises(LookupError):
        function(1)
    assert len(nodes) == 1


def test_kept_exceptions_are_not_results():
    function, calls = failing(cache_exceptions=(LookupError, LONG))
    with pytest.raises(LookupError):
        function(1)
    assert list(function) == []
    with pytest.raises(LookupError):
        function.peek(1)
    assert function.invalidate(1) is True
    with pytest.raises(LookupError):
        function(1)
    assert calls == [1, 1]


def test_an_exception_that_cannot_be_copied_is_kept_too():
    class Odd(LookupError):
        def __init__(self, one, other):
            super().__init__("odd")

    calls = []

    @memoize(cache_exceptions=(Odd, LONG))
    def function(x):
        calls.append(x)
        raise Odd(1, 2)

    for _ in range(2):
        with pytest.raises(Odd, match="odd"):
            function(1)
    assert calls == [1]


# --- Copies ---


def nested(**options):
    return memoize(lambda x: [[x]], **options)


def test_without_copy_everyone_gets_the_one_result():
    for option in (None, False):
        function = nested(copy=option)
        assert function(1) is function(1)


def test_each_caller_gets_a_copy_the_first_too():
    function = nested(copy=True)
    first, second = function(1), function(1)
    assert first == second == [[1]]
    assert first is not second
    assert first[0] is second[0]
    first.append("spoilt")
    second.append("spoilt")
    assert function(1) == [[1]]
    assert function.refresh(1) is not function(1)
    function.peek(1).append("spoilt")
    assert function.peek(1) == [[1]]


def test_a_deep_copy_shares_nothing():
    function = nested(copy="deepcopy")
    first = function(1)
    first[0].append("spoilt")
    function(1)[0].append("spoilt")
    assert function(1) == [[1]]


def test_a_callable_makes_the_copy():
    function = nested(copy=tuple)
    assert function(1) == function(1) == ([1],)


def test_what_a_copier_raises_comes_through():
    function = nested(copy=lambda value: value / 0)
    for _ in range(2):
        with pytest.raises(TypeError, match="unsupported operand"):
            function(1)
    assert function.cache_info()[:2] == (1, 1)
    assert function.cache_info().in_flight == 0


def test_those_who_wait_get_copies_too():
    go = threading.Event()

    @memoize(copy=True)
    def function(x):
        go.wait(20)
        return [x]

    results = []
    workers = [threading.Thread(target=lambda: results.append(function(1))) for _ in range(4)]
    for worker in workers:
        worker.start()
    time.sleep(0.05)
    go.set()
    for worker in workers:
        worker.join()
    assert results == [[1]] * 4
    assert len({id(result) for result in results}) == 4


# --- Callbacks ---


def test_a_callback_is_told_who_left_to_make_room():
    told = []

    @memoize(maxsize=2, policy="lru", on_evict=lambda *what: told.append(what))
    def function(a, *rest, b=2, **named):
        return a

    function(1)
    function(2, 3, b=4, c=5)
    function(6)
    function(7)
    assert told == [
        ({"a": 1, "b": 2}, 1, "evicted"),
        ({"a": 2, "b": 4, "*": (3,), "c": 5}, 2, "evicted"),
    ]


def test_a_callback_is_told_whose_time_is_over():
    told = []
    function = memoize(lambda x: -x, ttl=SHORT, on_evict=lambda *what: told.append(what))
    function(1)
    outlive()
    function(1)
    assert told == [({"x": 1}, -1, "expired")]


def test_a_callback_is_told_the_key_where_there_is_a_key_function():
    told = []
    function = memoize(lambda x: -x, maxsize=1, key=lambda x: ("key", x), on_evict=lambda *what: told.append(what))
    function(1), function(2)
    assert told == [(("key", 1), -1, "evicted")]


def test_a_callback_is_told_nothing_of_what_the_user_removes():
    told = []
    function = memoize(lambda x: -x, on_evict=lambda *what: told.append(what))
    function(1), function(2)
    function.set(5, 1)
    function.invalidate(1)
    function.refresh(2)
    function.cache_clear()
    assert told == []


def test_a_callback_may_use_the_function():
    told = []

    def tell(arguments, value, cause):
        told.append(arguments["x"])
        function(1000 + arguments["x"]) if arguments["x"] < 10 else None
        function.cache_info()

    function = memoize(lambda x: x, maxsize=1, policy="lru", on_evict=tell)
    for x in range(3):
        assert function(x) == x
    assert told[0] == 0
    assert function.cache_info().currsize == 1


def test_what_a_callback_raises_is_reported_and_the_call_goes_on(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    def fail(*_):
        raise ZeroDivisionError

    function = memoize(lambda x: x, maxsize=1, on_evict=fail)
    assert [function(x) for x in (1, 2, 3)] == [1, 2, 3]
    assert [type(report.exc_value) for report in reported] == [ZeroDivisionError] * 2
    assert reported[0].object is fail
    reported.clear()
