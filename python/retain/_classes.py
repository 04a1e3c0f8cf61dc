"""What a class is made of: its bases and members, without what the interpreter and the standard library add to them."""

from __future__ import annotations

import functools
import re
import sys
import weakref
from types import BuiltinFunctionType, DynamicClassAttribute, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import NamedTuple

from retain._anatomy import BASES, DEFAULTS, ITSELF, KEYWORDS, MEMBERS, Anatomy, Check, Entry, main_name
from retain._libraries import OWN, STANDARD, Origin, module_of, namespace_of, origin, stable_name
from retain._wrappers import WRAPPERS

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

# Read past metaclasses, which may answer as they like.
_VARS = type.__dict__["__dict__"].__get__
_BASES = type.__dict__["__bases__"].__get__
_FLAGS = type.__dict__["__flags__"].__get__
_MRO = type.__dict__["__mro__"].__get__
_QUALNAME = type.__dict__["__qualname__"].__get__

_NOISE = {
    "__abstractmethods__",
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__callable_proto_members_only__",
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
    "_abc_impl",
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
    "__replace__",
    "__repr__",
    "__setattr__",
    "__setstate__",
}
_PARAMETERS = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")
_OF_FIELDS = ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only")
_OF_ENUMS = {
    "_all_bits_",
    "_flag_mask_",
    "_hashable_values_",
    "_inverted_",
    "_member_map_",
    "_member_names_",
    "_member_type_",
    "_new_member_",
    "_singles_mask_",
    "_unhashable_values_",
    "_unhashable_values_map_",
    "_use_args_",
    "_value2member_map_",
    "_value_repr_",
}
_OF_ENUM_MEMBERS = {"__objclass__", "_inverted_", "_name_", "_sort_order_", "_value_"}
# What the metaclasses of libraries note down: it follows from the rest, and some of it comes with the first use.
_OF_METACLASSES = {
    "__class_vars__",
    "__fields_set__",
    "__mapper__",
    "__private_attributes__",
    "__signature__",
    "__table__",
    "_all_trait_default_generators",
    "_descriptors",
    "_instance_inits",
    "_meta",
    "_sa_class_manager",
    "_sa_registry",
    "_static_immutable_initial_values",
    "_trait_default_generators",
    "_traits",
    "model_fields",
}


class _Own(NamedTuple):
    name: str
    value: Any


def class_anatomy(kind: type) -> Anatomy:
    """Take a class apart."""
    module, name = _name(kind)
    whose = _whose(kind, module, name)
    shown = f"{module}.{name}"
    if whose.kind != "own":
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
    checks += _further_checks(kind, now)
    entries = [Entry("metaclass", "", "value", type(kind)), Entry("bases", "", "value", _BASES(kind))]
    entries += [Entry("member", part.name, "value", part.value) for part in own]
    annotations = _annotations(now)
    if annotations:
        entries.append(Entry("annotations", "", "value", annotations))
    return Anatomy("class", shown, (main_name(module), name), "own", b"", entries, checks, [], whose)


_IMMUTABLE_TYPE = 1 << 8
_HEAP_TYPE = 1 << 9
_BASE_TYPE = 1 << 10


def _name(kind: type) -> tuple[str, str]:
    return module_of(kind), _QUALNAME(kind)


def _whose(kind: type, module: str, name: str) -> Origin:
    # A class may call itself anything: only what a module holds, or has the functions of, is taken for its own.
    if not _FLAGS(kind) & _HEAP_TYPE:
        whose = origin(module)
        return STANDARD if whose.kind == "own" else whose
    whose = origin(module)
    if whose.kind == "own" or _is_compiled(kind):
        return whose
    namespace = namespace_of(module) or {}
    first, *rest = name.split(".")
    held = namespace.get(first)
    for attribute in rest:
        held = _VARS(held).get(attribute) if issubclass(type(held), type) else None
    return whose if held is kind or _has_functions_of(kind, name, whose) else OWN


def _is_compiled(kind: type) -> bool:
    flags = _FLAGS(kind)
    maker = _VARS(kind).get("__new__")
    return (
        bool(flags & _IMMUTABLE_TYPE)
        or not flags & _BASE_TYPE
        or (type(maker) is BuiltinFunctionType and maker.__self__ is kind)
    )


def _has_functions_of(kind: type, name: str, whose: Origin) -> bool:
    for function in map(_function, tuple(_VARS(kind).values())):
        if function is not None and function.__code__.co_qualname.startswith(f"{name}."):
            return origin(function.__globals__.get("__name__"), function.__globals__) == whose
    return False


class _Look:
    """What is read of a class and does not lie in its ``__dict__``, to be looked at again."""

    __slots__ = ("_kind", "_read")

    def __init__(self, kind: type, read: Callable[[type], object]) -> None:
        self._kind = weakref.ref(kind)
        self._read = read

    @property
    def now(self) -> object:
        kind = self._kind()
        return None if kind is None else self._read(kind)

    def __retain_key__(self) -> object:
        return self.now


WRAPPERS[_Look] = ("now",)


def _further_checks(kind: type, members: dict[str, object]) -> Iterator[Check]:
    looks: list[Callable[[type], object]] = []
    if "_abc_impl" in members:
        looks.append(_registered)
    if _is_enum(kind) and any(len(told) > 2 for told in _enum_members(kind)):
        looks.append(_enum_members)
    for look in (_Look(kind, read) for read in looks):
        yield Check(look, ITSELF, None, "value", look)
    maker = _function(members.get("__init__" if "__dataclass_fields__" in members else "__new__"))
    if maker is not None and _is_executed(maker):
        yield Check(maker, DEFAULTS, None, "value", maker.__defaults__)
        yield Check(maker, KEYWORDS, None, "value", maker.__kwdefaults__)


def _registered(kind: type) -> tuple[type, ...]:
    # The classes that were registered with an abstract one.
    try:
        found = [registered() for registered in sys.modules["_abc"]._get_dump(kind)[0]]
    except (KeyError, TypeError):
        return ()  # what lies there is not what abc put there
    return tuple(sorted((each for each in found if each is not None), key=_name))


def _members(kind: type, members: dict[str, object]) -> Iterator[_Own]:
    registered = _registered(kind) if "_abc_impl" in members else ()
    if registered:
        yield _Own("registered classes", registered)
    if _is_enum(kind):
        yield from _of_enum(kind, members)
        return
    skip = set(_NOISE)
    if "__dataclass_params__" in members and "__dataclass_fields__" in members:
        skip |= {name for name in _OF_DATACLASSES if _is_made(members.get(name))} | {"__match_args__"}
        if "__hash__" in members and members["__hash__"] is None:
            skip.add("__hash__")
        yield from _by_dataclass(members)
    if any(base is tuple for base in _BASES(kind)) and "_fields" in members and "_field_defaults" in members:
        skip |= {"_fields", "_field_defaults", *(name for name, member in members.items() if _is_of_tuple(member))}
        skip |= {
            name
            for name, made in (("__match_args__", members["_fields"]), ("__slots__", ()))
            if name in members and members[name] == made
        }
        yield _Own("named tuple", (members["_fields"], members["_field_defaults"]))
        defaults: dict[str, object] = members["_field_defaults"]  # type: ignore[assignment]
        yield from _altered_defaults(members.get("__new__"), (tuple(defaults.values()), {}))
    if origin(module_of(type(kind))).kind == "library":
        skip |= {name for name in members if name in _OF_METACLASSES or str(name).startswith("__pydantic_")}
        skip |= {name for name, member in members.items() if origin(module_of(type(member))).library == "sqlalchemy"}
        yield from _of_pydantic(members)
        if "__table__" in members:
            # All tables of a program hang together, and keep what was asked of them.
            yield _Own("mapped table", _shown(members["__table__"]))
    yield from _written(kind, members, skip)


def _written(kind: type, members: dict[str, object], skip: set[str]) -> Iterator[_Own]:
    for name, member in members.items():
        if type(name) is not str or name in skip:
            continue
        if type(member) in (GetSetDescriptorType, MemberDescriptorType):
            continue
        if name in {"__class_getitem__", "__init__", "__subclasshook__"} and _made_by(member) == "typing":
            continue
        if name == "__init__" and _is_of_protocol(kind, member):
            continue
        yield _Own(name, member)


def _is_of_protocol(kind: type, init: object) -> bool:
    # At the first call of a subclass of a protocol, typing puts into it the `__init__` that it finds in the bases.
    typing = sys.modules.get("typing")
    if typing is None or not any(base is typing.Protocol for base in _MRO(kind)):
        return False
    for base in _MRO(kind)[1:]:
        found = _VARS(base).get("__init__")
        if found is not None and _made_by(found) != "typing":
            return found is init
    return False


def _free(name: str, members: dict[str, object]) -> str:
    # A name for what is told of a class that none of its members has.
    return f"the {name}" if name in members else name


def _is_enum(kind: type) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and issubclass(type(kind), enum.EnumType)


def _of_enum(kind: type, members: dict[str, object]) -> Iterator[_Own]:
    named: dict[str, Any] = members.get("_member_map_") or {}  # type: ignore[assignment]
    yield _Own(_free("members", members), _enum_members(kind))
    for name, member in members.items():
        if type(name) is not str or name in _NOISE or name in _OF_ENUMS or name in named:
            continue
        if type(member) in (GetSetDescriptorType, MemberDescriptorType) or _is_of_enum(name, member):
            continue
        if name in {"__format__", "__str__"} and _is_of_mixin(kind, name, member):
            continue
        if issubclass(type(member), DynamicClassAttribute):
            property_: Any = member
            yield _Own(name, (property_.fget, property_.fset, property_.fdel))
        elif name == "_generate_next_value_":
            yield _Own(name, _function(member) or member)  # since 3.12 it is made a staticmethod
        else:
            yield _Own(name, member)


def _is_of_enum(name: str, member: object) -> bool:
    # Whether enum put a function of its own into a class, and not somebody in the place of another.
    function = _function(member)
    if function is None or _made_by(function) != "enum":
        return False
    return function.__code__.co_name == name or name in {"__rand__", "__reduce_ex__", "__ror__", "__rxor__"}


def _is_of_mixin(kind: type, name: str, member: object) -> bool:
    # In an IntEnum and its like, these are those of int.
    return not issubclass(type(member), type) and any(
        _VARS(base).get(name) is member for base in _MRO(kind)[1:] if not _FLAGS(base) & _HEAP_TYPE
    )


def _enum_members(kind: type) -> list[tuple[object, ...]]:
    # The members by name, with their values, and with what else was set on them if anything was.
    named: dict[str, Any] = _VARS(kind).get("_member_map_") or {}
    told: list[tuple[object, ...]] = []
    for name, member in tuple(named.items()):
        attributes: dict[str, object] = getattr(member, "__dict__", {})
        more = {
            key: value
            for key, value in tuple(attributes.items())
            if key not in _OF_ENUM_MEMBERS and not str(key).startswith("_retain_") and not _is_cached(kind, key)
        }
        value = attributes.get("_value_")
        told.append((name, value, more) if more else (name, value))
    return told


def _is_cached(kind: type, name: str) -> bool:
    return any(type(_VARS(base).get(name)) is functools.cached_property for base in _MRO(kind))


def _of_pydantic(members: dict[str, object]) -> Iterator[_Own]:
    # Fields and validators are told by what was given, and not by what pydantic makes of it.
    fields = members.get("__pydantic_fields__", members.get("model_fields"))
    private = members.get("__private_attributes__")
    for role, found in (("model fields", fields), ("private attributes", private)):
        if type(found) is dict and found:
            yield _Own(role, [(name, _slots(field)) for name, field in found.items()])
    decorators = members.get("__pydantic_decorators__")
    told = {
        role: {name: _slots(getattr(decorator, "info", None)) for name, decorator in found.items()}
        for role, found in (getattr(decorators, "__dict__", None) or _slots(decorators)).items()
        if type(found) is dict and found
    }
    if told:
        yield _Own("model decorators", told)


def _slots(value: object) -> dict[str, object]:
    # What lies in the slots of an object of a library, without what it keeps for itself.
    told: dict[str, object] = {}
    for base in _MRO(type(value)):
        slots = _VARS(base).get("__slots__", ())
        for name in (slots,) if type(slots) is str else slots:
            if type(name) is str and not name.startswith("_"):
                held = getattr(value, name, None)
                told[name] = _text(held) if name in {"annotation", "return_type"} else held
    return told


def _by_dataclass(members: dict[str, object]) -> Iterator[_Own]:
    yield _Own(_free("dataclass", members), _of_dataclass(members))
    yield from _altered_defaults(members.get("__init__"), _defaults_of_dataclass(members))
    if members.get("__match_args__") != _positional(members):
        yield _Own("__match_args__", members.get("__match_args__"))


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


def _init_fields(members: dict[str, object], *, kw_only: bool) -> list[Any]:
    fields: dict[str, Any] = members["__dataclass_fields__"]  # type: ignore[assignment]
    class_variable = sys.modules["dataclasses"]._FIELD_CLASSVAR
    return [
        field
        for field in fields.values()
        if field.init and field._field_type is not class_variable and (field.kw_only is True) is kw_only
    ]


def _positional(members: dict[str, object]) -> tuple[str, ...]:
    return tuple(field.name for field in _init_fields(members, kw_only=False))


def _defaults_of_dataclass(members: dict[str, object]) -> tuple[tuple[object, ...], dict[str, object]]:
    dataclasses = sys.modules["dataclasses"]
    missing, factory = dataclasses.MISSING, dataclasses._HAS_DEFAULT_FACTORY

    def defaults(fields: Iterable[Any]) -> dict[str, object]:
        told = {field.name: field.default if field.default_factory is missing else factory for field in fields}
        return {name: default for name, default in told.items() if default is not missing}

    positional, by_name = (defaults(_init_fields(members, kw_only=kw_only)) for kw_only in (False, True))
    return tuple(positional.values()), by_name


def _altered_defaults(maker: object, expected: tuple[tuple[object, ...], dict[str, object]]) -> Iterator[_Own]:
    # The defaults of the function that makes the objects, where somebody has set others than the fields have.
    function = _function(maker)
    if function is None or not _is_executed(function):
        return
    positional, by_name = function.__defaults__ or (), function.__kwdefaults__ or {}
    if [*map(id, positional), *map(id, by_name.values())] != [*map(id, expected[0]), *map(id, expected[1].values())]:
        yield _Own("altered defaults", (positional, dict(by_name)))


def _function(member: object) -> FunctionType | None:
    if type(member) in (staticmethod, classmethod):
        member = member.__func__  # type: ignore[attr-defined]
    return member if type(member) is FunctionType else None


def _made_by(member: object) -> str:
    # The module whose code a member is.
    function = _function(member)
    if function is None:
        return ""
    name = function.__globals__.get("__name__")
    return name if type(name) is str and origin(name, function.__globals__).kind == "standard" else ""


def _is_executed(function: FunctionType) -> bool:
    # Whether dataclasses or collections wrote a function, as text.
    code = function.__code__
    if code.co_filename != "<string>":
        return False
    namespace = function.__globals__.get("__name__")
    of_tuple = type(namespace) is str and namespace.startswith("namedtuple_") and code.co_qualname == "<lambda>"
    return of_tuple or code.co_qualname.startswith("__create_fn__.")


def _is_made(member: object) -> bool:
    # Whether dataclasses wrote a method, or put a function of its own around it.
    if type(member) is not FunctionType:
        return False
    if "__wrapped__" in member.__dict__:
        return _made_by(member) in {"dataclasses", "reprlib"} and _is_made(member.__dict__["__wrapped__"])
    return _is_executed(member) or _made_by(member) == "dataclasses"


def _is_of_tuple(member: object) -> bool:
    # Whether collections put a member into a named tuple.
    function = _function(member)
    if function is None:
        return type(member) is getattr(sys.modules.get("collections"), "_tuplegetter", None)
    return _is_executed(function) or _made_by(member) == "collections"


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
    module, name = _name(kind)
    if module not in {"typing", "types"}:
        return name
    return _shown(annotation)


def _shown(value: object) -> str:
    try:
        return re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))
    except Exception:  # noqa: BLE001  # what is inside may be anything
        return _QUALNAME(type(value))  # type: ignore[no-any-return]
