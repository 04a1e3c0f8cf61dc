"""Where the programs of a situation run: processes that begin clean, a folder of sources, a memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

PRELUDE = "from lab import memory, show\n"
LIBRARIES = ("joblib", "retain")
TABLE = []


class Situation(NamedTuple):
    """What happens, what each call must show, what joblib shows, and where its users met it."""

    name: str
    right: str
    joblib: str
    threads: str
    act: object
    races: bool = False
    """Whether how much joblib computes depends on who comes first."""

    @property
    def title(self):
        return self.act.__doc__.rstrip(".")


def situation(*, right, joblib, threads="", races=False):
    """Note a function as a row of the table. What is shown is a word for each call, with a star if it computed."""

    def note(act):
        TABLE.append(Situation(act.__name__, right, joblib, threads, act, races))
        return act

    return note


class Templates:
    """The processes that programs are forked from: one for each seed of the hashes of texts."""

    def __init__(self):
        self._processes = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes.values():
            process.stdin.close()
            process.wait(60)
            process.stdout.close()

    def run(self, seed, job):
        process = self._processes.get(seed)
        if process is None:
            environment = {**os.environ, "PYTHONHASHSEED": str(seed), "OPENBLAS_NUM_THREADS": "1"}
            process = self._processes[seed] = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("template.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        if not process.stdout.readline():
            raise RuntimeError(f"the template ended with {process.wait(60)}")


class Lab:
    """One run of a situation: with one library, in a folder of its own."""

    def __init__(self, templates, library, folder):
        self._templates, self._library, self._folder = templates, library, Path(folder)
        self.sources = self._folder / "sources"
        self.sources.mkdir(parents=True)
        self.output = self._folder / "output"
        self.output.touch()

    def write(self, **modules):
        """Write modules; two underscores stand for a folder."""
        for name, text in modules.items():
            path = self.sources / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def run(self, text, *, seed=1, meanwhile=None, path="main.py"):
        """Run a program in a new process, as a script."""
        job = {
            "library": self._library,
            "location": str(self._folder / "memory"),
            "folder": str(self.sources),
            "output": str(self.output),
            "path": path,
            "text": PRELUDE + textwrap.dedent(text),
            "meanwhile": None if meanwhile is None else PRELUDE + textwrap.dedent(meanwhile),
        }
        self._templates.run(seed, job)

    def shown(self):
        """What the calls showed, in one line."""
        return " ".join(self.output.read_text(encoding="utf-8").split())

    def errors(self):
        """What was said besides."""
        path = Path(str(self.output) + ".errors")
        return path.read_text(encoding="utf-8") if path.exists() else ""


def outcome(situation, library, templates, folder):
    """Run a situation with a library; what was shown, and what else was said."""
    lab = Lab(templates, library, folder)
    situation.act(lab)
    return lab.shown(), lab.errors()


def verdict(right, shown):
    """Say in a word or two how what was shown differs from what is right."""
    if shown == right:
        return "right"
    expected, found = right.split(), shown.split()
    raised = next((word for word in found if word.rstrip("*").endswith(("Error", "Exception", "Warning"))), None)
    if raised is not None and raised not in expected:
        return "raises " + raised.rstrip("*").removeprefix("ended-by-")
    values = [word.rstrip("*") for word in found], [word.rstrip("*") for word in expected]
    if values[0] != values[1]:
        return "wrong value"
    return "computes again" if shown.count("*") > right.count("*") else "does not compute"
