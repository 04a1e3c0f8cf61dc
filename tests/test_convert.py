"""`retain convert`: what is in one file, in another format; and safetensors, against its own library."""

import itertools
import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import retain
import safetensors
import safetensors.numpy
import scipy.sparse
from retain._files import safetensors as ours
from retain._files.convert import ConversionError, convert
from retain._files.naming import NamingError, named_arrays

# On Python 3.13, the files of lz4's package, which joblib uses, are closed once more when they are collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ARRAYS = {
    "bool": np.array([True, False]),
    "int8": np.arange(-4, 4, dtype="i1"),
    "uint64": np.array([0, 2**64 - 1], "u8"),
    "float16": np.arange(3, dtype="f2"),
    "float64": np.linspace(0, 1, 1001),
    "empty": np.zeros((3, 0, 2), "f4"),
    "0-d": np.array(7.5),
    "F": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(20)[::3],
    'a "name" \u20ac\n': np.arange(3),
}


def same(one, other):
    """The arrays by name, equal; files of arrays do not keep their order in memory."""
    return one.keys() == other.keys() and all(
        one[name].dtype == array.dtype and one[name].shape == array.shape and one[name].tolist() == array.tolist()
        for name, array in other.items()
    )


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.product(["a.npz", "a.safetensors", "a.joblib", "a.pkl", "a.pkl.zst"], repeat=2)),
)
def test_arrays_survive_each_pair_of_formats(tmp_path, first, second):
    start, middle = str(tmp_path / "start.pkl"), str(tmp_path / f"1{first}")
    end = str(tmp_path / f"2{second}")
    retain.dump(ARRAYS, start)
    convert(start, middle)
    done = convert(middle, end)
    assert (done.source, done.target, done.size) == (middle, end, Path(end).stat().st_size)
    convert(end, str(tmp_path / "back.pkl"))
    assert same(retain.load(tmp_path / "back.pkl"), ARRAYS)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("name", ["a.joblib", "a.joblib.gz", "a.joblib.xz", "a.joblib.lz4"])
def test_joblibs_layout_is_read_by_joblib(tmp_path, name):
    value = {
        **ARRAYS,
        "objects": np.array([1, "x", None], object),
        "matrix": np.matrix([1, 2]),
        "date": np.array(["2020"], "M8[D]"),
        "record": np.zeros(3, [("a", "<i4"), ("b", ">f8")]),
        "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        "list": [ARRAYS["float64"], "text", OrderedDict(a=1)],
    }
    retain.dump(value, tmp_path / "start")
    convert(str(tmp_path / "start"), str(tmp_path / name))
    joblib.dump(value, tmp_path / f"theirs{name}")
    expected = joblib.load(tmp_path / f"theirs{name}")
    loaded = joblib.load(tmp_path / name)
    assert loaded["list"][1:] == expected["list"][1:]
    for each in expected.keys() - {"list"}:
        assert type(loaded[each]) is type(expected[each])
        assert loaded[each].dtype == expected[each].dtype
        assert loaded[each].tolist() == expected[each].tolist()
        assert loaded[each].flags.f_contiguous == expected[each].flags.f_contiguous


def test_joblib_maps_what_is_converted_for_it(tmp_path):
    retain.dump(ARRAYS, tmp_path / "start")
    convert(str(tmp_path / "start"), str(tmp_path / "a.joblib"))
    mapped = joblib.load(tmp_path / "a.joblib", mmap_mode="r")
    assert all(isinstance(array, np.memmap) and array.flags.aligned for array in mapped.values())
    assert same(mapped, ARRAYS)


def test_a_file_for_joblib_needs_no_joblib(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "joblib.numpy_pickle", None)
    retain.dump(ARRAYS, tmp_path / "start")
    convert(str(tmp_path / "start"), str(tmp_path / "a.joblib"))
    assert same(retain.load(tmp_path / "a.joblib"), ARRAYS)


def test_npz_is_read_by_numpy(tmp_path):
    retain.dump({"a": [np.arange(3), {"file": np.eye(2)}]}, tmp_path / "start")
    for compress in (None, "zlib"):
        convert(str(tmp_path / "start"), str(tmp_path / "a.npz"), compress=compress)
        with np.load(tmp_path / "a.npz") as loaded:
            assert same(dict(loaded), {"a[0]": np.arange(3), "a[1].file": np.eye(2)})


def test_npy_holds_one_array(tmp_path):
    retain.dump(ARRAYS["F"], tmp_path / "start")
    convert(str(tmp_path / "start"), str(tmp_path / "a.npy"))
    loaded = np.load(tmp_path / "a.npy")
    assert loaded.tolist() == ARRAYS["F"].tolist()
    assert loaded.flags.f_contiguous
    retain.dump(ARRAYS, tmp_path / "start")
    with pytest.raises(ConversionError, match="holds one array, and here are 10: bool, int8"):
        convert(str(tmp_path / "start"), str(tmp_path / "a.npy"))


def test_one_format_converted_twice_is_the_same_file(tmp_path):
    retain.dump(ARRAYS, tmp_path / "start")
    for name in ("a.npz", "a.safetensors", "a.joblib"):
        convert(str(tmp_path / "start"), str(tmp_path / name))
        first = (tmp_path / name).read_bytes()
        convert(str(tmp_path / "start"), str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == first


# --- names -------------------------------------------------------------------------------------------------------


def test_names_tell_where_the_arrays_were():
    value = {
        "model": {"layers": [np.zeros(1), (np.ones(2), 3)], "rate": 0.5},
        7: np.arange(7),
        "frame": pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}, index=[3, 4]),
        "series": pd.Series([1.0, 2.0]),
        "sparse": scipy.sparse.csr_array(np.eye(2)),
        "coo": scipy.sparse.coo_array(np.eye(2)),
    }
    assert {name: array.shape for name, array in named_arrays(value).arrays.items()} == {
        "model.layers[0]": (1,),
        "model.layers[1][0]": (2,),
        "model.layers[1][1]": (),
        "model.rate": (),
        "[7]": (7,),
        "frame.a": (2,),
        "frame.b": (2,),
        "frame.index": (2,),
        "series.values": (2,),
        "sparse.data": (2,),
        "sparse.indices": (2,),
        "sparse.indptr": (3,),
        "sparse.shape": (2,),
        "coo.data": (2,),
        "coo.row": (2,),
        "coo.col": (2,),
        "coo.shape": (2,),
    }
    assert list(named_arrays(np.zeros(3)).arrays) == ["arr_0"]


def test_what_is_no_array_is_named_or_left_out():
    value = {"a": np.zeros(1), "b": [np.zeros(2), "text"], "o": np.array([None])}
    with pytest.raises(NamingError, match=r"b\[1\] is an object of the type str"):
        named_arrays({"b": value["b"]})
    with pytest.raises(NamingError, match=r"o is an array of Python objects"):
        named_arrays({"o": value["o"]})
    named = named_arrays(value, skip=True)
    assert list(named.arrays) == ["a", "b[0]"]
    assert named.left_out == ["b[1]", "o"]


def test_names_that_clash_are_an_error():
    with pytest.raises(NamingError, match=r"'a\.b'"):
        named_arrays({"a": {"b": np.zeros(1)}, "a.b": np.zeros(1)})


def test_a_value_that_holds_itself_is_an_error():
    value = {"a": []}
    value["a"].append(value)
    with pytest.raises(NamingError, match=r"a\[0\]: the value holds itself"):
        named_arrays(value)
    shared = [np.zeros(1)]
    assert list(named_arrays([shared, shared]).arrays) == ["[0][0]", "[1][0]"]


# --- what goes wrong ---------------------------------------------------------------------------------------------


def test_a_failed_conversion_leaves_the_target_as_it_was(tmp_path):
    retain.dump({"a": np.zeros(3), "t": np.array(["text"])}, tmp_path / "start")
    for name in ("a.safetensors", "a.npy"):
        (tmp_path / name).write_text("as it was")
        with pytest.raises(ConversionError):
            convert(str(tmp_path / "start"), str(tmp_path / name))
        assert (tmp_path / name).read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "a.safetensors", "start"]


def test_targets_keep_their_permissions_and_links(tmp_path):
    retain.dump(np.zeros(3), tmp_path / "start")
    target, link = tmp_path / "real.npz", tmp_path / "link.npz"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    convert(str(tmp_path / "start"), str(link))
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(np.load(target)) == ["arr_0"]


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("a.x", {"to": "csv"}, "no such format: 'csv'"),
        ("a.x", {"compress": "rar"}, "no such codec: 'rar'"),
        ("a.joblib.zst", {}, "joblib does not read zstd"),
        ("a.npz", {"compress": "xz"}, "compressed by zlib or not at all"),
        ("a.npy.gz", {}, "not compressed"),
        ("a.safetensors", {"compress": "zstd"}, "not compressed"),
    ],
)
def test_requests_without_sense(tmp_path, target, options, said):
    retain.dump(np.zeros(3), tmp_path / "start")
    with pytest.raises(ConversionError, match=said):
        convert(str(tmp_path / "start"), str(tmp_path / target), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["start"]


def test_the_name_or_the_option_says_the_codec(tmp_path):
    retain.dump(ARRAYS, tmp_path / "start")
    plain = tmp_path / "plain.gz"
    assert convert(str(tmp_path / "start"), str(plain), compress="none").codec is None
    assert pickle.loads(plain.read_bytes()).keys() == ARRAYS.keys()
    assert convert(str(tmp_path / "start"), str(tmp_path / "a.gz")).codec == "gzip"
    assert convert(str(tmp_path / "start"), str(tmp_path / "a"), compress="bz2", level=1).codec == "bz2"
    assert same(retain.load(tmp_path / "a"), ARRAYS)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("/tmp/retain-was-run",)  # noqa: S108


def test_sources_are_not_run(tmp_path):
    (tmp_path / "hostile.pkl").write_bytes(pickle.dumps({"a": Hostile()}))
    np.save(tmp_path / "hostile.npy", np.array([Hostile()]))
    for name in ("hostile.pkl", "hostile.npy"):
        with pytest.raises(retain.UnsafeFileError):
            convert(str(tmp_path / name), str(tmp_path / "a.npz"))
    assert not Path("/tmp/retain-was-run").exists()  # noqa: S108


# --- safetensors -------------------------------------------------------------------------------------------------


def test_their_library_reads_our_files(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        ours.write(ARRAYS | {"big": np.arange(3, dtype=">i4")}, file, {"who": "retain"})
    loaded = safetensors.numpy.load_file(tmp_path / "a")
    assert same(loaded, ARRAYS | {"big": np.arange(3, dtype="<i4")})
    with safetensors.safe_open(tmp_path / "a", "numpy") as opened:
        assert opened.metadata() == {"who": "retain"}


def test_our_reader_reads_their_files(tmp_path):
    arrays = {name: np.ascontiguousarray(array) for name, array in ARRAYS.items() if name != "0-d"}
    safetensors.numpy.save_file(arrays, tmp_path / "a", {"who": "them"})
    loaded, metadata = ours.read(str(tmp_path / "a"))
    assert metadata == {"who": "them"}
    assert same(loaded, arrays)


def test_no_arrays_at_all(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        ours.write({}, file)
    assert ours.read(str(tmp_path / "a")) == ({}, {})
    assert safetensors.numpy.load_file(tmp_path / "a") == {}


def test_dtypes_that_numpy_lacks_are_told(tmp_path):
    path = tmp_path / "a.safetensors"
    header = json.dumps({"weight": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ours.SafetensorsError, match="'weight' is of dtype BF16: numpy has no such dtype"):
        ours.read(str(path))
    assert [(each["path"], each["dtype"], each["shape"]) for each in ours.infos(str(path))] == [
        ("weight", "BF16", (2,))
    ]


def test_dtypes_that_safetensors_lacks_are_told(tmp_path):
    retain.dump({"when": np.array(["2020"], "M8[D]"), "text": np.array(["a"])}, tmp_path / "start")
    with pytest.raises(ConversionError, match=r"when: safetensors has no dtype for datetime64\[D\]; text: .*U1"):
        convert(str(tmp_path / "start"), str(tmp_path / "a.safetensors"))


def entry(begin, end, shape, dtype="U8"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


BAD = {
    "a hole": ({"a": entry(0, 2, [2]), "b": entry(3, 4, [1])}, 4),
    "an overlap": ({"a": entry(0, 2, [2]), "b": entry(1, 3, [2])}, 3),
    "not from the start": ({"a": entry(1, 3, [2])}, 3),
    "bytes left over": ({"a": entry(0, 2, [2])}, 3),
    "bytes missing": ({"a": entry(0, 3, [3])}, 2),
    "another size": ({"a": entry(0, 3, [2])}, 3),
    "backwards": ({"a": entry(2, 0, [2])}, 2),
    "negative": ({"a": entry(-2, 0, [2])}, 2),
    "huge": ({"a": entry(0, 1 << 70, [1 << 70])}, 2),
    "a product that overflows": ({"a": entry(0, 0, [1 << 40, 1 << 40])}, 0),
    "no dtype": ({"a": {"shape": [2], "data_offsets": [0, 2]}}, 2),
    "a key too many": ({"a": {**entry(0, 2, [2]), "more": 1}}, 2),
    "floats": ({"a": entry(0, 2, [2.0])}, 2),
    "booleans": ({"a": entry(0, 1, [True])}, 1),
    "a list": ({"a": [1]}, 0),
    "metadata of numbers": ({"__metadata__": {"a": 1}}, 0),
    "metadata of texts alone": ({"__metadata__": "a"}, 0),
}


@pytest.mark.parametrize("name", BAD)
def test_headers_that_lie_are_refused_as_their_library_does(tmp_path, name):
    header, size = BAD[name]
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    with pytest.raises(ours.SafetensorsError):
        ours.read(str(path))
    if name != "a key too many":
        with pytest.raises(safetensors.SafetensorError):
            safetensors.numpy.load_file(path)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0" * 7,
        b"\0" * 8,
        (1 << 62).to_bytes(8, "little") + b"{}",
        (100_000_001).to_bytes(8, "little") + b"{}",
        (9).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b" {",
        (4).to_bytes(8, "little") + b'{"a"',
        (6).to_bytes(8, "little") + b'{"\xff":1}'[:6],
        (39).to_bytes(8, "little") + b'{"__metadata__":{"a":"b","a":"c"}}     ',
        (9).to_bytes(8, "little") + b'{"a":NaN}',
        (100_000).to_bytes(8, "little") + b'{"a":' + b"[" * 99_995,
    ],
)
def test_heads_that_are_none_are_refused(tmp_path, head):
    path = tmp_path / "a.safetensors"
    path.write_bytes(head)
    with pytest.raises(ours.SafetensorsError, match="a.safetensors: not a safetensors file, or a damaged one"):
        ours.read(str(path))


def test_each_cut_of_a_file_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        ours.write({"a": np.arange(3), "b": np.zeros(2, "f4")}, file)
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(ours.SafetensorsError):
            ours.read(str(path))
