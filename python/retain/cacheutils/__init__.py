"""Bounded mappings and what goes with them, under the names of :mod:`boltons.cacheutils`.

``LRI`` and ``LRU`` are dicts that hold a bounded number of items, ``cached`` and ``cachedmethod``
keep the results of functions in a mapping of your choice, ``cachedproperty`` computes an attribute
once, ``ThresholdCounter`` counts a stream in little memory, and ``MinIDMap`` hands out small
numbers to living objects. Pure Python, nothing to build.

``from retain.cacheutils import LRU`` takes the place of ``from boltons.cacheutils import LRU``.
Where the two differ, it is because a promise of the original is kept here; each docstring says so
under *Notes*.
"""

from __future__ import annotations

from retain.cacheutils._bounded import LRI, LRU
from retain.cacheutils._counter import ThresholdCounter
from retain.cacheutils._functions import CachedFunction, cached
from retain.cacheutils._ids import MinIDMap
from retain.cacheutils._keys import make_cache_key
from retain.cacheutils._methods import CachedMethod, cachedmethod
from retain.cacheutils._order import DEFAULT_MAX_SIZE
from retain.cacheutils._property import cachedproperty

__all__ = [
    "DEFAULT_MAX_SIZE",
    "LRI",
    "LRU",
    "CachedFunction",
    "CachedMethod",
    "MinIDMap",
    "ThresholdCounter",
    "cached",
    "cachedmethod",
    "cachedproperty",
    "make_cache_key",
]

# Pickles and tracebacks name the public place, so that the files in this package may be rearranged.
for _name in __all__:
    _public = globals()[_name]
    if callable(_public):
        _public.__module__ = __name__
