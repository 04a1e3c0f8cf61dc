"""What retain.cacheutils promises."""

import abc
import copy
import doctest
import gc
import pickle
import random
import threading
import weakref
from collections import Counter, UserDict, defaultdict

import pytest
import retain.cacheutils
from hypothesis import given, settings
from hypothesis import strategies as st
from retain.cacheutils import (
    LRI,
    LRU,
    CachedFunction,
    CachedMethod,
    MinIDMap,
    ThresholdCounter,
    cached,
    cachedmethod,
    cachedproperty,
    make_cache_key,
)

both = pytest.mark.parametrize("kind", [LRI, LRU])


def test_every_example_in_the_docs_runs():
    outcome = doctest.testmod(retain.cacheutils)
    assert outcome.failed == 0
    assert outcome.attempted > 30


# --- LRI and LRU against a model ---


class Model:
    """A bounded cache, written for plainness: lists, searched from the front."""

    def __init__(self, max_size, on_miss, use_counts):
        self.max_size, self.on_miss, self.use_counts = max_size, on_miss, use_counts
        self.items = []  # pairs in the order of a dict
        self.queue = []  # keys, the next to be forgotten first
        self.hits = self.misses = self.soft = 0

    def find(self, key):
        return [k for k, _ in self.items].index(key) if key in self.queue else None

    def set(self, key, value):
        place = self.find(key)
        if place is not None:
            self.items[place] = (key, value)
            self.queue.remove(key)
        else:
            self.items.append((key, value))
        self.queue.append(key)
        while len(self.items) > self.max_size:
            self.remove(self.queue[0])

    def remove(self, key):
        self.queue.remove(key)
        return self.items.pop([k for k, _ in self.items].index(key))[1]

    def look(self, key):
        place = self.find(key)
        if place is None:
            self.misses += 1
            if self.on_miss is None:
                raise KeyError(key)
            value = self.on_miss(key)
            self.set(key, value)
            return value
        self.hits += 1
        if self.use_counts:
            self.queue.remove(key)
            self.queue.append(key)
        return self.items[place][1]

    def get(self, key, default):
        try:
            return self.look(key)
        except KeyError:
            self.soft += 1
            return default

    def setdefault(self, key, default):
        try:
            return self.look(key)
        except KeyError:
            self.soft += 1
            self.set(key, default)
            return default

    def pop(self, key, *default):
        if key in self.queue:
            return self.remove(key)
        if default:
            return default[0]
        raise KeyError(key)

    def popitem(self):
        if not self.items:
            raise KeyError
        key = self.items[-1][0]
        return key, self.remove(key)

    def update(self, pairs):
        for key, value in pairs:
            self.set(key, value)

    def clear(self):
        self.items.clear()
        self.queue.clear()


KEYS = st.one_of(st.integers(0, 9), st.sampled_from("abc"), st.tuples(st.integers(0, 2)))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["look", "del", "pop", "in"]), KEYS),
        st.tuples(st.sampled_from(["set", "set", "get", "setdefault", "pop"]), KEYS, st.integers()),
        st.tuples(st.just("update"), st.lists(st.tuples(KEYS, st.integers()), max_size=6)),
        st.tuples(st.sampled_from(["popitem", "clear", "copy", "deepcopy", "pickle"])),
        st.tuples(st.just("resize"), st.integers(1, 6)),
    ),
    max_size=80,
)


def outcome_of(function, *arguments):
    try:
        return function(*arguments)
    except KeyError:
        return KeyError


def shout(key):
    return f"made for {key}"


@pytest.mark.parametrize("use_counts", [False, True], ids=["LRI", "LRU"])
@pytest.mark.parametrize("on_miss", [None, shout], ids=["plain", "on_miss"])
@settings(max_examples=150, deadline=None)
@given(max_size=st.integers(1, 6), steps=STEPS)
def test_behaves_as_the_model_in_any_sequence_of_operations(use_counts, on_miss, max_size, steps):
    cache = (LRU if use_counts else LRI)(max_size, on_miss=on_miss)
    model = Model(max_size, on_miss, use_counts)
    for name, *arguments in steps:
        if name == "look":
            assert outcome_of(cache.__getitem__, *arguments) == outcome_of(model.look, *arguments)
        elif name == "set":
            cache[arguments[0]] = arguments[1]
            model.set(*arguments)
        elif name == "del":
            found = outcome_of(cache.__delitem__, *arguments)
            assert (found is KeyError) == (outcome_of(model.pop, *arguments) is KeyError)
        elif name == "in":
            assert (arguments[0] in cache) == (arguments[0] in model.queue)
        elif name == "resize":
            cache.max_size = model.max_size = arguments[0]
        elif name == "copy":
            # The original must not matter to the copy, nor its counts.
            original, counts = cache, (cache.hit_count, cache.miss_count, cache.soft_miss_count)
            cache = original.copy()
            assert (original.hit_count, original.miss_count, original.soft_miss_count) == counts
            original.clear()
            model.hits = model.misses = model.soft = 0
        elif name == "deepcopy":
            cache = copy.deepcopy(cache)
        elif name == "pickle":
            cache = pickle.loads(pickle.dumps(cache))
        else:
            expected = outcome_of(getattr(model, name), *arguments)
            assert outcome_of(getattr(cache, name), *arguments) == expected
        assert list(cache.items()) == model.items
        assert dict(cache) == dict(model.items)
        assert (cache.hit_count, cache.miss_count, cache.soft_miss_count) == (
            model.hits,
            model.misses,
            model.soft,
        )
    # What goes first, second and so on when new keys come in.
    for new in range(100, 100 + 2 * len(cache)):
        cache[new] = model.set(new, None)
        assert list(cache.items()) == model.items


@both
def test_a_long_life_leaves_no_garbage(kind):
    cache = kind(8)
    for i in range(20_000):
        cache[i % 23] = i
        cache.get(i % 7)
        if i % 3 == 0:
            cache.pop(i % 23)
            cache[i % 23] = i
    # Dead keys are let go of as well.
    gone = []
    for _ in range(1000):
        key = type("Key", (), {})()
        gone.append(weakref.ref(key))
        cache[key] = 1
        del cache[key], key
    gc.collect()
    assert sum(reference() is not None for reference in gone) < 200


# --- LRI and LRU, one promise at a time ---


def test_lru_forgets_the_least_recently_used():
    cache = LRU(2, [("a", 1), ("b", 2)])
    assert cache["a"] == 1
    cache["c"] = 3
    assert set(cache) == {"a", "c"}


def test_lri_is_blind_to_reading_but_not_to_setting():
    cache = LRI(2, [("a", 1), ("b", 2)])
    assert cache["a"] == 1
    cache["c"] = 3
    assert set(cache) == {"b", "c"}
    cache["b"] = 4
    cache["d"] = 5
    assert set(cache) == {"b", "d"}


@both
def test_in_and_iteration_and_comparison_are_no_use(kind):
    cache = kind(2, [("a", 1), ("b", 2)])
    assert "a" in cache
    assert list(cache) == ["a", "b"]
    assert cache == {"b": 2, "a": 1}
    assert {**cache} == dict(cache.items())
    assert (cache.hit_count, cache.miss_count) == (0, 0)
    cache["c"] = 3
    assert set(cache) == {"b", "c"}


@both
def test_replacing_a_value_while_iterating_is_allowed(kind):
    cache = kind(3, {"a": 1, "b": 2, "c": 3})
    for key in cache:
        cache[key] = 0
        cache.get(key)
    assert cache == {"a": 0, "b": 0, "c": 0}


@both
def test_rejects_bad_arguments(kind):
    for size in (0, -1):
        with pytest.raises(ValueError, match="max_size > 0"):
            kind(size)
    with pytest.raises(TypeError, match="on_miss"):
        kind(on_miss=3)
    for values in (5, [1, 2], object()):
        with pytest.raises(TypeError):
            kind(values=values)
    with pytest.raises(ValueError):
        kind(values=["abc"])
    with pytest.raises(TypeError):
        kind("many")
    with pytest.raises(TypeError):
        kind()[[]] = 1
    assert kind(values=()) == kind(values={}) == kind(values=None) == {}


@both
def test_is_a_dict_and_equal_to_one(kind):
    cache = kind(3, {"a": 1})
    assert isinstance(cache, dict)
    assert cache == {"a": 1} == cache
    assert cache == kind(9, {"a": 1})
    assert LRI(values={"a": 1}) == LRU(values={"a": 1})
    assert cache != {"a": 2}
    assert cache != {}
    assert cache != 5
    assert cache != UserDict(a=2)
    with pytest.raises(TypeError):
        hash(cache)


@both
def test_repr_tells_everything(kind):
    cache = kind(3, {"a": 1})
    assert repr(cache) == f"{kind.__name__}(max_size=3, on_miss=None, values={{'a': 1}})"
    cache["self"] = cache
    assert "{...}" in repr(cache)


@both
def test_on_miss_is_given_the_key_and_its_value_is_stored(kind):
    asked = []

    def double(key):
        asked.append(key)
        return 2 * key

    cache = kind(2, on_miss=double)
    assert [cache[3], cache[3], cache.get(4), cache.setdefault(4, "unused")] == [6, 6, 8, 8]
    assert asked == [3, 4]
    assert (cache.hit_count, cache.miss_count, cache.soft_miss_count) == (2, 2, 0)
    assert cache.pop(5, None) is None
    assert 5 not in cache
    cache[5]
    assert dict(cache) == {4: 8, 5: 10}


@both
def test_on_miss_may_use_the_cache(kind):
    cache = kind(100, on_miss=lambda n: n if n < 2 else cache[n - 1] + cache[n - 2])
    assert cache[90] == 2880067194370816120
    assert cache.miss_count == 91
    cleared = kind(2, {"a": 1}, on_miss=lambda key: cleared.clear() or key)
    assert cleared["b"] == "b"
    assert cleared == {"b": "b"}


@both
def test_an_on_miss_that_raises_stores_nothing(kind):
    def refuse(key):
        raise OSError(key)

    cache = kind(2, {"a": 1}, on_miss=refuse)
    for look in (cache.__getitem__, cache.get, cache.setdefault):
        with pytest.raises(OSError, match="b"):
            look("b")
    assert cache == {"a": 1}
    cache.on_miss = None
    assert cache.get("b", 0) == 0
    assert cache.soft_miss_count == 1


@both
def test_counts_can_be_set(kind):
    cache = kind(2, {"a": 1})
    cache["a"]
    cache.get("b")
    cache.hit_count = cache.miss_count = cache.soft_miss_count = 0
    cache["a"]
    assert (cache.hit_count, cache.miss_count, cache.soft_miss_count) == (1, 0, 0)


@both
def test_update_takes_what_dict_takes(kind):
    class Keyed:
        def keys(self):
            return ["k"]

        def __getitem__(self, key):
            return key.upper()

    cache = kind()
    cache.update()
    cache.update({"a": 1}, b=2)
    cache.update([("c", 3), ["d", 4]])
    cache.update(Keyed(), self=5, source=6)
    cache.update(cache, a=7)
    cache |= {"e": 8}
    assert dict(cache) == {
        "a": 7,
        "b": 2,
        "c": 3,
        "d": 4,
        "k": "K",
        "self": 5,
        "source": 6,
        "e": 8,
    }
    with pytest.raises(TypeError):
        cache.update(None)


@both
def test_every_way_in_respects_the_size(kind):
    cache = kind(2)
    cache |= dict.fromkeys("abc")
    assert list(cache) == ["b", "c"]
    cache.update(dict.fromkeys("def"))
    assert list(cache) == ["e", "f"]
    assert len(kind.fromkeys(range(1000))) == 128
    cache.max_size = 5
    cache.update(dict.fromkeys("ghijk"))
    assert list(cache) == ["g", "h", "i", "j", "k"]
    cache.max_size = 2
    cache["l"] = 1
    assert list(cache) == ["k", "l"]


@both
def test_what_was_put_in_behind_its_back_leaves_in_time(kind):
    cache = kind(2)
    dict.update(cache, {"x": 1, "y": 2, "z": 3})
    assert cache["x"] == 1
    cache["a"] = 1
    cache["b"] = 2
    cache["c"] = 3
    cache["d"] = 4
    assert list(cache) == ["c", "d"]


@both
def test_copying_another_cache_leaves_it_as_it_was(kind):
    cache = kind(2, {"a": 1, "b": 2})
    cache["a"]
    for twin in (cache.copy(), copy.copy(cache), copy.deepcopy(cache)):
        assert twin == cache
        assert twin.max_size == 2
    kind(5).update(cache)
    kind(5, values=cache)
    assert (cache.hit_count, cache.miss_count) == (1, 0)
    cache["c"] = 3
    assert set(cache) == ({"a", "c"} if kind is LRU else {"b", "c"})


class Named(LRU):
    __slots__ = ("colour",)

    def __init__(self, name, colour):
        super().__init__(3, on_miss=shout)
        self.name = name
        self.colour = colour


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_keep_everything(protocol):
    cache = Named("n", "blue")
    cache.update(a=1, b=2, c=cache)
    assert cache["a"] == 1
    twin = pickle.loads(pickle.dumps(cache, protocol))
    assert type(twin) is Named
    assert (twin.name, twin.colour, twin.max_size) == ("n", "blue", 3)
    assert twin.on_miss is shout
    assert twin["c"] is twin
    assert (twin.hit_count, twin.miss_count) == (2, 0)
    twin["d"] = 4
    assert set(twin) == {"a", "c", "d"}


def test_copies_of_a_subclass_need_no_arguments():
    cache = Named("n", "blue")
    cache["a"] = [1]
    for twin in (cache.copy(), copy.copy(cache), copy.deepcopy(cache)):
        assert type(twin) is Named
        assert (twin.name, twin.colour, twin["a"]) == ("n", "blue", [1])
    assert cache.copy()["a"] is cache["a"]
    assert copy.deepcopy(cache)["a"] is not cache["a"]


def test_overrides_of_a_subclass_are_used():
    class Spoken(LRU):
        def __getitem__(self, key):
            return super().__getitem__(key).upper()

        def __setitem__(self, key, value):
            super().__setitem__(key, value.lower())

    cache = Spoken(values={"a": "AbC"})
    cache.update(b="De")
    assert dict(cache) == {"a": "abc", "b": "de"}
    assert cache["a"] == cache.get("a") == cache.setdefault("a", "x") == "ABC"
    assert Spoken(values=cache) == dict(cache)

    class Shifted(LRI):
        def __getitem__(self, key):
            return super().__getitem__(key) - 1

        def __setitem__(self, key, value):
            super().__setitem__(key, value + 1)

    cache = Shifted(values={"a": 1})
    assert cache["a"] == cache.copy()["a"] == 1
    assert Shifted(values=cache)["a"] == LRU(values=cache)["a"] == 1


def test_subclasses_may_be_generic_and_referenced_weakly():
    class Sized(LRU[str, int]):
        pass

    cache = Sized(2)
    assert weakref.ref(cache)() is cache
    assert LRI[str, int](max_size=2) == {}


# --- foreign code in the middle ---


class Moody:
    """A key that does something whenever it is hashed or compared."""

    mood = None

    def __init__(self, number):
        self.number = number

    def __hash__(self):
        self.act()
        return self.number % 3

    def __eq__(self, other):
        self.act()
        return isinstance(other, Moody) and self.number == other.number

    @classmethod
    def act(cls):
        mood, cls.mood = cls.mood, None
        if mood is not None:
            try:
                mood()
            finally:
                cls.mood = mood


@pytest.fixture
def moody():
    yield Moody
    Moody.mood = None


OPERATIONS = [
    lambda cache, key: cache[key],
    lambda cache, key: cache.get(key),
    lambda cache, key: cache.setdefault(key, "new"),
    lambda cache, key: cache.__setitem__(key, "new"),
    lambda cache, key: cache.pop(key, None),
    lambda cache, key: cache.__delitem__(key),
    lambda cache, key: cache.update([(key, "new")]),
    lambda cache, key: key in cache,
]


@both
def test_a_key_that_raises_changes_nothing(kind, moody):
    def burst():
        raise ZeroDivisionError

    cache = kind(3, {moody(n): n for n in range(3)})
    before = list(cache.items())
    for operation in OPERATIONS:
        for number in (1, 4):
            moody.mood = burst
            with pytest.raises(ZeroDivisionError):
                operation(cache, moody(number))
            moody.mood = None
            assert list(cache.items()) == before
    for number in range(3, 6):
        cache[moody(number)] = number
    assert [key.number for key in cache] == [3, 4, 5]


@both
def test_an_item_that_cannot_leave_now_leaves_first_later(kind):
    class Stubborn:
        broken = False

        def __hash__(self):
            if self.broken:
                raise ZeroDivisionError
            return 1

    first, second = Stubborn(), Stubborn()
    cache = kind(2, {first: 1, second: 2})
    first.broken = True
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            cache["c"] = 3
        assert list(cache) == [first, second]
    first.broken = False
    cache["c"] = 3
    assert list(cache) == [second, "c"]


@both
@pytest.mark.parametrize("seed", range(20))
def test_keys_that_raise_or_call_back_at_any_moment_leave_it_whole(kind, seed, moody):
    """Values tell which key they were stored for, so a mix-up would show."""
    dice = random.Random(seed)
    cache = kind(5, on_miss=(lambda key: key.number * 10) if seed % 2 else None)

    def mood():
        choice = dice.random()
        number = dice.randrange(12)
        if choice < 0.05:
            raise ZeroDivisionError
        if choice < 0.08:
            cache.clear()
        elif choice < 0.2:
            cache[moody(number)] = number * 10
        elif choice < 0.3:
            cache.pop(moody(number), None)
        elif choice < 0.4:
            cache.get(moody(number))
        elif choice < 0.43 and cache:
            cache.popitem()

    for _ in range(400):
        number = dice.randrange(12)
        moody.mood = mood
        try:
            choice = dice.randrange(6)
            if choice < 3:
                cache[moody(number)] = number * 10
            elif choice == 3:
                assert cache.get(moody(number)) in (number * 10, None)
            elif choice == 4:
                assert cache.pop(moody(number), number * 10) == number * 10
            else:
                del cache[moody(number)]
        except (ZeroDivisionError, KeyError):
            pass
        moody.mood = None
        assert len(cache) <= 5
        assert all(value == key.number * 10 for key, value in cache.items())
        assert len({key.number for key in cache}) == len(cache)
    # And it still works as a cache: everything old leaves, the new comes in.
    for number in range(100, 105):
        cache[moody(number)] = number * 10
    cache.max_size = 5
    for number in range(105, 110):
        cache[moody(number)] = number * 10
    assert len(cache) == 5
    assert cache[moody(109)] == 1090


@both
def test_a_destructor_may_use_the_cache(kind):
    class Last:
        def __del__(self):
            cache["last words"] = 1

    cache = kind(2)
    cache["a"] = Last()
    cache.clear()
    assert cache == {"last words": 1}
    cache["a"] = Last()
    cache["b"] = 2
    cache["c"] = 3
    assert len(cache) <= 2
    assert cache["c"] == 3


# --- threads ---


def in_threads(count, work):
    """Run work(number) in so many threads at once, and raise what any of them raised."""
    failures = []
    start = threading.Barrier(count)

    def body(number):
        try:
            start.wait()
            work(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@both
def test_threads_may_share_a_cache(kind):
    cache = kind(10)

    def work(number):
        dice = random.Random(number)
        for _ in range(3000):
            key = dice.randrange(30)
            choice = dice.randrange(20)
            if choice < 9:
                assert cache.get(key) in (None, -key)
            elif choice < 16:
                cache[key] = -key
            elif choice == 16:
                assert cache.setdefault(key, -key) == -key
            elif choice == 17:
                assert cache.pop(key, -key) == -key
            elif choice == 18:
                cache.update({key: -key, key + 1: -key - 1})
            else:
                assert all(k == -v for k, v in cache.copy().items())
            assert len(cache) <= 10

    in_threads(4, work)
    assert all(key == -value for key, value in cache.items())


@both
def test_on_miss_runs_once_for_threads_that_want_the_same_key(kind):
    calls = []
    waiting = threading.Semaphore(0)

    def make(key):
        calls.append(key)
        # Until the others are on their way.
        for _ in range(7):
            waiting.acquire()
        return key * 2

    cache = kind(on_miss=make)
    results = []

    def work(_):
        waiting.release()
        results.append(cache["ab"])

    in_threads(8, work)
    assert results == ["abab"] * 8
    assert calls == ["ab"]
    assert (cache.hit_count, cache.miss_count) == (7, 1)


def test_two_caches_may_update_one_another():
    first, second = LRU(50, {n: n for n in range(50)}), LRU(50, {n: n for n in range(50)})

    def work(number):
        for _ in range(100):
            if number:
                first.update(second)
            else:
                second.update(first)

    in_threads(2, work)
    assert first == second


# --- keys ---


def test_keys_tell_calls_apart():
    calls = [
        ((), {}),
        ((1,), {}),
        ((1, 2), {}),
        (((1, 2),), {}),
        ((), {"a": 1}),
        ((("a", 1),), {}),
        (("a", 1), {}),
        ((1,), {"a": 1}),
        ((1,), {"b": 1}),
        ((1, "a"), {"a": 1}),
        (("1",), {}),
        ((None,), {}),
        ((frozenset(),), {}),
    ]
    for typed in (False, True):
        keys = [make_cache_key(*call, typed=typed) for call in calls]
        assert len(set(keys)) == len(keys)
    assert make_cache_key((), {"a": 1, "b": 2}) == make_cache_key((), {"b": 2, "a": 1})
    assert make_cache_key((1, 3), {}) == make_cache_key((1.0, 3), {})
    assert make_cache_key((3,), {}, typed=True) != make_cache_key((3.0,), {}, typed=True)
    assert make_cache_key((), {"a": 3}, typed=True) != make_cache_key((), {"a": 3.0}, typed=True)


def test_keys_survive_a_pickle():
    for call in [((1, "a"), {"b": 2}), ((None,), {})]:
        key = make_cache_key(*call)
        assert pickle.loads(pickle.dumps(key)) == copy.deepcopy(key) == key


# --- cached ---


class Counting:
    def __init__(self, function=lambda *args, **kwargs: (args, kwargs)):
        self.function, self.calls = function, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.function(*args, **kwargs)


def stores():
    shared = LRU()
    return [{}, LRI(), LRU(), UserDict(), lambda: shared]


@pytest.mark.parametrize("store", stores(), ids=lambda store: type(store).__name__)
def test_cached_calls_once_for_the_same_arguments(store):
    inner = Counting()
    function = cached(store)(inner)
    calls = [(), (1,), ("1",), (1, 2), ((1, 2),), (None,)]
    for _ in range(2):
        assert [function(*call)[0] for call in calls] == calls
    assert inner.calls == len(calls)
    assert function(1, b=2, a=1) == function(1, a=1, b=2)
    assert inner.calls == len(calls) + 1


def test_functions_that_share_a_cache_keep_apart():
    store = LRU()
    functions = [cached(store)(lambda x, n=n: (n, x)) for n in range(5)]
    for _ in range(2):
        for n, function in enumerate(functions):
            assert function("a") == (n, "a")
            assert function(x="a") == (n, "a")
    assert store.hit_count == 10

    twins = [Counting(lambda x, n=n: n) for n in range(2)]
    assert [cached(store)(twin)("a") for twin in twins] == [0, 1]


def test_functions_that_claim_to_be_equal_keep_apart():
    class Same(Counting):
        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

    store = {}
    assert [cached(store)(Same(lambda n=n: n))() for n in range(3)] == [0, 1, 2]


def test_one_function_decorated_twice_is_one_function():
    store = {}
    inner = Counting()
    first, second = cached(store)(inner), cached(store)(inner)
    assert first(1) == second(1)
    assert inner.calls == 1


def test_without_scope_functions_share():
    store = LRU()
    one, two = Counting(), Counting()
    first, second = cached(store, scoped=False)(one), cached(store, scoped=False)(two)
    assert first("a") == second("a")
    assert (one.calls, two.calls) == (1, 0)
    assert store[make_cache_key(("a",), {})] == (("a",), {})


def test_a_new_function_never_finds_the_results_of_a_dead_one():
    store = LRU(10_000)
    for n in range(2000):

        def function(x, n=n):
            return n + x

        assert cached(store)(function)(0) == n
    rebuilt = pickle.loads(pickle.dumps(store))
    assert cached(rebuilt)(lambda x: "fresh")(0) == "fresh"


def test_typed_tells_equal_arguments_apart():
    inner = Counting()
    function = cached({}, typed=True)(inner)
    function(3, a=1), function(3.0, a=1), function(3, a=True), function(3, a=1)
    assert inner.calls == 3
    inner.calls = 0
    function = cached({})(inner)
    function(3, 4), function(3.0, 4)
    assert inner.calls == 1


@pytest.mark.parametrize("scoped", [True, False])
def test_a_key_of_ones_own(scoped):
    def first_letter(args, kwargs, typed=False):
        return args[0][0]

    store = {}
    inner, other = Counting(), Counting()
    function = cached(store, key=first_letter, scoped=scoped)(inner)
    assert function("apple") == function("avocado")
    assert inner.calls == 1
    cached(store, key=first_letter, scoped=scoped)(other)("almond")
    assert other.calls == (1 if scoped else 0)
    if not scoped:
        assert list(store) == ["a"]
    store.pop(function.key_for("anything"))
    function("apple")
    assert inner.calls == 2


def test_an_exception_is_not_kept():
    def fail(x):
        raise KeyError(x)

    store = {}
    inner = Counting(fail)
    function = cached(store)(inner)
    for _ in range(2):
        with pytest.raises(KeyError) as caught:
            function(1)
        assert caught.value.__context__ is None
    assert inner.calls == 2
    assert store == {}


def test_unhashable_arguments_are_refused():
    with pytest.raises(TypeError, match="unhashable"):
        cached({})(len)([])


@pytest.mark.parametrize("bad", [5, None, object(), (1, 2)])
def test_what_is_no_cache_is_refused(bad):
    with pytest.raises(TypeError, match="dict-like"):
        cached(bad)(len)
    with pytest.raises(TypeError, match="dict-like"):
        cachedmethod(bad)(len)


def test_a_callable_is_asked_at_each_call():
    rooms = defaultdict(dict)
    room = "red"
    inner = Counting()
    function = cached(lambda: rooms[room])(inner)
    function(1)
    room = "blue"
    function(1), function(1)
    assert inner.calls == 2


@cached(LRU())
def documented(x, self=0):
    """Says what it does."""
    return x


def test_a_cached_function_looks_like_the_function():
    assert isinstance(documented, CachedFunction)
    assert documented.__name__ == "documented"
    assert documented.__doc__ == "Says what it does."
    assert documented.__wrapped__ is documented.func
    assert "documented" in repr(documented)
    assert pickle.loads(pickle.dumps(documented)) is documented
    assert copy.deepcopy(documented) is documented
    assert documented(1, self=2) == 1
    assert "typed=True" in repr(cached({}, typed=True)(len))


# --- cachedmethod ---

shared_store = LRU(1000)


class Car:
    def __init__(self, plate=None):
        self.plate = plate
        self.store = LRI()
        self.calls = Counter()

    @cachedmethod("store")
    def by_name(self, *args, **kwargs):
        """By the name of an attribute."""
        self.calls["by_name"] += 1
        return self.plate, args, kwargs

    @cachedmethod("store")
    def by_name_too(self, *args, **kwargs):
        return "too"

    @cachedmethod(lambda self: self.store)
    def by_callable(self, *args):
        self.calls["by_callable"] += 1
        return self.plate, args

    @cachedmethod(shared_store)
    def shared(self, *args, **kwargs):
        self.calls["shared"] += 1
        return self.plate, args, kwargs

    @cachedmethod(shared_store, scoped=False)
    def unscoped(self, *args):
        self.calls["unscoped"] += 1
        return self.plate, args

    @cachedmethod(shared_store, typed=True)
    def typed(self, *args):
        self.calls["typed"] += 1
        return args

    @classmethod
    @cachedmethod(shared_store)
    def of_class(cls, x):
        return cls.__name__, x


class Truck(Car):
    @cachedmethod(shared_store)
    def shared(self, *args):
        return "truck", super().shared(*args)


@pytest.mark.parametrize("name", ["by_name", "by_callable", "shared", "unscoped", "typed"])
def test_cachedmethod_calls_once_for_the_same_arguments(name):
    shared_store.clear()
    car = Car("c")
    method = getattr(car, name)
    for _ in range(3):
        assert method("a") == getattr(car, name)("a") == getattr(Car, name)(car, "a")
    assert car.calls == {name: 1}
    method(3, 1), method(3.0, 1)
    assert car.calls == {name: 3 if name == "typed" else 2}


def test_methods_and_instances_that_share_a_cache_keep_apart():
    cars = [Car(n) for n in range(3)]
    for _ in range(2):
        for n, car in enumerate(cars):
            assert car.shared("a") == (n, ("a",), {})
            assert car.shared(b="a") == (n, (), {"b": "a"})
    assert cars[0].by_name() == (0, (), {})
    assert cars[0].by_name_too() == "too"
    truck = Truck("t")
    assert truck.shared("a") == ("truck", ("t", ("a",), {}))
    assert truck.shared("a") == ("truck", ("t", ("a",), {}))
    assert (Car.of_class(1), Truck.of_class(1)) == (("Car", 1), ("Truck", 1))


def test_without_scope_instances_share():
    store = LRU()
    first, second = Car("first"), Car("second")
    shared_store.clear()
    assert first.unscoped(1) == second.unscoped(1) == ("first", (1,))
    assert Car.unscoped(second, 1) == ("first", (1,))
    assert store == {}


def test_a_copy_of_an_instance_is_another_instance():
    car = Car("a")
    assert car.shared()[0] == "a"
    assert car.by_name()[0] == "a"
    for twin in (copy.copy(car), copy.deepcopy(car), pickle.loads(pickle.dumps(car))):
        twin.plate = "b"
        assert twin.shared()[0] == "b"
        assert twin.by_name()[0] == "b"


class Equal:
    """All instances are equal, and none is hashable."""

    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        return True

    @cachedmethod(shared_store)
    def number(self):
        return self.n


class Slotted:
    """Instances cannot be weakly referenced."""

    __slots__ = ("n",)

    def __init__(self, n):
        self.n = n

    number = cachedmethod(shared_store)(lambda self: self.n)


@pytest.mark.parametrize("kind", [Equal, Slotted])
def test_instances_are_told_apart_by_identity(kind):
    instances = [kind(n) for n in range(3)]
    for _ in range(2):
        assert [instance.number() for instance in instances] == [0, 1, 2]
    pickle.loads(pickle.dumps(shared_store))
    copy.deepcopy(shared_store)


@pytest.mark.parametrize("kind", [Car, Equal, Slotted])
def test_a_new_instance_never_finds_the_results_of_a_dead_one(kind):
    addresses = set()
    for n in range(2000):
        instance = kind(n)
        addresses.add(id(instance))
        found = instance.shared()[0] if kind is Car else instance.number()
        assert found == n
    if kind is not Slotted:
        # Else this has shown nothing.
        assert len(addresses) < 2000


def test_a_shared_cache_keeps_no_instance_alive():
    car = Car("a")
    car.shared(1)
    alive = weakref.ref(car)
    del car
    gc.collect()
    assert alive() is None


def test_a_method_of_its_own_key_sees_the_instance_and_the_function():
    seen = []

    def key(args, kwargs, typed=False):
        seen.append(args)
        return args[2:]

    class Shop:
        @cachedmethod({}, key=key)
        def price(self, name):
            return id(self), name

    one, two = Shop(), Shop()
    assert one.price("tea") == (id(one), "tea")
    assert two.price("tea") == (id(two), "tea")
    assert seen == [(one, Shop.price.func, "tea"), (two, Shop.price.func, "tea")]


def test_a_cached_method_looks_like_the_method():
    car = Car("a")
    assert isinstance(Car.by_name, CachedMethod)
    assert isinstance(car.by_name, CachedMethod)
    assert Car.by_name.bound_to is None
    assert car.by_name.bound_to is car
    assert car.by_name.__doc__ == "By the name of an attribute."
    assert "bound_to=" in repr(car.by_name)
    assert "bound_to=" not in repr(Car.by_name)
    assert pickle.loads(pickle.dumps(Car.by_name)) is Car.by_name
    assert pickle.loads(pickle.dumps(car.by_name)).bound_to.plate == "a"
    with pytest.raises(TypeError, match="instance"):
        Car.by_name()


def test_abstract_stays_abstract():
    class Base(abc.ABC):
        @cachedmethod("store")
        @abc.abstractmethod
        def method(self):
            pass

    class Other(abc.ABC):
        @cachedproperty
        @abc.abstractmethod
        def attribute(self):
            pass

    for kind in (Base, Other):
        with pytest.raises(TypeError, match="abstract"):
            kind()
        type("Child", (kind,), {"method": None, "attribute": None})()


def test_threads_never_see_the_results_of_another_instance():
    store = LRU(50)

    class Thing:
        def __init__(self, n):
            self.n = n

        @cachedmethod(store)
        def number(self):
            return self.n

    def work(thread):
        for n in range(1000):
            thing = Thing((thread, n))
            assert thing.number() == thing.number() == (thread, n)

    in_threads(4, work)


# --- cachedproperty ---


class Circle:
    computed = 0

    @cachedproperty
    def area(self):
        """How large."""
        self.computed += 1
        return self.computed


def test_a_property_is_computed_once_and_then_an_attribute():
    circle = Circle()
    assert (circle.area, circle.area, circle.computed) == (1, 1, 1)
    assert vars(circle)["area"] == 1
    circle.area = 7
    assert circle.area == 7
    del circle.area
    assert circle.area == 2
    assert Circle().area == 1


def test_a_property_on_its_class_is_itself():
    assert isinstance(Circle.area, cachedproperty)
    assert Circle.area.__doc__ == "How large."
    assert "area" in repr(Circle.area)


def test_a_property_is_stored_under_its_name_in_the_class():
    class Renamed:
        size = cachedproperty(lambda self: object())

    thing = Renamed()
    assert thing.size is thing.size
    assert list(vars(thing)) == ["size"]


def test_a_subclass_can_extend_a_property():
    class Ring(Circle):
        @cachedproperty
        def area(self):
            return super().area * 100

    ring = Ring()
    assert (ring.area, ring.area, ring.computed) == (100, 100, 1)


def test_a_property_that_raises_stores_nothing_and_needs_a_dict():
    class Failing:
        @cachedproperty
        def attribute(self):
            raise OSError

    thing = Failing()
    for _ in range(2):
        with pytest.raises(OSError):
            thing.attribute
    assert vars(thing) == {}

    class Bare:
        __slots__ = ()
        attribute = cachedproperty(id)

    with pytest.raises(TypeError, match="__dict__"):
        Bare().attribute


# --- ThresholdCounter ---


class PlainCounter:
    """Lossy counting, one addition at a time."""

    def __init__(self, threshold):
        self.width, self.total, self.entries = int(1 / threshold), 0, {}

    def add(self, key):
        done = self.total // self.width
        count, missed = self.entries.get(key, (0, done))
        self.entries[key] = (count + 1, missed)
        self.total += 1
        if self.total % self.width == 0:
            done += 1
            self.entries = {k: e for k, e in self.entries.items() if sum(e) > done}


@settings(deadline=None, max_examples=200)
@given(
    threshold=st.sampled_from([0.9, 0.6, 0.5, 0.4, 0.3, 0.15, 0.1, 0.01]),
    additions=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-1, 30)), max_size=40),
)
def test_the_counter_counts_as_the_paper_says(threshold, additions):
    counter, one_by_one = ThresholdCounter(threshold), ThresholdCounter(threshold)
    plain, exact = PlainCounter(threshold), Counter()
    for key, amount in additions:
        counter.update({key: amount})
        one_by_one.update(key * max(amount, 0))
        for _ in range(amount):
            plain.add(key)
            exact[key] += 1
        expected = {k: count for k, (count, _) in plain.entries.items()}
        assert dict(counter.items()) == dict(one_by_one.items()) == expected
        assert counter.total == one_by_one.total == plain.total
        missed = plain.total // plain.width
        assert all(exact[k] - missed <= counter.get(k) <= exact[k] for k in exact)
        assert all(k in counter for k in exact if exact[k] > missed)


def test_the_counter_is_quick_with_large_amounts():
    counter = ThresholdCounter(0.1)
    counter.add("rare")
    counter.update({"a": 10**15}, b=3)
    assert counter.total == 10**15 + 4
    assert counter["a"] == 10**15
    assert counter.get_uncommon_count() == 1


def test_the_counter_reads_like_a_mapping():
    counter = ThresholdCounter(0.1)
    counter.update("aab")
    counter.update({"c": 3}, d=0)
    counter.update(None)
    counter.update(None, b=1)
    assert counter.keys() == list(counter) == list(counter.iterkeys()) == ["a", "b", "c"]
    assert counter.values() == list(counter.itervalues()) == [2, 2, 3]
    assert counter.items() == list(counter.iteritems()) == [("a", 2), ("b", 2), ("c", 3)]
    assert dict(counter) == {"a": 2, "b": 2, "c": 3}
    assert len(counter) == 3
    assert "a" in counter
    assert "z" not in counter
    assert (counter["c"], counter.get("z"), counter.get("z", None)) == (3, 0, None)
    with pytest.raises(KeyError):
        counter["z"]
    assert counter.most_common() == [("c", 3), ("a", 2), ("b", 2)]
    assert counter.most_common(1) == [("c", 3)]
    assert counter.most_common(9) == counter.most_common()
    assert counter.most_common(0) == counter.most_common(-1) == []
    assert "".join(counter.elements()) == "aabbccc"
    assert (counter.total, counter.get_common_count(), counter.get_uncommon_count()) == (7, 7, 0)
    assert counter.get_commonality() == 1.0
    assert "'a': 2" in repr(counter)


def test_the_counter_pickles():
    counter = ThresholdCounter(0.1)
    counter.update("aab")
    for twin in (pickle.loads(pickle.dumps(counter)), copy.deepcopy(counter)):
        twin.update("a" * 20)
        assert twin["a"] == 22
    assert counter["a"] == 2


def test_an_empty_counter_has_lost_nothing():
    counter = ThresholdCounter()
    assert counter.threshold == 0.001
    assert counter.get_commonality() == 1.0
    assert counter.items() == counter.most_common() == list(counter.elements()) == []


def test_the_counter_refuses_bad_arguments():
    for threshold in (0, 1, -0.1, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            ThresholdCounter(threshold)
    with pytest.raises(AttributeError):
        ThresholdCounter().threshold = 0.5
    with pytest.raises(TypeError):
        ThresholdCounter().update(5)
    with pytest.raises(TypeError):
        ThresholdCounter().update({"a": 1.5})


# --- MinIDMap ---


class Thing:
    pass


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["get", "drop", "die"]), st.integers(0, 5))))
def test_numbers_are_the_smallest_that_are_free(steps):
    numbers = MinIDMap()
    things = [Thing() for _ in range(6)]
    given_to = {}
    for name, place in steps:
        if name == "get":
            free = min(set(range(7)) - set(given_to.values()))
            expected = given_to.setdefault(place, free)
            assert numbers.get(things[place]) == expected
        elif name == "die":
            things[place] = Thing()
            given_to.pop(place, None)
        elif place in given_to:
            numbers.drop(things[place])
            del given_to[place]
        else:
            with pytest.raises(KeyError):
                numbers.drop(things[place])
        assert len(numbers) == len(given_to)
        assert [thing in numbers for thing in things] == [n in given_to for n in range(6)]
        assert dict(numbers.iteritems()) == {things[n]: i for n, i in given_to.items()}
        assert set(numbers) == {things[n] for n in given_to}


def test_a_death_is_noticed_in_silence(capfd):
    numbers = MinIDMap()
    ring = Thing()
    ring.itself = ring
    assert numbers.get(ring) == 0
    del ring
    gc.collect()
    assert len(numbers) == 0
    assert list(numbers) == []
    assert numbers.get(Thing()) == 0
    assert capfd.readouterr() == ("", "")


def test_objects_may_die_while_one_iterates():
    numbers = MinIDMap()
    things = [Thing() for _ in range(10)]
    for thing in things:
        numbers.get(thing)
    seen = 0
    del thing
    for _ in numbers:
        seen += 1
        del things[1:]
    assert 1 <= seen <= 3
    assert len(numbers) <= 2


def test_a_map_may_die_before_its_objects():
    thing = Thing()
    numbers = MinIDMap()
    numbers.get(thing)
    alive = weakref.ref(numbers)
    del numbers
    assert alive() is None
    del thing


def test_what_cannot_have_a_number_is_refused():
    numbers = MinIDMap()
    for bad in (5, [], type("Unhashable", (), {"__hash__": None})()):
        with pytest.raises(TypeError):
            numbers.get(bad)
    assert 5 not in numbers
    assert numbers.get(Thing) == 0


def test_threads_never_get_the_same_number():
    numbers = MinIDMap()
    held = set()

    def work(_):
        for _ in range(500):
            things = [Thing() for _ in range(3)]
            mine = [numbers.get(thing) for thing in things]
            assert not held.intersection(mine)
            held.update(mine)
            assert max(mine) < 12
            held.difference_update(mine)
            numbers.drop(things.pop())

    in_threads(4, work)
    assert len(numbers) == 0
