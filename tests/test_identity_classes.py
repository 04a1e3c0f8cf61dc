"""What a class is made of: an edit of anything in it that can change results is an edit of what uses the class."""

import subprocess
import sys
import textwrap

import pytest
from retain import hash, identity
from test_identity import Project, digest


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Project(tmp_path)
    yield made
    made.forget()


# What is edited, the module, and the text before and after.
EDITS = {
    "what a member's __new__ sets": (
        """
        import enum
        class C(enum.Enum):
            A = (1, "alpha")
            def __new__(cls, value, label):
                made = object.__new__(cls)
                made._value_, made.label = value, label
                return made
        def function():
            return C.A.label
        """,
        "alpha",
        "beta",
    ),
    "what a member's __init__ sets under a private name": (
        """
        import enum
        factors = [2]
        class C(enum.Enum):
            A = 1
            def __init__(self, value):
                self._mass = factors.pop() * value
        def function():
            return C.A._mass
        """,
        "[2]",
        "[3]",
    ),
    "a private table of an enum": (
        """
        import enum
        class C(enum.Enum):
            A = 1
            __table = {1: "one"}
            def name_of(self):
                return self.__table[1]
        def function():
            return C.A.name_of()
        """,
        "one",
        "two",
    ),
    "what was set on an enum later": (
        """
        import enum
        class C(enum.Enum):
            A = 1
        C._names = {1: "one"}
        def function():
            return C._names[1]
        """,
        "one",
        "two",
    ),
    "an enum.property": (
        """
        import enum
        class C(enum.Enum):
            A = 1
            @enum.property
            def shown(self):
                return 1
        def function():
            return C.A.shown
        """,
        "return 1",
        "return 2",
    ),
    "a function of enum in the place of another": (
        """
        import enum
        class C(enum.Enum):
            A = 1
        C.__str__ = enum.Enum.__repr__
        def function():
            return str(C.A)
        """,
        "C.__str__ = enum.Enum.__repr__",
        "",
    ),
    "a value of an enum with a method called members": (
        """
        import enum
        class C(enum.Enum):
            A = "one"
            @classmethod
            def members(cls):
                return [member.value for member in cls]
        def function():
            return C.members()
        """,
        "one",
        "two",
    ),
    "a default of a dataclass with a field called dataclass": (
        """
        import dataclasses
        @dataclasses.dataclass
        class P:
            x: list = dataclasses.field(default_factory=list)
            dataclass: int = 1
        def function():
            return P().x
        """,
        "default_factory=list",
        "default_factory=dict",
    ),
    "the boundary of a flag": (
        """
        import enum
        class C(enum.Flag, boundary=enum.STRICT):
            A = 1
        def function():
            return C(8)
        """,
        "STRICT",
        "CONFORM",
    ),
    "__repr__ of a NamedTuple": (
        """
        import typing
        class P(typing.NamedTuple):
            x: int
            def __repr__(self):
                return "one"
        def function():
            return repr(P(1))
        """,
        "one",
        "two",
    ),
    "a field of a named tuple that was replaced": (
        """
        import collections
        P = collections.namedtuple("P", "x")
        P.x = property(lambda self: 1)
        def function():
            return P(3).x
        """,
        "self: 1",
        "self: 2",
    ),
    "__class_getitem__": (
        """
        class P:
            def __class_getitem__(cls, item):
                return "one"
        def function():
            return P[0]
        """,
        "one",
        "two",
    ),
    "a name that begins as those of abc do": (
        """
        class P:
            _abc_name = "one"
        def function():
            return P._abc_name
        """,
        "one",
        "two",
    ),
    "__match_args__ of a dataclass": (
        """
        import dataclasses
        @dataclasses.dataclass
        class P:
            __match_args__ = ("x", "y")
            x: int
            y: int
        def function():
            match P(1, 2):
                case P(first):
                    return first
        """,
        '("x", "y")',
        '("y", "x")',
    ),
    "match_args of a dataclass": (
        """
        import dataclasses
        @dataclasses.dataclass(match_args=True)
        class P:
            x: int
        def function():
            return hasattr(P, "__match_args__")
        """,
        "match_args=True",
        "match_args=False",
    ),
    "a recursive __repr__ of a dataclass": (
        """
        import dataclasses, reprlib
        @dataclasses.dataclass
        class P:
            x: int
            @reprlib.recursive_repr()
            def __repr__(self):
                return "one"
        def function():
            return repr(P(1))
        """,
        "one",
        "two",
    ),
    "a class that was registered": (
        """
        import abc
        class P(abc.ABC):
            pass
        class Q:
            pass
        P.register(Q)
        def function():
            return isinstance(Q(), P)
        """,
        "P.register(Q)",
        "",
    ),
    "a class that make_dataclass made": (
        """
        import dataclasses
        P = dataclasses.make_dataclass("P", [("x", int, 1)])
        def function():
            return P().x
        """,
        "int, 1",
        "int, 2",
    ),
    "a class that types.new_class made": (
        """
        import types
        P = types.new_class("P", (), {}, lambda namespace: namespace.update(x=1))
        def function():
            return P.x
        """,
        "x=1",
        "x=2",
    ),
    "a class that was executed without a module": (
        """
        namespace = {}
        exec("class P:\\n    x = 1", namespace)
        P = namespace["P"]
        def function():
            return P.x
        """,
        "x = 1",
        "x = 2",
    ),
    "a class that says it is json's": (
        """
        class P:
            __module__ = "json"
            x = 1
            def method(self):
                return 0
        def function():
            return P.x
        """,
        "x = 1",
        "x = 2",
    ),
    "a function that was executed under the name of a module": (
        """
        namespace = {"__name__": "code"}
        exec("def inner():\\n    return 1", namespace)
        inner = namespace["inner"]
        def function():
            return inner()
        """,
        "return 1",
        "return 2",
    ),
    "a class whose metaclass has flags": (
        """
        class M(type):
            __flags__ = 0
        class P(metaclass=M):
            x = 1
        def function():
            return P.x
        """,
        "x = 1",
        "x = 2",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of(edit, project):
    text, old, new = EDITS[edit]
    text = textwrap.dedent(text)
    assert old in text
    project.write(main=text)
    before = digest(project.load().function)
    project.write(main=text)
    assert digest(project.load().function) == before
    project.write(main=text.replace(old, new))
    assert digest(project.load().function) != before


# What is changed while the program runs.
CHANGES = {
    "an attribute of a member of an enum": (EDITS["what a member's __new__ sets"][0], "C.A.label = 'beta'"),
    "the classes that are registered": (EDITS["a class that was registered"][0], "P.register(int)"),
    "the defaults of a named tuple": (
        """
        import typing
        class P(typing.NamedTuple):
            x: int = 1
        def function():
            return P()
        """,
        "P.__new__.__defaults__ = (2,)",
    ),
    "the defaults of a dataclass": (
        """
        import dataclasses
        @dataclasses.dataclass
        class P:
            x: int = 1
            y: list = dataclasses.field(default_factory=list)
        def function():
            return P()
        """,
        "P.__init__.__defaults__ = (2, P.__init__.__defaults__[1])",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of(change, project):
    text, statement = CHANGES[change]
    project.write(main=text)
    main = project.load()
    before = identity(main.function)
    main.function()
    assert identity(main.function) is before
    exec(statement, vars(main))  # noqa: S102  # as written above
    assert identity(main.function) != before


# What does not count: it comes with the use of a class, or makes no difference.
USES = {
    "a subclass of a protocol": """
        import typing
        class P(typing.Protocol):
            def method(self): ...
        class Q(P):
            pass
        def function():
            return Q()
        """,
    "a flag": """
        import enum
        class C(enum.Flag):
            A = 1
            B = 2
        def function():
            return ~C.A | C.B
        """,
    "what a member of an enum keeps for itself": """
        import enum, functools
        class C(enum.Enum):
            A = 1
            @functools.cached_property
            def area(self):
                return 3
        def function():
            return C.A.area
        """,
    "a dataclass": """
        import dataclasses
        @dataclasses.dataclass(order=True, slots=True)
        class P:
            x: int = 1
            tags: list = dataclasses.field(default_factory=list, kw_only=True)
            shared: dataclasses.InitVar[int] = 3
        def function():
            return P()
        """,
    "an abstract class": """
        import abc
        class P(abc.ABC):
            pass
        def function():
            return isinstance(3, P)
        """,
}


@pytest.mark.parametrize("use", USES)
def test_the_use_makes_no_difference_of(use, project):
    project.write(main=USES[use])
    main = project.load()
    before = digest(main.function)
    main.function()
    assert digest(main.function) == before
    assert digest(project.load().function) == before


@pytest.mark.parametrize("text", ["one", "two"])
def test_a_dataclass_without_a_file_has_its_own_methods(text):
    script = """
        import dataclasses, retain
        @dataclasses.dataclass
        class P:
            x: int
            def __repr__(self):
                return "{}"
        def function():
            return repr(P(1))
        print(retain.identity(function).digest)
        """

    def run(text):
        command = [sys.executable, "-c", textwrap.dedent(script).format(text)]
        return subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout

    assert run(text) != run("three")


def test_a_metaclass_that_answers_nothing():
    class Hostile(type):
        def __getattribute__(cls, name):
            raise RuntimeError(name)

        def __eq__(cls, other):
            raise RuntimeError

        __hash__ = type.__hash__

    class Base(metaclass=Hostile):
        x = 1

    class P(Base):
        pass

    def function():
        return P

    assert identity(function).digest == identity(function).digest


def test_classes_of_the_standard_library_count_by_name():
    import collections
    import datetime as dt
    import decimal
    import json
    import pathlib
    import re

    for kind in (collections.OrderedDict, dt.date, decimal.Decimal, json.JSONDecoder, pathlib.Path, re.Pattern):
        assert [record.library for record in identity(kind)._records] == ["standard"]


# The metaclass of a library, which notes down what it found.
METACLASS = """
    class Meta(type):
        def __new__(cls, name, bases, members):
            made = super().__new__(cls, name, bases, members)
            made.__signature__ = object()
            return made

    class Model(metaclass=Meta):
        pass
    """


@pytest.fixture
def library(project, tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    (folder / "meta_maker-1.0.dist-info").mkdir(parents=True)
    (folder / "meta_maker-1.0.dist-info" / "METADATA").write_text("Name: meta_maker\nVersion: 1.0\n")
    (folder / "meta_maker.py").write_text(textwrap.dedent(METACLASS))
    monkeypatch.syspath_prepend(folder)
    return project


@pytest.mark.parametrize(
    ("body", "old", "new"),
    [
        ("x = functools.cached_property(lambda self: 1)", "1", "2"),
        ("x = functools.partial(pow, 2)", "2", "3"),
        ("x = decimal.Decimal('0.5')", "0.5", "0.7"),
        ("x = Own(1)", "1", "2"),
        ("__tablename__ = 'one'", "one", "two"),
        ("_x = [1]", "1", "2"),
    ],
)
def test_what_lies_in_a_class_with_the_metaclass_of_a_library(body, old, new, library):
    text = f"""
        import decimal, functools, meta_maker
        class Own:
            def __init__(self, value):
                self.value = value
        class P(meta_maker.Model):
            {body}
        def function():
            return P
        """
    library.write(main=text)
    before = digest(library.load().function)
    assert digest(library.load().function) == before
    library.write(main=text.replace(body, body.replace(old, new)))
    assert digest(library.load().function) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.5", "0.7"),
        ("gt=0", "gt=5"),
        ("default=3", "default=4"),
        ("frozen=True", "frozen=False"),
        ("mode='before'", "mode='after'"),
        ("return value", "return 2 * value"),
    ],
)
def test_a_model_of_pydantic(old, new, project):
    pytest.importorskip("pydantic")
    text = """
        import pydantic
        class P(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(frozen=True)
            rate: float = 0.5
            count: int = pydantic.Field(1, gt=0)
            _private: int = pydantic.PrivateAttr(default=3)
            @pydantic.field_validator("count", mode='before')
            @classmethod
            def check(cls, value):
                return value
            @pydantic.computed_field
            @property
            def double(self) -> float:
                return 2 * self.rate
        def function():
            return P(count=2).model_dump_json()
        """
    project.write(main=text)
    main = project.load()
    before = digest(main.function)
    main.function()
    assert digest(main.function) == before == digest(project.load().function)
    project.write(main=text.replace(old, new))
    assert digest(project.load().function) != before


def test_values_of_a_member_with_attributes_differ(project):
    text = EDITS["what a member's __new__ sets"][0]
    project.write(main=text)
    first = hash(project.load().C.A)
    project.write(main=text.replace("alpha", "beta"))
    assert hash(project.load().C.A) != first
