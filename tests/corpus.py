"""Values of all the types that `retain.hash` knows, made by expressions, so that every process builds them afresh."""

# ruff: noqa: F401  # the expressions use these modules

from __future__ import annotations

import array
import collections
import dataclasses
import datetime  # noqa: ICN001  # by its own name in the expressions
import decimal
import enum
import fractions
import functools
import importlib
import io
import ipaddress
import mmap
import operator
import pathlib
import random
import re
import string
import struct
import types
import typing
import uuid
import zoneinfo

from corpus_expressions import SECTIONS

SHUFFLE = random.SystemRandom()


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


class Mode(enum.StrEnum):
    FAST = "fast"


class Point(typing.NamedTuple):
    x: int
    y: int = 0


Pair = collections.namedtuple("Pair", "x y")  # noqa: PYI024  # the older way to make one


@dataclasses.dataclass
class Row:
    name: str
    values: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    value: float = 0.0


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Slotted:
    __slots__ = ("_hidden", "x")

    def __init__(self, x):
        self.x = x


class SlottedToo(Slotted):
    __slots__ = ("__dict__", "y")


class Keyed:
    def __init__(self, name):
        self.name, self.cache = name, object()

    def __retain_key__(self):
        return self.name

    def __reduce__(self):
        return Keyed, (self.name,)


class Reduced:
    def __init__(self, *items):
        self.items = items

    def __reduce__(self):
        return Reduced, self.items


class Stateful:
    def __init__(self, value):
        self.value, self.cache = value, object()

    def __getstate__(self):
        return self.value

    def __setstate__(self, value):
        self.value, self.cache = value, object()


class Integer(int):
    pass


class Text(str):
    pass


class Real(float):
    pass


class Data(bytes):
    pass


class Items(list):
    pass


class Mapping(dict):
    pass


class Members(set):
    pass


class Deque(collections.deque):
    pass


class Failure(Exception):
    def __init__(self, message, code=0):
        super().__init__(message, code)
        self.code = code


def with_attributes(value, **attributes):
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


def shuffled(values):
    """Build a dict or set anew in another order, after others were in it."""
    entries = list(values.items() if isinstance(values, dict) else values)
    SHUFFLE.shuffle(entries)
    if not isinstance(values, dict):
        return type(values)(entries)
    made = {n: n for n in range(SHUFFLE.randrange(100))}
    made.clear()
    made.update(entries)
    return made


def fresh(text):
    """Make a text that is not interned."""
    return "".join([text[:1], text[1:]])


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def shared():
    part = [1, 2]
    return [part, part, (part, {"part": part})]


def unshared():
    return [[1, 2], [1, 2], ([1, 2], {"part": [1, 2]})]


def mapped(content):
    file = mmap.mmap(-1, len(content))
    file[:] = content
    return file


def advanced(stream, position):
    stream.seek(position)
    return stream


def cell_of(value):
    return (lambda: value).__closure__[0]


MODULES = {
    "standard": {},
    "own": {},
    "numpy": {"np": "numpy"},
    "pandas": {"np": "numpy", "pd": "pandas", "pa": "pyarrow"},
    "pyarrow": {"pa": "pyarrow", "pc": "pyarrow.compute"},
    "scipy": {"np": "numpy", "scipy": "scipy", "_": "scipy.special", "__": "scipy.stats", "sparse": "scipy.sparse"},
    "polars": {"pl": "polars", "_": "pyarrow"},
    "sklearn": {"np": "numpy", "sklearn": "sklearn"},
}


@functools.cache
def scope(name):
    """Return the names that a section's expressions use, or None where a library is missing."""
    try:
        names = {short: importlib.import_module(module) for short, module in MODULES[name].items()}
    except ImportError:
        return None
    if name == "sklearn":
        for module in sorted({expression[8:].split("(")[0].rpartition(".")[0] for expression in SECTIONS[name]}):
            importlib.import_module(f"sklearn.{module}")
        names["X"] = names["np"].arange(120.0).reshape(40, 3) % 7
        names["y"] = names["np"].arange(40.0)
    return {**globals(), **names}


def section(name):
    """Yield expression, value and whether pickle takes it, for each of a section; none where a library is missing."""
    names = scope(name)
    for expression in SECTIONS[name] if names else ():
        yield expression, eval(expression.removeprefix("!"), names), not expression.startswith("!")  # noqa: S307


def values():
    """Yield section, expression, value and whether pickle takes it, of all that can be made here."""
    for name in SECTIONS:
        for expression, value, pickles in section(name):
            yield name, expression, value, pickles


def main():
    """Write the file that every Python and version is compared with."""
    import json

    import retain

    golden = {}
    for name, modules in MODULES.items():
        versions = {
            module: getattr(importlib.import_module(module), "__version__", None) for module in modules.values()
        }
        golden[name] = {
            "versions": {module: version for module, version in sorted(versions.items()) if version},
            "digests": {expression: retain.hash(value, "md5") for expression, value, _ in section(name)},
        }
    text = json.dumps(golden, indent=1, ensure_ascii=True)
    pathlib.Path(__file__).with_name("golden_hashes.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    import corpus  # its classes are of that module, and not of this one

    corpus.main()
