"""``cached``: keeps the results of a function in a mapping of your choice."""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from retain.cacheutils._keys import ALONE, Scope, Store, make_cache_key, scope_of_function

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def is_store(cache: object) -> bool:
    """Say whether items can be read from and written to an object."""
    return callable(getattr(cache, "__getitem__", None)) and callable(getattr(cache, "__setitem__", None))


class CachedFunction(Generic[P, R]):
    """What :func:`cached` makes of a function; the parameters and errors are told there.

    Attributes
    ----------
    func : callable
        The function itself, also as ``__wrapped__``.
    get_cache : callable
        Returns the mapping, without arguments.
    scoped, typed : bool
        As given.
    key_func : callable
        As given, or :func:`make_cache_key`.
    """

    def __init__(
        self,
        func: Callable[P, R],
        cache: Store | Callable[[], Store],
        scoped: bool = True,
        typed: bool = False,
        key: Callable[..., Any] | None = None,
    ) -> None:
        self._store: Store | None = None
        if callable(cache):
            self.get_cache: Callable[[], Store] = cache
        elif is_store(cache):
            store = self._store = cache
            self.get_cache = lambda: store
        else:
            raise TypeError(f"expected cache to be dict-like, or a callable that returns such, not {cache!r}")
        self.func = func
        self.scoped = scoped
        self.typed = typed
        self.key_func: Callable[..., Any] = key or make_cache_key
        self._scope: Scope | None = scope_of_function(func) if scoped else None
        # Whether a call without keywords may skip key_func, since the result is known.
        self._plain = self.key_func is make_cache_key and not typed
        self.__isabstractmethod__ = getattr(func, "__isabstractmethod__", False)
        # Without the attributes of the function: they could be named like ours.
        update_wrapper(self, func, updated=())

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the kept result of these arguments, or call the function and keep its result."""
        key: Any
        if kwargs or not self._plain:
            key = self._key(args, kwargs)
        else:
            # As _key has it, written out for speed.
            key = args[0] if len(args) == 1 and type(args[0]) in ALONE else args
            if self._scope is not None:
                key = (self._scope, key)
        store = self._store
        if store is None:
            store = self.get_cache()
        result: R
        try:
            result = store[key]
        except KeyError:
            pass
        else:
            return result
        result = store[key] = self.func(*args, **kwargs)
        return result

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = self.key_func(args, kwargs, typed=self.typed)
        return key if self._scope is None else (self._scope, key)

    def key_for(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return what the result of these arguments is stored under.

        Returns
        -------
        hashable
            The key in the mapping: ``cache.pop(f.key_for(3), None)`` makes the next ``f(3)``
            compute again.

        Examples
        --------
        >>> results = {}
        >>> double = cached(results)(lambda x: 2 * x)
        >>> double(4)
        8
        >>> results[double.key_for(4)]
        8
        """
        return self._key(args, kwargs)

    def __reduce__(self) -> Any:
        # By name like any function, so that a decorated one goes to other processes and is its own
        # copy.
        return getattr(self, "__qualname__", None) or super().__reduce__()

    def __repr__(self) -> str:
        name = self.__class__.__name__
        if self.typed or not self.scoped:
            return f"{name}(func={self.func!r}, scoped={self.scoped!r}, typed={self.typed!r})"
        return f"{name}(func={self.func!r})"


def cached(
    cache: Store | Callable[[], Store],
    scoped: bool = True,
    typed: bool = False,
    key: Callable[..., Any] | None = None,
) -> Callable[[Callable[P, R]], CachedFunction[P, R]]:
    """Decorate a function so that its results are kept in `cache`.

    Parameters
    ----------
    cache : mapping or callable
        Where results are kept: an :class:`LRU`, an :class:`LRI`, a dict, anything with ``[]``; or a
        callable without arguments that returns one, asked at each call. Functions may share one.
    scoped : bool, default True
        Whether the function itself is part of the key. If so, functions that share a cache never
        see one another's results, though they may push them out. If not, a result is found by its
        arguments alone.
    typed : bool, default False
        Whether ``3`` and ``3.0`` are different arguments.
    key : callable, optional
        Makes the key of a call, as ``key(args, kwargs, typed=typed)``, in place of
        :func:`make_cache_key`.

    Returns
    -------
    callable
        A decorator; what it makes is a :class:`CachedFunction`.

    Raises
    ------
    TypeError
        When it decorates, if `cache` is neither dict-like nor callable; at a call, if an argument
        is not hashable.

    Notes
    -----
    In contrast to boltons: `scoped` does what its description says there. The keys in a cache that
    is used with ``scoped=True`` are therefore pairs; ``function.key_for(...)`` tells them, and with
    ``scoped=False`` they are just what :func:`make_cache_key` or `key` makes.

    Examples
    --------
    >>> results = LRU(max_size=100)
    >>> @cached(results)
    ... def square(x):
    ...     return x * x
    >>> @cached(results)
    ... def cube(x):
    ...     return x * x * x
    >>> square(3), cube(3), len(results)
    (9, 27, 2)
    """

    def decorate(func: Callable[P, R]) -> CachedFunction[P, R]:
        return CachedFunction(func, cache, scoped=scoped, typed=typed, key=key)

    return decorate
