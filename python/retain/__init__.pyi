import os
from collections.abc import (
    Callable,
    Coroutine,
    Hashable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    MutableMapping,
    ValuesView,
)
from datetime import timedelta
from functools import cached_property as cached_property
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    NamedTuple,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    overload,
)

from retain import cacheutils as cacheutils
from retain import numpy_pickle as numpy_pickle
from retain import parallel as parallel
from retain._explain import explain as explain
from retain._files.compressors import CompressorWrapper as CompressorWrapper
from retain._files.compressors import register_compressor as register_compressor
from retain._files.dump import dump as dump
from retain._files.errors import CorruptFileError as CorruptFileError
from retain._files.errors import SignatureError as SignatureError
from retain._files.errors import UnsafeFileError as UnsafeFileError
from retain._files.load import load as load
from retain._files.report import Report as Report
from retain._files.safe import safe_load as safe_load
from retain._files.scan import scan as scan
from retain._identity import IdentityWarning as IdentityWarning
from retain._memory.backends import StoreBackendBase as StoreBackendBase
from retain._memory.backends import register_store_backend as register_store_backend
from retain._memory.complaints import CacheWarning as CacheWarning
from retain._memory.entries import Entry as _KeptEntry
from retain._memory.errors import StoreError as StoreError
from retain._memory.errors import UntrustedFolderError as UntrustedFolderError
from retain._memory.expiry import expires_after as expires_after
from retain._memory.explain import Explanation as _Explanation
from retain._memory.results import CacheInfo as _KeptInfo
from retain._memory.results import MemorizedResult as MemorizedResult
from retain._memory.results import NotMemorizedResult as _NotMemorizedResult
from retain._parallel.backends import ParallelBackendBase as ParallelBackendBase
from retain._parallel.config import effective_n_jobs as effective_n_jobs
from retain._parallel.config import parallel_backend as parallel_backend
from retain._parallel.config import parallel_config as parallel_config
from retain._parallel.cores import cpu_count as cpu_count
from retain._parallel.map import map as map
from retain._parallel.map import map_async as map_async
from retain._parallel.nonpicklable import wrap_non_picklable_objects as wrap_non_picklable_objects
from retain._parallel.parallel import Parallel as Parallel
from retain._parallel.registry import register_parallel_backend as register_parallel_backend
from retain._parallel.terminated import TerminatedWorkerError as TerminatedWorkerError
from retain._parts import register_key as register_key
from retain._retain import delayed as delayed
from retain._retain import hash as hash
from retain._retain import identity as identity

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
__version__: str

_P = ParamSpec("_P")
_Q = ParamSpec("_Q")
_R = TypeVar("_R")
_S = TypeVar("_S")
_T = TypeVar("_T")
_U = TypeVar("_U")
_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")
_D = TypeVar("_D")

_Seconds: TypeAlias = float | timedelta
_Policy: TypeAlias = Literal["s3fifo", "lru", "sieve", "lfu", "fifo", "unbounded"]
_Exceptions: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]

class _CacheInfo(NamedTuple):
    hits: int
    misses: int
    maxsize: int | None
    currsize: int

class _MemoInfo(NamedTuple):
    hits: int
    misses: int
    maxsize: int | None
    currsize: int
    evictions: int
    expirations: int
    in_flight: int
    weight: int
    time_saved: float

class _CacheStats(NamedTuple):
    hits: int
    misses: int
    maxsize: int | None
    currsize: int
    evictions: int
    expirations: int
    in_flight: int
    weight: int
    time_saved: float
    max_bytes: int | None

class _Entry(NamedTuple, Generic[_T]):
    arguments: Any
    value: _T
    weight: int
    cost: float

# What `cache` and `lru_cache` return: as a method, it is called without its first argument.
# Under `@classmethod`, and under `@staticmethod` where it is called on an instance, mypy takes it for a method still.
class _LruCached(Protocol[_P, _R]):
    __name__: str
    __qualname__: str
    __wrapped__: Callable[_P, _R]
    def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def cache_info(self) -> _CacheInfo: ...
    def cache_clear(self) -> None: ...
    def cache_parameters(self) -> dict[str, Any]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: _LruCached[Concatenate[_S, _Q], _T], instance: _S, owner: type | None = None, /
    ) -> _LruCached[_Q, _T]: ...

# What `memoize` returns: called it gives an _R, an awaitable of a _V where the function is `async`. What it keeps is a
# _V.
class _Memoized(Protocol[_P, _R, _V]):
    __name__: str
    __qualname__: str
    __wrapped__: Callable[_P, _R]
    def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def cache_info(self) -> _MemoInfo: ...
    def cache_clear(self) -> None: ...
    def cache_parameters(self) -> dict[str, Any]: ...
    def invalidate(self, /, *args: _P.args, **kwargs: _P.kwargs) -> bool: ...
    def peek(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _V: ...
    def set(self, value: _V, /, *args: _P.args, **kwargs: _P.kwargs) -> None: ...
    def refresh(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def __iter__(self) -> Iterator[_Entry[_V]]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: _Memoized[Concatenate[_S, _Q], _T, _U], instance: _S, owner: type | None = None, /
    ) -> _Memoized[_Q, _T, _U]: ...

# What `memoize` returns when it is given options alone.
class _Memoize(Protocol):
    @overload
    def __call__(
        self, function: Callable[_P, Coroutine[Any, Any, _T]], /
    ) -> _Memoized[_P, Coroutine[Any, Any, _T], _T]: ...
    @overload
    def __call__(self, function: Callable[_P, _T], /) -> _Memoized[_P, _T, _T]: ...

def cache(user_function: Callable[_P, _T], /) -> _LruCached[_P, _T]: ...
@overload
def lru_cache(maxsize: Callable[_P, _T], typed: bool = False) -> _LruCached[_P, _T]: ...
@overload
def lru_cache(maxsize: int | None = 128, typed: bool = False) -> _LruCache: ...

class _LruCache(Protocol):
    def __call__(self, function: Callable[_P, _T], /) -> _LruCached[_P, _T]: ...

@overload
def memoize(
    function: Callable[_P, Coroutine[Any, Any, _T]],
    /,
    *,
    maxsize: int | None = ...,
    policy: _Policy = "s3fifo",
    ttl: _Seconds | Callable[[Any], float | None] | None = None,
    ttl_jitter: float = 0.0,
    time_to_idle: _Seconds | None = None,
    stale_while_revalidate: _Seconds | None = None,
    max_bytes: int | None = None,
    weigher: Callable[[Any], float] | None = None,
    key: Callable[..., Hashable] | None = None,
    typed: bool = True,
    ignore: Iterable[str] = (),
    single_flight: bool = True,
    cache_exceptions: tuple[_Exceptions, _Seconds] | None = None,
    copy: bool | Literal["deepcopy"] | Callable[[Any], Any] | None = None,
    on_evict: Callable[[Any, Any, str], object] | None = None,
) -> _Memoized[_P, Coroutine[Any, Any, _T], _T]: ...
@overload
def memoize(
    function: Callable[_P, _T],
    /,
    *,
    maxsize: int | None = ...,
    policy: _Policy = "s3fifo",
    ttl: _Seconds | Callable[[Any], float | None] | None = None,
    ttl_jitter: float = 0.0,
    time_to_idle: _Seconds | None = None,
    stale_while_revalidate: _Seconds | None = None,
    max_bytes: int | None = None,
    weigher: Callable[[Any], float] | None = None,
    key: Callable[..., Hashable] | None = None,
    typed: bool = True,
    ignore: Iterable[str] = (),
    single_flight: bool = True,
    cache_exceptions: tuple[_Exceptions, _Seconds] | None = None,
    copy: bool | Literal["deepcopy"] | Callable[[Any], Any] | None = None,
    on_evict: Callable[[Any, Any, str], object] | None = None,
) -> _Memoized[_P, _T, _T]: ...
@overload
def memoize(
    function: None = None,
    /,
    *,
    maxsize: int | None = ...,
    policy: _Policy = "s3fifo",
    ttl: _Seconds | Callable[[Any], float | None] | None = None,
    ttl_jitter: float = 0.0,
    time_to_idle: _Seconds | None = None,
    stale_while_revalidate: _Seconds | None = None,
    max_bytes: int | None = None,
    weigher: Callable[[Any], float] | None = None,
    key: Callable[..., Hashable] | None = None,
    typed: bool = True,
    ignore: Iterable[str] = (),
    single_flight: bool = True,
    cache_exceptions: tuple[_Exceptions, _Seconds] | None = None,
    copy: bool | Literal["deepcopy"] | Callable[[Any], Any] | None = None,
    on_evict: Callable[[Any, Any, str], object] | None = None,
) -> _Memoize: ...

class Cache(MutableMapping[_K, _V], Generic[_K, _V]):
    def __new__(
        cls,
        maxsize: int | None = ...,
        *,
        policy: _Policy = "s3fifo",
        ttl: _Seconds | Callable[[_V], float | None] | None = None,
        ttl_jitter: float = 0.0,
        time_to_idle: _Seconds | None = None,
        max_bytes: int | None = None,
        weigher: Callable[[_V], float] | None = None,
        on_evict: Callable[[_K, _V, str], object] | None = None,
    ) -> Self: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[_K]: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __getitem__(self, key: _K, /) -> _V: ...
    def __setitem__(self, key: _K, value: _V, /) -> None: ...
    def __delitem__(self, key: _K, /) -> None: ...
    @overload
    def peek(self, key: _K, /) -> _V | None: ...
    @overload
    def peek(self, key: _K, default: _V | _D, /) -> _V | _D: ...
    def set(self, key: _K, value: _V, ttl: float | None = None) -> None: ...
    def get_or_insert(self, key: _K, factory: Callable[[_K], _V]) -> _V: ...
    def resize(self, maxsize: int | None = ..., *, max_bytes: int | None = ...) -> None: ...
    def stats(self) -> _CacheStats: ...
    def clear(self) -> None: ...
    def popitem(self) -> tuple[_K, _V]: ...
    def keys(self) -> KeysView[_K]: ...
    def values(self) -> ValuesView[_V]: ...
    def items(self) -> ItemsView[_K, _V]: ...

_MmapMode: TypeAlias = Literal["r", "r+", "w+", "c"]
_Track: TypeAlias = Literal["deep", "own", "version"]
_Metadata: TypeAlias = dict[str, Any]
_Compress: TypeAlias = bool | int | str | tuple[str, int]

# What `Memory.cache` returns: called it gives an _R. The result of a method is told by its instance and its arguments.
class _Memorized(Protocol[_P, _R]):
    __name__: str
    __qualname__: str
    __wrapped__: Callable[_P, _R]
    func: Callable[_P, _R]
    func_id: str
    ignore: list[str]
    def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def call(self, /, *args: _P.args, **kwargs: _P.kwargs) -> tuple[_R, _Metadata]: ...
    def call_and_shelve(self, /, *args: _P.args, **kwargs: _P.kwargs) -> MemorizedResult | _NotMemorizedResult: ...
    def check_call_in_cache(self, /, *args: _P.args, **kwargs: _P.kwargs) -> bool: ...
    def invalidate(self, /, *args: _P.args, **kwargs: _P.kwargs) -> bool: ...
    def explain(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _Explanation: ...
    def clear(self, warn: bool = True) -> None: ...
    def entries(self) -> list[_KeptEntry]: ...
    def cache_info(self) -> _KeptInfo: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: _Memorized[Concatenate[_S, _Q], _T], instance: _S, owner: type | None = None, /
    ) -> _Memorized[_Q, _T]: ...

# The same for an `async def`, whose result is an _R.
class _AsyncMemorized(Protocol[_P, _R]):
    __name__: str
    __qualname__: str
    __wrapped__: Callable[_P, Coroutine[Any, Any, _R]]
    func: Callable[_P, Coroutine[Any, Any, _R]]
    func_id: str
    ignore: list[str]
    async def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    async def call(self, /, *args: _P.args, **kwargs: _P.kwargs) -> tuple[_R, _Metadata]: ...
    async def call_and_shelve(
        self, /, *args: _P.args, **kwargs: _P.kwargs
    ) -> MemorizedResult | _NotMemorizedResult: ...
    def check_call_in_cache(self, /, *args: _P.args, **kwargs: _P.kwargs) -> bool: ...
    def invalidate(self, /, *args: _P.args, **kwargs: _P.kwargs) -> bool: ...
    def explain(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _Explanation: ...
    def clear(self, warn: bool = True) -> None: ...
    def entries(self) -> list[_KeptEntry]: ...
    def cache_info(self) -> _KeptInfo: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: _AsyncMemorized[Concatenate[_S, _Q], _T], instance: _S, owner: type | None = None, /
    ) -> _AsyncMemorized[_Q, _T]: ...

# What `Memory.cache` returns when it is given options alone.
class _Memorize(Protocol):
    @overload
    def __call__(self, func: Callable[_P, Coroutine[Any, Any, _T]], /) -> _AsyncMemorized[_P, _T]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, func: Callable[_P, _T], /) -> _Memorized[_P, _T]: ...

class Memory:
    location: Any
    backend: str
    mmap_mode: _MmapMode | None
    compress: _Compress
    backend_options: dict[str, Any]
    store_backend: Any
    timestamp: float | None
    def __init__(
        self,
        location: str | os.PathLike[str] | StoreBackendBase | None = None,
        backend: str = "local",
        mmap_mode: _MmapMode | None = None,
        compress: _Compress = False,
        verbose: int = 1,
        backend_options: dict[str, Any] | None = None,
        *,
        max_bytes: int | str | None = None,
        max_items: int | None = None,
        max_age: _Seconds | None = None,
        ram_bytes: int | str = ...,
        track: _Track = "deep",
        key: bytes | str | os.PathLike[str] | None = None,
        layout: Literal["auto", "indexed", "plain"] = "auto",
    ) -> None: ...
    @overload
    def cache(  # type: ignore[overload-overlap]
        self,
        func: Callable[_P, Coroutine[Any, Any, _T]],
        ignore: Iterable[str] | None = None,
        verbose: int | None = None,
        mmap_mode: _MmapMode | Literal[False] | None = False,
        cache_validation_callback: Callable[[_Metadata], object] | None = None,
        *,
        depends: Iterable[Any] | None = None,
        version: str | None = None,
        track: _Track | None = None,
        ttl: _Seconds | Callable[[Any], float | None] | None = None,
    ) -> _AsyncMemorized[_P, _T]: ...
    @overload
    def cache(
        self,
        func: Callable[_P, _T],
        ignore: Iterable[str] | None = None,
        verbose: int | None = None,
        mmap_mode: _MmapMode | Literal[False] | None = False,
        cache_validation_callback: Callable[[_Metadata], object] | None = None,
        *,
        depends: Iterable[Any] | None = None,
        version: str | None = None,
        track: _Track | None = None,
        ttl: _Seconds | Callable[[Any], float | None] | None = None,
    ) -> _Memorized[_P, _T]: ...
    @overload
    def cache(
        self,
        func: None = None,
        ignore: Iterable[str] | None = None,
        verbose: int | None = None,
        mmap_mode: _MmapMode | Literal[False] | None = False,
        cache_validation_callback: Callable[[_Metadata], object] | None = None,
        *,
        depends: Iterable[Any] | None = None,
        version: str | None = None,
        track: _Track | None = None,
        ttl: _Seconds | Callable[[Any], float | None] | None = None,
    ) -> _Memorize: ...
    def clear(self, warn: bool = True) -> None: ...
    def reduce_size(
        self,
        bytes_limit: int | str | None = None,
        items_limit: int | None = None,
        age_limit: timedelta | None = None,
    ) -> None: ...
    def eval(self, func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T: ...
