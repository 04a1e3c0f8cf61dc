"""Stores of other kinds: what was written for joblib's `Memory` works with retain's."""

import io
import pickle
import sys
from datetime import datetime, timedelta
from pickle import PicklingError
from typing import ClassVar

import pytest
import retain
from retain import CacheWarning, MemorizedResult, Memory, StoreBackendBase, register_store_backend
from retain._memory import backends
from retain._memory.backends import CacheItemInfo, FileSystemStoreBackend, StoreBackendMixin


@pytest.fixture(autouse=True)
def only_local_after(monkeypatch):
    monkeypatch.setattr(backends, "registered", dict(backends.registered))


class Upload(io.BytesIO):
    """A file that is there once it is closed."""

    def __init__(self, files, name):
        super().__init__()
        self.files, self.name = files, name

    def close(self):
        if not self.closed:
            self.files[self.name] = self.getvalue()
        super().close()


class InMemoryBackend(StoreBackendBase, StoreBackendMixin):
    """An object store, as backends for S3 are written."""

    stores: ClassVar = {}

    def configure(self, location, verbose=0, backend_options=None):
        self.location, self.verbose, self.options = location, verbose, backend_options or {}
        self.compress = self.options.get("compress", False)
        self.mmap_mode = None
        self.files = self.stores.setdefault(location, {})

    def _open_item(self, f, mode):
        if mode == "rb":
            return io.BytesIO(self.files[f])
        return Upload(self.files, f)

    def _item_exists(self, location):
        return any(name == location or name.startswith(location + "/") for name in self.files)

    def _move_item(self, src, dst):
        self.files[dst] = self.files.pop(src)

    def create_location(self, location):
        pass

    def clear_location(self, location):
        for name in list(self.files):
            if name.startswith(location + "/"):
                del self.files[name]

    def get_items(self):
        return [
            CacheItemInfo(name.rpartition("/")[0], len(data), datetime.now())  # noqa: DTZ005 - as joblib's backends tell it
            for name, data in self.files.items()
            if name.endswith("output.pkl")
        ]


@pytest.fixture
def memory(tmp_path):
    register_store_backend("memory", InMemoryBackend)
    return Memory(str(tmp_path), backend="memory", verbose=0, backend_options={"bucket": "b"}, ram_bytes=0)


def test_a_registered_backend_keeps_results(memory, tmp_path):
    calls = []

    def function(x, y=1):
        calls.append(x)
        return {"x": x, "y": y}

    assert isinstance(memory.store_backend, InMemoryBackend)
    assert memory.store_backend.options["bucket"] == "b"
    for each in (memory, memory, Memory(str(tmp_path), backend="memory", verbose=0)):
        assert each.cache(function)(1) == {"x": 1, "y": 1}
    assert calls == [1]
    names = list(memory.store_backend.files)
    assert [name.rpartition("/")[2] for name in names] == ["output.pkl", "metadata.json"]
    assert all(name.startswith(f"{tmp_path}/retain/test_memory_backends.test_a_registered") for name in names)


def test_all_methods_work_with_a_registered_backend(memory):
    calls = []

    @memory.cache(ttl=1000)
    def function(x):
        calls.append(x)
        return [x]

    assert not function.check_call_in_cache(1)
    result = function.call_and_shelve(1)
    assert isinstance(result, MemorizedResult)
    assert result.get() == [1]
    assert result.metadata["input_args"] == {"x": "1"}
    assert pickle.loads(pickle.dumps(result)).get() == [1]
    assert function.check_call_in_cache(1)
    assert function.invalidate(1)
    assert not function.invalidate(1)
    with pytest.raises(KeyError):
        result.get()
    function(1)
    assert function.explain(1).would_hit
    assert not function.explain(2).would_hit
    function.clear()
    function(1)
    memory.clear()
    function(1)
    assert calls == [1, 1, 1, 1]
    assert function.call(1)[0] == [1]
    memory.reduce_size(items_limit=0)
    assert memory.store_backend.get_items() == []
    again = pickle.loads(pickle.dumps(memory))
    assert isinstance(again.store_backend, InMemoryBackend)
    assert again.cache(function)(1) == [1]


def test_a_ttl_and_a_callback_hold_for_a_registered_backend(memory):
    calls, answers = [], [True, False, True]

    def function():
        calls.append(1)

    memory.cache(function, ttl=1e-6)()
    memory.cache(function, ttl=1e-6)()
    assert len(calls) == 2
    checked = memory.cache(function, ttl=1000, cache_validation_callback=lambda _: answers.pop(0))
    checked.call()
    for _ in range(3):
        checked()
    assert len(calls) == 4


def test_versions_stand_side_by_side_in_a_registered_backend(memory):
    calls = []

    def make(n):
        def function(x):
            calls.append(n)
            return x + n

        return memory.cache(function)

    for n in (1, 2, 1, 2):
        assert make(n)(10) == 10 + n
    assert calls == [1, 2]


def test_what_a_registered_backend_cannot_keep_is_returned_with_one_warning(memory):
    function = memory.cache(lambda: (number for number in range(2)))
    with pytest.warns(CacheWarning, match="cannot be pickled") as caught:
        for _ in range(2):
            assert list(function()) == [0, 1]
    assert len(caught) == 1
    assert memory.store_backend.get_items() == []


def test_a_registered_backend_that_fails_costs_no_result(memory, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(memory.store_backend, "_item_exists", fail, raising=False)
    function = memory.cache(lambda x: [x])
    with pytest.warns(CacheWarning, match="Input/output error"):
        assert function(1) == [1]
    assert function(1) == [1]


def test_a_damaged_item_is_computed_again(memory, caplog):
    function = memory.cache(lambda x: list(range(x)))
    function(1000)
    [name] = [name for name in memory.store_backend.files if name.endswith(".pkl")]
    memory.store_backend.files[name] = memory.store_backend.files[name][:50]
    assert function(1000) == list(range(1000))
    assert "Exception while loading results" in caplog.text


def test_an_instance_of_a_backend_is_a_location(memory):
    calls = []

    def function(x):
        calls.append(x)
        return x

    for _ in range(2):
        assert Memory(memory.store_backend, verbose=0).cache(function)(1) == 1
    assert calls == [1]


def test_a_subclass_of_the_file_backend_keeps_results_in_files(tmp_path):
    class Mine(FileSystemStoreBackend):
        pass

    register_store_backend("mine", Mine)
    calls = []

    def function(x):
        calls.append(x)
        return [x] * 10_000

    memory = Memory(tmp_path, backend="mine", verbose=0, compress=3, ram_bytes=0)
    for _ in range(2):
        assert len(memory.cache(function)(1)) == 10_000
    assert calls == [1]
    [item] = memory.store_backend.get_items()
    assert item.size < 10_000
    assert item.path.startswith(f"{tmp_path}/retain/")
    assert (tmp_path / "retain" / ".gitignore").read_text() == "*\n"
    memory.reduce_size(age_limit=timedelta(days=1), items_limit=5, bytes_limit="1M")
    assert len(memory.store_backend.get_items()) == 1
    memory.reduce_size(bytes_limit=100)
    assert memory.store_backend.get_items() == []
    memory.clear()
    assert repr(memory.store_backend) == f'Mine(location="{tmp_path}/retain")'


def test_a_file_backend_maps(tmp_path):
    np = pytest.importorskip("numpy")
    register_store_backend("files", type("Files", (FileSystemStoreBackend,), {}))
    memory = Memory(tmp_path, backend="files", verbose=0, mmap_mode="r")
    function = memory.cache(lambda n: np.arange(n))
    for _ in range(2):
        assert isinstance(function(10), np.memmap)


def test_a_backend_written_for_joblib_is_taken(tmp_path):
    joblib = pytest.importorskip("joblib._store_backends")
    register_store_backend("joblibs", type("Theirs", (joblib.FileSystemStoreBackend,), {}))
    calls = []

    def function(x):
        calls.append(x)
        return [x]

    for _ in range(2):
        assert Memory(str(tmp_path), backend="joblibs", verbose=0, ram_bytes=0).cache(function)(1) == [1]
    assert calls == [1]
    assert "joblib" in sys.modules


@pytest.mark.parametrize("name", [None, {}, []])
def test_a_backends_name_is_checked(name):
    with pytest.raises(ValueError, match="Store backend name should be a string"):
        register_store_backend(name, FileSystemStoreBackend)


@pytest.mark.parametrize("backend", [None, dict, FileSystemStoreBackend()])
def test_a_backend_is_checked(backend):
    with pytest.raises(ValueError, match="Store backend should inherit StoreBackendBase"):
        register_store_backend("name", backend)


def test_an_unknown_backend_and_an_incomplete_one_are_refused(tmp_path):
    with pytest.raises(TypeError, match="Unknown location"):
        Memory(tmp_path, backend="unknown")
    register_store_backend("incomplete", type("Incomplete", (StoreBackendBase,), {}))
    with pytest.raises(TypeError, match="abstract"):
        Memory(tmp_path, backend="incomplete")


@pytest.mark.parametrize(
    ("error", "category"), [(PicklingError("not so"), FutureWarning), (OSError("not so"), CacheWarning)]
)
def test_dump_item_warns(tmp_path, error, category):
    class Bad:
        def __reduce__(self):
            raise error

    backend = FileSystemStoreBackend()
    backend.configure(str(tmp_path))
    with pytest.warns(category, match="not so"):
        backend.dump_item(("function", "call"), Bad())
    assert not backend.contains_item(("function", "call"))


def test_the_local_backend_has_the_methods_that_programs_call(tmp_path):
    memory = Memory(tmp_path, verbose=0)
    function = memory.cache(lambda x: [x])
    result = function.call_and_shelve(1)
    backend, call = memory.store_backend, (result.func_id, result.args_id)
    assert backend.contains_item(call)
    assert backend.load_item(call) == [1]
    assert backend.get_metadata(call)["input_args"] == {"x": "1"}
    [item] = backend.get_items()
    assert item.size > 0
    assert isinstance(item.last_access, datetime)
    backend.clear_item(call)
    assert not backend.contains_item(call)
    assert backend.get_metadata(call) == {}
    with pytest.raises(KeyError):
        backend.load_item(call)
    function(1)
    backend.clear_path([result.func_id])
    function(1)
    backend.clear()
    assert backend.get_items() == []
    assert retain.Memory(backend, verbose=0).cache(function)(1) == [1]
