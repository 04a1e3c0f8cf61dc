"""`retain.dump`: its arguments, what it writes and returns, and what becomes of files when it fails."""

from __future__ import annotations

import _thread
import bz2
import contextlib
import copyreg
import errno
import gc
import gzip
import inspect
import io
import lzma
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import types
import zlib
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import retain
from retain._files import compressors
from retain.numpy_pickle import NumpyPickler, NumpyUnpickler

MAGICS = {
    "zlib": b"\x78",
    "gzip": b"\x1f\x8b",
    "bz2": b"BZ",
    "xz": b"\xfd7zXZ",
    "lzma": b"\x5d\x00",
    "lz4": b"\x04\x22\x4d\x18",
    "zstd": b"\x28\xb5\x2f\xfd",
}
EXTENSIONS = {
    "zlib": ".z",
    "gzip": ".gz",
    "bz2": ".bz2",
    "xz": ".xz",
    "lzma": ".lzma",
    "lz4": ".lz4",
    "zstd": ".zst",
}
VALUE = {"a": [1, 2.5, "text", None], "b": np.arange(1000.0), "c": (b"bytes", {3, 4})}


def codec_of(path):
    start = Path(path).read_bytes()[:8]
    return next((name for name, magic in MAGICS.items() if start.startswith(magic)), None)


def check(loaded):
    assert loaded["a"] == VALUE["a"]
    assert np.array_equal(loaded["b"], VALUE["b"])
    assert loaded["c"] == VALUE["c"]


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("not to be pickled")


class Interrupting:
    def __reduce__(self):
        raise KeyboardInterrupt


# Arguments and what is returned


def test_the_first_arguments_are_joblibs():
    ours = list(inspect.signature(retain.dump).parameters.values())
    theirs = list(inspect.signature(joblib.dump).parameters.values())
    assert [(each.name, each.default) for each in ours[:4]] == [(each.name, each.default) for each in theirs]
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in ours[4:])


def test_paths_are_returned_in_a_list_and_file_objects_are_not(tmp_path):
    path = tmp_path / "file"
    assert retain.dump(VALUE, path) == [str(path)]
    assert retain.dump(VALUE, str(path)) == [str(path)]
    assert retain.dump(VALUE, io.BytesIO()) is None
    with path.open("wb") as file:
        assert retain.dump(VALUE, file) is None
        assert not file.closed
    check(retain.load(path))


def test_arguments_by_name_and_place(tmp_path):
    path = str(tmp_path / "file")
    retain.dump(value=VALUE, filename=path, compress=3, protocol=2)
    assert codec_of(path) == "zlib"
    retain.dump(VALUE, path, 0, 2)
    assert Path(path).read_bytes()[:2] == b"\x80\x02"


def test_any_path_like_is_a_path(tmp_path):
    class Place:
        def __fspath__(self):
            return str(tmp_path / "file.gz")

    assert retain.dump(VALUE, Place()) == [str(tmp_path / "file.gz")]
    assert codec_of(tmp_path / "file.gz") == "gzip"
    check(retain.load(Place()))


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert retain.dump(VALUE, "file") == ["file"]
    assert retain.dump(VALUE, Path("file.z")) == ["file.z"]
    check(retain.load("file"))
    check(retain.load("file.z"))


@pytest.mark.parametrize("name", ["with space", "ünïcode-名", "x" * 250, "-", "~", "%s", "a\nb", "\udcff"])
def test_names_of_all_kinds(tmp_path, name):
    path = str(tmp_path / name)
    retain.dump(VALUE, path)
    check(retain.load(path))
    assert listing(tmp_path) == [name]


@pytest.mark.parametrize("compress", [0, False, True, None, 1, 9, "gzip", ("bz2", 1), ("xz", 0), ("zlib", None)])
@pytest.mark.parametrize("extension", ["", ".pkl", ".z", ".gz", ".bz2", ".xz", ".lzma", ".pkl.gz", ".GZ", ".gzip"])
def test_extension_and_compress_choose_the_codec_as_joblib_does(tmp_path, extension, compress):
    ours, theirs = str(tmp_path / f"ours{extension}"), str(tmp_path / f"theirs{extension}")
    joblib.dump(VALUE, theirs, compress=compress)
    retain.dump(VALUE, ours, compress=compress)
    assert codec_of(ours) == codec_of(theirs)
    check(retain.load(ours))


@pytest.mark.parametrize("name", MAGICS)
def test_each_codec_by_name_by_extension_and_with_a_level(tmp_path, name):
    for path, compress in [
        ("by_name", name),
        ("by_level", (name, 1)),
        ("by_highest", (name, 9)),
        ("by_extension" + EXTENSIONS[name], 0),
        ("both" + EXTENSIONS[name], 5),
        ("no_pathlib.z", name),
    ]:
        retain.dump(VALUE, tmp_path / path, compress=compress)
        assert codec_of(tmp_path / path) == name
        check(retain.load(tmp_path / path))


def test_zstd_has_levels_up_to_22(tmp_path):
    path = tmp_path / "file.zst"
    retain.dump(VALUE, path, compress=("zstd", 22))
    assert codec_of(path) == "zstd"
    retain.dump(VALUE, path, compress=15)
    assert codec_of(path) == "zstd"
    with pytest.raises(ValueError, match="23"):
        retain.dump(VALUE, path, compress=("zstd", 23))
    with pytest.raises(ValueError, match="15"):
        retain.dump(VALUE, tmp_path / "file.gz", compress=15)


def test_a_higher_level_is_no_larger_and_level_0_is_no_compression(tmp_path):
    text = [f"{n} {n * n % 97}" for n in range(20_000)]
    for name in ("zlib", "gzip", "zstd"):
        sizes = []
        for level in (1, 9):
            retain.dump(text, tmp_path / "file", compress=(name, level))
            sizes.append((tmp_path / "file").stat().st_size)
        assert sizes[0] > sizes[1]
        retain.dump(text, tmp_path / "file", compress=(name, 0))
        assert codec_of(tmp_path / "file") is None


def test_compressed_files_are_what_the_tools_of_their_codecs_read(tmp_path):
    plain = tmp_path / "plain"
    retain.dump(["text" * 1000, b"x" * 10_000], plain)
    readers = {
        "zlib": zlib.decompress,
        "gzip": gzip.decompress,
        "bz2": bz2.decompress,
        "xz": lzma.decompress,
        "lzma": lzma.decompress,
    }
    for name, decompress in readers.items():
        retain.dump(["text" * 1000, b"x" * 10_000], tmp_path / name, compress=name)
        assert pickle.loads(decompress((tmp_path / name).read_bytes())) == pickle.loads(plain.read_bytes())


@pytest.mark.parametrize(
    "compress",
    [
        10,
        -1,
        100,
        "unknown",
        "",
        "GZIP",
        ("unknown", 3),
        ("zlib", 10),
        ("zlib", -1),
        ("zlib",),
        ("zlib", 3, 1),
        (),
        (3, 3),
        2.5,
        "3",
        ("zlib", "3"),
        ["zlib", 3],
        {},
        b"zlib",
        object(),
    ],
)
def test_a_compress_that_makes_no_sense_is_refused_before_the_file_is_touched(tmp_path, compress):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="[Cc]ompress"):
        retain.dump(VALUE, path, compress=compress)
    assert path.read_bytes() == b"old"
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("filename", [1, None, b"file", object(), ["file"], 2.5, io.BytesIO])
def test_a_filename_that_is_neither_path_nor_file_is_refused(filename):
    with pytest.raises((ValueError, TypeError)):
        retain.dump(VALUE, filename)


@pytest.mark.parametrize(("protocol", "error"), [(6, ValueError), ("2", TypeError), (2.0, TypeError), (b"", TypeError)])
def test_a_protocol_that_is_none_is_refused(tmp_path, protocol, error):
    with pytest.raises(error, match="protocol"):
        retain.dump(VALUE, tmp_path / "file", protocol=protocol)
    assert listing(tmp_path) == []


def test_missing_arguments_and_unknown_ones_are_refused():
    with pytest.raises(TypeError):
        retain.dump(VALUE)
    with pytest.raises(TypeError):
        retain.dump(VALUE, io.BytesIO(), 0, 5, True)
    with pytest.raises(TypeError):
        retain.dump(VALUE, io.BytesIO(), nonsense=1)


@pytest.mark.parametrize("protocol", [None, -1, 0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("compress", [0, "zlib", "zstd"])
def test_protocols_are_pickles_own(tmp_path, protocol, compress):
    path = tmp_path / "file"
    retain.dump(VALUE, path, protocol=protocol, compress=compress)
    check(retain.load(path))
    if not compress:
        content = path.read_bytes()
        check(pickle.loads(content))
        if protocol in (0, 1):
            assert content[:1] != b"\x80"
        else:
            assert content[:2] == bytes([0x80, 5 if protocol in (None, -1) else protocol])


# What is shared


def test_what_is_shared_inside_is_written_once_and_shared_again(tmp_path):
    array = np.random.default_rng(0).random(100_000)
    frame = pd.DataFrame({"x": array[:1000], "y": list("ab") * 500})
    shared = ["text"]
    value = [array, array, {"again": array}, frame, frame, shared, (shared, shared)]
    retain.dump(value, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size < 1.1 * array.nbytes
    for loaded in (retain.load(tmp_path / "file"), pickle.loads((tmp_path / "file").read_bytes())):
        assert loaded[0] is loaded[1] is loaded[2]["again"]
        assert loaded[3] is loaded[4]
        assert loaded[5] is loaded[6][0] is loaded[6][1]
        assert np.array_equal(loaded[0], array)
        assert loaded[3].equals(frame)


def test_what_contains_itself_does_so_again(tmp_path):
    class Holder(types.SimpleNamespace):
        pass

    itself = [np.arange(10)]
    itself.append(itself)
    mapping = {}
    mapping["self"] = mapping
    objects = np.empty(2, object)
    objects[0], objects[1] = objects, itself
    space = types.SimpleNamespace(array=np.ones(3))
    space.space = space
    retain.dump([itself, mapping, objects, space], tmp_path / "file")
    loaded = retain.load(tmp_path / "file")
    assert loaded[0][1] is loaded[0]
    assert np.array_equal(loaded[0][0], np.arange(10))
    assert loaded[1]["self"] is loaded[1]
    assert loaded[2][0] is loaded[2]
    assert loaded[2][1] is loaded[0]
    assert loaded[3].space is loaded[3]


def test_the_same_bytes_each_time(tmp_path):
    for compress in (0, "gzip", "zstd", "xz"):
        for path in ("one", "other"):
            retain.dump(VALUE["b"], tmp_path / path, compress=compress)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


# File objects


class Unseekable:
    """What a socket or a pipe is: it has `write` and nothing else."""

    def __init__(self):
        self.parts = []

    def write(self, data):
        self.parts.append(bytes(data))

    def content(self):
        return b"".join(self.parts)


class Sluggish(io.RawIOBase):
    """A raw file that takes a few bytes at a time."""

    def __init__(self):
        super().__init__()
        self.taken = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.taken += data[:1000]
        return min(len(data), 1000)


@pytest.mark.parametrize("compress", [0, 3, "gzip", "bz2", "xz", "lzma", "lz4", "zstd"])
def test_any_object_with_a_method_write(compress):
    memory, pipe, slow = io.BytesIO(), Unseekable(), Sluggish()
    for target in (memory, pipe, slow):
        retain.dump(VALUE, target, compress=compress)
    check(retain.load(io.BytesIO(memory.getvalue())))
    check(retain.load(io.BytesIO(pipe.content())))
    check(retain.load(io.BytesIO(bytes(slow.taken))))


@pytest.mark.parametrize("opened", [gzip.open, bz2.open, lzma.open])
def test_the_compressed_files_of_the_standard_library(tmp_path, opened):
    with opened(tmp_path / "file", "wb") as file:
        retain.dump(VALUE, file)
    with opened(tmp_path / "file", "rb") as file:
        check(retain.load(file))
    check(retain.load(tmp_path / "file"))


@pytest.mark.parametrize("buffering", [0, -1])
def test_several_dumps_in_one_file(tmp_path, buffering):
    values = [np.arange(1000), "text", {"x": np.ones((3, 4), order="F")}, 7, np.zeros(100_000)]
    with (tmp_path / "file").open("wb", buffering=buffering) as file:
        for value in values:
            retain.dump(value, file)
        end = file.tell()
    assert (tmp_path / "file").stat().st_size == end
    for read in (retain.load, pickle.load):
        with (tmp_path / "file").open("rb", buffering=buffering) as file:
            loaded = [read(file) for _ in values]
            assert file.read() == b""
        assert np.array_equal(loaded[0], values[0])
        assert loaded[1] == "text"
        assert np.array_equal(loaded[2]["x"], np.ones((3, 4)))
        assert loaded[3] == 7
        assert np.array_equal(loaded[4], values[4])


def test_a_dump_begins_where_the_file_object_stands():
    file = io.BytesIO()
    file.write(b"before")
    retain.dump(VALUE, file)
    file.write(b"after")
    assert file.getvalue().startswith(b"before\x80\x05")
    file.seek(6)
    check(retain.load(file))
    assert file.read() == b"after"


def test_over_a_socket():
    one, other = socket.socketpair()
    received = []

    def receive():
        with other, other.makefile("rb") as file:
            received.extend(retain.load(file) for _ in range(3))

    thread = threading.Thread(target=receive)
    thread.start()
    with one, one.makefile("wb") as file:
        for _ in range(3):
            retain.dump({**VALUE, "b": np.arange(1000.0)}, file)
    thread.join()
    assert len(received) == 3
    for value in received:
        check(value)


def test_through_a_pipe():
    reading, writing = os.pipe()
    received = []

    def receive():
        with os.fdopen(reading, "rb", buffering=0) as file:
            received.append(retain.load(file))

    thread = threading.Thread(target=receive)
    thread.start()
    with os.fdopen(writing, "wb", buffering=0) as file:
        retain.dump({**VALUE, "large": np.ones(1_000_000)}, file)
    thread.join()
    check(received[0])
    assert received[0]["large"].sum() == 1_000_000


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), RuntimeError("no"), KeyboardInterrupt(), SystemExit(3)]
)
@pytest.mark.parametrize("compress", [0, "gzip", "zstd"])
def test_what_a_file_object_raises_comes_out_as_it_is(error, compress):
    class Failing:
        def write(self, data):
            raise error

    with pytest.raises(type(error)) as raised:
        retain.dump(np.random.default_rng(0).random(500_000), Failing(), compress=compress)
    assert raised.value is error


def test_a_closed_file_and_a_text_file_and_one_to_read_are_errors(tmp_path):
    file = io.BytesIO()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        retain.dump(VALUE, file)
    with pytest.raises(TypeError):
        retain.dump(VALUE, io.StringIO())
    (tmp_path / "file").write_bytes(b"old")
    with (tmp_path / "file").open("rb") as file, pytest.raises(OSError, match="write"):
        retain.dump(VALUE, file)
    assert (tmp_path / "file").read_bytes() == b"old"


# By value


def test_functions_and_classes_that_cannot_be_imported_on_request(tmp_path):
    pytest.importorskip("cloudpickle")
    factor = 3

    class Local:
        def __init__(self, array):
            self.array = array

        def doubled(self):
            return self.array * 2

    value = [lambda x: x * factor, Local(np.arange(1000)), np.arange(5)]
    for protocol in (None, 2, 4):
        retain.dump(value, tmp_path / "file", protocol=protocol, cloudpickle=True)
        loaded = retain.load(tmp_path / "file")
        assert loaded[0](2) == 6
        assert loaded[1].doubled()[4] == 8
        assert loaded[2].tolist() == [0, 1, 2, 3, 4]


def test_arrays_are_beside_the_opcodes_by_value_too(tmp_path):
    pytest.importorskip("cloudpickle")
    array = np.arange(10_000.0)
    retain.dump([lambda: 1, array, array], tmp_path / "file", cloudpickle=True)
    loaded = retain.load(tmp_path / "file", mmap_mode="r")
    assert type(loaded[1]) is np.memmap
    assert loaded[1] is loaded[2]


def test_without_the_request_it_is_advised(tmp_path):
    for value in (lambda: 1, type("Local", (), {})(), print.__class__):
        if value is print.__class__:
            continue
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError)) as raised:
            retain.dump(value, tmp_path / "file")
        assert not (tmp_path / "file").exists()
    with pytest.raises((pickle.PicklingError, AttributeError)) as raised:
        retain.dump(lambda: 1, tmp_path / "file")
    assert any("cloudpickle=True" in note for note in raised.value.__notes__)


def test_cloudpickle_that_is_not_installed_is_an_import_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(ImportError):
        retain.dump(VALUE, tmp_path / "file", cloudpickle=True)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert listing(tmp_path) == ["file"]


# Progress


class Bar:
    """Stands for tqdm's."""

    made: list[Bar]

    def __init__(self, **options):
        self.n, self.closed, self.options = 0, False, options
        self.steps = []
        Bar.made.append(self)

    def update(self, count):
        self.n += count
        self.steps.append(count)

    def close(self):
        self.closed = True


@pytest.fixture
def tqdm(monkeypatch):
    Bar.made = []
    package, auto = types.ModuleType("tqdm"), types.ModuleType("tqdm.auto")
    auto.tqdm = package.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", package)
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    return Bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


LARGE = np.zeros(100 << 20, np.uint8)


@pytest.mark.parametrize("compress", [0, ("zstd", 1)])
def test_progress_is_shown_by_tqdm(tmp_path, tqdm, compress):
    retain.dump([LARGE, 1], tmp_path / "file", compress=compress, progress=True)
    (bar,) = tqdm.made
    assert bar.closed
    assert len(bar.steps) >= 3
    assert min(bar.steps) >= 0
    assert 64 << 20 <= bar.n <= LARGE.nbytes + 4096
    assert bar.options["unit"] == "B"


def test_a_strided_array_shows_progress_too(tmp_path, tqdm):
    retain.dump(LARGE[::2], tmp_path / "file", progress=True)
    (bar,) = tqdm.made
    assert len(bar.steps) >= 3
    assert bar.n <= LARGE.nbytes


def test_the_bar_is_closed_when_the_dump_fails(tmp_path, tqdm):
    with pytest.raises(RuntimeError, match="not to be"):
        retain.dump([LARGE, Unpicklable()], tmp_path / "file", progress=True)
    assert tqdm.made[0].closed


def test_without_tqdm_a_line_on_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    retain.dump(LARGE, tmp_path / "file", progress=True)
    assert "MiB" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


def test_without_tqdm_and_without_a_terminal_nothing_is_shown(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys, "stderr", silent := io.StringIO())
    retain.dump(LARGE, tmp_path / "file", progress=True)
    assert silent.getvalue() == ""


# Failing and interrupted dumps


@pytest.mark.parametrize("compress", [0, "gzip", "zstd", "lz4"])
@pytest.mark.parametrize("protocol", [None, 2])
@pytest.mark.parametrize("culprit", [Unpicklable(), Interrupting(), threading.Lock(), lambda: 1])
def test_a_dump_that_fails_leaves_everything_as_it_was(tmp_path, compress, protocol, culprit):
    value = [np.ones(100_000), "x" * 100_000, culprit, np.zeros(1000)]
    with pytest.raises((RuntimeError, KeyboardInterrupt, TypeError, pickle.PicklingError, AttributeError)):
        retain.dump(value, tmp_path / "new", compress=compress, protocol=protocol)
    assert listing(tmp_path) == []
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises((RuntimeError, KeyboardInterrupt, TypeError, pickle.PicklingError, AttributeError)):
        retain.dump(value, tmp_path / "old", compress=compress, protocol=protocol)
    assert listing(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_ctrl_c_while_a_large_array_is_written(tmp_path, tqdm, monkeypatch):
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(Bar, "update", lambda self, count: _thread.interrupt_main())
    with pytest.raises(KeyboardInterrupt):
        retain.dump(LARGE, tmp_path / "file", progress=True)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert listing(tmp_path) == ["file"]


def test_a_signal_while_opcodes_are_written(tmp_path):
    def ring(number, frame):
        raise TimeoutError

    class Large:
        def __reduce__(self):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            return list, ([list(range(n, n + 10)) for n in range(2_000_000, 5_000_000, 10)],)

    before = signal.signal(signal.SIGALRM, ring)
    gc.disable()  # else the signal may be raised in somebody's gc callback, which swallows it
    try:
        with pytest.raises(TimeoutError):
            retain.dump([Large() for _ in range(100)], tmp_path / "file")
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert listing(tmp_path) == []


def test_a_process_that_is_killed_leaves_the_old_file_whole(tmp_path):
    # A process that forks others, each of which dumps again and again until it is killed.
    program = textwrap.dedent("""
        import os, random, signal, sys, time
        import numpy as np
        import retain

        path = sys.argv[1]
        random.seed(4)
        values = [[np.full(300_000 + n, n, "f8"), "text" * 1000, n] for n in range(4)]
        for turn in range(24):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                n = 0
                while True:
                    retain.dump(values[n % 4], path, compress=(0, 0, ("zstd", 1), ("gzip", 1))[turn % 4])
                    n += 1
                    if n == 1:
                        os.write(writing, b"x")
            os.read(reading, 1)
            time.sleep(random.random() * 0.05)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            array, text, n = retain.load(path)
            assert len(array) == 300_000 + n and (array == n).all() and text == "text" * 1000
            # The name that a whole file has for a moment before it takes the place of the old one.
            left = [name for name in os.listdir(os.path.dirname(path)) if name != os.path.basename(path)]
            assert len(left) <= 1, left
            for name in left:
                print(name)
                os.unlink(os.path.join(os.path.dirname(path), name))
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "file")], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    # That moment is short.
    assert len(done.stdout.split()) <= 2


def test_a_dump_within_a_dump(tmp_path):
    class Saving:
        def __reduce__(self):
            retain.dump([np.ones(1000)], tmp_path / "inner")
            retain.dump("inner", tmp_path / "outer")
            return str, ("outer",)

    retain.dump([np.zeros(1000), Saving()], tmp_path / "outer")
    assert retain.load(tmp_path / "inner")[0].sum() == 1000
    assert retain.load(tmp_path / "outer")[1] == "outer"
    assert listing(tmp_path) == ["inner", "outer"]


def test_threads_that_dump_to_one_path_leave_one_of_their_files(tmp_path):
    def save(n):
        for _ in range(20):
            retain.dump([np.full(10_000, n), n], tmp_path / "file", compress=("zstd", 1) if n % 2 else 0)

    threads = [threading.Thread(target=save, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with contextlib.suppress(FileNotFoundError):
            array, n = retain.load(tmp_path / "file")
            assert (array == n).all()
    for thread in threads:
        thread.join()
    assert listing(tmp_path) == ["file"]


def test_a_pickler_that_tells_a_lie_about_a_buffer_does_not_break_the_file(tmp_path):
    class Shrinking:
        """Its bytes change while it is written."""

        def __init__(self):
            self.content = bytearray(b"x" * 1000)

        def __reduce_ex__(self, protocol):
            return bytearray, (pickle.PickleBuffer(self.content),)

    retain.dump(Shrinking(), tmp_path / "file")
    assert retain.load(tmp_path / "file") == bytearray(b"x" * 1000)


# Places


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(Path("folder") / "file")
    (tmp_path / "second").symlink_to("link")
    retain.dump(VALUE, tmp_path / "second")
    assert (tmp_path / "second").is_symlink()
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "folder" / "file").is_symlink()
    check(retain.load(tmp_path / "folder" / "file"))
    assert listing(tmp_path / "folder") == ["file"]


def test_a_link_to_nothing_makes_what_it_leads_to(tmp_path):
    (tmp_path / "link").symlink_to("file")
    retain.dump(VALUE, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    check(retain.load(tmp_path / "file"))


def test_links_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    with pytest.raises(OSError, match="link"):
        retain.dump(VALUE, tmp_path / "one")
    assert listing(tmp_path) == ["one", "other"]


@pytest.mark.parametrize("compress", [0, "gzip"])
def test_permissions_stay_and_new_files_have_those_of_the_mask(tmp_path, compress):
    path = tmp_path / "file"
    for mask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        before = os.umask(mask)
        try:
            retain.dump(VALUE, path, compress=compress)
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o7777 == mode
        path.unlink()
    path.write_bytes(b"")
    for mode in (0o640, 0o600, 0o755, 0o666):
        path.chmod(mode)
        retain.dump(VALUE, path, compress=compress)
        assert path.stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_protected_files_and_folders_are_permission_errors(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        retain.dump(VALUE, path)
    path.chmod(0o644)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            retain.dump(VALUE, tmp_path / "new")
    finally:
        tmp_path.chmod(0o755)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("compress", [0, "gzip", "zstd"])
def test_places_where_no_file_can_be_are_os_errors_that_name_them(tmp_path, compress):
    (tmp_path / "file").write_bytes(b"old")
    for path, error in [
        (tmp_path, IsADirectoryError),
        (tmp_path / "missing" / "file", FileNotFoundError),
        (tmp_path / "file" / "below", NotADirectoryError),
        (tmp_path / ("x" * 300), OSError),
        ("", FileNotFoundError),
    ]:
        with pytest.raises(error) as raised:
            retain.dump(VALUE, path, compress=compress)
        assert raised.value.filename == str(path)
        assert raised.value.errno
    with pytest.raises(ValueError, match="nul|null"):
        retain.dump(VALUE, str(tmp_path / "a\0b"))
    assert listing(tmp_path) == ["file"]


def test_devices_and_pipes_are_written_in_place(tmp_path):
    assert retain.dump(VALUE, "/dev/null") == ["/dev/null"]
    assert retain.dump(VALUE, "/dev/null", compress="zstd") == ["/dev/null"]
    assert Path("/dev/null").is_char_device()
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for compress in (0, "gzip"):
        received = []
        thread = threading.Thread(target=lambda received=received: received.append(path.read_bytes()))
        thread.start()
        retain.dump(VALUE, path, compress=compress)
        thread.join()
        check(retain.load(io.BytesIO(received[0])))
    assert path.is_fifo()


def test_a_pipe_by_its_path_is_loaded(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    thread = threading.Thread(target=retain.dump, args=(VALUE, path))
    thread.start()
    check(retain.load(path))
    thread.join()


# Memory


MEASURE = """
import os, sys
import numpy as np
import retain

def memory(what):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(what))

path, verb, compress, kind = sys.argv[1:]
compress = 0 if compress == "0" else (compress, 1)
retain.load(retain.dump(np.ones(1000), path + "small", compress=compress)[0])
value = None
if verb == "dump":
    value = np.full((5000, 5000), 1.5)
    value = {"C": value, "F": np.asfortranarray(value) if kind == "F" else value, "strided": value[:, ::2]}[kind]
before = memory("VmHWM" if verb == "dump" else "VmRSS")
if verb == "dump":
    retain.dump(value, path, compress=compress)
else:
    value = retain.load(path)
    before += value.nbytes
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no place to look memory up")
@pytest.mark.parametrize(("compress", "kind"), [("0", "C"), ("0", "F"), ("0", "strided"), ("zstd", "C")])
def test_a_large_array_takes_16_mb_more_at_most(tmp_path, compress, kind):
    for verb in ("dump", "load"):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(tmp_path / "file"), verb, compress, kind],
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
        )
        assert int(done.stdout) <= 16 << 20, (verb, int(done.stdout))


# Codecs of the users


@pytest.fixture
def registry():
    before = dict(compressors._registered)
    yield retain.register_compressor
    compressors._registered.clear()
    compressors._registered.update(before)


class Xored:
    """A codec that is none of the built-in ones: a file object over another."""

    prefix = b"XOR!"

    def __init__(self, file, mode, compresslevel=None):
        self.file, self.mode, self.level = file, mode, compresslevel
        if mode == "wb":
            file.write(self.prefix)
        else:
            assert file.read(4) == self.prefix

    def write(self, data):
        self.file.write(bytes(byte ^ 0x55 for byte in data))
        return len(data)

    def read(self, size=-1):
        return bytes(byte ^ 0x55 for byte in self.file.read(size))

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")

    def tell(self):
        raise io.UnsupportedOperation("tell")

    def close(self):
        self.mode = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def test_a_registered_codec_by_name_by_extension_and_by_prefix(tmp_path, registry):
    registry("xored", compressors.CompressorWrapper(Xored, prefix=b"XOR!", extension=".xor"))
    for name, compress in (("by_name", "xored"), ("by_level", ("xored", 3)), ("by_extension.xor", 0)):
        assert retain.dump(VALUE, tmp_path / name, compress=compress) == [str(tmp_path / name)]
        assert (tmp_path / name).read_bytes()[:4] == b"XOR!"
        check(retain.load(tmp_path / name))
    file = io.BytesIO()
    assert retain.dump(VALUE, file, compress="xored") is None
    assert not file.closed
    assert file.getvalue()[:4] == b"XOR!"


def test_joblibs_wrappers_register_as_they_are(tmp_path, registry):
    from joblib.compressor import GzipCompressorWrapper

    registry("their-gzip", GzipCompressorWrapper())
    retain.dump(VALUE, tmp_path / "file", compress=("their-gzip", 1))
    assert codec_of(tmp_path / "file") == "gzip"
    check(retain.load(tmp_path / "file"))
    check(joblib.load(tmp_path / "file"))


def test_gzips_own_file_type_registers(tmp_path, registry):
    registry("plain-gzip", compressors.CompressorWrapper(gzip.GzipFile and gzip_file, prefix=b"\x1f\x8b"))
    retain.dump(VALUE, tmp_path / "file", compress="plain-gzip")
    check(pickle.loads(gzip.decompress((tmp_path / "file").read_bytes())))


class gzip_file(gzip.GzipFile):
    def __init__(self, file, mode, compresslevel=9):
        super().__init__(fileobj=file, mode=mode, compresslevel=compresslevel)


def test_names_are_taken_once_but_by_force(tmp_path, registry):
    wrapper = compressors.CompressorWrapper(Xored, prefix=b"XOR!")
    for taken in ("zlib", "gzip", "zstd"):
        with pytest.raises(ValueError, match="already registered"):
            registry(taken, wrapper)
    registry("xored", wrapper)
    with pytest.raises(ValueError, match="already registered"):
        registry("xored", wrapper)
    registry("xored", wrapper, force=True)
    registry("zlib", wrapper, force=True)
    retain.dump(VALUE, tmp_path / "file", compress="zlib")
    assert (tmp_path / "file").read_bytes()[:4] == b"XOR!"
    check(retain.load(tmp_path / "file"))


def test_what_is_no_codec_is_refused(registry):
    for name, codec in [
        (1, compressors.CompressorWrapper(Xored)),
        ("x", object()),
        ("x", None),
        ("x", compressors.CompressorWrapper(object)),
        ("x", compressors.CompressorWrapper(Path)),
    ]:
        with pytest.raises(ValueError):
            registry(name, codec)
    with pytest.raises(ValueError, match="compression method"):
        retain.dump(VALUE, io.BytesIO(), compress="x")


class FailingToWrite(Xored):
    def write(self, data):
        raise RuntimeError("hostile")


class FailingToClose(Xored):
    def __exit__(self, *_):
        raise RuntimeError("hostile")


class FailingToOpen(Xored):
    def __init__(self, *_, **__):
        raise RuntimeError("hostile")


class Lying(Xored):
    def write(self, data):
        super().write(data)
        return 10**9


class Negative(Xored):
    def write(self, data):
        super().write(data)
        return -1


class Texting(Xored):
    def write(self, data):
        self.file.write("text")


class Swallowing(Xored):
    def write(self, data):
        return 0


class Seeking(Xored):
    def write(self, data):
        self.file.seek(0)


class Recursing(Xored):
    def write(self, data):
        return self.write(data)


@pytest.mark.parametrize(
    "factory",
    [FailingToWrite, FailingToClose, FailingToOpen, Texting, Swallowing, Seeking, Recursing],
)
def test_a_codec_that_fails_leaves_everything_as_it_was(tmp_path, registry, factory):
    registry("hostile", compressors.CompressorWrapper(factory, prefix=b"XOR!"))
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(Exception) as raised:
        retain.dump(VALUE, tmp_path / "file", compress="hostile")
    assert isinstance(raised.value, (RuntimeError, TypeError, OSError, AttributeError))
    assert (tmp_path / "file").read_bytes() == b"old"
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("factory", [Lying, Negative])
def test_how_much_a_codec_says_it_took_is_taken_with_care(tmp_path, registry, factory):
    registry("hostile", compressors.CompressorWrapper(factory, prefix=b"XOR!"))
    retain.dump(VALUE, tmp_path / "file", compress="hostile")
    check(retain.load(tmp_path / "file"))


class ReadingText(Xored):
    def read(self, size=-1):
        return "text"


class ReadingTooMuch(Xored):
    def read(self, size=-1):
        return b"x" * (size + 1)


class ReadingNothing(Xored):
    def read(self, size=-1):
        return b""


class ReadingNone(Xored):
    def read(self, size=-1):
        return None


class FailingToRead(Xored):
    def read(self, size=-1):
        raise RuntimeError("hostile")


@pytest.mark.parametrize("factory", [ReadingText, ReadingTooMuch, ReadingNothing, ReadingNone, FailingToRead])
def test_a_codec_that_cannot_read_is_an_error(tmp_path, registry, factory):
    registry("hostile", compressors.CompressorWrapper(factory, prefix=b"XOR!"))
    retain.dump(VALUE, tmp_path / "file", compress="hostile")
    with pytest.raises((RuntimeError, TypeError, OSError, BufferError, retain.CorruptFileError)) as raised:
        retain.load(tmp_path / "file")
    assert type(raised.value) is not EOFError


# The picklers by joblib's names


class Tree:
    def __init__(self, nodes):
        self.nodes = nodes

    def __reduce__(self):
        return Tree, (self.nodes,)


def reduce_as_other(tree):
    return Tree, (np.flip(tree.nodes).copy(),)


def test_a_pickler_with_a_dispatch_table():
    file = io.BytesIO()
    pickler = NumpyPickler(file)
    pickler.dispatch_table = copyreg.dispatch_table.copy()
    pickler.dispatch_table[Tree] = reduce_as_other
    pickler.dump([Tree(np.arange(10)), np.arange(3)])
    file.seek(0)
    loaded = retain.load(file)
    assert loaded[0].nodes.tolist() == list(range(9, -1, -1))
    assert loaded[1].tolist() == [0, 1, 2]


def test_the_dispatch_table_comes_before_arrays():
    file = io.BytesIO()
    pickler = NumpyPickler(file)
    pickler.dispatch_table = {np.ndarray: lambda array: (list, (array.tolist(),))}
    pickler.dump([np.arange(3)])
    assert retain.load(io.BytesIO(file.getvalue())) == [[0, 1, 2]]


def test_a_forest_pickled_as_scikit_learn_tests_it():
    tree = pytest.importorskip("sklearn.tree")
    from sklearn.tree._tree import Tree as CyTree

    def with_other_nodes(built):
        new, arguments, state = built.__reduce__()
        return new, arguments, {**state, "nodes": state["nodes"].astype(state["nodes"].dtype.newbyteorder(">"))}

    x = np.arange(20.0).reshape(-1, 1)
    y = (x[:, 0] > 7).astype(int)
    model = tree.DecisionTreeClassifier(random_state=0).fit(x, y)
    file = io.BytesIO()
    pickler = NumpyPickler(file)
    pickler.dispatch_table = copyreg.dispatch_table.copy()
    pickler.dispatch_table[CyTree] = with_other_nodes
    pickler.dump(model)
    file.seek(0)
    assert np.array_equal(retain.load(file).predict(x), y)


@pytest.mark.parametrize("protocol", [None, 2, 3, 4, 5])
def test_picklers_that_are_subclassed(protocol):
    class Counting(NumpyPickler):
        seen = 0

        def reducer_override(self, obj):
            self.seen += 1
            return super().reducer_override(obj)

        def persistent_id(self, obj):
            return None

    file = io.BytesIO()
    pickler = Counting(file, protocol=protocol)
    pickler.dump([Tree(np.arange(1000)), np.ones((3, 4), order="F")])
    assert pickler.seen
    loaded = retain.load(io.BytesIO(file.getvalue()))
    assert np.array_equal(loaded[0].nodes, np.arange(1000))
    assert loaded[1].flags.f_contiguous


def test_an_unpickler_whose_find_class_is_overridden(tmp_path):
    asked = []

    class Renaming(NumpyUnpickler):
        def find_class(self, module, name):
            asked.append((module, name))
            if name == "Tree":
                return types.SimpleNamespace(__name__="x").__class__ and (lambda nodes: ("renamed", nodes))
            return super().find_class(module, name)

    retain.dump([Tree(np.arange(5))], tmp_path / "file")
    joblib.dump([Tree(np.arange(5))], tmp_path / "theirs")
    for path in ("file", "theirs"):
        with (tmp_path / path).open("rb") as file:
            loaded = Renaming(str(tmp_path / path), file, ensure_native_byte_order=True).load()
        assert loaded[0][0] == "renamed"
        assert loaded[0][1].tolist() == [0, 1, 2, 3, 4]
    assert any(name == "Tree" for _, name in asked)


def test_a_pickler_that_fails_tells_why():
    with pytest.raises(RuntimeError, match="not to be pickled"):
        NumpyPickler(io.BytesIO()).dump([np.ones(10), Unpicklable()])
    with pytest.raises(ValueError, match="protocol"):
        NumpyPickler(io.BytesIO(), protocol=17)
