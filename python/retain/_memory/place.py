"""A folder where results are kept, as this process sees it."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retain._memory.backends import CacheItemInfo
from retain._memory.encoding import could_be_mapped, decode, mapped
from retain._memory.reprs import input_args
from retain._memory.sizes import parse_size
from retain._memory.tier import flights
from retain._retain import Store, Tier

if TYPE_CHECKING:
    from collections.abc import Callable

# What this context computes, by folder and call, each with what it computes that for.
computing: ContextVar[tuple[str, bytes, Any] | None] = ContextVar("retain_computing", default=None)

MAPPED = {"r": "r", "c": "c", "r+": "c", "w+": "c"}
"""How results are mapped: what is written to one never reaches the file."""

_folders: weakref.WeakValueDictionary[tuple[Any, ...], Folder] = weakref.WeakValueDictionary()
_all: weakref.WeakSet[Place] = weakref.WeakSet()


class Begun:
    """
    A computation that runs.

    Attributes
    ----------
    call : bytes
        What is computed.
    function : str
        The name of the function.
    about : bytes
        What is told of it.
    removals : int or None
        The store's count of removals when it began.
    is_dropped : bool
        Whether its result was removed before it came to one: whoever did knows that it is stale.
    """

    __slots__ = ("about", "call", "function", "is_dropped", "removals")

    def __init__(self, call: bytes, function: str, about: bytes, removals: int | None) -> None:
        self.call = call
        self.function = function
        self.about = about
        self.removals = removals
        self.is_dropped = False


class Place:
    """
    A store, what is held of it in memory, and what is being computed for it.

    Attributes
    ----------
    location : str
        The folder, or what a registered backend calls its location.
    leading : set of bytes
        The calls that this process computes for the store.
    running : set of Begun
        The computations that run, whose results are to be kept.
    told : set of str
        What was told to be wrong with the store as such.
    tier : Tier
        What is held in memory.
    removals : callable
        Gives the store's count of removals; None where there is no store, or its folder is gone.
    """

    takes_values = False
    """Whether the store pickles by itself."""

    def __init__(self, location: str, ram_bytes: int, store: Any = None) -> None:
        self.location = location
        self.leading: set[bytes] = set()
        self.told: set[str] = set()
        self.running: set[Begun] = set()
        self.max_age: float | None = None
        self.removals: Callable[[], int | None] = _unknown
        self.tier = Tier(ram_bytes)
        self._lock = threading.Lock()
        self._flights: dict[bool, Any] = {}
        self._store = store
        self.functions: weakref.WeakSet[Any] = weakref.WeakSet()
        if store is not None:
            self.removals = store.removals
        _all.add(self)

    @property
    def store(self) -> Any:
        """The store; an OSError where there is none."""
        return self._store

    @property
    def stays(self) -> bool:
        """Whether files that are open stay readable: those of other machines may not."""
        return self._store is not None and self._store.layout == "indexed"

    def store_of(self, function: str) -> Any:
        """Return the store, as a function asks it."""
        del function
        return self.store

    def leads(self, call: bytes) -> bool:
        """Tell whether a call is computed here already: to wait for it could be to wait for oneself."""
        if call in self.leading:
            return True
        outer = computing.get()
        while outer is not None:
            if outer[1] == call and outer[0] == self.location:
                return True
            outer = outer[2]
        return False

    @property
    def keeps_secrets(self) -> bool:
        """Whether entries are authenticated, and read into memory for that."""
        return False

    def name_of(self, call: bytes) -> str:
        """Return the name of a call, as results are referred to."""
        return call.hex()

    def flights(self, compute: Callable[..., Any], *, asynchronous: bool) -> Any:
        """Return what is being computed, of functions of a kind."""
        with self._lock:
            found = self._flights.get(asynchronous)
            if found is None:
                found = self._flights[asynchronous] = flights(compute, asynchronous=asynchronous)
            return found

    def forget(self) -> None:
        """Hold nothing in memory."""
        self.tier.clear()
        for found in list(self._flights.values()):
            found.cache_clear()

    def drop(self, *, call: bytes | None = None, function: str | None = None) -> None:
        """Do not keep what a call, the calls of a function, or all that are running come to."""
        for begun in list(self.running):
            if call in (None, begun.call) and function in (None, begun.function):
                begun.is_dropped = True

    def flush(self) -> None:
        """Write down what was counted."""
        for function in list(self.functions):
            function._tell_counts()
        if self._store is not None:
            self._store.flush()


class Folder(Place):
    """A folder with a store of retain's own."""

    def __init__(self, location: str, options: tuple[Any, ...]) -> None:
        layout, key, max_bytes, max_items, max_age, ram_bytes = options
        super().__init__(location, ram_bytes)
        self.max_age = max_age
        self.options = options
        self._options: dict[str, Any] = {
            "layout": layout,
            "key": key,
            "max_bytes": max_bytes,
            "max_items": max_items,
            "max_age": max_age,
        }

    @staticmethod
    def of(location: str, *options: Any) -> Folder:
        """Return the folder, the same for all who open it in the same way."""
        name = (location, *options)
        found = _folders.get(name)
        return _folders.setdefault(name, Folder(location, options)) if found is None else found

    @property
    def store(self) -> Any:
        """The store, which is opened if it is not; an OSError where that fails."""
        if self._store is None:
            with self._lock:
                if self._store is None:
                    store = Store.open(self.location, **self._options)
                    self.removals = store.removals
                    self._store = store
        return self._store

    @property
    def keeps_secrets(self) -> bool:
        """Whether entries are authenticated, and read into memory for that."""
        return self._options["key"] is not None


class LocalStoreBackend:
    """
    The results in a folder, with the methods of joblib's backends that programs call.

    Attributes
    ----------
    location : str
        The folder.
    """

    def __init__(self, folder: Folder, compress: Any, mmap_mode: str | None, verbose: int) -> None:
        self._folder = folder
        self.location = folder.location
        self.compress = compress
        self.mmap_mode = mmap_mode
        self.verbose = verbose

    def mapping(self, mmap_mode: str | None) -> LocalStoreBackend:
        """Return one that maps arrays in such a way."""
        if mmap_mode == self.mmap_mode:
            return self
        return LocalStoreBackend(self._folder, self.compress, mmap_mode, self.verbose)

    def contains_item(self, call_id: Any) -> bool:
        """Tell whether there is a result."""
        return self._folder.store.contains(bytes.fromhex(call_id[-1])) is not None

    def load_item(
        self, call_id: Any, verbose: int = 1, timestamp: float | None = None, metadata: dict[str, Any] | None = None
    ) -> Any:
        """Return a result; KeyError if there is none."""
        del verbose, timestamp, metadata
        call = bytes.fromhex(call_id[-1])
        store = self._folder.store
        found = store.get(call)
        if found is None:
            raise KeyError(f"there is no result {call_id[-1]} of {call_id[0]} in {self.location}")
        if self.mmap_mode is None:
            return decode(found[0], None, stays=self._folder.stays)
        mode = MAPPED[self.mmap_mode]
        value = decode(found[0], mode)
        return mapped(store, call, call_id[0], value, mode) if could_be_mapped(found[0]) else value

    def get_metadata(self, call_id: Any) -> dict[str, Any]:
        """Return what is known of a result."""
        call = bytes.fromhex(call_id[-1])
        found = self._folder.store.contains(call)
        if found is None:
            return {}
        return {"duration": found[1], "input_args": input_args(self._folder.store.about(call)), "time": found[0]}

    def clear_item(self, call_id: Any) -> None:
        """Remove a result."""
        call = bytes.fromhex(call_id[-1])
        self._folder.drop(call=call)
        self._folder.store.remove(call)

    def clear_path(self, call_id: Any) -> None:
        """Remove all results of a function."""
        self._folder.drop(function=call_id[0])
        self._folder.store.clear(call_id[0])

    def clear(self) -> None:
        """Remove all results."""
        self._folder.drop()
        self._folder.store.clear()
        self._folder.forget()

    def get_items(self) -> list[CacheItemInfo]:
        """Return all results."""
        found = self._folder.store.entries()
        return [
            CacheItemInfo(os.path.join(self.location, entry[1], entry[0].hex()), entry[6], _moment(entry[3]))
            for entry in found
        ]

    def enforce_store_limits(self, bytes_limit: Any, items_limit: int | None = None, age_limit: Any = None) -> None:
        """Remove the results that were not used for the longest, until the rest is within the limits."""
        most_bytes = None if bytes_limit is None else parse_size("bytes_limit", bytes_limit)
        if age_limit is not None and age_limit.total_seconds() < 0:
            raise ValueError("age_limit has to be a positive timedelta")
        age = None if age_limit is None else age_limit.total_seconds()
        self._folder.store.reduce(most_bytes, items_limit, age)
        self._folder.forget()

    def __repr__(self) -> str:
        return f'{type(self).__name__}(location="{self.location}")'


def _moment(seconds: float) -> datetime:
    # As joblib tells it: the local time, without a zone.
    return datetime.fromtimestamp(seconds)  # noqa: DTZ006


def _unknown() -> None:
    return None


def _flush_all() -> None:
    for place in list(_all):
        try:
            place.flush()
        except Exception:  # noqa: BLE001, S110 - what was counted is lost, at the end of the program
            pass


def _after_fork_in_child() -> None:
    for place in list(_all):
        place.leading.clear()
        for function in list(place.functions):
            function._recall.after_fork_in_child()
        place.running.clear()
        place._lock = threading.Lock()


atexit.register(_flush_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
