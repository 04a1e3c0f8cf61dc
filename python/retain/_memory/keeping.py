"""What becomes of a result once it is computed: where it is kept, and what is held of it in memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from retain._memory.encoding import TooLarge, could_be_mapped, put_file, small_pickle
from retain._memory.telling import Telling
from retain._memory.tier import IN_MEMORY, IN_STORE, NOWHERE
from retain._retain import Held, is_immutable

if TYPE_CHECKING:
    from retain._memory.memorized import MemorizedFunc, Settings
    from retain._memory.place import Begun
    from retain._retain import Recall


class Keeping(Telling):
    """The part of a memorized function that keeps its results."""

    compress: Any
    _settings: Settings
    _recall: Recall
    _mode: str | None
    _life: float | None
    _lives_alike: bool
    # The version of whose results the next one is, and that is described.
    _described: bytes | None

    def _store(self) -> Any:
        """Return the store; an OSError where there is none."""
        raise NotImplementedError

    def _keep_small(self, begun: Begun, value: Any, cost: float) -> Held | None:
        """Keep a result in one step, if it is as most are."""
        if begun.is_dropped or begun.call[:32] != self._described or not self._lives_alike:
            return None
        try:
            return self._recall.keep(begun.call, value, cost, self._life, begun.about, begun.removals)
        except Exception as error:  # noqa: BLE001 - the value is returned, whatever it cannot be kept for
            self._complain("keep a result", error)
            created = time.time()
            ends = None if self._life is None else created + self._life
            return self._held(value, None, (created, cost, ends), begun.removals)

    def _keep(self, begun: Begun, value: Any, cost: float) -> Held:
        """Keep a result."""
        held = self._kept(begun, value, cost)
        self._tell_counts()
        return held

    def _kept(self, begun: Begun, value: Any, cost: float) -> Held:
        call, told, removals = begun.call, begun.about, begun.removals
        created = time.time()
        ttl = self._settings.ttl
        lives = ttl(value) if callable(ttl) else self._life
        ends = None if lives is None else created + lives
        nowhere = Held(NOWHERE, None, None, created, cost, ends, removals)
        if begun.is_dropped:
            return Held(IN_STORE, None, None, created, cost, ends, removals)
        try:
            store = self._store()
        except Exception as error:  # noqa: BLE001 - as above
            self._complain("keep a result", error)
            return nowhere
        payload: bytes | None = None
        pickled = False
        try:
            if self._place.takes_values:
                store.put_value(call, self.func_id, value, cost, lives, told)
            else:
                try:
                    payload = self._small(value)
                    pickled = True
                    store.put(call, self.func_id, payload, cost, lives, told)
                except TooLarge:
                    put_file(store, call, self.func_id, value, self.compress, cost, lives, told)
            self._describe(call)
        except Exception as error:  # noqa: BLE001 - the value is returned, whatever it cannot be kept for
            self._complain_of(value, error, was_pickled=pickled)
            if not pickled:
                return nowhere
        return self._held(value, payload, (created, cost, ends), removals)

    def _small(self, value: Any) -> bytes:
        payload = small_pickle(value, self.compress)
        if self._mode is not None and could_be_mapped(payload):
            raise TooLarge  # only a file can be mapped
        return payload

    def _held(self, value: Any, payload: Any, moments: tuple[float, float, float | None], removals: int | None) -> Held:
        """Return what is held of a value."""
        created, cost, ends = moments
        if self._place.max_age is not None:
            ends = min(created + self._place.max_age, float("inf") if ends is None else ends)
        if is_immutable(value):
            return Held(IN_MEMORY, value, None, created, cost, ends, removals)
        if type(payload) is bytes and payload[:1] == b"\x80" and self._mode is None:
            return Held(IN_MEMORY, None, payload, created, cost, ends, removals)
        return Held(IN_STORE, None, None, created, cost, ends, removals)

    def _describe(self, call: bytes) -> None:
        version = call[:32]
        self._described = version
        if version in self._told:
            return
        self._told.add(version)
        from retain._memory.explain import description

        self._store().describe(self.func_id, version, description(cast("MemorizedFunc", self)))

    def _tell_counts(self) -> None:
        new = self._recall.tell()
        if new is None:
            return
        try:
            self._store().count(self.func_id, *new)
        except Exception:  # noqa: BLE001, S110 - counts are not worth a failure
            pass
