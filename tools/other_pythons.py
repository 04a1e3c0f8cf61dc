"""Run the test suite on every other Python that retain supports and this machine has.

Looks for python3.N on PATH and among pyenv's versions, once for each minor version, leaving out
that of the Python that runs this script. Each gets a wheel built for it, an environment of its own
in ``.venvs`` and a run of the suite, all at the same time, but for the wheels, which are built one
after the other. Each suite is told, in ``RETAIN_OTHER_PYTHONS``, of the Pythons before it that have
retain, so that it can compare what must be equal on all of them. Long campaigns of tests run as
samples (``RETAIN_SAMPLED=0`` runs all).

With ``--own``, the Python that runs this script is tested beside them, long campaigns in full.

Usage: .venv/bin/python tools/other_pythons.py [--own] [pytest arguments]
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venvs"
TARGET = ROOT / "target"
OLDEST = (3, 11)
OLDEST_FREE_THREADED = (3, 14)
NAME = re.compile(r"python3\.\d+t?")
PRINTING = Lock()
PROBE = """
import json, sys, sysconfig
try:
    import ensurepip, venv
    pip = True
except ImportError:
    pip = False
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": sys.version_info[:2],
    "final": sys.version_info.releaselevel == "final",
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "pip": pip,
}))
"""


class Interpreter(NamedTuple):
    """A Python that answered, and what it said of itself."""

    path: Path
    tag: str
    refusal: str | None


def say(text: str) -> None:
    """Print a line at once, before the output of the commands that follow it."""
    print(f"==> {text}", flush=True)


def ask(path: Path) -> Interpreter | None:
    """Start the interpreter and ask who it is; None where it does not run (a pyenv shim, say)."""
    try:
        answer = subprocess.run([path, "-I", "-c", PROBE], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    facts = json.loads(answer.stdout)
    version = tuple(facts["version"])
    if facts["implementation"] != "cpython" or version < OLDEST:
        return None
    tag = f"{version[0]}.{version[1]}{'t' if facts['free_threaded'] else ''}"
    if not facts["final"]:
        return Interpreter(path, tag, "a pre-release")
    if facts["free_threaded"] and version < OLDEST_FREE_THREADED:
        return Interpreter(path, tag, "PyO3 supports free-threaded builds from 3.14 on")
    if not facts["pip"]:
        return Interpreter(path, tag, "it lacks venv or ensurepip")
    return Interpreter(path, tag, None)


def candidates() -> list[Path]:
    """List the files on this machine that are named like a Python 3."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    folders = [*on_path, *sorted(pyenv.glob("versions/*/bin"), reverse=True)]
    return [
        file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir()) if NAME.fullmatch(file.name)
    ]


def other_pythons() -> list[Interpreter]:
    """Find one usable interpreter for each version other than the running one."""
    own = ask(Path(sys.executable))
    found: dict[str, Interpreter] = {}
    for path in candidates():
        interpreter = ask(path)
        if interpreter is None or (own is not None and interpreter.tag == own.tag):
            continue
        known = found.get(interpreter.tag)
        if known is None or (known.refusal and not interpreter.refusal):
            found[interpreter.tag] = interpreter
    return sorted(found.values(), key=lambda one: [int(n) for n in re.findall(r"\d+", one.tag)])


def run(*command: str | Path, **environment: str) -> None:
    """Run a command in the project's folder; raises CalledProcessError where it fails."""
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **environment})


def retain_of(python: Path) -> Path | None:
    """Find the folder from which an interpreter imports retain; None where it cannot."""
    program = "import pathlib, retain; print(pathlib.Path(retain.__file__).parents[1])"
    answer = subprocess.run([python, "-I", "-c", program], check=False, capture_output=True, text=True, cwd=ROOT)
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None


def told(pythons: list[Path]) -> str:
    """Name these interpreters as the tests take them: ``python=folder``, the folder that of their retain."""
    folders = [(python, retain_of(python)) for python in pythons]
    return os.pathsep.join(f"{python}={folder}" for python, folder in folders if folder is not None)


def environment(interpreter: Interpreter) -> Path:
    """Make the interpreter's virtual environment, unless a working one stands; give its Python."""
    folder = ENVIRONMENTS / interpreter.tag
    python = folder / "bin" / "python"
    present = ask(python)
    if present is None or present.tag != interpreter.tag:
        run(interpreter.path, "-m", "venv", "--clear", folder)
    return python


def environment_with_tools(interpreter: Interpreter) -> Path:
    """Make the interpreter's virtual environment with what the tests import; give its Python."""
    python = environment(interpreter)
    run(*pip(python), "-r", "requirements-test.txt")
    return python


def install(interpreter: Interpreter, python: Path) -> None:
    """Build a wheel for the interpreter and install it."""
    wheels = TARGET / "wheels" / interpreter.tag
    shutil.rmtree(wheels, ignore_errors=True)
    # One target folder for all: what does not know Python is built once.
    options = ["--release", "--quiet", "--auditwheel", "skip", *cargo_flags()]
    places = [f"--interpreter={python}", f"--target-dir={TARGET}", f"--out={wheels}"]
    run(Path(sys.executable).with_name("maturin"), "build", *options, *places)
    run(*pip(python), "--force-reinstall", *wheels.glob("*.whl"))


def pip(python: Path) -> list[str]:
    """Begin a command that installs; bytecode is made of what is imported, which is little of it."""
    return [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]


def tested(tag: str, python: Path, pytest_arguments: list[str], **environment: str) -> bool:
    """Run the suite, and print what it said once it has ended, as several run at once."""
    start = time.monotonic()
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *pytest_arguments]
    TARGET.mkdir(exist_ok=True)
    with (TARGET / f"pytest-{tag}.log").open("w+", encoding="utf-8") as log:
        done = subprocess.run(
            command, check=False, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
        )
        log.seek(0)
        said = log.read()
    verdict = "passed" if done.returncode == 0 else f"FAILED at `{shlex.join(command)}`"
    with PRINTING:
        print(said)
        say(f"Python {tag}: {verdict} ({time.monotonic() - start:.0f} s)")
    return done.returncode == 0


def others_tested(usable: list[Interpreter], pool: ThreadPoolExecutor, pytest_arguments: list[str]) -> list[bool]:
    """Build for each Python in turn, and begin its tests while the next one is built for."""
    # Fetching and unpacking goes on while wheels are built.
    environments = [pool.submit(environment_with_tools, interpreter) for interpreter in usable]
    built = [Path(sys.executable)]
    suites: list[Future[bool]] = []
    sampled = os.environ.get("RETAIN_SAMPLED", "1")
    for interpreter, made in zip(usable, environments, strict=True):
        try:
            python = made.result()
            install(interpreter, python)
        except subprocess.CalledProcessError as error:
            say(f"Python {interpreter.tag}: FAILED at `{shlex.join(str(part) for part in error.cmd)}`")
            suites.append(pool.submit(bool))
            continue
        told_of = {"RETAIN_SAMPLED": sampled, "RETAIN_OTHER_PYTHONS": told(built)}
        say(f"Python {interpreter.tag} ({interpreter.path}): has retain, tests begin")
        suites.append(pool.submit(tested, interpreter.tag, python, pytest_arguments, **told_of))
        built.append(python)
    return [suite.result() for suite in suites]


def cargo_flags() -> list[str]:
    """Give the flags that the Makefile hands to every cargo command."""
    return shlex.split(os.environ.get("CARGO_FLAGS", ""))


def main(arguments: list[str]) -> int:
    """Test on each of them; a failure on one does not keep the others from their turn."""
    own = arguments[:1] == ["--own"]
    pytest_arguments = arguments[own:]
    usable = []
    for interpreter in other_pythons():
        if interpreter.refusal:
            say(f"Python {interpreter.tag} ({interpreter.path}) is left out: {interpreter.refusal}")
        else:
            usable.append(interpreter)
    tag = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not usable:
        say(f"no other Python >= 3.11 on this machine: tested on {tag} only")
    say(f"Python tests on {', '.join([tag] * own + [each.tag for each in usable])}: what they say comes as they end")
    with ThreadPoolExecutor(2 * len(usable) + 1) as pool:
        first = [pool.submit(tested, tag, Path(sys.executable), pytest_arguments)] if own else []
        verdicts = others_tested(usable, pool, pytest_arguments)
        verdicts += [suite.result() for suite in first]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
