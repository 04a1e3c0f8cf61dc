"""Run joblib's own tests of ``joblib.numpy_pickle`` with retain's `dump`, `load` and picklers in its place.

The tests are those of the installed joblib. Where retain differs on purpose, the test is listed here with the reason.

Usage: python tools/joblib_suite.py    (exit status 1 if any other test fails, or if one of those passes)
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

WORDING = "the text of the warning or error is retain's own"
INSIDE = "looks into joblib's own table of codecs"
DIFFERENT = {
    "test_compress_mmap_mode_warning": WORDING,
    "test_joblib_pickle_across_python_versions": WORDING,
    "test_joblib_pickle_across_python_versions_with_mmap": WORDING,
    "test_file_handle_persistence_compressed_mmap": WORDING,
    "test_file_handle_persistence_in_memory_mmap": WORDING,
    "test_register_compressor": INSIDE,
    "test_register_compressor_already_registered": INSIDE,
    "test_memmap_alignment_padding[4]": "files of protocol 4 are plain pickles, which are not mapped",
}

PLUGIN = """
import joblib
import joblib.compressor
import joblib.numpy_pickle
import retain.numpy_pickle


def pytest_configure(config):
    for name in ("dump", "load"):
        function = getattr(retain, name)
        setattr(joblib, name, function)
        setattr(joblib.numpy_pickle, name, function)
    for name in ("NumpyPickler", "NumpyUnpickler"):
        setattr(joblib.numpy_pickle, name, getattr(retain.numpy_pickle, name))
    for module in (joblib, joblib.numpy_pickle, joblib.compressor):
        module.register_compressor = retain.register_compressor
"""


def main() -> int:
    """Run the suite and print what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in_place_of_joblib.py").write_text(PLUGIN, encoding="utf-8")
        results = Path(folder) / "results.xml"
        suites = ["joblib.test.test_numpy_pickle", "joblib.test.test_numpy_pickle_compat"]
        options = ["-p", "in_place_of_joblib", "-p", "no:cacheprovider", "-q", "-W", "ignore", f"--junitxml={results}"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, "-m", "pytest", *options, "--pyargs", *suites]
        subprocess.run(command, check=False, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
        cases = list(ET.parse(results).getroot().iter("testcase"))  # noqa: S314  # pytest wrote it
    failed = {case.get("name", "") for case in cases if case.find("failure") is not None}
    skipped = sum(case.find("skipped") is not None for case in cases)
    print(f"{len(cases) - len(failed) - skipped} passed, {skipped} skipped, {len(failed)} differ")
    for name, reason in DIFFERENT.items():
        print(f"  {name}: {reason}" + ("" if name in failed else " (but it passed)"))
    others = sorted(failed - set(DIFFERENT))
    for name in others:
        print(f"  FAILED {name}")
    return int(bool(others) or not set(DIFFERENT) <= failed)


if __name__ == "__main__":
    sys.exit(main())
