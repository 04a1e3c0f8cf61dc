"""A call that is made later."""

from __future__ import annotations

from functools import wraps
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

    def delayed_function(*args: _P.args, **kwargs: _P.kwargs) -> tuple[Callable[_P, _R], Any, Any]:
        return function, args, kwargs

    try:
        return wraps(function)(delayed_function)
    except AttributeError:
        # Some callables refuse to be asked for their attributes.
        return delayed_function
