"""`Cache`: a bounded mapping that forgets by itself."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView

from retain._retain import CacheBase
from retain._rules import UNSET, count, rules

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Self

CacheStats = namedtuple(  # noqa: PYI024 - typed in the stubs; typing is not imported at start-up
    "CacheStats",
    [
        "hits",
        "misses",
        "maxsize",
        "currsize",
        "evictions",
        "expirations",
        "in_flight",
        "weight",
        "time_saved",
        "max_bytes",
    ],
)


class _Values(ValuesView):  # type: ignore[type-arg]
    _mapping: Cache

    def __iter__(self) -> Iterator[Any]:
        return iter([value for _, value in self._mapping._items()])

    def __contains__(self, value: object) -> bool:
        return any(other is value or other == value for other in self)


class _Items(ItemsView):  # type: ignore[type-arg]
    _mapping: Cache

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._mapping._items())

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        key, value = item
        found = self._mapping.peek(key, UNSET)
        return found is not UNSET and (found is value or bool(found == value))


class Cache(CacheBase):  # type: ignore[type-arg]
    """
    A thread-safe mapping that keeps no more than it is told to.

    Parameters
    ----------
    maxsize : int or None, default 1024
        The most entries; ``None`` for no bound. With `max_bytes` alone, no bound.
    policy : {"s3fifo", "lru", "sieve", "lfu", "fifo", "unbounded"}, default "s3fifo"
        Which entry leaves when there is no room.
    ttl : float, timedelta or callable, optional
        Seconds that an entry lives; a callable is given the value and returns them, or ``None`` for no end.
    ttl_jitter : float, default 0.0
        Shorten each `ttl` by a random share of up to this much, from 0 to 1.
    time_to_idle : float or timedelta, optional
        Seconds without a hit after which an entry ends.
    max_bytes : int, optional
        The most weight of all values together, as told by `weigher`.
    weigher : callable, optional
        Given a value, returns its weight, 0 or more; by default about the bytes it keeps in memory.
    on_evict : callable, optional
        Told of each entry that leaves to make room or because its time is over: ``on_evict(key, value, cause)``, with
        ``"evicted"`` or ``"expired"``.

    Raises
    ------
    TypeError, ValueError
        If an option is of the wrong kind or out of range. Storing raises what the weigher raised.

    Notes
    -----
    Keys are compared as in a ``dict``: ``1``, ``1.0`` and ``True`` are one key. Those that cannot be hashed are told
    apart by their content, as `hash` tells it; iteration gives a digest in their place, which finds the entry, too. A
    key with a part that has no identity, such as a lock, raises a `TypeError`.

    Iteration is over the entries as they were when it began, in no particular order. Iterating, ``in`` and `peek` are
    not counted as lookups.

    Examples
    --------
    >>> pages = Cache(maxsize=100, ttl=60)
    >>> pages.get_or_insert("/", lambda path: f"page {path}")
    'page /'
    >>> pages["/"]
    'page /'
    >>> pages.stats().hits
    1
    """

    __slots__ = ("__dict__",)

    def __new__(
        cls,
        maxsize: int | None = UNSET,
        *,
        policy: str = "s3fifo",
        ttl: Any = None,
        ttl_jitter: float = 0.0,
        time_to_idle: Any = None,
        max_bytes: int | None = None,
        weigher: Callable[[Any], float] | None = None,
        on_evict: Callable[[Any, Any, str], Any] | None = None,
    ) -> Self:
        return super().__new__(
            cls,
            rules(
                maxsize=maxsize,
                policy=policy,
                ttl=ttl,
                ttl_jitter=ttl_jitter,
                time_to_idle=time_to_idle,
                stale=None,
                max_bytes=max_bytes,
                weigher=weigher,
                on_evict=on_evict,
                errors_end=False,
            ),
        )

    def pop(self, key: Any, default: Any = UNSET, /) -> Any:
        """Remove `key` and return its value; `default` if there is none, or `KeyError` without one."""
        taken = self._take(key)
        if taken:
            return taken[0]
        if default is UNSET:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Any, Any]:
        """Remove some entry and return its key and value; `KeyError` if there is none."""
        for key, _ in self._items():
            taken = self._take(key)
            if taken:
                return key, taken[0]
        msg = "popitem(): the cache is empty"
        raise KeyError(msg)

    update = MutableMapping.update

    def resize(self, maxsize: int | None = UNSET, *, max_bytes: int | None = UNSET) -> None:
        """
        Set new bounds, and evict what is over them.

        Parameters
        ----------
        maxsize : int or None, optional
            The most entries; left as it is if not given.
        max_bytes : int or None, optional
            The most weight; left as it is if not given. Only a cache made with `max_bytes` or a `weigher` weighs.
        """
        now = self.stats()
        maxsize = now.maxsize if maxsize is UNSET else maxsize
        max_bytes = now.max_bytes if max_bytes is UNSET else max_bytes
        self._resize(
            None if maxsize is None else count("maxsize", maxsize),
            None if max_bytes is None else count("max_bytes", max_bytes),
        )

    def stats(self) -> CacheStats:
        """Return the counts, sizes and bounds as a named tuple."""
        return CacheStats(**self._stats())

    def keys(self) -> KeysView[Any]:
        """Return the keys as a set-like view."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:
        """Return the values as a view."""
        return _Values(self)

    def items(self) -> ItemsView[Any, Any]:
        """Return keys and values as a set-like view."""
        return _Items(self)

    def __iter__(self) -> Iterator[Any]:
        return iter([key for key, _ in self._items()])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Cache):
            other = dict(other._items())
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self._items()) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<{type(self).__name__} of {stats.currsize} entries, maxsize={stats.maxsize}>"


MutableMapping.register(Cache)
