"""`Memory`: functions whose results outlive the process."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from retain._memory.checks import checked_callback, is_coroutine_function, level, listed, names_of, one_of
from retain._memory.complaints import reason, warn
from retain._memory.encoding import codec_of
from retain._memory.keys import store_key
from retain._memory.memorized import MemorizedFunc, Settings
from retain._memory.methods import MemorizedClassMethod
from retain._memory.place import Folder, LocalStoreBackend, Place
from retain._memory.sizes import parse_size
from retain._memory.tier import RAM_BYTES
from retain._memory.unkept import NotMemorizedFunc
from retain._memory.verbose import Talking
from retain._rules import count, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MODES = (None, "r", "r+", "w+", "c")
_TRACKS = ("deep", "own", "version")
_LAYOUTS = ("auto", "indexed", "plain")


class Memory(Talking):
    """
    Keep the results of functions in a folder, for this process and all others.

    A result is found again by who the function is (its code, and all that it reads and calls) and by the content of
    its arguments: edit a helper or change a global, and it is computed anew; edit it back, and the old results are
    there. Many processes may use a folder at once; what one computes, others wait for.

    Parameters
    ----------
    location : str or os.PathLike, optional
        The folder; what is kept lies in a folder ``retain`` within. ``None``: nothing is kept.
    backend : str, default "local"
        ``"local"``, or a name given to `register_store_backend`.
    mmap_mode : {None, "r", "r+", "w+", "c"}, default None
        Map the arrays of results instead of reading them, from the first call on. What is written to a mapped result
        never reaches the store: "r+" and "w+" are "c".
    compress : bool, int, str or (str, int), default False
        As for `dump`.
    verbose : int, default 1
        How much is printed: 0 nothing, 1 what is computed, 2 also what is loaded, more with 5, 11 and 20.
    backend_options : dict, optional
        Handed to a registered backend.
    max_bytes : int or str, optional
        The most bytes that the folder holds, such as ``"10G"``. What is over is removed all along, the least recently
        used first, and versions of functions that are no more before all else.
    max_items : int, optional
        The most results that it holds.
    max_age : float or timedelta, optional
        Seconds after which a result ends.
    ram_bytes : int or str, default 64 MiB
        The most bytes of small results that this process holds in memory besides; 0 for none.
    track : {"deep", "own", "version"}, default "deep"
        What counts of a function: see `identity`.
    key : bytes, str or os.PathLike, optional
        A secret, or the path of a file with one: results are authenticated by it, so that those of strangers are never
        loaded. Needed for folders that other users can write to. It travels with pickles of the memory, of its
        functions and of references to their results.
    layout : {"auto", "indexed", "plain"}, default "auto"
        How the folder is organised: with an index, or in plain files, as network file systems need it.

    Attributes
    ----------
    location : str, os.PathLike or None
        As given.
    store_backend : object or None
        Where the results are; its ``location`` is the folder itself.

    Raises
    ------
    UntrustedFolderError
        If other users can write to the folder, and there is no key.
    StoreError
        If the folder was made by a newer retain.
    ValueError, TypeError
        If an option is none of the above.

    See Also
    --------
    memoize : Results in memory alone, and faster still.
    identity : Who a function is.

    Notes
    -----
    A call raises what the function raises, and nothing else but a TypeError for arguments that have no identity: where
    the folder is full, read-only, damaged or gone, the function is called, and a `CacheWarning` tells so once.

    Examples
    --------
    >>> import tempfile
    >>> memory = Memory(tempfile.mkdtemp(), verbose=0)
    >>> @memory.cache
    ... def area(width, height=1):
    ...     print("computing")
    ...     return [width * height]
    >>> area(2)
    computing
    [2]
    >>> area(height=1, width=2)
    [2]
    """

    def __init__(  # noqa: PLR0917 - joblib's signature
        self,
        location: Any = None,
        backend: str = "local",
        mmap_mode: str | None = None,
        compress: Any = False,
        verbose: int = 1,
        backend_options: dict[str, Any] | None = None,
        *,
        max_bytes: Any = None,
        max_items: int | None = None,
        max_age: Any = None,
        ram_bytes: Any = RAM_BYTES,
        track: str = "deep",
        key: Any = None,
        layout: str = "auto",
    ) -> None:
        one_of("mmap_mode", mmap_mode, _MODES)
        one_of("layout", layout, _LAYOUTS)
        codec_of(compress)
        self.location = location
        self.backend = backend
        self.mmap_mode = mmap_mode
        self.compress = compress
        self.backend_options = {} if backend_options is None else backend_options
        self.timestamp: float | None = time.time()
        self._verbose = level("verbose", verbose)
        self._track = one_of("track", track, _TRACKS)
        self._options = {
            "layout": layout,
            "key": None if key is None else store_key(key),
            "max_bytes": None if max_bytes is None else parse_size("max_bytes", max_bytes),
            "max_items": None if max_items is None else count("max_items", max_items),
            "max_age": None if max_age is None else seconds("max_age", max_age),
            "ram_bytes": parse_size("ram_bytes", ram_bytes),
        }
        if mmap_mode is not None and compress:
            warn("Compressed results cannot be memmapped", UserWarning)
        if mmap_mode is not None and key is not None:
            warn("With key=, results are read into memory to be authenticated, and cannot be memmapped", UserWarning)
        self._open(None if location is None else within(location))

    def _open(self, folder: Any) -> None:
        self._place: Place | None = None
        self.store_backend: Any = None
        if folder is None:
            return
        self._place, self.store_backend = opened(
            folder, self.backend, self._options, self.mmap_mode, self.compress, self._verbose, self.backend_options
        )

    @classmethod
    def _at(cls, location: Any, backend: str, mmap_mode: str | None, compress: Any, verbose: int) -> Memory:
        """Return the memory whose results lie in the very folder `location`, or in a store backend."""
        if isinstance(location, LocalStoreBackend):
            memory = cls(None, backend, mmap_mode, compress, verbose)
            memory._place, memory.store_backend = location._folder, location
            return memory
        memory = cls(None, backend, mmap_mode, compress, verbose)
        memory.location = location
        memory._open(location)
        return memory

    @property
    def _store(self) -> Any:
        """The store of retain's own, if it is one and can be opened."""
        if not isinstance(self._place, Folder):
            return None
        try:
            return self._place.store
        except OSError:
            return None

    def cache(
        self,
        func: Any = None,
        ignore: Iterable[str] | None = None,
        verbose: int | None = None,
        mmap_mode: Any = False,
        cache_validation_callback: Callable[[dict[str, Any]], Any] | None = None,
        *,
        depends: Iterable[Any] | None = None,
        version: str | None = None,
        track: str | None = None,
        ttl: Any = None,
    ) -> Any:
        """
        Keep the results of a function, method or ``async def``.

        Use it bare, ``@memory.cache``, or with options, ``@memory.cache(ttl=60)``.

        Parameters
        ----------
        func : callable, optional
            The function. Generator functions are refused: return a list.
        ignore : list of str, optional
            Parameters that make no difference to the result.
        verbose, mmap_mode
            As for the memory, whose own are the default.
        cache_validation_callback : callable, optional
            Asked at each hit whether the result may be used, given its metadata: a dict of ``duration``, ``time`` and
            ``input_args``. If not, it is computed anew. See `expires_after`.
        depends : iterable, optional
            Functions, classes, modules or values that count besides what can be told from the code.
        version : str, optional
            Counts besides all else; with ``track="version"``, in place of the code.
        track : {"deep", "own", "version"}, optional
            As for the memory, whose own is the default.
        ttl : float, timedelta or callable, optional
            Seconds that a result lives; a callable is given the result and returns them, or ``None`` for no end.

        Returns
        -------
        MemorizedFunc, AsyncMemorizedFunc, NotMemorizedFunc or AsyncNotMemorizedFunc
            The function, with ``call()``, ``call_and_shelve()``, ``check_call_in_cache()``, ``clear()``,
            ``invalidate()``, ``entries()``, ``explain()`` and ``cache_info()``.
        """
        checked_callback(cache_validation_callback)
        if func is None:
            return partial(
                self.cache,
                ignore=ignore,
                verbose=verbose,
                mmap_mode=mmap_mode,
                cache_validation_callback=cache_validation_callback,
                depends=depends,
                version=version,
                track=track,
                ttl=ttl,
            )
        settings = Settings(
            ignore=names_of(ignore),
            mmap_mode=self.mmap_mode if mmap_mode is False else one_of("mmap_mode", mmap_mode, _MODES),
            compress=self.compress,
            verbose=self._verbose if verbose is None else level("verbose", verbose),
            callback=cache_validation_callback,
            depends=listed("depends", depends),
            version=version,
            track=one_of("track", self._track if track is None else track, _TRACKS),
            ttl=ttl if ttl is None or callable(ttl) else seconds("ttl", ttl),
        )
        if settings.track == "version" and version is None:
            raise ValueError("track is 'version' but there is no version to go by: give version='1'")
        return self._memorized(func, settings)

    def _memorized(self, func: Any, settings: Settings) -> Any:
        if isinstance(func, staticmethod):
            return staticmethod(self._memorized(func.__func__, settings))
        if isinstance(func, classmethod):
            return MemorizedClassMethod(self._memorized(func.__func__, settings))
        if isinstance(func, (MemorizedFunc, NotMemorizedFunc)):
            func = func.func
        kind, unkept = MemorizedFunc, NotMemorizedFunc
        if is_coroutine_function(func):
            from retain._memory.asynchronous import AsyncMemorizedFunc, AsyncNotMemorizedFunc

            kind, unkept = AsyncMemorizedFunc, AsyncNotMemorizedFunc
        if self._place is None:
            not_memorized = unkept(func)
            not_memorized._depends, not_memorized._version = settings.depends, settings.version
            return not_memorized
        return kind._make(func, self._place, self.store_backend, settings, self.timestamp)

    def clear(self, warn: bool = True) -> None:
        """Remove all results, of all functions."""
        if warn:
            self.warn("Flushing completely the cache")
        if self.store_backend is not None:
            self.store_backend.clear()
        if self._place is not None:
            self._place.forget()

    def reduce_size(self, bytes_limit: Any = None, items_limit: int | None = None, age_limit: Any = None) -> None:
        """
        Remove the results that were not used for the longest, until the rest is within the limits.

        ``max_bytes``, ``max_items`` and ``max_age`` do so all along.

        Parameters
        ----------
        bytes_limit : int or str, optional
            Such as ``"10M"``.
        items_limit : int, optional
        age_limit : timedelta, optional
        """
        if self.store_backend is None or (bytes_limit is None and items_limit is None and age_limit is None):
            return
        self.store_backend.enforce_store_limits(bytes_limit, items_limit, age_limit)
        if self._place is not None:
            self._place.forget()

    def eval(self, func: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function in the memory: return its result, kept or computed."""
        return self.cache(func)(*args, **kwargs)

    def __repr__(self) -> str:
        folder = None if self.store_backend is None else self.store_backend.location
        return f"{type(self).__name__}(location={folder})"

    def _repr_html_(self) -> str:
        from retain._memory.showing import html

        return html(self)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["timestamp"] = None
        del state["_place"], state["store_backend"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open(None if self.location is None else within(self.location))

    def __retain_key__(self) -> Any:
        """Return what counts of a memory as an argument: where it keeps what, and nothing of what it keeps."""
        return (
            "retain.Memory",
            None if self.location is None else os.fspath(self.location),
            self.backend,
            self.mmap_mode,
            self.compress,
        )


def within(location: Any) -> Any:
    """Return the folder in which a memory at `location` keeps its results."""
    if isinstance(location, (str, os.PathLike)):
        return os.path.join(os.path.expanduser(os.fspath(location)), "retain")
    return location


def opened(  # noqa: PLR0917 - all that tells one place from another
    location: Any,
    backend: str,
    options: dict[str, Any],
    mmap_mode: str | None,
    compress: Any,
    verbose: int,
    backend_options: dict[str, Any],
) -> tuple[Place | None, Any]:
    """Return the place at a location, and the backend that shows it."""
    from retain._memory import backends
    from retain._memory.adapter import BackendPlace

    if isinstance(location, LocalStoreBackend):
        return location._folder, location.mapping(mmap_mode)
    if backends.is_backend(location):
        return BackendPlace(location, options["ram_bytes"]), location
    if isinstance(location, (str, os.PathLike)) and backend == "local" and backends.local_is_ours():
        folder = Folder.of(os.path.abspath(os.path.expanduser(os.fspath(location))), *_in_order(options))
        try:
            folder.store  # noqa: B018 - opened now, so that what is wrong is told now
        except OSError as error:
            folder.told.add(reason(error))
            warn(f"retain cannot keep results in {folder.location} ({reason(error)}): functions are computed each time")
        return folder, LocalStoreBackend(folder, compress, mmap_mode, verbose)
    found = backends.made(backend, location, verbose, {"compress": compress, "mmap_mode": mmap_mode, **backend_options})
    return (None, None) if found is None else (BackendPlace(found, options["ram_bytes"]), found)


def _in_order(options: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(options[name] for name in ("layout", "key", "max_bytes", "max_items", "max_age", "ram_bytes"))


def opened_backend(location: Any, backend: str, *, mmap_mode: str | None, verbose: int) -> Any:
    """Return the store backend of a result."""
    options = {"layout": "auto", "key": None, "max_bytes": None, "max_items": None, "max_age": None}
    found = opened(location, backend, {**options, "ram_bytes": RAM_BYTES}, mmap_mode, False, verbose, {})[1]
    if found is None:
        raise ValueError(f"location is {location!r}, but a result is kept somewhere")
    return found
