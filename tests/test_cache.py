"""What `retain.Cache` promises: a mapping like a dict, that forgets by itself and may be shared by threads."""

import collections.abc
import copy
import gc
import pickle
import random
import sys
import threading
import time
import weakref
from collections import OrderedDict
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retain import Cache

SHORT = 0.03
LONG = 600
TIMEOUT = 20


def outlive(seconds=SHORT):
    end = time.monotonic() + seconds + 0.01
    while time.monotonic() < end:
        time.sleep(0.005)


def filled(**options):
    cache = Cache(None, policy="unbounded", **options)
    cache.update(a=1, b=2, c=3)
    return cache


# --- As a mapping ---


def test_it_is_a_mutable_mapping():
    cache = Cache()
    assert isinstance(cache, collections.abc.MutableMapping)
    cache["a"] = 1
    assert cache["a"] == 1
    assert "a" in cache
    assert "b" not in cache
    assert len(cache) == 1
    assert list(cache) == ["a"]
    assert bool(cache)
    del cache["a"]
    assert not cache
    with pytest.raises(KeyError) as caught:
        cache["a"]
    assert caught.value.args == ("a",)
    with pytest.raises(KeyError) as caught:
        del cache["a"]
    assert caught.value.args == ("a",)


def test_a_tuple_that_is_not_there_is_named_as_it_is():
    cache = Cache()
    for act in (cache.__getitem__, cache.__delitem__, cache.pop):
        with pytest.raises(KeyError) as caught:
            act((1, 2))
        assert caught.value.args == ((1, 2),)


def test_get_and_peek_give_a_default():
    cache = Cache()
    cache["none"] = None
    assert cache.get("a") is cache.peek("a") is None
    assert cache.get("a", 3) == cache.peek("a", 3) == 3
    assert cache.get("none", 3) is cache.peek("none", 3) is None


def test_pop_popitem_setdefault_update_and_clear():
    cache = filled()
    assert cache.pop("a") == 1
    assert cache.pop("a", "gone") == "gone"
    assert cache.pop("a", None) is None
    with pytest.raises(KeyError, match="a"):
        cache.pop("a")
    assert cache.setdefault("a", 9) == 9
    assert cache.setdefault("a", 10) == 9
    assert cache.setdefault("d") is None
    items = dict(cache.items())
    while cache:
        key, value = cache.popitem()
        assert items.pop(key) == value
    assert not items
    with pytest.raises(KeyError, match="popitem.*empty"):
        cache.popitem()
    cache.update({"x": 1})
    cache.update([("y", 2)], z=3)
    cache.update(filled())
    assert cache == {"x": 1, "y": 2, "z": 3, "a": 1, "b": 2, "c": 3}
    cache.clear()
    assert cache == {}


def test_views():
    cache = filled()
    keys, values, items = cache.keys(), cache.values(), cache.items()
    assert (len(keys), len(values), len(items)) == (3, 3, 3)
    assert keys == {"a", "b", "c"}
    assert sorted(values) == [1, 2, 3]
    assert items == {("a", 1), ("b", 2), ("c", 3)}
    assert keys & {"a", "x"} == {"a"}
    assert items - {("a", 1)} == {("b", 2), ("c", 3)}
    assert "a" in keys
    assert 2 in values
    assert ("a", 1) in items
    assert ("a", 2) not in items
    assert ("x", 1) not in items
    assert ("x", mock.ANY) not in items
    assert "a" not in items
    cache["d"] = 4
    assert len(keys) == 4
    assert "d" in keys
    nan = float("nan")
    cache["nan"] = nan
    assert nan in values
    assert ("nan", nan) in items


def test_iterating_while_it_changes_gives_what_was_there():
    cache = filled()
    for key in cache:
        cache[key * 2] = 0
        cache.pop(key)
    assert cache == {"aa": 0, "bb": 0, "cc": 0}
    for _key, _value in cache.items():
        cache.clear()
    assert cache == {}


def test_equality_is_a_dicts():
    cache = filled()
    assert cache == {"a": 1, "b": 2, "c": 3}
    assert {"a": 1, "b": 2, "c": 3} == cache
    assert cache == filled()
    assert cache == OrderedDict(c=3, b=2, a=1)
    assert cache != {"a": 1}
    assert cache != [("a", 1)]
    assert cache != "abc"
    with pytest.raises(TypeError, match="unhashable"):
        hash(cache)


def test_keys_are_compared_as_in_a_dict():
    cache = Cache()
    cache[1] = "int"
    assert cache[1.0] == cache[True] == "int"
    cache[1.0] = "float"
    assert len(cache) == 1
    cache[0.0] = "zero"
    assert cache[-0.0] == "zero"
    nan = float("nan")
    cache[nan] = "nan"
    assert cache[nan] == "nan"
    assert float("nan") not in cache
    cache[1, 2] = "tuple"
    assert cache[1.0, 2] == "tuple"


def test_unhashable_keys_count_by_their_content():
    cache = Cache()
    cache[[1, {2}]] = "list"
    assert cache[[1, {2}]] == "list"
    assert [1, {2}] in cache
    assert cache.get([1, {3}]) is None
    with pytest.raises(KeyError):
        cache[{}]
    assert cache.setdefault({"a": []}, 5) == cache.setdefault({"a": []}, 6) == 5
    assert cache.get_or_insert([3], sum) == cache.get_or_insert([3], len) == 3
    assert [cache[key] for key in cache] == [value for _, value in cache.items()]
    assert cache.pop([1, {2}]) == "list"
    assert len(cache) == 2
    with pytest.raises(TypeError, match=r"key -> \[0\]: a thread lock has no stable identity"):
        cache[[threading.Lock()]] = 1
    assert len(cache) == 2


def test_it_is_shown_by_its_size():
    assert repr(Cache(maxsize=7)) == "<Cache of 0 entries, maxsize=7>"
    assert "of 3 entries, maxsize=None" in repr(filled())


def test_it_can_neither_be_pickled_nor_copied():
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot pickle 'Cache' object"):
            act(Cache())


keys = st.sampled_from([0, 1, True, 1.0, "a", "b", (1,), (1.0,), None, -1, -2])
steps = st.one_of(
    st.tuples(st.just("set"), keys, st.integers()),
    st.tuples(st.just("del"), keys),
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("pop"), keys),
    st.tuples(st.just("setdefault"), keys, st.integers()),
    st.tuples(st.just("get_or_insert"), keys, st.integers()),
    st.tuples(st.just("update"), st.dictionaries(keys, st.integers(), max_size=4)),
    st.tuples(st.just("clear")),
    st.tuples(st.just("popitem")),
)


def apply(mapping, step):
    """Do one step; what it returned, or the error that it raised."""
    name, *args = step
    try:
        if name == "set":
            mapping[args[0]] = args[1]
            return None
        if name == "del":
            del mapping[args[0]]
            return None
        if name == "get_or_insert":
            if isinstance(mapping, dict):
                return mapping.setdefault(*args)
            return mapping.get_or_insert(args[0], lambda _: args[1])
        if name == "popitem":
            return sorted([mapping.pop(key) for key in list(mapping)], key=repr)
        return getattr(mapping, name)(*args)
    except KeyError as error:
        return type(error), error.args


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["s3fifo", "lru", "sieve", "lfu", "fifo", "unbounded"]),
    st.sampled_from([{}, {"ttl": LONG}, {"time_to_idle": LONG}, {"weigher": lambda _: 1}]),
    st.lists(steps, max_size=50),
)
def test_with_room_for_all_it_behaves_as_a_dict(policy, options, sequence):
    cache, model = Cache(None, policy=policy, **options), {}
    for step in sequence:
        assert apply(cache, step) == apply(model, step)
        assert cache == model
        assert len(cache) == len(model)
        assert set(cache) == set(cache.keys()) == set(model)
        assert sorted(map(repr, cache)) == sorted(map(repr, model))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["s3fifo", "lru", "sieve", "lfu", "fifo"]),
    st.integers(0, 4),
    st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=60),
)
def test_with_little_room_it_never_holds_more_nor_anything_wrong(policy, room, sequence):
    left = []
    cache = Cache(room, policy=policy, on_evict=lambda *what: left.append(what))
    model = {}
    for number, (store, key) in enumerate(sequence):
        if store:
            cache[key] = model[key] = number
        elif key in cache:
            assert cache[key] == model[key]
        else:
            assert cache.get(key) is None
        assert len(cache) <= room
        assert all(model[key] == value for key, value in cache.items())
    assert {cause for _, _, cause in left} <= {"evicted"}
    assert cache.stats().evictions == len(left)


# --- Options ---


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"maxsize": -1}, ValueError, "maxsize is -1, but it must be 0 or more"),
        ({"maxsize": "x"}, TypeError, "maxsize is 'x', but it is a whole number"),
        ({"policy": "x"}, ValueError, "policy is 'x', but it must be one of"),
        ({"ttl": 0}, ValueError, "ttl is 0, but it must be more than 0 seconds"),
        ({"max_bytes": -1}, ValueError, "max_bytes is -1, but it must be 0 or more"),
        ({"on_evict": 1}, TypeError, "on_evict is 1, but it is a callable or None"),
        ({"weigher": 1}, TypeError, "weigher is 1, but it is a callable or None"),
        ({"time_to_idle": -1}, ValueError, "time_to_idle is -1, but it must be more than 0"),
    ],
)
def test_a_wrong_option_is_refused_and_says_what_helps(options, error, message):
    with pytest.raises(error, match=message):
        Cache(**options)


def test_the_lru_policy_forgets_what_was_not_asked_for_the_longest():
    cache = Cache(2, policy="lru")
    cache["a"], cache["b"] = 1, 2
    cache["a"]
    cache["c"] = 3
    assert set(cache) == {"a", "c"}


def test_looking_without_counting_does_not_tell_the_policy():
    cache = Cache(2, policy="lru")
    cache["a"], cache["b"] = 1, 2
    cache.peek("a"), "a" in cache, list(cache.items())
    assert cache.stats()[:2] == (0, 0)
    cache["c"] = 3
    assert set(cache) == {"b", "c"}


def test_entries_end_with_their_time():
    left = []
    cache = Cache(ttl=SHORT, on_evict=lambda *what: left.append(what))
    cache["a"] = 1
    outlive()
    assert "a" not in cache
    assert cache.get("a") is cache.peek("a") is None
    assert list(cache) == []
    assert len(cache) == 0
    assert left == [("a", 1, "expired")]
    assert cache.stats().expirations == 1


def test_an_entry_can_have_a_time_of_its_own():
    for cache in (Cache(), Cache(ttl=LONG), Cache(ttl=SHORT)):
        cache.set("short", 1, ttl=SHORT)
        cache.set("long", 2, ttl=LONG)
        cache.set("at once", 3, ttl=0)
        cache.set("default", 4)
        assert cache["long"] == 2
        outlive()
        assert "short" not in cache
        assert "at once" not in cache
        assert cache["long"] == 2
    # In the last one, entries end soon by default.
    assert "default" not in cache
    with pytest.raises(ValueError, match="ttl is -1.*0 seconds or more"):
        cache.set("a", 1, ttl=-1)
    with pytest.raises(ValueError, match="ttl is"):
        cache.set("a", 1, ttl=float("nan"))


def test_setting_an_entry_begins_its_time_anew():
    cache = Cache()
    cache.set("a", 1, ttl=SHORT)
    cache["a"] = 2
    outlive()
    assert cache["a"] == 2


def test_weights_are_bounded():
    cache = Cache(max_bytes=10, weigher=len, policy="lru")
    cache["a"] = "12345"
    cache["b"] = "1234"
    assert cache.stats().weight == 9
    cache["c"] = "12"
    assert set(cache) == {"b", "c"}
    cache["too heavy"] = "12345678901"
    assert "too heavy" not in cache
    assert cache.stats().weight <= 10


def test_what_a_weigher_raises_is_raised_and_nothing_is_stored():
    cache = Cache(weigher=lambda value: 1 / value)
    cache["a"] = 1
    for store in (lambda: cache.set("a", 0), lambda: cache.setdefault("b", 0)):
        with pytest.raises(ZeroDivisionError):
            store()
    with pytest.raises(ValueError, match="weigher returned -0.5, but a weight is 0 or more"):
        cache["c"] = -2
    assert cache == {"a": 1}


def test_a_computed_value_that_cannot_be_weighed_is_returned_with_a_warning():
    cache = Cache(weigher=lambda value: -1)
    with pytest.warns(RuntimeWarning, match="was returned but not kept: .*weigher returned -1"):
        assert cache.get_or_insert("a", str.upper) == "A"
    assert cache == {}
    assert cache.stats().in_flight == 0


def test_resize():
    left = []
    cache = Cache(10, policy="lru", on_evict=lambda *what: left.append(what))
    for number in range(10):
        cache[number] = number
    cache.resize(4)
    assert set(cache) == {6, 7, 8, 9}
    assert [key for key, _, cause in left if cause == "evicted"] == list(range(6))
    assert cache.stats().maxsize == 4
    cache.resize(None)
    for number in range(100):
        cache[number] = number
    assert len(cache) == 100
    cache.resize(0)
    assert cache == {}
    cache["a"] = 1
    assert cache == {}
    for wrong in (-1, "x"):
        with pytest.raises((ValueError, TypeError), match="maxsize is"):
            cache.resize(wrong)


def test_resize_by_weight():
    cache = Cache(max_bytes=100, weigher=len, policy="lru")
    for number in range(10):
        cache[number] = "0123456789"
    cache.resize(max_bytes=35)
    assert set(cache) == {7, 8, 9}
    assert (cache.stats().max_bytes, cache.stats().maxsize) == (35, None)
    cache.resize(maxsize=1)
    assert set(cache) == {9}
    assert cache.stats().max_bytes == 35


def test_stats():
    cache = Cache(2, policy="lru")
    cache["a"], cache["b"], cache["c"] = 1, 2, 3
    cache.get("a"), cache.get("b"), cache["c"]
    stats = cache.stats()
    assert stats._fields == (
        "hits",
        "misses",
        "maxsize",
        "currsize",
        "evictions",
        "expirations",
        "in_flight",
        "weight",
        "time_saved",
        "max_bytes",
    )
    assert stats[:7] == (2, 1, 2, 2, 1, 0, 0)
    assert stats.max_bytes is None
    cache.clear()
    assert cache.stats()[:5] == (2, 1, 2, 0, 1)


# --- Callbacks ---


def test_a_callback_is_told_nothing_of_what_the_user_removes():
    left = []
    cache = filled(on_evict=lambda *what: left.append(what))
    cache["a"] = 9
    del cache["a"]
    cache.pop("b")
    cache.clear()
    assert left == []


def test_a_callback_may_use_the_cache():
    left = []

    def tell(key, value, cause):
        left.append(key)
        if not isinstance(key, tuple):
            cache["again", key] = cache.get(key, "gone")
        if len(left) == 10:
            cache.clear()

    cache = Cache(3, policy="lru", on_evict=tell)
    for number in range(20):
        cache[number] = number
    assert any(isinstance(key, tuple) for key in left)
    assert len(cache) <= 3


def test_what_a_callback_raises_is_reported(monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    def fail(*_):
        raise ZeroDivisionError

    cache = Cache(1, on_evict=fail)
    cache["a"], cache["b"] = 1, 2
    assert [type(report.exc_value) for report in reported] == [ZeroDivisionError]
    reported.clear()
    assert len(cache) == 1


# --- get_or_insert ---


def test_get_or_insert_computes_what_is_not_there():
    cache, calls = Cache(), []

    def factory(key):
        calls.append(key)
        return key * 2

    assert cache.get_or_insert("a", factory) == cache.get_or_insert("a", factory) == "aa"
    assert calls == ["a"]
    assert cache.stats()[:2] == (1, 1)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_insert("b", lambda _: 1 / 0)
    assert "b" not in cache
    assert cache.stats().in_flight == 0


def start(count, work):
    workers = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    return workers


def end(workers):
    for worker in workers:
        worker.join(TIMEOUT)
        assert not worker.is_alive(), "it waits for ever"


@pytest.mark.parametrize("fails", [False, True])
def test_threads_that_ask_for_one_key_compute_it_once(fails):
    cache, calls, outcomes = Cache(), [], []
    entered, go = threading.Event(), threading.Event()

    def factory(key):
        calls.append(key)
        entered.set()
        go.wait(TIMEOUT)
        if fails:
            raise LookupError(key)
        return object()

    def work():
        try:
            outcomes.append(cache.get_or_insert("a", factory))
        except LookupError as error:
            outcomes.append(error)

    workers = start(8, work)
    assert entered.wait(TIMEOUT)
    # All but the one that computes are inside the call, as far as that can be seen.
    until = time.monotonic() + TIMEOUT
    while sum(frame.f_code is work.__code__ for frame in sys._current_frames().values()) < 7:
        assert time.monotonic() < until
        time.sleep(0.001)
    time.sleep(0.05)
    assert cache.stats().in_flight == 1
    go.set()
    end(workers)
    assert calls == ["a"]
    assert len(outcomes) == 8
    assert len({id(outcome) for outcome in outcomes}) == 1
    assert ("a" in cache) != fails


def test_a_factory_that_asks_for_its_own_key_computes_again():
    cache = Cache()
    assert cache.get_or_insert("a", lambda key: cache.get_or_insert(key, str.upper) + "!") == "A!"


def test_factories_that_need_one_another_do_not_wait_for_ever():
    cache, outcomes = Cache(), {}
    together = threading.Barrier(2, timeout=TIMEOUT)

    def work(mine, others):
        def factory(key):
            together.wait()
            return key, cache.get_or_insert(others, lambda key: key)

        outcomes[mine] = cache.get_or_insert(mine, factory)

    workers = [threading.Thread(target=work, args=pair, daemon=True) for pair in ("ab", "ba")]
    for worker in workers:
        worker.start()
    end(workers)
    assert {outcome[0] for outcome in outcomes.values()} == {"a", "b"}


@pytest.mark.parametrize("change", ["del", "set", "clear"])
def test_what_was_outdated_while_it_was_computed_is_not_kept(change):
    cache, outcomes = Cache(), []
    entered, go = threading.Event(), threading.Event()

    def factory(key):
        entered.set()
        go.wait(TIMEOUT)
        return "outdated"

    workers = start(1, lambda: outcomes.append(cache.get_or_insert("a", factory)))
    assert entered.wait(TIMEOUT)
    if change == "del":
        cache.pop("a", None)
    elif change == "set":
        cache["a"] = "set"
    else:
        cache.clear()
    go.set()
    end(workers)
    assert outcomes == ["outdated"]
    assert cache == ({"a": "set"} if change == "set" else {})


# --- Keys that misbehave ---


class Key:
    def __init__(self, number, on_eq=None):
        self.number, self.on_eq = number, on_eq

    def __hash__(self):
        return 1

    def __eq__(self, other):
        if not isinstance(other, Key):
            return NotImplemented
        for key in (self, other):
            if key.on_eq:
                key.on_eq()
        return self.number == other.number


def test_an_equality_that_raises_comes_through_and_the_cache_stays_whole():
    def fail():
        raise ZeroDivisionError

    cache = Cache()
    bad = Key(1, fail)
    cache[bad] = 1
    for act in (
        lambda: cache[Key(2)],
        lambda: Key(2) in cache,
        lambda: cache.set(Key(2), 2),
        lambda: cache.pop(Key(2)),
        lambda: cache.setdefault(Key(2), 2),
        lambda: cache.get_or_insert(Key(2), lambda _: 2),
    ):
        with pytest.raises(ZeroDivisionError):
            act()
    bad.on_eq = None
    assert cache[Key(1)] == 1
    assert (len(cache), cache.stats().in_flight) == (1, 0)


def test_an_equality_that_changes_the_cache_is_survived():
    cache = Cache(4)
    choose = random.Random(1)

    def change():
        for key in keys:
            key.on_eq = None
        what = choose.randrange(5)
        if what == 0:
            cache.clear()
        elif what == 1:
            cache.resize(choose.randrange(1, 6))
        elif what == 2:
            cache.pop(keys[0], None)
        elif what == 3:
            cache[Key(choose.randrange(10))] = None
        else:
            gc.collect()

    keys = [Key(number) for number in range(6)]
    for _ in range(500):
        for key in keys:
            key.on_eq = change
        number = choose.randrange(6)
        cache[Key(number)] = number
        assert cache.get(Key(number), number) in (number, None)


def test_threads_that_do_everything_at_once_do_no_harm():
    cache, wrong = Cache(20, ttl=LONG), []

    def work():
        choose = random.Random()
        for _ in range(2000):
            number, what = choose.randrange(50), choose.randrange(12)
            key = Key(number) if choose.random() < 0.1 else number
            if what == 0:
                cache.pop(key, None)
            elif what == 1:
                cache[key] = number
            elif what == 2:
                found = cache.get_or_insert(key, lambda key, number=number: number)
                wrong.extend([found] if found != number else [])
            elif what == 3 and number == 0:
                cache.clear()
            elif what == 4 and number < 3:
                cache.resize(10 + number * 5)
            elif what == 5 and number < 5:
                list(cache.items())
            elif cache.get(key, number) != number:
                wrong.append(number)

    end(start(8, work))
    assert not wrong
    assert len(cache) <= 20
    assert cache.stats().in_flight == 0


# --- Lives ---


class Node:
    pass


def test_what_leaves_is_given_up_at_once():
    cache = Cache(1)
    key, value = Node(), Node()
    references = weakref.ref(key), weakref.ref(value)
    cache[key] = value
    del key, value
    gc.collect()
    assert all(reference() is not None for reference in references)
    cache["other"] = 1
    cache["another"] = 1
    assert all(reference() is None for reference in references)


def test_what_was_told_to_a_callback_is_given_up_at_once():
    cache = Cache(1, on_evict=lambda *what: None)
    cache["a"] = Node()
    reference = weakref.ref(cache["a"])
    cache["b"] = cache["c"] = 1
    assert reference() is None


@pytest.mark.parametrize("where", ["value", "key", "on_evict", "weigher", "ttl", "attribute"])
def test_a_cycle_through_the_cache_is_collected(where):
    node = Node()
    node.me = node

    def callback(*args, node=node):
        return 1

    options = {where: callback} if where in ("on_evict", "weigher", "ttl") else {}
    cache = Cache(**options)
    node.cache = cache
    if where == "attribute":
        cache.node = node
    cache[node if where == "key" else 1] = node if where == "value" else 1
    references = weakref.ref(node), weakref.ref(cache)
    del node, cache, options, callback
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_its_size_in_memory_grows_with_the_entries():
    cache = Cache(None, policy="unbounded")
    empty = sys.getsizeof(cache)
    for number in range(1000):
        cache[number] = number
    assert sys.getsizeof(cache) > empty + 8000


# --- Subclasses ---


def test_a_subclass_can_add_and_override():
    class Counting(Cache):
        reads = 0

        def __getitem__(self, key):
            self.reads += 1
            return super().__getitem__(key)

        def double(self, key):
            return self[key] * 2

    cache = Counting(maxsize=3)
    cache["a"] = 2
    assert cache.double("a") == 4
    assert cache.reads == 1
    assert isinstance(cache, Cache)
    assert repr(cache).startswith("<Counting of 1 entries")


def test_a_subclass_can_have_a_constructor_of_its_own():
    class Named(Cache):
        def __new__(cls, name, **options):
            cache = super().__new__(cls, **options)
            cache.name = name
            return cache

    cache = Named("pages", maxsize=3)
    assert (cache.name, cache.stats().maxsize) == ("pages", 3)
