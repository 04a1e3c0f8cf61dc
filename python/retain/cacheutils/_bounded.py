"""``LRI`` and ``LRU``: dicts that hold at most so many items, and forget the oldest."""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any, TypeVar, overload

from retain.cacheutils._order import DEFAULT_MAX_SIZE, GET, MISSING, STORE, Bounded, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class LRI(Bounded[K, V]):
    """A dict that holds at most `max_size` items and forgets the least recently inserted one.

    Setting a key counts as inserting it, be it there or not; reading it does not. Everything else
    is as with a plain dict: its order of iteration is that of first insertion, and a replaced value
    stays in place.

    Parameters
    ----------
    max_size : int, default 128
        How many items to hold. It may be changed later, and takes effect with the next insertion.
    values : mapping or iterable of pairs, optional
        What to begin with, inserted in order.
    on_miss : callable, optional
        ``on_miss(key)`` makes the value of a key that is not there. The value is stored, then
        returned. It runs under the lock of the cache: at most once at a time, while threads that
        read what is there go on.

    Attributes
    ----------
    hit_count : int
        How often a key was looked up and found.
    miss_count : int
        How often a key was looked up and not found, whatever was returned instead.
    soft_miss_count : int
        How many of the misses ended with a default, from ``get`` or ``setdefault``.
    max_size : int
        As given.
    on_miss : callable or None
        As given.

    Raises
    ------
    ValueError
        If `max_size` is zero or less.
    TypeError
        If `on_miss` is neither callable nor None, or `values` is neither a mapping nor made of
        pairs.

    See Also
    --------
    LRU : forgets the least recently used item instead.

    Notes
    -----
    The order is exact. It is kept by sorting once in a while, about once for as many insertions as
    there are items.

    Threads may share one. Writing takes a lock, reading takes none. A key whose ``__hash__`` or
    ``__eq__`` raises, or calls back into the cache, leaves it whole. Counts are exact under the
    GIL; without it, hits of several threads at one moment may be counted as one.

    In contrast to boltons: ``copy`` keeps `on_miss` and the order of eviction, and does not touch
    the original's counts; caches can be pickled and deep-copied, also those of subclasses; ``|=``
    respects `max_size`.

    Examples
    --------
    >>> cache = LRI(max_size=2)
    >>> cache["a"] = 1
    >>> cache["b"] = 2
    >>> cache["a"]
    1
    >>> cache["c"] = 3
    >>> cache
    LRI(max_size=2, on_miss=None, values={'b': 2, 'c': 3})
    >>> LRI(on_miss=str.upper)["loud"]
    'LOUD'
    """

    __slots__ = ()

    def __init__(
        self,
        max_size: int = DEFAULT_MAX_SIZE,
        values: Any = None,
        on_miss: Callable[[K], V] | None = None,
    ) -> None:
        if max_size <= 0:
            raise ValueError(f"expected max_size > 0, not {max_size!r}")
        if on_miss is not None and not callable(on_miss):
            raise TypeError(f"expected on_miss to be callable or None, not {on_miss!r}")
        self.max_size = max_size
        self.on_miss = on_miss
        if values:
            self.update(values)

    # --- reading ----------------------------------------------------------------------------------

    def __getitem__(self, key: K) -> V:
        value: V = GET(self, key, MISSING)
        if value is MISSING:
            return self._make(key)
        self._clock += 1
        return value

    def _make(self, key: K) -> V:
        """Return the value of a key that was not there a moment ago, or raise KeyError."""
        if self.on_miss is None:
            self.miss_count += 1
            raise KeyError(key)
        with self._lock:
            # Another thread may have made it while this one waited for the lock.
            value: V = GET(self, key, MISSING)
            if value is not MISSING:
                self._clock += 1
                return value
            self.miss_count += 1
            value = self.on_miss(key)
            self[key] = value
            return value

    @overload
    def get(self, key: K, default: None = None) -> V | None: ...
    @overload
    def get(self, key: K, default: V) -> V: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """Return the value of `key`, or `default` as a soft miss.

        Parameters
        ----------
        key : hashable
            What to look up. It counts as a hit or a miss, and `on_miss` is asked, as with
            ``cache[key]``.
        default : object, optional
            What to return if there is no value to be had. It is not stored.

        Returns
        -------
        object
            The value or the default.

        Examples
        --------
        >>> cache = LRU(values={"a": 1})
        >>> cache.get("b", 0), cache.miss_count, cache.soft_miss_count
        (0, 1, 1)
        """
        try:
            return self[key]
        except KeyError:
            self.soft_miss_count += 1
            return default

    @overload
    def setdefault(self: LRI[K, D | None], key: K, default: None = None) -> D | None: ...
    @overload
    def setdefault(self, key: K, default: V) -> V: ...
    def setdefault(self, key: K, default: Any = None) -> Any:
        """Return the value of `key`; if there is none, store `default`, as a soft miss.

        Parameters
        ----------
        key : hashable
            What to look up. `on_miss`, where given, is asked before the default is used.
        default : object, optional
            What to store otherwise.

        Returns
        -------
        object
            The value that the cache now holds.

        Examples
        --------
        >>> cache = LRU()
        >>> cache.setdefault("a", 1), cache.setdefault("a", 2)
        (1, 1)
        """
        with self._lock:
            try:
                return self[key]
            except KeyError:
                self.soft_miss_count += 1
                self[key] = default
                return default

    def update(self, source: Any = (), /, **more: Any) -> None:
        """Insert many items, as :meth:`dict.update` does.

        Parameters
        ----------
        source : mapping or iterable of pairs, optional
            The items. Another cache is read as it is: its counts and its order do not change.
        **more : object
            Further items, the names being the keys.

        Raises
        ------
        TypeError
            If `source` is neither a mapping nor iterable, or holds something that is not a pair.
        ValueError
            If it holds a sequence that has not two parts.

        Examples
        --------
        >>> cache = LRU(max_size=2)
        >>> cache.update([("a", 1), ("b", 2)], c=3)
        >>> dict(cache)
        {'b': 2, 'c': 3}
        """
        if isinstance(source, LRI) and type(source).__getitem__ in _OWN_LOOKUPS:
            # Read before the lock is taken: two caches that update one another must not wait for
            # each other.
            source = () if source is self else snapshot(source)
        with self._lock:
            if callable(getattr(source, "keys", None)):
                for key in source.keys():  # noqa: SIM118 - what dict.update asks for
                    self[key] = source[key]
            else:
                for key, value in source:
                    self[key] = value
            for name, value in more.items():
                self[name] = value  # type: ignore[index]

    def __ior__(self, source: Any) -> Self:  # type: ignore[override,misc]
        self.update(source)
        return self

    # --- copies -----------------------------------------------------------------------------------

    def copy(self) -> Self:
        """Return a cache with the same items, order, size and `on_miss`, its counts at zero.

        It is of the same class, and shares the values with the original, as with
        :meth:`dict.copy`.

        Examples
        --------
        >>> cache = LRU(max_size=3, values={"a": 1})
        >>> cache.copy() == cache
        True
        """
        state = self._state()
        state["counts"] = (0, 0, 0)
        clone = self.__class__.__new__(self.__class__)
        clone.__setstate__(state)
        return clone

    __copy__ = copy

    def _state(self) -> dict[str, Any]:
        with self._lock:
            items = snapshot(self)
            return {
                "max_size": self.max_size,
                "on_miss": self.on_miss,
                "items": items,
                "ages": [self._ages.get(key, 0) for key, _ in items],
                "counts": (self.hit_count, self.miss_count, self.soft_miss_count),
                "attributes": self.__dict__.copy(),
                "slots": self._slots_of_subclass(),
            }

    def _slots_of_subclass(self) -> dict[str, Any]:
        names = copyreg._slotnames(self.__class__)  # type: ignore[attr-defined]
        return {name: getattr(self, name) for name in names if name not in Bounded.__slots__ and hasattr(self, name)}

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (self.__class__,), self._state()  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.max_size = state["max_size"]
        self.on_miss = state["on_miss"]
        self.__dict__.update(state["attributes"])
        for name, value in state["slots"].items():
            setattr(self, name, value)
        for (key, value), age in zip(state["items"], state["ages"], strict=True):
            STORE(self, key, value)
            self._ages[key] = age
            self._clock = max(self._clock, age)
        self.hit_count, self.miss_count, self.soft_miss_count = state["counts"]

    def __repr__(self) -> str:
        values = super().__repr__()
        name = self.__class__.__name__
        return f"{name}(max_size={self.max_size!r}, on_miss={self.on_miss!r}, values={values})"

    # --- a view of the order, for programs and tests that look into the linked list of boltons ----

    def _get_flattened_ll(self) -> list[tuple[Any, Any]]:
        """List the items, the one to be forgotten first, behind an empty pair for the anchor."""
        with self._lock:
            age_of = self._ages.get
            items = sorted(snapshot(self), key=lambda item: age_of(item[0], 0))
        return [(MISSING, MISSING), *items]

    @property
    def _anchor(self) -> list[Any]:
        """The same as a ring of ``[previous, next, key, value]``. Changing it changes nothing."""
        links = [[None, None, key, value] for key, value in self._get_flattened_ll()]
        for place, link in enumerate(links):
            link[0] = links[place - 1]
            link[1] = links[(place + 1) % len(links)]
        return links[0]


class LRU(LRI[K, V]):
    """A dict that holds at most `max_size` items and forgets the least recently used one.

    Reading a key and setting it both count as use; ``in``, iteration and comparison do not.

    Parameters
    ----------
    max_size : int, default 128
        How many items to hold.
    values : mapping or iterable of pairs, optional
        What to begin with, inserted in order.
    on_miss : callable, optional
        ``on_miss(key)`` makes the value of a key that is not there.

    Raises
    ------
    ValueError
        If `max_size` is zero or less.
    TypeError
        If `on_miss` is neither callable nor None, or `values` is neither a mapping nor made of
        pairs.

    See Also
    --------
    LRI : the same, blind to reading; its page tells of the attributes and of threads.

    Examples
    --------
    >>> cache = LRU(max_size=2, values=[("a", 1), ("b", 2)])
    >>> cache["a"]
    1
    >>> cache["c"] = 3
    >>> sorted(cache)
    ['a', 'c']
    >>> cache.hit_count, cache.miss_count, cache.soft_miss_count
    (1, 0, 0)
    """

    __slots__ = ()

    def __getitem__(self, key: K) -> V:
        value: V = GET(self, key, MISSING)
        if value is MISSING:
            return self._make(key)
        self._clock = self._ages[key] = self._clock + 1
        return value


_OWN_LOOKUPS = (LRI.__getitem__, LRU.__getitem__)
