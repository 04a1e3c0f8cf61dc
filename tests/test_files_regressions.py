"""Faults that `dump` and `load` once had, each with the smallest program that showed it."""

from __future__ import annotations

import copyreg
import errno
import gc
import gzip
import io
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import weakref
from pathlib import Path

import joblib
import numpy as np
import pytest
import retain
from retain._files import compressors
from retain.numpy_pickle import NumpyPickler

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="as Linux has it")


def run(code, *arguments, limit=60):
    """Run a program that a fault would hang or kill."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# Files that are replaced while they are loaded


def replace(path, value):
    """Run by a file while it is loaded."""
    retain.dump(value, path)
    return "replaced"


class Replaces:
    def __init__(self, path, value):
        self.path = path
        self.value = value

    def __reduce__(self):
        return replace, (self.path, self.value)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("dump", [retain.dump, joblib.dump])
def test_what_is_mapped_is_of_the_file_that_was_opened(tmp_path, dump, mode):
    path = str(tmp_path / "file")
    later = {"other": np.full(70_000, 7.0), "than": "before"}
    dump([Replaces(path, later), np.arange(50_000.0), np.arange(3)], path)
    loaded = retain.load(path, mmap_mode=mode)
    assert loaded[0] == "replaced"
    assert np.array_equal(loaded[1], np.arange(50_000.0))
    assert np.array_equal(loaded[2], np.arange(3))
    assert isinstance(loaded[1], np.memmap)
    assert loaded[1].filename == path
    # Nothing of the old file went into the new one.
    assert np.array_equal(retain.load(path)["other"], later["other"])


def test_writable_mappings_of_compressed_files_need_no_permission(tmp_path, monkeypatch):
    path = tmp_path / "file.gz"
    retain.dump(np.arange(5), path)
    path.chmod(0o400)
    with pytest.warns(UserWarning, match="ignored"):
        assert retain.load(path, mmap_mode="r+").sum() == 10


# Machines that are short of something


@LINUX
def test_without_further_threads_the_calling_one_does_all():
    with tempfile.TemporaryDirectory() as folder:
        # For everybody, as root has no such limit and has to become someone else.
        Path(folder).chmod(0o777)
        printed = run(WITHOUT_THREADS, Path(folder, "file"))
    assert printed == ["done"]


WITHOUT_THREADS = """
        import os, resource, sys
        import numpy as np, retain

        path = sys.argv[1]
        array = np.arange(3_000_000.0)
        for extension in ("", ".zst", ".lz4"):
            retain.dump(array, path + extension)
            os.chmod(path + extension, 0o666)
            retain.load(path + extension)
            retain.safe_load(path + extension)
        if not os.getuid():
            os.setgroups([])
            os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        for extension in ("", ".zst", ".lz4"):
            assert np.array_equal(retain.load(path + extension), array)
            assert np.array_equal(retain.safe_load(path + extension), array)
            retain.dump(array, path + ".new" + extension)
            retain.dump([bytes(100_000)] * 90, path + ".more" + extension)
            assert np.array_equal(retain.load(path + ".new" + extension), array)
        print("done")
    """


@LINUX
def test_too_little_memory_is_not_the_fault_of_the_file(tmp_path):
    array = np.zeros(100_000_000, "u1")
    retain.dump(array, tmp_path / "array")
    retain.dump(array.tobytes(), tmp_path / "bytes")
    retain.dump(array, tmp_path / "array.zst")
    joblib.dump(array, tmp_path / "joblib")
    printed = run(
        """
        import resource, sys
        import numpy as np, retain, retain._files.load, retain._files.safe, retain._files.joblib_layout

        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 60_000_000,) * 2)
        for path in sys.argv[1:]:
            for load in (retain.load, retain.safe_load):
                try:
                    load(path)
                except Exception as error:
                    print(type(error).__name__)
        """,
        *(tmp_path / name for name in ("array", "bytes", "array.zst", "joblib")),
    )
    assert printed == ["MemoryError"] * 8


# Memory that is used again


SCRATCH = np.zeros(30_000)


class Scratches:
    def __init__(self, number, view):
        self.number = number
        self.view = view

    def __getstate__(self):
        SCRATCH[:] = self.number
        return {"number": self.number, "array": SCRATCH[self.view]}


SHARED = bytearray(b"....")


class Shares:
    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        SHARED[:] = self.data
        return bytes, (pickle.PickleBuffer(SHARED),)


@pytest.mark.parametrize("view", [slice(8), slice(None), slice(None, None, 2), slice(0, 20, 3)])
@pytest.mark.parametrize("name", ["plain", "compressed.zst"])
def test_arrays_are_written_as_they_were_when_they_were_pickled(tmp_path, view, name):
    retain.dump([Scratches(number, view) for number in range(5)], tmp_path / name)
    for number, loaded in enumerate(retain.load(tmp_path / name)):
        assert loaded.number == number
        assert (loaded.array == number).all()


def test_buffers_are_written_as_they_were_when_they_were_pickled(tmp_path):
    retain.dump([Shares(b"aaaa"), [np.arange(5)], Shares(b"bbbb")], tmp_path / "file")
    first, (array,), second = retain.load(tmp_path / "file")
    assert (first, second) == (b"aaaa", b"bbbb")
    assert np.array_equal(array, np.arange(5))


def test_buffers_that_change_are_an_error_where_nothing_can_be_begun_again():
    value = [Scratches(number, slice(8)) for number in range(5)]
    with pytest.raises(RuntimeError, match="changed while it was pickled"):
        retain.dump(value, io.BytesIO())
    with pytest.raises(RuntimeError, match="changed while it was pickled"):
        NumpyPickler(io.BytesIO()).dump(value)
    file = io.BytesIO()
    retain.dump(value, file, protocol=4)
    assert [loaded.array[0] for loaded in retain.load(file)] == [0, 1, 2, 3, 4]


def test_the_scratch_of_dispatch_tables_is_noticed_too():
    class Pickler(NumpyPickler):
        pass

    table = {Scratches: lambda each: (tuple, ([SCRATCH.__setitem__(0, each.number), SCRATCH[:8]],))}
    Pickler.dispatch_table = table
    with pytest.raises(RuntimeError, match="changed while it was pickled"):
        Pickler(io.BytesIO()).dump([Scratches(number, None) for number in range(5)])


# What the user has registered


@pytest.fixture
def _registered():
    copyreg.pickle(np.ndarray, lambda array: (str, (f"shape {array.shape}",)))
    yield
    del copyreg.dispatch_table[np.ndarray]


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("array", [np.zeros(4), np.zeros(8)[::2], np.zeros(4, "M8[s]"), np.array([None] * 4)])
def test_registered_reductions_are_obeyed_for_all_arrays(tmp_path, array):
    retain.dump(array, tmp_path / "file")
    assert retain.load(tmp_path / "file") == "shape (4,)"


# Ctrl-C


@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "xz", "lzma"])
@pytest.mark.parametrize("value", [np.arange(400_000.0), np.arange(400_000.0).tobytes()], ids=["array", "bytes"])
def test_slow_codecs_are_left_often(tmp_path, monkeypatch, codec, value):
    positions = []
    monkeypatch.setattr("retain._files.dump._Progress.__enter__", lambda _: positions.append)
    retain.dump(value, tmp_path / "file", compress=(codec, 1), progress=True)
    assert len(positions) > 5
    assert positions[0] < 1 << 20


class Alarm(Exception):
    pass


@LINUX
def test_signals_are_handled_while_an_array_is_decompressed(tmp_path):
    path = tmp_path / "file"
    retain.dump(np.random.default_rng(0).integers(0, 60, 6_000_000).astype("u1"), path, compress=("bz2", 1))
    where = []

    def handler(*_):
        for fd in Path("/proc/self/fd").iterdir():
            try:
                if fd.readlink() == path:
                    where.append(os.lseek(int(fd.name), 0, os.SEEK_CUR))
            except OSError:
                pass
        raise Alarm

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for load in (retain.load, retain.safe_load):
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            with pytest.raises(Alarm):
                load(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert where[0] < path.stat().st_size


@LINUX
@pytest.mark.parametrize("load", ["load", "safe_load"])
def test_waiting_for_a_pipe_ends_at_a_signal(tmp_path, load):
    os.mkfifo(tmp_path / "pipe")
    printed = run(
        """
        import os, signal, sys
        import retain

        path, load = sys.argv[1:]
        getattr(retain, load)
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        for open_by_another in (False, True):
            writer = os.open(path, os.O_RDWR) if open_by_another else None
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            try:
                getattr(retain, load)(path)
            except KeyboardInterrupt:
                print("interrupted")
        """,
        tmp_path / "pipe",
        load,
    )
    assert printed == ["interrupted"] * 2


@LINUX
@pytest.mark.parametrize("compress", [0, "gzip", "zstd"])
def test_values_come_through_pipes(tmp_path, compress):
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    value = {"array": np.arange(100_000.0), "text": "text" * 50}
    for load in (retain.load, retain.safe_load):
        thread = threading.Thread(target=retain.dump, args=(value, path, compress))
        thread.start()
        loaded = load(path)
        thread.join()
        assert np.array_equal(loaded["array"], value["array"])
        assert loaded["text"] == value["text"]
    np_file = io.BytesIO()
    np.save(np_file, np.arange(5))
    thread = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(np_file.getvalue()))
    thread.start()
    assert retain.load(path).sum() == 10
    thread.join()


# Files that take less than all


@LINUX
def test_raw_files_that_would_have_to_wait_are_an_error():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0) as file, pytest.raises(BlockingIOError):
        retain.dump(np.zeros(1_000_000), file)


@pytest.mark.parametrize("answer", [None, True, "text"])
def test_objects_that_do_not_tell_take_all(answer):
    class Takes:
        def __init__(self):
            self.data = b""

        def write(self, data):
            self.data += data
            return answer

    file = Takes()
    retain.dump(np.arange(10), file)
    assert pickle.loads(file.data).sum() == 45


def test_objects_that_take_nothing_are_an_error():
    class Refuses:
        def write(self, _):
            return 0

    with pytest.raises(OSError, match="write"):
        retain.dump(1, Refuses())


# Paths


@LINUX
def test_open_files_without_a_name_are_written_to(tmp_path):
    fd = os.memfd_create("some")
    with os.fdopen(fd, "r+b") as file:
        retain.dump([1, 2], f"/proc/self/fd/{fd}")
        assert retain.load(file) == [1, 2]
    path = tmp_path / "gone"
    with path.open("w+b") as file:
        path.unlink()
        retain.dump([3, 4], f"/proc/self/fd/{file.fileno()}")
        assert retain.load(file) == [3, 4]
    assert list(tmp_path.iterdir()) == []


def test_paths_may_be_bytes_for_load(tmp_path):
    class PathOfBytes:
        def __fspath__(self):
            return os.fsencode(tmp_path / "file")

    retain.dump([1], tmp_path / "file")
    for path in (os.fsencode(tmp_path / "file"), PathOfBytes()):
        assert retain.load(path) == [1]
        assert retain.safe_load(path) == [1]
    with pytest.raises(TypeError, match=r"filename must be .*, not int"):
        retain.load(5)


@LINUX
def test_errors_name_the_file(tmp_path):
    with pytest.raises(OSError, match="/dev/full") as raised:
        retain.dump(np.zeros(100_000), "/dev/full")
    assert raised.value.errno == errno.ENOSPC
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for what in (retain.load, lambda path: retain.dump(1, path)):
        with pytest.raises(OSError, match="loop") as raised:
            what(loop)
        assert raised.value.errno == errno.ELOOP
    with pytest.raises(ValueError, match="null"):
        retain.load("a\0b")


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="root may write anywhere")
def test_writable_files_in_folders_that_are_not_are_written_to(tmp_path):
    retain.dump(1, tmp_path / "file")
    tmp_path.chmod(0o500)
    try:
        retain.dump(np.arange(10), tmp_path / "file")
        assert retain.load(tmp_path / "file").sum() == 45
    finally:
        tmp_path.chmod(0o700)


# Arrays of other kinds


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, 2], [3, 4]]).view(np.matrix)[None],
        np.ones((5, 1)).view(np.matrix)[..., None],
        np.array([[1, 2], [3, 4]]).view(np.matrix),
    ],
)
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_matrices_keep_their_shape(tmp_path, array):
    retain.dump(array, tmp_path / "file")
    loaded = retain.load(tmp_path / "file")
    assert type(loaded) is np.matrix
    assert loaded.shape == array.shape
    assert (np.asarray(loaded) == np.asarray(array)).all()


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array",
    [
        np.arange(60.0).reshape(3, 4, 5).transpose(1, 0, 2),
        np.arange(60.0).reshape(3, 4, 5).transpose(1, 2, 0)[:, ::2],
        read_only(np.arange(3).astype("M8[D]")),
        read_only(np.arange(3).astype("m8[s]")[::-1]),
        read_only(np.array([[1, 2]]).view(np.matrix)),
        read_only(np.arange(5)),
        np.arange(3).astype("M8[D]").reshape(3, 1, 1).transpose(1, 0, 2),
    ],
)
@pytest.mark.parametrize("name", ["plain", "compressed.zst"])
def test_arrays_are_laid_out_and_writable_as_pickle_has_them(tmp_path, array, name):
    retain.dump(array, tmp_path / name)
    loaded, expected = retain.load(tmp_path / name), pickle.loads(pickle.dumps(array, 5))
    assert (loaded == expected).all()
    assert loaded.strides == expected.strides
    assert loaded.flags.writeable == expected.flags.writeable


def test_copies_of_mapped_arrays_can_be_written_to(tmp_path):
    np.save(tmp_path / "array.npy", np.arange(5.0))
    for array in (np.load(tmp_path / "array.npy", mmap_mode="r"), np.load(tmp_path / "array.npy", mmap_mode="r")[::2]):
        retain.dump(array, tmp_path / "file")
        loaded = retain.load(tmp_path / "file")
        loaded[0] = 9
        assert np.array_equal(loaded[1:], array[1:])


class Holds:
    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        return Holds, (pickle.PickleBuffer(self.data),)


@pytest.mark.parametrize("mode", ["r", "c"])
def test_mapped_buffers_that_are_no_arrays_are_no_arrays(tmp_path, mode):
    retain.dump([Holds(b"data" * 100), Holds(bytearray(b"data"))], tmp_path / "file")
    first, second = retain.load(tmp_path / "file", mmap_mode=mode)
    assert first.data == b"data" * 100
    assert second.data == b"data"
    assert not isinstance(first.data, np.ndarray)


# Loads that fail, and what else there was


class Target:
    pass


def test_nothing_is_kept_of_a_load_that_failed(tmp_path):
    path = tmp_path / "file"
    retain.dump([Target(), np.arange(1000.0)], path)
    data = bytearray(path.read_bytes())
    data[data.index(np.arange(1000.0).tobytes()) + 500] ^= 1
    path.write_bytes(data)
    alive = weakref.WeakSet()
    Target.__setstate__ = lambda self, _: None
    made = Target.__new__
    Target.__new__ = lambda cls: (each := object.__new__(cls), alive.add(each))[0]
    try:
        for _ in range(3):
            with pytest.raises(retain.CorruptFileError):
                retain.load(path)
    finally:
        if made is object.__new__:
            del Target.__new__
        del Target.__setstate__
    gc.collect()
    assert len(alive) == 0


def test_a_pickler_may_dump_twice():
    file = io.BytesIO()
    pickler = NumpyPickler(file)
    shared = [1, 2]
    pickler.dump({"a": shared, "b": np.arange(5)})
    pickler.dump({"c": shared})
    file.seek(0)
    assert retain.load(file)["b"].sum() == 10
    assert retain.load(file) == {"c": [1, 2]}


def test_an_error_of_the_progress_bar_leaves_the_old_file(tmp_path, monkeypatch):
    def report(_):
        raise Alarm

    retain.dump("old", tmp_path / "file")
    monkeypatch.setattr("retain._files.dump._Progress.__enter__", lambda _: report)
    with pytest.raises(Alarm):
        retain.dump("new", tmp_path / "file", progress=True)
    assert retain.load(tmp_path / "file") == "old"


def test_values_in_a_compressed_file_are_read_without_going_back(tmp_path, monkeypatch):
    with gzip.open(tmp_path / "file", "wb") as file:
        for number in range(20):
            retain.dump([number], file)
    rewound = []
    rewind = gzip._GzipReader._rewind
    monkeypatch.setattr(gzip._GzipReader, "_rewind", lambda self: (rewound.append(1), rewind(self)))
    with gzip.open(tmp_path / "file", "rb") as file:
        assert [retain.load(file)[0] for _ in range(20)] == list(range(20))
    assert not rewound


class Buffering(io.BufferedWriter):
    """A codec that asks of the file below what `io` asks of files."""

    def __init__(self, file, _):
        file.write(b"BUFFERED")
        assert file.tell() == 8
        super().__init__(file)


def test_registered_codecs_may_take_what_is_below_for_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(compressors, "_registered", {})
    codec = compressors.CompressorWrapper(Buffering, prefix=b"BUFFERED", extension=".buffered")
    retain.register_compressor("buffered", codec)
    retain.dump([1, 2], tmp_path / "file", compress="buffered")
    assert pickle.loads((tmp_path / "file").read_bytes()[8:]) == [1, 2]
