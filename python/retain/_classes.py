"""What a class is made of: its bases and members, without what the interpreter and the standard library add to them."""

from __future__ import annotations

import re
import sys
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import NamedTuple

from retain._anatomy import BASES, MEMBERS, Anatomy, Check, Entry, main_name
from retain._libraries import origin, stable_name

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

# Read past metaclasses, which may answer as they like.
_VARS = type.__dict__["__dict__"].__get__
_BASES = type.__dict__["__bases__"].__get__
_MODULE = type.__dict__["__module__"].__get__
_QUALNAME = type.__dict__["__qualname__"].__get__

_NOISE = {
    "__abstractmethods__",
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__callable_proto_members_only__",
    "__class_getitem__",
    "__classdictcell__",
    "__closed__",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__dict__",
    "__doc__",
    "__extra_items__",
    "__firstlineno__",
    "__module__",
    "__mutable_keys__",
    "__non_callable_proto_members__",
    "__optional_keys__",
    "__orig_bases__",
    "__parameters__",
    "__protocol_attrs__",
    "__qualname__",
    "__readonly_keys__",
    "__required_keys__",
    "__slotnames__",
    "__static_attributes__",
    "__type_params__",
    "__weakref__",
    "_is_protocol",
    "_is_runtime_protocol",
}
_OF_DATACLASSES = {
    "__delattr__",
    "__eq__",
    "__ge__",
    "__getstate__",
    "__gt__",
    "__hash__",
    "__init__",
    "__le__",
    "__lt__",
    "__match_args__",
    "__replace__",
    "__repr__",
    "__setattr__",
    "__setstate__",
}
_PARAMETERS = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")
_OF_FIELDS = ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only")
_OF_NAMED_TUPLES = {
    "__getnewargs__",
    "__match_args__",
    "__new__",
    "__replace__",
    "__repr__",
    "__slots__",
    "_asdict",
    "_field_defaults",
    "_fields",
    "_make",
    "_replace",
}
# What is made by these modules is told by what it was made from; their versions make it differently.
_MAKERS = ("collections", "dataclasses", "enum", "functools", "reprlib", "typing")


class _Own(NamedTuple):
    name: str
    value: Any


def class_anatomy(kind: type) -> Anatomy:
    """Take a class apart."""
    module, name = _name(kind)
    whose = origin(module)
    shown = f"{module}.{name}"
    if whose.kind != "own" or not kind.__flags__ & _HEAP_TYPE:
        head: tuple[object, ...] = stable_name(module, whose), name, whose.library, whose.version
        return Anatomy("class", shown, head, whose.kind, b"", [], [], [], whose)
    members: Mapping[str, object] = _VARS(kind)
    now = dict(members)
    own = list(_members(kind, now))
    counted = {part.name for part in own}
    checks = [
        Check(kind, BASES, None, "value", _BASES(kind)),
        Check(kind, MEMBERS, None, "members", {name: (name in counted, member) for name, member in now.items()}),
    ]
    entries = [Entry("metaclass", "", "value", type(kind)), Entry("bases", "", "value", _BASES(kind))]
    entries += [Entry("member", part.name, "value", part.value) for part in own]
    annotations = _annotations(now)
    if annotations:
        entries.append(Entry("annotations", "", "value", annotations))
    return Anatomy("class", shown, (main_name(module), name), "own", b"", entries, checks, [], whose)


_HEAP_TYPE = 1 << 9


def _name(kind: type) -> tuple[str, str]:
    try:
        module = _MODULE(kind)
    except AttributeError:
        module = ""
    return module if type(module) is str else "", _QUALNAME(kind)


def _members(kind: type, members: dict[str, object]) -> Iterator[_Own]:
    skip = set(_NOISE)
    enum = sys.modules.get("enum")
    if enum is not None and issubclass(type(kind), enum.EnumType):
        yield from _of_enum(members)
        return
    if "__dataclass_params__" in members and "__dataclass_fields__" in members:
        yield _Own("dataclass", _of_dataclass(members))
        skip |= {name for name in _OF_DATACLASSES if _is_made(members.get(name))}
        if "__hash__" in members and members["__hash__"] is None:
            skip.add("__hash__")
        skip.add("__match_args__")
    if tuple in _BASES(kind) and "_fields" in members and "_field_defaults" in members:
        yield _Own("named tuple", (members["_fields"], members["_field_defaults"]))
        skip |= _OF_NAMED_TUPLES | set(_strings(members["_fields"]))
    of_library = origin(_name(type(kind))[0]).kind == "library"
    for name, member in members.items():
        if type(name) is not str or name in skip or name.startswith("_abc_"):
            continue
        if type(member) in (GetSetDescriptorType, MemberDescriptorType):
            continue
        if name in {"__init__", "__subclasshook__"} and _made_by(member) == "typing":
            continue
        if of_library and not _is_code(member) and (name.startswith("__") or type(member).__module__ != "builtins"):
            continue  # what the library's metaclass notes down
        yield _Own(name, member)


def _of_enum(members: dict[str, object]) -> Iterator[_Own]:
    named: dict[str, Any] = members.get("_member_map_") or {}  # type: ignore[assignment]
    yield _Own("members", [(name, getattr(member, "_value_", None)) for name, member in named.items()])
    for name, member in members.items():
        if type(name) is not str or name in _NOISE or name in named or name == "_new_member_":
            continue
        if _is_code(member):
            if _made_by(member) != "enum":
                yield _Own(name, member)
        elif not name.startswith("_") and type(member).__module__ != "enum":
            yield _Own(name, member)


def _of_dataclass(members: dict[str, object]) -> tuple[object, ...]:
    parameters = members["__dataclass_params__"]
    fields: dict[str, Any] = members["__dataclass_fields__"]  # type: ignore[assignment]
    missing = sys.modules["dataclasses"].MISSING
    told = {name: bool(getattr(parameters, name, False)) for name in _PARAMETERS}
    return told, [_field(name, field, missing) for name, field in fields.items()]


def _field(name: str, field: Any, missing: object) -> tuple[object, ...]:
    told: dict[str, object] = {}
    for attribute in _OF_FIELDS:
        value: Any = getattr(field, attribute, missing)
        if value is not missing:
            told[attribute] = dict(value) if attribute == "metadata" else value
    return name, _text(field.type), str(getattr(field._field_type, "name", "")), told


def _strings(value: object) -> tuple[str, ...]:
    return tuple(name for name in value if type(name) is str) if type(value) is tuple else ()


def _is_code(member: object) -> bool:
    return type(member) in (FunctionType, staticmethod, classmethod, property)


def _made_by(member: object) -> str:
    # The module whose code a member is.
    if type(member) in (staticmethod, classmethod):
        member = member.__func__  # type: ignore[attr-defined]
    if type(member) is not FunctionType:
        return ""
    name = member.__globals__.get("__name__")
    return name if type(name) is str and origin(name, member.__globals__).kind == "standard" else ""


def _is_made(member: object) -> bool:
    # Whether the standard library wrote a method, by `exec` or with a function of its own around it.
    if type(member) is not FunctionType:
        return False
    return member.__code__.co_filename == "<string>" or _made_by(member) in _MAKERS


def _annotations(members: dict[str, object]) -> list[tuple[str, str]]:
    found = members.get("__annotations__")
    if type(found) is not dict:
        return []
    return [(name, _text(annotation)) for name, annotation in found.items() if type(name) is str]


def _text(annotation: object) -> str:
    # An annotation as it would be written.
    kind = type(annotation)
    if kind is str:
        return str(annotation)
    if issubclass(kind, type):
        return ".".join(_name(annotation))  # type: ignore[arg-type]
    if kind.__module__ not in {"typing", "types"}:
        return kind.__qualname__
    try:
        return re.sub(" at 0x[0-9a-fA-F]+", "", repr(annotation))
    except Exception:  # noqa: BLE001  # what is inside may be anything
        return kind.__qualname__
