"""``MinIDMap``: small numbers for living objects."""

from __future__ import annotations

from heapq import heappop, heappush
from threading import RLock
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class MinIDMap(Generic[T]):
    """Gives each object the smallest number that no other living object has.

    A number is free again as soon as its object is dropped or dies. Objects are held weakly and
    told apart by ``==``, like the keys of a :class:`weakref.WeakKeyDictionary`. Threads may share a
    map.

    Raises
    ------
    TypeError
        When asked about an object that is not hashable or cannot be weakly referenced.

    Examples
    --------
    >>> class Job: pass
    >>> numbers = MinIDMap()
    >>> first, second = Job(), Job()
    >>> numbers.get(first), numbers.get(second), numbers.get(first)
    (0, 1, 0)
    >>> del first
    >>> numbers.get(Job())
    0
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._numbers: dict[ref[T], int] = {}
        # The numbers in use and the free ones together are always those below _next.
        self._free: list[int] = []
        self._next = 0
        # The callback must not keep the map alive, and the map may die before the objects do.
        myself = ref(self)

        def died(reference: ref[T]) -> None:
            numbers = myself()
            if numbers is not None:
                numbers._release(reference)

        self._died = died

    def get(self, a: T) -> int:
        """Return the number of `a`, giving it one if it has none.

        Parameters
        ----------
        a : object
            Anything hashable that can be weakly referenced.

        Returns
        -------
        int
            Its number: the smallest free one, from 0 up.

        Examples
        --------
        >>> MinIDMap().get(set)
        0
        """
        number = self._numbers.get(ref(a))
        if number is not None:
            return number
        with self._lock:
            number = self._numbers.get(ref(a))
            if number is None:
                # Made before a number is taken, since it may raise.
                reference = ref(a, self._died)
                hash(reference)
                if self._free:
                    number = heappop(self._free)
                else:
                    number = self._next
                    self._next += 1
                found = self._numbers.setdefault(reference, number)
                if found != number:
                    # An equal object got a number while this one was compared with others.
                    heappush(self._free, number)
                    number = found
            return number

    def drop(self, a: T) -> None:
        """Take the number of `a` away and make it free.

        Parameters
        ----------
        a : object
            An object that has a number.

        Raises
        ------
        KeyError
            If it has none.

        Examples
        --------
        >>> numbers = MinIDMap()
        >>> numbers.get(set), numbers.drop(set), numbers.get(dict)
        (0, None, 0)
        """
        with self._lock:
            number = self._numbers.pop(ref(a), None)
            if number is None:
                raise KeyError(a)
            heappush(self._free, number)

    def _release(self, reference: ref[T]) -> None:
        with self._lock:
            number = self._numbers.pop(reference, None)
            if number is not None:
                heappush(self._free, number)

    def __contains__(self, a: object) -> bool:
        try:
            return ref(a) in self._numbers
        except TypeError:
            return False

    def __iter__(self) -> Iterator[T]:
        """Iterate over the living objects that have a number."""
        return (a for a, _ in self.iteritems())

    def __len__(self) -> int:
        return len(self._numbers)

    def iteritems(self) -> Iterator[tuple[T, int]]:
        """Iterate over the living objects that have a number, and their numbers.

        Returns
        -------
        iterator of tuple
            Pairs of object and number.

        Examples
        --------
        >>> numbers = MinIDMap()
        >>> numbers.get(set)
        0
        >>> list(numbers.iteritems())
        [(<class 'set'>, 0)]
        """
        # Objects may die between two steps.
        for reference in list(self._numbers):
            a = reference()
            number = self._numbers.get(reference)
            if a is not None and number is not None:
                yield a, number
