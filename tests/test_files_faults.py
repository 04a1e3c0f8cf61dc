"""Files that are damaged, cut short, hostile or in the way: each is an error that says so, or the value as it was."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gc
import gzip
import io
import lzma
import os
import pickle
import random
import shutil
import subprocess
import sys
import textwrap
import types
import warnings
import zlib
from pathlib import Path

import files_corpus
import joblib
import numpy as np
import pytest
import retain
from extent import extent
from files_corpus import alike
from retain._retain import generate_key

CODECS = {"zlib": ".z", "gzip": ".gz", "bz2": ".bz2", "xz": ".xz", "lzma": ".lzma", "lz4": ".lz4", "zstd": ".zst"}
VALUE = {
    "array": np.arange(12.0).reshape(3, 4),
    "text": ["a", "text", 1.5, None, 10**30],
    "second": np.asfortranarray(np.ones((4, 5), "i2")),
    "twice": {"x": (1, 2, 3)},
}
# Longer than what is read at once, so that damage is met while arrays are loaded.
LONGER = {"one": np.random.default_rng(0).random(3000), "texts": [str(n) for n in range(300)], "other": np.arange(5000)}


def written(save, *arguments, **options):
    file = io.BytesIO()
    save(*arguments, file, **options)
    return file.getvalue()


def containers(value):
    """Return files of all containers, by name: those with checksums."""
    found = {"streamed": written(lambda file: retain.dump(value, file))}
    for codec in CODECS:
        found[f"streamed {codec}"] = written(lambda file, codec=codec: retain.dump(value, file, compress=codec))
    return found


@pytest.fixture
def files(tmp_path):
    """Return files of all containers, by name."""
    retain.dump(VALUE, tmp_path / "file")
    found = {"plain": (tmp_path / "file").read_bytes()}
    for codec in CODECS:
        retain.dump(VALUE, tmp_path / "file", compress=codec)
        found[codec] = (tmp_path / "file").read_bytes()
    (tmp_path / "file").unlink()
    return {**found, **containers(VALUE)}


def fail_or_equal(path, value=VALUE):
    """Load a damaged file; True if that is an error, False if the value is as it was."""
    try:
        loaded = retain.load(path)
    except retain.CorruptFileError as error:
        assert str(path) in str(error) or not isinstance(path, (str, Path))
        assert error.reason
        return True
    assert alike(value, loaded)
    return False


# Cut short


def test_each_cut_of_each_container_is_noticed(files, tmp_path):
    path = tmp_path / "cut"
    for name in ("plain", *CODECS, "streamed"):
        content = files[name]
        # zstd's table for random access follows the content, which is whole without it.
        missed = []
        for end in range(len(content)):
            path.write_bytes(content[:end])
            if not fail_or_equal(path):
                missed.append(end)
        assert len(missed) == (name == "zstd"), (name, missed)
        path.write_bytes(content)
        assert alike(VALUE, retain.load(path)), name


def test_each_cut_is_noticed_in_file_objects(files):
    for name, content in files.items():
        for end in range(len(content) % 3, len(content), 3):
            assert fail_or_equal(io.BytesIO(content[:end])), (name, end)


@pytest.mark.parametrize("protocol", range(5))
def test_each_cut_of_a_plain_pickle_is_noticed(tmp_path, protocol):
    content = pickle.dumps(VALUE, protocol)
    for end in range(len(content)):
        (tmp_path / "cut").write_bytes(content[:end])
        with pytest.raises(retain.CorruptFileError, match="cut"):
            retain.load(tmp_path / "cut")


@pytest.mark.parametrize("extension", ["", ".z", ".gz", ".bz2", ".xz", ".lzma"])
def test_each_cut_of_a_file_of_joblibs_is_noticed(tmp_path, extension):
    joblib.dump(VALUE, tmp_path / f"whole{extension}")
    content = (tmp_path / f"whole{extension}").read_bytes()
    for end in range(len(content)):
        (tmp_path / "cut").write_bytes(content[:end])
        with pytest.raises(retain.CorruptFileError, match="cut"):
            retain.load(tmp_path / "cut")


@pytest.mark.parametrize(
    "save", [np.save, lambda file, array: np.savez(file, a=array), lambda f, a: np.savez_compressed(f, a=a)]
)
def test_each_cut_of_numpys_files_is_noticed(tmp_path, save):
    file = io.BytesIO()
    save(file, np.arange(20))
    content = file.getvalue()
    for end in range(len(content)):
        (tmp_path / "cut").write_bytes(content[:end])
        with pytest.raises(retain.CorruptFileError, match="cut"):
            retain.load(tmp_path / "cut")


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_each_cut_is_noticed_where_the_file_is_mapped(tmp_path, mode):
    path = tmp_path / "cut"
    retain.dump(VALUE, path)
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(retain.CorruptFileError, match="cut"):
            retain.load(path, mmap_mode=mode)
        assert path.read_bytes() == content[:end]


def test_where_a_file_ends_is_told(tmp_path):
    path = tmp_path / "file"
    retain.dump([np.zeros(100_000)] + [np.full(100_000, n) for n in range(6)], path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 5 // 14])
    with pytest.raises(retain.CorruptFileError, match="in the middle of array 3 of 7") as raised:
        retain.load(path)
    assert str(raised.value).startswith(str(path))
    path.write_bytes(content[:-10])
    with pytest.raises(retain.CorruptFileError, match="cut short|ends"):
        retain.load(path)


def test_the_error_is_what_programs_expect_of_any_loader(tmp_path):
    (tmp_path / "file").write_bytes(b"\x80\x05")
    for kind in (pickle.UnpicklingError, ValueError, EOFError, retain.CorruptFileError):
        with pytest.raises(kind) as raised:
            retain.load(tmp_path / "file")
        assert type(raised.value) is retain.CorruptFileError
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.reason, again.filename) == (str(raised.value), raised.value.reason, raised.value.filename)


# Changed


def test_each_flipped_bit_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "flipped"
    retain.dump([np.arange(6), "text"], path)
    content = path.read_bytes()
    unnoticed = 0
    for at in range(len(content)):
        for bit in (1, 16, 128):
            damaged = bytearray(content)
            damaged[at] ^= bit
            path.write_bytes(damaged)
            unnoticed += not fail_or_equal(path, [np.arange(6), "text"])
    assert unnoticed < 40


def mutated(rng, content):
    """Return the bytes with one of the damages that files suffer."""
    content = bytearray(content)
    at = rng.randrange(len(content))
    how = rng.randrange(9)
    if how <= 2:
        content[at] ^= 1 << rng.randrange(8)
    elif how == 3:
        content[at] = rng.randrange(256)
    elif how == 4:
        end = min(at + rng.randrange(1, 20), len(content))
        content[at:end] = rng.randbytes(end - at)
    elif how == 5:
        del content[at : at + rng.randrange(1, 10)]
    elif how == 6:
        content[at:at] = rng.randbytes(rng.randrange(1, 10))
    elif how == 7:
        # Two neighbours that changed places.
        content[at : at + 16] = content[at + 8 : at + 16] + content[at : at + 8]
    else:
        content[at:] = bytes(len(content) - at)
    return bytes(content)


def test_ten_thousand_mutations_are_noticed_or_change_nothing(files, tmp_path):
    rng = random.Random(2026)
    path = tmp_path / "mutated"
    names = list(files)
    noticed = 0
    turns = extent(10_500, 1_500)
    for turn in range(turns):
        name = names[turn % len(names)]
        content = mutated(rng, files[name])
        if turn % 4:
            noticed += fail_or_equal(io.BytesIO(content))
        else:
            path.write_bytes(content)
            noticed += fail_or_equal(path)
    assert noticed > turns * 6 // 7


@pytest.mark.parametrize("compress", [0, "zstd", "gzip"])
def test_changed_bytes_of_large_arrays_are_noticed(tmp_path, compress):
    path = tmp_path / "file"
    value = [np.random.default_rng(0).integers(0, 255, 12_000_000, "u1"), np.ones(1_500_000), "end"]
    retain.dump(value, path, compress=(compress, 1) if compress else 0)
    content = path.read_bytes()
    rng = random.Random(5)
    for _ in range(4):
        damaged = bytearray(content)
        damaged[rng.randrange(1000, len(content) - 1000)] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(retain.CorruptFileError):
            retain.load(path)


def test_arrays_that_are_swapped_are_noticed(tmp_path):
    path = tmp_path / "file"
    retain.dump([np.zeros(100), np.ones(100)], path)
    content = path.read_bytes()
    one = content.index(np.ones(100).tobytes())
    zero = content.index(bytes(800))
    assert zero + 800 <= one
    swapped = content[:zero] + np.ones(100).tobytes() + content[zero + 800 : one] + bytes(800) + content[one + 800 :]
    path.write_bytes(swapped)
    with pytest.raises(retain.CorruptFileError, match="checksum"):
        retain.load(path)


def without_checksums():
    """Return files of others, by name."""
    # Without arrays: damaged types of theirs crash numpy itself, in any unpickler.
    plain = {**VALUE, "array": [0.5, {1, 2}], "second": b"bytes"}
    found = {f"protocol {protocol}": pickle.dumps(plain, protocol) for protocol in range(6)}
    found["joblib"] = written(lambda file: joblib.dump(VALUE, file))
    found["joblib gzip"] = written(lambda file: joblib.dump(VALUE, file, compress=("gzip", 3)))
    found["npy"] = written(lambda file: np.save(file, np.arange(20.0)))
    found["npz"] = written(lambda file: np.savez_compressed(file, a=np.arange(20.0), b=np.ones(3)))
    return found


def test_mutations_of_files_without_checksums_never_crash_hang_or_exhaust_memory(tmp_path):
    # In a process of its own with little memory, as damaged pickles may ask for any amount, and may call anything.
    for name, content in without_checksums().items():
        (tmp_path / name).write_bytes(content)
    program = textwrap.dedent("""
        import faulthandler, io, os, pickle, random, resource, sys, warnings
        faulthandler.dump_traceback_later(50, exit=True)
        sys.path.insert(0, sys.argv[2])
        import numpy as np
        import test_files_faults as here
        import retain

        warnings.simplefilter("ignore")
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        rng = random.Random(11)
        folder = sys.argv[1]
        kinds = {}
        for name in sorted(os.listdir(folder)):
            with open(f"{folder}/{name}", "rb") as file:
                content = file.read()
            for turn in range(300):
                damaged = here.mutated(rng, content)
                try:
                    retain.load(io.BytesIO(damaged))
                except Exception as error:
                    kind = type(error).__name__
                    kinds[kind] = kinds.get(kind, 0) + 1
                    if type(error) in (EOFError, MemoryError) or isinstance(error, OSError):
                        print(name, damaged.hex(), repr(error))
                        raise SystemExit(1)
        assert kinds["CorruptFileError"] > 500, kinds
        print(kinds)
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=58,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


# Other bytes


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_bytes_behind_the_end_are_noticed_and_nothing_hangs(tmp_path, codec):
    path = tmp_path / "file"
    retain.dump(VALUE, path, compress=codec or 0)
    content = path.read_bytes()
    for garbage in (b"\n", b"garbage", bytes(1000), content[:20], os.urandom(5000)):
        path.write_bytes(content + garbage)
        try:
            loaded = retain.load(path)
        except retain.CorruptFileError:
            continue
        assert alike(VALUE, loaded)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_streams_of_several_members_are_one(tmp_path, compress):
    retain.dump(VALUE, tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    for cuts in ([0, 10, 100], [0, len(content) - 1], [0, 0, 50, 50, 200]):
        parts = [content[start:end] for start, end in zip(cuts, [*cuts[1:], len(content)], strict=True)]
        members = b"".join(map(compress, parts))
        (tmp_path / "members").write_bytes(members)
        assert alike(VALUE, retain.load(tmp_path / "members"))
        assert alike(VALUE, retain.load(io.BytesIO(members)))
        assert alike(VALUE, retain.safe_load(tmp_path / "members"))


def test_the_codec_is_told_by_the_bytes_and_not_by_the_name(tmp_path):
    for codec in [None, *CODECS]:
        for extension in ["", ".pkl", ".npy", *CODECS.values()]:
            retain.dump(VALUE, tmp_path / "right", compress=codec or 0)
            (tmp_path / "right").replace(tmp_path / f"wrong{extension}")
            assert alike(VALUE, retain.load(tmp_path / f"wrong{extension}"))


@pytest.mark.parametrize("codec", CODECS)
def test_a_codecs_first_bytes_and_nonsense_behind_them(tmp_path, codec):
    retain.dump(VALUE, tmp_path / "file", compress=codec)
    content = (tmp_path / "file").read_bytes()
    rng = random.Random(6)
    for keep in (2, 3, 4, 6, 10, 14, 20):
        for length in (0, 1, 50, 5000):
            (tmp_path / "file").write_bytes(content[:keep] + rng.randbytes(length))
            with pytest.raises(retain.CorruptFileError):
                retain.load(tmp_path / "file")


@pytest.mark.parametrize(
    "content",
    [
        b"\n",
        b"\0",
        b"text\n",
        b"{}",
        b"\x80",
        b"\x80\x05",
        b"\x80\xff.",
        b".",
        b"(",
        b"<html></html>",
        b"PK",
        b"\x7fELF",
        b"\x93NUMPY",
        b"PK\x03\x04",
        b"ZF0x10",
        bytes(5000),
        b"\xff" * 5000,
        "ü".encode() * 100,
        b"import os\n",
    ],
)
def test_files_of_other_kinds(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(retain.CorruptFileError) as raised:
        retain.load(path)
    assert str(path) in str(raised.value)
    with pytest.raises((retain.CorruptFileError, retain.UnsafeFileError)) as raised:
        retain.safe_load(path)
    assert str(path) in str(raised.value)
    with pytest.raises(retain.CorruptFileError):
        retain.load(io.BytesIO(content))
    assert retain.scan(path).verdict in {"damaged", "unsafe"}


# Where there is no file


@pytest.mark.parametrize(
    "load", [retain.load, retain.safe_load, retain.scan, lambda path: retain.load(path, mmap_mode="r")]
)
def test_an_empty_file_a_folder_and_a_file_that_is_missing(tmp_path, load):
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    if load is retain.scan:
        assert load(empty).verdict == "damaged"
    else:
        with pytest.raises(retain.CorruptFileError, match="empty") as raised:
            load(empty)
        assert str(empty) in str(raised.value)
    for path, kind in [
        (tmp_path, IsADirectoryError),
        (tmp_path / "missing", FileNotFoundError),
        (empty / "below", NotADirectoryError),
        (tmp_path / ("x" * 300), OSError),
    ]:
        with pytest.raises(kind) as raised:
            load(path)
        assert raised.value.filename in {path, str(path)}
        assert raised.value.errno
    (tmp_path / "dangling").symlink_to("nothing")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "dangling")


@pytest.mark.parametrize("name", [1, None, b"file", 2.5, object(), ["file"]])
def test_names_that_are_none(name):
    for load in (retain.load, retain.safe_load):
        with pytest.raises((TypeError, ValueError, OSError)):
            load(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "file"
    retain.dump(VALUE, path)
    path.chmod(0)
    for load in (retain.load, retain.safe_load, retain.scan):
        with pytest.raises(PermissionError) as raised:
            load(path)
        assert raised.value.filename in {path, str(path)}


def test_a_process_without_rights_is_told_so(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    folder = Path("/tmp") / f"retain-rights-{os.getpid()}"  # noqa: S108  # nobody can enter pytest's
    folder.mkdir(mode=0o755)
    try:
        retain.dump(VALUE, folder / "file")
        (folder / "file").chmod(0o600)
        pid = os.fork()
        if pid == 0:
            status = 1
            with contextlib.suppress(BaseException):
                os.setuid(65534)
                refused = 0
                for act in (
                    lambda: retain.load(folder / "file"),
                    lambda: retain.dump(1, folder / "file"),
                    lambda: retain.dump(1, folder / "new"),
                    lambda: retain.safe_load(folder / "file"),
                ):
                    try:
                        act()
                    except PermissionError as error:
                        refused += str(error.filename).startswith(str(folder))
                status = 0 if refused == 4 else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert [path.name for path in folder.iterdir()] == ["file"]
    finally:
        shutil.rmtree(folder)


def test_file_objects_that_fail(tmp_path):
    class Failing(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError(errno.EIO, "broken")

        def read(self, size=-1):
            raise OSError(errno.EIO, "broken")

    for load in (retain.load, retain.safe_load):
        with pytest.raises(OSError, match="broken"):
            load(Failing())
    with pytest.raises((TypeError, BufferError)):
        retain.load(io.StringIO("text"))
    with pytest.raises(retain.CorruptFileError):
        retain.load(io.BytesIO())
    with pytest.raises(ValueError, match="closed"):
        file = io.BytesIO()
        file.close()
        retain.load(file)
    with (tmp_path / "file").open("wb") as file, pytest.raises(io.UnsupportedOperation):
        retain.load(file)


def test_a_file_object_that_breaks_in_the_middle():
    content = written(lambda file: retain.dump(LONGER, file))

    class Breaking:
        def __init__(self, after):
            self.file, self.after = io.BytesIO(content), after

        def read(self, size=-1):
            if self.file.tell() >= self.after:
                raise TimeoutError("too slow")
            return self.file.read(min(size, 997) if size >= 0 else 997)

    for after in range(0, len(content), 5000):
        with pytest.raises(TimeoutError, match="too slow"):
            retain.load(Breaking(after))
    assert alike(LONGER, retain.load(Breaking(len(content) + 1)))


# A full disk


FULL = """
import os, resource, signal, sys
import numpy as np
import retain

folder, limit, compress = sys.argv[1], int(sys.argv[2]), sys.argv[3]
path = folder + "/file"
retain.dump("old", path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
value = [np.random.default_rng(0).random(200_000), list(range(50_000)), np.ones(1000)[::2]]
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for name in ("file", "new"):
    try:
        retain.dump(value, folder + "/" + name, compress=int(compress) if compress.isdigit() else compress)
    except OSError as error:
        assert error.filename == folder + "/" + name, error
        assert error.errno, error
    else:
        raise SystemExit("it was written")
assert os.listdir(folder) == ["file"], os.listdir(folder)
assert retain.load(path) == "old"
"""


@pytest.mark.parametrize("compress", ["0", "gzip", "zstd", "lz4", "xz"])
@pytest.mark.parametrize("limit", [100, 4096, 1_000_000])
def test_a_disk_that_is_full_leaves_everything_as_it_was(tmp_path, limit, compress):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(limit), compress],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize("compress", [0, "gzip", "zstd"])
def test_a_device_that_is_full(compress):
    with pytest.raises(OSError) as raised:
        retain.dump(LONGER, "/dev/full", compress=compress)
    assert raised.value.errno == errno.ENOSPC
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(OSError) as raised:
        retain.dump(LONGER, file, compress=compress)
    assert raised.value.errno == errno.ENOSPC


# Bombs


LITTLE = """
import faulthandler, resource, sys, tempfile, warnings
faulthandler.dump_traceback_later(45, exit=True)
import numpy
import retain

warnings.simplefilter("ignore")
# Whatever is imported, is now.
with tempfile.NamedTemporaryFile() as file:
    retain.load(retain.dump([numpy.ones(1000)], file.name, compress="gzip")[0])
for act in (retain.load, retain.safe_load):
    try:
        act(__file__ if "__file__" in globals() else sys.executable)
    except (retain.CorruptFileError, retain.UnsafeFileError):
        pass
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (320 << 20), now + (320 << 20)))
verb, *paths = sys.argv[1:]
for path in paths:
    try:
        getattr(retain, verb)(path)
    except (retain.CorruptFileError, retain.UnsafeFileError) as error:
        assert path in str(error), error
        print(type(error).__name__)
    except MemoryError:
        # All of it is there, and more than there is memory for.
        assert verb == "safe_load" and "all there" in path, path
        print("UnsafeFileError")
    else:
        print("loaded")
"""


def with_little_memory(verb, *paths):
    done = subprocess.run(
        [sys.executable, "-c", LITTLE, verb, *map(str, paths)], capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lambda data: lzma.compress(data, preset=0)}


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    """Files of a few kilobytes that would be gigabytes, or say that they are."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, compress in COMPRESS.items():
        # Members of zeros, as many as there are bytes said to be.
        zeros = compress(bytes(16 << 20))
        for kind, said, there in (("all there", 512 << 20, 32), ("not there", 1 << 40, 4)):
            head = compress(b"\x80\x05\x8e" + said.to_bytes(8, "little"))
            (folder / f"{kind}.{name}").write_bytes(head + zeros * there + compress(b"."))
    lies = {
        "bytes": b"\x80\x05\x8e" + (1 << 62).to_bytes(8, "little") + b"x.",
        "bytearray": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"x.",
        "text": b"\x80\x05\x8d" + (1 << 40).to_bytes(8, "little") + b"x.",
        "old text": b"\x80\x02X" + (0xFFFFFFF0).to_bytes(4, "little") + b"x.",
        "old bytes": b"\x80\x03B" + (0xFFFFFFF0).to_bytes(4, "little") + b"x.",
        "int": b"\x80\x02\x8b" + (0x7FFFFFF0).to_bytes(4, "little") + b"x.",
        "memo": b"\x80\x02]r\xff\xff\xff\xff.",
        "memo in text": b"]p4294967000\n.",
        "frame": b"\x80\x05\x95" + (1 << 60).to_bytes(8, "little") + b"N.",
    }
    for name, content in lies.items():
        (folder / f"lie about {name}").write_bytes(content)
    return folder


@pytest.mark.parametrize("verb", ["load", "safe_load"])
def test_bombs_are_refused_with_little_memory(bombs, verb):
    paths = sorted(bombs.iterdir())
    answers = with_little_memory(verb, *paths)
    assert len(answers) == len(paths) >= 15
    assert set(answers) <= {"CorruptFileError", "UnsafeFileError"}


def test_what_is_large_is_refused_by_the_limit_of_safe_load(tmp_path):
    path = tmp_path / "zeros.zst"
    for compress in ("zstd", "gzip", 0):
        retain.dump(np.zeros(40 << 20, "u1"), path, compress=(compress, 1) if compress else ("zstd", 0))
        with pytest.raises((retain.UnsafeFileError, retain.CorruptFileError), match="bytes"):
            retain.safe_load(path, max_bytes=30 << 20)
        assert retain.safe_load(path, max_bytes=50 << 20).nbytes == 40 << 20


# Signed


@pytest.fixture(scope="module")
def keys():
    return generate_key()


@pytest.mark.parametrize("compress", [0, "zstd"])
def test_each_changed_byte_of_a_signed_file_is_found(tmp_path, keys, compress):
    secret, public = keys
    path = tmp_path / "signed"
    retain.dump([np.arange(6), "text"], path, sign=secret, compress=compress)
    content = path.read_bytes()
    assert alike([np.arange(6), "text"], retain.load(path, verify=public))
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        with pytest.raises((retain.SignatureError, retain.CorruptFileError)):
            retain.load(path, verify=public)
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises((retain.SignatureError, retain.CorruptFileError)):
            retain.load(path, verify=public)
    for more in (b".", b"\0", content, content[-100:]):
        path.write_bytes(content + more)
        with pytest.raises((retain.SignatureError, retain.CorruptFileError)):
            retain.load(path, verify=public)


@pytest.mark.parametrize("compress", [0, "zstd"])
def test_a_signed_file_is_one_that_all_read(tmp_path, keys, compress):
    secret, public = keys
    path = tmp_path / "signed"
    retain.dump(VALUE, path, sign=secret, compress=compress)
    assert alike(VALUE, retain.load(path))
    assert alike(VALUE, retain.load(path, verify=public))
    assert alike(VALUE, retain.safe_load(path))
    assert retain.scan(path).signed
    if not compress:
        assert alike(VALUE, pickle.loads(path.read_bytes()))
        assert alike(VALUE, joblib.load(path))
        assert alike(VALUE["array"], retain.load(path, mmap_mode="r")["array"])


def test_another_key_and_no_signature_are_refused(tmp_path, keys):
    secret, public = keys
    _, other = generate_key()
    retain.dump(VALUE, tmp_path / "signed", sign=secret)
    with pytest.raises(retain.SignatureError, match="key|sign") as raised:
        retain.load(tmp_path / "signed", verify=other)
    assert str(tmp_path / "signed") in str(raised.value)
    retain.dump(VALUE, tmp_path / "unsigned")
    for compress in (0, "gzip", "zstd"):
        retain.dump(VALUE, tmp_path / "unsigned", compress=compress)
        with pytest.raises(retain.SignatureError, match="sign"):
            retain.load(tmp_path / "unsigned", verify=public)
    (tmp_path / "unsigned").write_bytes(pickle.dumps(VALUE))
    with pytest.raises(retain.SignatureError, match="sign"):
        retain.load(tmp_path / "unsigned", verify=public)
    np.save(tmp_path / "array.npy", np.arange(5))
    with pytest.raises((retain.SignatureError, retain.CorruptFileError)):
        retain.load(tmp_path / "array.npy", verify=public)


def test_a_signature_moved_to_another_file_is_refused(tmp_path, keys):
    secret, public = keys
    retain.dump([np.arange(6), "text"], tmp_path / "signed", sign=secret)
    retain.dump([np.arange(6), "TEXT"], tmp_path / "plain")
    signed, plain = (tmp_path / "signed").read_bytes(), (tmp_path / "plain").read_bytes()
    signature = signed[len(plain) - 1 :]
    (tmp_path / "forged").write_bytes(plain[:-1] + signature)
    assert retain.load(tmp_path / "forged")[1] == "TEXT"
    with pytest.raises(retain.SignatureError):
        retain.load(tmp_path / "forged", verify=public)


def test_nothing_is_run_before_the_signature_is_checked(tmp_path, keys):
    _, public = keys

    class Running:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "mark"),)

    retain.dump(Running(), tmp_path / "file")
    with pytest.raises(retain.SignatureError):
        retain.load(tmp_path / "file", verify=public)
    assert not (tmp_path / "mark").exists()


def test_keys_by_line_and_by_file_and_what_is_no_key(tmp_path, keys):
    secret, public = keys
    (tmp_path / "secret").write_text(secret + "\n")
    (tmp_path / "public").write_text(public + "\n")
    path = tmp_path / "file"
    for sign in (secret, str(tmp_path / "secret"), tmp_path / "secret", secret + "\n"):
        retain.dump(VALUE, path, sign=sign)
        for verify in (public, str(tmp_path / "public"), tmp_path / "public"):
            assert alike(VALUE, retain.load(path, verify=verify))
    content = path.read_bytes()
    (tmp_path / "nonsense").write_text("nonsense")
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    for wrong in (
        tmp_path / "nonsense",
        tmp_path / "empty",
        tmp_path / "binary",
        public[:-1],
        "retain-key:",
        secret[:-2],
    ):
        with pytest.raises(retain.SignatureError):
            retain.load(path, verify=wrong)
        with pytest.raises(retain.SignatureError):
            retain.dump("other", path, sign=wrong)
    # The one key is not the other.
    with pytest.raises(retain.SignatureError):
        retain.load(path, verify=secret)
    with pytest.raises(retain.SignatureError):
        retain.dump("other", path, sign=public)
    for wrong in (tmp_path / "missing", "missing"):
        with pytest.raises(FileNotFoundError):
            retain.load(path, verify=wrong)
        with pytest.raises(FileNotFoundError):
            retain.dump("other", path, sign=wrong)
    for wrong in (1, b"key", [secret]):
        with pytest.raises(TypeError):
            retain.load(path, verify=wrong)
        with pytest.raises(TypeError):
            retain.dump("other", path, sign=wrong)
    assert path.read_bytes() == content


def test_errors_do_not_tell_the_secret_key(tmp_path, keys):
    secret, _ = keys
    for act in (
        lambda: retain.load(tmp_path / "missing", verify=secret),
        lambda: retain.dump(1, tmp_path / "file", sign=secret + "x"),
        lambda: retain.dump(1, io.BytesIO(), sign=secret),
    ):
        with pytest.raises(Exception) as raised:
            act()
        assert secret.split(":")[-1] not in str(raised.value)


def test_what_cannot_be_signed_or_verified_is_refused(tmp_path, keys):
    secret, public = keys
    for options in ({"compress": "gzip"}, {"protocol": 4}, {"compress": 3}):
        with pytest.raises(ValueError, match="sign"):
            retain.dump(VALUE, tmp_path / "file", sign=secret, **options)
    with pytest.raises(ValueError, match="sign"):
        retain.dump(VALUE, io.BytesIO(), sign=secret)
    retain.dump(VALUE, tmp_path / "file", sign=secret)
    with pytest.raises(ValueError, match="verify"):
        retain.load(tmp_path / "file", mmap_mode="r", verify=public)
    with pytest.raises(ValueError, match="verify"):
        retain.load(io.BytesIO((tmp_path / "file").read_bytes()), verify=public)


# Old files


def test_a_file_of_a_later_version_says_so(tmp_path):
    path = tmp_path / "file"
    retain.dump([1, np.ones(3)], path)
    content = bytearray(path.read_bytes())
    assert content[4:10] == b"retain"
    from retain._files.errors import CorruptFileError

    # As it would be, its own checksum included, cannot be made here: damaged is all that can be told.
    content[11] += 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError):
        retain.load(path)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_errors_leave_no_file_open(tmp_path):
    retain.dump(VALUE, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    damaged = bytearray(content)
    damaged[content.index(VALUE["array"].tobytes()) + 20] ^= 1
    contents = [b"\x80\x05garbage", content[:-40], bytes(damaged), pickle.dumps(VALUE)[:-1], b"cno_module\nname\n."]
    contents += [gzip.compress(each) for each in contents]
    gc.disable()
    before = open_files()
    try:
        for each in contents:
            (tmp_path / "file").write_bytes(each)
            for act in (retain.load, retain.safe_load, lambda path: retain.load(path, mmap_mode="r")):
                with (
                    contextlib.suppress(retain.CorruptFileError, retain.UnsafeFileError, ImportError),
                    warnings.catch_warnings(),
                ):
                    warnings.simplefilter("ignore")
                    act(tmp_path / "file")
        with contextlib.suppress(OSError):
            retain.dump(VALUE, tmp_path / "missing" / "file")
        with contextlib.suppress(TypeError):
            retain.dump((n for n in ()), tmp_path / "new")
        assert open_files() == before
    finally:
        gc.enable()


def test_a_module_that_is_missing_is_an_import_error_where_the_file_is_whole(files, tmp_path):
    class Plain:
        pass

    module = types.ModuleType("a_module_for_this_test")
    module.Plain, Plain.__module__, Plain.__qualname__ = Plain, module.__name__, "Plain"
    for compress in (0, *CODECS):
        sys.modules[module.__name__] = module
        try:
            retain.dump([np.arange(1000), Plain(), np.ones(100_000)], tmp_path / "file", compress=compress)
            file = io.BytesIO()
            retain.dump([np.arange(1000), Plain(), np.ones(100_000)], file, compress=compress)
        finally:
            del sys.modules[module.__name__]
        for source in (tmp_path / "file", io.BytesIO(file.getvalue())):
            with pytest.raises(ModuleNotFoundError, match="a_module_for_this_test"):
                retain.load(source)
        if not compress:
            damaged = bytearray(file.getvalue())
            damaged[len(damaged) // 2] ^= 1
            with pytest.raises(retain.CorruptFileError):
                retain.load(io.BytesIO(bytes(damaged)))


def test_the_corpus_is_what_others_damage_too(tmp_path):
    values = files_corpus.plain() | files_corpus.arrays()
    rng = random.Random(8)
    path = tmp_path / "file"
    for value in values.values():
        retain.dump(value, path)
        content = path.read_bytes()
        for _ in range(6):
            path.write_bytes(mutated(rng, content))
            try:
                loaded = retain.load(path, ensure_native_byte_order=False)
            except retain.CorruptFileError:
                continue
            assert alike(value, loaded)


def test_zlib_streams_of_any_level_are_told_by_their_first_bytes(tmp_path):
    retain.dump(VALUE, tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    for level in range(10):
        (tmp_path / "zlib").write_bytes(zlib.compress(content, level))
        assert alike(VALUE, retain.load(tmp_path / "zlib"))
