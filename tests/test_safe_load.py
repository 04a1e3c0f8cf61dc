"""`retain.safe_load` and `retain.scan`: what needs no trust, what does, and what is never run."""

from __future__ import annotations

import collections
import functools
import io
import operator
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import files_corpus
import joblib
import numpy as np
import pytest
import retain
from files_corpus import alike

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ALL = {
        **files_corpus.plain(),
        **files_corpus.arrays(),
        **{name: value for name, value in files_corpus.subclasses().items() if name != "of the user"},
        **files_corpus.frames(),
        **{name: value for name, value in files_corpus.tables().items() if not name.startswith("polars")},
        **files_corpus.matrices(),
    }
    MODELS = files_corpus.models()

# Of these, some are refused: in any file,
WITHOUT_RULES = {
    "masked records",
    "series of when",
    "series of zoned",
    "series of utc",
    "series of delta",
    "series of period",
    "series of interval",
    "series of sparse",
    "series of list of arrow",
    "DatetimeIndex",
    "IntervalIndex",
    "frame of all",
    "frame by dates",
    "no rows",
    "series of nothing",
    "named series",
    "pyarrow table",
    "pyarrow slice",
    "pyarrow dictionary",
    "pyarrow batch",
    "pyarrow schema",
    "sparse dok",
}
# or in pickles of old protocols and in files of joblib.
WITHOUT_RULES_ELSEWHERE = {
    "StringDType",
    "series of text",
    "series of string of arrow",
    "series of int of arrow",
    "sparse csr",
    "sparse csc",
    "sparse coo",
    "sparse bsr",
}
HARMLESS = {name: value for name, value in ALL.items() if name not in WITHOUT_RULES}

# numpy would rather have nobody make a matrix.
pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


class Stranger:
    """A class that needs trust."""

    def __init__(self, value=None):
        self.value = value

    def __eq__(self, other):
        return type(other) is Stranger and other.value == self.value


class Other:
    """Another."""


# What needs no trust


@pytest.mark.parametrize("name", HARMLESS)
def test_what_needs_no_trust_loads_as_load_has_it(folder, name):
    value = HARMLESS[name]
    for compress in (0, "zstd", "gzip"):
        path = folder / f"file{compress}"
        retain.dump(value, path, compress=compress)
        assert retain.scan(path).safe
        assert alike(retain.load(path, ensure_native_byte_order=False), retain.safe_load(path))


@pytest.mark.parametrize("name", sorted(HARMLESS.keys() - WITHOUT_RULES_ELSEWHERE))
def test_and_so_do_files_of_joblib_and_plain_pickles(folder, name):
    value = HARMLESS[name]
    path = folder / "theirs"
    for save in (joblib.dump, *(functools.partial(dump_plain, protocol) for protocol in (2, 4, 5))):
        try:
            save(value, path)
        except TypeError:
            # Not by this protocol.
            continue
        assert alike(retain.load(path, ensure_native_byte_order=False), retain.safe_load(path))


def dump_plain(protocol, value, path):
    path.write_bytes(pickle.dumps(value, protocol))


def test_all_of_them_in_one_file(folder):
    retain.dump(HARMLESS, folder / "all")
    loaded = retain.safe_load(folder / "all")
    assert [name for name in HARMLESS if not alike(HARMLESS[name], loaded[name])] == []


def test_from_file_objects_and_with_shared_parts(folder):
    array = np.arange(1000.0)
    value = [array, {"again": array}, [1, 2]]
    value.append(value)
    retain.dump(value, folder / "shared")
    for source in (folder / "shared", str(folder / "shared"), io.BytesIO((folder / "shared").read_bytes())):
        loaded = retain.safe_load(source)
        assert loaded[0] is loaded[1]["again"]
        assert loaded[3] is loaded
        assert np.array_equal(loaded[0], array)
    with (folder / "shared").open("rb") as file:
        assert np.array_equal(retain.safe_load(file)[0], array)


def test_what_was_loaded_can_be_written_to_as_after_load(folder):
    value = [np.arange(10), np.ones((3, 4), order="F"), bytearray(b"abc")]
    retain.dump(value, folder / "written")
    trusting, safe = retain.load(folder / "written"), retain.safe_load(folder / "written")
    for one, other in zip(trusting[:2], safe[:2], strict=True):
        assert one.flags.writeable == other.flags.writeable
        other[...] = 7
    assert type(safe[2]) is bytearray
    assert alike(trusting[1], retain.load(folder / "written")[1])


def test_npy_and_npz_without_objects(folder):
    np.save(folder / "a.npy", np.arange(5))
    np.savez(folder / "a.npz", x=np.arange(5), y=np.ones(3))
    assert retain.safe_load(folder / "a.npy").tolist() == [0, 1, 2, 3, 4]
    assert sorted(retain.safe_load(folder / "a.npz")) == ["x", "y"]
    np.save(folder / "o.npy", np.array([1, None], object))
    np.savez(folder / "o.npz", x=np.array([1, None], object))
    for name in ("o.npy", "o.npz"):
        with pytest.raises(retain.UnsafeFileError, match="objects"):
            retain.safe_load(folder / name)
        assert retain.scan(folder / name).verdict == "unsafe"


# What needs trust


@pytest.fixture
def strange(folder):
    """Return a file that needs trust in two classes and holds an array."""
    retain.dump([Stranger(np.arange(100)), Other(), Stranger(3)], folder / "strange")
    return folder / "strange"


NAMES = [(__name__, "Other"), (__name__, "Stranger")]


def test_the_message_lists_all_that_is_wanted_at_once(strange):
    with pytest.raises(retain.UnsafeFileError) as raised:
        retain.safe_load(strange)
    error = raised.value
    assert isinstance(error, pickle.UnpicklingError)
    assert error.filename == str(strange)
    assert sorted(error.wanted) == NAMES
    assert len(error.reasons) == 2
    for module, name in NAMES:
        assert f"{module}.{name}" in str(error)
        assert any(name in reason for reason in error.reasons)
    assert str(strange) in str(error)
    assert "trusted=[" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.wanted, again.reasons) == (str(error), error.wanted, error.reasons)


def test_trust_in_each_class_that_is_wanted(strange):
    loaded = retain.safe_load(strange, trusted=[f"{module}.{name}" for module, name in NAMES])
    assert np.array_equal(loaded[0].value, np.arange(100))
    assert type(loaded[1]) is Other
    assert loaded[2] == Stranger(3)


def test_trust_in_what_the_error_lists(strange):
    with pytest.raises(retain.UnsafeFileError) as raised:
        retain.safe_load(strange)
    granted = [f"{module}.{name}" for module, name in raised.value.wanted]
    assert retain.safe_load(strange, trusted=granted)[2] == Stranger(3)


def test_trust_in_a_part_is_not_enough(strange):
    with pytest.raises(retain.UnsafeFileError) as raised:
        retain.safe_load(strange, trusted=[f"{__name__}.Stranger"])
    assert raised.value.wanted == [(__name__, "Other")]


def test_trust_in_a_module_is_trust_in_its_classes(strange):
    for granted in ([__name__], (__name__,), {__name__}, iter([__name__])):
        assert retain.safe_load(strange, trusted=granted)[2] == Stranger(3)


@pytest.mark.parametrize("near", ["{}.Strange", "{}.Stranger.value", "{}x", "{}.stranger", "retain", "builtins"])
def test_names_that_are_only_similar_grant_nothing(strange, near):
    with pytest.raises((retain.UnsafeFileError, ValueError)):
        retain.safe_load(strange, trusted=[near.format(__name__)])


def test_a_list_of_names_is_what_is_trusted(strange):
    with pytest.raises(TypeError, match="list"):
        retain.safe_load(strange, trusted=__name__)
    for wrong in ([""], ["a..b"], ["a b"], ["*"], [1], [None], ["os\0"], [b"x"], [".a"], ["a."], ["a:b"]):
        with pytest.raises((ValueError, TypeError)):
            retain.safe_load(strange, trusted=wrong)
    with pytest.raises(TypeError):
        retain.safe_load(strange, trusted=1)


@pytest.mark.parametrize(
    ("called", "grant"),
    [
        ((os.path.join, "a", "b"), "os"),
        ((os.path.join, "a", "b"), "posixpath"),
        ((subprocess.getoutput, "true"), "subprocess"),
        ((functools.reduce, operator.add, [1, 2]), "functools"),
        ((operator.methodcaller, "x"), "os"),
        ((warnings.warn, "x"), "warnings"),
    ],
)
def test_a_package_grants_classes_and_no_functions(folder, called, grant):
    function, *arguments = called

    class Calling:
        def __reduce__(self):
            return function, tuple(arguments)

    retain.dump(Calling(), folder / "calling")
    with pytest.raises(retain.UnsafeFileError):
        retain.safe_load(folder / "calling", trusted=[grant])


def test_a_name_in_a_package_that_is_another_packages(folder):
    # joblib.numpy_pickle imports os, and pickle has names of copyreg.
    for module, name in (("joblib.numpy_pickle", "os"), ("joblib.numpy_pickle", "pickle")):
        (folder / "reached").write_bytes(b"\x80\x02c" + f"{module}\n{name}\n".encode() + b")R.")
        with pytest.raises(retain.UnsafeFileError):
            retain.safe_load(folder / "reached", trusted=["joblib"])
    (folder / "reached").write_bytes(b"\x80\x04\x8c\x13joblib.numpy_pickle\x8c\x09os.system\x93\x8c\x04true\x85R.")
    with pytest.raises(retain.UnsafeFileError):
        retain.safe_load(folder / "reached", trusted=["joblib"])


@pytest.mark.parametrize(
    "name", sorted(MODELS.keys() - {"sklearn KNeighborsClassifier", "sklearn HistGradientBoostingClassifier"})
)
def test_estimators_of_scikit_learn_with_trust_in_it(folder, name):
    path = folder / "model"
    retain.dump(MODELS[name], path)
    with pytest.raises(retain.UnsafeFileError) as raised:
        retain.safe_load(path)
    assert all(module.partition(".")[0] == "sklearn" for module, _ in raised.value.wanted)
    assert alike(MODELS[name], retain.safe_load(path, trusted=["sklearn"]))
    granted = [f"{module}.{each}" for module, each in raised.value.wanted]
    assert alike(MODELS[name], retain.safe_load(path, trusted=granted))
    joblib.dump(MODELS[name], path)
    assert alike(MODELS[name], retain.safe_load(path, trusted=["sklearn"]))


# Nothing is imported, nothing is run


def test_nothing_is_imported_before_the_verdict(tmp_path):
    wanted = [
        "sqlite3.Connection",
        "xml.dom.minidom.Document",
        "multiprocessing.pool.Pool",
        "a_module_that_is_missing.X",
    ]
    for number, dotted in enumerate(wanted):
        module, _, name = dotted.rpartition(".")
        (tmp_path / str(number)).write_bytes(b"\x80\x02c" + f"{module}\n{name}\n".encode() + b")R.")
    retain.dump([np.arange(5), {1, 2}], tmp_path / "harmless")
    program = textwrap.dedent("""
        import sys
        import retain
        folder, *wanted = sys.argv[1:]
        before = set(sys.modules)
        for number, name in enumerate(wanted):
            path = f"{folder}/{number}"
            module, _, name = name.rpartition(".")
            try:
                retain.safe_load(path)
            except retain.UnsafeFileError as error:
                assert error.wanted == [(module, name)], error.wanted
            else:
                raise SystemExit("it was loaded")
            assert retain.scan(path).verdict in {"needs trust", "unsafe"}
            assert module not in sys.modules, module
            # Not even what is trusted, if something else is not.
        assert "numpy" not in sys.modules
        assert retain.scan(folder + "/harmless").safe
        assert "numpy" not in sys.modules
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        assert not new & {"sqlite3", "xml", "multiprocessing", "numpy", "pandas"}, new
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), *wanted], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr


def test_not_even_what_is_trusted_is_imported_where_something_else_is_refused(tmp_path):
    stream = b"\x80\x02(csqlite3\nConnection\n)Rcos\nsystem\nX\x04\x00\x00\x00true\x85Rt."
    (tmp_path / "file").write_bytes(stream)
    program = textwrap.dedent("""
        import sys
        import retain
        try:
            retain.safe_load(sys.argv[1], trusted=["sqlite3.Connection"])
        except retain.UnsafeFileError as error:
            assert "sqlite3" not in sys.modules
            assert ("os", "system") in error.wanted or ("posix", "system") in error.wanted, error.wanted
        else:
            raise SystemExit("it was loaded")
    """)
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "file")], timeout=50, check=True)


def test_a_class_that_is_trusted_but_missing_is_an_import_error(tmp_path):
    (tmp_path / "file").write_bytes(b"\x80\x02ca_module_that_is_missing\nX\n)R.")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing"):
        retain.safe_load(tmp_path / "file", trusted=["a_module_that_is_missing.X"])


def attacks(mark):
    """Return all hostile files of the attacks folder, by name: their bytes and kind."""
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        from attacks.hostile import hostile
    finally:
        del sys.path[0]
    return {name: (content, kind) for name, content, kind in hostile(str(mark))}


def test_hostile_files_are_refused_and_leave_no_mark(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "file"
    hostile = attacks(mark)
    assert len(hostile) > 100
    loaded = []
    for name, (content, kind) in hostile.items():
        path.write_bytes(content)
        for source in (path, io.BytesIO(content)):
            try:
                retain.safe_load(source)
            except (retain.UnsafeFileError, retain.CorruptFileError):
                pass
            else:
                loaded.append((name, kind))
        assert not mark.exists(), name
        assert not retain.scan(path).safe, name
    assert loaded == []


def test_hostile_files_are_refused_with_trust_in_something_else(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "file"
    for name, (content, _) in attacks(mark).items():
        path.write_bytes(content)
        with pytest.raises((retain.UnsafeFileError, retain.CorruptFileError)):
            retain.safe_load(path, trusted=["sklearn", "numpy.linalg", f"{__name__}.Stranger"])
        assert not mark.exists(), name


@pytest.mark.parametrize("compress", ["zlib", "gzip", "bz2", "xz", "lz4", "zstd"])
def test_hostile_files_are_refused_in_compressed_files_too(tmp_path, compress):
    mark = tmp_path / "mark"

    class Running:
        def __reduce__(self):
            return os.mkdir, (str(mark),)

    retain.dump([np.arange(1000), Running()], tmp_path / "file", compress=compress)
    with pytest.raises(retain.UnsafeFileError) as raised:
        retain.safe_load(tmp_path / "file")
    assert ("posix", "mkdir") in raised.value.wanted or ("os", "mkdir") in raised.value.wanted
    assert not mark.exists()
    assert not retain.scan(tmp_path / "file").safe
    # Were it not refused, it would run.
    retain.load(tmp_path / "file")
    assert mark.exists()


def test_a_file_that_changes_after_it_was_verified_is_not_read_again(tmp_path, monkeypatch):
    from retain._files import safe

    mark, path = tmp_path / "mark", tmp_path / "file"

    class Running:
        def __reduce__(self):
            return os.mkdir, (str(mark),)

    original = safe.scan_block

    def exchanging(*arguments):
        found = original(*arguments)
        retain.dump(Running(), tmp_path / "other")
        with path.open("r+b") as file:
            file.write((tmp_path / "other").read_bytes())
        return found

    for compress in (0, "gzip"):
        retain.dump([1, np.arange(10)], path, compress=compress)
        monkeypatch.setattr(safe, "scan_block", exchanging)
        assert retain.safe_load(path)[1].sum() == 45
        monkeypatch.setattr(safe, "scan_block", original)
    assert not mark.exists()


# Reports


def test_a_report_tells_what_is_in_a_file(folder):
    path = folder / "report"
    value = {"x": np.arange(12.0).reshape(3, 4), "y": [np.ones((2, 2), order="F")], "z": Stranger(1)}
    retain.dump(value, path, compress="zstd")
    report = retain.scan(path)
    assert (report.format, report.codec, report.protocol) == ("retain", "zstd", 5)
    assert report.size == path.stat().st_size
    assert report.bytes > 0
    assert report.opcodes > 20
    (array, _) = report.arrays
    assert array.path.strip("[]\"'.") == "x"
    assert (array.shape, array.dtype, array.nbytes, array.object) == ((3, 4), "f8", 96, False)
    assert [each.order for each in report.arrays] == ["C", "F"]
    assert report.verdict == "needs trust"
    assert not report.safe
    assert report.wanted == (f"{__name__}.Stranger",)
    assert report.damage is None
    assert not report.signed
    trusted = retain.scan(path, trusted=[f"{__name__}.Stranger"])
    assert trusted.safe
    assert {each.verdict for each in trusted.globals} == {"allowed", "trusted"}


@pytest.mark.parametrize(
    ("save", "kind"),
    [
        (lambda value, path: retain.dump(value, path), "retain"),
        (lambda value, path: retain.dump(value, path, protocol=3), "pickle"),
        (lambda value, path: joblib.dump(value, path), "joblib"),
        (lambda value, path: path.write_bytes(pickle.dumps(value)), "pickle"),
    ],
)
def test_a_report_tells_the_format(folder, save, kind):
    save([np.arange(5), "x"], folder / "format")
    report = retain.scan(folder / "format")
    assert report.format == kind
    assert report.safe


def test_a_report_lists_every_global_with_how_often(folder):
    value = [Stranger(n) for n in range(7)] + [collections.OrderedDict(a=1)]
    (folder / "globals").write_bytes(pickle.dumps(value))
    found = {(each.module, each.name): each for each in retain.scan(folder / "globals").globals}
    assert found[__name__, "Stranger"].verdict == "needs trust"
    assert found["collections", "OrderedDict"].verdict == "allowed"
    assert found[__name__, "Stranger"].count >= 1


def test_a_report_of_a_damaged_file(folder):
    retain.dump([np.arange(1000), "x"], folder / "damaged")
    content = (folder / "damaged").read_bytes()
    (folder / "damaged").write_bytes(content[: len(content) // 2])
    report = retain.scan(folder / "damaged")
    assert report.verdict == "damaged"
    assert report.damage
    with pytest.raises(retain.CorruptFileError):
        retain.safe_load(folder / "damaged")


def test_damage_is_found_before_anything_is_built(folder):
    retain.dump([np.arange(1000), "text" * 10], folder / "flipped")
    content = (folder / "flipped").read_bytes()
    for at in range(0, len(content), 29):
        damaged = bytearray(content)
        damaged[at] ^= 2
        (folder / "flipped").write_bytes(damaged)
        try:
            loaded = retain.safe_load(folder / "flipped")
        except (retain.CorruptFileError, retain.UnsafeFileError):
            continue
        assert alike([np.arange(1000), "text" * 10], loaded)
