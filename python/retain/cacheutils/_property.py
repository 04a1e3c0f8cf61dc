"""``cachedproperty``: an attribute that is computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

T = TypeVar("T")


class cachedproperty(Generic[T]):  # noqa: N801 - used like property
    """A property that is computed at its first use and is a plain attribute from then on.

    The value lies in the ``__dict__`` of the instance under the name of the attribute: it can be
    set, and ``del`` makes the next use compute again.

    Parameters
    ----------
    func : callable
        Given the instance, returns the value. If it raises, nothing is stored.

    Raises
    ------
    TypeError
        At the first use, if the instance has no ``__dict__``.

    Examples
    --------
    >>> class Circle:
    ...     def __init__(self, radius):
    ...         self.radius = radius
    ...
    ...     @cachedproperty
    ...     def area(self):
    ...         print("computing")
    ...         return 3 * self.radius**2
    >>> circle = Circle(2)
    >>> circle.area, circle.area
    computing
    (12, 12)
    """

    def __init__(self, func: Callable[[Any], T]) -> None:
        self.func = func
        self.__doc__ = func.__doc__
        self.__isabstractmethod__ = getattr(func, "__isabstractmethod__", False)
        self._name: str | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        # The first name counts where a property is given several.
        self._name = self._name or name

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Self | T:
        """Compute the value and store it, so that the next look finds it without coming here."""
        if instance is None:
            return self
        name = self._name or self.func.__name__
        try:
            attributes = instance.__dict__
        except AttributeError:
            raise TypeError(
                f"cachedproperty {name!r} has nowhere to store its value:"
                f" {type(instance).__name__!r} instances have no __dict__"
            ) from None
        value = attributes[name] = self.func(instance)
        return value

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} func={self.func!r}>"
