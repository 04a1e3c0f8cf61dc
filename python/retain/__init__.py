"""
Compute once, retain the result.

`cache`, `lru_cache` and `cached_property` are those of :mod:`functools`, faster. `memoize` does what they lack, and
`Cache` is the table below it as a mapping. `hash` tells who a value is, `identity` who a function is. `dump` and `load`
keep values in files, `Memory` the results of functions.
`retain.cacheutils` is boltons' module of that name.
"""

from retain._cache import Cache
from retain._lru import cache, cached_property, lru_cache
from retain._memoize import memoize
from retain._retain import delayed, hash, identity

__all__ = [
    "Cache",
    "CacheWarning",
    "CorruptFileError",
    "IdentityWarning",
    "MemorizedResult",
    "Memory",
    "Parallel",
    "ParallelBackendBase",
    "Report",
    "SignatureError",
    "StoreBackendBase",
    "StoreError",
    "TerminatedWorkerError",
    "UnsafeFileError",
    "UntrustedFolderError",
    "cache",
    "cached_property",
    "cpu_count",
    "delayed",
    "dump",
    "effective_n_jobs",
    "expires_after",
    "explain",
    "hash",
    "identity",
    "load",
    "lru_cache",
    "map",
    "map_async",
    "memoize",
    "parallel_backend",
    "parallel_config",
    "register_compressor",
    "register_key",
    "register_parallel_backend",
    "register_store_backend",
    "safe_load",
    "scan",
    "wrap_non_picklable_objects",
]
__version__ = "0.1.0"

# What few programs need is imported by those that do.
_LATER = {
    "CacheWarning": "retain._memory.complaints",
    "CompressorWrapper": "retain._files.compressors",
    "CorruptFileError": "retain._files.errors",
    "IdentityWarning": "retain._identity",
    "MemorizedResult": "retain._memory.results",
    "Memory": "retain._memory.memory",
    "Parallel": "retain._parallel.parallel",
    "ParallelBackendBase": "retain._parallel.backends",
    "Report": "retain._files.report",
    "SignatureError": "retain._files.errors",
    "StoreBackendBase": "retain._memory.backends",
    "StoreError": "retain._memory.errors",
    "TerminatedWorkerError": "retain._parallel.terminated",
    "UnsafeFileError": "retain._files.errors",
    "UntrustedFolderError": "retain._memory.errors",
    "cpu_count": "retain._parallel.cores",
    "dump": "retain._files.dump",
    "effective_n_jobs": "retain._parallel.config",
    "expires_after": "retain._memory.expiry",
    "explain": "retain._explain",
    "load": "retain._files.load",
    "map": "retain._parallel.map",
    "map_async": "retain._parallel.map",
    "parallel_backend": "retain._parallel.config",
    "parallel_config": "retain._parallel.config",
    "register_compressor": "retain._files.compressors",
    "register_key": "retain._parts",
    "register_parallel_backend": "retain._parallel.registry",
    "register_store_backend": "retain._memory.backends",
    "safe_load": "retain._files.safe",
    "scan": "retain._files.scan",
    "wrap_non_picklable_objects": "retain._parallel.nonpicklable",
}


_MODULES = ("cacheutils", "numpy_pickle", "parallel")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_LATER, *_MODULES})


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"retain.{name}")
    if name in _LATER:
        found = globals()[name] = getattr(import_module(_LATER[name]), name)
        return found
    msg = f"module 'retain' has no attribute {name!r}"
    raise AttributeError(msg)
