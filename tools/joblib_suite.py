"""Run joblib's own tests with retain's classes and functions in the place of joblib's.

The tests are those of the installed joblib: of ``joblib.numpy_pickle``, with retain's `dump`, `load` and picklers, and
of ``joblib.memory``, with retain's `Memory` and what belongs to it, and of ``joblib.parallel``, with
``retain.parallel`` in its place. Where retain differs on purpose, the test is listed here with the reason.

Usage: python tools/joblib_suite.py [files] [memory] [parallel]

The exit status is 1 if any other test fails, or if one of those passes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

WORDING = "the text of the warning or error is retain's own"
INSIDE = "looks into joblib's own table of codecs"
FILES_DIFFERENT = {
    "test_compress_mmap_mode_warning": WORDING,
    "test_joblib_pickle_across_python_versions": WORDING,
    "test_joblib_pickle_across_python_versions_with_mmap": WORDING,
    "test_file_handle_persistence_compressed_mmap": WORDING,
    "test_file_handle_persistence_in_memory_mmap": WORDING,
    "test_register_compressor": INSIDE,
    "test_register_compressor_already_registered": INSIDE,
    "test_memmap_alignment_padding[4]": "files of protocol 4 are plain pickles, which are not mapped",
}

FILES_PLUGIN = """
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

LAYOUT = "looks for joblib's files: results lie in an index, or in files of other names"
COLLISION = "functions of one name do not fight: there is no collision to warn of"
ARITY = "a call that does not fit raises the function's own TypeError"
ATTRIBUTES = "compares all attributes of a function with those of its copy; retain's has parts that are not compared"
MEMORY_DIFFERENT = {
    "test__get_items": LAYOUT,
    "test__get_items_to_delete": LAYOUT,
    "test_call_and_shelve_lazily_load_stored_result": LAYOUT,
    "test_func_dir": LAYOUT,
    "test_memory_clear": LAYOUT,
    "test_memory_creates_gitignore": LAYOUT,
    "test_memory_numpy_check_mmap_mode": LAYOUT,
    "test_memory_numpy_check_mmap_mode_async": LAYOUT,
    "test_memory_recomputes_after_an_error_while_loading_results": LAYOUT,
    "test_parallel_call_cached_function_defined_in_jupyter[False]": LAYOUT,
    "test_parallel_call_cached_function_defined_in_jupyter[True]": LAYOUT,
    "test_persistence": LAYOUT,
    "test_memory_in_memory_function_code_change": COLLISION,
    "test_memory_name_collision": COLLISION,
    "test_memory_warning_collision_detection": COLLISION,
    "test_memory_warning_lambda_collisions": COLLISION,
    "test_memory_func_with_kwonly_args": ARITY,
    "test_memory_pickle_dump_load[memory_kwargs0]": ATTRIBUTES,
    "test_memory_pickle_dump_load[memory_kwargs1]": ATTRIBUTES,
    "test_warning_on_unknown_location_type": WORDING,
}

MEMORY_PLUGIN = """
import asyncio
import inspect

import joblib
import joblib._store_backends
import joblib.memory
import pytest
import retain
from retain._memory import asynchronous, backends, complaints, memorized, memory, results, unkept


def factory(backend, location, verbose=0, backend_options=None):
    if backends.is_backend(location):
        return location
    return backends.made(backend, location, verbose, backend_options or {})


def pytest_configure(config):
    for module in (asynchronous, memorized, memory, results, unkept):
        for name in dir(joblib.memory):
            found = getattr(module, name, None)
            if isinstance(found, type) and found.__module__ == module.__name__:
                setattr(joblib.memory, name, found)
    joblib.memory.expires_after = retain.expires_after
    joblib.memory.register_store_backend = retain.register_store_backend
    joblib.memory._store_backend_factory = factory
    joblib.memory._STORE_BACKENDS = backends.registered
    joblib.Memory = retain.Memory
    for name in ("StoreBackendBase", "FileSystemStoreBackend", "concurrency_safe_write"):
        setattr(joblib._store_backends, name, getattr(backends, name))
    joblib._store_backends.CacheWarning = complaints.CacheWarning


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
"""

IN_MEMORY = "arrays are shared in memory that no file stands for: they are no numpy.memmap, and no folder is needed"
DROPPED = "a generator that is dropped takes no workers away from other calls"
LOGGED = "looks for the name of loky's processes in a log"
NOT_THERE = "without dask installed, its backend is an ImportError that names what to install"
PARALLEL_DIFFERENT = {
    "test_auto_memmap_on_arrays_from_generator[loky]": IN_MEMORY,
    "test_auto_memmap_on_arrays_from_generator[multiprocessing]": IN_MEMORY,
    "test_memmapping_leaks[loky]": IN_MEMORY,
    "test_memmapping_leaks[multiprocessing]": IN_MEMORY,
    "test_parallel_config_no_backend": IN_MEMORY,
    "test_multiple_generator_call_separated_gc[generator-generator-loky-True]": DROPPED,
    "test_multiple_generator_call_separated_gc[generator-generator_unordered-loky-True]": DROPPED,
    "test_multiple_generator_call_separated_gc[generator_unordered-generator-loky-True]": DROPPED,
    "test_multiple_generator_call_separated_gc[generator_unordered-generator_unordered-loky-True]": DROPPED,
    "test_parallel_with_interactively_defined_bound_method_loky": LOGGED,
}
if find_spec("distributed") is None:
    PARALLEL_DIFFERENT |= {
        "test_dask_backend_when_dask_not_installed[parallel_backend]": NOT_THERE,
        "test_dask_backend_when_dask_not_installed[parallel_config]": NOT_THERE,
    }

# Worker processes run tests' functions too: what is in joblib's place must be there in all processes.
PARALLEL_EVERYWHERE = """
import sys

import joblib
import joblib._parallel_backends
import joblib.parallel
import retain
import retain._parallel_backends
import retain.parallel

sys.modules["joblib.parallel"] = joblib.parallel = retain.parallel
sys.modules["joblib._parallel_backends"] = joblib._parallel_backends = retain._parallel_backends
for name in dir(retain.parallel):
    if name in joblib.__all__:
        setattr(joblib, name, getattr(retain.parallel, name))
joblib.wrap_non_picklable_objects = retain.wrap_non_picklable_objects
"""


class Suite(NamedTuple):
    """Some of joblib's tests."""

    modules: tuple[str, ...]
    plugin: str
    different: dict[str, str]
    # Run by every process at its start.
    everywhere: str = ""


SUITES = {
    "files": Suite(
        ("joblib.test.test_numpy_pickle", "joblib.test.test_numpy_pickle_compat"), FILES_PLUGIN, FILES_DIFFERENT
    ),
    "memory": Suite(
        ("joblib.test.test_memory", "joblib.test.test_memory_async", "joblib.test.test_store_backends"),
        MEMORY_PLUGIN,
        MEMORY_DIFFERENT,
    ),
    "parallel": Suite(
        ("joblib.test.test_parallel", "joblib.test.test_config", "joblib.test.test_cloudpickle_wrapper"),
        "",
        PARALLEL_DIFFERENT,
        PARALLEL_EVERYWHERE,
    ),
}


def run(suite: Suite) -> bool:
    """Run a suite and print what came of it; whether all is as it is listed."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in_place_of_joblib.py").write_text(suite.plugin, encoding="utf-8")
        if suite.everywhere:
            (Path(folder) / "sitecustomize.py").write_text(suite.everywhere, encoding="utf-8")
        results = Path(folder) / "results.xml"
        options = ["-p", "in_place_of_joblib", "-p", "no:cacheprovider", "-q", "-W", "ignore", f"--junitxml={results}"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, "-m", "pytest", *options, "--pyargs", *suite.modules]
        subprocess.run(command, check=False, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
        cases = list(ET.parse(results).getroot().iter("testcase"))  # noqa: S314  # pytest wrote it
    failed = {case.get("name", "") for case in cases if case.find("failure") is not None}
    skipped = sum(case.find("skipped") is not None for case in cases)
    print(f"{len(cases) - len(failed) - skipped} passed, {skipped} skipped, {len(failed)} differ")
    for name, reason in suite.different.items():
        print(f"  {name}: {reason}" + ("" if name in failed else " (but it passed)"))
    others = sorted(failed - set(suite.different))
    for name in others:
        print(f"  FAILED {name}")
    return not others and set(suite.different) <= failed


def main(names: list[str]) -> int:
    """Run the suites of these names, or all of them."""
    fine = True
    for name in names or SUITES:
        print(f"{name}: ", end="", flush=True)
        fine = run(SUITES[name]) and fine
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
