"""A call that is made later."""

from __future__ import annotations

from functools import wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_R = TypeVar("_R")


def delayed(function: Callable[_P, _R]) -> Callable[_P, tuple[Callable[_P, _R], tuple[Any, ...], dict[str, Any]]]:
    """
    Return a function that notes a call instead of making it.

    Parameters
    ----------
    function : callable
        What is to be called.

    Returns
    -------
    callable
        It returns ``(function, args, kwargs)``, which `Parallel` takes.

    Examples
    --------
    >>> delayed(pow)(2, 3)
    (<built-in function pow>, (2, 3), {})
    """

    # Annotations would be those of each function that is made here.
    def delayed_function(*args, **kwargs):  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN003, ANN202
        return function, args, kwargs

    if type(function) is FunctionType:
        # What `wraps` does, in a fraction of its time: this is called for each task.
        named = delayed_function
        named.__name__ = function.__name__
        named.__qualname__ = function.__qualname__
        named.__module__ = function.__module__
        named.__doc__ = function.__doc__
        if function.__dict__:
            named.__dict__.update(function.__dict__)
        named.__wrapped__ = function  # type: ignore[attr-defined]
        return named
    try:
        return wraps(function)(delayed_function)
    except AttributeError:
        # Some callables refuse to be asked for their attributes.
        return delayed_function
