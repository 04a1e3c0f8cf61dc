"""
Compute once, retain the result.

`cache`, `lru_cache` and `cached_property` are those of :mod:`functools`, faster. `memoize` does what they lack, and
`Cache` is the table below it as a mapping. `retain.cacheutils` is boltons' module of that name.
"""

from retain._cache import Cache
from retain._lru import cache, cached_property, lru_cache
from retain._memoize import memoize

__all__ = ["Cache", "cache", "cached_property", "lru_cache", "memoize"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "cacheutils":
        # A module that most programs do not need is imported by those that do.
        from importlib import import_module

        return import_module("retain.cacheutils")
    msg = f"module 'retain' has no attribute {name!r}"
    raise AttributeError(msg)
