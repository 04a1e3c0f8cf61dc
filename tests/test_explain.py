"""`explain` prints what an identity is made of, so that two of them can be compared."""

import functools
import importlib
import io
import re
import sys
import textwrap
import threading

import pytest
from retain import explain, identity

TEXT = """
    import json
    from helpers import Shape, helper

    LIMIT = 10
    TABLE = {"a": 1}
    calls = []

    def function(x, y=2):
        calls.append(x)
        return helper(x) + Shape().area() + LIMIT + TABLE["a"] + json.loads("1")
    """
HELPERS = """
    FACTOR = 3

    def inner(x):
        return x * FACTOR

    def helper(x):
        return inner(x)

    class Shape:
        side = 4

        def area(self):
            return inner(self.side)
    """


@pytest.fixture
def main(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, text in (("mainly", TEXT), ("helpers", HELPERS)):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    yield importlib.import_module("mainly")
    for name in ("mainly", "helpers"):
        sys.modules.pop(name, None)


def explained(*args, **options):
    out = io.StringIO()
    explain(*args, **options, file=out)
    return out.getvalue()


def shape(text):
    """The tree without its digests."""
    return re.sub(r"\b[0-9a-f]{12}\b", "#", text)


def test_the_tree(main):
    assert shape(explained(main.function)) == textwrap.dedent("""\
        mainly.function  identity #
        └─ function mainly.function, source #
           ├─ default y: 2
           ├─ global LIMIT: 10
           ├─ global Shape = class helpers.Shape
           │  ├─ member side: 4
           │  └─ member area = function helpers.Shape.area, source #
           │     └─ global inner = function helpers.inner, source #
           │        └─ global FACTOR: 3
           ├─ global TABLE: dict of 1, #
           ├─ global calls: only written to, does not count
           ├─ global helper = function helpers.helper, source #
           │  └─ global inner = function helpers.inner, source # (see above)
           └─ global json: json: standard library
        """)


def test_it_is_printed(main, capsys):
    assert explain(main.function) is None
    assert capsys.readouterr().out == explained(main.function)


def test_it_begins_with_the_identity(main):
    first = explained(main.function).splitlines()[0]
    assert first == f"mainly.function  identity {identity(main.function).digest[:12]}"


def test_a_change_shows_where_it_was_made(main):
    before = explained(main.function).splitlines()
    main.TABLE["a"] = 2
    main.helper.__globals__["FACTOR"] = 4
    after = explained(main.function).splitlines()
    different = [shape(new).strip("│├└─ ") for old, new in zip(before, after, strict=True) if old != new]
    assert different == ["mainly.function  identity #", "global FACTOR: 4", "global TABLE: dict of 1, #"]


def test_recursion_ends():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    lines = explained(even).splitlines()
    assert len(lines) == 4
    assert lines[-1].endswith("(see above)")


def test_what_wraps_a_function_leads_to_it(main):
    text = shape(explained(functools.partial(main.function, 1)))
    assert "└─ value: functools.partial = function mainly.function, source #" in text


def test_options_are_told(main):
    own = explained(main.function, track="own").splitlines()
    assert len(own) == 2
    assert "track='own'" in own[1]
    version = explained(main.function, track="version", version="3")
    assert "version '3'" in version
    assert "global" not in version
    assert "dict of 1" in explained(len, depends=[main.TABLE])


def test_what_is_uncertain_is_told():
    lock = threading.Lock()

    def function(text):
        with lock:
            return eval(text)  # noqa: S307  # that is what is tested

    lines = explained(function, version="1").splitlines()
    assert any(line.startswith("├─ unresolved: ") and line.endswith("eval()") for line in lines)
    assert lines[-1] == "└─ opaque, by its type only: cell lock (_thread.lock)"


def test_a_chain_of_helpers_of_any_depth(tmp_path, monkeypatch):
    depth = 3000
    lines = [f"def f{i}(x):\n    return f{i + 1}(x)\n" for i in range(depth)]
    (tmp_path / "chained.py").write_text("".join(lines) + f"def f{depth}(x):\n    return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert len(explained(importlib.import_module("chained").f0).splitlines()) == depth + 2


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="function is 3"):
        explain(3)
    with pytest.raises(ValueError, match="track is 'all'"):
        explain(len, track="all")
