"""`import retain` is cheap, and what it gives out is what it says."""

import subprocess
import sys

import pytest
import retain


def modules_after(program):
    program += "\nimport sys; print(*sorted(sys.modules))"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path = {sys.path!r}\n{program}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    return set(ended.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "numpy",
        "pandas",
        "typing",
        "inspect",
        "asyncio",
        "dataclasses",
        "logging",
        "threading",
        "retain.cacheutils",
    ],
)
def test_importing_retain_does_not_import(module):
    assert module not in modules_after("import retain")


def test_what_is_decorated_for_threads_needs_no_asyncio():
    program = "import retain; f = retain.memoize(len); f('a'); f('a')"
    assert "asyncio" not in modules_after(program)


def test_a_memory_needs_neither_asyncio_nor_numpy():
    modules = modules_after("import retain; retain.Memory(None).cache(len)('a')")
    assert not {"asyncio", "numpy", "concurrent.futures", "cloudpickle", "pandas"} & modules


def test_every_public_name_is_there_and_documented():
    assert set(retain.__all__) <= set(dir(retain))
    for name in retain.__all__:
        assert getattr(retain, name).__doc__, name
    assert retain.__version__.count(".") == 2


def test_the_examples_in_the_docs_run():
    import doctest

    from retain import _cache, _lru, _memoize

    for module in (_cache, _lru, _memoize):
        outcome = doctest.testmod(module)
        assert outcome.failed == 0
        assert outcome.attempted > 0
