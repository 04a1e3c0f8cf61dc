"""What hashing promises of objects that change, or lie, while they are taken apart."""

import copyreg
import gc
import subprocess
import sys
import threading
import weakref

import pytest
import retain


def in_a_process(program):
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_module_that_passes_for_numpy_is_not_believed():
    in_a_process(
        "import sys, types, retain\n"
        "sys.modules['numpy'] = types.SimpleNamespace(ndarray=memoryview, memmap=bytes)\n"
        "assert retain.hash([memoryview(b'abc')]) == retain.hash([memoryview(b'abc')])\n"
    )


def test_an_array_whose_type_changes_meanwhile_is_refused():
    numpy = pytest.importorskip("numpy")

    class Changing:
        def __reduce__(self):
            box[0].dtype = numpy.int8
            return int, ()

    array = numpy.zeros(4_000_000, numpy.dtype("f8", metadata={"changing": Changing()}))
    box = [array]
    with pytest.raises(TypeError, match="it is an array that changed while it was hashed"):
        retain.hash(array)


def test_an_array_that_is_resized_meanwhile_stays_as_it_is():
    numpy = pytest.importorskip("numpy")
    refused = []

    class Resizing:
        def __reduce__(self):
            try:
                array.resize((0,), refcheck=False)
            except ValueError as error:
                refused.append(error)
            return int, ()

    array = numpy.empty(10_000, object)
    array[0] = Resizing()
    array[1:] = [[number] for number in range(1, 10_000)]
    retain.hash(array)
    assert len(refused) == 1
    array.resize((5,), refcheck=False)


def test_metadata_of_dtypes_counts_as_it_is_now():
    numpy = pytest.importorskip("numpy")
    told = [1]
    array = numpy.zeros(2, numpy.dtype("f8", metadata={"a": told}))
    before = retain.hash(array)
    told.append(2)
    assert retain.hash(array) != before


def test_names_of_fields_count_as_they_are_now():
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(2, [("a", "i4"), ("b", [("c", "i4")])])
    seen = {retain.hash(array)}
    array.dtype.names = ("x", "b")
    seen.add(retain.hash(array))
    array.dtype["b"].names = ("y",)
    seen.add(retain.hash(array))
    assert len(seen) == 3


def test_what_copyreg_learns_later_counts():
    class Plain:
        def __init__(self, x, cache):
            self.x, self.cache = x, cache

    one, other = Plain(1, 2), Plain(1, 3)
    for _ in range(3):
        assert retain.hash(one) != retain.hash(other)
    copyreg.pickle(Plain, lambda plain: (Plain, (plain.x, None)))
    try:
        assert retain.hash(one) == retain.hash(other)
    finally:
        del copyreg.dispatch_table[Plain]
    assert retain.hash(one) != retain.hash(other)


def test_what_a_class_learns_later_counts():
    class Plain:
        def __init__(self, x, cache):
            self.x, self.cache = x, cache

    one, other = Plain(1, 2), Plain(1, 3)
    for _ in range(3):
        assert retain.hash(one) != retain.hash(other)
    Plain.__retain_key__ = lambda self: self.x
    assert retain.hash(one) == retain.hash(other)
    del Plain.__retain_key__
    Plain.__reduce__ = lambda self: (Plain, (self.x, None))
    assert retain.hash(one) == retain.hash(other)


class Named:
    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        return "THE_ONE"


THE_ONE = Named(1)


def test_a_global_is_known_by_its_name_only_if_it_is_the_one():
    assert retain.hash(THE_ONE) == retain.hash([THE_ONE][0])
    with pytest.raises(TypeError, match="returned 'THE_ONE', but in module .* that is something else"):
        retain.hash(Named(2))


def test_slots_are_not_attributes_of_the_same_name():
    class Both:
        __slots__ = ("__dict__", "x")

    class Below(Both):
        __slots__ = ("x",)

    in_slot, in_dict = Both(), Both()
    in_slot.x = 1
    in_dict.__dict__["x"] = 1
    assert retain.hash(in_slot) != retain.hash(in_dict)
    one, other = Below(), Below()
    one.x = other.x = 1
    Both.x.__set__(one, 5)
    assert retain.hash(one) != retain.hash(other)


def test_types_made_and_dropped_on_the_way_are_not_mixed_up():
    def fresh(number):
        if number == 2:
            return type("Fresh", (), {"__retain_key__": lambda self: 1})()
        return type("Fresh", (), {"__reduce__": lambda self: (int, (number,))})()

    class Several:
        def __reduce__(self):
            return list, (), None, (fresh(number) for number in range(4))

    assert len({retain.hash(Several()) for _ in range(6)}) == 1


def test_memoized_methods_leave_no_trace_in_the_state():
    class Stateful:
        __slots__ = ("__dict__", "__weakref__", "y")

        def __init__(self):
            self.x, self.y = 1, 2

        def __getstate__(self):
            return self.__dict__, {"y": self.y}

        @retain.memoize
        def method(self, z):
            return z

    value = Stateful()
    before = retain.hash(value)
    value.method(1)
    assert retain.hash(value) == before


@pytest.mark.parametrize("name", ["method_descriptor", "getset_descriptor", "ndarray"])
def test_a_class_may_have_any_name(name):
    kind = type(name, (), {"__module__": "numpy"})
    value = kind()
    value.x = 1
    assert len(retain.hash(value)) == 64


def test_a_long_path_is_cut_in_the_middle():
    value = threading.Lock()
    for _ in range(100_000):
        value = [value]
    with pytest.raises(TypeError, match=r"obj -> \[0\] -> \[0\].* -> \(99960 more\) -> \[0\].*a thread lock") as caught:
        retain.hash(value)
    assert len(str(caught.value)) < 1000


def test_hashing_keeps_no_class_alive():
    def made():
        kind = type("Made", (), {})
        value = kind()
        value.x = 1
        retain.hash(value)
        return weakref.ref(kind)

    kinds = [made() for _ in range(20)]
    gc.collect()
    assert not any(kind() for kind in kinds)


def test_other_threads_run_while_scattered_elements_are_gathered():
    numpy = pytest.importorskip("numpy")
    array = numpy.broadcast_to(numpy.arange(1000.0), (20_000, 1000))
    turns = []
    done = threading.Event()

    def count():
        while not done.is_set():
            turns.append(None)
            done.wait(0.0005)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        while not turns:
            done.wait(0.001)

        def turns_meanwhile():
            before = len(turns)
            retain.hash(array)
            return len(turns) - before

        # A busy machine may give the other thread no processor for a while.
        assert any(turns_meanwhile() for _ in range(100))
    finally:
        done.set()
        thread.join()
