"""What a store's folder does for Python: entries, files, leads, errors; and that other threads run meanwhile."""

from __future__ import annotations

import errno
import gc
import inspect
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
import retain
from retain._files.pickler import pickle_into, writer
from retain._files.unpickler import Unpickler
from retain._memoize import _signature
from retain._memory.errors import StoreError, UntrustedFolderError
from retain._retain import Address, Block, Held, Missed, Owner, Reader, Recall, Sink, Store, Tier, is_immutable

TIMEOUT = 60
LARGE = bytes(range(256)) * 8192


@pytest.fixture(params=["indexed", "plain"])
def store(tmp_path, request):
    return Store.open(str(tmp_path / "store"), request.param)


def call(number, version=b"v"):
    return (version * 32)[:32] + number.to_bytes(32, "little")


def put(store, number, value, *, function="module.f", lives=None, about=b"", cost=0.5):
    store.put(call(number), function, pickle.dumps(value, 5), cost, lives, about)


def put_file(store, number, value, *, codec=None):
    sink = store.begin(call(number), codec)
    pickle_into(sink, value, 5, by_value=False)
    sink.finish(writer())
    store.put_file(call(number), "module.f", sink, 0.5, None, b"about")


def recalling(store, function):
    made = Recall(Address(function, _signature(inspect, function, ())), Tier(1 << 20), "module.f", False, None)
    made.open(store)
    return made


def loaded(found):
    block = Block.of_immutable(found[0], True) if isinstance(found[0], str) else found[0]
    reader = Reader.of_block(block)
    value = Unpickler(reader, None).load()
    reader.finish()
    return value


# --- entries ----------------------------------------------------------------------------------------------------------


def test_what_was_put_is_found(store):
    assert store.get(call(1)) is store.contains(call(1)) is store.about(call(1)) is None
    before = time.time() - 1
    put(store, 1, [1, "a"], about=b'{"x": 1}', cost=0.25)
    payload, created, cost, expires = store.get(call(1))
    assert pickle.loads(payload) == [1, "a"]
    assert before < created < time.time() + 1
    assert (cost, expires) == (0.25, None)
    assert store.contains(call(1)) == (created, 0.25, None)
    assert store.about(call(1)) == b'{"x": 1}'
    assert store.get(call(1, b"w")) is store.get(call(2)) is None
    put(store, 1, "other")
    assert pickle.loads(store.get(call(1))[0]) == "other"


def test_another_store_of_the_folder_finds_it(store):
    put(store, 1, "kept")
    again = Store.open(store.path)
    assert pickle.loads(again.get(call(1))[0]) == "kept"
    assert again.path == store.path
    assert again.layout == store.layout
    assert type(store.path) is str


def test_an_entry_ends(store):
    put(store, 1, "short", lives=0.05)
    put(store, 2, "long", lives=1000)
    created, _, expires = store.contains(call(2))
    assert expires == pytest.approx(created + 1000, abs=1)
    time.sleep(0.1)
    assert store.get(call(1)) is store.contains(call(1)) is None
    assert store.get(call(2)) is not None
    put(store, 3, "for ever", lives=float("inf"))
    assert store.contains(call(3))[2] is None


def test_entries_and_functions_are_listed(store):
    put(store, 1, "a", function="module.f", about=b"one")
    put(store, 2, "b", function="module.g")
    entries = {entry[0]: entry for entry in store.entries()}
    assert set(entries) == {call(1), call(2)}
    found, function, created, used, expires, cost, size, about = entries[call(1)]
    assert (found, function, expires, cost, about) == (call(1), "module.f", None, 0.5, b"one")
    assert abs(used - created) <= 60
    assert size >= len(pickle.dumps("a", 5))
    assert [entry[0] for entry in store.entries("module.g")] == [call(2)]
    assert store.entries("module.h") == []
    store.count("module.f", 3, 1, 1.5, 0.5)
    store.flush()
    rows = {row[0]: row for row in store.functions()}
    assert rows["module.f"][1] == rows["module.g"][1] == 1
    assert rows["module.f"][3:7] == (3, 1, 1.5, 0.5)


def test_entries_are_removed_and_that_is_told(store):
    for number in range(4):
        put(store, number, number, function=f"module.{'fg'[number % 2]}")
    seen = [store.removals()]
    assert store.remove(call(0))
    seen.append(store.removals())
    assert not store.remove(call(0))
    assert store.clear("module.g") == 2
    seen.append(store.removals())
    assert store.clear() == 1
    seen.append(store.removals())
    assert store.entries() == []
    assert len(set(seen)) == 4
    assert Store.open(store.path).removals() == seen[-1]


def test_a_folder_is_reduced(store):
    for number in range(40):
        put(store, number, number)
    items, freed = store.reduce(max_items=10)
    assert items == 30
    assert freed > 0
    assert len(store.entries()) == 10
    assert store.reduce() == (0, 0)
    assert store.reduce(max_age=0.0)[0] == 10


def test_versions_are_described(store):
    put(store, 1, "a")
    store.describe("module.f", call(1)[:32], '{"code": 1}')
    digest, text, used = store.versions("module.f")[0]
    assert (digest, text) == (call(1)[:32], '{"code": 1}')
    assert used <= time.time() + 1
    assert store.versions("module.g") == []


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [None, "zstd", "gzip"])
def test_a_file_is_put_once_it_is_whole(store, codec):
    put_file(store, 1, {"data": bytearray(LARGE)}, codec=codec)
    found = store.get(call(1))
    assert type(found[0]) is str
    assert loaded(found) == {"data": bytearray(LARGE)}
    if codec is None:
        assert retain.load(found[0]) == {"data": bytearray(LARGE)}
    assert store.about(call(1)) == b"about"
    store.remove(call(1))
    assert not Path(found[0]).exists()


def test_a_sink_that_is_not_finished_is_no_file(store):
    sink = store.begin(call(1))
    with pytest.raises(RuntimeError, match="has no file to be kept"):
        store.put_file(call(1), "module.f", sink, 0.5, None, b"")
    pickle_into(sink, [1, 2], 5, by_value=False)
    sink.finish(writer())
    assert store.get(call(1)) is None
    store.put_file(call(1), "module.f", sink, 0.5, None, b"")
    with pytest.raises(RuntimeError, match="has no file to be kept"):
        store.put_file(call(2), "module.f", sink, 0.5, None, b"")
    assert loaded(store.get(call(1))) == [1, 2]


def test_a_sink_that_is_given_up_leaves_nothing(store, tmp_path):
    sink = store.begin(call(1))
    pickle_into(sink, bytearray(LARGE), 5, by_value=False)
    sink.finish(writer())
    del sink
    other = store.begin(call(2))
    other.abort()
    gc.collect()
    files = [name for _, _, names in os.walk(tmp_path) for name in names]
    assert not [name for name in files if name.endswith((".pkl", ".tmp"))]
    path = str(tmp_path / "elsewhere")
    with pytest.raises(RuntimeError, match="has no file to be kept"):
        store.put_file(call(1), "module.f", Sink(path, None, True), 0.5, None, b"")


def test_a_keyed_store_hands_out_what_it_has_verified(tmp_path):
    store = Store.open(str(tmp_path / "store"), key=b"k" * 32)
    put(store, 1, "small")
    put_file(store, 2, bytearray(LARGE))
    assert type(store.get(call(1))[0]) is bytes
    assert type(store.get(call(2))[0]) is Block
    assert loaded(store.get(call(2))) == bytearray(LARGE)
    stranger = Store.open(store.path, key=b"x" * 32)
    assert stranger.get(call(1)) is stranger.get(call(2)) is None


def test_memory_of_a_file_that_is_read_is_the_readers_own(store):
    np = pytest.importorskip("numpy")
    array = np.arange(400_000.0)
    put_file(store, 1, {"array": array})
    first, second = loaded(store.get(call(1)))["array"], loaded(store.get(call(1)))["array"]
    assert type(first) is np.ndarray
    assert first.flags.writeable
    first[:] = 0
    assert (second == array).all()
    store.remove(call(1))
    assert (second == array).all()


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda store: store.get(b"short"), "call has 5 bytes, not 64"),
        (lambda store: store.describe("f", b"short", ""), "version has 5 bytes, not 32"),
        (lambda store: store.put(call(1), "f", b"", -1.0, None, b""), "cost is -1"),
        (lambda store: store.put(call(1), "f", b"", 1.0, float("nan"), b""), "lives is NaN"),
        (lambda store: store.begin(call(1), "rar"), "no codec is called"),
        (lambda store: Store.open(store.path, "odd"), 'layout is "odd"'),
        (lambda store: Store.open(store.path, key=b"short"), "key has 5 bytes, not 32"),
    ],
)
def test_wrong_arguments_are_refused(store, action, message):
    with pytest.raises(ValueError, match=message):
        action(store)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError) as raised:
        Store.open(str(tmp_path / "file" / "store"))
    assert raised.value.errno in (errno.ENOTDIR, errno.EEXIST)
    assert str(tmp_path / "file") in str(raised.value.filename)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions as POSIX has them")
def test_a_folder_of_everybody_is_refused_without_a_key(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UntrustedFolderError, match="key") as raised:
        Store.open(str(folder))
    assert isinstance(raised.value, StoreError)
    assert isinstance(raised.value, PermissionError)
    put(Store.open(str(folder), key=b"k" * 32), 1, "x")


def test_the_errors_can_be_pickled():
    for kind in (StoreError, UntrustedFolderError):
        again = pickle.loads(pickle.dumps(kind("reason")))
        assert type(again) is kind
        assert str(again) == "reason"


# --- verifying --------------------------------------------------------------------------------------------------------


def test_verify_tells_how_far_it_is(store):
    for number in range(5):
        put(store, number, number)
    told = []
    assert store.verify(lambda done, of: told.append((done, of))) == (5, [])
    assert all(done <= of for done, of in told)
    assert store.verify() == (5, [])


def test_verify_is_broken_off_by_what_its_progress_raises(store):
    for number in range(5):
        put(store, number, number)

    def stop(done, of):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.verify(stop)
    assert len(store.entries()) == 5


# --- leads ------------------------------------------------------------------------------------------------------------


def test_one_leads_and_the_others_wait(store):
    order = []
    lead = store.lead(call(1))
    assert not lead.waited
    assert lead.is_held

    def wait():
        with store.lead(call(1)) as mine:
            order.append(("second", mine.waited))

    thread = threading.Thread(target=wait)
    thread.start()
    with store.lead(call(2)) as other:
        assert not other.waited
    time.sleep(0.1)
    order.append("first")
    lead.release()
    lead.release()
    thread.join(TIMEOUT)
    assert order == ["first", ("second", True)]


def test_a_lead_is_tried(store):
    lead = store.lead(call(1))
    found = []
    thread = threading.Thread(target=lambda: found.append(store.try_lead(call(1))))
    thread.start()
    thread.join(TIMEOUT)
    assert found == [None]
    del lead
    gc.collect()
    with store.try_lead(call(1), Owner()) as mine:
        assert mine.is_held


_LEADER = """
import sys, time
from retain._retain import Store
store = Store.open(sys.argv[1])
lead = store.lead(bytes(64))
print("leads", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_a_wait_ends_when_the_leader_is_killed_and_signals_are_handled_meanwhile(store):
    leader = subprocess.Popen([sys.executable, "-c", _LEADER, store.path], stdout=subprocess.PIPE, text=True)
    try:
        assert leader.stdout.readline() == "leads\n"
        heard = []

        def hear(*_):
            heard.append(time.monotonic())
            if len(heard) == 2:
                raise TimeoutError

        before = signal.signal(signal.SIGALRM, hear)
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        try:
            # A handler that raises nothing leaves the wait as it is; one that raises ends it.
            with pytest.raises(TimeoutError):
                store.lead(bytes(64))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert len(heard) == 2
        threading.Timer(0.2, leader.kill).start()
        with store.lead(bytes(64)) as lead:
            assert lead.waited
    finally:
        leader.kill()
        leader.communicate(timeout=TIMEOUT)


# --- threads ----------------------------------------------------------------------------------------------------------


def test_other_threads_run_while_one_waits_for_its_lead(store):
    lead = store.lead(call(1))
    turns = []

    def wait():
        store.lead(call(1)).release()
        turns.append("waited")

    thread = threading.Thread(target=wait)
    thread.start()
    for number in range(100):
        turns.append(number)
        time.sleep(0)
    lead.release()
    thread.join(TIMEOUT)
    assert turns == [*range(100), "waited"]


def test_threads_share_a_store(store):
    failed = []

    def work(start):
        for number in range(start, start + 100):
            put(store, number, number)
            found = store.get(call(number))
            if found is None or pickle.loads(found[0]) != number:
                failed.append(number)
            store.count("module.f", 1, 0, 0.0, 0.0)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert not failed
    assert len(store.entries()) == 400


# --- what a process holds ---------------------------------------------------------------------------------------------


def test_values_that_nobody_can_change():
    kept = [1, "a", b"b", 1.5, True, None, 1j, (), (1, ("a", (None, 2.5)))]
    assert all(map(is_immutable, kept))

    class Text(str):
        __slots__ = ()

    deep: tuple = ()
    for _ in range(100_000):
        deep = (deep,)
    broad: tuple = (1,)
    for _ in range(40):
        broad = (broad, broad)
    others = [[], {}, ([],), Text("a"), {1}, frozenset([1]), bytearray(), object(), 1 << 1000, deep, broad]
    assert not any(map(is_immutable, others))


def test_a_tier_holds_so_many_bytes():
    tier = Tier(20_000)
    for number in range(200):
        tier.put(call(number), Held(0, "x" * 100, None, time.time(), 0.5, None, 1))
    assert 10 < len(tier) < 100
    tier.clear()
    assert len(tier) == 0
    held = Held(0, None, b"payload", 1.0, 0.5, None, 7)
    tier.put(call(1), held)
    found = tier.get(call(1))
    assert (found.where, found.payload, found.created, found.cost, found.ends, found.removals) == (
        0, b"payload", 1.0, 0.5, None, 7,
    )  # fmt: skip
    found.about = b"told"
    assert tier.get(call(1)).about == b"told"
    tier.remove(call(1))
    assert tier.get(call(1)) is None
    tier.put(call(2), Held(0, 1, None, 1.0, 0.5, time.time() - 1, 7))
    tier.put(call(3), Held(1, None, None, 1.0, 0.5, None, 7))
    tier.put(call(4), Held(0, [1], None, 1.0, 0.5, None, 7))
    assert tier.get(call(2)) is tier.get(call(3)) is tier.get(call(4)) is None
    nothing = Tier(0)
    nothing.put(call(1), held)
    assert nothing.get(call(1)) is None


def test_recall_answers_what_it_can(store):
    def function(x, y=1):
        raise AssertionError

    address = Address(function, _signature(inspect, function, ()))
    recall = Recall(address, Tier(1 << 20), "module.f", False, None)
    unopened = recall.look((1,), {})
    assert (type(unopened), unopened.call, unopened.looked, unopened.found) == (Missed, address(1), False, None)
    recall.open(store)
    missed = recall.look((1,), {"y": 1})
    assert (type(missed), missed.call, missed.looked, missed.found) == (Missed, address(1), True, None)
    store.put(missed.call, "module.f", pickle.dumps([1, 2], 5), 0.5, None, b"")
    first, second = recall.look((1,), {}), recall.look((), {"x": 1})
    assert first == second == [1, 2]
    assert first is not second
    assert recall.counts() == (2, 0, 1.0, 0.0)
    assert store.remove(missed.call)
    assert type(recall.look((1,), {})) is Missed
    recall.missed(0.25)
    assert recall.tell() is None
    store.flush()
    assert store.functions() == [] or store.functions()[0][3] == 2
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        recall.look((), {})
    store.put(missed.call, "module.f", b"\x80 no pickle", 0.5, None, b"")
    assert type(recall.look((1,), {})) is Missed


def test_recall_leaves_what_is_too_old(store):
    def function(x):
        raise AssertionError

    address = Address(function, _signature(inspect, function, ()))
    store.put(address(1), "module.f", pickle.dumps(1, 5), 0.5, None, b"")
    for ram_bytes in (0, 1 << 20):
        recall = Recall(address, Tier(ram_bytes), "module.f", False, 0.2)
        recall.open(store)
        store.put(address(1), "module.f", pickle.dumps(1, 5), 0.5, None, b"")
        assert recall.look((1,), {}) == recall.look((1,), {}) == 1
        time.sleep(0.25)
        assert type(recall.look((1,), {})) is Missed


def test_a_forked_child_tells_no_counts_of_its_parents(store):
    def function(x):
        raise AssertionError

    store.describe("module.f", call(1)[:32], "{}")
    recall = recalling(store, function)
    recall.hit(1.0)
    recall.after_fork_in_child()
    recall.missed(0.5)
    assert recall.tell() is None
    store.flush()
    assert recall.counts() == (1, 1, 1.0, 0.5)
    assert store.functions()[0][3:7] == (0, 1, 0.0, 0.5)


def test_a_memorized_function_that_leads_back_to_itself_is_collected(tmp_path):
    def made():
        @retain.Memory(tmp_path, verbose=0).cache
        def function(x):
            return x, function.func is None

        assert function(1) == function(1) == (1, False)
        return weakref.ref(function.func)

    gone = made()
    gc.collect()
    assert gone() is None
