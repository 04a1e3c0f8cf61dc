"""Where the programs run: in a session of their own, so that whatever they leave behind is found and ended."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
# A shell has Ctrl-C ignored by what it starts in the background, such as a run of the tests.
PRELUDE = "from seen import *\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
LIBRARIES = ("joblib", "retain")
GRACE = 2.0
"""Seconds after the end of a program in which all that it made must be gone."""
SHARED = Path("/dev/shm")  # noqa: S108
TABLE = []


class Unavailable(Exception):
    """The situation cannot be made on this machine."""


class Situation(NamedTuple):
    """What happens, what retain's user must see (a pattern), and whether it takes too long for the tests."""

    name: str
    right: str
    act: object
    by_hand: bool

    @property
    def title(self):
        return self.act.__doc__.rstrip(".")


def situation(right, *, by_hand=False):
    """Note a function as a row of the table."""

    def note(act):
        TABLE.append(Situation(act.__name__, right, act, by_hand))
        return act

    return note


def processes():
    """Of each process that runs: its id, session and environment."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if state not in "ZX":
                yield int(entry.name), int(session), (entry / "environ").read_bytes()
        except OSError:
            continue


class Program:
    """A program that runs, and what it makes on the machine."""

    def __init__(self, text, library, folder, before=(), environment=None, path="main.py"):
        self._mark = f"FAULTS_PROGRAM={uuid.uuid4().hex}"
        self.folder = folder
        self._temporary = folder / "tmp"
        (folder / path).write_text(PRELUDE + textwrap.dedent(text), encoding="utf-8")
        self._shared = self._in_shared_memory()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JOBLIB", "LOKY"))}
        self.process = subprocess.Popen(
            [*before, sys.executable, "-W", "ignore", str(folder / path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=folder,
            env={
                **inherited,
                "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]),
                "FAULTS_LIBRARY": library,
                "FAULTS_FOLDER": str(folder),
                "TMPDIR": str(self._temporary),
                "OPENBLAS_NUM_THREADS": "1",
                **dict([self._mark.split("=")]),
                **(environment or {}),
            },
        )

    @staticmethod
    def _in_shared_memory():
        return {path.name for path in SHARED.iterdir()} if SHARED.exists() else set()

    def wait_for(self, *names, timeout=30):
        """Return when the program has left these marks; else what it showed is raised."""
        end = time.monotonic() + timeout
        while not all((self.folder / name).exists() for name in names):
            if self.process.poll() is not None or time.monotonic() > end:
                raise TimeoutError(*self.end(0))
            time.sleep(0.005)

    def interrupt(self):
        """Do what the terminal does on Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self):
        """End the program itself, with no chance to tidy up."""
        self.process.kill()

    def _of_mine(self):
        """What is new in shared memory and has the program's id in its name: others use the folder too."""
        number = re.compile(rf"(?<!\d){self.process.pid}(?!\d)")
        return [name for name in self._in_shared_memory() - self._shared if number.search(name)]

    def mine(self):
        """The ids of the program's processes, itself included."""
        mark = self._mark.encode()
        return [pid for pid, session, environment in processes() if session == self.process.pid or mark in environment]

    def names(self):
        """What the program's processes are called."""
        for pid in self.mine():
            try:
                yield (Path("/proc") / str(pid) / "comm").read_text().strip()
            except OSError:
                continue

    def _left(self):
        """What the program has left behind, in words."""
        pids = [pid for pid in self.mine() if pid != self.process.pid]
        shared = self._of_mine()
        try:
            files = [path for path in self._temporary.rglob("*") if path.is_file()]
        except OSError:
            files = []
        size = sum(_size(SHARED / name) for name in shared) / 1e6
        return [
            *([f"{len(pids)} {'processes' if len(pids) > 1 else 'process'} left"] if pids else []),
            *(
                [f"{len(shared)} {'files' if len(shared) > 1 else 'file'} of {size:.0f} MB left in /dev/shm"]
                if shared
                else []
            ),
            *([f"{len(files)} {'files' if len(files) > 1 else 'file'} left in TMPDIR"] if files else []),
        ]

    def end(self, timeout=60):
        """Wait for the program, and return what it showed, and what was left after a while."""
        try:
            ended = self._wait(timeout)
            end = time.monotonic() + GRACE
            while (left := self._left()) and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            for pid in self.mine():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        out, err = self.process.communicate(timeout=30)
        for name in self._of_mine():
            _remove(SHARED / name)
        lines = out.splitlines() + ([ended] if ended else []) + left
        return "; ".join(lines), err

    def _wait(self, timeout):
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"hangs for {timeout} s"
        if status < 0:
            return "" if -status == signal.SIGKILL else f"ends by {signal.Signals(-status).name}"
        return f"exit status {status}" if status else ""


def _size(path):
    try:
        if path.is_dir():
            return sum(_size(each) for each in path.iterdir())
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class Lab:
    """One run of a situation with one library, in a folder of its own."""

    def __init__(self, library, folder):
        self.library, self.folder = library, Path(folder)
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        self.errors = ""

    def start(self, text, **options):
        return Program(text, self.library, self.folder, **options)

    def end(self, program, timeout=60):
        shown, self.errors = program.end(timeout)
        return shown

    def run(self, text, timeout=60, **options):
        """Run a program to its end; what it showed, in one line."""
        return self.end(self.start(text, **options), timeout)

    def mounts(self, script):
        """The start of a command line that runs what follows where `script` has mounted something: it goes with it."""
        start = ["unshare", "--mount", "--map-root-user", "sh", "-e", "-c", f'{script}\nshift; exec "$@"', "sh"]
        start.append(str(self.folder))
        if shutil.which("unshare") is None:
            raise Unavailable("there is no unshare")
        tried = subprocess.run([*start, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            raise Unavailable("nothing can be mounted here: " + tried.stderr.strip())
        return start


def outcome(each, library, folder):
    """Run a situation with a library; what was shown, and what else was said."""
    lab = Lab(library, folder)
    return each.act(lab), lab.errors
