"""What `Memory.cache` is given, checked."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from retain._memoize import _signature


def names_of(ignore: Any) -> tuple[str, ...]:
    """Return the names of parameters that do not count."""
    if ignore is None:
        return ()
    if isinstance(ignore, str):
        raise ValueError(f"ignore is {ignore!r}, but it is a list of names: ignore=[{ignore!r}]")  # noqa: TRY004 - joblib's type
    return tuple(ignore)


def checked_callback(callback: Any) -> Any:
    """Return a `cache_validation_callback`, which is callable or None."""
    if callback is not None and not callable(callback):
        raise ValueError(f"cache_validation_callback needs to be callable. Got {callback}.")
    return callback


def refuse_generators(function: Any) -> None:
    """Raise a TypeError for what gives a generator, and for what is not callable."""
    if not callable(function):
        raise TypeError(f"Memory.cache decorates a callable, but was given {function!r}")
    inner = function
    while isinstance(inner, partial):
        inner = inner.func
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        name = getattr(inner, "__qualname__", repr(inner))
        kind = "an async generator" if inspect.isasyncgenfunction(inner) else "a generator"
        raise TypeError(
            f"{name} is {kind} function: what it yields can be gone through only once, and is no result to keep. "
            f"Memorize a function that returns list(...) of it"
        )


def parameters_of(function: Any, ignore: tuple[str, ...]) -> Any:
    """Return a function's parameters as the compiled part takes them; `ignore` may name ``*`` and ``**``."""
    if not ignore:
        return _signature(inspect, function, ())
    stars = {}
    try:
        for name, parameter in inspect.signature(function, follow_wrapped=False).parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                stars["*"] = name
            elif parameter.kind is parameter.VAR_KEYWORD:
                stars["**"] = name
    except (TypeError, ValueError):
        stars = {}
    named = tuple(stars.get(name, name) for name in ignore)
    try:
        return _signature(inspect, function, named)
    except ValueError:
        if not hasattr(function, "__wrapped__"):
            raise
    # A decorator that hands its arguments on: the parameters are those of what it decorates.
    return _signature(inspect, _Told(function), named)


class _Told:
    # What a decorated function tells of its parameters.

    def __init__(self, function: Any) -> None:
        self.__signature__ = inspect.signature(function)

    def __call__(self) -> None:
        raise NotImplementedError


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """Return an option's value, one of those that are allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, but it must be one of {', '.join(map(repr, allowed))}")
    return value


def level(name: str, value: Any) -> Any:
    """Return how much is to be printed, a number."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r}, but it is a number: 0 for silence, 1 for what is computed")
    return value


def listed(name: str, value: Any) -> tuple[Any, ...]:
    """Return an option that is a list, or None for an empty one."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes)) or not hasattr(type(value), "__iter__"):
        raise TypeError(f"{name} is {value!r}, but it is a list of functions, classes, modules or values")
    return tuple(value)


def is_coroutine_function(function: Any) -> bool:
    """Tell whether a callable returns what is awaited."""
    while isinstance(function, partial):
        function = function.func
    if getattr(function, "_is_coroutine", None) is not None:
        return True  # marked as one, as Python before 3.12 does it
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - the method is what may be async
    )
