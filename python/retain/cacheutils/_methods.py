"""``cachedmethod``: keeps the results of a method in a mapping of your choice."""

from __future__ import annotations

from functools import update_wrapper
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from retain.cacheutils._functions import is_store
from retain.cacheutils._keys import (
    ALONE,
    Scope,
    Store,
    make_cache_key,
    scope_of_function,
    scope_of_instance,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

P = ParamSpec("P")
R = TypeVar("R")


class CachedMethod(Generic[P, R]):
    """What :func:`cachedmethod` makes of a method; the parameters and errors are told there.

    Attributes
    ----------
    func : callable
        The function itself, also as ``__wrapped__``.
    get_cache : callable
        Returns the mapping of the instance that it is given.
    scoped, typed : bool
        As given.
    key_func : callable
        As given, or :func:`make_cache_key`.
    bound_to : object
        The instance, if it was looked up on one; else None.
    """

    __slots__ = ("__dict__", "__weakref__", "bound_to")

    def __init__(
        self,
        func: Callable[Concatenate[Any, P], R],
        cache: str | Store | Callable[[Any], Store],
        scoped: bool = True,
        typed: bool = False,
        key: Callable[..., Any] | None = None,
    ) -> None:
        if isinstance(cache, str):
            self.get_cache: Callable[[Any], Store] = attrgetter(cache)
        elif callable(cache):
            self.get_cache = cache
        elif is_store(cache):
            store = cache
            self.get_cache = lambda _instance: store
        else:
            raise TypeError(
                "expected cache to be the name of an attribute, dict-like, or a callable that"
                f" returns such, not {cache!r}"
            )
        self.func = func
        self.scoped = scoped
        self.typed = typed
        self.key_func: Callable[..., Any] = key or make_cache_key
        self.bound_to: Any = None
        self._scope: Scope | None = scope_of_function(func) if scoped else None
        self._plain = self.key_func is make_cache_key and not typed
        self.__isabstractmethod__ = getattr(func, "__isabstractmethod__", False)
        # Without the attributes of the function: they could be named like ours.
        update_wrapper(self, func, updated=())

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> CachedMethod[P, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> CachedMethod[P, R]:
        """Bind the method to an instance."""
        if instance is None:
            return self
        bound = object.__new__(self.__class__)
        # The very same dict: this is done at each call, and they differ in nothing else.
        bound.__dict__ = self.__dict__
        bound.bound_to = instance
        return bound

    def __call__(self, /, *args: Any, **kwargs: Any) -> R:
        """Return the kept result of these arguments, or call the method and keep its result."""
        instance = self.bound_to
        if instance is None:
            instance, *rest = self._with_instance(args)
            args = tuple(rest)
        key: Any
        if kwargs or not self._plain:
            key = self._key(instance, args, kwargs)
        else:
            # As _key has it, written out for speed.
            key = args[0] if len(args) == 1 and type(args[0]) in ALONE else args
            if self._scope is not None:
                key = (self._scope, scope_of_instance(instance), key)
        store = self.get_cache(instance)
        result: R
        try:
            result = store[key]
        except KeyError:
            pass
        else:
            return result
        result = store[key] = self.func(instance, *args, **kwargs)
        return result

    def _with_instance(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if not args:
            raise TypeError(f"{self.func!r} was called on its class and needs an instance as its first argument")
        return args

    def _key(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._scope is None:
            return self.key_func(args, kwargs, typed=self.typed)
        if self.key_func is not make_cache_key:
            # A key function for a scoped method is handed the scope too, as in boltons.
            args = (instance, self.func, *args)
        return (
            self._scope,
            scope_of_instance(instance),
            self.key_func(args, kwargs, typed=self.typed),
        )

    def key_for(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return what the result of these arguments is stored under.

        Looked up on the class, it takes the instance as its first argument.

        Returns
        -------
        hashable
            The key in the mapping, as for :meth:`CachedFunction.key_for`.

        Examples
        --------
        >>> results = {}
        >>> class Shop:
        ...     @cachedmethod(results)
        ...     def price(self, name):
        ...         return len(name)
        >>> shop = Shop()
        >>> shop.price("tea")
        3
        >>> results[shop.price.key_for("tea")], results[Shop.price.key_for(shop, "tea")]
        (3, 3)
        """
        if self.bound_to is None:
            instance, *rest = self._with_instance(args)
            return self._key(instance, tuple(rest), kwargs)
        return self._key(self.bound_to, args, kwargs)

    def __reduce__(self) -> Any:
        # By name, as functions and bound methods are.
        if self.bound_to is not None:
            return getattr, (self.bound_to, self.func.__name__)
        return getattr(self, "__qualname__", None) or super().__reduce__()

    def __repr__(self) -> str:
        name = self.__class__.__name__
        if self.bound_to is None:
            return f"{name}(func={self.func!r}, scoped={self.scoped!r}, typed={self.typed!r})"
        return f"<{name} func={self.func!r} scoped={self.scoped!r} typed={self.typed!r} bound_to={self.bound_to!r}>"


def cachedmethod(
    cache: str | Store | Callable[[Any], Store],
    scoped: bool = True,
    typed: bool = False,
    key: Callable[..., Any] | None = None,
) -> Callable[[Callable[Concatenate[Any, P], R]], CachedMethod[P, R]]:
    """Decorate a method so that its results are kept in `cache`.

    Parameters
    ----------
    cache : str, mapping or callable
        Where results are kept: the name of an attribute of the instance, a mapping that all
        instances share, or a callable that is given the instance and returns a mapping.
    scoped : bool, default True
        Whether the method and the instance are part of the key. If so, neither methods nor
        instances that share a cache see one another's results. If not, a result is found by its
        arguments alone.
    typed : bool, default False
        Whether ``3`` and ``3.0`` are different arguments.
    key : callable, optional
        Makes the key of a call, as ``key(args, kwargs, typed=typed)``, in place of
        :func:`make_cache_key`. With `scoped`, ``args`` begins with the instance and the function.

    Returns
    -------
    callable
        A decorator; what it makes is a :class:`CachedMethod`.

    Raises
    ------
    TypeError
        When it decorates, if `cache` is none of these; at a call, if an argument is not hashable.

    Notes
    -----
    Instances are told apart by identity, so they need not be hashable and equal ones do not share.
    They are not kept alive by a shared cache, and one that is created at the address of a dead one
    does not find its results. (An instance that cannot be weakly referenced is kept alive by its
    entries.) In boltons the key holds the instance.

    Examples
    --------
    >>> class Text:
    ...     def __init__(self, words):
    ...         self.words = words
    ...         self.results = LRU(max_size=10)
    ...
    ...     @cachedmethod("results")
    ...     def count(self, letter):
    ...         return self.words.count(letter)
    >>> text = Text("to be or not to be")
    >>> text.count("o"), text.count("o"), text.results.hit_count
    (4, 4, 1)
    """

    def decorate(func: Callable[Concatenate[Any, P], R]) -> CachedMethod[P, R]:
        return CachedMethod(func, cache, scoped=scoped, typed=typed, key=key)

    return decorate
