"""What keeps a bounded dict bounded, and whole."""

from __future__ import annotations

from operator import itemgetter
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

DEFAULT_MAX_SIZE = 128

MISSING: Any = object()

# The bare operations of dict, for the places where no override of a subclass may come in between.
CONTAINS = dict.__contains__
DELETE = dict.__delitem__
GET: Any = dict.get
POP: Any = dict.pop
STORE: Any = dict.__setitem__

# How often to start over when foreign code comes in between, before giving up tidily.
_TRIES = 8


def snapshot(items: dict[K, V]) -> list[tuple[K, V]]:
    """List the items of a dict, as they are at one moment."""
    while True:
        try:
            return list(dict.items(items))
        except RuntimeError:
            # A destructor has changed its size, run by the garbage collector in between.
            continue


class Bounded(dict[K, V]):
    """A dict that holds at most `max_size` items: how it is written, and who has to leave.

    How it is read, and what counts as use, is up to the classes made of it.
    """

    # How it works. The dict itself is the only truth about what is cached. The order of eviction is
    # advice beside it: `_ages` says when each key was last used, on a clock that ticks with every
    # hit and every insertion. From time to time the items are lined up by age, and those that leave
    # are taken from the end of `_queue`, the oldest first. Who was used since has another age now
    # and is passed over: all of those are younger than anyone still in the queue, so they have time
    # until it is lined up again. Hence a hit takes no lock and costs one number, the order is
    # exact, and whatever foreign code does in the middle of a change, a wrong value cannot come of
    # it.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_ages",
        "_clock",
        "_lock",
        "_queue",
        "_ticks_not_hits",
        "max_size",
        "miss_count",
        "on_miss",
        "soft_miss_count",
    )

    max_size: int
    on_miss: Callable[[K], V] | None
    miss_count: int
    soft_miss_count: int
    _ages: dict[K, int]
    _clock: int
    _lock: RLock
    _queue: list[tuple[K, int]]
    _ticks_not_hits: int

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        # Here and not in __init__, so that what pickle and copy create is a working cache from the
        # start.
        self = super().__new__(cls)
        self._lock = RLock()
        self._ages = {}
        self._queue = []
        self._clock = self._ticks_not_hits = self.miss_count = self.soft_miss_count = 0
        self.max_size = DEFAULT_MAX_SIZE
        self.on_miss = None
        return self

    @property
    def hit_count(self) -> int:
        """How often a key was looked up and found."""
        return self._clock - self._ticks_not_hits

    @hit_count.setter
    def hit_count(self, count: int) -> None:
        self._ticks_not_hits = self._clock - count

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            if len(self) >= self.max_size and not CONTAINS(self, key):
                self._evict(self.max_size - 1)
            self._ticks_not_hits = sets = self._ticks_not_hits + 1
            self._clock = self._ages[key] = self._clock + 1
            STORE(self, key, value)
            if sets != self._ticks_not_hits:
                self._store_again(key, value)
            if len(self) > self.max_size:
                # It was made smaller, or a key that was being compared has called back.
                try:
                    self._evict(self.max_size)
                finally:
                    # If it raises now, the last come go: that needs no comparison.
                    while len(self) > max(self.max_size, 0):
                        super().popitem()

    def _store_again(self, key: K, value: V) -> None:
        """Store what was stored while a comparison called back and set items itself.

        If it set this very key, the dict may now hold the key twice.
        """
        try:
            for _ in range(_TRIES):
                while POP(self, key, MISSING) is not MISSING:
                    pass
                sets = self._ticks_not_hits
                STORE(self, key, value)
                if sets == self._ticks_not_hits:
                    return
        except BaseException:
            self.clear()
            raise
        # It does so every time. Better nothing than something twice.
        self.clear()

    def _evict(self, remaining: int) -> None:
        """Forget the oldest items until only so many remain. The lock is held."""
        queue, ages, tries = self._queue, self._ages, _TRIES
        while len(self) > max(remaining, 0):
            if queue:
                key, age = place = queue.pop()
                try:
                    if ages.get(key) == age:
                        # Held until its age is gone too: a destructor may insert the key again.
                        value = POP(self, key, None)
                        ages.pop(key, None)
                        del value
                except BaseException:
                    queue.append(place)
                    raise
            elif tries:
                tries -= 1
                self._line_up()
            else:
                # Used again faster than lined up. The last come goes: that needs no comparison.
                super().popitem()

    def _line_up(self) -> None:
        """Put all items in the queue, the oldest last. The lock is held."""
        if len(self._ages) < len(self):
            # What was put here behind our back, as by dict.update(cache, ...), counts as oldest.
            for key in list(dict.keys(self)):
                self._ages.setdefault(key, 0)
        self._queue[:] = sorted(snapshot(self._ages), key=itemgetter(1), reverse=True)

    def __delitem__(self, key: K) -> None:
        with self._lock:
            DELETE(self, key)
            self._ages.pop(key, None)

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: V) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: Any = MISSING) -> Any:
        """Remove `key` and return its value, without counting and without `on_miss`.

        Parameters
        ----------
        key : hashable
            What to remove.
        default : object, optional
            What to return if the key is not there.

        Returns
        -------
        object
            The value or the default.

        Raises
        ------
        KeyError
            If the key is not there and no default was given.

        Examples
        --------
        >>> LRU(values={"a": 1}).pop("a")
        1
        """
        with self._lock:
            value = POP(self, key, MISSING)
            if value is not MISSING:
                self._ages.pop(key, None)
                return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[K, V]:
        """Remove and return the item that was inserted last, as a plain dict does.

        Returns
        -------
        tuple
            The key and its value.

        Raises
        ------
        KeyError
            If the cache is empty.

        Examples
        --------
        >>> LRU(values=[("a", 1), ("b", 2)]).popitem()
        ('b', 2)
        """
        with self._lock:
            item = super().popitem()
            self._ages.pop(item[0], None)
            return item

    def clear(self) -> None:
        """Remove all items. The counts stay.

        Examples
        --------
        >>> cache = LRU(values={"a": 1})
        >>> cache.clear()
        >>> len(cache)
        0
        """
        with self._lock:
            # Item by item: where the __eq__ of a key calls dict.clear while another key is being
            # inserted, CPython (3.11 to 3.13 at least) puts that key where it will not find it
            # again. And all items before the first destructor, which may insert something anew.
            removed: list[Any] = []
            while self._ages:
                removed.append(self._ages.popitem())
            while len(self):
                removed.append(super().popitem())
            removed.append(self._queue[:])
            self._queue.clear()
        removed.clear()
