"""`retain.hash`: what it returns, and what counts."""

from __future__ import annotations

import collections
import functools
import pickle
import threading
import types

import pytest
import retain
from corpus import Plain, Point

try:
    import numpy as np
except ImportError:
    np = None

needs_numpy = pytest.mark.skipif(np is None, reason="numpy is not installed")


@pytest.fixture
def registered():
    """Register keys for the time of a test."""
    from retain import _parts

    before = dict(_parts._registered)
    yield retain.register_key
    _parts._registered.clear()
    _parts._registered.update(before)
    _parts._retain.forget_handlers()


def same(*values):
    return len({retain.hash(value) for value in values}) == 1


def test_a_digest_is_64_hexadecimal_digits():
    digest = retain.hash([1, "a"])
    assert len(digest) == 64
    assert set(digest) <= set("0123456789abcdef")


def test_the_known_digests_of_a_few_values_never_change():
    # BLAKE3 of "retain-key 1\n" and the encoding: 02, 05 01 01, 09 01 61, 0c 00, 0d 05 01 01 00.
    blake3 = pytest.importorskip("blake3").blake3
    encodings = {None: "02", 1: "050101", "a": "090161", (): "0c00", (1,): "0c05010100", 0: "0500", -1: "0501ff"}
    for value, encoding in encodings.items():
        assert retain.hash(value) == blake3(b"retain-key 1\n" + bytes.fromhex(encoding)).hexdigest()


def test_hash_name_says_how_long_the_digest_is():
    assert [len(retain.hash(1, hash_name=name)) for name in ("blake3", "sha1", "md5")] == [64, 40, 32]
    assert retain.hash(1, "md5") != retain.hash(2, "md5")


@pytest.mark.parametrize("name", ["sha256", "", "MD5"])
def test_another_hash_name_is_refused(name):
    with pytest.raises(ValueError, match="blake3"):
        retain.hash(1, hash_name=name)


@pytest.mark.parametrize("name", [1, b"md5"])
def test_a_hash_name_that_is_no_text_is_refused(name):
    with pytest.raises(TypeError):
        retain.hash(1, hash_name=name)


def test_what_is_shared_inside_does_not_count():
    part = [1, {2}]
    assert same([part, part, part], [[1, {2}], [1, {2}], [1, {2}]])


def test_the_order_of_dicts_and_sets_does_not_count():
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert same({"a", "b", "c"}, {"c", "b", "a"})


def test_the_order_of_attributes_does_not_count():
    assert same(Plain(a=1, b=2), Plain(b=2, a=1))
    assert same(types.SimpleNamespace(a=1, b=2), types.SimpleNamespace(b=2, a=1))


def test_what_a_dict_has_been_does_not_count():
    used = {n: n for n in range(1000)}
    for n in range(1000):
        del used[n]
    used["a"] = 1
    assert same(used, {"a": 1})


def test_a_memoized_method_that_was_called_does_not_change_the_instance():
    class Model:
        def __init__(self):
            self.a = 1

        @retain.memoize
        def fit(self, x):
            return x

    model = Model()
    before = retain.hash(model)
    model.fit(1)
    assert retain.hash(model) == before


def test_attributes_of_the_users_own_count_whatever_their_names():
    assert not same(Plain(_retain_mode=1), Plain(_retain_mode=2))


def test_retain_key_says_what_stands_for_an_instance():
    class Connection:
        def __init__(self, address):
            self.address, self.lock = address, threading.Lock()

        def __retain_key__(self):
            return self.address

    assert same(Connection("a"), Connection("a"))
    assert not same(Connection("a"), Connection("b"))
    assert not same(Connection("a"), "a")


def test_subclasses_inherit_retain_key_and_differ():
    class Base:
        def __retain_key__(self):
            return 1

    class Child(Base):
        pass

    assert not same(Base(), Child())
    assert same(Child(), Child())


def test_retain_key_may_refer_back_to_the_instance():
    class Node:
        def __init__(self, name):
            self.name, self.others = name, []

        def __retain_key__(self):
            return self.name, self.others

    def pair():
        one, other = Node("a"), Node("b")
        one.others.append(other)
        other.others.append(one)
        return one

    assert same(pair(), pair())
    assert not same(pair(), Node("a"))


def test_register_key_says_what_stands_for_a_type(registered):
    lock = type(threading.Lock())
    with pytest.raises(TypeError):
        retain.hash([threading.Lock()])
    registered(lock, lambda lock: "a lock")
    assert same([threading.Lock()], [threading.Lock()])


def test_register_key_comes_before_what_is_known_already(registered):
    deque = collections.deque([1, 2])
    before = retain.hash(deque)
    registered(collections.deque, len)
    assert retain.hash(deque) != before
    assert same(deque, collections.deque("ab"))


def test_register_key_comes_before_retain_key(registered):
    class Thing:
        def __retain_key__(self):
            return 1

    before = retain.hash(Thing())
    registered(Thing, lambda thing: 2)
    assert retain.hash(Thing()) != before


def test_register_key_applies_to_subclasses_and_the_nearest_one_counts(registered):
    class Base:
        pass

    class Child(Base):
        pass

    registered(Base, lambda value: "base")
    as_base = retain.hash(Child())
    assert as_base == retain.hash(Child())
    registered(Child, lambda value: "child")
    assert retain.hash(Child()) != as_base


def test_registering_again_replaces(registered):
    class Thing:
        pass

    registered(Thing, lambda thing: 1)
    first = retain.hash(Thing())
    registered(Thing, lambda thing: 2)
    assert retain.hash(Thing()) != first
    registered(Thing, lambda thing: 1)
    assert retain.hash(Thing()) == first


@pytest.mark.parametrize(("kind", "function"), [(1, len), ("str", len), (Plain, None), (Plain, 1)])
def test_register_key_wants_a_class_and_a_function(kind, function):
    with pytest.raises(TypeError):
        retain.register_key(kind, function)


def test_a_key_function_may_not_return_the_value_itself(registered):
    class Thing:
        pass

    registered(Thing, lambda thing: thing)
    with pytest.raises(TypeError, match="itself"):
        retain.hash(Thing())


def test_the_class_of_an_instance_counts_by_its_code():
    def make(text):
        scope = {"__name__": "made"}
        exec(text, scope)  # noqa: S102
        return scope["Made"]()

    one = "class Made:\n    def run(self):\n        return 1"
    assert same(make(one), make(one))
    assert not same(make(one), make(one.replace("1", "2")))


def test_bound_methods_count_by_function_and_instance():
    assert same(Plain(a=1).__init__, Plain(a=1).__init__)
    assert not same(Plain(a=1).__init__, Plain(a=2).__init__)
    assert not same([].append, [1].append)


def test_partials_count_by_what_they_hold():
    assert same(functools.partial(int, base=2), functools.partial(int, base=2))
    assert not same(functools.partial(int, base=2), functools.partial(int, base=3))
    assert same(functools.partial(int, base=2), functools.partial(functools.partial(int), base=2))


def test_a_named_tuple_of_the_same_items_is_the_same():
    assert same(Point(1, 2), Point(1)._replace(y=2))


@needs_numpy
def test_a_strided_view_equals_its_copy():
    values = np.arange(1000).reshape(10, 100)
    for view in (values[::2, ::-3], values.T[::2], values[:, 5], values[3:4, 2:3], values[:0]):
        assert same(view, view.copy(order="C"))


@needs_numpy
def test_bytes_between_fields_do_not_count():
    dtype = np.dtype([("a", "i1"), ("b", "f8"), ("c", "g")], align=True)
    clean, dirty = np.zeros(5, dtype), np.frombuffer(b"\xaa" * 5 * dtype.itemsize, dtype).copy()
    for name in dtype.names:
        dirty[name] = clean[name]
    assert clean.tobytes() != dirty.tobytes()
    assert same(clean, dirty)
    assert same(clean[::2], dirty[::2])
    assert same(clean[0], dirty[0])


@needs_numpy
def test_what_lies_below_a_mask_does_not_count():
    one = np.ma.array([1, 2, 3], mask=[0, 1, 0])
    other = np.ma.array([1, 9, 3], mask=[0, 1, 0])
    assert same(one, other)
    assert not same(one, np.ma.array([1, 2, 3], mask=[0, 0, 0]))
    assert same(np.ma.array([1, 2]), np.ma.array([1, 2], mask=[0, 0]))


@needs_numpy
def test_asking_for_a_fill_value_does_not_count():
    one, other = np.ma.array([1, 2]), np.ma.array([1, 2])
    assert one.fill_value == 999_999
    assert same(one, other)


@needs_numpy
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "?", "f2", [("a", "u1"), ("b", "S2")]])
def test_masked_arrays_of_small_numbers(kind):
    # numpy's default fill value, 999999, is none of them.
    one, other = (np.ma.array(np.zeros(2, kind), mask=mask) for mask in ([0, 1], [0, 0]))
    assert not same(one, other)
    before = retain.hash(one)
    with np.errstate(over="ignore"):
        assert one.fill_value is not None
        copy = pickle.loads(pickle.dumps(one))
    assert retain.hash(one) == retain.hash(copy) == before


@needs_numpy
def test_a_generator_counts_by_its_state():
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    assert same(one, other)
    one.random()
    assert not same(one, other)
    other.random()
    assert same(one, other)


@needs_numpy
def test_a_memory_map_is_a_type_of_its_own_unless_coerced(tmp_path):
    values = np.arange(10.0)
    paths = [tmp_path / "a", tmp_path / "b"]
    maps = []
    for path in paths:
        values.tofile(path)
        maps.append(np.memmap(path, dtype="f8", mode="r"))
    assert same(*maps)
    assert not same(maps[0], values)
    coerced = [retain.hash({"a": value}, coerce_mmap=True) for value in (*maps, values)]
    assert len(set(coerced)) == 1
    del maps


@needs_numpy
def test_an_object_array_counts_by_its_items():
    assert same(np.array([1, [2]], dtype=object), np.array([1, [2]], dtype=object))
    assert not same(np.array([1, 2], dtype=object), np.array([1, 2]))


@needs_numpy
def test_attributes_of_an_array_subclass_count():
    class Measured(np.ndarray):
        pass

    def measured(unit):
        values = np.arange(3).view(Measured)
        values.unit = unit
        return values

    assert same(measured("m"), measured("m"))
    assert not same(measured("m"), measured("s"))
    assert not same(measured("m"), np.arange(3))


def test_memory_that_stands_for_a_value_is_a_value_of_its_own_type():
    class Frame:
        def __init__(self, memory):
            self.memory = memory

        def __retain_key__(self):
            return self.memory

    def key(memory):
        return retain.hash(Frame(memory))

    eight = bytes(range(8))
    assert key(memoryview(eight)) == key(memoryview(eight))
    assert key(memoryview(eight)) != key(memoryview(eight).cast("q"))
    assert key(memoryview(eight)) != key(eight)
