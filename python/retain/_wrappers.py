"""Types that wrap functions, or are functions that are not Python's: what the walk is told of them."""

from __future__ import annotations

import functools
import sys
from types import BuiltinFunctionType, MethodType, ModuleType, NoneType

from retain import _retain
from retain._libraries import module_of, stable_name

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Read past metaclasses, which may answer as they like.
_MRO = type.__dict__["__mro__"].__get__
_NAME = type.__dict__["__name__"].__get__
_VARS = type.__dict__["__dict__"].__get__
_DESCRIPTORS = (type(str.upper), type(dict.__dict__["fromkeys"]), staticmethod)

WRAPPERS: dict[type, tuple[str, ...]] = {
    MethodType: ("__func__", "__self__"),
    classmethod: ("__func__",),
    functools.partial: ("func", "args", "keywords", "__dict__"),
    functools._lru_cache_wrapper: ("__wrapped__",),
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
}


def is_retained(kind: type) -> bool:
    """Tell whether a type is that of functions with a cache of retain's."""
    return module_of(kind) == "retain" and _NAME(kind) in {"Memoized", "lru_cache_wrapper"}


def is_bound_memoized(kind: type) -> bool:
    """Tell whether a type is that of retain's methods of an instance."""
    memo = sys.modules.get("retain._memo")
    return memo is not None and kind is memo.BoundMemoized


def is_memorized(kind: type) -> bool:
    """Tell whether a type is that of functions whose results a `Memory` keeps."""
    return module_of(kind) in _MEMORIZED and _NAME(kind) in _MEMORIZED[module_of(kind)]


_MEMORIZED = {
    "retain._memory.asynchronous": {"AsyncMemorizedFunc", "AsyncNotMemorizedFunc"},
    "retain._memory.memorized": {"MemorizedFunc"},
    "retain._memory.unkept": {"NotMemorizedFunc"},
}


def is_bound_memorized(kind: type) -> bool:
    """Tell whether a type is that of memorized methods of an instance."""
    methods = sys.modules.get("retain._memory.methods")
    return methods is not None and kind is methods.BoundMemorized


def wrapped_by(kind: type) -> tuple[str, ...] | None:
    """Return the attributes through which a wrapper of functions is looked at; None for other types."""
    if is_retained(kind):
        return ("__wrapped__",)
    if is_memorized(kind):
        return ("func", "_depends", "_version")
    if is_bound_memoized(kind) or is_bound_memorized(kind):
        return ("__func__", "__self__")
    return WRAPPERS.get(kind)


def handler(kind: type) -> Callable[[Any], tuple[object, ...]] | None:
    """Return what gives the parts of values of a type that wraps functions, or is one that is not Python's."""
    if kind is functools._lru_cache_wrapper or is_retained(kind) or is_memorized(kind):
        return _wrapper
    if kind is MethodType or is_bound_memoized(kind) or is_bound_memorized(kind):
        return _method
    if kind is BuiltinFunctionType:
        return _compiled
    if _NAME(kind) in {"cython_function_or_method", "fused_cython_function"}:
        return _cython
    numba = sys.modules.get("numba.core.dispatcher")
    if numba is not None and issubclass(kind, numba.Dispatcher):
        return _numba
    return None


def _wrapper(function: Any) -> tuple[object, ...]:
    # A cache changes no results.
    if not is_memorized(type(function)):
        return "wrapper", function.__wrapped__
    # What its user says that its results depend on, those of its callers do, too.
    told = function._depends, function._version
    return ("wrapper", function.func) if told == ((), None) else ("wrapper", function.func, *told)


def _compiled(function: Any) -> tuple[object, ...]:
    from retain._identity import parts

    # The name is that of the class of the instance, and of a method of a base the same.
    base = _base_of(function)
    return parts(function) if base is None else (*parts(function), base)


def _base_of(function: Any) -> type | None:
    """Return the base of its instance's class that a method in C belongs to; None if it is the class's own."""
    from retain._modules import exported_by

    owner = function.__self__
    kind = type(owner)
    if issubclass(kind, (NoneType, ModuleType)) or exported_by(function, owner) is not None:
        return None
    places: list[tuple[object, type]] = [(owner, kind)]
    if issubclass(kind, type):
        places.append((None, owner))
    for instance, its_class in places:
        for base in _MRO(its_class):
            found: Any = _VARS(base).get(function.__name__)
            if type(found) in _DESCRIPTORS:
                found = found.__get__(instance, its_class)
            if type(found) is BuiltinFunctionType and found == function:
                return None if base is its_class else base
    return None


def _method(method: MethodType) -> tuple[object, ...]:
    from retain._modules import exported_by

    whose = exported_by(method, method.__self__)
    if whose is not None:
        module = stable_name(module_of(type(method.__self__)), whose)
        return "exported", module, method.__name__, whose.library, whose.version
    return "method", _retain.At(".__func__", method.__func__), _retain.At(".__self__", method.__self__)


def _cython(function: Any) -> tuple[object, ...]:
    from retain._modules import compiled_origin

    module = str(function.__module__)
    whose, file = compiled_origin(module)
    return "cython", module, str(function.__qualname__), whose.library, whose.version, file


def _numba(dispatcher: Any) -> tuple[object, ...]:
    from retain._modules import compiled_origin

    whose, _ = compiled_origin("numba")
    options = {str(name): repr(option) for name, option in dispatcher.targetoptions.items()}
    return "numba", dispatcher.py_func, options, whose.version
