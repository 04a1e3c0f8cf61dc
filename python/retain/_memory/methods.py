"""Memorized methods."""

from __future__ import annotations

import inspect
from types import MethodType
from typing import Any


class BoundMemorized:
    """
    A memorized method of an instance, which counts by its content, or of a class.

    Attributes
    ----------
    __func__ : MemorizedFunc
        The function.
    __self__ : object
        The instance or class.
    """

    __slots__ = ("__func__", "__self__", "__weakref__")

    def __init__(self, function: Any, instance: Any) -> None:
        self.__func__ = function
        self.__self__ = instance

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the method's result, kept or computed."""
        return self.__func__(self.__self__, *args, **kwargs)

    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Compute anew, and keep the result; return it and its metadata."""
        return self.__func__.call(self.__self__, *args, **kwargs)

    def call_and_shelve(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return a reference to the result, which is computed if it is not kept."""
        return self.__func__.call_and_shelve(self.__self__, *args, **kwargs)

    def check_call_in_cache(self, /, *args: Any, **kwargs: Any) -> bool:
        """Tell whether a call would be answered from the store."""
        return bool(self.__func__.check_call_in_cache(self.__self__, *args, **kwargs))

    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool:
        """Remove the result of one call; whether there was one."""
        return bool(self.__func__.invalidate(self.__self__, *args, **kwargs))

    def explain(self, /, *args: Any, **kwargs: Any) -> Any:
        """Tell whether a call would be answered from the store, and if not, why."""
        return self.__func__.explain(self.__self__, *args, **kwargs)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        found: str | None = self.__func__.__doc__
        return found

    @property
    def __module__(self) -> str:  # type: ignore[override]
        found: str = self.__func__.__module__
        return found

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(MethodType(self.__func__.func, self.__self__))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundMemorized):
            return NotImplemented
        return self.__func__ is other.__func__ and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__func__.__name__)

    def __repr__(self) -> str:
        name = getattr(self.__func__, "__qualname__", self.__func__)
        return f"<bound method {name} of {self.__self__!r}>"


class MemorizedClassMethod(classmethod):  # type: ignore[type-arg]
    """A memorized class method, whose bound methods know all that a memorized function does."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.__func__.__get__(type(instance) if owner is None else owner)
