"""``ThresholdCounter``: counts a stream of any length in little memory."""

from __future__ import annotations

from itertools import chain, repeat, starmap
from operator import index
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

K = TypeVar("K")
D = TypeVar("D")


class ThresholdCounter(Generic[K]):
    """Counts the common keys of a stream, and forgets the rare ones.

    With a period of ``w = int(1 / threshold)`` and ``n`` additions so far, a count is never too
    high and at most ``n // w`` too low, a key that was added more often than ``n // w`` times is
    always there, and at most about ``w * log(n / w)`` keys are held, in practice fewer than ``w``.
    Counts cannot be set or lowered.

    Parameters
    ----------
    threshold : float, default 0.001
        The share of all additions from which on a key must not be lost.

    Attributes
    ----------
    total : int
        How many additions there were.

    Raises
    ------
    ValueError
        If `threshold` is not between 0 and 1, both excluded.

    Notes
    -----
    This is lossy counting, from G. S. Manku and R. Motwani, "Approximate frequency counts over data
    streams", VLDB 2002. After each period, every key is dropped whose count, with the most it can
    have missed, does not exceed the number of periods.

    In contrast to boltons: iteration goes over the keys, and the commonality of an empty counter is
    1.0.

    Examples
    --------
    >>> counter = ThresholdCounter(threshold=0.1)
    >>> counter.update("a" * 12 + "bc")
    >>> counter.most_common(1), counter.total
    ([('a', 12)], 14)
    >>> counter.update("defghi")
    >>> counter.items()
    [('a', 12)]
    """

    def __init__(self, threshold: float = 0.001) -> None:
        if not 0 < threshold < 1:
            raise ValueError(f"expected threshold between 0 and 1, not {threshold!r}")
        self.total = 0
        self._threshold = threshold
        self._period = int(1 / threshold)
        # For each key its count, and how many earlier additions of it may have been forgotten.
        self._counts: dict[K, list[int]] = {}

    @property
    def threshold(self) -> float:
        """The share of all additions from which on a key must not be lost."""
        return self._threshold

    def add(self, key: K) -> None:
        """Count `key` once.

        Parameters
        ----------
        key : hashable
            What was seen.

        Examples
        --------
        >>> counter = ThresholdCounter()
        >>> counter.add("a")
        >>> counter["a"]
        1
        """
        try:
            self._counts[key][0] += 1
        except KeyError:
            self._counts[key] = [1, self.total // self._period]
        self.total += 1
        if self.total % self._period == 0:
            self._drop_rare()

    def _add_many(self, key: K, amount: int) -> None:
        """Do what `amount` calls of add would, in steps that take no longer for a large amount."""
        while amount > 0:
            begun = self.total % self._period
            # To the end of a begun period; from there over as many whole ones as there are; then
            # the rest. A key that gains a whole period at each end is never dropped in between, and
            # a key that gains nothing is there after the last end if and only if it passes the last
            # test.
            if begun or amount < self._period:
                step = min(amount, self._period - begun)
            else:
                step = amount - amount % self._period
            entry = self._counts.setdefault(key, [0, self.total // self._period])
            entry[0] += step
            self.total += step
            amount -= step
            if begun + step >= self._period:
                self._drop_rare()

    def _drop_rare(self) -> None:
        done = self.total // self._period
        self._counts = {key: entry for key, entry in self._counts.items() if entry[0] + entry[1] > done}

    def update(self, iterable: Any = None, **kwargs: int) -> None:
        """Count many keys.

        Parameters
        ----------
        iterable : iterable or mapping, optional
            The keys to count once each, or a mapping from keys to how often to count them; zero and
            less count nothing.
        **kwargs : int
            How often to count further keys, by their names.

        Raises
        ------
        TypeError
            If `iterable` is not iterable, or a count is not an integer.

        Examples
        --------
        >>> counter = ThresholdCounter()
        >>> counter.update("abba", c=3)
        >>> sorted(counter.items())
        [('a', 2), ('b', 2), ('c', 3)]
        """
        if iterable is not None:
            if callable(getattr(iterable, "items", None)):
                for key, amount in iterable.items():
                    self._add_many(key, index(amount))
            else:
                for key in iterable:
                    self.add(key)
        if kwargs:
            self.update(kwargs)

    # --- what was common --------------------------------------------------------------------------

    def elements(self) -> Iterator[K]:
        """Iterate over the keys that are held, each as often as it was counted.

        Examples
        --------
        >>> counter = ThresholdCounter()
        >>> counter.update("abba")
        >>> "".join(counter.elements())
        'aabb'
        """
        return chain.from_iterable(starmap(repeat, self.iteritems()))

    def most_common(self, n: int | None = None) -> list[tuple[K, int]]:
        """List the keys with their counts, highest first, equal ones in the order of arrival.

        Parameters
        ----------
        n : int, optional
            How many; all if not given, none if zero or less.

        Returns
        -------
        list of tuple
            Pairs of key and count.

        Examples
        --------
        >>> counter = ThresholdCounter()
        >>> counter.update("abba", c=3)
        >>> counter.most_common(2)
        [('c', 3), ('a', 2)]
        """
        ranked = sorted(self.iteritems(), key=lambda item: item[1], reverse=True)
        return ranked if n is None else ranked[: max(n, 0)]

    def get_common_count(self) -> int:
        """Return the sum of the counts that are held.

        Examples
        --------
        >>> counter = ThresholdCounter(threshold=0.5)
        >>> counter.update("aaab")
        >>> counter.get_common_count(), counter.get_uncommon_count(), counter.get_commonality()
        (3, 1, 0.75)
        """
        return sum(self.itervalues())

    def get_uncommon_count(self) -> int:
        """Return how many additions are no longer in any count, their keys being rare."""
        return self.total - self.get_common_count()

    def get_commonality(self) -> float:
        """Return the share of all additions that the counts hold: 1.0 if nothing was lost."""
        return self.get_common_count() / self.total if self.total else 1.0

    # --- as a mapping -----------------------------------------------------------------------------

    def __getitem__(self, key: K) -> int:
        return self._counts[key][0]

    def get(self, key: K, default: int | D = 0) -> int | D:
        """Return the count of `key`, or `default`.

        Examples
        --------
        >>> ThresholdCounter().get("a")
        0
        """
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: object) -> bool:
        return key in self._counts

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[K]:
        return iter(self._counts)

    def iterkeys(self) -> Iterator[K]:
        """Iterate over the keys that are held."""
        return iter(self._counts)

    def itervalues(self) -> Iterator[int]:
        """Iterate over their counts."""
        return (count for count, _ in self._counts.values())

    def iteritems(self) -> Iterator[tuple[K, int]]:
        """Iterate over pairs of key and count."""
        return ((key, count) for key, (count, _) in self._counts.items())

    def keys(self) -> list[K]:
        """List the keys that are held."""
        return list(self.iterkeys())

    def values(self) -> list[int]:
        """List their counts."""
        return list(self.itervalues())

    def items(self) -> list[tuple[K, int]]:
        """List pairs of key and count."""
        return list(self.iteritems())

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(threshold={self._threshold!r}, {dict(self.iteritems())!r})"
