"""The command `retain`: what it prints, and how it ends."""

import importlib.metadata
import json
import os
import pickle
import stat
import subprocess
import sys

import joblib
import numpy as np
import pytest
import retain
from retain._command import VERBS, main
from sklearn.linear_model import LinearRegression


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/retain-was-run",)


@pytest.fixture
def files(tmp_path):
    """Files of each kind, by name."""
    data = {"a": np.arange(6.0).reshape(2, 3), "tags": ["x", "y"], "n": None}
    retain.dump(data, tmp_path / "data")
    joblib.dump(data, tmp_path / "data.joblib", compress=3)
    retain.dump({"model": LinearRegression().fit([[0.0], [1]], [0.0, 1])}, tmp_path / "model")
    (tmp_path / "hostile").write_bytes(pickle.dumps(Hostile()))
    (tmp_path / "noise").write_bytes(b"no file of any kind")
    np.save(tmp_path / "a.npy", data["a"])
    np.savez(tmp_path / "a.npz", a=data["a"], b=np.zeros(3, "i4"))
    return tmp_path


def retained(capsys, *arguments):
    """The status and what was printed."""
    status = main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def test_scan_tells_what_a_file_is(files, capsys):
    status, out, _ = retained(capsys, "scan", files / "data")
    assert status == 0
    assert "verdict: safe" in out
    assert "float64  2x3" in out
    status, out, _ = retained(capsys, "scan", files / "model")
    assert status == 1
    assert "needs trust" in out
    assert "sklearn.linear_model._base.LinearRegression" in out
    status, _, _ = retained(capsys, "scan", files / "model", "--trust", "sklearn")
    assert status == 0
    status, out, _ = retained(capsys, "scan", files / "hostile")
    assert status == 1
    assert "verdict: unsafe" in out
    assert "system" in out


def test_scan_as_json_is_the_report(files, capsys):
    status, out, _ = retained(capsys, "scan", "--json", files / "data.joblib")
    assert status == 0
    found = json.loads(out)
    assert found == json.loads(json.dumps(retain.scan(files / "data.joblib").as_dict()))
    assert found["format"] == "joblib"
    assert found["codec"] == "zlib"
    assert found["arrays"][0]["shape"] == [2, 3]


def test_scan_goes_on_after_a_file_that_is_missing(files, capsys):
    status, out, err = retained(capsys, "scan", files / "missing", files / "data", files)
    assert status == 2
    assert "verdict: safe" in out
    assert err.splitlines() == [
        f"retain: {files / 'missing'}: No such file or directory",
        f"retain: {files}: Is a directory",
    ]


def test_a_report_reads_well(files):
    report = retain.scan(files / "model")
    assert "LinearRegression" in str(report)
    assert "<table>" in report._repr_html_()
    assert "needs trust" in repr(report)
    assert report.wanted == ("sklearn.linear_model._base.LinearRegression",)
    assert not report.safe
    with pytest.raises(AttributeError):
        report.verdict = "safe"


def test_names_in_files_do_not_reach_the_terminal(tmp_path, capsys):
    path = tmp_path / "value"
    path.write_bytes(b"\x80\x04\x8c\x0ba\x1b[31m<b>m\n\x8c\x01n\x93.")
    retained(capsys, "scan", path)
    retain.dump({"\x1b[2J": "\x1b[2J"}, path)
    _, out, err = retained(capsys, "show", path)
    assert "\x1b" not in out + err
    found = {**retain.scan(path).as_dict(), "refusals": [{"offset": 0, "reason": "<b>"}]}
    del found["wanted"]
    report = retain.Report.from_scan("\x1b<i>", found)
    assert "<b>" not in report._repr_html_().replace("<p><b>", "")
    assert "\x1b" not in str(report)


def test_show_prints_the_outline(files, capsys):
    expected = """\
dict of 3
  ['a']: array float64 2x3
  ['tags']: list of 2
    [0]: 'x'
    [1]: 'y'
  ['n']: None
"""
    assert retained(capsys, "show", files / "data") == (0, expected, "")
    assert retained(capsys, "show", files / "data.joblib") == (0, expected, "")
    assert retained(capsys, "show", "--depth", "1", "--items", "1", files / "data")[1] == (
        "dict of 3\n  ['a']: array float64 2x3\n  and 2 more\n"
    )
    _, out, _ = retained(capsys, "show", files / "model")
    assert "['model']: sklearn.linear_model._base.LinearRegression" in out
    assert ".coef_: array float64 1" in out
    assert retained(capsys, "show", files / "a.npy")[1] == "array float64 2x3\n"
    assert retained(capsys, "show", files / "a.npz")[1].splitlines()[1:] == [
        "  a: array float64 2x3",
        "  b: array int32 3",
    ]


def test_show_as_json(files, capsys):
    _, out, _ = retained(capsys, "show", "--json", files / "data")
    assert json.loads(out)["below"][0] == {"label": "['a']", "text": "array float64 2x3"}


def test_show_imports_nothing(files):
    program = f"""
import sys
from retain._command import VERBS, main
main(["show", {str(files / "model")!r}])
assert not {{"sklearn", "numpy"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_show_does_not_import_what_would_need_trust(tmp_path, capsys):
    mark = tmp_path / "mark"
    (tmp_path / "leaves_a_mark.py").write_text(f"open({str(mark)!r}, 'w')\nclass Thing: pass\nmake = Thing\n")
    for stream in (
        b"\x80\x04\x8c\x0dleaves_a_mark\x8c\x05Thing\x93)\x81}\x8c\x01xK\x01sb.",
        b"\x80\x02cleaves_a_mark\nmake\n(K\x01tR.",
        b"(K\x01ileaves_a_mark\nThing\n.",
    ):
        (tmp_path / "value").write_bytes(stream)
        program = f"import sys; sys.path[0] = {str(tmp_path)!r}\nfrom retain._command import main\nmain(sys.argv[1:])"
        command = [sys.executable, "-c", program, "show", str(tmp_path / "value")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
        assert ended.stdout.startswith("leaves_a_mark.")
        assert not mark.exists()


@pytest.mark.parametrize("write", [retain.dump, joblib.dump])
@pytest.mark.parametrize("options", [{}, {"compress": 3}, {"protocol": 2}])
def test_show_sees_all_arrays(tmp_path, capsys, write, options):
    value = {
        "big": np.zeros(100_000),
        "objects": np.array([1, [np.zeros(3)]], object),
        "record": np.zeros(3, [("a", "O"), ("b", "i4")]),
        "empty": np.zeros((0, 3), ">f4"),
        "texts": np.array(["abc", "d"]),
        "dates": np.array(["2020"], "M8[D]"),
        "last": np.float32(1.5),
    }
    write(value, tmp_path / "value", **options)
    assert retained(capsys, "show", tmp_path / "value") == (
        0,
        """\
dict of 7
  ['big']: array float64 100000
  ['objects']: array object 2
  ['record']: array record of a, b 3
  ['empty']: array float32 (big-endian) 0x3
  ['texts']: array U3 2
  ['dates']: array M8 1
  ['last']: numpy scalar float32: 1.5
""",
        "",
    )


@pytest.mark.parametrize("name", ["data", "data.joblib", "a.npy", "a.npz", "model", "hostile"])
@pytest.mark.parametrize("verb", ["scan", "show"])
def test_files_cut_short_are_told_without_a_traceback(files, capsys, verb, name):
    whole = (files / name).read_bytes()
    for end in range(0, len(whole), max(len(whole) // 25, 1)):
        (files / "cut").write_bytes(whole[:end])
        status, _, _ = retained(capsys, verb, files / "cut")
        assert status in {1, 2}


def test_show_does_not_look_into_hostile_files(files, capsys):
    status, out, err = retained(capsys, "show", files / "hostile")
    assert (status, out) == (1, "")
    assert "not shown, since it is unsafe" in err
    assert not os.path.exists("/tmp/retain-was-run")  # noqa: PTH110, S108


@pytest.mark.parametrize("verb", ["scan", "show"])
def test_files_of_no_kind(files, capsys, verb):
    status, _, err = retained(capsys, verb, files / "noise")
    assert status != 0
    assert "Traceback" not in err


def test_convert_says_what_it_wrote(files, capsys):
    target = files / "out.npz"
    status, out, err = retained(capsys, "convert", "--skip", files / "data", target)
    assert status == 0
    assert out.startswith(f"{target}: npz file, 1 array, ")
    assert "tags[0]" in err
    status, out, _ = retained(capsys, "convert", "--json", files / "a.npz", files / "out.safetensors")
    assert json.loads(out)["arrays"] == 2
    assert retained(capsys, "convert", "--quiet", files / "a.npz", files / "out.pkl") == (0, "", "")


def test_convert_says_why_it_did_not(files, capsys):
    status, out, err = retained(capsys, "convert", files / "data", files / "out.npz")
    assert (status, out) == (2, "")
    assert "tags[0] is an object of the type str" in err
    status, _, err = retained(capsys, "convert", files / "model", files / "out.pkl")
    assert status == 2
    assert "LinearRegression" in err
    assert retained(capsys, "convert", "--trust", "sklearn", files / "model", files / "out.pkl")[0] == 0
    assert retained(capsys, "convert", "--unsafe", files / "model", files / "out.pkl")[0] == 0
    assert retained(capsys, "convert", "--compress", "zstd:19", files / "data", files / "out.pkl")[0] == 0
    assert retained(capsys, "convert", "--compress", "zstd:x", files / "data", files / "out.pkl")[0] == 2
    assert retained(capsys, "convert", files / "missing", files / "out.pkl")[0] == 2


def test_keygen_makes_keys_that_sign(tmp_path, capsys):
    key = tmp_path / "key"
    status, out, _ = retained(capsys, "keygen", key)
    assert status == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    public = (tmp_path / "key.pub").read_text().strip()
    assert public in out
    assert key.read_text().strip() not in out
    status, _, err = retained(capsys, "keygen", key)
    assert status == 2
    assert "exists already" in err
    assert retained(capsys, "keygen", "--force", key)[0] == 0
    assert (tmp_path / "key.pub").read_text().strip() != public


def run(*arguments, **options):
    command = [sys.executable, "-m", "retain", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, **options)


def test_the_module_is_the_command(files):
    ended = run("scan", files / "data")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "verdict: safe" in ended.stdout
    assert run("--version").stdout == f"retain {retain.__version__}\n"


def test_the_script_is_installed():
    (script,) = (point for point in importlib.metadata.entry_points(group="console_scripts") if point.name == "retain")
    assert script.load() is main


def test_wrong_arguments_are_told():
    for arguments in ([], ["nonsense"], ["scan"], ["show", "--depth", "-1", "x"], ["scan", "--trust", "a b", "x"]):
        ended = run(*arguments)
        assert ended.returncode == 2
        assert "usage: retain" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_help_names_all_verbs():
    shown = run("--help").stdout
    assert all(f"    {verb} " in shown for verb in VERBS)
    assert "exit status" in run("scan", "--help").stdout


def test_a_reader_that_leaves_is_no_error(files):
    retain.dump(list(range(100_000)), files / "long")
    command = [sys.executable, "-m", "retain", "show", "--items", "100000", str(files / "long")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "list of 100,000\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(50) == 0
