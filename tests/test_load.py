"""`retain.load`: what `dump` wrote comes back, in all layouts; others read it without retain."""

from __future__ import annotations

import inspect
import io
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from importlib.util import find_spec
from pathlib import Path

import files_corpus
import joblib
import numpy as np
import pytest
import retain
from extent import extent
from files_corpus import alike
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

CODECS = [0, "zlib", "gzip", "bz2", "xz", "lzma", "lz4", "zstd"]
MODES = ["r", "r+", "w+", "c"]

# numpy would rather have nobody make a matrix.
pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ALL = files_corpus.everything()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


# Round trips


@pytest.mark.parametrize("name", ALL)
def test_each_kind_of_value_comes_back(folder, name):
    value = ALL[name]
    for number, compress in enumerate([0, "zstd", "lz4"]):
        path = folder / f"{number}"
        retain.dump(value, path, compress=compress)
        loaded = retain.load(path, ensure_native_byte_order=False)
        assert alike(value, loaded)
    assert alike(value, retain.load(io.BytesIO((folder / "0").read_bytes()), ensure_native_byte_order=False))


@pytest.mark.parametrize("protocol", extent([*range(6)], [1, 5]))
@pytest.mark.parametrize("compress", CODECS)
def test_all_of_them_at_once_in_each_protocol_and_codec(folder, protocol, compress):
    # Numbers of these kinds, and polars' frames, take protocol 2 or more.
    value = {name: each for name, each in ALL.items() if protocol >= 4 or name in files_corpus.plain()}
    path = folder / "all"
    retain.dump(value, path, protocol=protocol, compress=compress)
    loaded = retain.load(path, ensure_native_byte_order=False)
    assert list(loaded) == list(value)
    # Before protocol 5, numpy itself converts what is not contiguous.
    assert [name for name in value if not alike(value[name], loaded[name])] == (
        [] if protocol == 5 else ["a field"] * (protocol == 4)
    )


def laid_out(draw, array):
    """Lay an array out in one of the ways that arrays come in."""
    how = draw(st.sampled_from(["as it is", "F", "reversed", "every second", "transposed", "broadcast", "read-only"]))
    if how == "F":
        return np.asfortranarray(array) if array.ndim else array
    if how == "reversed":
        return array[(slice(None, None, -1),) * array.ndim]
    if how == "every second":
        return np.repeat(array, 2, axis=0)[::2] if array.ndim else array
    if how == "transposed":
        return array.T
    if how == "broadcast":
        return np.broadcast_to(array, (2, *array.shape))
    if how == "read-only":
        array.flags.writeable = False
    return array


@st.composite
def any_array(draw):
    """Draw an array of any dtype, byte order, shape and layout."""
    dtype = draw(
        st.one_of(hnp.scalar_dtypes(), hnp.array_dtypes(allow_subarrays=True), hnp.nested_dtypes(max_leaves=4))
    )
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    if dtype.subdtype is not None:
        dtype = dtype.base
    array = draw(hnp.arrays(dtype, shape))
    return laid_out(draw, array)


@settings(
    max_examples=extent(200, 40),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(array=any_array(), compress=st.sampled_from([*CODECS, 0, 0, 0]))
def test_any_array_comes_back(folder, array, compress):
    path = folder / "any"
    retain.dump([array, "behind"], path, compress=compress)
    loaded, behind = retain.load(path, ensure_native_byte_order=False)
    assert behind == "behind"
    assert alike(array, loaded)
    if not compress:
        assert alike(array, pickle.loads(path.read_bytes())[0])
        file = io.BytesIO(path.read_bytes())
        assert alike(array, retain.load(file, ensure_native_byte_order=False)[0])
        mapped = retain.load(path, mmap_mode="r")[0]
        assert alike(np.asarray(array), np.asarray(mapped))


@settings(
    max_examples=extent(60, 20), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(array=any_array(), protocol=st.integers(0, 4))
def test_any_array_in_any_protocol_comes_back_as_pickle_has_it(folder, array, protocol):
    path = folder / "protocol"
    retain.dump(array, path, protocol=protocol)
    assert path.read_bytes() == pickle.dumps(array, protocol)
    assert alike(pickle.loads(pickle.dumps(array, protocol)), retain.load(path, ensure_native_byte_order=False))


@settings(max_examples=extent(80, 30), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(array=any_array())
def test_byte_order_becomes_the_machines_as_joblib_has_it(folder, array):
    ours, theirs = folder / "ours", folder / "theirs"
    retain.dump(array, ours)
    joblib.dump(array, theirs)
    for native in ("auto", True, False):
        loaded, expected = (
            each(path, ensure_native_byte_order=native) for each, path in ((retain.load, ours), (joblib.load, theirs))
        )
        assert loaded.dtype == expected.dtype
        assert alike(loaded, expected) or loaded.flags.f_contiguous != expected.flags.f_contiguous


json_like = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers()),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.one_of(st.text(), st.integers()), inner)
    ),
    max_leaves=30,
)


@settings(max_examples=100, deadline=None)
@given(value=json_like, protocol=st.integers(0, 5), compress=st.sampled_from(CODECS))
def test_any_plain_value_comes_back(folder, value, protocol, compress):
    path = folder / "plain"
    retain.dump(value, path, protocol=protocol, compress=compress)
    assert alike(value, retain.load(path))


def test_arrays_can_be_written_to_where_pickles_could_be():
    for array in (np.arange(5), np.broadcast_to(np.arange(5), (3, 5)), np.ones((3, 4), order="F")[::2], np.zeros(0)):
        file = io.BytesIO()
        retain.dump(array, file)
        expected = pickle.loads(pickle.dumps(array, 5)).flags.writeable
        assert retain.load(io.BytesIO(file.getvalue())).flags.writeable == expected
    read_only = np.arange(5)
    read_only.flags.writeable = False
    file = io.BytesIO()
    retain.dump(read_only, file)
    assert not retain.load(io.BytesIO(file.getvalue())).flags.writeable
    assert not pickle.loads(file.getvalue()).flags.writeable


def test_a_dump_of_what_was_loaded_is_the_same_file(folder):
    # Where no memo of the first process shows: identity of texts is not the same.
    value = {"x": np.arange(1000), "y": [np.ones((3, 4), order="F"), 1.5]}
    retain.dump(value, folder / "first")
    retain.dump(retain.load(folder / "first"), folder / "second")
    retain.dump(retain.load(folder / "second"), folder / "third")
    assert (folder / "second").read_bytes() == (folder / "third").read_bytes()


def test_torch_tensors(folder):
    torch = pytest.importorskip("torch")
    tensors = [
        torch.arange(5),
        torch.ones(3, 4).T,
        torch.tensor(1.5),
        torch.zeros(0),
        torch.ones(3, dtype=torch.bfloat16),
    ]
    parameter = torch.nn.Parameter(torch.ones(3))
    model = torch.nn.Linear(3, 2)
    retain.dump([tensors, tensors[0], parameter, model], folder / "torch")
    loaded, again, parameter, linear = retain.load(folder / "torch")
    assert all(torch.equal(one, other) and one.dtype == other.dtype for one, other in zip(tensors, loaded, strict=True))
    assert again is loaded[0]
    assert parameter.requires_grad
    assert torch.equal(linear(torch.ones(3)), model(torch.ones(3)))


# Arguments


def test_the_first_arguments_are_joblibs():
    ours = list(inspect.signature(retain.load).parameters.values())
    theirs = list(inspect.signature(joblib.load).parameters.values())
    assert [(each.name, each.default) for each in ours[:3]] == [(each.name, each.default) for each in theirs]
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in ours[3:])


def test_a_path_in_any_form(folder, monkeypatch):
    retain.dump([1], folder / "path")
    monkeypatch.chdir(folder)
    for path in (folder / "path", str(folder / "path"), "path", Path("path")):
        assert retain.load(path) == [1]


@pytest.mark.parametrize("mode", ["w", "rb", "a", "", 1, True, b"r", ("r",)])
def test_a_mode_that_is_none_is_refused(folder, mode):
    retain.dump(np.arange(5), folder / "mode")
    with pytest.raises(ValueError, match="mmap_mode"):
        retain.load(folder / "mode", mmap_mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_mapping_and_converting_exclude_each_other(folder, mode):
    retain.dump(np.arange(5, dtype=">i4"), folder / "order")
    with pytest.raises(ValueError, match="byte order"):
        retain.load(folder / "order", mmap_mode=mode, ensure_native_byte_order=True)
    for native in (False, "auto"):
        assert retain.load(folder / "order", mmap_mode=mode, ensure_native_byte_order=native).dtype == ">i4"
    assert retain.load(folder / "order").dtype == "=i4"
    assert retain.load(folder / "order", ensure_native_byte_order=True).dtype == "=i4"
    assert retain.load(folder / "order", ensure_native_byte_order=False).dtype == ">i4"


def test_what_is_converted_is_equal_and_shared_as_before(folder):
    array = np.arange(1000.0).astype(">f8").reshape(10, 100, order="F")
    retain.dump([array, array, array.T[::2]], folder / "shared order")
    one, same, other = retain.load(folder / "shared order")
    assert one is same
    assert one.dtype == other.dtype == "=f8"
    assert np.array_equal(one, array)
    assert np.array_equal(other, array.T[::2])
    assert one.flags.f_contiguous


# Mapped


@pytest.mark.parametrize("mode", MODES)
def test_mapped_arrays_are_memmaps_of_the_file(folder, mode):
    path = folder / "mapped"
    values = [
        np.arange(1000.0),
        np.asfortranarray(np.ones((30, 40))),
        np.array(7.5),
        np.zeros((5, 0)),
        np.arange(3).astype("M8[s]"),
    ]
    retain.dump({"arrays": values, "text": "x" * 1000}, path)
    loaded = retain.load(path, mmap_mode=mode)["arrays"]
    for value, array in zip(values, loaded, strict=True):
        assert alike(value, array)
        if not value.size:
            continue
        assert type(array) is np.memmap
        assert array.mode == {"w+": "r+"}.get(mode, mode)
        assert str(array.filename) == str(path)
        assert array.offset % 64 == 0
        assert array.flags.aligned
        assert array.flags.writeable == (mode != "r")
        there = np.memmap(path, value.dtype, "r", array.offset, value.shape, "F" if value.flags.f_contiguous else "C")
        assert np.array_equal(there, value)


def test_a_mapped_array_to_read_cannot_be_written_to(folder):
    retain.dump(np.arange(5), folder / "read")
    array = retain.load(folder / "read", mmap_mode="r")
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize("mode", ["r+", "w+"])
def test_what_is_written_through_a_mapping_is_in_the_file_and_loads_again(folder, mode):
    path = folder / "through"
    retain.dump({"a": np.zeros(1000), "b": np.ones(500, "i2"), "text": ["x"] * 100}, path)
    size = path.stat().st_size
    loaded = retain.load(path, mmap_mode=mode)
    loaded["a"][7] = 3.5
    loaded["a"].flush()
    del loaded
    assert path.stat().st_size == size
    for again in (retain.load(path), pickle.loads(path.read_bytes()), retain.load(io.BytesIO(path.read_bytes()))):
        assert again["a"][7] == 3.5
        assert again["a"].sum() == 3.5
        assert again["b"].sum() == 500
    # The objects are checked as before.
    content = bytearray(path.read_bytes())
    content[content.index(b"text") + 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(retain.CorruptFileError):
        retain.load(path)


def test_what_is_written_to_a_copy_is_not_in_the_file(folder):
    path = folder / "copied"
    retain.dump(np.zeros(1000), path)
    before = path.read_bytes()
    array = retain.load(path, mmap_mode="c")
    array[:] = 1
    assert array.sum() == 1000
    assert path.read_bytes() == before
    assert retain.load(path).sum() == 0


def test_a_mapping_outlives_the_file(folder):
    path = folder / "gone"
    retain.dump(np.arange(100_000), path)
    array = retain.load(path, mmap_mode="r")
    retain.dump("another", path)
    path.unlink()
    assert array.sum() == np.arange(100_000).sum()


def test_identity_and_other_objects_in_mapped_files(folder):
    array = np.arange(100)
    retain.dump(
        {"pair": [array, array], "plain": ["x", 1.5], "objects": np.array([1, None], object)}, folder / "identity"
    )
    loaded = retain.load(folder / "identity", mmap_mode="r")
    assert loaded["pair"][0] is loaded["pair"][1]
    assert loaded["plain"] == ["x", 1.5]
    assert type(loaded["objects"]) is np.ndarray


@pytest.mark.parametrize("mode", MODES)
def test_frames_and_models_of_mapped_files(folder, mode):
    for name in (
        "frame of floats",
        "frame of all",
        "sparse csr",
        "sklearn RandomForestClassifier",
        "masked",
        "recarray",
    ):
        if name in ALL:
            retain.dump(ALL[name], folder / "library")
            loaded = retain.load(folder / "library", mmap_mode=mode)
            assert loaded.equals(ALL[name]) if name.startswith("frame") else alike(ALL[name], loaded)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("codec", ["gzip", "zstd", "lz4"])
def test_compressed_files_are_read_with_a_warning(folder, mode, codec):
    retain.dump([np.arange(5)], folder / "compressed", compress=codec)
    with pytest.warns(UserWarning, match="compressed") as warned:
        (array,) = retain.load(folder / "compressed", mmap_mode=mode)
    assert type(array) is np.ndarray
    assert array.tolist() == [0, 1, 2, 3, 4]
    assert warned[0].filename == __file__


def test_file_objects_are_read_with_a_warning(folder):
    retain.dump([np.arange(5)], folder / "object")
    with (folder / "object").open("rb") as file, pytest.warns(UserWarning, match="ignored") as warned:
        (array,) = retain.load(file, mmap_mode="r")
    assert type(array) is np.ndarray
    assert warned[0].filename == __file__


@pytest.mark.parametrize("mode", MODES)
def test_archives_of_numpy_are_read_with_a_warning(folder, mode):
    np.savez(folder / "archive.npz", a=np.arange(5))
    with pytest.warns(UserWarning, match="ignored") as warned:
        loaded = retain.load(folder / "archive.npz", mmap_mode=mode)
    assert loaded["a"].sum() == 10
    assert warned[0].filename == __file__


@pytest.mark.parametrize("protocol", [2, 4])
def test_files_without_buffers_are_read_where_they_were_to_be_mapped(folder, protocol):
    retain.dump([np.arange(5)], folder / "old", protocol=protocol)
    assert retain.load(folder / "old", mmap_mode="r")[0].tolist() == [0, 1, 2, 3, 4]


# Read by others, who do not have retain


OTHERS = textwrap.dedent("""
    import gzip, pickle, sys, warnings
    sys.modules["retain"] = None
    warnings.simplefilter("ignore")
    try:
        import retain
    except ImportError:
        pass
    else:
        raise SystemExit("retain is here")
    import joblib
    import files_corpus

    folder = sys.argv[1]
    expected = files_corpus.everything()
    count = 0
    for number, (name, value) in enumerate(expected.items()):
        loaded = {}
        with open(f"{folder}/{number}", "rb") as file:
            loaded["pickle"] = pickle.load(file)
            assert file.read() == b""
        with gzip.open(f"{folder}/{number}.gz", "rb") as file:
            loaded["gzip and pickle"] = pickle.load(file)
        for extension in ("", ".z", ".gz", ".bz2", ".xz", ".lzma", *sys.argv[2:]):
            loaded["joblib" + extension] = joblib.load(f"{folder}/{number}{extension}")
        count += len(loaded)
        for how, each in loaded.items():
            assert files_corpus.alike(value, each), (name, how)
    assert not [name for name, module in sys.modules.items() if name.startswith("retain") and module is not None]
    print(len(expected), count)
""")


def test_pickle_and_joblib_read_all_of_them_without_retain(tmp_path):
    extensions = ["", ".z", ".gz", ".bz2", ".xz", ".lzma"]
    if find_spec("lz4") is not None:
        extensions.append(".lz4")
    for number, value in enumerate(ALL.values()):
        for extension in extensions:
            retain.dump(value, tmp_path / f"{number}{extension}", compress=1 if extension else 0)
    done = subprocess.run(
        [sys.executable, "-c", OTHERS, str(tmp_path), *extensions[6:]],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    values, files = map(int, done.stdout.split())
    assert values == len(ALL) >= 40
    assert files >= 7 * values


def test_joblib_maps_nothing_but_reads_all(folder):
    retain.dump([np.arange(1000)], folder / "theirs mapped")
    assert joblib.load(folder / "theirs mapped", mmap_mode="r")[0].sum() == 499500


# Large


@pytest.mark.skipif(
    "RETAIN_LARGE" not in os.environ, reason="RETAIN_LARGE is not set: takes 6 GB of memory and of disk"
)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("compress", [0, ("zstd", 1), ("lz4", 0), ("gzip", 1)])
def test_more_than_2_to_the_31_bytes_in_one_array(tmp_path, compress):
    array = np.zeros(2**31 + 12_345, np.uint8)
    array[:: 1 << 20] = 7
    array[-1] = 9
    retain.dump([array, "behind"], tmp_path / "large", compress=compress)
    loaded, behind = retain.load(tmp_path / "large")
    assert behind == "behind"
    assert np.array_equal(array, loaded)
    del loaded
    if not compress:
        mapped, _ = retain.load(tmp_path / "large", mmap_mode="r")
        assert mapped[-1] == 9
        assert mapped.size == array.size
