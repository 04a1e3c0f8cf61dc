"""Identities that were once stale, or changed for nothing: each fault that was found, with what showed it."""

import functools
import importlib
import subprocess
import sys
import textwrap
import warnings

import pytest
from retain import IdentityWarning, identity
from test_identity import Project, digest, needs_numpy, numpy, run


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Project(tmp_path)
    yield made
    made.forget()


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentityWarning)
        yield


def before_and_after(project, text, change, **more):
    """Identities of `function` before and after something that is done to its module."""
    project.write(main=text, **more)
    main = project.load()
    before = identity(main.function)
    assert identity(main.function) == before
    exec(textwrap.dedent(change), vars(main))  # noqa: S102  # a statement that each test gives
    return before, identity(main.function)


def edited(project, text, old, new, file="main", **more):
    """Identities of `function` before and after an edit."""
    files = {"main": text, **more}
    project.write(**files)
    before = identity(project.load().function)
    assert old in files[file]
    project.write(**{file: files[file].replace(old, new)})
    return before, identity(project.load().function)


# Methods in C that are bound to a value

BOUND = """
import functools
from collections import deque
T, L, D = {"a": 1}, [1], deque([1, 2])
get, size, left, part, pair = T.get, L.__len__, D.popleft, functools.partial(T.get, "a"), [T.get]
class K:
    get = T.get
    def __init__(self): self.get = T.get
k = K()
def make():
    get = T.get
    return lambda: get("a")
def default(get=T.get): return get("a")
cell = make()
def plain(): return get("a")
def of_list(): return pair[0]("a")
def of_class(): return K.get("a")
def of_instance(): return k.get("a")
def of_partial(): return part()
def dunder(): return size()
def of_deque(): return left()
"""


@pytest.mark.parametrize(
    "name",
    ["default", "cell", "plain", "of_list", "of_class", "of_instance", "of_partial", "dunder", "of_deque", "get"],
)
def test_what_a_method_in_c_is_bound_to_counts(name, project):
    change = "T['a'] = 2; L.append(2); D[0] = 5"
    before, after = before_and_after(project, f"{BOUND}\nfunction = {name}\n", change)
    assert before != after


def test_a_bound_method_inside_its_own_owner(project):
    text = "T = {}\nT['get'] = T.get\nget = T.get\ndef function(k): return get(k)\n"
    before, after = before_and_after(project, text, "T['a'] = 2")
    assert before != after


# Modules of one's own that are used as values

SWITCH = "import fast, slow\ndef function(x=True):\n    m = fast if x else slow\n    return m.run()\n"
FAST = "import other\nfrom other import K\nT = {'x': 1}\ndef run(): return other.helper() + T['x'] + K.v\n"
OTHER = "class K:\n    v = 1\ndef helper(): return 1\n"


@pytest.mark.parametrize(
    "text",
    [
        SWITCH,
        "import fast\nPLUGINS = [fast]\ndef function(): return [m.run() for m in PLUGINS]\n",
        "import fast\ndef function(): return fast.__dict__['run']()\n",
        "import fast\ndef function(): return vars(fast)['run']()\n",
    ],
)
def test_a_module_that_is_used_as_a_whole_is_followed(text, project):
    files = {"fast": FAST, "slow": "", "other": OTHER}
    before, after = edited(project, text, "return 1", "return 2", "other", **files)
    assert before != after
    for change in ("fast.T['x'] = 2", "fast.K.v = 2", "fast.run = len", "fast.new = 1"):
        before, after = before_and_after(project, text, change, **files)
        assert before != after, change
    before, after = edited(project, text, "return 1", "return 1  # as ever", "other", **files)
    assert before == after


def test_modules_that_import_one_another_as_wholes(project):
    files = {
        "one": "import two\nA = 1\ndef f(): return [two]\n",
        "two": "import one\nB = 1\ndef g(): return [one, two]\nimport two\n",
    }
    text = "import one, two\ndef function(): return [one, two]\ndef other(): return [two, one]\n"
    before, after = edited(project, text, "B = 1", "B = 2", "two", **files)
    assert before != after
    before, after = edited(project, text, "A = 1", "A = 1  #", "one", **files)
    assert before == after


def test_a_module_with_thousands_of_globals(project):
    text = "".join(f"V{number} = {number}\n" for number in range(3000))
    text += "".join(f"def f{number}(x): return V{number} + x\n" for number in range(1000))
    before, after = before_and_after(project, "import big\ndef function(): return [big]\n", "big.V2999 = 0", big=text)
    assert before != after


def test_what_the_interpreter_puts_into_a_module_does_not_count(project):
    more = {"other": "from __future__ import annotations\nX = 1\n"}
    text = "import other\ndef function(): return [other]\n"
    before, after = before_and_after(project, text, "other.__warningregistry__ = {1: 2}", **more)
    assert before == after


def test_the_class_of_a_module_counts(project):
    other = """
        import sys, types
        T = [1]
        class M(types.ModuleType):
            @property
            def value(self): return T[0]
        sys.modules[__name__].__class__ = M
        """
    for body in ("other.value", "[other][0].value"):
        before, after = before_and_after(
            project, f"import other\ndef function(): return {body}\n", "other.T[0] = 2", other=other
        )
        assert before != after


# What is written to, where it shows


@pytest.mark.parametrize("has_source", [True, False])
@pytest.mark.parametrize(
    ("value", "statement", "other"),
    [
        ("{1}", "seen.remove(1)", "set()"),
        ("{1: 2}", "seen[1] += 1", "{}"),
        ("{1: 2}", "del seen[1]", "{}"),
        ("[1]", "seen.pop()", "[]"),
        ("[1]", "seen[0] = 1", "[]"),
        ("[1]", "seen[0] += 1", "[]"),
        ("1", "seen += 1", "'text'"),
        ("1.0", "seen **= 1000", "10.0"),
        ("'text'", "seen += 'more'", "1"),
        ("[1]", "seen.append(1)", "{1}"),
        ("defaultdict(None, {1: 2})", "seen[1] += 1", "defaultdict(None)"),
        ("deque([1], 2)", "seen.insert(0, 1)", "deque([1], 1)"),
    ],
)
def test_a_failure_to_write_shows(value, statement, other, has_source, project):
    text = f"""
        from collections import defaultdict, deque
        seen = {value}
        def function():
            global seen
            try:
                {statement}
            except Exception:
                return False
            return True
        """
    if has_source:
        project.write(main=text)
        namespace = vars(project.load())
    else:
        namespace = run({"__name__": "somewhere"}, text)
    function = namespace["function"]
    before, result = identity(function), None
    assert before.code.form == ("source" if has_source else "bytecode")
    exec(f"seen = {other}", namespace)  # noqa: S102  # as above
    after, result = identity(function), function()
    assert before != after
    assert result in {True, False}


@needs_numpy
def test_a_failure_to_write_to_an_array_shows():
    array = numpy.zeros(2)

    def function():
        array[1] = 1

    before = identity(function)
    array = numpy.zeros(1)
    assert identity(function) != before


@pytest.mark.parametrize("has_source", [True, False])
@pytest.mark.parametrize(
    ("value", "statement"),
    [
        ("[]", "seen.append(1)"),
        ("set()", "seen.add(1)"),
        ("{}", "seen[len('a')] = 1"),
        ("{}", "seen.setdefault(2, 3)"),
        ("Counter()", "seen[1] += 1"),
        ("defaultdict(int)", "seen[1] += 1"),
        ("deque()", "seen.appendleft(1)"),
        ("0", "seen += 1"),
        ("0", "seen += 0.5"),
        ("0", "seen -= 1"),
    ],
)
def test_what_cannot_fail_to_be_written_does_not_count(value, statement, has_source, project):
    text = f"""
        from collections import Counter, defaultdict, deque
        seen = {value}
        def function():
            global seen
            {statement}
        """
    if has_source:
        project.write(main=text)
        namespace = vars(project.load())
    else:
        namespace = run({"__name__": "somewhere"}, text)
    before = identity(namespace["function"])
    namespace["function"]()
    assert identity(namespace["function"]) == before
    assert before.globals["seen"] == "output"


# Attributes of functions


def test_attributes_of_a_function_count_however_they_are_read(project):
    text = """
        def weight(n):
            def decorate(f):
                f.weight = n
                return f
            return decorate
        @weight(1)
        def h(x):
            return x
        HANDLERS = [h]
        def function():
            return [h.weight for h in HANDLERS]
        """
    before, after = edited(project, text, "@weight(1)", "@weight(2)")
    assert before != after
    for change in ("h.weight = 2", "h.other = 2", "del h.weight"):
        before, after = before_and_after(project, text, change)
        assert before != after


def test_an_attribute_that_a_function_only_sets_on_itself_does_not_count(project):
    text = "def function(x=1):\n    function.last = x\n    return x\n"
    before, after = before_and_after(project, text, "function(); function(2)")
    assert before == after


@pytest.mark.parametrize("name", ["__name__", "__qualname__", "__doc__"])
def test_the_name_of_a_function_that_is_read_counts(name, project):
    text = f"def h():\n    'doc'\ndef function():\n    return h.{name}\n"
    before, after = before_and_after(project, text, f"h.{name} = 'other'")
    assert before != after


# Values that were taken for steady


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ("list[K]", "K.v = 2"),
        ("K | None", "K.v = 2"),
        ("typing.NewType('N', K)", "K.v = 2"),
        ("typing.TypeVar('T', bound=K)", "K.v = 2"),
        ("typing.NewType('N', K)", "value.__supertype__ = int"),
    ],
)
def test_what_a_type_is_made_of_counts(value, change, project):
    text = f"import typing\nclass K:\n    v = 1\nvalue = {value}\ndef function(): return [value]\n"
    before, after = before_and_after(project, text, change)
    assert before != after


def test_the_metaclass_of_a_class_counts(project):
    text = "class M(type): pass\nclass N(type): pass\nclass K(metaclass=M): pass\ndef function(): return K\n"
    before, after = before_and_after(project, text, "K.__class__ = N")
    assert before != after


# What is the user's own in a library's module


@pytest.mark.parametrize(
    ("made", "change"),
    [
        ("class Own:\n    v = 1\nlib.thing = Own", "lib.thing.v = 2"),
        ("def h(x): return x\nlib.thing = functools.partial(h, 1)", "lib.thing = functools.partial(h, 2)"),
        ("class Own:\n    def __call__(self): return self.v\nlib.thing = Own()\nlib.thing.v = 1", "lib.thing.v = 2"),
        ("K = [1]\n@functools.lru_cache\ndef h(): return K\nlib.thing = h", "K[0] = 2"),
    ],
)
def test_own_code_in_a_module_of_a_library_counts(made, change, project):
    text = f"import functools\nimport json as lib\n{made}\ndef function(): return lib.thing\n"
    try:
        before, after = before_and_after(project, text, change)
        assert before != after
    finally:
        del sys.modules["json"].thing


@needs_numpy
@pytest.mark.parametrize(("made", "change"), [("1", "lib.thing = 2"), ("{'a': 1}", "lib.thing['a'] = 2")])
def test_a_setting_in_a_module_of_a_library_counts(made, change, project):
    text = f"import numpy as lib\nlib.thing = {made}\ndef function(): return lib.thing\n"
    try:
        before, after = before_and_after(project, text, change)
        assert before != after
    finally:
        del numpy.thing


@needs_numpy
def test_the_library_of_a_value_counts(project):
    project.write(main="import numpy\nA = numpy.zeros(2)\ndef function(): return A.sum()\n")
    assert identity(project.load().function).libraries == {"numpy": numpy.__version__}


# What cannot be followed


@pytest.mark.parametrize(
    "body",
    ["sys.modules['other'].f()", "list(sys.modules)"],
)
def test_the_table_of_modules_cannot_be_followed(body, project):
    project.write(main=f"import sys\ndef function(): return {body}\n")
    assert "sys.modules" in identity(project.load().function).unresolved[0]


def test_an_import_of_importlib_in_the_body_is_told(project):
    project.write(main="def function(x):\n    from importlib import import_module\n    return import_module(x)\n")
    (found,) = identity(project.load().function).unresolved
    assert "import_module()" in found


def test_a_warning_that_is_an_error_is_one_each_time(project):
    project.write(main="def function(x):\n    return eval(x)\n")
    function = project.load().function
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            with pytest.raises(IdentityWarning):
                identity(function)
        warnings.simplefilter("always")
        with pytest.warns(IdentityWarning):
            identity(function)


# Only the function's own code


def test_own_code_of_classes_and_callables(project):
    text = """
        import functools
        def h(x): return x
        class K:
            v = 1
            def __call__(self): return 1
            @property
            def p(self): return 3
        function = K
        """
    for callable_ in ("K", "K()", "functools.lru_cache(K())"):
        made = text.replace("function = K", f"function = {callable_}")
        for old, new in (("return 1", "return 2"), ("return 3", "return 4")):
            project.write(main=made)
            before = digest(project.load().function, track="own")
            project.write(main=made.replace(old, new))
            main = project.load()
            assert digest(main.function, track="own") != before
            after = digest(main.function, track="own")
            main.K.__call__ = main.h
            assert digest(main.function, track="own") != after


def test_own_code_with_the_arguments_of_a_partial():
    def h(*args, **options):
        return args, options

    made = [functools.partial(h), functools.partial(h, 1), functools.partial(h, 2), functools.partial(h, a=1)]
    assert len({digest(function, track="own") for function in made}) == len(made)
    held = functools.partial(h, [1])
    before = identity(held, track="own")
    assert identity(held, track="own") == before
    held.args[0].append(2)
    assert identity(held, track="own") != before


@pytest.mark.parametrize("track", ["deep", "own"])
@pytest.mark.parametrize("levels", [0, 5000])
def test_functions_that_wrap_for_ever(track, levels, project):
    project.write(main="def make():\n    def function(x): return x\n    return function\n")
    make = project.load().make
    function = bottom = make()
    for _ in range(levels):
        wrapper = make()
        wrapper.__wrapped__ = function
        function = wrapper
    bottom.__wrapped__ = function
    assert digest(function, track=track) == digest(function, track=track)


# What decorators of libraries keep for themselves


def test_a_single_dispatch_does_not_change_with_what_else_is_imported(project):
    text = """
        import functools, abc, collections.abc
        @functools.singledispatch
        def function(x):
            return 0
        @function.register(collections.abc.Sized)
        def sized(x):
            return 1
        class Late(abc.ABC):
            pass
        """
    before, after = before_and_after(project, text, "function([]); Late.register(int); function([]); function(1)")
    assert before == after
    before, after = before_and_after(project, text, "function.register(int, lambda x: 3)")
    assert before != after
    before, after = edited(project, text, "return 1", "return 2")
    assert before != after


def test_a_cache_in_the_cells_of_a_librarys_decorator_does_not_count(project):
    site = project.folder / "site-packages"
    (site / "memolib-1.0.dist-info").mkdir(parents=True)
    (site / "memolib-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: memolib\nVersion: 1.0\n")
    (site / "memolib.py").write_text(
        "def memo(f, factor=3):\n    cache, calls = {}, 0\n    def wrapper(x):\n        nonlocal calls\n"
        "        calls += 1\n        cache[x] = f(x) * factor\n        return cache[x]\n    return wrapper\n"
    )
    text = "import memolib\ndef h(x): return x\nh = memolib.memo(h)\ndef function(x): return h(x)\n"
    sys.path.insert(0, str(site))
    try:
        before, after = before_and_after(project, text, "function(1); function(2)")
        assert before.libraries == {"memolib": "1.0"}
        assert before == after
        for old, new in (("return x\n", "return -x\n"), ("memo(h)", "memo(h, 4)")):
            before, after = edited(project, text, old, new)
            assert before != after
    finally:
        sys.path.remove(str(site))
        sys.modules.pop("memolib", None)


# Sources


def test_an_import_that_ends_the_process(project):
    project.write(script="import sys\nsys.exit(3)\n", main="def function():\n    import script\n    script.run()\n")
    assert identity(project.load().function).unresolved == ("main.function: import script",)
    project.write(package__script="import sys\nsys.exit(3)\n", main="def function():\n    from package import script\n")
    assert identity(project.load().function).globals == {}


@pytest.mark.parametrize("option", ["-O", "-OO"])
def test_optimized_code_has_its_source(option, project):
    project.write(main="def function(x):\n    '''What it does.'''\n    assert x\n    return x\n")
    program = (
        f"import sys; sys.path[:0] = [{str(project.folder)!r}, *{sys.path!r}]\n"
        "import retain, main; print(retain.identity(main.function).code.form)"
    )
    ended = subprocess.run(
        [sys.executable, "-B", option, "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    assert ended.stdout.split() == ["source"]


def test_a_relative_name_of_a_source_after_a_change_of_folder(project, monkeypatch):
    text = "def function(x):\n    return x\n"
    project.write(script=text)
    namespace = {"__name__": "script", "__file__": str(project.folder / "script.py")}
    exec(compile(text, "script.py", "exec"), namespace)  # noqa: S102  # as above
    monkeypatch.chdir("/")
    assert identity(namespace["function"]).code.form == "source"


# Keys that are not plain


@pytest.mark.parametrize("key", ["Colour.RED", "Kind", "('a', 1)"])
def test_functions_under_keys_that_are_not_plain_are_seen(key, project):
    text = f"""
        import enum
        class Colour(enum.Enum):
            RED = 1
        class Kind:
            pass
        def h():
            return 1
        TABLE = {{{key}: h}}
        def function():
            return [f() for f in TABLE.values()]
        """
    project.write(main=text)
    assert "main.h" in identity(project.load().function).helpers
    before, after = before_and_after(project, text, "TABLE.clear()")
    assert before != after
    before, after = edited(project, text, "return 1", "return 2")
    assert before != after


def test_functions_of_one_name_within_a_librarys_function_are_told_apart(tmp_path, monkeypatch):
    package = tmp_path / "lib" / "site-packages"
    (package / "lambdalib-1.0.dist-info").mkdir(parents=True)
    (package / "lambdalib-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: lambdalib\nVersion: 1.0\n"
    )
    (package / "lambdalib-1.0.dist-info" / "RECORD").write_text("lambdalib.py,,\n")
    (package / "lambdalib.py").write_text(
        "def make():\n    one = lambda x: x; other = lambda x: x + 1\n    third = lambda x: x + 2\n"
        "    return one, other, third\n\n\ndef f(x):\n    return x\n\n\ndef g(x):\n    return x * 2\n"
    )
    monkeypatch.syspath_prepend(str(package))
    library = importlib.import_module("lambdalib")
    assert len({identity(function).digest for function in library.make()}) == 3
    assert identity(library.make()[0]) == identity(library.make()[0])
    before = identity(library.f)
    library.f.__code__ = library.g.__code__
    assert identity(library.f) != before
    del sys.modules["lambdalib"]
