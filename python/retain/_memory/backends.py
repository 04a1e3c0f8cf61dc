"""Stores of other kinds: the classes that joblib's backends are made of, and their names."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import uuid
from abc import ABC, abstractmethod
from collections import namedtuple
from datetime import datetime
from operator import attrgetter
from pickle import PicklingError
from typing import TYPE_CHECKING, Any

from retain._files.dump import dump
from retain._files.load import load
from retain._memory.complaints import CacheWarning, warn
from retain._memory.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CacheItemInfo = namedtuple("CacheItemInfo", ["path", "size", "last_access"])  # noqa: PYI024 - joblib's name and fields

_RESULT, _METADATA, _CODE = "output.pkl", "metadata.json", "func_code.py"


class StoreBackendBase(ABC):
    """
    What a store of another kind is made of: give these methods, and `register_store_backend` it.

    With `StoreBackendMixin` beside it, nothing else is needed.

    Attributes
    ----------
    location : str
        Where the results are.
    """

    location: Any = None

    @abstractmethod
    def _open_item(self, f: Any, mode: str) -> Any:
        """Open the item called `f` in a mode, ``"rb"`` or ``"wb"``, as `open` does."""

    @abstractmethod
    def _item_exists(self, location: Any) -> bool:
        """Tell whether there is an item or a folder of that name."""

    @abstractmethod
    def _move_item(self, src: Any, dst: Any) -> Any:
        """Give an item another name, in place of what has it."""

    @abstractmethod
    def create_location(self, location: Any) -> Any:
        """Make a folder, if there is none."""

    @abstractmethod
    def clear_location(self, location: Any) -> Any:
        """Remove a folder and all that is in it."""

    @abstractmethod
    def get_items(self) -> list[CacheItemInfo]:
        """Return what is known of each result: its folder, its bytes, and when it was last used, as a datetime."""

    @abstractmethod
    def configure(self, location: Any, verbose: int = 0, backend_options: Any = None) -> Any:
        """Begin to use a location."""


class StoreBackendMixin:
    """All that `Memory` asks of a store, by the methods of `StoreBackendBase`."""

    location: Any
    compress: Any
    verbose: int
    mmap_mode: str | None
    _open_item: Callable[..., Any]
    _item_exists: Callable[..., Any]
    _move_item: Callable[..., Any]
    create_location: Callable[..., Any]
    clear_location: Callable[..., Any]
    get_items: Callable[[], list[CacheItemInfo]]

    def _path(self, call_id: Sequence[str] | str, *further: str) -> str:
        parts = [call_id] if isinstance(call_id, str) else call_id
        return os.path.join(self.location, *parts, *further)

    def load_item(
        self,
        call_id: Sequence[str],
        verbose: int = 1,
        timestamp: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Any:
        """Return a result; KeyError if there is none."""
        del verbose, timestamp, metadata  # what is loaded is told by who asks for it
        filename = self._path(call_id, _RESULT)
        if not self._item_exists(filename):
            raise KeyError(f"there is no result {filename}: it may have been cleared")
        mode: Any = getattr(self, "mmap_mode", None)
        if mode is not None:
            return load(filename, mmap_mode=mode)
        with self._open_item(filename, "rb") as file:
            return load(file)

    def dump_item(self, call_id: Sequence[str], item: Any, verbose: int = 1) -> None:
        """Keep a result; warn if that fails."""
        del verbose
        try:
            self._dump(call_id, item)
        except PicklingError as error:
            warn(f"Unable to cache to disk: failed to pickle output. Exception: {error}.", FutureWarning)
        except Exception as error:  # noqa: BLE001 - a result that cannot be kept is returned all the same
            warn(f"Unable to cache to disk. Exception: {error}.", CacheWarning)

    def _dump(self, call_id: Sequence[str], item: Any) -> None:
        folder = self._path(call_id)
        if not self._item_exists(folder):
            self.create_location(folder)

        def write(value: Any, filename: str) -> None:
            with self._open_item(filename, "wb") as file:
                dump(value, file, compress=getattr(self, "compress", False) or 0)

        self._concurrency_safe_write(item, os.path.join(folder, _RESULT), write)

    def clear_item(self, call_id: Sequence[str]) -> None:
        """Remove a result, if there is one."""
        folder = self._path(call_id)
        if self._item_exists(folder):
            self.clear_location(folder)

    def contains_item(self, call_id: Sequence[str]) -> bool:
        """Tell whether there is a result."""
        return bool(self._item_exists(self._path(call_id, _RESULT)))

    def get_item_info(self, call_id: Sequence[str]) -> dict[str, Any]:
        """Return where a result is."""
        return {"location": self._path(call_id)}

    def get_metadata(self, call_id: Sequence[str]) -> dict[str, Any]:
        """Return what is known of a result; an empty dict if that cannot be read."""
        try:
            with self._open_item(self._path(call_id, _METADATA), "rb") as file:
                found: dict[str, Any] = json.loads(file.read().decode("utf-8"))
        except Exception:  # noqa: BLE001 - whatever a backend raises for what is not there
            return {}
        return found

    def store_metadata(self, call_id: Sequence[str], metadata: dict[str, Any]) -> None:
        """Keep what is known of a result."""
        folder = self._path(call_id)
        self.create_location(folder)
        text = json.dumps(metadata).encode("utf-8")
        self._concurrency_safe_write(text, os.path.join(folder, _METADATA), self._write)

    def contains_path(self, call_id: Sequence[str]) -> bool:
        """Tell whether there is anything of a function."""
        return bool(self._item_exists(self._path(call_id)))

    def clear_path(self, call_id: Sequence[str]) -> None:
        """Remove all results of a function."""
        self.clear_item(call_id)

    def store_cached_func_code(self, call_id: Sequence[str], func_code: str | None = None) -> None:
        """Keep the text of a function."""
        folder = self._path(call_id)
        if not self._item_exists(folder):
            self.create_location(folder)
        if func_code is not None:
            self._concurrency_safe_write(func_code.encode("utf-8"), os.path.join(folder, _CODE), self._write)

    def get_cached_func_code(self, call_id: Sequence[str]) -> str:
        """Return the text of a function."""
        with self._open_item(self._path(call_id, _CODE), "rb") as file:
            text: str = file.read().decode("utf-8")
        return text

    def get_cached_func_info(self, call_id: Sequence[str]) -> dict[str, Any]:
        """Return where a function's results are."""
        return {"location": self._path(call_id)}

    def clear(self) -> None:
        """Remove all results."""
        self.clear_location(self.location)

    def enforce_store_limits(self, bytes_limit: Any, items_limit: int | None = None, age_limit: Any = None) -> None:
        """Remove the results that were not used for the longest, until the rest is within the limits."""
        for item in self._get_items_to_delete(bytes_limit, items_limit, age_limit):
            if getattr(self, "verbose", 0) > 10:
                print(f"Deleting item {item}")  # noqa: T201
            try:
                self.clear_location(item.path)
            except OSError:
                pass  # another process was first

    def _get_items_to_delete(
        self, bytes_limit: Any, items_limit: int | None = None, age_limit: Any = None
    ) -> list[CacheItemInfo]:
        if age_limit is not None and age_limit.total_seconds() < 0:
            raise ValueError("age_limit has to be a positive timedelta")
        items = sorted(self.get_items(), key=attrgetter("last_access"))
        size, number = sum(item.size for item in items), len(items)
        most = None if bytes_limit is None else parse_size("bytes_limit", bytes_limit)
        oldest = None if age_limit is None else _now() - age_limit
        chosen = []
        for item in items:
            if not (
                (most is not None and size > most)
                or (items_limit is not None and number > items_limit)
                or (oldest is not None and item.last_access <= oldest)
            ):
                break
            chosen.append(item)
            size, number = size - item.size, number - 1
        return chosen

    def _write(self, data: bytes, filename: str) -> None:
        with self._open_item(filename, "wb") as file:
            file.write(data)

    def _concurrency_safe_write(self, to_write: Any, filename: str, write_func: Callable[[Any, str], Any]) -> None:
        self._move_item(concurrency_safe_write(to_write, filename, write_func), filename)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(location="{self.location}")'


def concurrency_safe_write(object_to_write: Any, filename: str, write_func: Callable[[Any, str], Any]) -> str:
    """Write to a name beside `filename` that nobody else uses, and return it."""
    beside = f"{filename}.{uuid.uuid4().hex}-{os.getpid()}-{threading.get_ident()}"
    write_func(object_to_write, beside)
    return beside


class FileSystemStoreBackend(StoreBackendBase, StoreBackendMixin):
    """A store in files, as joblib's: to be subclassed. `Memory` itself keeps results in another way."""

    _open_item = staticmethod(open)  # type: ignore[assignment]
    _item_exists = staticmethod(os.path.exists)  # type: ignore[assignment]
    _move_item = staticmethod(os.replace)

    def create_location(self, location: Any) -> None:
        """Make a folder, if there is none."""
        os.makedirs(location, exist_ok=True)

    def clear_location(self, location: Any) -> None:
        """Remove a folder and all that is in it; of the store's own, only what is in it."""
        if location != self.location:
            shutil.rmtree(location, ignore_errors=True)
            return
        for name in os.listdir(location):
            path = os.path.join(location, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)

    def get_items(self) -> list[CacheItemInfo]:
        """Return what is known of each result."""
        items = []
        for folder, _, names in os.walk(self.location):
            if _RESULT not in names:
                continue
            try:
                used = os.path.getatime(os.path.join(folder, _RESULT))
                size = sum(os.path.getsize(os.path.join(folder, name)) for name in names)
            except OSError:
                continue  # it is being removed
            items.append(CacheItemInfo(folder, size, datetime.fromtimestamp(used)))  # noqa: DTZ006 - as joblib's
        return items

    def configure(self, location: Any, verbose: int = 1, backend_options: Any = None) -> None:
        """Begin to use a folder, which is made if there is none."""
        options = backend_options or {}
        self.location = location
        self.compress = options.get("compress", False)
        self.mmap_mode = options.get("mmap_mode")
        self.verbose = verbose
        os.makedirs(location, exist_ok=True)
        if self.compress and self.mmap_mode is not None:
            warn("Compressed items cannot be memmapped in a filesystem store. Option will be ignored.", UserWarning)
            self.mmap_mode = None
        ignored = os.path.join(location, ".gitignore")
        if not os.path.exists(ignored):
            try:
                with open(ignored, "w", encoding="utf-8") as file:
                    file.write("*\n")
            except OSError as error:
                warn(f"Unable to write {ignored}. Exception: {error}.", UserWarning)


def _now() -> datetime:
    return datetime.now()  # noqa: DTZ005 - as joblib's backends tell it


registered: dict[str, type] = {"local": FileSystemStoreBackend}


def register_store_backend(backend_name: str, backend: Any) -> None:
    """
    Let `Memory` keep results in a store of another kind.

    Parameters
    ----------
    backend_name : str
        The name to ask for it by: ``Memory(location, backend=backend_name)``.
    backend : type
        A subclass of `StoreBackendBase`; those of joblib will do.

    Raises
    ------
    ValueError
        If one of them is not.
    """
    if not isinstance(backend_name, str):
        raise ValueError(  # noqa: TRY004 - joblib's type
            f"Store backend name should be a string, {backend_name!r} given."
        )
    if not (isinstance(backend, type) and issubclass(backend, _bases())):
        raise ValueError(  # noqa: TRY004 - joblib's type
            f"Store backend should inherit StoreBackendBase, {backend!r} given."
        )
    registered[backend_name] = backend


def _bases() -> tuple[type, ...]:
    joblib = sys.modules.get("joblib._store_backends")
    return (StoreBackendBase,) if joblib is None else (StoreBackendBase, joblib.StoreBackendBase)


def is_backend(value: object) -> bool:
    """Tell whether a value is a store backend."""
    return isinstance(value, _bases())


def local_is_ours() -> bool:
    """Tell whether ``"local"`` still means retain's own store."""
    return registered["local"] is FileSystemStoreBackend


def made(name: str, location: Any, verbose: int, options: dict[str, Any]) -> Any:
    """Return the backend of a registered name; None, with a warning, where the location is none."""
    if isinstance(location, os.PathLike):
        location = os.fspath(location)
    if not isinstance(location, str):
        warn(
            f"Instantiating a backend using a {type(location).__name__} as a location is not supported by retain. "
            "Returning None instead.",
            UserWarning,
        )
        return None
    kind = registered.get(name)
    if kind is None:
        raise TypeError(f"Unknown location {location} or backend {name}")
    found: Any = kind()
    found.configure(os.path.expanduser(location), verbose=verbose, backend_options=options)
    return found
