"""What `retain.hash` does with values that have no identity, contain themselves, or misbehave."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextvars
import functools
import gc
import io
import itertools
import queue
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import types
import weakref
from pathlib import Path

import pytest
import retain
from corpus import Plain
from extent import extent

TIMEOUT = 50


def generator():
    yield


async def coroutine():
    pass


def closing(made):
    close = getattr(made, "close", None) or getattr(made, "shutdown", None)
    if close is not None:
        close()


WITHOUT_IDENTITY = {
    "a thread lock": threading.Lock,
    "a thread lock ": threading.RLock,
    "a thread lock  ": threading.Condition,
    "a thread event": threading.Event,
    "a thread": threading.Thread,
    "what a thread keeps": threading.local,
    "a socket": socket.socket,
    "a generator": generator,
    "a coroutine": coroutine,
    "an iterator": lambda: iter([1]),
    "an iterator ": itertools.count,
    "an iterator  ": lambda: map(len, []),
    "an iterator   ": lambda: enumerate([]),
    "a queue": queue.Queue,
    "a queue ": queue.SimpleQueue,
    "an open file": lambda: Path(__file__).open("rb"),
    "an open file ": lambda: Path(__file__).open(encoding="utf-8"),
    "a frame": sys._getframe,
    "a weak reference": lambda: weakref.ref(Plain),
    "a set of weak references": weakref.WeakSet,
    "a dict of weak references": weakref.WeakValueDictionary,
    "a context variable": lambda: contextvars.ContextVar("name"),
    "an executor": concurrent.futures.ThreadPoolExecutor,
    "what belongs to an event loop": asyncio.Lock,
    "a connection": lambda: sqlite3.connect(":memory:"),
    "a bare object()": object,
    "a closed stream": lambda: closed(io.BytesIO()),
}


def closed(stream):
    stream.close()
    return stream


@pytest.mark.parametrize("words", WITHOUT_IDENTITY)
def test_what_has_no_identity_is_refused_with_the_path_to_it(words):
    made = WITHOUT_IDENTITY[words]()
    try:
        value = {"pool": [Plain(part=(1, made))]}
        with pytest.raises(TypeError) as caught:
            retain.hash(value)
        assert str(caught.value).startswith(f"obj -> ['pool'] -> [0] -> .part -> [1]: {words.strip()}")
    finally:
        closing(made)


def test_the_message_says_what_to_do():
    with pytest.raises(TypeError, match="retain.register_key or __retain_key__"):
        retain.hash(threading.Lock())


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda lock: lock, "obj: "),
        (lambda lock: [0, lock], "obj -> [1]: "),
        (lambda lock: (lock,), "obj -> [0]: "),
        (lambda lock: {"a": {1: lock}}, "obj -> ['a'] -> [1]: "),
        (lambda lock: {lock: 1}, "obj -> a key: "),
        (lambda lock: {lock}, "obj -> a member: "),
        (lambda lock: Plain(inner=Plain(lock=lock)), "obj -> .inner -> .lock: "),
        (lambda lock: types.SimpleNamespace(lock=lock), "obj -> ['lock']: "),
        (lambda lock: functools.partial(len, lock), "obj -> .args -> [0]: "),
        (lambda lock: functools.partial(len, key=lock), "obj -> .keywords -> ['key']: "),
        (lambda lock: collections.deque([1, lock]), "obj -> [1]: "),
        (lambda lock: collections.OrderedDict(a=1, b=lock), "obj -> ['b']: "),
        (lambda lock: collections.defaultdict(None, a=lock), "obj -> ['a']: "),
        (lambda lock: collections.ChainMap({}, {"a": lock}), "obj -> .maps -> [1] -> ['a']: "),
        (lambda lock: ValueError(lock), "obj -> .args -> [0]: "),
        (lambda lock: slice(lock), "obj -> .stop: "),
        (lambda lock: Plain(a=lock).__init__, "obj -> .__self__ -> .a: "),
    ],
)
def test_paths_lead_through_every_kind_of_container(make, path):
    with pytest.raises(TypeError) as caught:
        retain.hash(make(threading.Lock()))
    assert str(caught.value).startswith(f"{path}a thread lock")


def test_paths_lead_through_columns():
    pd = pytest.importorskip("pandas")
    with pytest.raises(TypeError) as caught:
        retain.hash({"frame": pd.DataFrame({"price": [1, threading.Lock()]})})
    assert str(caught.value).startswith("obj -> ['frame'] -> ['price'] -> [1]: a thread lock")


def test_instances_of_a_class_without_attributes_have_an_identity():
    class Sentinel:
        pass

    assert retain.hash(Sentinel()) == retain.hash(Sentinel())


class Selfish:
    pass


def self_containing():
    in_list = []
    in_list.append(in_list)
    in_tuple = ([],)
    in_tuple[0].append(in_tuple)
    in_dict = {}
    in_dict["self"] = in_dict
    in_instance = Selfish()
    in_instance.me = in_instance
    in_deque = collections.deque()
    in_deque.append(in_deque)
    ordered = collections.OrderedDict()
    ordered["self"] = ordered
    default = collections.defaultdict(list)
    default["self"] = default
    namespace = types.SimpleNamespace()
    namespace.me = namespace
    chain = collections.ChainMap({})
    chain["self"] = chain
    partial = functools.partial(len)
    partial.__setstate__((len, (), {"key": partial}, {}))
    error = ValueError()
    error.args = (error,)
    child_of_list = type("Child", (list,), {"__module__": "made"})()
    child_of_list.append(child_of_list)
    in_set = Selfish()
    in_set.members = {in_set}
    key = Selfish()
    key.of = {key: 1}
    made = {name: value for name, value in locals().items() if name != "made"}
    try:
        import numpy as np

        made["array"] = np.empty(2, object)
        made["array"][0] = made["array"]
        made["mixed"] = {"array": np.empty(1, object)}
        made["mixed"]["array"][0] = made["mixed"]
    except ImportError:
        pass
    return made


@pytest.mark.parametrize("name", self_containing())
def test_values_that_contain_themselves_have_a_digest(name):
    assert retain.hash(self_containing()[name]) == retain.hash(self_containing()[name])


def test_values_that_contain_themselves_differ():
    found = self_containing()
    assert len({retain.hash(value) for value in found.values()}) == len(found)


def test_a_longer_cycle_of_the_same_look_is_the_same():
    one = []
    one.append(one)
    first, second = [], []
    first.append(second)
    second.append(first)
    assert retain.hash(one) == retain.hash(first) == retain.hash([first])
    other = [1]
    other.append(other)
    assert retain.hash(other) != retain.hash(one)


def test_cycles_are_told_apart_by_what_is_in_them():
    def ring(*names):
        nodes = [Plain(name=name) for name in names]
        for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            node.next = following
        return nodes[0]

    assert retain.hash(ring("a", "b", "c")) == retain.hash(ring("a", "b", "c"))
    assert len({retain.hash(ring(*names)) for names in itertools.permutations("abc")}) == 6
    assert retain.hash(ring("a", "b")) != retain.hash(ring("a", "b", "a", "c"))
    assert retain.hash(ring("a", "b")) == retain.hash(ring("a", "b", "a", "b"))


def test_a_million_levels_are_no_deeper_than_memory():
    def nested(wrap):
        value = wrap(None)
        for _ in range(extent(1_000_000, 200_000)):
            value = wrap(value)
        return value

    def level(value):
        made = Plain.__new__(Plain)
        made.inner = value
        return made

    digests = set()
    for wrap in (lambda value: [value], lambda value: (value,), lambda value: {"a": value}, level):
        value = nested(wrap)
        digests.add(retain.hash(value))
        # Taken apart from the outside, as the interpreter itself would go deep.
        while value is not None:
            value = (
                value.inner if type(value) is Plain else next(iter(value.values() if type(value) is dict else value))
            )
    assert len(digests) == 4


@pytest.mark.parametrize(
    "double", [lambda part: [part, part], lambda part: {"a": part, "b": part}, lambda part: (part,) * 2]
)
def test_two_to_the_sixty_paths_are_as_many_values_as_there_are(double):
    def made():
        value = ["leaf"]
        for _ in range(60):
            value = double(value)
        return value

    assert retain.hash(made()) == retain.hash(made())


def test_many_paths_through_a_cycle():
    def made():
        first = [1]
        value = first
        for _ in range(60):
            value = [value, value]
        first.append(value)
        return value

    assert retain.hash(made()) == retain.hash(made())


def reducing(returned):
    class Strange:
        def __reduce__(self):
            if isinstance(returned, type) and issubclass(returned, BaseException):
                raise returned("on purpose")
            return returned

    return Strange()


NONSENSE = [
    None,
    1,
    [],
    (),
    (int,),
    (int, 1),
    (int, [1]),
    ("int", ()),
    (None, ()),
    (1, ()),
    (int, (), None, 5),
    (int, (), None, None, 5),
    (int, (), None, [1]),
    (int, (), None, None, iter([1])),
    (int, (), None, None, iter([(1, 2, 3)])),
    (int, (), None, None, None, None, None),
]


@pytest.mark.parametrize("returned", NONSENSE, ids=repr)
def test_nonsense_from_reduce_is_an_error_with_the_path(returned):
    with pytest.raises(TypeError, match=r"^obj -> \['a'\]"):
        retain.hash({"a": reducing(returned)})


def test_a_reduce_that_names_nothing_is_refused():
    with pytest.raises(TypeError, match="returned 'nothing of that name', but in module"):
        retain.hash(reducing("nothing of that name"))


@pytest.mark.parametrize("error", [ValueError, RuntimeError, AttributeError, KeyError, TypeError])
def test_an_error_from_reduce_is_told_with_the_path(error):
    with pytest.raises(TypeError, match=r"obj -> \['a'\].*on purpose") as caught:
        retain.hash({"a": reducing(error)})
    assert isinstance(caught.value.__cause__, error)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_interrupt_passes_through(error):
    with pytest.raises(error):
        retain.hash({"a": reducing(error)})


def test_an_error_from_a_key_is_told_with_the_path():
    class Broken:
        def __retain_key__(self):
            raise LookupError("no key today")

    with pytest.raises(TypeError, match=r"obj -> \[0\].*no key today"):
        retain.hash([Broken()])


def test_objects_that_make_new_ones_for_ever_come_to_an_end():
    done = script("""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        import retain

        class Endless:
            def __reduce__(self):
                return Endless, (Endless(),)

        try:
            retain.hash(Endless())
        except (RecursionError, MemoryError) as error:
            print(type(error).__name__)
    """)
    assert done.stdout.strip() in ("RecursionError", "MemoryError")


def script(text):
    command = [sys.executable, "-c", textwrap.dedent(text)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    "make", [lambda part: [part, 1, 2], lambda part: {1: part, 2: 2, 3: 3}, lambda part: {part, 2, 3}]
)
def test_a_container_that_its_part_changes_does_no_harm(make):
    class Changing:
        def __retain_key__(self):
            if isinstance(container, dict):
                container.update({n: n for n in range(1000)})
            elif isinstance(container, set):
                container.update(range(1000))
            else:
                container.clear()
            gc.collect()
            return 1

    container = make(Changing())
    try:
        retain.hash(container)
    except (RuntimeError, TypeError) as error:
        assert "changed" in str(error)


def test_an_attribute_that_goes_away_does_no_harm():
    class Changing:
        def __retain_key__(self):
            holder.__dict__.clear()
            gc.collect()
            return 1

    holder = Plain(a=Changing(), b=[1, 2], c="c" * 1000)
    try:
        retain.hash(holder)
    except (RuntimeError, TypeError) as error:
        assert "changed" in str(error)


def test_containers_that_other_threads_change_do_no_harm():
    values = {
        "list": list(range(1000)),
        "dict": dict.fromkeys(range(1000)),
        "set": set(range(1000)),
        "deep": [[[1]]] * 100,
    }
    values["deque"] = collections.deque(range(1000))
    values["ordered"] = collections.OrderedDict.fromkeys(range(1000))
    values["attributes"] = Plain(**{f"a{n}": n for n in range(100)})
    stop = threading.Event()

    def change():
        number = 0
        while not stop.is_set():
            number += 1
            values["list"].append([number])
            del values["list"][0]
            values["dict"][number] = [number]
            values["dict"].pop(number - 500, None)
            values["set"].add((number,))
            values["set"].discard((number - 500,))
            values["deep"][number % 100] = [[number]]
            values["deque"].append([number])
            values["deque"].popleft()
            values["ordered"][number] = [number]
            values["ordered"].popitem(last=False)
            setattr(values["attributes"], f"a{number % 200}", [number])

    threads = [threading.Thread(target=change) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(300):
            for value in values.values():
                try:
                    assert len(retain.hash(value)) == 64
                except (RuntimeError, TypeError) as error:
                    assert "changed" in str(error) or "mutated" in str(error)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)


def test_an_array_that_is_written_to_meanwhile_does_no_harm():
    np = pytest.importorskip("numpy")
    values = np.zeros(4_000_000)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            values[:] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            assert len(retain.hash(values)) == 64
    finally:
        stop.set()
        thread.join()


class Liar:
    """Says that it is a str, has any attribute, and a dict of its own making."""

    def __init__(self):
        object.__setattr__(self, "real", 1)

    __class__ = property(lambda self: str)
    __dict__ = property(lambda self: {"made": "up"})

    def __getattr__(self, name):
        return 42

    def __getattribute__(self, name):
        if name in ("__reduce_ex__", "__reduce__", "__getstate__", "__module__", "__slots__"):
            raise LookupError(name)
        return object.__getattribute__(self, name)

    def __setattr__(self, name, value):
        raise AttributeError(name)

    def __eq__(self, other):
        raise ArithmeticError

    def __hash__(self):
        raise ArithmeticError

    def __repr__(self):
        raise ArithmeticError

    def __bool__(self):
        raise ArithmeticError

    def __len__(self):
        raise ArithmeticError

    def __iter__(self):
        raise ArithmeticError


def test_an_object_that_lies_about_itself_is_what_it_is():
    try:
        digest = retain.hash(Liar())
    except TypeError as error:
        assert str(error).startswith("obj")
    else:
        assert digest == retain.hash(Liar())
        assert digest != retain.hash("made")


def test_a_metaclass_that_misbehaves():
    class Meta(type):
        def __hash__(cls):
            raise ArithmeticError

        def __eq__(cls, other):
            raise ArithmeticError

        def __getattribute__(cls, name):
            if name in ("__mro__", "__dict__", "__name__", "__qualname__", "__retain_key__"):
                raise LookupError(name)
            return type.__getattribute__(cls, name)

    class Strange(metaclass=Meta):
        def __init__(self, a):
            self.a = a

    try:
        digest = retain.hash(Strange(1))
    except (TypeError, LookupError, ArithmeticError):
        return
    assert digest != retain.hash(Strange(2))


def test_a_class_that_calls_itself_by_anothers_name_is_not_taken_for_it():
    fake = type("Decimal", (), {"__module__": "decimal", "__init__": lambda self, a: setattr(self, "a", a)})
    assert retain.hash(fake(1)) == retain.hash(fake(1))
    assert retain.hash(fake(1)) != retain.hash(fake(2))


def test_overridden_methods_of_containers_do_not_count():
    class Empty(dict):
        __iter__ = keys = items = values = __len__ = lambda self: 1 / 0

    class Nothing(list):
        __iter__ = __getitem__ = __len__ = lambda self, *_: 1 / 0

    class Zero(int):
        __index__ = __int__ = bit_length = to_bytes = lambda self, *_: 1 / 0

    for one, same, other in (
        (Empty(a=1), Empty(a=1), Empty(a=2)),
        (Nothing([1]), Nothing([1]), Nothing([2])),
        (Zero(1), Zero(1), Zero(2)),
    ):
        assert retain.hash(one) == retain.hash(same) != retain.hash(other)


@pytest.mark.parametrize("number", [1 << 100_000, -(1 << 100_000), (1 << 100_000) - 1], ids=["up", "down", "below"])
def test_huge_integers(number):
    assert retain.hash(number) == retain.hash(int(hex(number), 16))
    assert len({retain.hash(number + step) for step in (-1, 0, 1)}) == 3


def test_lone_surrogates():
    texts = ["\ud800", "\udc00", "\ud800\udc00", "\U00010000", "a\ud800", "\ud800a"]
    assert len({retain.hash(text) for text in texts}) == len(texts)
    assert retain.hash({"\ud800": 1}) == retain.hash({"\ud800": 1})


def test_a_released_memoryview_is_refused():
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(TypeError, match="^obj"):
        retain.hash(view)


def test_it_takes_a_value():
    with pytest.raises(TypeError):
        retain.hash()
    with pytest.raises(TypeError):
        retain.hash(1, "md5", False, None)
    with pytest.raises(TypeError):
        retain.hash(1, colour="red")


def test_hashing_leaves_no_references_behind():
    class Thing:
        pass

    thing = Thing()
    thing.parts = [thing, {"a": thing}]
    gone = weakref.ref(thing)
    retain.hash(thing)
    with pytest.raises(TypeError):
        retain.hash([thing, threading.Lock()])
    del thing
    gc.collect()
    assert gone() is None


def test_a_class_can_go_away_after_its_instances_were_hashed():
    class Thing:
        pass

    retain.hash([Thing()])
    gone = weakref.ref(Thing)
    del Thing
    gc.collect()
    assert gone() is None
