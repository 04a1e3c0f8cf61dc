"""Memoized methods: each instance has results of its own, and does not live longer for it."""

import abc
import collections
import copy
import dataclasses
import functools
import gc
import inspect
import pickle
import subprocess
import sys
import threading
import typing
import weakref

import pytest
from retain import memoize


class Scale:
    """An ordinary class."""

    def __init__(self, factor):
        self.factor, self.calls = factor, []

    @memoize
    def times(self, x, y=1):
        """Multiply."""
        self.calls.append(x)
        return self.factor * x * y

    @memoize
    def me(self):
        return self


# --- Results are the instance's own ---


def test_each_instance_has_its_own_results():
    double, triple = Scale(2), Scale(3)
    for _ in range(2):
        assert (double.times(5), triple.times(5)) == (10, 15)
        assert double.times(x=5, y=1) == double.times(5, 1) == 10
    assert (double.calls, triple.calls) == ([5], [5])


def test_each_instance_has_its_own_counts_and_the_class_their_sum():
    class Local:
        @memoize(maxsize=2)
        def method(self, x):
            return x

    one, other = Local(), Local()
    one.method(1), one.method(1), one.method(2), one.method(3)
    other.method(1)
    assert one.method.cache_info()[:5] == (1, 3, 2, 2, 1)
    assert other.method.cache_info()[:5] == (0, 1, 2, 1, 0)
    assert Local.method.cache_info()[:5] == (1, 4, 2, 3, 1)
    del one
    gc.collect()
    info = Local.method.cache_info()
    assert (info.hits, info.misses, info.currsize) == (1, 4, 1)
    Local.method.cache_clear()
    assert Local.method.cache_info()[:2] == other.method.cache_info()[:2] == (0, 0)


def test_the_methods_of_a_bound_method_are_about_its_instance():
    one, other = Scale(2), Scale(3)
    one.times(1), one.times(2), other.times(1)
    assert one.times.peek(1) == 2
    assert one.times.invalidate(1) is True
    assert one.times.invalidate(1) is False
    assert other.times.peek(1) == 3
    one.times.set("set", 9)
    assert one.times(9) == "set"
    with pytest.raises(KeyError):
        other.times.peek(9)
    assert one.times.refresh(2) == 4
    assert one.calls == [1, 2, 2]
    assert {entry.value for entry in one.times} == {4, "set"}
    assert [entry.arguments for entry in other.times] == [{"x": 1, "y": 1}]
    one.times.cache_clear()
    assert list(one.times) == []
    assert other.times.cache_info().currsize == 1


def test_the_methods_of_the_unbound_method_take_the_instance():
    scale = Scale(2)
    assert Scale.times(scale, 4) == 8
    assert Scale.times.peek(scale, 4) == 8
    Scale.times.set("set", scale, 5)
    assert scale.times(5) == "set"
    assert Scale.times.invalidate(scale, 4) is True
    assert Scale.times.refresh(scale, 4) == 8
    assert scale.calls == [4, 4]


def test_a_bound_method_looks_like_one():
    scale = Scale(2)
    bound = scale.times
    assert bound.__self__ is scale
    assert bound.__func__ is Scale.times
    assert bound.__name__ == "times"
    assert bound.__doc__ == "Multiply."
    assert bound.__wrapped__ is Scale.times.__wrapped__
    assert bound.__module__ == __name__
    assert str(inspect.signature(bound)) == "(x, y=1)"
    assert str(inspect.signature(Scale.times)) == "(self, x, y=1)"
    assert bound == scale.times
    assert bound != Scale(2).times
    assert hash(bound) == hash(scale.times)
    assert "bound method Scale.times of" in repr(bound)
    assert bound.cache_parameters()["policy"] == "s3fifo"
    keep = bound
    del scale
    assert keep(3) == 6


def test_wrong_arguments_raise_the_functions_own_error():
    scale = Scale(2)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        scale.times()
    with pytest.raises(TypeError, match="missing 2 required positional arguments"):
        Scale.times()
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        scale.times(1, z=2)
    assert Scale.times(self=scale, x=7) == 14


def test_unhashable_arguments_count_by_their_content():
    scale = Scale(2)
    assert scale.times([1]) == scale.times([1]) == [1, 1]
    assert scale.times([1]) is scale.times([1])
    with pytest.raises(TypeError, match=r"argument 'x' -> \[0\]: a thread lock"):
        scale.times([threading.Lock()])


def test_an_unhashable_instance_needs_no_key():
    class Row(list):
        @memoize
        def total(self):
            return sum(self)

    one, other = Row([1, 2]), Row([1, 2, 3])
    assert (one.total(), other.total()) == (3, 6)
    one.append(10)
    assert one.total() == 3
    one.total.invalidate()
    assert one.total() == 13


def test_instances_that_are_equal_have_results_of_their_own():
    class Same:
        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

        @memoize
        def method(self):
            return object()

    one, other = Same(), Same()
    assert one.method() is one.method()
    assert one.method() is not other.method()


# --- Lives ---


def test_an_instance_is_not_kept_alive():
    scale = Scale(2)
    scale.times(1)
    reference = weakref.ref(scale)
    del scale
    assert reference() is None


def test_a_result_that_refers_to_its_instance_does_not_keep_it_alive():
    scale = Scale(2)
    assert scale.me() is scale
    reference = weakref.ref(scale)
    del scale
    gc.collect()
    assert reference() is None


def test_a_result_goes_with_its_instance():
    class Node:
        @memoize
        def child(self):
            return Node()

    node = Node()
    reference = weakref.ref(node.child())
    del node
    gc.collect()
    assert reference() is None


def test_a_class_made_at_run_time_is_collected():
    class Local:
        @memoize
        def method(self):
            return Local

    instance = Local()
    instance.method()
    references = weakref.ref(Local), weakref.ref(Local.method)
    del instance, Local
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_class_with_slots_made_at_run_time_is_collected():
    class Slots:
        __slots__ = ("__weakref__",)

        @memoize
        def method(self):
            return self

    Slots().method()
    references = weakref.ref(Slots), weakref.ref(Slots.method)
    del Slots
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_the_counts_of_very_many_instances_are_kept():
    class Local:
        @memoize
        def method(self):
            return 1

    kept = []
    for number in range(500):
        local = Local()
        local.method(), local.method()
        if number % 5 == 0:
            kept.append(local)
    del local
    info = Local.method.cache_info()
    assert (info.hits, info.misses, info.currsize) == (500, 500, 100)


def test_an_instance_at_an_address_used_before_has_nothing():
    class Slots:
        __slots__ = ("__weakref__", "name")

        @memoize
        def method(self):
            return self.name

    for number in range(200):
        instance = Slots()
        instance.name = number
        assert instance.method() == number
    assert Slots.method.cache_info().currsize == 1


# --- Kinds of classes ---


def test_slots_without_room_for_attributes():
    class Slots:
        __slots__ = ("__weakref__", "calls")

        def __init__(self):
            self.calls = 0

        @memoize
        def method(self, x):
            self.calls += 1
            return x

    one, other = Slots(), Slots()
    assert one.method(1) == one.method(1) == other.method(1) == 1
    assert (one.calls, other.calls) == (1, 1)
    assert one.method.cache_info().hits == 1
    reference = weakref.ref(one)
    del one
    gc.collect()
    assert reference() is None
    assert other.method.cache_info().currsize == 1
    assert Slots.method.cache_info()[:2] == (1, 2)


def test_slots_without_weak_references_are_told_what_helps():
    class Slots:
        __slots__ = ()

        @memoize
        def method(self):
            return 1

    with pytest.raises(TypeError) as caught:
        Slots().method()
    text = str(caught.value)
    assert "Slots.method() cannot keep results for a" in text
    assert "Add '__weakref__' to its __slots__, or give memoize a key=" in text


def test_with_a_key_function_results_are_kept_by_that_key():
    class Slots:
        __slots__ = ("name",)

        def __init__(self, name):
            self.name = name

        @memoize(key=lambda self, x: (self.name, x))
        def method(self, x):
            return object()

    one, same, other = Slots("a"), Slots("a"), Slots("b")
    assert one.method(1) is one.method(1) is same.method(1)
    assert one.method(1) is not other.method(1)
    assert one.method.cache_info() == Slots.method.cache_info()
    assert one.method.invalidate(1) is True
    one.method.cache_clear()
    assert list(one.method) == []


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int

    @memoize
    def square(self):
        return [self.x**2]


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class FrozenSlots:
    x: int

    @memoize
    def square(self):
        return [self.x**2]


@pytest.mark.parametrize("kind", [Frozen, FrozenSlots])
def test_frozen_dataclasses(kind):
    point = kind(3)
    assert point.square() is point.square()
    assert kind(3).square() == [9]
    assert kind(3) == point
    assert hash(kind(3)) == hash(point)
    assert repr(point) == f"{kind.__name__}(x=3)"
    assert dataclasses.asdict(point) == {"x": 3}
    moved = dataclasses.replace(point, x=4)
    assert moved.square() == [16]
    reference = weakref.ref(point)
    del point
    gc.collect()
    assert reference() is None


def test_a_class_that_guards_its_attributes():
    class Guarded:
        def __setattr__(self, name, value):
            raise AttributeError("closed")

        def __getattr__(self, name):
            raise LookupError(name)

        @memoize
        def method(self):
            return object()

    guarded = Guarded()
    assert guarded.method() is guarded.method()


def test_abstract_protocol_enum_and_generic_classes():
    class Abstract(abc.ABC):
        @abc.abstractmethod
        @memoize
        def method(self):
            return object()

    class Concrete(Abstract):
        @memoize
        def method(self):
            return super().method()

    concrete = Concrete()
    assert concrete.method() is concrete.method()

    class Box(typing.Generic[typing.TypeVar("T")]):
        @memoize
        def method(self):
            return object()

    box = Box[int]()
    assert box.method() is box.method()


def test_named_tuples_and_other_children_of_builtins():
    class Row(dict):
        @memoize
        def total(self):
            return [sum(self.values())]

    row = Row(a=1, b=2)
    assert row.total() is row.total()

    class Pair(collections.namedtuple("Pair", "a b")):  # noqa: PYI024
        @memoize
        def total(self):
            return self.a + self.b

        @memoize(key=lambda self: self)
        def difference(self):
            return [self.a - self.b]

    with pytest.raises(TypeError, match="cannot be weakly referenced"):
        Pair(1, 2).total()
    assert Pair(1, 2).difference() is Pair(1, 2).difference()


# --- Inheritance ---


def test_a_child_inherits_the_method_with_results_of_its_own_instances():
    class Child(Scale):
        pass

    child = Child(5)
    assert child.times(2) == child.times(2) == 10
    assert child.calls == [2]


def test_a_method_and_the_one_that_overrides_it_do_not_share_results():
    class Parent:
        @memoize
        def method(self, x):
            return ["parent", x]

    class Child(Parent):
        @memoize
        def method(self, x):
            return ["child", *super().method(x)]

    for order in (("child", "parent"), ("parent", "child")):
        child = Child()
        for _ in range(2):
            for who in order:
                if who == "child":
                    assert child.method(1) == ["child", "parent", 1]
                else:
                    assert Parent.method(child, 1) == ["parent", 1]
        assert child.method.cache_info()[:2] == (1, 1)


def test_classes_of_the_same_name_in_one_line_do_not_share_results():
    def make(parent, answer):
        class Same(parent):
            @memoize
            def method(self):
                below = super().method() if parent is not object else []
                return [answer, *below]

        return Same

    instance = make(make(make(object, 1), 2), 3)()
    for _ in range(3):
        assert instance.method() == [3, 2, 1]
        assert type(instance).__mro__[1].method(instance) == [2, 1]
        assert type(instance).__mro__[2].method(instance) == [1]
    reference = weakref.ref(instance)
    del instance
    gc.collect()
    assert reference() is None


def test_methods_of_one_class_do_not_share_results():
    class Twins:
        @memoize
        def one(self, x):
            return "one", x

        @memoize
        def other(self, x):
            return "other", x

    twins = Twins()
    for _ in range(2):
        assert (twins.one(1), twins.other(1)) == (("one", 1), ("other", 1))


def test_one_function_under_two_names():
    class Twice:
        @memoize
        def one(self):
            return object()

        other = one

    twice = Twice()
    assert twice.one() is twice.other()


def test_names_that_python_mangles():
    class Private:
        @memoize
        def __method(self):
            return object()

        def ask(self):
            return self.__method()

    private = Private()
    assert private.ask() is private.ask()


# --- Other descriptors ---


class Descriptors:
    @staticmethod
    @memoize
    def static_outside(x):
        return [x]

    @memoize
    @staticmethod
    def static_inside(x):
        return [x]

    @classmethod
    @memoize
    def class_outside(cls, x):
        return [cls, x]

    @memoize
    @classmethod
    def class_inside(cls, x):
        return [cls, x]

    @property
    @memoize
    def prop(self):
        return [self]


@pytest.mark.parametrize("name", ["static_outside", "static_inside"])
def test_static_methods_in_either_order(name):
    method = getattr(Descriptors, name)
    assert method(1) is getattr(Descriptors(), name)(1) is method(x=1)
    assert method(1) == [1]
    assert method.cache_info().currsize == 1
    assert method.invalidate(1) is True


@pytest.mark.parametrize("name", ["class_outside", "class_inside"])
def test_class_methods_in_either_order(name):
    class Child(Descriptors):
        pass

    method = getattr(Descriptors, name)
    assert method(1) is getattr(Descriptors(), name)(1) is method(x=1)
    assert method(1) == [Descriptors, 1]
    assert getattr(Child, name)(1) == [Child, 1]
    assert method.cache_info().currsize == 2
    assert method.cache_info().hits >= 3


@pytest.mark.parametrize(
    "name",
    [
        "class_inside",
        pytest.param(
            "class_outside",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 13), reason="there classmethod asks nothing of what it wraps"
            ),
        ),
    ],
)
def test_the_methods_of_a_class_method_are_about_its_class(name):
    class Child(Descriptors):
        pass

    one, other = getattr(Descriptors, name), getattr(Child, name)
    one(1), other(1)
    assert one.peek(1) == [Descriptors, 1]
    assert other.peek(1) == [Child, 1]
    assert one.invalidate(1) is True
    with pytest.raises(KeyError):
        one.peek(1)
    assert other(1) == [Child, 1]
    other.set("set", 1)
    assert other(1) == "set"
    assert other.refresh(1) == [Child, 1]
    other.cache_clear()
    assert list(one) == []


def test_a_property_over_a_memoized_method():
    instance, other = Descriptors(), Descriptors()
    assert instance.prop is instance.prop
    assert instance.prop == [instance]
    assert other.prop == [other]
    assert Descriptors.prop.fget.cache_info().currsize == 2
    assert Descriptors.prop.fget.invalidate(instance) is True
    assert instance.prop == [instance]
    Descriptors.prop.fget.cache_clear()


def test_a_partial_method():
    class Partial:
        @memoize
        def method(self, x, y):
            return [self, x, y]

        with_one = functools.partialmethod(method, 1)

    partial = Partial()
    assert partial.with_one(2) == [partial, 1, 2]
    assert partial.with_one(2) is partial.method(1, 2)


def test_a_memoized_function_put_on_a_class_later_is_kept_by_all_arguments():
    class Late:
        pass

    Late.method = memoize(lambda self, x: [self, x])
    one, other = Late(), Late()
    assert one.method(1) is one.method(1)
    assert one.method(1) is not other.method(1)
    assert one.method.invalidate(1) is True


# --- Copies and pickles of instances ---


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_an_instance_has_results_of_its_own(duplicate):
    scale = Scale(2)
    scale.calls = None
    assert scale.me() is scale
    twin = duplicate(scale)
    assert twin.me() is twin
    assert scale.me() is scale
    twin.factor = 10
    twin.calls = scale.calls = []
    assert (scale.times(1), twin.times(1)) == (2, 10)
    reference = weakref.ref(scale)
    del scale
    gc.collect()
    assert reference() is None
    assert twin.me() is twin


class Bag:
    def __init__(self, items):
        self.items = items

    @memoize
    def total(self):
        return sum(self.items)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_instance_leaves_its_results_behind(protocol):
    bag = Bag([1, 2])
    assert bag.total() == 3
    data = pickle.dumps(bag, protocol)
    assert b"retain._retain" not in data
    again = pickle.loads(data)
    again.items.append(10)
    assert (again.total(), bag.total()) == (13, 3)
    bound = pickle.loads(pickle.dumps(bag.total, protocol))
    assert bound() == 3


def test_unpickling_an_instance_needs_no_retain(tmp_path):
    module = tmp_path / "bags.py"
    module.write_text("from retain import memoize\nclass Bag:\n    @memoize\n    def total(self):\n        return 3\n")
    dump = "import bags, pickle, sys; b = bags.Bag(); b.total(); print(pickle.dumps(b).hex())"
    load = (
        "import sys; sys.modules['retain'] = sys.modules['retain._retain'] = None\n"
        "import bags, pickle; b = pickle.loads(bytes.fromhex(sys.argv[1])); print(b.total())"
    )

    def run(program, *args):
        command = [sys.executable, "-B", "-c", program, *args]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    pickled = run(dump)
    module.write_text("class Bag:\n    def total(self):\n        return 'plain'\n")
    assert run(load, pickled) == "plain"


# --- Threads ---


def test_threads_that_use_one_new_instance_compute_once():
    calls = []

    class Slow:
        @memoize
        def method(self):
            calls.append(1)
            together.wait(0.05) if len(calls) > 1 else threading.Event().wait(0.02)
            return object()

    together = threading.Event()
    for _ in range(20):
        slow, results, begin = Slow(), [], threading.Barrier(4, timeout=20)
        calls.clear()

        def work(slow=slow, results=results, begin=begin):
            begin.wait()
            results.append(slow.method())

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(set(results)) == 1
        assert len(calls) == 1


def test_expiry_weight_and_callbacks_are_per_instance():
    told = []

    class Local:
        @memoize(maxsize=1, weigher=len, on_evict=lambda *what: told.append(what))
        def method(self, x):
            return "a" * x

    one, other = Local(), Local()
    one.method(3), other.method(4), one.method(5)
    assert told == [({"x": 3}, "aaa", "evicted")]
    assert one.method.cache_info().weight == 5
    assert Local.method.cache_info().weight == 9
