"""What a function is made of: its code, and the values outside of it that it reads."""

from __future__ import annotations

import builtins
import importlib
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import NamedTuple

from retain._libraries import OWN, Origin, module_of, namespace_of, origin, origin_unimported, stable_name
from retain._reads import BOUND, IN_PLACE, ITEM, ITEM_IN_PLACE, stored_cells
from retain._source import recipe
from retain._wrappers import wrapped_by

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CellType, CodeType
    from typing import Any

    from retain._reads import Chain
    from retain._source import Recipe


class Entry(NamedTuple):
    """Something that counts."""

    role: str
    """``"default"``, ``"cell"``, ``"global"``, ``"member"`` and so on."""
    name: str
    status: str
    """
    ``"value"``; or, without a value that counts, ``"absent"``, ``"empty"`` (a cell), ``"library"`` (name and version
    are the value) or ``"output"`` (what is only written to: its type counts).
    """
    value: Any = None

    def tagged(self) -> tuple[object, ...]:
        """Return what stands for this in the identity."""
        return (self.status, self.value) if self.status in {"value", "library", "output"} else (self.status,)


class Check(NamedTuple):
    """Where something was found, to be looked at again."""

    owner: object
    place: int
    key: Any
    status: str
    """
    ``"value"``, ``"same"``, ``"absent"``, ``"type"``; ``"contents"`` of a module or function; ``"self"`` of a method
    in C; ``"attribute"``, as functions have them without a ``__dict__``.
    """
    value: Any = None


# Places, as the guards know them.
GLOBALS, BUILTINS, MODULE, ATTRIBUTES, MODULES, CELL, CODE, DEFAULTS, KEYWORDS, MEMBERS, BASES, ITSELF = range(12)


class Anatomy(NamedTuple):
    """What a function, class or module is made of."""

    kind: str
    name: str
    """Module and qualified name, for people."""
    head: tuple[object, ...]
    """What is known without looking at other values."""
    form: str
    digest: bytes
    entries: list[Entry]
    checks: list[Check]
    unresolved: list[tuple[str, int]]
    """What cannot be followed, and the line."""
    origin: Origin


MISSING: Any = object()
_CODE_FIELDS = ((CODE, "__code__"), (DEFAULTS, "__defaults__"), (KEYWORDS, "__kwdefaults__"))
_FUNCTIONS = (FunctionType, BuiltinFunctionType)
_NAMING = {"__doc__", "__module__", "__name__", "__qualname__"}
_CONSTRUCTS = {
    id(construct): (construct, name)
    for construct, name in (
        (builtins.eval, "eval()"),
        (builtins.exec, "exec()"),
        (builtins.globals, "globals()"),
        (builtins.__import__, "__import__()"),
        (importlib.import_module, "import_module()"),
    )
}


def is_module(value: object) -> bool:
    """Tell whether a value is a module; nothing of it is called."""
    return issubclass(type(value), ModuleType)


def contents(module: object) -> dict[str, Any]:
    """Return a module's ``__dict__``, past whatever its class makes of attributes."""
    found: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return found


def name_of_module(module: object) -> str:
    """Return a module's name, or nothing."""
    name = contents(module).get("__name__")
    return name if type(name) is str else ""


def main_name(name: object) -> str:
    """Return a module's name as it is part of an identity: a worker process has the main module under another one."""
    if type(name) is not str:
        return ""
    return "__main__" if name == "__mp_main__" else name


def function_anatomy(function: FunctionType) -> Anatomy:
    """Take a function apart."""
    namespace = function.__globals__
    whose = origin(namespace.get("__name__"), namespace)
    module, name = main_name(function.__module__), function.__qualname__
    shown = f"{module}.{name}" if module else name
    checks = [Check(function, place, None, "value", getattr(function, field)) for place, field in _CODE_FIELDS]
    if whose.kind != "own":
        return _library_function(function, whose, (module, name), shown, checks[:1])
    known = recipe(function)
    reader = _Reader(function, known, checks)
    entries = [*_defaults(function), *reader.read()]
    entries += reader.attributes()
    head = module, name, known.form, known.digest
    return Anatomy("function", shown, head, known.form, known.digest, entries, reader.checks, reader.unresolved, whose)


def _defaults(function: FunctionType) -> Iterable[Entry]:
    code, values = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount][-len(values) :] if values else ()
    # There may be more defaults than parameters, if somebody set them so: the last ones count.
    for name, value in zip(reversed(names), reversed(values), strict=False):
        yield Entry("default", name, "value", value)
    for name, value in (function.__kwdefaults__ or {}).items():
        if type(name) is str:
            yield Entry("default", name, "value", value)


def _library_function(
    function: FunctionType, whose: Origin, name: tuple[str, str], shown: str, checks: list[Check]
) -> Anatomy:
    # By name and version; but what a library's decorator made has the user's function in its cells.
    module = stable_name(str(function.__globals__.get("__name__")), whose)
    head: tuple[object, ...] = (
        stable_name(name[0], origin(name[0])),
        name[1],
        module,
        function.__code__.co_qualname,
        whose.library,
        whose.version,
    )
    if whose.kind == "library" and "<locals>" in function.__code__.co_qualname:
        # Several functions within one may have the same name, as lambdas do; where it is written tells them apart.
        head += (function.__code__.co_firstlineno, _column(function.__code__))
    entries: list[Entry] = []
    stored = stored_cells(function.__code__)
    dispatches = whose.kind == "standard" and function.__code__.co_qualname.startswith("singledispatch.")
    for number, cell in enumerate(function.__closure__ or ()):
        held = cell_value(cell)
        of = function.__code__.co_freevars[number]
        if held is not MISSING and of not in stored and (_is_given(held) or (dispatches and of == "registry")):
            entries.append(Entry("cell", of, "value", held))
            checks.append(Check(function, CELL, number, "value", held))
    wrapped = function.__dict__.get("__wrapped__", MISSING)
    if wrapped is not MISSING:
        entries.append(Entry("attribute", "__wrapped__", "value", wrapped))
        checks.append(Check(function, ATTRIBUTES, "__wrapped__", "value", wrapped))
    return Anatomy("function", shown, head, whose.kind, b"", entries, checks, [], whose)


def _column(code: CodeType) -> int | None:
    # Where what a lambda returns is written: there may be several on one line.
    columns = (column for _, _, column, _ in code.co_positions() if column)
    return min(columns, default=None) if code.co_name == "<lambda>" else None


_ATOMS = (type(None), bool, int, float, complex, str, bytes)
_GIVEN = (*_ATOMS, tuple, frozenset, *_FUNCTIONS)


def _is_given(value: object) -> bool:
    # In a library's own cells: what the user gave, and not what the library keeps for itself, such as a cache.
    kind = type(value)
    return kind in _GIVEN or issubclass(kind, type) or (callable(value) and origin(module_of(kind)).kind != "library")


def cell_value(cell: CellType) -> Any:
    """Return what a closure cell holds, or MISSING."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


# How a function may change a value without reading it, where nothing comes of it but the change: it raises for what
# the value holds neither now nor ever.
_ON_DICTS = {BOUND, ITEM, "clear", "setdefault", "update"}
_ON_LISTS = {BOUND, "append", "clear", "extend", "insert"}
_ON_NUMBERS = {BOUND, IN_PLACE}
_SILENT: dict[type, set[str]] = {
    bytearray: _ON_LISTS,
    list: _ON_LISTS,
    deque: {BOUND, "append", "appendleft", "clear", "extend", "extendleft"},
    set: {BOUND, "add", "clear", "discard", "update"},
    dict: _ON_DICTS,
    OrderedDict: _ON_DICTS,
    Counter: _ON_DICTS | {ITEM_IN_PLACE},
    defaultdict: _ON_DICTS | {ITEM_IN_PLACE},
    bool: _ON_NUMBERS,
    complex: _ON_NUMBERS,
    float: _ON_NUMBERS,
    int: _ON_NUMBERS,
}


def _as_output(value: object, ways: frozenset[str]) -> str:
    """Return what counts of a value that is only written to in some ways; nothing if all of it does."""
    kind = type(value)
    if not ways <= _SILENT.get(kind, set()):
        return ""
    if IN_PLACE in _SILENT[kind]:
        return "number"  # one comes to be of another type as it is added to
    if kind is defaultdict and ITEM_IN_PLACE in ways:
        factory: object = value.default_factory  # type: ignore[attr-defined]
        if not any(factory is kind for kind in (int, float, complex, list)):
            return ""  # it may raise for what is not there
    return kind.__name__


class _Reader:
    # Looks up what a function reads.

    def __init__(self, function: FunctionType, known: Recipe, checks: list[Check]) -> None:
        self.function = function
        self.recipe = known
        self.checks = checks
        self.unresolved: list[tuple[str, int]] = []
        self.entries: dict[tuple[str, str], Entry] = {}

    def read(self) -> Iterable[Entry]:
        for chain in self.recipe.reads.imports:
            self.follow(chain, touched=True)
        for chain in self.recipe.reads.chains:
            self.follow(chain)
        for chain, line in self.recipe.reads.getattrs:
            value = self.root(chain)
            for name in chain.attributes:
                value = contents(value).get(name, MISSING) if is_module(value) else MISSING
            if value is not MISSING and is_module(value) and _whose(value).kind == "own":
                self.unresolved.append((f"getattr({chain}, ...)", line))
        return [self.entries[key] for key in sorted(self.entries)]

    def add(self, role: str, name: str, status: str, value: Any = None) -> None:
        self.entries[role, name] = Entry(role, name, status, value)
        kind = type(value)
        if status == "value" and wrapped_by(kind) is None:
            whose = origin(module_of(kind))
            if whose.kind == "library":  # what the value does is told by the version
                told = whose.library, whose.library, whose.version
                self.entries["library", whose.library] = Entry("library", whose.library, "library", told)

    def check(self, owner: object, place: int, key: Any, status: str, value: Any = None) -> None:
        self.checks.append(Check(owner, place, key, status, value))

    def attributes(self) -> Iterable[Entry]:
        """Enter what was set on the function, unless by its own code, which does not read it."""
        function, held = self.function, dict(self.function.__dict__)
        found = {chain.attributes[0] for chain in self.recipe.reads.chains if chain.attributes}
        written = {name[1:] for name in found if name.startswith("=")} - found
        counted = {name for name in held if type(name) is str and name not in written}
        told = {name: (name in counted, value) for name, value in held.items()}
        self.check(function, ITSELF, None, "contents", told)
        return [Entry("attribute", name, "value", held[name]) for name in sorted(counted)]

    def root(self, chain: Chain) -> Any:
        """Look up the value that a chain begins with."""
        function = self.function
        if chain.root == "cell":
            number = function.__code__.co_freevars.index(chain.name)
            return cell_value((function.__closure__ or ())[number])
        if chain.root == "import":
            return self.imported(chain)
        return _builtins(function).get(chain.name, MISSING) if self.is_builtin(chain) else self.of_globals(chain)

    def of_globals(self, chain: Chain) -> Any:
        return dict.get(self.function.__globals__, chain.name, MISSING)

    def is_builtin(self, chain: Chain) -> bool:
        return self.of_globals(chain) is MISSING

    def follow(self, chain: Chain, *, touched: bool = False) -> None:
        """Enter what a chain comes to, and what it goes through."""
        value = self.root(chain)
        role = {"cell": "cell", "import": "import"}.get(chain.root, "global")
        if chain.root == "import":
            if value is MISSING:
                module = sys.modules.get(chain.name)
                if chain.attributes and is_module(module) and _whose(module).kind != "own":
                    self.patched(role, chain.name, module, list(chain.attributes))
                return
            if is_module(value):
                self.check(None, MODULES, name_of_module(value), "same", value)
        elif chain.root == "cell":
            number = self.function.__code__.co_freevars.index(chain.name)
            place: tuple[object, int, Any] = (self.function, CELL, number)
            if not self.enter_root(chain, role, place, value):
                return
        else:
            if self.is_builtin(chain):
                if value is MISSING and chain.root == "global, if there":
                    return
                self.check(self.function, GLOBALS, chain.name, "absent")
                place = self.function, BUILTINS, chain.name
            else:
                place = self.function, GLOBALS, chain.name
            if id(value) in _CONSTRUCTS and not chain.attributes:
                self.unresolved.append((_CONSTRUCTS[id(value)][1], self.recipe.reads.lines.get(chain.name, 0)))
            if not self.enter_root(chain, role, place, value):
                return
        self.through(chain, role, value, touched=touched)

    def enter_root(self, chain: Chain, role: str, place: tuple[object, int, Any], value: Any) -> bool:
        """Check the value that a chain begins with; tell whether there is more to say about it."""
        if value is MISSING:
            self.add(role, chain.name, "empty" if role == "cell" else "absent")
            self.check(*place, "absent")
            return False
        if chain.name in self.recipe.outputs:
            counts = _as_output(value, self.recipe.outputs[chain.name])
            if counts:
                self.add(role, chain.name, "output", counts)
                self.check(*place, "type", type(value))
                return False
        self.check(*place, "same" if is_module(value) else "value", value)
        return True

    def through(self, chain: Chain, role: str, value: Any, *, touched: bool) -> None:
        """Go from module to module as far as the attributes of a chain lead."""
        name, left = chain.name, list(chain.attributes)
        while left and is_module(value):
            attribute = left.pop(0)
            if attribute.startswith("="):
                return  # it is written to
            if _whose(value).kind != "own":
                self.of_library(role, name, value, [attribute, *left])
                return
            found = contents(value).get(attribute, MISSING)
            if found is MISSING and role == "import":
                found = _submodule(value, attribute)
            if found is MISSING:
                if attribute != "__dict__":
                    self.absent(role, name, attribute, value)
                    return
                break  # anything may be read from it
            name = f"{name}.{attribute}"
            self.check(value, MODULE, attribute, "same" if is_module(found) else "value", found)
            value = found
        if is_module(value):
            if _whose(value).kind != "own":
                self.of_library(role, name, value, [])
            elif not touched:
                self.add(role, name, "value", value)
            return
        self.add(role, name, "value", value)
        if left and type(value) is FunctionType and not left[0].startswith("="):
            self.attribute(role, name, value, left[0])

    def attribute(self, role: str, of: str, function: FunctionType, name: str) -> None:
        """Enter an attribute of a function."""
        if name in _NAMING:
            found = getattr(function, name)
            self.add(role, f"{of}.{name}", "value", found)
            self.check(function, ITSELF, name, "attribute", found)
        elif not hasattr(FunctionType, name):
            found = function.__dict__.get(name, MISSING)
            self.add(role, f"{of}.{name}", *(("absent",) if found is MISSING else ("value", found)))
            self.check(function, ATTRIBUTES, name, "absent" if found is MISSING else "value", found)

    def absent(self, role: str, name: str, attribute: str, module: object) -> None:
        """Enter an attribute that a module does not have, or has by its ``__getattr__``."""
        self.check(module, MODULE, attribute, "absent")
        if origin(module_of(type(module))) == OWN:
            self.add(role, f"{name}.__class__", "value", type(module))
            self.check(module, ITSELF, None, "type", type(module))
        maker = contents(module).get("__getattr__", MISSING)
        if maker is MISSING:
            self.add(role, f"{name}.{attribute}", "absent")
        else:
            self.add(role, f"{name}.__getattr__", "value", maker)
            self.check(module, MODULE, "__getattr__", "value", maker)

    def of_library(self, role: str, name: str, module: object, attributes: list[str]) -> None:
        """Enter what is read from a library's module: by the version, unless somebody put a function of his there."""
        whose = _whose(module)
        shown = stable_name(name_of_module(module), whose)
        self.add(role, name, "library", (shown, whose.library, whose.version))
        self.patched(role, name, module, attributes, values=whose.kind == "library")

    def patched(self, role: str, name: str, module: object, attributes: list[str], *, values: bool = False) -> None:
        """Enter what somebody put into a library's module: code of his; and values, where there is a version."""
        value = module
        for number, attribute in enumerate(attributes):
            found = contents(value).get(attribute, MISSING)
            if is_module(found):
                self.check(value, MODULE, attribute, "same", found)
                value = found
                continue
            if value is sys and attribute == "modules":
                self.unresolved.append(("sys.modules", self.recipe.reads.lines.get(name, 0)))
            if _is_own(found) or (values and _is_simple(found)):
                self.check(value, MODULE, attribute, "value", found)
                self.add(role, ".".join((name, *attributes[: number + 1])), "value", found)
            elif found is MISSING:
                if not attribute.startswith("="):
                    self.check(value, MODULE, attribute, "absent")
            else:
                self.check(
                    value,
                    MODULE,
                    attribute,
                    "same" if callable(found) else "type",
                    found if callable(found) else type(found),
                )
            if id(found) in _CONSTRUCTS:
                self.unresolved.append((_CONSTRUCTS[id(found)][1], self.recipe.reads.lines.get(name, 0)))
            return

    def imported(self, chain: Chain) -> Any:
        """Return the module of a local import: the user's own by importing it; a library's counts by its version."""
        name = chain.name
        if name.startswith("."):
            package = self.function.__globals__.get("__package__") or ""
            from importlib.util import resolve_name

            try:
                name = resolve_name(name, package)
            except ImportError:
                name = ""
        if not name:
            self.unresolved.append((f"import {chain.name}", 0))
            return MISSING
        whose = origin_unimported(name)
        if whose.kind != "own":
            self.add("import", chain.name, "library", (name, whose.library, whose.version))
            return MISSING
        if name in sys.modules:
            return sys.modules[name] if namespace_of(name) is not None else MISSING
        try:
            importlib.import_module(name)
        except (Exception, SystemExit):  # noqa: BLE001  # whatever the module raises, the function would get it
            self.unresolved.append((f"import {chain.name}", 0))
            self.add("import", chain.name, "absent")
            self.check(None, MODULES, name, "absent")
        return sys.modules.get(name, MISSING) if namespace_of(name) is not None else MISSING


def _builtins(function: FunctionType) -> dict[str, Any]:
    found: dict[str, Any] = getattr(function, "__builtins__")  # noqa: B009  # older typesheds lack it
    return found


def _is_own(value: object) -> bool:
    # Whether the code of what lies in a library's module is the user's.
    for _ in range(100):
        kind = type(value)
        attributes = wrapped_by(kind)
        if attributes is not None:
            value = getattr(value, attributes[0])
        elif kind is FunctionType:
            namespace: dict[str, object] = value.__globals__  # type: ignore[attr-defined]
            if origin(namespace.get("__name__"), namespace) == OWN:
                return True
            value = value.__dict__.get("__wrapped__", MISSING)
        elif issubclass(kind, type):
            return origin(module_of(value)) == OWN  # type: ignore[arg-type]
        else:
            return value is not MISSING and not issubclass(kind, ModuleType) and origin(module_of(kind)) == OWN
    return False


def _is_simple(value: object, depth: int = 0) -> bool:
    # Whether a value is a setting rather than what a library works with.
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind not in (dict, frozenset, list, set, tuple) or depth > 5 or len(value) > 100:  # type: ignore[arg-type]
        return False
    held: Any = value
    items = [*held, *held.values()] if kind is dict else list(held)
    return all(_is_simple(item, depth + 1) for item in items)


def _submodule(package: object, name: str) -> Any:
    # What `from package import name` imports where the package has no such attribute.
    if "__path__" not in contents(package):
        return MISSING
    full = f"{name_of_module(package)}.{name}"
    try:
        importlib.import_module(full)
    except (Exception, SystemExit):  # noqa: BLE001  # whatever the module raises, the function would get it
        return MISSING
    return contents(package).get(name, MISSING)


def _whose(module: object) -> Origin:
    return origin(name_of_module(module), contents(module))
