"""`Memory`: a result is found again when it is the same call, and never when it is not."""

import functools
import importlib
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
import retain
from retain import CacheWarning, MemorizedResult, Memory, expires_after
from retain._memory.memorized import MemorizedFunc
from retain._memory.results import NotMemorizedResult
from retain._memory.unkept import NotMemorizedFunc

TIMEOUT = 20


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def memory(folder):
    return Memory(folder, verbose=0)


@pytest.fixture(autouse=True)
def every_result_is_readable(request, caplog):
    yield
    if "cannot_be_loaded" not in request.node.name:
        assert "Exception while loading" not in caplog.text


def counted(function):
    """Return a function and the list of its calls, which does not count."""
    calls = []

    @functools.wraps(function)
    def counting(*args, **kwargs):
        calls.append((args, kwargs))
        return function(*args, **kwargs)

    return counting, calls


def again(folder, **options):
    """A memory of the same folder that holds nothing in memory, as another process has it."""
    return Memory(folder, verbose=0, ram_bytes=0, **options)


def module_level(x, y=1):
    return [x, y]


# --- the same call ---


def test_a_result_is_computed_once_and_found_by_another_memory(folder, memory):
    calls = []

    def function(x):
        calls.append(x)
        return {"x": x}

    assert memory.cache(function)(1) == {"x": 1}
    assert memory.cache(function)(1) == {"x": 1}
    assert again(folder).cache(function)(1) == {"x": 1}
    assert calls == [1]


def test_how_arguments_are_spelled_makes_no_difference(memory):
    calls = []

    @memory.cache
    def function(x, y=1, *rest, z=2, **more):
        calls.append(x)
        return (x, y, rest, z, more)

    assert function(1) == function(x=1) == function(1, 1) == function(y=1, x=1) == function(1, z=2)
    assert len(calls) == 1
    assert function(1, a=1, b=2) == function(1, b=2, a=1)
    assert len(calls) == 2
    function(1, 2)
    function(1, 1, 3)
    assert len(calls) == 4


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1), ([1], (1,)), (b"a", "a")])
def test_arguments_of_other_types_are_other_calls(memory, one, other):
    function = memory.cache(lambda x: type(x).__name__ + repr(x))
    assert function(one) != function(other)
    assert function(one) == type(one).__name__ + repr(one)


def test_ignored_parameters_make_no_difference_and_are_not_kept(memory):
    calls = []

    @memory.cache(ignore=["token", "*", "**"])
    def function(x, *rest, token=0, **more):
        calls.append(x)
        return x

    assert function(1, token=1) == function(1, 5, token=2, other=7) == 1
    assert calls == [1]
    assert [entry.arguments for entry in function.entries()] == [{"x": "1"}]


def test_ignore_is_checked(memory):
    with pytest.raises(ValueError, match="no such parameter"):
        memory.cache(module_level, ignore=["z"])
    with pytest.raises(ValueError, match="list of names"):
        memory.cache(module_level, ignore="x")


def test_ignore_names_the_parameters_of_what_a_decorator_hands_its_arguments_to(memory):
    inner, calls = counted(module_level)
    function = memory.cache(inner, ignore=["y"])
    function(0, y=1)
    function(0, y=2)
    assert len(calls) == 1


def test_a_call_that_does_not_fit_raises_what_the_function_raises(memory):
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        memory.cache(module_level)()


def test_an_argument_without_identity_is_refused_with_its_path(memory):
    with pytest.raises(TypeError, match=r"argument 'x' -> \[0\].*lock"):
        memory.cache(module_level)([threading.Lock()])


# --- values ---


def values():
    yield from [None, True, 3, 2**200, 1.5, "text", b"bytes", (1, ("a", None)), [1, [2]], {"a": {1, 2}}]
    yield from ["x" * 100_000, b"y" * 100_000, list(range(50_000)), {str(i): i for i in range(20_000)}]


@pytest.mark.parametrize("compress", [False, True, ("zstd", 3)])
@pytest.mark.parametrize("number", range(14))
def test_values_come_back_as_they_were(folder, number, compress):
    value = list(values())[number]
    memory = Memory(folder, verbose=0, compress=compress)
    function = memory.cache(lambda n: list(values())[n])
    for each in (memory, memory, again(folder, compress=compress)):
        found = each.cache(function)(number)
        assert found == value
        assert type(found) is type(value)
    assert len(function.entries()) == 1


def test_a_caller_who_changes_a_result_changes_nobody_elses(memory):
    function = memory.cache(lambda: {"list": [1, 2]})
    for _ in range(4):
        found = function()
        assert found == {"list": [1, 2]}
        found["list"].append(3)


def test_large_results_that_are_changed_are_read_again(memory):
    function = memory.cache(lambda: list(range(50_000)))
    for _ in range(3):
        found = function()
        assert len(found) == 50_000
        found.clear()


def test_a_function_that_changes_its_argument_is_kept_under_what_it_was_given(memory):
    @memory.cache
    def function(x):
        x.append(None)
        return len(x)

    assert function([]) == 1
    assert function([]) == 1
    assert function([None]) == 2


def test_arrays_are_fresh_and_writable(folder, memory):
    np = pytest.importorskip("numpy")
    function = memory.cache(lambda n: np.arange(n))
    for n in (3, 100_000):
        for each in (memory, memory, again(folder)):
            found = each.cache(function)(n)
            assert type(found) is np.ndarray
            assert found.flags.writeable
            assert found.sum() == n * (n - 1) // 2
            found[:] = 0


@pytest.mark.parametrize("mode", ["r", "c", "r+", "w+"])
@pytest.mark.parametrize("n", [3, 100_000])
def test_mapped_results_are_mapped_from_the_first_call_on_and_writes_stay_out(folder, mode, n):
    np = pytest.importorskip("numpy")
    memory = Memory(folder, mmap_mode=mode, verbose=0)
    function = memory.cache(lambda n: {"a": np.arange(n)})
    for _ in range(3):
        found = function(n)["a"]
        assert isinstance(found, np.memmap)
        assert found[-1] == n - 1
        if mode != "r":
            found[:] = 7
        del found


def test_what_was_kept_unmapped_is_mapped_when_that_is_asked_for(folder, memory):
    np = pytest.importorskip("numpy")
    calls = []

    def function():
        calls.append(1)
        return np.ones(3)

    assert type(memory.cache(function)()) is np.ndarray
    mapped = memory.cache(function, mmap_mode="r")
    assert isinstance(mapped(), np.memmap)
    assert isinstance(mapped(), np.memmap)
    assert type(memory.cache(function)()) is np.ndarray
    assert len(calls) == 1


def test_a_mapped_array_is_the_argument_that_the_array_is(memory):
    np = pytest.importorskip("numpy")
    make = memory.cache(lambda n: np.arange(n), mmap_mode="r")
    calls = []

    @memory.cache
    def total(array):
        calls.append(1)
        return float(array.sum())

    assert total(make(10)) == total(np.arange(10)) == 45.0
    assert len(calls) == 1


def test_compression_and_mapping_exclude_each_other(folder):
    with pytest.warns(UserWarning, match="Compressed results cannot be memmapped"):
        Memory(folder, mmap_mode="r", compress=True, verbose=0)


def test_compressed_results_take_less_room(folder):
    plain = Memory(folder / "a", verbose=0).cache(lambda: [1, 2, 3] * 20_000)
    packed = Memory(folder / "b", verbose=0, compress=3).cache(lambda: [1, 2, 3] * 20_000)
    assert plain() == packed()
    assert packed.entries()[0].bytes < plain.entries()[0].bytes / 2


# --- exceptions and what cannot be kept ---


def test_an_exception_propagates_as_it_is_and_is_not_kept(memory):
    calls = []

    @memory.cache
    def function(x):
        calls.append(x)
        raise LookupError("mine")

    for _ in range(2):
        with pytest.raises(LookupError, match="^'mine'$|^mine$") as caught:
            function(1)
        assert caught.value.__cause__ is None
    assert calls == [1, 1]
    assert function.entries() == []


def test_an_interrupt_leaves_nothing_behind(memory):
    stop = [True]

    @memory.cache
    def function():
        if stop:
            raise KeyboardInterrupt
        return 1

    with pytest.raises(KeyboardInterrupt):
        function()
    stop.clear()
    assert memory.cache(function.func)() == 1


def test_a_result_that_cannot_be_pickled_is_returned_with_one_warning(memory):
    calls = []

    @memory.cache
    def function(x):
        calls.append(x)
        return [threading.Lock()]

    with pytest.warns(CacheWarning, match=r"function returned a list that cannot be pickled \(TypeError") as caught:
        assert len(function(1)) == 1
    assert len(caught) == 1
    assert caught[0].filename == __file__
    function(1)
    assert calls == [1, 1]
    assert function.entries() == []


def test_a_result_whose_pickling_fails_late_leaves_nothing_half_written(memory):
    class Bad:
        def __reduce__(self):
            raise RuntimeError("no")

    function = memory.cache(lambda: [b"x" * 200_000, b"y" * 200_000, Bad()])
    with pytest.warns(CacheWarning, match="RuntimeError: no"):
        function()
    files = [path for path in Path(memory.store_backend.location).rglob("*") if path.stat().st_size > 150_000]
    assert files == []
    assert function.entries() == []


@pytest.mark.parametrize("kind", ["generator", "async generator", "partial"])
def test_generator_functions_are_refused_with_the_remedy(memory, kind):
    def generate():
        yield 1

    async def generate_async():
        yield 1

    function = {"generator": generate, "async generator": generate_async, "partial": functools.partial(generate)}[kind]
    with pytest.raises(TypeError, match=r"generate.*list\(\.\.\.\)"):
        memory.cache(function)


def test_a_generator_that_is_returned_is_returned(memory):
    function = memory.cache(lambda: (number for number in range(3)))
    with pytest.warns(CacheWarning, match=r"list\(\.\.\.\)"):
        assert list(function()) == [0, 1, 2]
    assert list(function()) == [0, 1, 2]


# --- lives ---


def test_results_end_with_their_ttl(folder, memory):
    calls = []

    def function():
        calls.append(1)

    short = memory.cache(function, ttl=0.05)
    for _ in range(2):
        short()
        time.sleep(0.1)
    assert len(calls) == 2
    for each in (memory, memory, again(folder)):
        each.cache(function, ttl=1000)()
    assert len(calls) == 3


def test_a_ttl_given_later_holds_for_what_is_kept_already(folder, memory):
    calls = []

    def function():
        calls.append(1)

    memory.cache(function)()
    time.sleep(0.1)
    again(folder).cache(function, ttl=timedelta(days=1))()
    assert len(calls) == 1
    again(folder).cache(function, ttl=0.05)()
    assert len(calls) == 2


def test_a_ttl_may_depend_on_the_result(memory):
    calls = []

    @memory.cache(ttl=lambda result: 0.1 if result == "short" else None)
    def function(x):
        calls.append(x)
        return x

    for x in ("short", "long"):
        function(x)
    time.sleep(0.15)
    for x in ("short", "long"):
        function(x)
    assert calls == ["short", "long", "short"]


def test_results_end_with_max_age(folder):
    calls = []

    def function():
        calls.append(1)

    for _ in range(2):
        Memory(folder, verbose=0, max_age=1000).cache(function)()
    assert len(calls) == 1
    for _ in range(2):
        time.sleep(0.1)
        Memory(folder, verbose=0, max_age=0.05).cache(function)()
    assert len(calls) == 3


def test_a_validation_callback_is_asked_at_each_hit(folder, memory):
    asked, calls = [], []

    def function(x):
        calls.append(x)
        return x

    def callback(metadata):  # does not count in what the function is
        asked.append(metadata)
        return len(asked) != 2

    checked = memory.cache(function, cache_validation_callback=callback)
    for _ in range(4):
        assert checked(1) == 1
    assert len(asked) == 3
    assert len(calls) == 2
    assert set(asked[0]) == {"duration", "input_args", "time"}
    assert asked[0]["input_args"] == {"x": "1"}
    assert abs(asked[0]["time"] - time.time()) < 30


def test_a_validation_callback_must_be_callable(memory):
    with pytest.raises(ValueError, match=r"cache_validation_callback needs to be callable. Got True."):
        memory.cache(cache_validation_callback=True)


def test_expires_after_tells_age():
    callback = expires_after(minutes=1)
    assert callback({"time": time.time() - 59})
    assert not callback({"time": time.time() - 61})
    assert pickle.loads(pickle.dumps(callback))({"time": time.time()})


# --- what is kept ---


def test_one_call_is_invalidated(folder, memory):
    inner, calls = counted(module_level)
    function = memory.cache(inner)
    function(1)
    function(2)
    assert function.invalidate(1)
    assert not function.invalidate(1)
    function(1)
    function(2)
    assert len(calls) == 3


def test_one_memorys_removals_are_seen_by_another(folder, memory):
    inner, calls = counted(module_level)
    function, other = memory.cache(inner), Memory(folder, verbose=0, ram_bytes="1M").cache(inner)
    function(1)
    other(1)
    other(1)
    assert len(calls) == 1
    function.invalidate(1)
    other(1)
    assert len(calls) == 2


def test_clearing_a_function_leaves_the_others(memory):
    one, calls = counted(module_level)
    first = memory.cache(one)
    two, others = counted(lambda: None)
    second = memory.cache(two)
    for clear in (lambda: None, first.clear, lambda: memory.clear(warn=False)):
        clear()
        first(1)
        second()
    assert len(calls) == 3
    assert len(others) == 2


@pytest.mark.parametrize("how", ["invalidate", "clear", "memory"])
def test_what_is_removed_while_it_is_computed_is_not_kept(memory, how):
    inside, go, calls = threading.Event(), threading.Event(), []

    @memory.cache
    def slow(x):
        calls.append(x)
        inside.set()
        assert go.wait(TIMEOUT)
        return [x]

    found = []
    thread = threading.Thread(target=lambda: found.append(slow(1)), daemon=True)
    thread.start()
    assert inside.wait(TIMEOUT)
    {"invalidate": lambda: slow.invalidate(1), "clear": slow.clear, "memory": memory.clear}[how]()
    go.set()
    thread.join(TIMEOUT)
    assert found == [[1]]
    assert not slow.check_call_in_cache(1)
    assert slow(1) == [1]
    assert calls == [1, 1]


def test_clearing_is_logged(memory, caplog):
    with caplog.at_level(logging.WARNING, "retain"):
        memory.clear()
        Memory(memory.location, verbose=1).cache(module_level).clear()
    assert "Flushing completely the cache" in caplog.text
    assert "Clearing function cache identified by test_memory.module_level" in caplog.text


def test_reduce_size_keeps_what_was_used_last(memory):
    function = memory.cache(lambda x: "a" * 1000)
    for x in range(10):
        function(x)
    memory.reduce_size()
    assert len(function.entries()) == 10
    memory.reduce_size(items_limit=3)
    assert len(function.entries()) == 3
    memory.reduce_size(bytes_limit="1M")
    assert len(function.entries()) == 3
    with pytest.raises(ValueError, match="positive"):
        memory.reduce_size(age_limit=timedelta(seconds=-1))
    memory.reduce_size(age_limit=timedelta(0))
    assert function.entries() == []


def test_entries_tell_what_is_kept(memory):
    function = memory.cache(lambda x, y=2: [x, y])
    function(1)
    function(x=3, y="text")
    found = {tuple(entry.arguments.items()): entry for entry in function.entries()}
    assert set(found) == {(("x", "1"), ("y", "2")), (("x", "3"), ("y", "'text'"))}
    entry = found[("x", "3"), ("y", "'text'")]
    assert entry.is_current
    assert entry.expires is None
    assert entry.bytes > 0
    assert entry.result.get() == [3, "text"]
    entry.result.clear()
    assert len(function.entries()) == 1


def test_cache_info_counts(folder, memory):
    function = memory.cache(module_level)
    function(1)
    function(1)
    function(2)
    info = function.cache_info()
    assert info[:2] == (1, 2)
    assert info.entries == 2
    assert info.bytes > 0
    assert info.time_saved >= 0


def test_the_hits_of_a_function_that_is_gone_are_counted(folder):
    def total():
        (row,) = Memory(folder, verbose=0)._store.functions()
        return row[3:5]

    def main():
        function = Memory(folder, verbose=0).cache(module_level)
        for _ in range(3):
            function(1)

    main()
    assert total() == (2, 1)
    main()
    assert total() == (5, 1)


def test_call_computes_anew_and_is_what_the_next_call_finds(memory):
    function = memory.cache(lambda: time.perf_counter_ns())
    first = function()
    value, metadata = function.call()
    assert value > first
    assert metadata["duration"] >= 0
    assert function() == value


def test_whether_a_call_is_kept_can_be_asked(memory):
    function = memory.cache(module_level)
    assert function.check_call_in_cache(1) is False
    function(1)
    assert function.check_call_in_cache(x=1) is True
    assert memory.cache(module_level, cache_validation_callback=lambda _: False).check_call_in_cache(1) is False


def test_a_shelved_result_is_a_reference(memory):
    calls = []

    @memory.cache
    def function(x):
        calls.append(x)
        return [x]

    for _ in range(2):
        result = function.call_and_shelve(1)
        assert isinstance(result, MemorizedResult)
        assert result.get() == [1]
    assert calls == [1]
    assert result.func == result.func_id == function.func_id
    assert result.duration >= 0
    copied = pickle.loads(pickle.dumps(result))
    assert copied.get() == [1]
    assert repr(copied) == repr(result)
    assert MemorizedResult(memory.store_backend.location, (result.func_id, result.args_id)).get() == [1]
    result.clear()
    result.clear()
    with pytest.raises(KeyError):
        result.get()


def test_a_result_that_cannot_be_kept_is_shelved_all_the_same(memory):
    function = memory.cache(threading.Lock)
    with pytest.warns(CacheWarning):
        result = function.call_and_shelve()
    assert isinstance(result, NotMemorizedResult)
    result.get().acquire()


# --- methods, partials, callables of all kinds ---


def test_methods_count_their_instance_by_content(memory):
    calls = []

    class Model:
        def __init__(self, scale):
            self.scale = scale

        @memory.cache
        def scaled(self, x):
            calls.append(x)
            return self.scale * x

        @classmethod
        @memory.cache
        def of_class(cls, x):
            return cls.__name__, x

        @memory.cache
        @classmethod
        def of_class_too(cls, x):
            return cls.__name__, x

        @staticmethod
        @memory.cache
        def plain(x):
            return x

        @memory.cache
        @staticmethod
        def plain_too(x):
            return x

    model = Model(2)
    assert model.scaled(3) == Model(2).scaled(x=3) == 6
    assert calls == [3]
    assert Model(5).scaled(3) == 15
    assert Model.scaled(model, 3) == 6
    assert model.scaled.check_call_in_cache(3)
    assert model.scaled.invalidate(3)
    assert not model.scaled.check_call_in_cache(3)
    assert model.scaled.call_and_shelve(3).get() == 6
    assert model.scaled.call(3)[0] == 6
    assert model.scaled == model.scaled
    assert len({model.scaled, model.scaled}) == 1
    model.scale = 4
    assert model.scaled(3) == 12
    assert Model.of_class(1) == model.of_class(1) == ("Model", 1)
    assert Model.of_class_too(1) == model.of_class_too(1) == ("Model", 1)
    assert Model.of_class_too.invalidate(1)
    assert Model.plain(1) == model.plain(1) == model.plain_too(1) == 1


def test_a_bound_method_is_memorized_with_its_instance(memory):
    class Model:
        def __init__(self, scale):
            self.scale = scale

        def scaled(self, x):
            return self.scale * x

    assert memory.cache(Model(2).scaled)(3) == 6
    assert memory.cache(Model(3).scaled)(3) == 9


def test_partials_count_what_they_hold(memory):
    calls = []

    def function(x, y):
        calls.append(1)
        return x + y

    assert memory.cache(functools.partial(function, 1))(2) == 3
    assert memory.cache(functools.partial(function, 1))(2) == 3
    assert memory.cache(functools.partial(function, 5))(2) == 7
    assert len(calls) == 2


def test_callable_objects_and_builtins_are_memorized(memory):
    class Adder:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return x + self.n

    assert memory.cache(Adder(1))(2) == 3
    assert memory.cache(Adder(2))(2) == 4
    assert memory.cache(len)([1, 2]) == 2
    assert memory.cache(max)(1, 2, key=abs) == 2


def test_ufuncs_are_memorized(memory):
    np = pytest.importorskip("numpy")
    assert memory.cache(np.add)(1, 2) == 3


def test_what_is_memorized_looks_like_the_function(memory):
    function = memory.cache(module_level)
    assert isinstance(function, MemorizedFunc)
    assert function.__name__ == "module_level"
    assert function.__wrapped__ is function.func is module_level
    assert memory.cache(function).func is module_level
    assert repr(function) == f"MemorizedFunc(func={module_level}, location={memory.store_backend.location})"
    assert function.func_id == "test_memory.module_level"


def test_decorating_with_options(memory):
    @memory.cache(ignore=["y"], verbose=11, mmap_mode="r")
    def function(x, y):
        return x

    assert (function.ignore, function._verbose, function.mmap_mode) == (["y"], 11, "r")
    with pytest.raises(ValueError, match="mmap_mode"):
        memory.cache(mmap_mode="x")(module_level)
    with pytest.raises(ValueError, match="version"):
        memory.cache(module_level, track="version")
    for depends in ("x", module_level):
        with pytest.raises(TypeError, match="depends is .* but it is a list"):
            memory.cache(module_level, depends=depends)


# --- no location ---


def test_without_a_location_nothing_is_kept():
    memory = Memory(None)
    calls = []

    @memory.cache
    def function(x):
        calls.append(x)
        return x

    assert isinstance(function, NotMemorizedFunc)
    assert function(1) == function(1) == 1
    assert calls == [1, 1]
    assert function.call(1) == (1, {})
    assert function.check_call_in_cache(1) is False
    result = function.call_and_shelve(1)
    assert result.get() == 1
    assert pickle.loads(pickle.dumps(result)).get() == 1
    result.clear()
    with pytest.raises(KeyError):
        result.get()
    function.clear()
    memory.clear()
    memory.reduce_size(items_limit=1)
    assert memory.eval(module_level, 1) == [1, 1]
    assert repr(memory) == "Memory(location=None)"
    assert pickle.loads(pickle.dumps(memory)).cache(module_level)(1) == [1, 1]
    assert function.explain(1).reason == "not kept"


# --- options ---


def test_the_folder_lies_within_the_location(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Memory("~/a", verbose=0).store_backend.location == str(tmp_path / "a" / "retain")
    assert Memory(tmp_path / "b", verbose=0).store_backend.location == str(tmp_path / "b" / "retain")
    monkeypatch.chdir(tmp_path)
    memory = Memory("c", verbose=0)
    assert memory.location == "c"
    assert memory.store_backend.location == str(tmp_path / "c" / "retain")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"mmap_mode": "x"}, ValueError),
        ({"track": "x"}, ValueError),
        ({"layout": "x"}, ValueError),
        ({"compress": "x"}, ValueError),
        ({"max_bytes": "many"}, ValueError),
        ({"max_bytes": 1.5}, TypeError),
        ({"max_bytes": True}, TypeError),
        ({"verbose": "yes"}, TypeError),
        ({"max_items": -1}, ValueError),
        ({"max_age": 0}, ValueError),
        ({"ram_bytes": None}, TypeError),
        ({"key": 5}, TypeError),
        ({"key": b""}, ValueError),
        ({"backend": "unknown"}, TypeError),
    ],
)
def test_options_are_checked(folder, options, error):
    with pytest.raises(error, match=f"{next(iter(options))}|compress|Unknown"):
        Memory(folder, **{"verbose": 0, **options})


def test_a_location_that_is_none_is_told():
    with pytest.warns(UserWarning, match="int as a location is not supported"):
        assert Memory(5).cache(module_level)(1) == [1, 1]


def test_bounds_hold_all_along(folder):
    memory = Memory(folder, verbose=0, max_items=20)
    function = memory.cache(lambda x: x)
    for x in range(100):
        assert function(x) == x
    assert len(function.entries()) <= 40


def test_a_key_is_needed_again(folder, tmp_path):
    inner, calls = counted(module_level)
    secret = tmp_path / "secret"
    secret.write_bytes(b"correct horse\n")
    for key in (b"correct horse", "correct horse", secret):
        assert again(folder, key=key).cache(inner)(1) == [1, 1]
    assert len(calls) == 1
    assert again(folder, key="another").cache(inner)(1) == [1, 1]
    assert len(calls) == 2


def test_results_of_a_keyed_memory_are_the_same(folder):
    np = pytest.importorskip("numpy")
    for _ in range(2):
        function = again(folder, key="secret").cache(lambda n: np.arange(n))
        assert function(100_000).sum() == 4999950000
        assert function(3).sum() == 3


def test_the_tier_holds_no_more_than_it_may(folder):
    memory = Memory(folder, verbose=0, ram_bytes=10_000)
    function = memory.cache(lambda x: [x] * 100)
    for x in range(200):
        function(x)
    assert function._flight.cache_info().weight <= 10_000


# --- the function ---


def test_closure_cells_globals_and_helpers_count(folder):
    def make(n):
        return lambda x: x + n

    memory = Memory(folder, verbose=0)
    assert memory.cache(make(1))(1) == 2
    assert memory.cache(make(2))(1) == 3


MODULE = """
FACTOR = {factor}

def helper(x):
    return x * {helper}

def function(x):
    # {comment}
    calls.append(x)
    return helper(x) * FACTOR

calls = []
"""


def loaded(folder, monkeypatch, name, **values):
    text = MODULE.format(**{"factor": 1, "helper": 1, "comment": "nothing", **values})
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    sys.modules.pop(name, None)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        return importlib.import_module(name)
    finally:
        sys.dont_write_bytecode = before


def test_edits_are_seen_reverts_are_hits_and_comments_do_not_count(folder, tmp_path, monkeypatch):
    memory = Memory(folder, verbose=0)

    def run(**values):
        module = loaded(tmp_path, monkeypatch, "edited_module", **values)
        value = memory.cache(module.function)(3)
        return value, len(module.calls)

    assert run() == (3, 1)
    assert run(comment="another") == (3, 0)
    assert run(factor=2) == (6, 1)
    assert run(helper=5) == (15, 1)
    assert run() == (3, 0)
    assert run(factor=2) == (6, 0)


def test_a_global_that_changes_in_place_counts_at_the_next_call(memory, tmp_path, monkeypatch):
    module = loaded(tmp_path, monkeypatch, "changing_module")
    function = memory.cache(module.function)
    assert function(3) == 3
    module.FACTOR = 7
    assert function(3) == 21
    module.FACTOR = 1
    assert function(3) == 3
    assert module.calls == [3, 3]


def test_a_memorized_helper_is_followed(memory, tmp_path, monkeypatch):
    def run(**values):
        module = loaded(tmp_path, monkeypatch, "helped_module", **values)
        module.helper = memory.cache(module.helper)
        return memory.cache(module.function)(3), len(module.calls)

    assert run(helper=2) == (6, 1)
    assert run(helper=2) == (6, 0)
    assert run(helper=3) == (9, 1)


def test_what_a_memorized_helper_depends_on_its_callers_do_too(folder):
    calls = []

    def inner(x):
        return x

    def run(memory, **options):
        helper = memory.cache(inner, **options)

        def outer(x):
            calls.append(x)
            return helper(x)

        memory = Memory(folder, verbose=0)
        for _ in range(2):
            assert memory.cache(outer)(1) == 1

    memory = Memory(folder, verbose=0)
    for options in (
        {},
        {"verbose": 0, "ttl": 5},
        {"version": "2"},
        {"version": "3"},
        {"depends": [1]},
        {"version": "2"},
    ):
        run(memory, **options)
        run(Memory(None), **options)
    assert len(calls) == 4


def test_functions_of_one_name_do_not_fight(memory):
    calls = []

    def make(text):
        namespace = {"calls": calls}
        exec(f"def function(x):\n    calls.append({text!r})\n    return {text!r}\n", namespace)  # noqa: S102
        return memory.cache(namespace["function"])

    one, other = make("one"), make("other")
    for _ in range(3):
        assert one(1) == "one"
        assert other(1) == "other"
    assert calls == ["one", "other"]


def test_depends_and_version_count(memory):
    calls = []

    def function():
        calls.append(1)

    for options in ({}, {"version": "2"}, {"depends": [1]}, {"depends": [2]}, {"track": "version", "version": "1"}):
        memory.cache(function, **options)()
        memory.cache(function, **options)()
    assert len(calls) == 5


def test_track_version_does_not_look_at_the_code(folder):
    memory = Memory(folder, verbose=0, track="version")
    namespaces = [{}, {}]
    for number, namespace in enumerate(namespaces):
        exec(f"def function(x): return {number}", namespace)  # noqa: S102
    first, second = [memory.cache(namespace["function"], version="1") for namespace in namespaces]
    assert first(1) == second(1) == 0


# --- other processes, threads ---

PROGRAM = """
import sys, time
from retain import Memory

memory = Memory(sys.argv[1], verbose=0)

@memory.cache
def slow(x):
    with open(sys.argv[2], "a") as file:
        file.write("computed\\n")
    time.sleep(0.5)
    return [x]

if __name__ == "__main__":
    print(slow(int(sys.argv[3])))
"""


def start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, str(program), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_processes_that_ask_at_once_compute_once_and_later_ones_not_at_all(folder, tmp_path):
    program, witness = tmp_path / "program.py", tmp_path / "witness"
    program.write_text(PROGRAM)
    running = [start(program, folder, witness, 1) for _ in range(4)]
    for process in running:
        out, error = process.communicate(timeout=TIMEOUT)
        assert (out, error) == ("[1]\n", "")
    last = start(program, folder, witness, 1)
    assert last.communicate(timeout=TIMEOUT)[0] == "[1]\n"
    assert witness.read_text() == "computed\n"


def together(count, call):
    outcomes = []
    barrier = threading.Barrier(count)

    def run():
        barrier.wait(TIMEOUT)
        outcomes.append(call())

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    return outcomes


@pytest.mark.parametrize("size", [1, 100_000])
def test_threads_that_ask_at_once_compute_once_and_get_objects_of_their_own(memory, size):
    calls = []

    @memory.cache
    def slow():
        calls.append(1)
        time.sleep(0.1)
        return [0] * size

    found = together(8, slow)
    assert len(calls) == 1
    assert found == [[0] * size] * 8
    assert len({id(each) for each in found}) == 8


def test_what_cannot_be_kept_is_computed_by_each_thread(memory):
    calls = []

    @memory.cache
    def slow():
        calls.append(1)
        time.sleep(0.1)
        return threading.Lock()

    with pytest.warns(CacheWarning):
        found = together(4, slow)
    assert len({id(each) for each in found}) == 4


@pytest.mark.timeout(20)
def test_a_call_of_itself_computes_again(memory):
    depth = iter([1, 2, 3])

    @memory.cache(track="own")
    def function(x):
        return function(x) + 1 if next(depth) < 3 else 0

    assert function(1) == 2


# --- pickling ---


@pytest.mark.parametrize("options", [{}, {"compress": 3}, {"mmap_mode": "r"}, {"key": "secret"}])
def test_what_is_memorized_can_be_pickled(folder, options):
    memory = Memory(folder, verbose=0, **options)
    function = memory.cache(module_level)
    function(1)
    copied = pickle.loads(pickle.dumps(memory))
    assert copied.store_backend.location == memory.store_backend.location
    assert copied.timestamp is None
    assert copied.cache(module_level).check_call_in_cache(1)
    assert retain.hash(copied) == retain.hash(memory)
    again = pickle.loads(pickle.dumps(function))
    assert again.check_call_in_cache(1)
    assert again(1) == [1, 1]
    assert retain.hash(again) == retain.hash(function)


decorated_memory = Memory(None)


@decorated_memory.cache
def decorated(x):
    return x


def test_a_decorated_function_is_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(decorated)) is decorated


# --- failures of the store ---


def test_a_deleted_folder_is_made_again(folder, memory):
    import shutil

    function = memory.cache(lambda x: [x])
    assert function(1) == [1]
    shutil.rmtree(folder)
    assert function(1) == [1]
    assert function(2) == [2]
    assert function(1) == [1]
    assert function.check_call_in_cache(2)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_made_costs_a_warning(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.warns(CacheWarning, match="cannot keep results"):
        memory = Memory(tmp_path / "cache", verbose=0)
    assert memory.cache(module_level)(1) == [1, 1]  # which was told already


def test_a_location_below_a_file_costs_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(CacheWarning, match="cannot keep results"):
        memory = Memory(tmp_path / "file" / "cache", verbose=0)
    assert memory.cache(module_level)(1) == [1, 1]  # which was told already


class FailingStore:
    """A store that fails in one of its methods."""

    def __init__(self, store, method, error):
        self._store, self._method, self._error = store, method, error

    def __getattr__(self, name):
        if name == self._method:
            raise self._error
        return getattr(self._store, name)


@pytest.mark.parametrize("method", ["get", "put", "begin", "put_file", "lead", "describe", "count", "about"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), retain.StoreError("damaged")])
def test_whatever_fails_in_the_store_the_value_is_returned(memory, method, error):
    place = memory._place
    place._store = FailingStore(place.store, method, error)
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x in (1, 1, 50_000):
            assert len(memory.cache(lambda n: [0] * n)(x)) == x
    assert {warning.category for warning in caught} <= {CacheWarning}


def test_a_failure_is_told_once(memory):
    place = memory._place
    place._store = FailingStore(place.store, "put", OSError(28, "No space left on device"))
    function = memory.cache(lambda x: x)
    with pytest.warns(CacheWarning, match="No space left on device") as caught:
        for x in range(5):
            assert function(x) == x
    assert len(caught) == 1


def test_a_result_that_cannot_be_loaded_is_computed_again(folder, memory, caplog, monkeypatch):
    module = loaded(folder.parent, monkeypatch, "module_with_class")
    module.Kind = type("Kind", (), {"__module__": "module_with_class"})
    options = {"track": "version", "version": "1"}
    assert isinstance(memory.cache(lambda: module.Kind(), **options)(), module.Kind)
    del module.Kind
    with caplog.at_level(logging.WARNING, "retain"):
        assert again(folder).cache(lambda: "anew", **options)() == "anew"
    assert "Exception while loading results for <lambda>()" in caplog.text
    assert again(folder).cache(lambda: "again", **options)() == "anew"


# --- what is printed ---


def test_lines_are_those_of_joblib(folder, capsys):
    Memory(folder, verbose=1).cache(module_level)(1, y=[2])
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["_" * 80, "[Memory] Calling test_memory.module_level...", "module_level(1, y=[2])"]
    assert out[3].endswith("_module_level - 0.0s, 0.0min")
    assert len(out[3]) == 80
    Memory(folder, verbose=1).cache(module_level)(1, y=[2])
    assert capsys.readouterr().out == ""
    Memory(folder, verbose=2).cache(module_level)(1, y=[2])
    assert capsys.readouterr().out == "[Memory]0.0s, 0.0min    : Loading module_level(x=1, y=[2])...\n"
    Memory(folder, verbose=11).cache(module_level)(1, y=[2])
    out = capsys.readouterr().out
    assert f"from {folder}/retain" in out
    assert "module_level cache loaded - 0.0s, 0.0min" in out
    Memory(folder, verbose=0).cache(module_level)(7)
    assert capsys.readouterr().out == ""


def test_large_arguments_are_told_in_a_few_words(folder, capsys):
    function = Memory(folder, verbose=1).cache(lambda x: None)
    function(list(range(100_000)))
    assert len(capsys.readouterr().out) < 2000
    [entry] = function.entries()
    assert entry.arguments == {"x": "[0, 1, 2, 3, ...] (100000)"}


def test_a_memory_is_an_argument_by_what_it_is(folder, memory):
    function = memory.cache(lambda other: other.location)
    assert function(Memory(folder, verbose=0)) == folder
    assert function(Memory(folder, verbose=5)) == folder
    assert len(function.entries()) == 1


@pytest.mark.parametrize("layout", ["indexed", "plain"])
@pytest.mark.parametrize("key", [None, b"k" * 32])
@pytest.mark.parametrize("compress", [False, "zstd", "gzip"])
def test_what_is_whole_is_found_whole(tmp_path, layout, key, compress):
    np = pytest.importorskip("numpy")
    memory = Memory(tmp_path, verbose=0, layout=layout, key=key, compress=compress)
    random = np.random.default_rng(0)
    memory.cache(lambda count: [random.integers(0, 255, count, np.uint8), "text" * count])(300_000)
    memory.cache(lambda: np.arange(100))()
    assert memory._store.verify() == (2, [])
    (blob,) = tmp_path.rglob("*.pkl")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 4
    blob.write_bytes(content)
    checked, damaged = memory._store.verify()
    assert (checked, len(damaged)) == (2, 1)
    assert memory._store.verify() == (1, [])
