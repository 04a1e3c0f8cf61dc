"""Files that others wrote, joblib of all versions, pickle and numpy, are read, and as they read them themselves."""

import io
import pickle
import subprocess
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import joblib
import joblib.test.data
import numpy as np
import pytest
import retain

# numpy would rather have nobody make a matrix.
pytestmark = [
    pytest.mark.filterwarnings("ignore:the matrix subclass"),
    # On Python 3.13, the files of lz4's package, which joblib uses, are closed once more when they are collected.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FOLDER = Path(joblib.test.data.__file__).parent
OF_JOBLIB = sorted(
    path.name for path in FOLDER.iterdir() if path.suffix in {".pkl", ".gz", ".gzip", ".bz2", ".xz", ".lzma", ".lz4"}
)
CODECS = {"zlib": ".z", "gzip": ".gz", "bz2": ".bz2", "xz": ".xz", "lzma": ".lzma", "lz4": ".lz4"}


def alike(one, other):
    """Equal in all that can be told: types, dtypes, shapes, items."""
    # joblib forgets that an array was a matrix, as of numpy 2.
    if type(one) is np.matrix or type(other) is np.matrix:
        one, other = np.asarray(one), np.asarray(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        if one.dtype.hasobject:
            return all(alike(a, b) for a, b in zip(one.flat, other.flat, strict=True))
        return one.tobytes() == other.tobytes() and one.flags.f_contiguous == other.flags.f_contiguous
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other


def quietly(load, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(*arguments, **options)


def test_joblibs_own_files_are_all_there():
    assert len(OF_JOBLIB) >= 40


@pytest.mark.parametrize("mmap_mode", [None, "r", "c"])
@pytest.mark.parametrize("name", OF_JOBLIB)
def test_files_of_joblib_0_8_to_0_12(name, mmap_mode):
    path = str(FOLDER / name)
    try:
        expected = quietly(joblib.load, path, mmap_mode=mmap_mode)
    except ValueError:
        # Written by Python 2 with texts that are no ASCII.
        with pytest.raises((ValueError, pickle.UnpicklingError), match=r"[Pp]ython 2"):
            quietly(retain.load, path, mmap_mode=mmap_mode)
        return
    assert alike(expected, quietly(retain.load, path, mmap_mode=mmap_mode))


def test_they_are_read_where_joblib_cannot_be_imported():
    program = """
import sys, warnings
sys.modules["joblib"] = None
warnings.simplefilter("ignore")
import retain

for path in sys.argv[1:]:
    retain.load(path)
"""
    paths = [str(FOLDER / name) for name in OF_JOBLIB if "py27" not in name]
    subprocess.run([sys.executable, "-c", program, *paths], check=True, timeout=50)


STRUCTURED = np.dtype([("a", "<i4"), ("b", ">f8", 2), ("c", "S3")])
ARRAYS = {
    "bool": np.array([True, False]),
    "int8": np.arange(-4, 4, dtype="i1"),
    "uint64": np.array([0, 2**64 - 1], "u8"),
    "float16": np.arange(3, dtype="f2"),
    "float64": np.linspace(0, 1, 1001),
    "longdouble": np.arange(3, dtype=np.longdouble),
    "complex": np.array([1 + 2j]),
    "big-endian": np.arange(5, dtype=">i4"),
    "str": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "datetime": np.array(["2020-01-01", "NaT"], "M8[ns]"),
    "timedelta": np.array([1, 2], "m8[s]"),
    "structured": np.zeros(3, STRUCTURED),
    "void": np.zeros(2, "V5"),
    "none": np.zeros(0),
    "empty": np.zeros((3, 0, 2), "i4"),
    "0-d": np.array(7.5),
    "F": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(20)[::3],
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "objects": np.array([1, "abc", {"a": None}, [1, 2]], object),
    "nested objects": np.array([np.arange(3), np.arange(2)], object),
    "matrix": np.arange(4).reshape(2, 2).view(np.matrix),
    "masked": np.ma.masked_greater(np.arange(5.0), 2),
}
ALL = {"all": list(ARRAYS.values()), "twice": [ARRAYS["float64"]] * 2, "text": "x" * 100_000, "n": OrderedDict(a=1)}
ALL.update({name: array for name, array in ARRAYS.items() if name != "masked"})
del ALL["all"][-1]


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_each_kind_that_joblib_wrote(tmp_path, name):
    path = str(tmp_path / "array")
    joblib.dump(["before", ARRAYS[name], "after"], path)
    for mmap_mode in (None, "r", "r+", "c"):
        loaded = retain.load(path, mmap_mode=mmap_mode)
        expected = joblib.load(path, mmap_mode=mmap_mode)
        if name == "masked":
            assert type(loaded[1]) is np.ma.MaskedArray
            assert loaded[1].tolist() == expected[1].tolist()
            continue
        assert alike(loaded, expected)
        assert loaded[1].flags.writeable == expected[1].flags.writeable
        if mmap_mode is None:
            assert loaded[1].flags.aligned


@pytest.mark.parametrize("order", [True, False])
def test_the_byte_order_is_the_machines_or_as_it_was(tmp_path, order):
    path = str(tmp_path / "array")
    value = [np.arange(5, dtype=">i4"), np.zeros(3, [("a", ">i4"), ("b", ">f8")]), np.zeros(3, STRUCTURED)]
    joblib.dump(value, path)
    loaded = retain.load(path, ensure_native_byte_order=order)
    assert alike(loaded, joblib.load(path, ensure_native_byte_order=order))
    assert loaded[0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("codec", [None, *CODECS])
def test_all_codecs_and_protocols_of_joblib(tmp_path, codec, protocol):
    path = str(tmp_path / "value")
    joblib.dump(ALL, path, compress=0 if codec is None else (codec, 3), protocol=protocol)
    assert alike(retain.load(path), joblib.load(path))


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_file_objects(tmp_path, codec):
    path = str(tmp_path / "value")
    joblib.dump(ALL, path, compress=0 if codec is None else (codec, 3))
    with Path(path).open("rb") as file:
        assert alike(retain.load(file), joblib.load(path))
    assert alike(retain.load(io.BytesIO(Path(path).read_bytes())), joblib.load(path))


class Pipe(io.RawIOBase):
    """What gives out a few bytes at a time and cannot go back."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, into):
        part = self._data.read(min(len(into), 1000))
        into[: len(part)] = part
        return len(part)


def test_streams_that_cannot_seek():
    file = io.BytesIO()
    joblib.dump(ALL, file)
    assert alike(retain.load(Pipe(file.getvalue())), joblib.load(io.BytesIO(file.getvalue())))


def test_several_values_in_one_file():
    file = io.BytesIO()
    values = [[1, np.arange(1000)], "two", np.array(["o", None], object)]
    for value in values:
        joblib.dump(value, file)
    file.write(b"the end")
    file.seek(0)
    assert alike([retain.load(file) for _ in values], values)
    assert file.read() == b"the end"


def test_a_file_object_that_stands_in_the_middle():
    file = io.BytesIO(b"header")
    file.seek(6)
    joblib.dump([np.arange(100.0)], file)
    file.seek(6)
    assert alike(retain.load(file), [np.arange(100.0)])


@pytest.fixture
def without_alignment(monkeypatch):
    """joblib as it was up to 1.1, when it knew of no padding."""
    create = joblib.numpy_pickle.NumpyPickler._create_array_wrapper

    def create_without(self, array):
        wrapper = create(self, array)
        del wrapper.numpy_array_alignment_bytes
        return wrapper

    monkeypatch.setattr(joblib.numpy_pickle.NumpyPickler, "_create_array_wrapper", create_without)


@pytest.mark.usefixtures("without_alignment")
@pytest.mark.parametrize("protocol", [2, 4])
def test_files_of_joblib_1_0_and_1_1(tmp_path, protocol):
    path = str(tmp_path / "value")
    joblib.dump(ALL, path, protocol=protocol)
    assert alike(retain.load(path), joblib.load(path))
    assert alike(quietly(retain.load, path, mmap_mode="r"), quietly(joblib.load, path, mmap_mode="r"))
    with pytest.warns(UserWarning, match=r"multiple of|aligned"):
        retain.load(path, mmap_mode="r")


@pytest.mark.parametrize("module", ["sklearn.externals.joblib.numpy_pickle"])
def test_files_of_the_joblib_that_was_in_scikit_learn(tmp_path, module):
    path = tmp_path / "value"
    joblib.dump([np.arange(5)], path, protocol=2)
    written = path.read_bytes()
    # One line longer, so that the padding is another.
    there = written.index(b"joblib.numpy_pickle\n")
    end = written.index(np.arange(5).tobytes())
    padding = written[:end].rstrip(b"\xff")[-1]
    head = written[: end - padding - 1].replace(b"joblib.numpy_pickle\n", module.encode() + b"\n")
    path.write_bytes(head + b"\x03\xff\xff\xff" + written[end:])
    assert there
    assert alike(retain.load(path), [np.arange(5)])


def test_mapped_arrays_write_through(tmp_path):
    path = str(tmp_path / "value")
    joblib.dump([np.zeros(10), np.array([None])], path)
    mapped = retain.load(path, mmap_mode="r+")
    mapped[0][3] = 7
    mapped[0].flush()
    assert joblib.load(path)[0][3] == 7
    copied = retain.load(path, mmap_mode="c")
    copied[0][3] = 8
    assert joblib.load(path)[0][3] == 7
    assert retain.load(path, mmap_mode="w+")[0].mode == "r+"


def test_a_mapping_never_makes_a_file_longer(tmp_path):
    path = tmp_path / "value"
    joblib.dump(np.zeros(1000), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-4000])
    with pytest.raises(retain.CorruptFileError):
        retain.load(path, mmap_mode="r+")
    assert path.stat().st_size == len(whole) - 4000


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles(tmp_path, protocol):
    value = [
        1, -(2**70), 1.5, True, None, "text \xe9 \u20ac \U0001f600", b"\x00\xff", (1, (2,)), {"a": [1]}, {1, 2},
        frozenset([3]), 2 + 3j, range(5), OrderedDict(b=1), bytearray(b"xyz"), "long" * 100_000, b"long" * 100_000,
    ]  # fmt: skip
    value.append(value[8])
    path = tmp_path / "value.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    loaded = retain.load(path)
    assert alike(loaded, value)
    assert loaded[-1] is loaded[8]


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_in_plain_pickles(tmp_path, protocol):
    path = tmp_path / "value.pkl"
    value = {name: array for name, array in ARRAYS.items() if name not in {"masked", "big-endian"}}
    path.write_bytes(pickle.dumps(value, protocol))
    assert alike(retain.load(path), pickle.loads(path.read_bytes()))


@pytest.mark.parametrize("name", sorted(set(ARRAYS) - {"masked", "matrix", "void"}))
def test_npy(tmp_path, name):
    path = tmp_path / "array.npy"
    np.save(path, ARRAYS[name])
    assert alike(retain.load(path, ensure_native_byte_order=False), np.load(path, allow_pickle=True))
    assert retain.load(path).dtype.isnative
    if not ARRAYS[name].dtype.hasobject:
        mapped = retain.load(path, mmap_mode="r")
        assert isinstance(mapped, np.memmap)
        assert alike(np.asarray(mapped), np.load(path))
    with path.open("rb") as file:
        assert alike(retain.load(file, ensure_native_byte_order=False), np.load(path, allow_pickle=True))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    path = tmp_path / "arrays.npz"
    save(path, np.arange(5), a=np.zeros((2, 3)), o=np.array([1, "x"], object))
    loaded = retain.load(path)
    assert list(loaded) == list(np.load(path, allow_pickle=True))
    assert alike(loaded["a"], np.zeros((2, 3)))
    assert alike(loaded["o"], np.array([1, "x"], object))
    with pytest.warns(UserWarning, match="mmap_mode"):
        retain.load(path, mmap_mode="r")


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_numpys_files_cut_short(tmp_path, save):
    path = tmp_path / ("array.npy" if save is np.save else "array.npz")
    save(path, np.arange(1000))
    whole = path.read_bytes()
    for end in [*range(8, 200), len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:end])
        with pytest.raises(retain.CorruptFileError, match="array"):
            retain.load(path)


@pytest.mark.parametrize("codec", [None, *CODECS])
def test_joblibs_files_cut_short(tmp_path, codec):
    path = tmp_path / "value"
    joblib.dump([np.arange(300.0), "x" * 1000, np.array([None, 1])], path, compress=0 if codec is None else (codec, 3))
    whole = path.read_bytes()
    for end in sorted({*range(1, 60), *range(0, len(whole), max(len(whole) // 60, 1)), len(whole) - 1} - {0}):
        path.write_bytes(whole[:end])
        with pytest.raises(retain.CorruptFileError):
            retain.load(path)


def test_damage_inside_an_array_of_objects(tmp_path):
    path = tmp_path / "value"
    joblib.dump([np.array(["a text \xe9", None], object)], path)
    written = path.read_bytes()
    path.write_bytes(written.replace("\xe9".encode(), b"\xff\xff"))
    with pytest.raises(retain.CorruptFileError, match="decoded"):
        retain.load(path)


def legacy(name, tmp_path):
    for path in FOLDER.glob(f"{name}*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / name


def test_files_beside_are_found_and_missed_by_name(tmp_path):
    path = legacy("joblib_0.9.2_pickle_py35_np19.pkl", tmp_path)
    expected = quietly(joblib.load, str(path))
    assert alike(quietly(retain.load, path), expected)
    beside = tmp_path / f"{path.name}_02.npy"
    whole = beside.read_bytes()
    beside.write_bytes(whole[:-3])
    with pytest.raises(retain.CorruptFileError, match="_02.npy"):
        quietly(retain.load, path)
    beside.unlink()
    with pytest.raises(FileNotFoundError) as raised:
        quietly(retain.load, path)
    assert raised.value.filename == str(beside)


class Marks:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_safe_load_runs_nothing_from_files_beside(tmp_path):
    path = legacy("joblib_0.9.2_pickle_py35_np19.pkl", tmp_path)
    with pytest.raises(retain.UnsafeFileError):
        retain.safe_load(path)
    np.save(tmp_path / f"{path.name}_01.npy", np.array([Marks(tmp_path / "mark")]))
    with pytest.raises(retain.UnsafeFileError):
        retain.safe_load(path, trusted=["joblib.numpy_pickle.NDArrayWrapper"])
    assert not (tmp_path / "mark").exists()


def test_names_of_files_elsewhere_are_refused(tmp_path):
    # The folder of the pickle is where joblib wrote the arrays; a name that leads out of it is somebody else's idea.
    path = legacy("joblib_0.9.2_pickle_py35_np19.pkl", tmp_path)
    written = path.read_bytes()
    name = f"{path.name}_01.npy".encode()
    elsewhere = b"/" + b"x" * (len(name) - 1)
    assert name in written
    path.write_bytes(written.replace(name, elsewhere))
    with pytest.raises(retain.CorruptFileError, match="beside"):
        quietly(retain.load, path)


@pytest.mark.parametrize(
    "name", ["joblib_0.9.2_compressed_pickle_py35_np19.gz", "joblib_0.8.4_compressed_pickle_py27_np17.gz"]
)
def test_compressed_files_before_0_10_cut_short(tmp_path, name):
    path = legacy(name, tmp_path)
    whole = path.read_bytes()
    for end in range(2, len(whole), 13):
        path.write_bytes(whole[:end])
        with pytest.raises(retain.CorruptFileError):
            quietly(retain.load, path)


def test_a_length_that_is_a_lie_takes_no_memory(tmp_path):
    path = legacy("joblib_0.9.2_compressed_pickle_py35_np19.gz", tmp_path)
    written = path.read_bytes()
    for lie in (b"0x7fffffffffffff0", b"0x1", b"-0x5", b"nonsense", b""):
        path.write_bytes(b"ZF" + lie.ljust(19) + written[21:])
        with pytest.raises(retain.CorruptFileError):
            quietly(retain.load, path)


def test_a_description_that_is_a_lie(tmp_path):
    path = tmp_path / "value"
    joblib.dump(np.arange(5), path, protocol=2)
    written = path.read_bytes()
    assert written.count(b"K\x05\x85") == 1
    for lie in (b"J\xff\xff\xff\x7f\x85", b"J\xff\xff\xff\xff\x85", b"\x8a\x08\0\0\0\0\0\0\0\x40\x85", b"N\x85", b"N"):
        path.write_bytes(written.replace(b"K\x05\x85", lie))
        with pytest.raises(retain.CorruptFileError):
            retain.load(path)
        with pytest.raises(retain.CorruptFileError):
            retain.load(path, mmap_mode="r")
    assert path.stat().st_size < 1000
