"""Run boltons' own tests of ``boltons.cacheutils`` with ``retain.cacheutils`` in its place.

The tests come from boltons' source distribution, fetched with pip into a temporary folder.

One of them, ``test_unscoped_cached_dec``, decorates two functions with the default ``scoped=True``
and expects the second to be given the first one's result. The documentation of ``cached`` promises
the opposite, and retain keeps that promise. So this test is run a second time with the
``scoped=False`` that its name asks for, and both outcomes are printed.

Usage: python tools/boltons_suite.py    (exit status 1 if any other test fails, or that one then)
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

VERSION = "26.2.0"
SUITE = f"boltons-{VERSION}/tests/test_cacheutils.py"
# Tests that contradict the documentation of what they test, and hold with scoped=False.
UNSCOPED = frozenset({"test_unscoped_cached_dec"})

CONFTEST = """
import functools, os, sys, types
import retain.cacheutils

stand_in = types.ModuleType("boltons.cacheutils")
stand_in.__dict__.update(vars(retain.cacheutils))
if os.environ.get("DEFAULT_UNSCOPED"):
    stand_in.cached = functools.partial(retain.cacheutils.cached, scoped=False)
sys.modules["boltons"] = types.ModuleType("boltons")
sys.modules["boltons"].cacheutils = sys.modules["boltons.cacheutils"] = stand_in
"""


def download(folder: Path) -> Path:
    """Fetch the source distribution and return the path of its test file."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    what = ["--no-deps", "--no-binary", ":all:", "--dest", str(folder), f"boltons=={VERSION}"]
    # pip asks the build backend for metadata. Where that cannot be installed in isolation, one that
    # is installed already may do.
    errors = ""
    for more in ([], ["--no-build-isolation"]):
        done = subprocess.run([*pip, *more, *what], check=False, capture_output=True, text=True)
        if done.returncode == 0:
            break
        errors += done.stderr
    else:
        sys.exit(f"pip could not fetch boltons {VERSION}:\n{errors}")
    with tarfile.open(folder / f"boltons-{VERSION}.tar.gz") as archive:
        source = archive.extractfile(SUITE)
        if source is None:
            sys.exit(f"no file {SUITE} in the source distribution")
        suite = folder / "suite" / "test_cacheutils.py"
        suite.parent.mkdir()
        suite.write_bytes(source.read())
    (suite.parent / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    return suite


def run(suite: Path, *arguments: str, **environment: str) -> dict[str, str | None]:
    """Run the suite, and say of each test how it failed, or None."""
    report = suite.parent / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    command += ["--rootdir", str(suite.parent), f"--junitxml={report}", *arguments, str(suite)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environment})
    if not report.exists():
        sys.exit(f"pytest did not run:\n{done.stdout}{done.stderr}")
    # Written by pytest a moment ago, not a stranger's.
    outcomes: dict[str, str | None] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314
        failure = next((part for part in case if part.tag in {"failure", "error", "skipped"}), None)
        outcomes[case.get("name", "?")] = None if failure is None else failure.get("message", "")
    return outcomes


def show(outcomes: dict[str, str | None], how: str) -> None:
    """Print how many tests passed, and which did not."""
    failed = {name: message for name, message in outcomes.items() if message is not None}
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} passed, {len(failed)} failed, {how}")
    for name, message in failed.items():
        print(f"    {name}: {(message or 'failed').splitlines()[0]}")


def main() -> int:
    """Fetch the suite, run it as it is, then the contradicting tests with ``scoped=False``."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"boltons {VERSION}, tests/test_cacheutils.py, on retain.cacheutils, {python}")
    with tempfile.TemporaryDirectory() as folder:
        suite = download(Path(folder))
        outcomes = run(suite)
        show(outcomes, "as they are")
        again = run(suite, "-k", " or ".join(sorted(UNSCOPED)), DEFAULT_UNSCOPED="1")
        show(again, f"of those that need scoped=False and do not say so: {', '.join(again)}")
    failed = {name for name, message in outcomes.items() if message is not None}
    return 1 if not outcomes or failed - UNSCOPED or set(again.values()) != {None} else 0


if __name__ == "__main__":
    sys.exit(main())
