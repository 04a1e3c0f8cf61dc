"""All that a function depends on, gathered for the guards that watch it and for people who want to know."""

from __future__ import annotations

import copyreg
import sys
import warnings
from collections import deque
from time import perf_counter, thread_time
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import NamedTuple

from retain._anatomy import (
    ATTRIBUTES,
    BASES,
    ITSELF,
    MEMBERS,
    MISSING,
    Anatomy,
    Check,
    Entry,
    contents,
    function_anatomy,
)
from retain._classes import class_anatomy
from retain._libraries import module_of, origin
from retain._modules import compiled_anatomy, exported_by, module_anatomy
from retain._retain import digest
from retain._wrappers import wrapped_by

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# Expectations, as the guards know them.
SAME, ABSENT, TYPE, LIST, TUPLE, DICT, SET, DIGEST, ATTRIBUTES_OF, INSTANCE = range(10)
_ABSENT = (ABSENT,)

COMPILED = (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodWrapperType,
    WrapperDescriptorType,
)
_ATOMS = {type(None), bool, bytes, complex, float, int, str, range, type(...), type(NotImplemented)}
# Values of these types never change, or have nothing that counts.
_STEADY = {
    ("_thread", "RLock"),
    ("_thread", "lock"),
    ("builtins", "code"),
    ("datetime", "date"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("decimal", "Decimal"),
    ("fractions", "Fraction"),
    ("logging", "Logger"),
    ("logging", "RootLogger"),
    ("numpy", "ufunc"),
    ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"),
    ("re", "Pattern"),
    ("uuid", "UUID"),
}
# Values of these types are looked at through these attributes.
_LOOKED_THROUGH = {
    ("types", "GenericAlias"): ("__origin__", "__args__"),
    ("types", "UnionType"): ("__args__",),
    ("typing", "NewType"): ("__name__", "__supertype__"),
    ("typing", "TypeVar"): ("__name__", "__bound__", "__constraints__"),
}
_LARGEST = 1000
"""Containers of more values are compared by their digest."""
_DEEPEST = 20
_SLOW = 1e-3
_MANY_BYTES = 1 << 20


def anatomy(value: Any) -> Anatomy:
    """Take a function, class or module apart."""
    kind = type(value)
    if kind is FunctionType:
        return function_anatomy(value)
    if issubclass(kind, type):
        return class_anatomy(value)
    if issubclass(kind, ModuleType):
        return module_anatomy(value)
    return compiled_anatomy(value)


def is_code(value: object) -> bool:
    """Tell whether a value is a function, class or module, which `anatomy` takes apart."""
    kind = type(value)
    return kind is FunctionType or issubclass(kind, (type, ModuleType)) or kind in COMPILED


def wrapping(value: Any) -> Iterator[tuple[Any, str, Any]]:
    """Go from wrapper to wrapper down to a function; give each, the attribute that leads on, and where it leads."""
    seen: dict[int, object] = {}
    while id(value) not in seen:
        seen[id(value)] = value
        attributes = wrapped_by(type(value))
        if attributes is not None:
            name, inner = attributes[0], getattr(value, attributes[0])
        elif type(value) is FunctionType and "__wrapped__" in value.__dict__:
            name, inner = "__wrapped__", value.__dict__["__wrapped__"]
        else:
            return
        yield value, name, inner
        value = inner


class Record(NamedTuple):
    """A function, class or module that was met."""

    kind: str
    name: str
    form: str
    digest: str
    entries: tuple[tuple[str, str, str, tuple[int, ...]], ...]
    """Role, name, description, and the numbers of the records that it leads to."""
    library: str


class _Overflow(Exception):  # noqa: N818  # no error: the container is too large to be watched piece by piece
    pass


class Survey:
    """All that some roots depend on."""

    def __init__(self, *, told: bool = False) -> None:
        self.roots: list[int] = []
        self.records: list[Record | None] = []
        self.libraries: dict[str, str] = {}
        self.unresolved: list[str] = []
        self.opaque: list[str] = []
        self._groups: dict[int | None, tuple[object, list[tuple[object, ...]]]] = {}
        self._numbers: dict[int, int] = {}
        self._kept: list[object] = []
        self._left: deque[tuple[int, Any]] = deque()
        self._met: list[int] = []
        self._quiet = told
        self._for: FunctionType | None = None

    def number(self, value: object) -> int:
        """Return the number of the record of a function, class or module, and see to it that there will be one."""
        found = self._numbers.get(id(value))
        if found is None:
            found = self._numbers[id(value)] = len(self.records)
            self._kept.append(value)  # so that no other takes its address
            self.records.append(None)
            self._left.append((found, value))
        self._met.append(found)
        return found

    def root(self, value: Any) -> None:
        """Begin with a function or another value."""
        if is_code(value):
            self.roots.append(self.number(value))
            return
        self.roots.append(len(self.records))
        self.records.append(None)
        before = len(self._met)
        expected = self.expectation(value)
        self.watch(value, ITSELF, None, expected)
        numbers = tuple(dict.fromkeys(self._met[before:]))
        entry = "value", "", describe(value, expected, numbers), numbers
        kind = type(value)
        self.records[self.roots[-1]] = Record("value", f"{module_of(kind)}.{kind.__qualname__}", "", "", (entry,), "")

    def watch_wrappers(self, value: Any) -> None:
        """Watch which function lies at the bottom of some wrappers, but not what it reads."""
        for outer, name, inner in wrapping(value):
            if type(outer) is FunctionType:
                self.watch(outer, ATTRIBUTES, name, (SAME, inner))
            else:
                self.watch(outer, ITSELF, None, (ATTRIBUTES_OF, type(outer), ((name, (SAME, inner)),)))

    def run(self) -> None:
        """Take apart what is left, from one to the next."""
        while self._left:
            number, value = self._left.popleft()
            self.records[number] = self._record(value)

    def groups(self) -> list[tuple[object, list[tuple[object, ...]]]]:
        """Return what the guards are made of: owners, each with the places to look at and what is expected there."""
        return list(self._groups.values())

    def watch(self, owner: object, place: int, key: object, expected: tuple[object, ...]) -> None:
        """Have the guards look at a place."""
        group = self._groups.setdefault(None if owner is None else id(owner), (owner, []))
        group[1].append((place, key, expected))

    def _record(self, value: Any) -> Record:
        if type(value) is FunctionType:
            self._for = value
        found = anatomy(value)
        whose = found.origin
        if whose.kind == "library":
            self.libraries[whose.library] = whose.version
        for what, line in found.unresolved:
            told_of = f"{found.name}{f', line {line}' if line else ''}: {what}"
            self.unresolved += [] if told_of in self.unresolved else [told_of]
        told: dict[int, tuple[str, tuple[int, ...]]] = {}
        for check in found.checks:
            seen = self._watch(check)
            if check.status in {"value", "self"}:
                told[id(check.value)] = seen
        if found.kind == "class" and found.form == "own":
            self.number(type(value))
            self.watch(value, ITSELF, None, (TYPE, type(value)))
        entries = tuple(self._tell(entry, told) for entry in found.entries)
        library = f"{whose.library} {whose.version}" if whose.kind == "library" else whose.kind
        return Record(found.kind, found.name, found.form, found.digest.hex(), entries, library)

    def _watch(self, check: Check) -> tuple[str, tuple[int, ...]]:
        before = len(self._met)
        if check.status == "absent":
            expected: tuple[object, ...] = _ABSENT
        elif check.status == "type":
            expected = TYPE, check.value
        elif check.status == "same":
            expected = SAME, check.value
        elif check.status == "members":
            expected = self._members(check.value)
        elif check.status == "contents":
            expected = self._contents(check.owner, check.value)
        else:
            expected = self.expectation(check.value)
        if check.status == "self":
            expected = ATTRIBUTES_OF, type(check.owner), (("__self__", expected),)
        elif check.status == "attribute":
            # What is watched is the attribute of a function, under its name.
            name = str(check.key)
            self.watch(check.owner, ITSELF, None, (ATTRIBUTES_OF, type(check.owner), ((name, expected),)))
            return "", ()
        self.watch(check.owner, check.place, check.key, expected)
        numbers = tuple(dict.fromkeys(self._met[before:]))
        if check.place in (MEMBERS, BASES) or check.status in {"absent", "type", "contents"}:
            return "", numbers
        return describe(check.value, expected, numbers), numbers

    def _tell(
        self, entry: Entry, told: dict[int, tuple[str, tuple[int, ...]]]
    ) -> tuple[str, str, str, tuple[int, ...]]:
        if entry.status == "library":
            name, library, version = entry.value
            if library:
                self.libraries[library] = version
            return (
                entry.role,
                entry.name,
                f"{name}: {library} {version}" if library else f"{name}: standard library",
                (),
            )
        if entry.status != "value":
            return entry.role, entry.name, entry.status, ()
        if id(entry.value) in told:
            return entry.role, entry.name, *told[id(entry.value)]
        before = len(self._met)
        expected = self.expectation(entry.value)
        numbers = tuple(dict.fromkeys(self._met[before:]))
        return entry.role, entry.name, describe(entry.value, expected, numbers), numbers

    def _members(self, members: dict[str, tuple[bool, Any]]) -> tuple[object, ...]:
        pairs: list[tuple[object, tuple[object, ...]]] = []
        for name, (counts, member) in members.items():
            if name == "_member_map_" and type(member) is dict:
                pairs.append((name, self._enum_members(member)))
            elif counts or name == "_field_defaults":
                pairs.append((name, self.expectation(member)))
            elif type(member) is FunctionType:
                pairs.append((name, (SAME, member)))
            else:
                pairs.append((name, (TYPE, type(member))))
        return DICT, tuple(pairs)

    def _contents(self, owner: object, values: dict[Any, tuple[bool, Any]]) -> tuple[object, ...]:
        # All that lies in the `__dict__` of a module or function; what does not count may change but not go.
        pairs = tuple(
            (name, self.expectation(value) if counts else (TYPE, type(value)))
            for name, (counts, value) in values.items()
        )
        return INSTANCE, type(owner), (DICT, pairs)

    def _enum_members(self, members: dict[str, Any]) -> tuple[object, ...]:
        return DICT, tuple(
            (name, (ATTRIBUTES_OF, type(member), (("_value_", self.expectation(member._value_)),)))
            for name, member in tuple(members.items())
        )

    def expectation(self, value: Any) -> tuple[object, ...]:
        """Return what a value is compared with at the next call; functions and classes in it will be taken apart."""
        try:
            return self._expect(value, [_LARGEST], 0)
        except _Overflow:
            return self._by_digest(value)

    def _expect(self, value: Any, room: list[int], depth: int) -> tuple[object, ...]:
        kind = type(value)
        if kind in _ATOMS:
            return SAME, value
        if is_code(value):
            self.number(value)
            return SAME, value
        return self._expect_items(value, room, depth) or self._expect_object(value, room, depth)

    def _expect_items(self, value: Any, room: list[int], depth: int) -> tuple[object, ...] | None:
        kind = type(value)
        room[0] -= 1
        if depth > _DEEPEST or room[0] < 0:
            raise _Overflow
        if kind is tuple:
            items = tuple(self._expect(item, room, depth + 1) for item in value)
            return (SAME, value) if all(type(item) in _ATOMS for item in value) else (TUPLE, items)
        if kind is list:
            room[0] -= len(value)
            return LIST, tuple(self._expect(item, room, depth + 1) for item in tuple(value))
        if kind is dict:
            room[0] -= len(value)
            return self._expect_dict(value, room, depth)
        if kind in (set, frozenset) and all(type(item) in _ATOMS for item in value):
            room[0] -= len(value)
            return (SET, tuple(value)) if kind is set else (SAME, value)
        return None

    def _expect_object(self, value: Any, room: list[int], depth: int) -> tuple[object, ...]:
        kind = type(value)
        attributes = wrapped_by(kind) or _LOOKED_THROUGH.get((module_of(kind), kind.__qualname__))
        if attributes is not None:
            if kind is MethodType and exported_by(value, value.__self__) is not None:
                return SAME, value
            try:
                held = [(name, getattr(value, name)) for name in attributes]
            except Exception:  # noqa: BLE001  # a type variable's bound may be worked out only now, and raise anything
                return self._by_digest(value)
            return ATTRIBUTES_OF, kind, tuple((name, self._expect(item, room, depth + 1)) for name, item in held)
        is_enum = _is_enum(kind)
        if is_enum:
            self.number(kind)
        if is_enum or _is_steady(kind):
            return SAME, value
        if _is_plain(kind):
            attributes = object.__getattribute__(value, "__dict__")
            if type(attributes) is dict and not any(str(name).startswith("_retain_") for name in attributes):
                self.number(kind)
                return INSTANCE, kind, self._expect_dict(attributes, room, depth)
        return self._by_digest(value)

    def _expect_dict(self, value: dict[Any, Any], room: list[int], depth: int) -> tuple[object, ...]:
        pairs = tuple(value.items())
        for key, _ in pairs:
            expected = () if type(key) in _ATOMS else self._expect(key, room, depth + 1)
            if expected and expected[0] != SAME:
                raise _Overflow  # a key that is the same object may have changed
        return DICT, tuple((key, self._expect(item, room, depth + 1)) for key, item in pairs)

    def _by_digest(self, value: Any) -> tuple[object, ...]:
        opaque: list[str] = []
        begin = perf_counter()
        content = digest(value, True, opaque)
        took = perf_counter() - begin
        self.opaque += opaque
        self._see_code(value)
        for _ in range(3):
            if took <= _SLOW:
                break
            # Not because something had to be imported for it, or because the machine is busy.
            begin = thread_time()
            digest(value, True)
            took = thread_time() - begin
        if took > _SLOW or _bytes(value) > _MANY_BYTES:
            self._warn_large(value, took)
        return DIGEST, content

    def _see_code(self, value: Any) -> None:
        # For people: the user's own class behind an instance.
        kind = type(value)
        if origin(module_of(kind)).kind == "own":
            self.number(kind)

    def _warn_large(self, value: Any, took: float) -> None:
        function = self._for
        if function is None or not _first("large", function.__code__):
            return
        size = _bytes(value)
        how = f"{size:,} bytes" if size else f"{took * 1e3:.1f} ms"
        _warn(
            "large",
            f"{function.__module__}.{function.__qualname__} reads a large {type(value).__name__} from outside ({how}), "
            "which is compared by its content at each call: pass it as an argument instead",
            function,
        )

    def warn_unresolved(self, function: object) -> None:
        """Warn of what cannot be followed, once for each function."""
        if not self.unresolved or self._quiet:
            return
        roots = _function_of(function)
        if roots is None or not _first("unresolved", roots.__code__):
            return
        _warn(
            "unresolved",
            f"what {roots.__module__}.{roots.__qualname__} depends on cannot be told for certain "
            f"({'; '.join(self.unresolved[:3])}{'; ...' if len(self.unresolved) > 3 else ''}): "
            "name the functions and values with depends=[...], or give a version= that you change by hand",
            roots,
        )


def _bytes(value: Any) -> int:
    # How large an array or data frame of a library is; nothing of the user's is called.
    if origin(module_of(type(value))).kind != "library":
        return 0
    size = getattr(value, "nbytes", 0)
    return size if type(size) is int else 0


_warned: dict[tuple[str, int], object] = {}


def _first(what: str, code: object) -> bool:
    from weakref import ref

    key = what, id(code)
    known = _warned.get(key)
    if known is not None and known() is code:  # type: ignore[operator]  # a weak reference
        return False
    _warned[key] = ref(code, lambda _: _warned.pop(key, None))
    return True


def _warn(what: str, message: str, function: FunctionType) -> None:
    from retain._identity import IdentityWarning

    code = function.__code__
    try:
        warnings.warn_explicit(
            message, IdentityWarning, code.co_filename, code.co_firstlineno, module=function.__module__
        )
    except BaseException:
        _warned.pop((what, id(code)), None)  # where warnings are errors, it is one the next time too
        raise


def _function_of(value: Any) -> FunctionType | None:
    for _ in range(100):
        if type(value) is FunctionType:
            return value
        attributes = wrapped_by(type(value))
        if attributes is None:
            return None
        value = getattr(value, attributes[0], None)
    return None


def _is_enum(kind: type) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and type(kind) is enum.EnumType


def _is_steady(kind: type) -> bool:
    module = module_of(kind)
    if (module, kind.__qualname__) in _STEADY and origin(module).kind != "own":
        return True
    numpy = sys.modules.get("numpy")
    if numpy is not None and module == "numpy":
        names = contents(numpy)
        generic, void, objects = (names.get(name, MISSING) for name in ("generic", "void", "object_"))
        return any(base is generic for base in kind.__mro__) and not any(
            base is void or base is objects for base in kind.__mro__
        )
    return False


_NOT_PLAIN = {
    "__getnewargs__",
    "__getnewargs_ex__",
    "__getstate__",
    "__reduce__",
    "__reduce_ex__",
    "__retain_key__",
}
_MRO = type.__dict__["__mro__"].__get__
_VARS = type.__dict__["__dict__"].__get__
_FLAGS = type.__dict__["__flags__"].__get__
_HEAP_TYPE = 1 << 9


def _is_plain(kind: type) -> bool:
    """Tell whether instances of a class are told by the class and their ``__dict__``, and by nothing else."""
    from retain._parts import handler

    has_dict = False
    for base in _MRO(kind)[:-1]:
        held = _VARS(base)
        if not _FLAGS(base) & _HEAP_TYPE or held.get("__slots__") or not _NOT_PLAIN.isdisjoint(held):
            return False
        if "__dict__" in held:
            has_dict = type(held["__dict__"]) is GetSetDescriptorType
    return has_dict and kind not in copyreg.dispatch_table and handler(kind) is None


def describe(value: Any, expected: tuple[Any, ...], numbers: tuple[int, ...]) -> str:
    """Return a few words about a value, without calling anything of it."""
    kind = type(value)
    if kind in _ATOMS:
        text = repr(value) if kind is not int or value.bit_length() < 200 else f"int of {value.bit_length()} bits"
        return text if len(text) <= 60 else f"{text[:56]} ..."
    if is_code(value):
        return ""
    known = expected[1].hex()[:12] if expected[0] == DIGEST else ""
    if kind in (tuple, list, dict, set, frozenset):
        # Where functions lie in it, they are told one by one.
        known = known or ("" if numbers else digest(value, True).hex()[:12])
        return f"{kind.__name__} of {len(value)}{f', {known}' if known else ''}"
    return f"{module_of(kind)}.{kind.__qualname__}{f', {known}' if known else ''}"
