"""`cache`, `lru_cache` and `cached_property`, as in `functools`."""

from __future__ import annotations

from functools import _CacheInfo, update_wrapper

from retain._retain import CacheBase, lru_cache_wrapper

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from typing import Any


def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """
    Keep the most recent results of a function, as `functools.lru_cache` does.

    Parameters
    ----------
    maxsize : int or None, default 128
        The most results kept; the one not asked for the longest leaves first. ``None`` for no bound, 0 or less to keep
        none.
    typed : bool, default False
        Whether arguments of different types are kept apart, also where they are equal.

    Returns
    -------
    callable
        The function, with ``cache_info()``, ``cache_clear()``, ``cache_parameters()`` and ``__wrapped__``.

    Raises
    ------
    TypeError
        If `maxsize` is neither an integer nor ``None`` nor, in ``@lru_cache``, the function. When called: if an
        argument cannot be hashed.

    See Also
    --------
    memoize : expiry, bounds in bytes, single flight, methods and coroutines.

    Examples
    --------
    >>> @lru_cache(maxsize=32)
    ... def square(x):
    ...     return x * x
    >>> square(3), square(3)
    (9, 9)
    >>> square.cache_info()
    CacheInfo(hits=1, misses=1, maxsize=32, currsize=1)
    """
    if isinstance(maxsize, int):
        maxsize = max(maxsize, 0)
    elif callable(maxsize) and isinstance(typed, bool):
        return _wrap(maxsize, 128, typed)
    elif maxsize is not None:
        msg = "Expected first argument to be an integer, a callable, or None"
        raise TypeError(msg)

    def decorate(function: Any) -> Any:
        return _wrap(function, maxsize, typed)

    return decorate


def cache(user_function: Any, /) -> Any:
    """
    Keep all results of a function, as `functools.cache` does: ``lru_cache(maxsize=None)``.

    Examples
    --------
    >>> @cache
    ... def factorial(n):
    ...     return n * factorial(n - 1) if n else 1
    >>> factorial(10)
    3628800
    """
    return _wrap(user_function, None, False)


def _wrap(function: Any, maxsize: int | None, typed: bool) -> Any:
    if not callable(function):
        msg = "the first argument must be callable"
        raise TypeError(msg)
    wrapper = lru_cache_wrapper(function, maxsize, bool(typed), _CacheInfo)
    wrapper.cache_parameters = lambda: {"maxsize": maxsize, "typed": typed}
    return update_wrapper(wrapper, function)


_ONLY_FLIGHTS = {
    "maxsize": 0,
    "policy": "fifo",
    "max_bytes": None,
    "ttl": None,
    "ttl_jitter": 0.0,
    "time_to_idle": None,
    "stale": 0.0,
    "weigher": None,
    "on_evict": None,
    "errors_end": False,
}


class cached_property:  # noqa: N801 - functools' name
    """
    A property computed once per instance and kept in its ``__dict__``, as `functools.cached_property`.

    Threads that ask for it while it is computed wait; other instances, and other properties, do not. Assigning and
    deleting the attribute work as on any other.

    Examples
    --------
    >>> class Data:
    ...     @cached_property
    ...     def total(self):
    ...         print("adding up")
    ...         return 42
    >>> data = Data()
    >>> data.total, data.total
    adding up
    (42, 42)
    """

    def __init__(self, func: Any) -> None:
        self.func = func
        self.attrname: str | None = None
        self.__doc__ = func.__doc__
        if hasattr(func, "__module__"):
            self.__module__ = func.__module__
        self._flights: CacheBase[int, Any] = CacheBase(_ONLY_FLIGHTS)

    def __set_name__(self, owner: type, name: str) -> None:
        if self.attrname is None:
            self.attrname = name
        elif name != self.attrname:
            msg = f"Cannot assign the same cached_property to two different names ({self.attrname!r} and {name!r})."
            raise TypeError(msg)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        name = self.attrname
        if name is None:
            msg = "Cannot use cached_property instance without calling __set_name__ on it."
            raise TypeError(msg)
        try:
            cache = instance.__dict__
        except AttributeError:
            msg = f"No '__dict__' attribute on {type(instance).__name__!r} instance to cache {name!r} property."
            raise TypeError(msg) from None

        def compute(_: int) -> Any:
            if name in cache:
                return cache[name]
            value = self.func(instance)
            try:
                cache[name] = value
            except TypeError:
                msg = (
                    f"The '__dict__' attribute on {type(instance).__name__!r} instance "
                    f"does not support item assignment for caching {name!r} property."
                )
                raise TypeError(msg) from None
            return value

        # The instance is alive, so its address is its own; nothing is kept under it.
        return self._flights.get_or_insert(id(instance), compute)

    def __reduce__(self) -> Any:
        # As functools': by its state, the flights excepted.
        return type(self), (self.func,), {"attrname": self.attrname}

    def __class_getitem__(cls, item: Any) -> Any:
        from types import GenericAlias

        return GenericAlias(cls, item)
