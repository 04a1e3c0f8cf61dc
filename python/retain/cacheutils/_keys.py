"""What a call is stored under: its arguments, and the scope of what was called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakValueDictionary, ref

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

# A single argument of these types is its own key: no tuple of arguments is equal to it.
ALONE = frozenset({int, str, frozenset, type(None)})


class Store(Protocol):
    """What results are kept in: anything that can be asked for an item and given one."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return the value of `key` or raise KeyError."""

    def __setitem__(self, key: Any, value: Any, /) -> None:
        """Keep `value` under `key`."""


class _KeywordMark:
    """Stands between the positional and the keyword arguments of a key."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "KEYWORDS"

    def __reduce__(self) -> str:
        # By name: a key that comes out of a pickle is equal to the one that went in.
        return "KEYWORDS"


KEYWORDS = _KeywordMark()


def make_cache_key(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    typed: bool = False,
    kwarg_mark: Any = KEYWORDS,
    fasttypes: frozenset[type] = ALONE,
) -> Any:
    """Make a key for a mapping from the arguments of a call.

    Parameters
    ----------
    args : tuple
        The positional arguments.
    kwargs : mapping of str to object
        The keyword arguments. Their order does not matter.
    typed : bool, default False
        Whether arguments that are equal but differ in type, as ``3`` and ``3.0``, make different
        keys.
    kwarg_mark : object, optional
        What to put between the two kinds of arguments.
    fasttypes : frozenset of type, optional
        A single positional argument of one of these types is returned as it is.

    Returns
    -------
    hashable
        The single argument, or a flat tuple. It is hashable if the arguments are.

    Examples
    --------
    >>> make_cache_key(("a", "b"), {"d": 2, "c": 1})
    ('a', 'b', KEYWORDS, ('c', 1), ('d', 2))
    >>> make_cache_key((3,), {})
    3
    >>> make_cache_key((3,), {}, typed=True)
    (3, <class 'int'>)
    """
    if not kwargs:
        if typed:
            return (*args, *map(type, args))
        if len(args) == 1 and type(args[0]) in fasttypes:
            return args[0]
        return tuple(args)
    named = sorted(kwargs.items())
    key = (*args, kwarg_mark, *named)
    if typed:
        key += (*map(type, args), *(type(value) for _, value in named))
    return key


class Scope:
    """A part of a key that is equal to itself alone, and keeps alive what it stands for.

    Unlike the function or object itself it has no ``__eq__`` or ``__hash__`` of the user's, and it
    can be pickled: it comes out as a fresh scope that matches nothing, for what it stood for may be
    another thing there.
    """

    __slots__ = ("__weakref__", "of")

    def __init__(self, of: object = None) -> None:
        self.of = of

    def __copy__(self) -> Scope:
        return self

    def __deepcopy__(self, _memo: Any) -> Scope:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Scope, ()


# By id: a scope keeps its function alive, so as long as it is listed here no other function can
# have that id.
_function_scopes: WeakValueDictionary[int, Scope] = WeakValueDictionary()


def scope_of_function(function: Callable[..., Any]) -> Scope:
    """Return the scope of a function: the same one as long as anything uses it."""
    scope = _function_scopes.get(id(function))
    if scope is None:
        scope = _function_scopes.setdefault(id(function), Scope(function))
    return scope


class _InstanceRef(ref[T]):
    """A weak reference to an instance, with the scope that its entries have while it lives."""

    __slots__ = ("number", "scope")

    number: int
    scope: Scope


class _Pinned(Scope):
    """The scope of an instance that cannot be weakly referenced: by identity, keeping it alive."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Pinned) and self.of is other.of

    def __hash__(self) -> int:
        return object.__hash__(self.of)


# By id, and never believed without a look at the reference: ids are given again, scopes are not. No
# lock: where two threads or a dying instance get in each other's way, a scope is lost, which costs
# a miss and is never a wrong hit.
_instances: dict[int, _InstanceRef[Any]] = {}


def _forget(reference: ref[Any], instances: dict[int, _InstanceRef[Any]] = _instances) -> None:
    number = reference.number  # type: ignore[attr-defined]
    if instances.get(number) is reference:
        instances.pop(number, None)


def scope_of_instance(instance: object) -> Scope:
    """Return the scope of an instance, without keeping it alive where that can be helped."""
    known = _instances.get(id(instance))
    if known is not None and known() is instance:
        return known.scope
    try:
        fresh = _InstanceRef(instance, _forget)
    except TypeError:
        return _Pinned(instance)
    fresh.number = id(instance)
    fresh.scope = Scope()
    known = _instances.setdefault(fresh.number, fresh)
    if known() is not instance:
        _instances[fresh.number] = known = fresh
    return known.scope
