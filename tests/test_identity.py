"""Who a function is: its identity changes with everything that can change its results, and with nothing else."""

import functools
import gc
import importlib
import linecache
import os
import subprocess
import sys
import textwrap
import threading
import types
import warnings
import weakref
from pathlib import Path

import pytest
from extent import extent
from retain import IdentityWarning, hash, identity, lru_cache, memoize

try:
    import numpy  # noqa: ICN001  # the tests read better so
except ImportError:  # as on other Pythons than the one at hand
    numpy = None
needs_numpy = pytest.mark.skipif(numpy is None, reason="needs numpy")


class Project:
    """Modules of a user's own, written to a folder and imported from there, as often as they are edited."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, **files):
        for name, text in files.items():
            path = self.folder.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            for package in path.relative_to(self.folder).parents:
                if str(package) != ".":
                    (self.folder / package / "__init__.py").touch()
            path.write_text(textwrap.dedent(text))

    def forget(self):
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(self.folder)):
                del sys.modules[name]
        importlib.invalidate_caches()
        linecache.clearcache()

    def load(self, name="main"):
        self.forget()
        return importlib.import_module(name)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Project(tmp_path)
    yield made
    made.forget()


def digest(function, **options):
    return identity(function, **options).digest


BASE = {
    "main": """
        import other
        import package.part
        from other import helper, Used, decorate
        from array import array

        LIMIT = 10
        CONFIG = {"a": {"b": 1}, "names": ["x"]}
        WEIGHTS = array("d", [0.0, 1.0, 2.0])
        calls = []

        def make(step):
            def inner(x):
                return x + step
            return inner

        stepped = make(1)
        scale = lambda x: 2 * x

        @decorate
        def decorated(x):
            return x - 1

        def function(x, y=1, *, z=2):
            '''What it does.'''
            calls.append(x)  # a side effect
            if x > LIMIT:
                return CONFIG["a"]["b"]
            total = helper(x) + Used(x).run() + other.plain(y) + stepped(z) + scale(x) + decorated(x)
            from package.local import late
            return total + other.CONSTANT + package.part.value + late(x) + WEIGHTS[0] + nested(x)

        def nested(x):
            return [LIMIT * i for i in range(x)]
        """,
    "other": """
        CONSTANT = 5
        UNUSED = 1

        def deepest(x):
            return x * 3

        def helper(x):
            return deepest(x) + 1

        def plain(y):
            return y

        def decorate(f):
            def wrapper(*args):
                return f(*args) * 2
            return wrapper

        class Base:
            rate = 2

            def inherited(self):
                return self.rate

        class Used(Base):
            '''A class.'''
            extra = 0

            def __init__(self, x):
                self.x = x

            def run(self):
                return self.x + self.extra + self.inherited()

        def unused(x):
            return x
        """,
    "package__part": "value = 7\nunread = 1\n",
    "package__local": "def late(x):\n    return x\n",
}

EDITS = {
    # Where results can change.
    "a constant in the body": ("main", "x > LIMIT", "x > LIMIT + 1", True),
    "an operator in the body": ("main", "return total +", "return total -", True),
    "a default": ("main", "y=1", "y=2", True),
    "a keyword-only default": ("main", "z=2", "z=3", True),
    "a parameter's name": ("main", "y=1", "w=1", True),
    "a closure cell": ("main", "make(1)", "make(2)", True),
    "a global int": ("main", "LIMIT = 10", "LIMIT = 11", True),
    "a global int of another type": ("main", "LIMIT = 10", "LIMIT = 10.0", True),
    "a global array": ("main", "[0.0, 1.0, 2.0]", "[0.0, 1.0, 2.5]", True),
    "a global dict": ("main", '"b": 1', '"b": 2', True),
    "a global lambda": ("main", "lambda x: 2 * x", "lambda x: 3 * x", True),
    "the body of a helper": ("other", "deepest(x) + 1", "deepest(x) + 2", True),
    "a helper of a helper": ("other", "return x * 3", "return x * 4", True),
    "a helper called by mod.f": ("other", "return y", "return -y", True),
    "a constant read as mod.CONSTANT": ("other", "CONSTANT = 5", "CONSTANT = 6", True),
    "a constant of a module in a package": ("package__part", "value = 7", "value = 8", True),
    "a helper imported inside the body": ("package__local", "return x", "return x + 1", True),
    "a method of a used class": ("other", "self.x + self.extra", "self.x - self.extra", True),
    "a class attribute": ("other", "extra = 0", "extra = 1", True),
    "a method of a base class": ("other", "return self.rate", "return 2 * self.rate", True),
    "an attribute of a base class": ("other", "rate = 2", "rate = 3", True),
    "the base class": ("other", "class Used(Base)", "class Used(Base, dict)", True),
    "the decorator of a helper": ("other", "f(*args) * 2", "f(*args) * 3", True),
    "the body of a decorated helper": ("main", "return x - 1", "return x - 2", True),
    "a decorator taken away": ("main", "@decorate\n        def decorated", "def decorated", True),
    "an imported name rebound": ("main", "from other import helper,", "from other import plain as helper,", True),
    "a function inside a comprehension": ("main", "[LIMIT * i", "[LIMIT + i", True),
    # Where they cannot.
    "a comment": ("main", "# a side effect", "# another comment", False),
    "formatting": ("main", "helper(x) + Used(x).run()", "(helper( x )\n              +   Used(x) .run())", False),
    "quotes and parentheses": ("main", 'CONFIG["a"]["b"]', "(CONFIG['a'])['b']", False),
    "a docstring": ("main", "What it does.", "What it did.", False),
    "no docstring": ("main", "'''What it does.'''", "", False),
    "a docstring of a class": ("other", "A class.", "Some class.", False),
    "lines above": ("main", "import other\n", "import other\n\n\n        # moved down\n", False),
    "an unused global": ("other", "UNUSED = 1", "UNUSED = 2", False),
    "an unused function": (
        "other",
        "def unused(x):\n            return x",
        "def unused(x):\n            return -x",
        False,
    ),
    "an unread name of a used module": ("package__part", "unread = 1", "unread = 2", False),
    "a list that is only written to": ("main", "calls = []", "calls = [1, 2]", False),
    "a comment in a helper": ("other", "return deepest(x) + 1", "return deepest(x) + 1  # plus one", False),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of(edit, project):
    file, old, new, changes = EDITS[edit]
    assert old in BASE[file]
    project.write(**BASE)
    before = digest(project.load().function)
    project.write(**{file: BASE[file].replace(old, new)})
    after = digest(project.load().function)
    assert (before != after) == changes
    project.write(**BASE)
    assert digest(project.load().function) == before


# Changes while the program runs: found at the next call.


def in_place(change):
    def test(project):
        project.write(**BASE)
        main = project.load()
        before = identity(main.function)
        assert identity(main.function) is before
        revert = change(main)
        after = identity(main.function)
        assert after != before
        assert identity(main.function) is after
        if revert is not None:
            revert()
            assert identity(main.function) == before

    return test


def _set(owner, name, value):
    old = getattr(owner, name)
    setattr(owner, name, value)
    return lambda: setattr(owner, name, old)


def _item(owner, name, value):
    old = owner[name]
    owner[name] = value
    return lambda: owner.__setitem__(name, old)


def _cell(function, value):
    cell = function.__closure__[0]
    old = cell.cell_contents
    cell.cell_contents = value
    return lambda: setattr(cell, "cell_contents", old)


def _replaced_code(main):
    return _set(main.helper, "__code__", (lambda x: x).__code__)


test_a_global_is_rebound = in_place(lambda main: _set(main, "LIMIT", 12))
test_a_global_list_is_changed = in_place(lambda main: _item(main.CONFIG["names"], 0, "y"))
test_a_nested_dict_is_changed = in_place(lambda main: _item(main.CONFIG["a"], "b", 3))
test_a_key_is_added_to_a_global_dict = in_place(lambda main: main.CONFIG.update(new=1))
test_an_array_is_changed_in_place = in_place(lambda main: _item(main.WEIGHTS, 0, 9.0))
test_a_helper_is_replaced = in_place(lambda main: _set(main, "helper", main.other.plain))
test_a_helper_in_another_module_is_replaced = in_place(lambda main: _set(main.other, "deepest", main.other.plain))
test_a_helpers_code_is_replaced = in_place(_replaced_code)
test_a_helpers_default_is_replaced = in_place(lambda main: _set(main.other.plain, "__defaults__", (1,)))
test_own_keyword_defaults_are_replaced = in_place(lambda main: _set(main.function, "__kwdefaults__", {"z": 4}))
test_a_cell_is_set = in_place(lambda main: _cell(main.stepped, 5))
test_an_attribute_of_a_module_is_set = in_place(lambda main: _set(main.other, "CONSTANT", 0))
test_a_class_attribute_is_set = in_place(lambda main: _set(main.Used, "extra", 4))
test_a_method_is_replaced = in_place(lambda main: _set(main.Used, "run", lambda self: 0))
test_a_method_is_added = in_place(lambda main: setattr(main.Used, "more", lambda self: 0))
test_an_attribute_of_a_base_is_set = in_place(lambda main: _set(main.Used.__base__, "rate", 9))
test_a_bases_tuple_is_set = in_place(
    lambda main: _set(main.Used, "__bases__", (type("Base", (), {"inherited": lambda self: 0}),))
)
test_a_global_hides_a_builtin = in_place(lambda main: setattr(main, "range", lambda x: [x]))
test_a_submodule_is_replaced = in_place(lambda main: _set(main.package, "part", types.SimpleNamespace(value=1)))


def test_a_name_that_is_missing_comes_to_be(project):
    project.write(main="def function():\n    return missing\n")
    main = project.load()
    before = identity(main.function)
    assert identity(main.function) is before
    main.missing = 1
    assert identity(main.function) != before
    del main.missing
    assert identity(main.function) == before


def test_a_cell_that_is_empty_is_filled():
    def make():
        def function():
            return later

        before = identity(function)
        later = 1
        return before, identity(function)

    before, after = make()
    assert before != after


def test_an_instance_in_a_global_is_changed(project):
    project.write(
        main="""
        class Config:
            def __init__(self):
                self.rate = 1
            def total(self):
                return self.rate
        config = Config()
        def function():
            return config.total()
        """
    )
    main = project.load()
    before = identity(main.function)
    assert identity(main.function) is before
    main.config.rate = 2
    after = identity(main.function)
    assert after != before
    main.config.rate = 1
    assert identity(main.function) == before
    main.Config.total = lambda self: 0
    assert identity(main.function) != before


def test_functions_in_containers_are_followed(project):
    text = """
        def one(x):
            return x
        TABLE = {"one": one, "more": [(one, 1)]}
        def function(name):
            return TABLE[name](1)
        """
    project.write(main=text)
    before = digest(project.load().function)
    project.write(main=text.replace("return x", "return -x"))
    assert digest(project.load().function) != before


def test_a_monkeypatched_function_of_a_library_counts(monkeypatch):
    import json

    def function(text):
        return json.loads(text)

    before = identity(function)
    monkeypatch.setattr(json, "loads", lambda text: None)
    assert identity(function) != before
    monkeypatch.undo()
    assert identity(function) == before


def test_a_reload_of_a_module(project):
    project.write(
        main="import other\ndef function():\n    return other.helper()\n", other="def helper():\n    return 1\n"
    )
    main = project.load()
    before = identity(main.function)
    importlib.reload(main.other)
    assert identity(main.function) == before
    project.write(other="def helper():\n    return 22\n")
    importlib.invalidate_caches()
    importlib.reload(main.other)
    assert identity(main.function) != before


def test_a_source_that_is_edited_while_its_old_code_runs(project):
    project.write(main="def function():\n    return 1\n")
    main = project.load()
    project.write(main="def function():\n    return 2\n")
    stale = identity(main.function)
    assert stale.code.form == "bytecode"
    fresh = identity(project.load().function)
    assert fresh.code.form == "source"
    assert fresh != stale
    project.write(main="def function():\n    return 1\n")
    assert identity(project.load().function) not in (stale, fresh)


@pytest.mark.parametrize("edited", ["return x - 1", "return y + 1", "return x + 1.0", "return [x + 1]"])
def test_each_edit_of_a_source_is_told_from_the_old_code(edited, project):
    project.write(main="y = 0\ndef function(x):\n    return x + 1\n")
    main = project.load()
    project.write(main=f"y = 0\ndef function(x):\n    {edited}\n")
    assert identity(main.function).code.form == "bytecode"


def test_a_source_that_is_edited_after_the_identity_is_known(project):
    project.write(main="def function():\n    return 1\n")
    main = project.load()
    before = identity(main.function)
    project.write(main="def function():\n    return 2\n")
    assert identity(main.function) is before


def test_functions_of_one_name_in_two_modules_differ(project):
    project.write(main="def function():\n    return 1\n", other="def function():\n    return 1\n")
    main = project.load()
    assert digest(main.function) != digest(importlib.import_module("other").function)


def test_functions_of_one_name_in_two_scopes_differ():
    def first():
        def function():
            return 1

        return function

    def second():
        def function():
            return 1

        return function

    assert identity(first()) == identity(first())
    assert identity(first()) != identity(second())


def test_recursion(project):
    text = """
        def function(n):
            return 1 if n < 2 else n * function(n - 1)
        def even(n):
            return n == 0 or odd(n - 1)
        def odd(n):
            return n != 0 and even(n - 1)
        """
    project.write(main=text)
    main = project.load()
    before = [digest(main.function), digest(main.even), digest(main.odd)]
    assert len(set(before)) == 3
    assert identity(main.even) is identity(main.even)
    project.write(main=text.replace("n != 0", "n > 0"))
    main = project.load()
    after = [digest(main.function), digest(main.even), digest(main.odd)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False]


def test_a_chain_of_ten_thousand_helpers(project):
    length = extent(10_000, 2_000)
    lines = [f"def f{i}(x):\n    return f{i + 1}(x)\n" for i in range(length)]
    lines.append(f"def f{length}(x):\n    return x\n")
    project.write(main="".join(lines))
    main = project.load()
    before = identity(main.f0)
    assert identity(main.f0) is before
    assert len(before.helpers) == length
    setattr(main, f"f{length}", lambda x: -x)
    assert identity(main.f0) != before


def test_a_decorator_that_returns_the_function_itself_makes_no_difference(project):
    text = """
        def mark(label):
            return lambda function: function
        @mark("one")
        def function(x):
            return x
        """
    project.write(main=text)
    before = digest(project.load().function)
    project.write(main=text.replace("one", "two"))
    assert digest(project.load().function) == before


@pytest.mark.parametrize(
    "body",
    [
        "from package import part; return part.f()",
        "from package.part import f; return f()",
        "import package.part; return package.part.f()",
        "import package.part as p; return p.f()",
        "from package.part import f as g; return [g() for _ in range(2)]",
        "import package.part as p; return (lambda: p.f())()",
    ],
)
def test_imports_in_the_body_are_followed(body, project):
    project.write(main=f"def function():\n    {body}\n", package__part="def f():\n    return 1\n")
    before = digest(project.load().function)
    project.write(package__part="def f():\n    return 2\n")
    assert digest(project.load().function) != before


# What a function only writes to


@pytest.mark.parametrize(
    "statement",
    ["calls.append(x)", "counts[x] = 1", "counts[x] += 1", "total += x", "seen.add(x)"],
)
@pytest.mark.parametrize("has_source", [True, False])
def test_what_is_only_written_to_does_not_count(statement, has_source, project):
    text = f"""
        from collections import Counter
        calls, counts, total, seen = [], Counter(), 0, set()
        def function(x):
            global total
            {statement}
            return x
        """
    if has_source:
        project.write(main=text)
        main = project.load()
    else:
        main = types.SimpleNamespace()
        main.__dict__.update(run({"__name__": "somewhere"}, text))
    before = identity(main.function)
    assert before.code.form == ("source" if has_source else "bytecode")
    main.counts[3] = 1
    for x in (3, 4):
        main.counts[x] = 1
        main.function(x)
        assert identity(main.function) is before


@pytest.mark.parametrize(
    "statement",
    [
        "calls.append(x); return len(calls)",
        "return calls.append(x)",
        "table[0].append(x)",
        "table[x][x] = 1",
        "table[x][x] += 1",
        "total += len(calls)",
        "calls.append(calls)",
        "return [calls.pop()]",
    ],
)
@pytest.mark.parametrize("has_source", [True, False])
def test_what_is_read_too_counts(statement, has_source, project):
    text = f"calls, table, total = [], [[0]], 0\ndef function(x):\n    global total\n    {statement}\n"
    if has_source:
        project.write(main=text)
        namespace = vars(project.load())
    else:
        namespace = run({"__name__": "somewhere"}, text)
    before = identity(namespace["function"])
    namespace["calls"].append(1)
    namespace["table"][0][0] += 1
    assert identity(namespace["function"]) != before


@needs_numpy
def test_an_array_that_is_only_written_to_counts():
    # Whether it has the item shows.
    array = numpy.zeros(2)

    def function(x):
        array[0] += x
        return x

    before = identity(function)
    function(1)
    assert identity(function) != before


def test_a_cell_that_is_only_written_to_does_not_count():
    def make():
        count = 0
        calls = []

        def function(x):
            nonlocal count
            count += 1
            calls.append(x)
            return x

        return function

    function = make()
    before = identity(function)
    function(1)
    assert identity(function) is before
    assert before.cells == {"calls": "output", "count": "output"}


def test_an_object_of_a_class_of_ones_own_is_no_mere_output(project):
    text = """
        class Sink:
            def append(self, x):
                x.clear()
        sink = Sink()
        def function(x):
            sink.append(x)
            return x
        """
    project.write(main=text)
    before = digest(project.load().function)
    project.write(main=text.replace("x.clear()", "pass"))
    assert digest(project.load().function) != before


# Where functions come from


def run(namespace, text, name="<test>"):
    exec(compile(textwrap.dedent(text), name, "exec"), namespace)  # noqa: S102  # that is what is tested
    return namespace


def test_code_without_source():
    def made(text):
        return identity(run({"__name__": "somewhere"}, text)["function"])

    before = made("def function(x):\n    'Doc.'\n    return x + 1\n")
    assert before.code.form == "bytecode"
    assert made("# moved\n\ndef function(x):\n    'Other.'\n    return x  +  1  # so\n") == before
    assert made("def function(x):\n    return x + 2\n") != before
    assert made("def function(x):\n    return x + 1.0\n") != before
    assert made("def function(y):\n    return y + 1\n") != before
    assert made("def function(x):\n    return [x + 1 for _ in x]\n") != made(
        "def function(x):\n    return [x + 2 for _ in x]\n"
    )


def cell(number, text, namespace):
    """Run a cell as a notebook does."""
    name = f"<ipython-input-{number}-{number * 7919:x}>"
    text = textwrap.dedent(text)
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return run(namespace, text, name)


def test_a_notebook_cell_that_is_run_again():
    notebook = {"__name__": "__main__"}
    text = "def function(x):\n    return helper(x)\n"
    cell(1, "def helper(x):\n    return x\n", notebook)
    before = identity(cell(2, text, notebook)["function"])
    assert before.code.form == "source"
    assert identity(cell(3, f"# again\n{text}", notebook)["function"]) == before
    cell(4, "def helper(x):\n    return x + 1\n", notebook)
    assert identity(notebook["function"]) != before
    cell(5, "def helper(x):\n    # as it was\n    return x\n", notebook)
    assert identity(notebook["function"]) == before


def test_lambdas_on_one_line(project):
    project.write(
        main="fs = [lambda x: x + 1, lambda x: x + 2, lambda y: y, lambda: (lambda: 1), lambda: (lambda: 2)]\n"
    )
    functions = project.load().fs
    functions += [functions[3](), functions[4]()]
    found = [identity(function) for function in functions]
    assert {each.code.form for each in found} == {"source"}
    assert len(set(found)) == len(found)
    project.write(main="fs = [lambda x:x+1, lambda x:x+2, lambda y:y, lambda:(lambda:1), lambda:(lambda: 2)] # same\n")
    functions = project.load().fs
    functions += [functions[3](), functions[4]()]
    assert [identity(function) for function in functions] == found


def test_methods_and_descriptors(project):
    text = """
        from retain import memoize
        class Thing:
            @memoize
            def kept(self):
                return self.size + 2
            def __init__(self, size=1):
                self.size = size
            def method(self):
                return self.helper() + 1
            def helper(self):
                return self.size
            @classmethod
            def made(cls):
                return cls()
            @staticmethod
            def free(x):
                return x
            @property
            def area(self):
                return self.size ** 2
            def __call__(self):
                return self.size
        """
    project.write(main=text)
    thing = project.load().Thing
    names = {
        "function": thing.method,
        "bound": thing().method,
        "bound to another": thing(2).method,
        "classmethod": thing.made,
        "staticmethod": thing.free,
        "memoized": thing.kept,
        "bound and memoized": thing().kept,
        "class": thing,
        "callable": thing(),
        "another callable": thing(2),
    }
    before = {name: digest(function) for name, function in names.items()}
    assert len(set(before.values())) == len(before)
    project.write(main=text.replace("return self.size\n", "return -self.size\n", 1))
    thing = project.load().Thing
    assert digest(thing().method) != before["bound"]
    assert digest(thing.made) != before["classmethod"]
    assert digest(thing) != before["class"]
    assert digest(thing()) != before["callable"]
    assert digest(thing.method) == before["function"]
    assert digest(thing.free) == before["staticmethod"]
    project.write(main=text.replace("size ** 2", "size ** 3"))
    assert digest(project.load().Thing) != before["class"]


def test_super_leads_to_the_base(project):
    text = """
        class Base:
            def run(self):
                return 1
        class Child(Base):
            def run(self):
                return super().run()
        """
    project.write(main=text)
    before = digest(project.load().Child.run)
    project.write(main=text.replace("return 1", "return 2"))
    assert digest(project.load().Child.run) != before


@pytest.mark.parametrize(
    "wrap",
    [
        functools.lru_cache,
        lru_cache,
        memoize,
        functools.partial,
        staticmethod,
        lambda f: functools.partial(functools.partial(f)),
        lambda f: functools.wraps(f)(lambda *args: f(*args)),
        lambda f: {"f": f}["f"],
        functools.singledispatch,
    ],
)
def test_wrapped_functions_are_followed(wrap, project):
    texts = [f"def function(x):\n    return x + {n}\n" for n in (1, 1, 2)]
    found = []
    for text in texts:
        project.write(main=text)
        wrapped = wrap(project.load().function)
        found.append(identity(wrapped))
        assert identity(wrapped) == found[-1]
    assert found[0] == found[1] != found[2]


def test_implementations_of_a_single_dispatch_count(project):
    text = """
        import functools
        @functools.singledispatch
        def function(x):
            return 0
        @function.register(int)
        def _(x):
            return 1
        def use(x):
            return function(x)
        """
    project.write(main=text)
    main = project.load()
    before = identity(main.use)
    main.use(1)
    main.use(1.5)
    assert identity(main.use) == before
    project.write(main=text.replace("return 1", "return 2"))
    assert identity(project.load().use) != before


def test_arguments_of_a_partial_count():
    def function(x, y):
        return x

    found = {
        digest(functools.partial(function)),
        digest(functools.partial(function, 1)),
        digest(functools.partial(function, 2)),
        digest(functools.partial(function, y=1)),
    }
    assert len(found) == 4
    partial = functools.partial(function, [1])
    before = identity(partial)
    partial.args[0].append(2)
    assert identity(partial) != before


@pytest.mark.parametrize(
    "function",
    [len, print, str.upper, dict.fromkeys, int, "a b".split, functools.reduce]
    + ([] if numpy is None else [numpy.sin, numpy.linalg.norm]),
)
def test_compiled_functions(function):
    assert digest(function) == digest(function)
    assert digest(function) != digest(max)


def test_functions_with_state_behind_them_count_by_name():
    from random import randint, random

    def function():
        return randint(1, 2) + random()

    before = identity(function)
    function()
    assert identity(function) is before


@needs_numpy
def test_functions_of_numpy_with_state_behind_them_count_by_name():
    from numpy.random import rand

    def function():
        return rand(3)  # noqa: NPY002  # it is there to be used

    before = identity(function)
    function()
    assert identity(function) is before


@needs_numpy
def test_a_global_array_that_is_changed_in_place_counts():
    array = numpy.arange(4.0)

    def function():
        return array.sum()

    before = identity(function)
    assert identity(function) is before
    array[1] = 5
    assert identity(function) != before
    array[1] = 1
    assert identity(function) == before


def test_a_library_counts_by_its_version(project):
    site = project.folder / "site-packages"
    sys.path.insert(0, str(site))
    try:
        found = []
        for version, body in (("1.0", "1"), ("1.0", "2"), ("1.1", "2")):
            (site / "somelib").mkdir(parents=True, exist_ok=True)
            (site / "somelib" / "__init__.py").write_text(f"def f():\n    return {body}\n")
            for old in site.glob("*.dist-info"):
                (old / "METADATA").unlink()
                old.rmdir()
            information = site / f"somelib-{version}.dist-info"
            information.mkdir()
            (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: somelib\nVersion: {version}\n")
            project.write(main="import somelib\nfrom somelib import f\ndef function():\n    return f() + somelib.f()\n")
            program = (
                f"import sys; sys.path[:0] = [{str(site)!r}, {str(project.folder)!r}, *{sys.path!r}]\n"
                "import retain, main; i = retain.identity(main.function); print(i.digest, i.libraries)"
            )
            command = [sys.executable, "-B", "-I", "-c", program]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
            assert f"'somelib': '{version}'" in ended.stdout
            found.append(ended.stdout.split()[0])
        assert found[0] == found[1] != found[2]
    finally:
        sys.path.remove(str(site))


PROGRAM = """
import collections, dataclasses, enum, functools, os.path, pathlib, threading, typing

LIMIT, NAMES = 10, {"a", "b", "c"}
TABLE = {"x": [1, 2.5, None], "y": ("z", b"bytes", frozenset({1, 2}))}
lock = threading.Lock()

@dataclasses.dataclass(order=True)
class Point:
    x: int
    y: "float" = 1.5
    tags: list = dataclasses.field(default_factory=list)
    def norm(self):
        return abs(self.x) + self.y

@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int = 1

class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"
    def shout(self):
        return self.name.upper()

class Level(enum.IntFlag):
    LOW = enum.auto()
    HIGH = enum.auto()

class Pair(typing.NamedTuple):
    left: int
    right: str = "r"
    def swap(self):
        return Pair(self.right, self.left)

Old = collections.namedtuple("Old", "a b", defaults=[2])

class Shape(typing.Protocol):
    def area(self) -> float: ...

@functools.total_ordering
class Ordered(Shape):
    __slots__ = ("a",)
    def __init__(self, a):
        self.a = a
    def __lt__(self, other):
        return self.a < other.a
    def area(self):
        return sum(v * LIMIT for v in [self.a])
    @functools.cached_property
    def once(self):
        return f"{self.a!r:>{LIMIT}} and {LIMIT=} {'nested' 'text'}"

def helper(x: int, *args, flag: bool = False, **kwargs) -> "int":
    match x:
        case {"a": [1, *rest]}:
            return rest
        case Point(x=1):
            return 2
    try:
        with open(os.path.join("a", "b")) as file:
            return [line for line in file if (n := len(line)) > 3], lambda: n
    except (OSError, ValueError) as error:
        raise RuntimeError(f"{error!s}") from error
    finally:
        del x

async def later(x):
    async for y in x:
        yield await y

def function(x, y=LIMIT):
    class Local:
        size = LIMIT
        def get(self):
            return self.size + x
    from json import dumps
    import xml.dom.minidom as dom
    with lock:
        return (
            helper(x), later(x), Point(1).norm(), Frozen(), Colour.RED.shout(), Level.LOW, Pair(1).swap(), Old(1),
            Ordered(1).area(), Local().get(), dumps(TABLE), dom.parseString, NAMES, pathlib.Path("x"),
            functools.reduce(max, [1]), collections.OrderedDict(), typing.Any, print, math.pi,
        )

import math
import retain
parts = (
    function, helper, later, Point, Frozen, Colour, Level, Pair, Old, Shape, Ordered, Point(1), Colour.RED,
    functools.partial(helper, 1), len, str.upper, pathlib.Path, collections.OrderedDict, functools.reduce, math.sin,
)
if __name__ == "__main__":
    for part in parts:
        print(retain.identity(part).digest if callable(part) else retain.hash(part))
    print(retain.hash(parts))
"""


def printed(python, program, *, seed="0"):
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    environment.pop("PYTHONPATH", None)
    command = [python, "-B", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


def with_path(folder, paths):
    program = folder / "program.py"
    program.write_text(f"import sys; sys.path[:0] = {paths!r}\n{PROGRAM}")
    return str(program)


def test_identities_are_equal_in_every_process(tmp_path):
    program = with_path(tmp_path, sys.path)
    found = [printed(sys.executable, program, seed=seed) for seed in ("0", "1", "4711")]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == len(set(found[0])) == 21


def others():
    """Interpreters of other versions with retain built for them: name=folder, separated by colons."""
    told = os.environ.get("RETAIN_OTHER_PYTHONS", "")
    return [pair.partition("=")[::2] for pair in told.split(os.pathsep) if pair]


@pytest.mark.skipif(not others(), reason="RETAIN_OTHER_PYTHONS names no other interpreters")
def test_identities_are_equal_on_every_python(tmp_path):
    own = [path for path in sys.path if (Path(path) / "retain").exists()]
    here = printed(sys.executable, with_path(tmp_path, own))
    for python, folder in others():
        there = printed(python, with_path(tmp_path, [folder]))
        different = [number for number, (one, other) in enumerate(zip(here, there, strict=True)) if one != other]
        assert different == [], python


# Options


def test_depends_count():
    def function(x):
        return x

    def other(x):
        return x

    plain = identity(function)
    found = {
        plain,
        identity(function, depends=[other]),
        identity(function, depends=[1]),
        identity(function, depends=[2]),
        identity(function, depends=[other, 1]),
        identity(function, version="1"),
        identity(function, version="2"),
        identity(function, track="own"),
        identity(function, track="version", version="1"),
        identity(function, track="version", version="2"),
    }
    assert len(found) == 10
    assert identity(function) is plain
    assert identity(function, depends=[other]) is identity(function, depends=(other,))


def test_dependencies_are_looked_at_again():
    table = [1]

    def function(x):
        return x

    before = identity(function, depends=[table])
    assert identity(function, depends=[table]) is before
    table.append(2)
    assert identity(function, depends=[table]) != before


def test_own_code_only(project):
    project.write(**BASE)
    main = project.load()
    before = identity(main.function, track="own")
    main.LIMIT = 99
    main.helper = len
    assert identity(main.function, track="own") is before
    project.write(main=BASE["main"].replace("x > LIMIT", "x >= LIMIT"))
    assert identity(project.load().function, track="own") != before


def test_version_only(project):
    project.write(**BASE)
    before = identity(project.load().function, track="version", version="1")
    project.write(main=BASE["main"].replace("x > LIMIT", "x >= LIMIT"))
    assert identity(project.load().function, track="version", version="1") == before
    assert identity(project.load().function, track="version", version="2") != before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"track": "all"}, ValueError, "track is 'all', but it must be one of 'deep', 'own', 'version'"),
        ({"track": 1}, TypeError, "track is 1"),
        ({"track": "version"}, ValueError, "has no version to go by: give version="),
        ({"version": 2}, TypeError, "version is 2, but it is a str"),
        ({"depends": "abc"}, TypeError, "depends is 'abc', but it is a list"),
        ({"depends": 3}, TypeError, "depends is 3"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        identity(len, **options)


def test_what_cannot_be_called_has_no_identity():
    with pytest.raises(TypeError, match="function is 3, but it is a function, a class or another callable"):
        identity(3)


# What cannot be seen in the code


@pytest.mark.parametrize(
    ("body", "construct"),
    [
        ("return eval('1')", "eval()"),
        ("exec('x = 1')", "exec()"),
        ("return globals()['x']", "globals()"),
        ("return __import__('json')", "__import__()"),
        ("return importlib.import_module(x)", "import_module()"),
        ("return getattr(other, x)", "getattr(other, ...)"),
    ],
)
def test_constructs_that_cannot_be_followed_are_told(body, construct, project):
    project.write(main=f"import importlib\nimport other\ndef function(x):\n    {body}\n", other="")
    main = project.load()
    with pytest.warns(IdentityWarning, match="depends=") as given:
        found = identity(main.function)
    assert [Path(warning.filename).name for warning in given] == ["main.py"]
    assert construct in found.unresolved[0]
    main.new = 1
    identity(main.function)


def test_depends_and_version_answer_for_what_cannot_be_followed(project):
    project.write(main="def function(x):\n    return eval(x)\n")
    main = project.load()
    assert identity(main.function, version="1").unresolved
    assert identity(main.function, depends=[len]).unresolved


def test_getattr_with_a_name_that_is_written_out_is_followed(project):
    project.write(
        main="import other\ndef function():\n    return getattr(other, 'f')()\n", other="def f():\n    return 1\n"
    )
    before = identity(project.load().function)
    assert before.unresolved == ()
    project.write(other="def f():\n    return 2\n")
    assert identity(project.load().function) != before


def test_a_large_value_is_compared_and_warned_of_once():
    big = [[number] for number in range(1 << 18)]

    def function():
        return len(big)

    with pytest.warns(IdentityWarning, match="pass it as an argument"):
        before = identity(function)
    assert identity(function) is before
    big[-1][0] = 1
    assert identity(function) != before


def test_a_lock_counts_by_its_type_without_a_warning():
    lock = threading.Lock()

    def function():
        with lock:
            return 1

    found = identity(function)
    assert found.opaque
    assert identity(function) is found


def test_values_that_answer_as_they_like_are_not_asked():
    class Hostile:
        def __eq__(self, other):
            raise RuntimeError("asked")

        __hash__ = __ne__ = __bool__ = __len__ = __repr__ = __eq__

        def __getattr__(self, name):
            raise RuntimeError(f"asked for {name}")

    hostile = Hostile()
    table = {"a": hostile, "b": [hostile]}

    def function():
        return hostile, table

    before = identity(function)
    assert identity(function) == before
    hostile.__dict__["x"] = 1
    assert identity(function) != before


# Memory and threads


def test_functions_are_not_kept_alive():
    def make():
        registry = {}
        values = [1, bytearray(3)]

        class Local:
            def run(self):
                return super().__repr__(), registry

        def function(n):
            return function(n - 1), registry, values, Local

        registry["function"] = function
        registry["local"] = Local
        return function, Local

    function, local = make()
    identity(function)
    identity(local)
    identity(functools.partial(function, 1))
    gone = [weakref.ref(function), weakref.ref(local)]
    del function, local
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_a_function_at_an_old_address_is_another():
    seen = set()
    for number in range(200):
        namespace = run({"__name__": "somewhere"}, f"def function():\n    return {number}\n")
        seen.add(digest(namespace.pop("function")))
    assert len(seen) == 200


def test_threads_agree(project):
    project.write(**BASE)
    main = project.load()
    rightly = []
    for number in range(20):
        main.LIMIT = number
        rightly.append(digest(main.function))
    assert len(set(rightly)) == 20

    def work():
        for number in range(20):
            main.LIMIT = number
            identity(main.function)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(20):
        main.LIMIT = number
        assert digest(main.function) == rightly[number]


def test_hash_of_a_function_follows_its_identity(project):
    project.write(**BASE)
    main = project.load()
    before = hash([main.function, main.Used, main.Used(1)])
    assert hash([main.function, main.Used, main.Used(1)]) == before
    main.Used.run = lambda self: 0
    assert hash([main.Used(1)]) != hash([main.Used(2)])
    assert hash([main.function, main.Used, main.Used(1)]) != before


def test_an_identity_is_data():
    import copy
    import pickle

    def function(x, y=2):
        return pytest.approx(x) + y

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = identity(function)
    assert found.name.endswith("function")
    assert found.defaults == {"y": "2"}
    assert found.libraries["pytest"] == pytest.__version__
    assert pickle.loads(pickle.dumps(found)) == found == copy.copy(found)
    assert len(found.digest) == 64
