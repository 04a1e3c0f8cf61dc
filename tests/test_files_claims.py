"""What files claim about themselves counts only where it is so: seek tables, markers, first bytes, their own names."""

import ctypes
import io
import os
import pickle
import platform
import struct
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import joblib
import numpy as np
import pytest
import retain
from retain._files import compressors

VALUE = {"numbers": np.arange(1000.0), "texts": ["a", "b"]}


def check(value):
    assert np.array_equal(value["numbers"], VALUE["numbers"])
    assert value["texts"] == VALUE["texts"]


# Seek tables

SKIPPABLE = struct.pack("<I", 0x184D2A5E)


def frames_of(file):
    """The bytes of a zstd file before its seek table, and the lengths in the table: compressed, and of the content."""
    (count,) = struct.unpack("<I", file[-9:-5])
    table = len(file) - 9 - 8 * count
    return file[: table - 8], [struct.unpack_from("<II", file, table + 8 * place) for place in range(count)]


def with_table(frames, lengths, footer):
    entries = b"".join(struct.pack("<II", *each) for each in lengths)
    table = entries + struct.pack("<I", len(lengths)) + footer
    return frames + SKIPPABLE + struct.pack("<I", len(table)) + table


@pytest.fixture(scope="module")
def zstd(tmp_path_factory):
    path = tmp_path_factory.mktemp("zstd") / "file"
    value = np.random.default_rng(1).integers(0, 9, 6_000_000).astype("u1")
    retain.dump(value, path, compress="zstd")
    return value, path.read_bytes()


def test_a_seek_table_of_other_frames_is_not_believed(zstd, tmp_path):
    value, whole = zstd
    frames, lengths = frames_of(whole)
    assert len(lengths) > 3
    assert with_table(frames, lengths, whole[-5:]) == whole
    (a, b), (c, d), *rest = lengths
    for lie in (
        [(a + c, b + d), *rest],  # two frames for one
        [(a + c, b), *rest],  # and what the second holds for nothing
        [(a + c, d), *rest],
        [(a - 1, b), (c + 1, d), *rest],
        [(a, b), (0, 0), (c, d), *rest],
    ):
        path = tmp_path / "file"
        path.write_bytes(with_table(frames, lie, whole[-5:]))
        # As every reader has it that knows of no tables.
        assert np.array_equal(retain.load(path), value)
        assert np.array_equal(retain.safe_load(path), value)
        assert retain.scan(path).safe


def test_what_a_seek_table_passes_over_is_no_content_for_anybody(zstd, tmp_path):
    value, whole = zstd
    frames, lengths = frames_of(whole)
    (a, b), *rest = lengths
    hidden = SKIPPABLE + struct.pack("<I", 5) + b"extra"
    path = tmp_path / "file"
    path.write_bytes(with_table(frames[:a] + hidden + frames[a:], [(a + len(hidden), b), *rest], whole[-5:]))
    assert np.array_equal(retain.load(path), value)
    assert np.array_equal(retain.safe_load(path), value)


def test_lengths_in_a_seek_table_that_are_wrong_change_nothing(zstd, tmp_path):
    value, whole = zstd
    frames, lengths = frames_of(whole)
    (a, b), *rest, (y, z) = lengths
    path = tmp_path / "file"
    for lie in ([(a, b - 1), *rest, (y, z)], [(a, b + 1), *rest, (y, z)], [(a, b), *rest], [(a, b), *rest, (y, z + 1)]):
        path.write_bytes(with_table(frames, lie, whole[-5:]))
        # What goes by the table says that it is damaged.
        for load in (retain.load, retain.safe_load):
            try:
                found = load(path)
            except retain.CorruptFileError:
                continue
            assert np.array_equal(found, value)


# What looks like a trailer, or follows it

MARKERS = [b"retain\xb5\x00", b"retain\xb5\x01", b"retain\xff\x01", b"retain\x00\x01"]


def test_values_may_hold_what_announces_a_trailer(tmp_path):
    forged = [
        b"C" + bytes([8 + zeros]) + marker + bytes(zeros) + b"0" + start + struct.pack("<Q", length)
        for marker in MARKERS
        for zeros in (0, 20)
        for start in (b"\x8e", b"\x96")
        for length in (0, 8, 1 << 40)
    ]
    trailer = retain.dump([1], tmp_path / "other") and (tmp_path / "other").read_bytes()
    forged += [trailer, trailer[37:], trailer[:-2]]
    value = [forged, [bytearray(each) for each in forged], np.frombuffer(b"".join(forged), "u1").copy(), *forged]
    for compress in (0, "gzip", "zstd"):
        path = tmp_path / "file"
        retain.dump(value, path, compress=compress)
        whole = path.read_bytes()
        for found in (
            retain.load(path),
            retain.safe_load(path),
            retain.load(io.BytesIO(whole)),
            retain.load(Unseekable(whole)),
            retain.safe_load(Unseekable(whole)),
            joblib.load(path) if compress != "zstd" else value,
        ):
            assert found[0] == value[0]
            assert found[1] == value[1]
            assert np.array_equal(found[2], value[2])
            assert found[3:] == value[3:]


class Unseekable(io.RawIOBase):
    """A file object as a socket or a pipe gives it."""

    def __init__(self, data):
        self._below = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._below.readinto(memoryview(buffer)[:700])


def test_nothing_but_a_signature_follows_the_trailer(tmp_path):
    path = tmp_path / "file"
    retain.dump(VALUE, path)
    whole = path.read_bytes()
    assert whole.endswith(b"0.")
    for tail in (b"N.", b"0]", b"0N0.", b"0C\x040000.", b"0]N0.", b"00.", b"0cos\ngetcwd\n)R."):
        path.write_bytes(whole[:-2] + tail)
        for load in (retain.load, retain.safe_load):
            with pytest.raises((retain.CorruptFileError, retain.UnsafeFileError)):
                load(path)
        assert not retain.scan(path).safe


# Pickles that look like other files


def test_a_pickle_that_looks_like_safetensors_is_not_run(tmp_path):
    mark = tmp_path / "mark"
    act = f"cbuiltins\nopen\n(S{str(mark)!r}\nS'w'\ntR.".encode()
    # Eight bytes that are a length, and a brace: for a pickle, bytes that are dropped.
    start = b"C\x07\x00\x00\x00\x00\x00\x00{"
    path = tmp_path / "file"
    for content in (start + b"0" + act, start[:-1] + b'{"a":' + b"0" * 3000):
        path.write_bytes(content)
        assert not retain.scan(path).safe
        for load in (retain.load, retain.safe_load):
            for given in (path, io.BytesIO(content)):
                with pytest.raises((retain.CorruptFileError, retain.UnsafeFileError)):
                    load(given)
        assert not mark.exists()
    pickle.loads(start + b"0" + act).close()
    assert mark.exists()


def test_a_pickle_that_begins_like_other_files_is_not_run(tmp_path):
    mark = tmp_path / "mark"
    act = f"cbuiltins\nopen\n(S{str(mark)!r}\nS'w'\ntR.".encode()
    path = tmp_path / "file"
    for start in (b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY", b"ZF", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"):
        path.write_bytes(start + act)
        assert not retain.scan(path).safe
        for load in (retain.load, retain.safe_load):
            with pytest.raises((retain.CorruptFileError, retain.UnsafeFileError, ValueError)):
                load(path)
        assert not mark.exists()


# Files whose system lets nothing be named

PLATFORM = {"x86_64": (0xC000003E, 265), "aarch64": (0xC00000B7, 37)}

NO_LINKS = """
import ctypes, errno, os, stat, struct, sys
arch, number = int(sys.argv[2]), int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)

def op(code, yes, no, k):
    return struct.pack("<HBBI", code, yes, no, k)

# What the kernel is told: linkat is not permitted, all else is.
program = (
    op(0x20, 0, 0, 4) + op(0x15, 0, 3, arch)
    + op(0x20, 0, 0, 0) + op(0x15, 0, 1, number)
    + op(0x06, 0, 0, 0x00050000 | errno.EPERM) + op(0x06, 0, 0, 0x7FFF0000)
)
held = ctypes.create_string_buffer(program, len(program))
filter = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(held))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(filter), 0, 0):
    print("not here")
    sys.exit()

import retain
folder = sys.argv[1]
path = os.path.join(folder, "file")
os.umask(0o027)
try:
    with open(os.path.join(folder, "one"), "w"):
        os.link(os.path.join(folder, "one"), os.path.join(folder, "two"), follow_symlinks=False)
except PermissionError:
    os.remove(os.path.join(folder, "one"))
else:
    sys.exit("linkat is still there")
for value in ([1, 2], list(range(100_000)), [3]):
    retain.dump(value, path)
    assert retain.load(path) == value
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640, oct(os.stat(path).st_mode)
    assert os.listdir(folder) == ["file"], os.listdir(folder)

class Fails:
    def __reduce__(self):
        raise ZeroDivisionError

try:
    retain.dump([bytes(100_000), Fails()], path)
except ZeroDivisionError:
    pass
assert retain.load(path) == [3]
assert os.listdir(folder) == ["file"], os.listdir(folder)
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() not in PLATFORM, reason="a filter of Linux")
@pytest.mark.skipif(ctypes.sizeof(ctypes.c_void_p) != 8, reason="a filter for 64 bits")
def test_where_links_are_not_permitted_files_appear_all_the_same(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(NO_LINKS), str(tmp_path), *map(str, PLATFORM[platform.machine()])],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    if ended.stdout == "not here\n":
        pytest.skip("no filters in here")


# Codecs of users, where nothing can be gone back to


class Xored:
    """A codec over a file object that it only writes to, or reads from, in order."""

    prefix = b"XOR!"

    def __init__(self, file, mode, compresslevel=None):
        self._file = file
        if mode == "wb":
            file.write(self.prefix)
        else:
            assert file.read(4) == self.prefix

    def write(self, data):
        self._file.write(bytes(byte ^ 0x55 for byte in bytes(data)))
        return len(data)

    def read(self, size=-1):
        return bytes(byte ^ 0x55 for byte in self._file.read(size))

    def seek(self, *_):
        raise io.UnsupportedOperation

    tell = seek

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def xored(monkeypatch):
    monkeypatch.setattr(compressors, "_registered", {})
    retain.register_compressor("xored", compressors.CompressorWrapper(Xored, prefix=b"XOR!", extension=".xor"))


PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")


@PIPES
def test_codecs_of_users_write_into_pipes(tmp_path, xored):
    path = tmp_path / "pipe.xor"
    os.mkfifo(path)
    received = []
    for compress in ("xored", 0):
        thread = threading.Thread(target=lambda: received.append(path.read_bytes()))
        thread.start()
        retain.dump(VALUE, path, compress=compress)
        thread.join(50)
    assert path.is_fifo()
    for content in received:
        assert content.startswith(b"XOR!")
        check(pickle.loads(bytes(byte ^ 0x55 for byte in content[4:])))
        (tmp_path / "file").write_bytes(content)
        check(retain.load(tmp_path / "file"))


@PIPES
@pytest.mark.parametrize("options", [{"compress": "xored"}, {}, {"compress": "gzip"}, {"protocol": 0}])
def test_pipes_are_loaded_where_codecs_are_registered(tmp_path, xored, options):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for value in (VALUE, {"numbers": VALUE["numbers"], "texts": ["a", "b"], "more": "XOR!" * 1000}):
        thread = threading.Thread(target=retain.dump, args=(value, path), kwargs=options)
        thread.start()
        check(retain.load(path))
        thread.join(50)


def test_codecs_of_users_are_found_in_file_objects(tmp_path, xored):
    file = io.BytesIO()
    retain.dump(VALUE, file, compress="xored")
    content = file.getvalue()
    # As it was just written, and as it is read again.
    for given in (file, io.BytesIO(content), io.BufferedReader(io.BytesIO(content))):
        check(retain.load(given))
        assert not given.closed
    behind = io.BytesIO(b"before" + content)
    behind.seek(6)
    check(retain.load(behind))
    for other in (retain.dump(VALUE, tmp_path / "file"), joblib.dump(VALUE, tmp_path / "file", compress=3)):
        with Path(other[0]).open("rb") as opened:
            check(retain.load(opened))
    with pytest.warns(UserWarning, match="mmap_mode"):
        check(retain.load(io.BytesIO(content), mmap_mode="r"))
