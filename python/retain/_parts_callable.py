"""The parts of what can be called or describes a type: partials, methods, descriptors, code, `typing`'s constructs."""

from __future__ import annotations

from retain._parts import of_table
from retain._retain import At

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from functools import cached_property, partial
    from types import CodeType, GenericAlias, MethodType, UnionType
    from typing import Any

    from retain._parts import Parts, PartsOf


def find(base: type, kind: type) -> PartsOf | None:
    """Return what gives the parts of instances of `kind`, as far as its base `base` tells; see `handler`."""
    return of_table(_TABLE, base, kind, _TOLD)


def _partial(function: partial[Any]) -> Parts:
    return (
        "functools.partial",
        At(".func", function.func),
        At(".args", function.args),
        At(".keywords", function.keywords),
        vars(function),
    )


def _cached_property(found: cached_property[Any]) -> Parts:
    return "functools.cached_property", At(".func", found.func), found.attrname


def _method(method: MethodType) -> Parts:
    return "method", At(".__func__", method.__func__), At(".__self__", method.__self__)


def _method_wrapper(method: Any) -> Parts:
    parts = "method", method.__name__, At(".__self__", method.__self__)
    # A base's method has the same name.
    return parts if method.__objclass__ is type(method.__self__) else (*parts, method.__objclass__)


def _descriptor(member: Any) -> Parts:
    return "descriptor", type(member).__name__, At(".__objclass__", member.__objclass__), member.__name__


def _function_holder(holder: Any) -> Parts:
    return type(holder).__name__, At(".__func__", holder.__func__)


def _property(found: property) -> Parts:
    return (
        "property",
        At(".fget", found.fget),
        At(".fset", found.fset),
        At(".fdel", found.fdel),
        found.__doc__,
    )


def _code(code: CodeType) -> Parts:
    # What it does; not where it was written.
    return (
        "code",
        code.co_name,
        code.co_qualname,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_stacksize),
        code.co_code,
        code.co_exceptiontable,
        At(".co_consts", code.co_consts),
        (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
    )


def _generic_alias(alias: GenericAlias) -> Parts:
    return "types.GenericAlias", alias.__origin__, alias.__args__, alias.__unpacked__


def _union(union: UnionType) -> Parts:
    return "types.UnionType", union.__args__


def _typing_alias(alias: Any) -> Parts:
    metadata = getattr(alias, "__metadata__", ())
    return f"typing.{type(alias).__qualname__}", alias.__origin__, alias.__args__, metadata


def _typing_form(form: Any) -> Parts:
    # Of which of typing's own classes it is changes from version to version.
    return "typing", form._name


def _type_parameter(parameter: Any) -> Parts:
    # In 3.12 and 3.13 they learned to infer their variance and to have defaults.
    return (
        f"typing.{type(parameter).__qualname__}",
        parameter.__module__,
        parameter.__name__,
        {name: getattr(parameter, name) for name in _OF_PARAMETERS if getattr(parameter, name, None)},
    )


_OF_PARAMETERS = ("__bound__", "__constraints__", "__covariant__", "__contravariant__", "__infer_variance__")


def _forward_reference(reference: Any) -> Parts:
    return "typing.ForwardRef", reference.__forward_arg__, reference.__forward_module__


def _new_type(kind: Any) -> Parts:
    return "typing.NewType", kind.__module__, kind.__qualname__, kind.__supertype__


def _type_alias(alias: Any) -> Parts:
    return "typing.TypeAliasType", alias.__module__, alias.__name__, alias.__type_params__, alias.__value__


_TABLE: dict[str, PartsOf] = {
    "builtins.classmethod": _function_holder,
    "builtins.classmethod_descriptor": _descriptor,
    "builtins.code": _code,
    "builtins.getset_descriptor": _descriptor,
    "builtins.member_descriptor": _descriptor,
    "builtins.method": _method,
    "builtins.method-wrapper": _method_wrapper,
    "builtins.method_descriptor": _descriptor,
    "builtins.property": _property,
    "builtins.staticmethod": _function_holder,
    "builtins.wrapper_descriptor": _descriptor,
    "functools.cached_property": _cached_property,
    "functools.partial": _partial,
    "types.GenericAlias": _generic_alias,
    "types.UnionType": _union,
    "typing.ForwardRef": _forward_reference,
    "typing.NewType": _new_type,
    "typing.ParamSpec": _type_parameter,
    "typing.TypeAliasType": _type_alias,
    "typing.TypeVar": _type_parameter,
    "typing.TypeVarTuple": _type_parameter,
    "typing._AnnotatedAlias": _typing_alias,
    "typing._CallableGenericAlias": _typing_alias,
    "typing._CallableType": _typing_form,
    "typing._DeprecatedGenericAlias": _typing_form,
    "typing._ConcatenateGenericAlias": _typing_alias,
    "typing._GenericAlias": _typing_alias,
    "typing._LiteralGenericAlias": _typing_alias,
    "typing._LiteralSpecialForm": _typing_form,
    "typing._SpecialForm": _typing_form,
    "typing._SpecialGenericAlias": _typing_form,
    "typing._TupleType": _typing_form,
    "typing._TypedCacheSpecialForm": _typing_form,
    "typing._UnionGenericAlias": _typing_alias,
    "typing._UnpackGenericAlias": _typing_alias,
}
_OF_FUNCTION = ("__annotations__", "__doc__", "__module__", "__name__", "__qualname__", "__wrapped__")
# Those that can have attributes, and which of them are among the parts.
_TOLD: dict[str, tuple[str, ...]] = {
    "builtins.classmethod": _OF_FUNCTION,
    "builtins.staticmethod": _OF_FUNCTION,
    "functools.cached_property": ("__doc__", "__module__", "attrname", "func", "lock"),
}
