"""Functions whose results are kept in a store."""

from __future__ import annotations

import inspect
import time
import traceback
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from retain._memory import verbose as lines
from retain._memory.checks import checked_callback, names_of, parameters_of, refuse_generators
from retain._memory.encoding import could_be_mapped, decode, loads, mapped
from retain._memory.keeping import Keeping
from retain._memory.naming import function_name
from retain._memory.place import MAPPED, Begun, computing
from retain._memory.reprs import about, input_args
from retain._memory.results import CacheInfo, MemorizedResult, NotMemorizedResult
from retain._memory.tier import FOUND_NOTHING, IN_STORE, NOT_LOOKED, NOTHING, NOWHERE, UNREADABLE
from retain._retain import Address, Held, Recall, Recalling, Store
from retain._rules import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from retain._memory.entries import Entry
    from retain._memory.explain import Explanation
    from retain._memory.place import Place
    from retain._retain import Missed

_SKEW = 60.0


class Settings(NamedTuple):
    """How a function is memorized; what `Memory.cache` was told."""

    ignore: tuple[str, ...] = ()
    mmap_mode: str | None = None
    compress: Any = False
    verbose: int = 1
    callback: Callable[[dict[str, Any]], Any] | None = None
    depends: tuple[Any, ...] = ()
    version: str | None = None
    track: Literal["deep", "own", "version"] = "deep"
    ttl: Any = None


class MemorizedFunc(Recalling, Keeping):
    """
    A function whose results are kept in a store: what `Memory.cache` returns.

    It is called as the function is. A method decorated in a class is one still.

    Parameters
    ----------
    func : callable
        The function.
    location : str, os.PathLike or store backend
        Where the results are: a `Memory`'s `store_backend`, or its `location`.
    backend, ignore, mmap_mode, compress, verbose, cache_validation_callback
        As for `Memory` and `Memory.cache`.
    timestamp : float, optional
        From when on the verbose lines count time.

    Attributes
    ----------
    func : callable
        The function itself.
    func_id : str
        The name that its results are kept under.
    ignore : list of str
        The parameters that do not count.
    """

    func: Any
    timestamp: float | None
    store_backend: Any

    def __init__(  # noqa: PLR0917 - joblib's signature
        self,
        func: Any,
        location: Any,
        backend: str = "local",
        ignore: Iterable[str] | None = None,
        mmap_mode: str | None = None,
        compress: Any = False,
        verbose: int = 1,
        timestamp: float | None = None,
        cache_validation_callback: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        from retain._memory.memory import Memory

        memory = Memory._at(location, backend, mmap_mode, compress, verbose)
        place = memory._place
        if place is None:
            raise ValueError(f"location is {location!r}, but a memorized function keeps its results somewhere")
        settings = Settings(names_of(ignore), mmap_mode, compress, verbose, checked_callback(cache_validation_callback))
        self._set_up(func, place, memory.store_backend, settings, time.time() if timestamp is None else timestamp)

    @classmethod
    def _make(cls, func: Any, place: Place, backend: Any, settings: Settings, timestamp: float | None) -> MemorizedFunc:
        made = cls.__new__(cls)
        made._set_up(func, place, backend, settings, timestamp)
        return made

    def _set_up(self, func: Any, place: Place, backend: Any, settings: Settings, timestamp: float | None) -> None:
        refuse_generators(func)
        self.func = func
        self.store_backend = backend
        self.timestamp = timestamp
        self.ignore = list(settings.ignore)
        self.mmap_mode = settings.mmap_mode
        self.compress = settings.compress
        self.cache_validation_callback = settings.callback
        self._verbose = settings.verbose
        self._settings = settings
        self._depends = settings.depends
        self._version = settings.version
        self._place = place
        self._mode = None if settings.mmap_mode is None or place.keeps_secrets else MAPPED[settings.mmap_mode]
        self.func_id = function_name(func)
        self._address = Address(
            func, parameters_of(func, settings.ignore), track=settings.track, depends=settings.depends,
            version=settings.version,
        )  # fmt: skip
        self._tier = place.tier
        self._flight = self._flights_of(place)
        self._life = None if settings.ttl is None or callable(settings.ttl) else seconds("ttl", settings.ttl)
        lives = min((life for life in (self._life, place.max_age) if life is not None), default=None)
        self._recall = Recall(self._address, place.tier, self.func_id, self._mode is not None, lives)
        # The way of most calls; it leads nowhere where more is to be asked or said about a result.
        self._recall_by(self._recall)
        self._recalls: bool | None = None if settings.callback is None and settings.verbose <= 1 else False
        self._opened: Store | None = None
        if place._store is not None:
            self._recall_from(place._store)
        # Whether a result that is held may be returned as it is.
        self._is_plain = settings.callback is None and settings.verbose <= 1 and self._life is None
        self._told: set[Any] = set()
        # The version of whose results the next one is, and that is described.
        self._described: bytes | None = None
        self._lives_alike = not callable(settings.ttl)
        self._update_wrapper(func)
        place.functions.add(self)

    def _update_wrapper(self, func: Any) -> None:
        try:
            update_wrapper(self, func)
        except Exception:  # noqa: BLE001, S110 - some callables give no attributes
            pass

    def _flights_of(self, place: Place) -> Any:
        return place.flights(_compute, asynchronous=False)

    # --- calls ---

    def _answer(self, missed: Missed, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of a call that was not at hand."""
        call = missed.call
        # Whoever computes puts the value there, and the time of a result that was found invalid.
        turn = [args, kwargs, NOTHING, 0.0, FOUND_NOTHING if missed.looked else NOT_LOOKED]
        if missed.found is not None and self._use(call, turn, missed.found, None) is not None:
            return turn[2]
        key = call if self._mode is None else call + b"m"
        held = self._tier.get(key)
        if held is None:
            held = self._flight(key, self, turn)
            if turn[2] is not NOTHING:
                return turn[2]
        return self._again(call, turn, held)

    def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """
        Compute anew, and keep the result.

        Returns
        -------
        result : object
        metadata : dict
            The ``duration``, the ``time`` and the ``input_args`` of the call.
        """
        call = self._address(*args, **kwargs)
        turn = [args, kwargs, NOTHING, 0.0, NOT_LOOKED]
        self._run(call, turn)
        self._forget(call)
        return turn[2], self._metadata(call) or {}

    def call_and_shelve(self, /, *args: Any, **kwargs: Any) -> Any:
        """
        Return a reference to the function's result, which is computed if it is not kept.

        Returns
        -------
        MemorizedResult
            Small, and can be pickled: ``get()`` gives the result. A `NotMemorizedResult` that holds it, if it could
            not be kept.
        """
        call = self._address(*args, **kwargs)
        if self._is_kept(call):
            self._recall.hit(0.0)
            return self._result(call)
        value = self(*args, **kwargs)
        return self._result(call) if self._is_kept(call, validate=False) else NotMemorizedResult(value)

    def check_call_in_cache(self, /, *args: Any, **kwargs: Any) -> bool:
        """Tell whether a call would be answered from the store; nothing is computed."""
        return self._is_kept(self._address(*args, **kwargs))

    # --- what is kept ---

    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool:
        """Remove the result of one call; whether there was one."""
        call = self._address(*args, **kwargs)
        self._place.drop(call=call)
        removed = bool(self._store().remove(call))
        self._forget(call)
        return removed

    def clear(self, warn: bool = True) -> None:
        """Remove all results of the function, of all its versions."""
        if warn and self._verbose > 0:
            self.warn(f"Clearing function cache identified by {self.func_id}")
        self._place.drop(function=self.func_id)
        self._store().clear(self.func_id)
        self._place.forget()

    def entries(self) -> list[Entry]:
        """Return what is kept of the function, the last used first."""
        from retain._memory.entries import entries

        return entries(self)

    def explain(self, /, *args: Any, **kwargs: Any) -> Explanation:
        """Tell whether a call would be answered from the store, and if not, why."""
        from retain._memory.explain import explain

        return explain(self, args, kwargs)

    def cache_info(self) -> CacheInfo:
        """Return what it was good for."""
        kept = next((row for row in self._store().functions() if row[0] == self.func_id), None)
        entries, size = (0, 0) if kept is None else kept[1:3]
        hits, misses, saved, _ = self._recall.counts()
        return CacheInfo(hits, misses, saved, entries, size)

    @property
    def func_code_info(self) -> tuple[str, str | None, int]:
        """The function's source, its file, and the line it begins in."""
        inner = inspect.unwrap(self.func)
        try:
            source, line = inspect.getsourcelines(inner)
            return "".join(source), inspect.getsourcefile(inner), line
        except (OSError, TypeError):
            return repr(self.func), None, -1

    # --- the way of a call ---

    def _store(self) -> Any:
        """Return the store; an OSError where there is none."""
        if self._opened is not None:
            return self._opened
        store = self._place.store_of(self.func_id)
        if type(store) is Store:
            self._opened = store
        if self._recalls is None:
            self._recall_from(store)
        return store

    def _recall_from(self, store: Any) -> None:
        if self._recalls is None:
            self._recalls = type(store) is Store
            if self._recalls:
                self._recall.open(store)

    def _again(self, call: bytes, turn: list[Any], held: Held) -> Any:
        """Return a result that is held, if it may be; otherwise find or compute another."""
        key = call if self._mode is None else call + b"m"
        while True:
            if held.where == NOWHERE:
                return self.func(*turn[0], **turn[1])
            if held.where == IN_STORE:
                found = self._find(call, turn)
                if found is not None:
                    return turn[2]
            elif self._may_serve(call, held, turn):
                self._recall.hit(held.cost)
                return held.value if held.payload is None else loads(held.payload)
            else:
                self._tier.remove(key)
            turn[4] = NOT_LOOKED
            held = self._flight(key, self, turn)
            if turn[2] is not NOTHING:
                return turn[2]

    def _may_serve(self, call: bytes, held: Held, turn: list[Any]) -> bool:
        """Tell whether a result held in memory is one still."""
        now = self._place.removals()
        if now is None or held.removals != now:
            if now is None:
                self._place.forget()
            return False
        if self._is_plain:
            return True
        if held.about is None and (self.cache_validation_callback is not None or self._verbose > 1):
            held.about = self._about(call)
        if not self._is_valid(held.created, held.cost, held.about, turn):
            return False
        self._say_loading(held.about)
        return True

    def _compute(self, call: bytes, turn: list[Any]) -> Held:
        """Find a result in the store, or compute it: nobody else in this process does meanwhile."""
        if self._verbose >= 20:
            self._say_querying(call, turn)
        if turn[4] == NOT_LOOKED:
            found = self._find(call, turn)
            if found is not None:
                return found
        lead = self._lead(call)
        if lead is None:
            return self._run(call, turn)
        try:
            # Somebody may have computed it between the look and the lead; what takes a moment is not worth the look.
            if lead.waited or (turn[4] != UNREADABLE and self._recall.is_slow()):
                found = self._find(call, turn)
                if found is not None:
                    return found
            place = self._place
            mark = computing.set((place.location, call, computing.get()))
            try:
                place.leading.add(call)
                return self._run(call, turn)
            finally:
                computing.reset(mark)
                place.leading.discard(call)
        finally:
            lead.release()

    def _lead(self, call: bytes) -> Any:
        """Wait until no other process computes a call; None if that cannot be, or would be for ever."""
        if self._place.leads(call):
            return None
        try:
            return (self._opened or self._store()).lead(call)
        except Exception as error:  # noqa: BLE001 - whatever ails the store, the function is called
            self._complain("wait for other processes", error)
            return None

    def _run(self, call: bytes, turn: list[Any]) -> Held:
        """Call the function, and keep its result."""
        begun = self._before(call, turn)
        try:
            start = time.perf_counter()
            value = self.func(*turn[0], **turn[1])
            return self._after(begun, turn, value, time.perf_counter() - start)
        finally:
            self._place.running.discard(begun)

    def _before(self, call: bytes, turn: list[Any]) -> Begun:
        """Say what is about to be computed, and note its arguments as they are now."""
        if self._verbose > 0:
            self._say_computing(call, turn)
        try:
            told = self._address.told(turn[0], turn[1]) or about(self._address.bind(*turn[0], **turn[1]))
        except Exception:  # noqa: BLE001 - no more than a description
            told = b""
        begun = Begun(call, self.func_id, told, self._place.removals())
        self._place.running.add(begun)
        return begun

    def _after(self, begun: Begun, turn: list[Any], value: Any, cost: float) -> Held:
        """Keep what was computed."""
        call = begun.call
        self._recall.missed(cost)
        turn[2] = value
        held = self._keep_small(begun, value, cost) or self._keep(begun, value, cost)
        if self._verbose > 0:
            self._say_computed(call, cost)
        if self._mode is not None and held.where != NOWHERE:
            # From the first call on, what is returned is mapped.
            self._read_back(call, turn)
        return held

    def _read_back(self, call: bytes, turn: list[Any]) -> None:
        try:
            found = self._store().get(call)
            if found is not None:
                turn[2] = decode(found[0], self._mode)
        except Exception as error:  # noqa: BLE001 - the value itself is at hand
            self._complain("map a result", error)

    def _find(self, call: bytes, turn: list[Any]) -> Held | None:
        """Return what the store has of a call, its value in the turn; None if there is nothing valid."""
        try:
            store = self._store()
            removals = self._place.removals()
            found = store.get(call)
        except Exception as error:  # noqa: BLE001 - whatever ails the store, the function is called
            self._complain("read a result", error)
            return None
        return None if found is None else self._use(call, turn, found, removals)

    def _use(self, call: bytes, turn: list[Any], found: Any, removals: int | None) -> Held | None:
        """Make a value of what the store has; None if it is not valid, or cannot be read."""
        stored, created, cost, expires = found
        told = None
        if not self._is_plain:
            if self.cache_validation_callback is not None or self._verbose > 1:
                told = self._about(call)
            if not self._is_valid(created, cost, told, turn):
                return None
            self._say_loading(told)
        start = time.perf_counter()
        try:
            value = self._decoded(call, stored)
        except FileNotFoundError:
            return None
        except Exception:  # noqa: BLE001 - a result that cannot be read is computed again
            turn[4] = UNREADABLE
            shown = lines.call_text(self.func, turn[0], turn[1])
            self.warn(f"Exception while loading results for {shown}\n {traceback.format_exc()}")
            return None
        self._recall.hit(cost)
        if self._verbose > 4:
            lines.took(self.func, time.perf_counter() - start, "cache loaded ")
        turn[2] = value
        held = self._held(value, stored, (created, cost, expires), removals)
        held.about = told
        return held

    def _decoded(self, call: bytes, stored: Any) -> Any:
        value = decode(stored, self._mode, stays=self._place.stays)
        if self._mode is None or not could_be_mapped(stored):
            return value
        try:
            return mapped(self._store(), call, self.func_id, value, self._mode)
        except Exception as error:  # noqa: BLE001 - the value itself is at hand
            self._complain("map a result", error)
            return value

    # --- whether a result may be used ---

    def _is_valid(self, created: float, cost: float, told: bytes | None, turn: list[Any] | None) -> bool:
        if self._life is not None and not -_SKEW <= time.time() - created < self._life:
            return False
        callback = self.cache_validation_callback
        if callback is None:
            return True
        if turn is not None and created <= turn[3]:
            return False
        if callback({"duration": cost, "input_args": input_args(told), "time": created}):
            return True
        if turn is not None:
            turn[3] = time.time()
        return False

    def _is_kept(self, call: bytes, *, validate: bool = True) -> bool:
        try:
            found = self._store().contains(call)
            if found is None or not validate:
                return found is not None
            told = self._about(call) if self.cache_validation_callback is not None else None
        except Exception as error:  # noqa: BLE001 - what ails the store is none of the caller's business
            self._complain("look for a result", error)
            return False
        return self._is_valid(found[0], found[1], told, None)

    def _about(self, call: bytes) -> bytes | None:
        try:
            found: bytes | None = self._store().about(call)
        except Exception:  # noqa: BLE001 - no more than a description
            return None
        return found

    def _metadata(self, call: bytes) -> dict[str, Any] | None:
        try:
            found = self._store().contains(call)
        except Exception:  # noqa: BLE001 - no more than a description
            return None
        if found is None:
            return None
        return {"duration": found[1], "input_args": input_args(self._about(call)), "time": found[0]}

    # --- small things ---

    def __del__(self) -> None:
        # What was counted since the last result was kept would be lost with a function that is gone before the program.
        try:
            self._tell_counts()
        except Exception:  # noqa: BLE001, S110 - it was never set up, or the program is coming to its end
            pass

    def _forget(self, call: bytes) -> None:
        for key in (call, call + b"m"):
            self._tier.remove(key)

    def _get_args_id(self, /, *args: Any, **kwargs: Any) -> str:
        return self._args_id(self._address(*args, **kwargs))

    def _result(self, call: bytes) -> MemorizedResult:
        return MemorizedResult(
            self.store_backend,
            (self.func_id, self._args_id(call)),
            mmap_mode=self._settings.mmap_mode,
            verbose=self._verbose - 1,
            timestamp=self.timestamp,
            metadata=self._metadata(call),
        )

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        from retain._memory.methods import BoundMemorized

        return BoundMemorized(self, instance)

    def __reduce__(self) -> Any:
        from retain._memory.pickling import reduced_function

        return reduced_function(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(func={self.func}, location={self._place.location})"


def _compute(call: bytes, function: MemorizedFunc, turn: list[Any]) -> Held:
    held = function._compute(call[:64], turn)
    function._tier.put(call, held)
    return held
