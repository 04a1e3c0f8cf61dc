"""What `retain.cached_property` promises beyond CPython's own tests."""

import copy
import functools
import gc
import pickle
import sys
import threading
import time
import weakref

import pytest
from retain import cached_property


class Data:
    """Counts how often its properties are computed."""

    def __init__(self):
        self.calls = 0

    @cached_property
    def value(self):
        """The value."""
        self.calls += 1
        return object()

    @cached_property
    def other(self):
        return self.value


def start(count, target):
    workers = [threading.Thread(target=target) for _ in range(count)]
    for worker in workers:
        worker.start()
    return workers


def codes(frame):
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def test_it_is_computed_once_and_lies_in_the_instances_dict():
    data = Data()
    assert data.value is data.value
    assert data.calls == 1
    assert vars(data)["value"] is data.value
    assert data.other is data.value


def test_the_class_gives_the_property_itself():
    assert isinstance(Data.value, cached_property)
    assert Data.value.__doc__ == "The value."
    assert Data.value.attrname == "value"
    assert Data.value.__module__ == __name__
    assert callable(Data.value.func)


def test_assigning_and_deleting_work_as_on_any_attribute():
    data = Data()
    data.value = 3
    assert (data.value, data.calls) == (3, 0)
    del data.value
    first = data.value
    del data.value
    assert data.value is not first
    assert data.calls == 2
    with pytest.raises(AttributeError):
        del Data().value


def test_an_exception_is_not_kept():
    class Failing:
        calls = 0

        @cached_property
        def value(self):
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError
            return self.calls

    failing = Failing()
    with pytest.raises(ZeroDivisionError):
        failing.value
    assert failing.value == 2


def messages(build):
    """What functools says and what retain says."""
    said = []
    for decorator in (functools.cached_property, cached_property):
        with pytest.raises((TypeError, RuntimeError)) as caught:
            build(decorator)
        error = caught.value
        # Python 3.11 wraps what __set_name__ raises.
        said.append((type(error.__cause__ or error), str(error.__cause__ or error)))
    return said


def two_names(decorator):
    class Twice:
        one = other = decorator(lambda self: 1)

        @decorator
        def value(self):
            return 1

        again = value


def slots(decorator):
    class Slots:
        __slots__ = ()

        @decorator
        def value(self):
            return 1

    Slots().value


def read_only_dict(decorator):
    class Meta(type):
        @decorator
        def value(cls):
            return 1

    class Class(metaclass=Meta):
        pass

    Class.value


def no_name(decorator):
    class Late:
        pass

    Late.value = decorator(lambda self: 1)
    Late().value


@pytest.mark.parametrize("build", [two_names, slots, read_only_dict, no_name])
def test_misuse_raises_what_functools_raises(build):
    theirs, ours = messages(build)
    assert ours == theirs


def test_one_name_in_two_classes_is_fine():
    shared = cached_property(lambda self: type(self).__name__)

    class One:
        value = shared

    class Other:
        value = shared

    assert (One().value, Other().value) == ("One", "Other")


def test_a_child_can_override_and_ask_its_parent():
    class Child(Data):
        @cached_property
        def value(self):
            return [super().value]

    child = Child()
    assert child.value is child.value
    assert isinstance(child.value, list)
    assert child.calls == 1


def test_threads_that_ask_while_it_is_computed_wait():
    entered, go = threading.Event(), threading.Event()

    class Slow:
        calls = 0

        @cached_property
        def value(self):
            self.calls += 1
            entered.set()
            go.wait(20)
            return object()

    slow, results = Slow(), []
    workers = start(8, lambda: results.append(slow.value))
    assert entered.wait(20)
    time.sleep(0.05)
    go.set()
    for worker in workers:
        worker.join()
    assert slow.calls == 1
    assert results == [slow.value] * 8


def test_an_exception_reaches_those_who_wait_and_the_next_computes():
    entered, go = threading.Event(), threading.Event()

    class Slow:
        calls = 0

        @cached_property
        def value(self):
            self.calls += 1
            entered.set()
            go.wait(20)
            if self.calls == 1:
                raise LookupError
            return self.calls

    slow, results = Slow(), []

    def ask():
        try:
            results.append(slow.value)
        except LookupError:
            results.append("raised")

    workers = start(4, ask)
    assert entered.wait(20)
    # All of them are inside, as far as that can be seen.
    until = time.monotonic() + 20
    while sum(ask.__code__ in codes(frame) for frame in sys._current_frames().values()) < 4:
        assert time.monotonic() < until
        time.sleep(0.001)
    time.sleep(0.05)
    go.set()
    for worker in workers:
        worker.join()
    assert slow.value == 2
    assert results.count("raised") == 4


def test_other_instances_do_not_wait():
    together = threading.Barrier(4, timeout=20)

    class Meeting:
        @cached_property
        def value(self):
            # Passed only if all are computed at the same time.
            return together.wait()

    meetings = [Meeting() for _ in range(4)]
    workers = [threading.Thread(target=lambda m=meeting: m.value) for meeting in meetings]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(meeting.value for meeting in meetings) == [0, 1, 2, 3]


def test_two_properties_that_need_each_other_on_two_threads_do_not_wait_for_ever():
    together = threading.Barrier(2, timeout=20)

    class Knot:
        @cached_property
        def one(self):
            if threading.current_thread().name == "one":
                together.wait()
                return ("one", self.other)
            return "one alone"

        @cached_property
        def other(self):
            if threading.current_thread().name == "other":
                together.wait()
                return ("other", self.one)
            return "other alone"

    knot, results = Knot(), {}
    workers = [
        threading.Thread(target=lambda n=name: results.update({n: getattr(knot, n)}), name=name)
        for name in ("one", "other")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert set(results) == {"one", "other"}


def test_the_instance_is_not_kept_alive():
    data = Data()
    data.value
    reference = weakref.ref(data)
    del data
    assert reference() is None


def test_a_value_that_refers_to_the_instance_is_collected_with_it():
    class Selfish:
        @cached_property
        def value(self):
            return self

    selfish = Selfish()
    reference = weakref.ref(selfish.value)
    del selfish
    gc.collect()
    assert reference() is None


def test_copies_of_an_instance_carry_the_value():
    data = Data()
    value = data.value
    twin = copy.copy(data)
    assert twin.value is value
    fresh = pickle.loads(pickle.dumps(Data()))
    assert isinstance(fresh.value, object)
    assert fresh.calls == 1


def test_the_property_itself_can_be_pickled_and_copied():
    for made in (pickle.loads(pickle.dumps(cached_property(len))), copy.copy(cached_property(len))):
        assert isinstance(made, cached_property)
        assert made.func is len

        class Sized:
            def __len__(self):
                return 7

        Sized.size = made
        made.__set_name__(Sized, "size")
        assert Sized().size == 7


def test_it_can_be_subscripted_for_annotations():
    assert cached_property[int].__args__ == (int,)


def test_a_property_that_reads_itself_recurses_as_in_functools():
    class Endless:
        @cached_property
        def value(self):
            return self.value

    with pytest.raises(RecursionError):
        Endless().value


def test_a_value_set_by_the_computation_is_overwritten_by_its_result():
    class Setter:
        @cached_property
        def value(self):
            self.__dict__["value"] = "set meanwhile"
            return "returned"

    setter = Setter()
    assert setter.value == setter.value == "returned"


@pytest.mark.parametrize("decorator", [functools.cached_property, cached_property])
def test_a_dict_like_namespace_that_refuses_tells_so(decorator):
    class Refusing(dict):
        def __setitem__(self, key, value):
            raise TypeError("no")

    class Odd:
        __slots__ = ()
        __dict__ = Refusing()

        @decorator
        def value(self):
            return 1

    with pytest.raises(TypeError, match="does not support item assignment for caching 'value'"):
        Odd().value
