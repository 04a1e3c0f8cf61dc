"""Whatever happens to the folder or to those who use it, a memorized function gives its value, and the folder is whole.

Long runs: `python tests/havoc/kills.py --rounds 500`, `python tests/havoc/flips.py --flips 10000`.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest
import retain

HAVOC = Path(__file__).parent / "havoc"
LAYOUTS = ["indexed", "plain"]
layouts = pytest.mark.parametrize("layout", LAYOUTS)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="what is done here takes Linux")


def havoc(program, *arguments, timeout=100):
    command = [sys.executable, str(HAVOC / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@layouts
@pytest.mark.timeout(120)
def test_a_writer_that_is_killed_costs_nothing_that_was_kept(layout):
    told = havoc("kills.py", "--rounds", "12", "--layout", layout, "--seed", str(random.randrange(10**6)))
    assert "'died': 0, 'wrong': 0" in told
    assert "'lost': 0, 'computed': 0" in told


@layouts
@pytest.mark.parametrize("keyed", [False, True], ids=["open", "keyed"])
@pytest.mark.timeout(120)
def test_a_flipped_bit_never_comes_out_of_a_call(layout, keyed):
    options = ["--keyed"] if keyed else []
    told = havoc("flips.py", "--flips", "60", "--layout", layout, *options)
    assert "'wrong': 0, 'raised': 0" in told


class Program:
    """A process that runs `code`, and says what it has to say line by line."""

    def __init__(self, code, *arguments, before=()):
        command = [*before, sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HAVOC), *sys.path])},
        )

    def say(self, text=""):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def hear(self):
        return self.process.stdout.readline().strip()

    def end(self, timeout=30):
        out, err = self.process.communicate(timeout=timeout)
        return out, err

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def wait_for_a_waiter(location):
    """Return when a process waits for another that leads a call."""
    flights = Path(location, "retain", "flights")
    while True:
        if flights.exists():
            mark = f":{flights.stat().st_ino} "
            lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
            if any("->" in line and mark in line for line in lines):
                return
        time.sleep(0.01)


SLOW = """
    import sys
    import retain

    location, layout, log, gate = sys.argv[1:]
    memory = retain.Memory(location, verbose=0, layout=layout)

    @memory.cache
    def slow(number, log, gate):
        with open(log, "a") as file:
            file.write(".")
        with open(gate) as file:
            file.read()
        return number * 2

    print("ready", flush=True)
    sys.stdin.readline()
    try:
        print(slow(21, log, gate), flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.fixture
def gate(tmp_path):
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def open_gate(gate):
    with gate.open("w") as file:
        file.write("go")


@on_linux
@layouts
def test_processes_that_miss_the_same_call_compute_it_once(tmp_path, layout, gate):
    arguments = tmp_path, layout, tmp_path / "log", gate
    programs = [Program(SLOW, *arguments) for _ in range(8)]
    try:
        for program in programs:
            assert program.hear() == "ready"
        for program in programs:
            program.say()
        wait_for_a_waiter(tmp_path)
        open_gate(gate)
        assert [program.hear() for program in programs] == ["42"] * 8
    finally:
        for program in programs:
            program.__exit__()
    assert (tmp_path / "log").read_text() == "."


@on_linux
@layouts
def test_a_computation_whose_process_is_killed_is_taken_over(tmp_path, layout, gate):
    arguments = tmp_path, layout, tmp_path / "log", gate
    with Program(SLOW, *arguments) as first, Program(SLOW, *arguments) as second:
        for program in (first, second):
            assert program.hear() == "ready"
        first.say()
        while not (tmp_path / "log").exists():
            time.sleep(0.01)
        second.say()
        wait_for_a_waiter(tmp_path)
        first.process.kill()
        first.process.wait(30)
        open_gate(gate)
        assert second.hear() == "42"
    assert (tmp_path / "log").read_text() == ".."


@on_linux
@layouts
def test_an_interrupt_ends_the_wait_for_another_process(tmp_path, layout, gate):
    arguments = tmp_path, layout, tmp_path / "log", gate
    with Program(SLOW, *arguments) as first, Program(SLOW, *arguments) as second:
        for program in (first, second):
            assert program.hear() == "ready"
        first.say()
        while not (tmp_path / "log").exists():
            time.sleep(0.01)
        second.say()
        wait_for_a_waiter(tmp_path)
        second.process.send_signal(signal.SIGINT)
        assert second.hear() == "interrupted"
        open_gate(gate)
        assert first.hear() == "42"
    assert (tmp_path / "log").read_text() == "."


@on_linux
@layouts
def test_a_lead_that_is_inherited_by_a_fork_ends_with_its_process(tmp_path, layout):
    code = """
        import os, sys, time
        import retain

        location, layout, log = sys.argv[1:]
        memory = retain.Memory(location, verbose=0, layout=layout)

        @memory.cache
        def forks(log):
            with open(log, "a") as file:
                file.write(".")
            if os.path.getsize(log) == 1:
                child = os.fork()
                if child == 0:
                    sys.stdin.readline()
                    os._exit(0)
                print("forked", flush=True)
                time.sleep(60)
            return 42

        if __name__ == "__main__":
            print(forks(log), flush=True)
    """
    arguments = tmp_path, layout, tmp_path / "log"
    with Program(code, *arguments) as first:
        assert first.hear() == "forked"
        first.process.kill()
        first.process.wait(30)
        with Program(code, *arguments) as second:
            assert second.hear() == "42"
        # The child lives till now.
        first.say()


@layouts
def test_a_folder_that_is_deleted_between_calls_is_made_again(tmp_path, layout):
    computed = []
    memory = retain.Memory(tmp_path / "memory", verbose=0, layout=layout)

    @memory.cache(version="1", track="version")
    def double(number):
        computed.append(number)
        return [number * 2] * (20_000 if number % 2 else 1)

    for _ in range(3):
        for number in range(10):
            assert double(number)[0] == number * 2
        shutil.rmtree(tmp_path / "memory")
    assert len(computed) == 30
    for number in range(10):
        assert double(number)[0] == number * 2
        assert double.check_call_in_cache(number)
    assert memory._store.verify() == (10, [])


@layouts
@pytest.mark.timeout(60)
def test_a_folder_that_is_deleted_at_any_instant_harms_no_call(tmp_path, layout):
    memory = retain.Memory(tmp_path / "memory", verbose=0, layout=layout, ram_bytes=0)

    @memory.cache
    def double(number):
        return [number * 2] * (20_000 if number % 2 else 1)

    ended = threading.Event()

    def delete():
        while not ended.wait(0.005):
            shutil.rmtree(tmp_path / "memory", ignore_errors=True)

    deleter = threading.Thread(target=delete)
    deleter.start()
    try:
        with warnings.catch_warnings():
            # It may tell that it could not keep something.
            warnings.simplefilter("ignore")
            for turn in range(400):
                assert double(turn % 7)[0] == turn % 7 * 2
    finally:
        ended.set()
        deleter.join()
    assert double(1)[0] == 2
    assert double.check_call_in_cache(1)
    assert memory._store.verify()[1] == []


FULL = """
    import json, sys
    import functions

    location, layout = sys.argv[1:]
    cached, memory = functions.memorized(location, layout, ram_bytes=0)
    wrong = 0
    for number in range(60):
        for kept, function in zip(cached, functions.ALL):
            wrong += kept(number) != function(number)
    full = memory._store.verify()
    memory.clear(warn=False)
    # There is room again.
    for kept, function in zip(cached, functions.ALL):
        kept(number)
    kept_again = all(kept.check_call_in_cache(number) for kept in cached)
    print(json.dumps([wrong, full[0], len(full[1]), kept_again, len(memory._store.verify()[1])]))
"""


def mounts(script, *arguments):
    """The start of a command line that runs what follows where `script` has mounted something; it goes with it."""
    start = [
        "unshare",
        "--mount",
        "--map-root-user",
        "sh",
        "-c",
        f'{script} && shift {len(arguments)} && exec "$@"',
        "sh",
    ]
    start += map(str, arguments)
    if shutil.which("unshare") is None or subprocess.run([*start, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    return start


@on_linux
@layouts
def test_a_full_disk_costs_no_value_and_harms_nothing(tmp_path, layout):
    before = mounts('mount -t tmpfs -o size=4M,mode=700 none "$1"', tmp_path)
    with Program(FULL, tmp_path, layout, before=before) as program:
        out, err = program.end()
    assert program.process.returncode == 0, err
    wrong, checked, damaged, kept_again, damaged_after = json.loads(out)
    assert (wrong, damaged, damaged_after) == (0, 0, 0)
    assert checked > 5
    assert kept_again


FULL_OF_ONE = """
    import json, sys, warnings
    import retain

    location, layout = sys.argv[1:]
    warnings.simplefilter("ignore")
    memory = retain.Memory(location, verbose=0, layout=layout, ram_bytes=0)
    runs = []

    def one(number, size):
        runs.append(number)
        return bytes([number % 251]) * size

    def other(number):
        return number

    kept, others = memory.cache(one), memory.cache(other)
    others(0)
    # Small values fill the index and its log, large ones files.
    for size in (3_000, 200_000):
        for number in range(2_000):
            kept(number, size)
            if not kept.check_call_in_cache(number, size):
                break
    stuck = kept.check_call_in_cache(0, 3_000)
    kept.clear(warn=False)
    gone = not any(kept.check_call_in_cache(number, size) for size in (3_000, 200_000) for number in range(2_000))
    runs.clear()
    again = [kept(0, 3_000) == bytes(3_000) for _ in range(2)]
    print(json.dumps([stuck, gone, again, len(runs), others(0), len(memory._store.verify()[1])]))
"""


@on_linux
@layouts
def test_on_a_full_disk_one_function_can_be_cleared(tmp_path, layout):
    before = mounts('mount -t tmpfs -o size=4M,mode=700 none "$1"', tmp_path)
    with Program(FULL_OF_ONE, tmp_path, layout, before=before) as program:
        out, err = program.end()
    assert program.process.returncode == 0, err
    stuck, gone, again, runs, other, damaged = json.loads(out)
    assert stuck
    assert gone
    assert (again, runs) == ([True, True], 1)
    assert (other, damaged) == (0, 0)


READ_ONLY = """
    import json, sys
    import functions

    location, layout = sys.argv[1:]
    cached, memory = functions.memorized(location, layout, ram_bytes=0)
    pairs = list(zip(cached, functions.ALL))
    wrong = sum(kept(number) != function(number) for kept, function in pairs for number in range(8))
    print(json.dumps([wrong, sum(kept.cache_info().misses for kept in cached)]))
"""


@on_linux
@layouts
def test_a_folder_that_is_read_only_is_read(tmp_path, layout):
    sys.path.insert(0, str(HAVOC))
    try:
        import functions
    finally:
        sys.path.pop(0)
    cached, memory = functions.memorized(tmp_path, layout)
    for kept in cached:
        for number in range(4):
            kept(number)
    memory._store.flush()
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
    with Program(READ_ONLY, tmp_path, layout, before=mounts(script, tmp_path)) as program:
        out, err = program.end()
    assert program.process.returncode == 0, err
    # Half of them were kept.
    assert json.loads(out) == [0, 12]


CLOCK = r"""
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <stdlib.h>
    #include <time.h>

    int clock_gettime(clockid_t clock, struct timespec *now) {
        static int (*real)(clockid_t, struct timespec *);
        if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
        int result = real(clock, now);
        const char *offset = getenv("TEST_CLOCK_OFFSET");
        if (offset && clock == CLOCK_REALTIME) now->tv_sec += atol(offset);
        return result;
    }
"""

TOLD_THE_TIME = """
    import sys
    import retain

    location, layout = sys.argv[1:]
    memory = retain.Memory(location, verbose=0, layout=layout)

    @memory.cache(ttl=100)
    def lives():
        return 1

    @memory.cache
    def stays():
        return 2

    assert (lives(), stays()) == (1, 2)
    print(lives.cache_info().hits, stays.cache_info().hits)
"""


@on_linux
@layouts
def test_a_clock_that_jumps_ends_what_it_may_have_outlived(tmp_path, layout):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)

    def hits(offset):
        before = ["env", f"LD_PRELOAD={library}", f"TEST_CLOCK_OFFSET={offset}"]
        with Program(TOLD_THE_TIME, tmp_path / "memory", layout, before=before) as program:
            out, err = program.end()
        assert program.process.returncode == 0, err
        return out.strip()

    assert hits(0) == "0 0"
    assert hits(50) == "1 1"
    assert hits(150) == "0 1"
    # Kept 150 s from now on. By a clock that went back by an hour nobody can tell how old it is.
    assert hits(-3600) == "0 1"
    assert hits(-3550) == "1 1"
