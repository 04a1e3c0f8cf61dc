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
from retain._parts import register_key as register_key
from retain._retain import hash as hash
from retain._retain import identity as identity

__all__ = [
    "Cache",
    "CorruptFileError",
    "IdentityWarning",
    "Report",
    "SignatureError",
    "UnsafeFileError",
    "cache",
    "cached_property",
    "dump",
    "explain",
    "hash",
    "identity",
    "load",
    "lru_cache",
    "memoize",
    "register_compressor",
    "register_key",
    "safe_load",
    "scan",
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
