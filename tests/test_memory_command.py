"""The command on memories."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import retain
from retain._command import main
from retain._command.gc import age_given, size_given

LINUX = pytest.mark.skipif(sys.platform == "win32", reason="terminals as POSIX has them")


def retained(capsys, *arguments):
    """The status and what was printed."""
    status = main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def told(capsys, *arguments):
    """The status, and what was printed as JSON."""
    status, out, _ = retained(capsys, *arguments, "--json")
    return status, json.loads(out)


calls = []


def area(radius, unit="m"):
    calls.append(radius)
    return [radius * radius * 3, unit]


def zeros(count):
    calls.append(count)
    return {"zeros": np.zeros(count), "count": count}


class Memories:
    """A memory with five entries of two functions, one of them in a file of its own."""

    def __init__(self, folder, layout):
        self.folder = folder
        self.memory = retain.Memory(str(folder), verbose=0, layout=layout)
        self.area = self.memory.cache(area)
        self.zeros = self.memory.cache(zeros)
        for radius in (1, 2, 3, 1, 2, 1):
            self.area(radius)
        self.zeros(10)
        self.zeros(count=50_000)
        self.flush()

    def flush(self):
        self.memory._place.flush()

    @property
    def store(self):
        return self.folder / "retain"


@pytest.fixture(params=["indexed", "plain"])
def memories(tmp_path, request):
    made = Memories(tmp_path / "cache", request.param)
    calls.clear()
    return made


# stat


def test_stat_tells_of_each_function(memories, capsys):
    status, out, err = retained(capsys, "stat", memories.folder)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert "2 functions" in lines[0]
    assert lines[2].split()[:3] == ["function", "versions", "entries"]
    (row,) = (line for line in lines if "area" in line)
    assert row.split()[1:3] == ["1", "3"]
    assert re.search(r" 3 +3 +50 % ", row)
    assert lines[-1].split()[:3] == ["all", "2", "5"]


def test_stat_as_json(memories, capsys):
    _, found = told(capsys, "stat", memories.folder)
    assert found["folder"] == str(memories.store)
    assert found["layout"] == memories.memory._store.layout
    assert (found["entries"], found["hits"], found["misses"]) == (5, 3, 5)
    assert found["hit_rate"] == 3 / 8
    by_name = {each["function"].rpartition(".")[2]: each for each in found["functions"]}
    assert by_name["area"]["entries"] == 3
    assert by_name["area"]["hit_rate"] == 0.5
    assert by_name["zeros"]["bytes"] > 400_000
    assert by_name["area"]["saved"] > 0
    assert by_name["area"]["spent"] > 0
    assert by_name["area"]["versions"] == 1
    assert abs(by_name["area"]["used"] - time.time()) < 120


def test_the_folder_may_be_the_one_within(memories, capsys):
    assert told(capsys, "stat", memories.store) == told(capsys, "stat", memories.folder)


def test_an_empty_memory(tmp_path, capsys):
    memory = retain.Memory(str(tmp_path), verbose=0)
    memory.cache(area)(1)
    memory.clear(warn=False)
    assert told(capsys, "stat", tmp_path)[1]["entries"] == 0
    assert retained(capsys, "ls", tmp_path) == (0, "", "")
    assert told(capsys, "ls", tmp_path) == (0, [])
    assert retained(capsys, "verify", tmp_path)[0] == 0


VERBS = [("stat",), ("ls",), ("rm", "00"), ("gc", "--max-items", "1"), ("verify",), ("clear",), ("show", "00")]


@pytest.mark.parametrize(("verb", "more"), [(verb, more) for verb, *more in VERBS])
def test_where_there_is_no_memory_none_is_made(tmp_path, capsys, verb, more):
    (tmp_path / "joblib").mkdir()
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "empty").mkdir()
    for name, complaint in (
        ("missing", "No such file or directory"),
        ("file", "not a folder"),
        ("empty", "no memory of retain"),
        ("", "results of joblib"),
    ):
        status, out, err = retained(capsys, verb, tmp_path / name, *more)
        assert (status, out) == (2, "")
        assert complaint in err
        assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "file", "joblib"]


def test_a_memory_of_a_later_retain_is_told(memories, capsys):
    marker = memories.store / "retain-store"
    words = marker.read_text().split()
    marker.write_text(" ".join([*words[:-1], "99"]) + "\n")
    status, out, err = retained(capsys, "stat", memories.folder)
    assert (status, out) == (2, "")
    assert "99" in err
    assert "Traceback" not in err
    marker.write_text("anything at all\n")
    assert retained(capsys, "stat", memories.folder)[0] == 2


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_a_folder_that_others_may_write_to_is_refused_with_the_remedy(memories, capsys):
    memories.store.chmod(0o777)
    status, out, err = retained(capsys, "stat", memories.folder)
    assert (status, out) == (2, "")
    assert "chmod go-w" in err
    assert "key" in err


# ls


def test_ls_lists_calls(memories, capsys):
    status, out, err = retained(capsys, "ls", memories.folder)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 6
    assert "area(radius=3, unit='m')" in out
    assert "zeros(count=50000)" in out
    assert retained(capsys, "ls", memories.folder, "zeros")[1].count("\n") == 3


def test_ls_as_json(memories, capsys):
    _, found = told(capsys, "ls", memories.folder, "area")
    assert sorted(each["arguments"]["radius"] for each in found) == ["1", "2", "3"]
    for each in found:
        assert re.fullmatch("[0-9a-f]{64}", each["name"])
        assert each["function"].endswith(".area")
        assert each["expires"] is None
        assert each["cost"] >= 0
        assert each["size"] > 0
        assert abs(each["created"] - time.time()) < 120
        assert abs(each["used"] - time.time()) < 120


def test_names_of_functions_by_their_end(memories, capsys):
    def second():
        return 1

    second.__qualname__ = "other.area"
    retain.Memory(str(memories.folder), verbose=0).cache(second)()
    status, out, err = retained(capsys, "ls", memories.folder, "area")
    assert (status, out) == (2, "")
    assert "which of" in err
    status, _, err = retained(capsys, "ls", memories.folder, "zeroes")
    assert status == 2
    assert "zeros" in err
    assert retained(capsys, "ls", memories.folder, "other.area")[0] == 0


def test_when_an_entry_ends_is_told(memories, capsys):
    memories.memory.cache(area, ttl=5000)(7)
    memories.flush()
    assert "(ends in 1 h)" in retained(capsys, "ls", memories.folder)[1]
    name = next(each["name"] for each in told(capsys, "ls", memories.folder)[1] if each["expires"])
    assert "ends " in retained(capsys, "show", memories.folder, name[:12])[1]


# show


def test_show_tells_of_an_entry(memories, capsys):
    for each in told(capsys, "ls", memories.folder)[1]:
        status, out, err = retained(capsys, "show", memories.folder, each["name"][:16])
        assert (status, err) == (0, "")
        assert each["function"] in out
        assert each["name"] in out
        if each["arguments"].get("count") == "50000":
            assert "  ['zeros']: array float64 50000\n" in out
            assert "  count  50000\n" in out
        if each["arguments"].get("radius") == "3":
            assert out.endswith("list of 2\n  [0]: 27\n  [1]: 'm'\n")


def test_show_as_json(memories, capsys):
    each = told(capsys, "ls", memories.folder, "zeros")[1][0]
    status, found = told(capsys, "show", memories.folder, each["name"])
    assert status == 0
    assert {name: found[name] for name in each if name != "used"} == {
        name: each[name] for name in each if name != "used"
    }
    assert found["value"]["text"] == "dict of 2"


def leave_mark(path):
    with open(path, "w"):  # noqa: PTH123
        pass


class Marks:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return leave_mark, (self.path,)


def marks(path):
    return [Marks(path)]


@pytest.mark.parametrize("compress", [False, True])
def test_show_runs_nothing(tmp_path, capsys, compress):
    memory = retain.Memory(str(tmp_path / "cache"), verbose=0, compress=compress)
    memory.cache(marks)(str(tmp_path / "mark"))
    memory._place.flush()
    (each,) = told(capsys, "ls", tmp_path / "cache")[1]
    (tmp_path / "mark").unlink(missing_ok=True)
    status, out, _ = retained(capsys, "show", tmp_path / "cache", each["name"])
    assert "marks" in out
    assert status in {0, 1}
    assert retained(capsys, "verify", tmp_path / "cache")[0] == 0
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("compress", [False, "zlib", ("zstd", 3)])
def test_show_sees_compressed_values(tmp_path, capsys, compress):
    memory = retain.Memory(str(tmp_path), verbose=0, compress=compress)
    for count in (10, 100_000):
        memory.cache(zeros)(count)
    for each in told(capsys, "ls", tmp_path)[1]:
        status, out, err = retained(capsys, "show", tmp_path, each["name"])
        assert (status, err) == (0, "")
        assert f"array float64 {each['arguments']['count']}" in out


def test_a_folder_is_no_file_to_show(memories, capsys):
    status, _, err = retained(capsys, "show", memories.folder)
    assert status == 2
    assert "retain ls" in err


# rm


def test_rm_removes_what_was_named(memories, capsys):
    before = told(capsys, "ls", memories.folder)[1]
    gone = [each for each in before if each["arguments"].get("radius") in {"1", "2"}]
    status, out, _ = retained(capsys, "rm", memories.folder, *(each["name"][:20] for each in gone))
    assert status == 0
    assert out.startswith("2 entries removed, ")
    after = told(capsys, "ls", memories.folder)[1]
    names = {each["name"] for each in before} - {each["name"] for each in gone}
    assert {each["name"] for each in after} == names
    # Also for those who held it in memory.
    for radius in (1, 2, 3):
        assert memories.area(radius) == [radius * radius * 3, "m"]
    assert calls == [1, 2]


def test_rm_removes_nothing_where_a_name_is_wrong(memories, capsys):
    before = told(capsys, "ls", memories.folder)[1]
    for wrong in ("", "xyz", "zeros", "0" * 64):
        status, out, err = retained(capsys, "rm", memories.folder, before[0]["name"], wrong)
        assert (status, out) == (2, "")
        assert "retain ls" in err
    one = before[0]["name"][0]
    if sum(each["name"].startswith(one) for each in before) > 1:
        assert "names begin so" in retained(capsys, "rm", memories.folder, one)[2]
    assert len(told(capsys, "ls", memories.folder)[1]) == 5


def test_a_beginning_that_fits_several_is_told(tmp_path, capsys):
    memory = retain.Memory(str(tmp_path), verbose=0)
    for radius in range(40):
        memory.cache(area)(radius)
    # Of 40 names, two begin with the same digit.
    firsts = [each["name"][0] for each in told(capsys, "ls", tmp_path)[1]]
    several = next(first for first in firsts if firsts.count(first) > 1)
    status, _, err = retained(capsys, "rm", tmp_path, several)
    assert status == 2
    assert f"{firsts.count(several)} entries' names begin so: " in err


# gc


def test_gc_keeps_within_a_number(memories, capsys):
    status, out, _ = retained(capsys, "gc", memories.folder, "--max-items", "2")
    assert status == 0
    assert out.startswith("3 entries removed, ")
    assert "2 entries left" in out
    assert len(told(capsys, "ls", memories.folder)[1]) == 2


def test_gc_keeps_within_a_size_and_an_age(memories, capsys):
    _, found = told(capsys, "gc", memories.folder, "--max-bytes", "100k")
    assert found["removed"] >= 1
    assert found["left_bytes"] <= 100 * 1024
    assert told(capsys, "gc", memories.folder, "--max-age", "1h")[1]["removed"] == 0
    assert told(capsys, "gc", memories.folder, "--max-age", "0s")[1]["left"] == 0


def test_gc_wants_to_know_to_what(memories, capsys):
    status, _, err = retained(capsys, "gc", memories.folder)
    assert status == 2
    assert "--max-bytes" in err


def test_sizes_and_ages_as_people_write_them(memories, capsys):
    assert size_given("10G") == 10 << 30
    assert size_given("1.5k") == 1536
    assert size_given("7") == 7
    assert age_given("30d") == 30 * 86400
    assert age_given("1.5h") == 5400
    assert age_given("20") == 20
    for options in (["--max-bytes", "10Q"], ["--max-bytes", "-1"], ["--max-age", "3 moons"], ["--max-age", "inf"]):
        with pytest.raises(SystemExit) as ended:
            main(["gc", str(memories.folder), *options])
        assert ended.value.code == 2
        assert "is" in capsys.readouterr().err


# verify


def test_verify_finds_what_is_damaged(memories, capsys):
    assert retained(capsys, "verify", memories.folder) == (0, "5 entries checked, none damaged\n", "")
    (blob,) = (path for path in memories.store.rglob("*.pkl") if path.stat().st_size > 100_000)
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(content)
    status, out, _ = retained(capsys, "verify", memories.folder)
    assert status == 1
    assert "1 damaged and removed" in out
    assert "zeros(count=50000)" in out
    assert retained(capsys, "verify", memories.folder)[0] == 0
    assert told(capsys, "verify", memories.folder) == (0, {"checked": 4, "damaged": []})
    assert memories.memory.cache(zeros)(50_000)["count"] == 50_000


# clear


def test_clear_of_a_function_and_of_all(memories, capsys):
    assert retained(capsys, "clear", memories.folder, "zeros", "--yes") == (0, "2 entries removed\n", "")
    assert {each["function"].rpartition(".")[2] for each in told(capsys, "ls", memories.folder)[1]} == {"area"}
    assert told(capsys, "clear", memories.folder, "-y") == (0, {"removed": 3})
    assert told(capsys, "ls", memories.folder) == (0, [])
    assert memories.area(1) == [3, "m"]
    assert calls == [1]


def on_terminal(*arguments, answer=b"", environment=None):
    """Run the command on a terminal of its own: its status, and what was shown."""
    here, there = pty.openpty()
    shown = []

    def read():
        while True:
            try:
                part = os.read(here, 1000)
            except OSError:
                return
            if not part:
                return
            shown.append(part)

    command = [sys.executable, "-m", "retain", *map(str, arguments)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **(environment or {})}
    with subprocess.Popen(command, stdin=there, stdout=there, stderr=there, env=environment) as process:
        os.close(there)
        reader = threading.Thread(target=read)
        reader.start()
        if answer:
            os.write(here, answer)
        status = process.wait(50)
        reader.join(50)
    os.close(here)
    return status, b"".join(shown).decode()


@LINUX
def test_clear_asks_on_a_terminal(memories, capsys):
    for answer in (b"n\n", b"\n", b"anything\n"):
        status, shown = on_terminal("clear", memories.folder, "zeros", answer=answer)
        assert status == 1
        assert "Remove 2 entries, " in shown
        assert "zeros? [y/N]" in shown
    assert len(told(capsys, "ls", memories.folder)[1]) == 5
    status, shown = on_terminal("clear", memories.folder, answer=b"y\n")
    assert status == 0
    assert "5 entries removed" in shown
    assert told(capsys, "ls", memories.folder) == (0, [])


@LINUX
def test_colours_are_for_terminals(memories, capsys):
    status, shown = on_terminal("ls", memories.folder)
    assert status == 0
    assert "\x1b[33m" in shown
    # Nothing is longer than the terminal is wide.
    assert max(len(re.sub("\x1b\\[[0-9]*m", "", line)) for line in shown.splitlines()) <= 100
    assert "\x1b" not in on_terminal("ls", memories.folder, environment={"NO_COLOR": "1"})[1]
    assert "\x1b" not in on_terminal("ls", memories.folder, environment={"TERM": "dumb"})[1]
    assert "\x1b" not in retained(capsys, "ls", memories.folder)[1]


# explain

MODULE = """
import os
import retain

FACTOR = {factor}
memory = retain.Memory(os.path.join(os.path.dirname(__file__), "cache"), verbose=0, layout="{layout}")

def plain(value, more=1):
    return value * FACTOR + more

@memory.cache
def kept(value, more=1):
    return value * FACTOR + more

class Holder:
    @staticmethod
    def within(value):
        return value

number = 3

if __name__ == "__main__":
    kept(1), kept(2, more=5)
"""


def in_folder(folder, *arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("layout", ["indexed", "plain"])
def test_explain_tells_why_a_call_would_miss(tmp_path, layout):
    module = tmp_path / "work.py"
    module.write_text(MODULE.format(factor=2, layout=layout))
    assert in_folder(tmp_path, "-c", "import work; work.kept(1); work.kept(2, more=5)").returncode == 0

    def explained(*options):
        ended = in_folder(tmp_path, "-m", "retain", "explain", *options)
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended.returncode, ended.stdout, ended.stderr

    status, out, _ = explained("work:kept")
    assert status == 0
    assert "global FACTOR: 2" in out
    assert json.loads(explained("work:kept", "--json")[1])["name"] == "work.kept"
    for hit in ("1", "value=1", "number - 2", "2, more=5", "more=5, value=2"):
        status, out, err = explained("work:kept", "--call", hit)
        assert (status, err) == (0, "")
        assert "hit" in out
    status, out, _ = explained("work:kept", "--call", "3")
    assert status == 1
    assert "miss" in out
    module.write_text(MODULE.format(factor=30, layout=layout))
    status, out, _ = explained("work:kept", "--call", "1", "--json")
    assert status == 1
    found = json.loads(out)
    assert found["reason"] == "changed"
    assert any("FACTOR" in line for line in found["details"])
    assert explained("work:plain", "--call", "1", "--store", "cache")[0] == 1
    assert explained("work:Holder.within")[0] == 0
    for wrong in (
        ("work",),
        ("work:",),
        ("work:missing",),
        ("missing:f",),
        ("work:number",),
        ("work:kept", "--call", "1, 2, 3"),
        ("work:kept", "--call", "missing"),
        ("work:kept", "--call", "1)"),
        ("work:plain", "--call", "1"),
        ("work:plain", "--call", "1", "--store", "missing"),
        ("work:kept", "--call", "1", "--store", "cache"),
    ):
        status, out, err = explained(*wrong)
        assert (status, out) == (2, ""), wrong
        assert err.startswith("retain: ")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    status, _, err = explained("broken:f")
    assert status == 2
    assert "ZeroDivisionError" in err
    assert not (tmp_path / "missing").exists()


# Keys


def test_a_memory_with_a_key(tmp_path, capsys):
    (tmp_path / "secret").write_bytes(b"a secret of some length\n")
    memory = retain.Memory(str(tmp_path / "cache"), verbose=0, key=tmp_path / "secret")
    for count in (10, 50_000):
        memory.cache(zeros)(count)
    memory._place.flush()
    key = ("--key", tmp_path / "secret")
    assert retained(capsys, "verify", tmp_path / "cache", *key) == (0, "2 entries checked, none damaged\n", "")
    for each in told(capsys, "ls", tmp_path / "cache", *key)[1]:
        status, out, _ = retained(capsys, "show", tmp_path / "cache", each["name"], *key)
        assert status == 0
        assert f"array float64 {each['arguments']['count']}" in out
    status, _, err = retained(capsys, "stat", tmp_path / "cache", "--key", tmp_path / "missing")
    assert status == 2
    assert "No such file" in err
    (tmp_path / "empty").touch()
    status, _, err = retained(capsys, "stat", tmp_path / "cache", "--key", tmp_path / "empty")
    assert status == 2
    assert "Traceback" not in err


# What is in a store does not reach the terminal


def strange(text):
    return text


strange.__qualname__ = "\x1b[2J<script>alert(1)</script>"


@pytest.fixture
def stranger(tmp_path):
    memory = retain.Memory(str(tmp_path / "<i>"), verbose=0)
    memory.cache(strange)("\x1b[31m\r\nred")
    memory._place.flush()
    return memory


def test_names_and_arguments_do_not_reach_the_terminal(stranger, tmp_path, capsys):
    for verb in ("stat", "ls", "verify"):
        status, out, err = retained(capsys, verb, tmp_path / "<i>")
        assert status == 0
        assert "\x1b" not in out + err
    (each,) = told(capsys, "ls", tmp_path / "<i>")[1]
    _, out, err = retained(capsys, "show", tmp_path / "<i>", each["name"])
    assert "\x1b" not in out + err
