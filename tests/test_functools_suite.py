"""CPython's own tests of `functools` pass on `cache`, `lru_cache` and `cached_property`.

The interpreter's `test.test_functools` is imported with both of its copies of `functools` (the one in C and the one in
Python) giving out ours in place of theirs; its own test classes then run as they are.
"""

from __future__ import annotations

import importlib
import sys
import unittest

import pytest
import retain

pytest.importorskip("test.support", reason="this Python comes without its own tests")


@pytest.fixture(scope="module")
def suite():
    """`test.test_functools`, with our functions where it expects those of `functools`."""
    from test.support import import_helper

    import_fresh = import_helper.import_fresh_module

    def with_ours(name, *args, **kwargs):
        module = import_fresh(name, *args, **kwargs)
        if name == "functools" and module is not None:
            module.cache = retain.cache
            module.lru_cache = retain.lru_cache
            module.cached_property = retain.cached_property
        return module

    sys.modules.pop("test.test_functools", None)
    import_helper.import_fresh_module = with_ours
    try:
        yield importlib.import_module("test.test_functools")
    finally:
        import_helper.import_fresh_module = import_fresh
        sys.modules.pop("test.test_functools", None)


@pytest.mark.parametrize("name", ["TestLRUC", "TestLRUPy", "TestCache", "TestCachedProperty"])
def test_cpython_s_tests_pass(suite, name):
    kind = getattr(suite, name)
    if not issubclass(kind, unittest.TestCase):
        # CPython defines it without ever running it.
        kind = type(name, (kind, unittest.TestCase), {"module": suite.c_functools})
    tests = unittest.defaultTestLoader.loadTestsFromTestCase(kind)
    count = tests.countTestCases()
    assert count > 0
    result = unittest.TestResult()
    tests.run(result)
    problems = [f"{case}\n{text}" for case, text in result.failures + result.errors]
    print(f"{name}: {count - len(problems)} passed, {len(problems)} failed")
    assert result.testsRun == count
    assert not problems, "\n".join(problems)
