"""A registered backend, asked as the store of retain's own is."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from retain._memory.place import Place
from retain._memory.reprs import input_args


class Stored:
    """A result that a backend loads itself."""

    def __init__(self, backend: Any, call_id: list[str]) -> None:
        self._backend = backend
        self._call_id = call_id

    def value(self) -> Any:
        """Return the result; FileNotFoundError if it is gone by now."""
        try:
            return self._backend.load_item(self._call_id, verbose=0)
        except KeyError as error:
            raise FileNotFoundError(str(error)) from error


class _Lead:
    """Nobody is waited for: joblib's protocol has no word for it."""

    waited = False

    def release(self) -> None:
        """Do nothing."""


class BackendStore:
    """
    The interface of `retain._retain.Store` over joblib's protocol.

    A result lies at ``function/call``, where `call` is a digest of the function's version and of the arguments: so
    versions stand side by side here too.
    """

    layout = "backend"

    def __init__(self, backend: Any, function: str, removals: list[int]) -> None:
        self._backend = backend
        self._function = function
        self._removals = removals

    @property
    def path(self) -> str:
        """What the backend calls its location."""
        return str(self._backend.location)

    def _id(self, call: bytes) -> list[str]:
        return [self._function, name_of(call)]

    def get(self, call: bytes) -> tuple[Any, float, float, float | None] | None:
        """Return a result, when and in how many seconds it was computed, and when it ends."""
        found = self._metadata(call)
        if found is None:
            return None
        created, cost, expires, _ = found
        return Stored(self._backend, self._id(call)), created, cost, expires

    def _metadata(self, call: bytes) -> tuple[float, float, float | None, dict[str, Any]] | None:
        name = self._id(call)
        if not self._backend.contains_item(name):
            return None
        found = self._backend.get_metadata(name) or {}
        expires = found.get("expires")
        if expires is not None and expires <= time.time():
            return None
        return float(found.get("time", 0.0)), float(found.get("duration", 0.0)), expires, found

    def contains(self, call: bytes) -> tuple[float, float, float | None] | None:
        """Return what is known of a result; None if there is none."""
        found = self._metadata(call)
        return None if found is None else found[:3]

    def about(self, call: bytes) -> bytes | None:
        """Return what is told of a result."""
        found = self._metadata(call)
        return None if found is None else json.dumps({"input_args": found[3].get("input_args", {})}).encode()

    def put_value(  # noqa: PLR0917 - as a store is asked
        self, call: bytes, function: str, value: Any, cost: float, lives: float | None, about: bytes
    ) -> None:
        """Keep a result."""
        del function
        name, now = self._id(call), time.time()
        dump = getattr(self._backend, "_dump", None)
        if dump is None:
            self._backend.dump_item(name, value, verbose=0)
        else:
            dump(name, value)  # which raises, where `dump_item` warns
        metadata = {"duration": cost, "input_args": input_args(about), "time": now}
        if lives is not None:
            metadata["expires"] = now + lives
        self._backend.store_metadata(name, metadata)

    def remove(self, call: bytes) -> bool:
        """Remove a result; whether there was one."""
        self._removed()
        name = self._id(call)
        if not self._backend.contains_item(name):
            return False
        self._backend.clear_item(name)
        return True

    def clear(self, function: str | None = None) -> int:
        """Remove all results, or those of a function."""
        self._removed()
        if function is None:
            self._backend.clear()
        else:
            self._backend.clear_path([function])
        return 0

    def reduce(
        self, max_bytes: int | None = None, max_items: int | None = None, max_age: Any = None
    ) -> tuple[int, int]:
        """Remove results until the rest is within the limits."""
        self._removed()
        self._backend.enforce_store_limits(max_bytes, max_items, max_age)
        return 0, 0

    def _removed(self) -> None:
        self._removals.append(0)

    def removals(self) -> int:
        """Return how often this process removed something; of others, a backend does not tell."""
        return len(self._removals)

    def lead(self, call: bytes, owner: object = None) -> _Lead:
        """Return at once."""
        del call, owner
        return _Lead()

    try_lead = lead

    def entries(self, function: str | None = None) -> list[tuple[Any, ...]]:
        """Return nothing: a backend tells its items, and not what they are."""
        del function
        return []

    def functions(self) -> list[tuple[Any, ...]]:
        """Return nothing, as `entries`."""
        return []

    def versions(self, function: str) -> list[tuple[bytes, str, float]]:
        """Return nothing: they are not kept."""
        del function
        return []

    def describe(self, function: str, version: bytes, text: str) -> None:
        """Do nothing."""

    def count(self, function: str, hits: int, misses: int, saved: float, spent: float) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""


class BackendPlace(Place):
    """A place whose store is a registered backend."""

    takes_values = True

    def __init__(self, backend: Any, ram_bytes: int) -> None:
        self._backend = backend
        self._removals: list[int] = []
        super().__init__(str(backend.location), ram_bytes, BackendStore(backend, "", self._removals))

    def store_of(self, function: str) -> BackendStore:
        """Return the store, as a function asks it."""
        return BackendStore(self._backend, function, self._removals)

    def name_of(self, call: bytes) -> str:
        """Return the name of a call, as the backend knows it."""
        return name_of(call)


def name_of(call: bytes) -> str:
    """Return the name of a call."""
    return hashlib.blake2b(call, digest_size=16).hexdigest()
