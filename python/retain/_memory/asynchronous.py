"""Coroutine functions whose results are kept: the store is read and written on threads, and not on the event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from retain._memoize import _mark_as_coroutine_function
from retain._memory.encoding import loads
from retain._memory.memorized import MemorizedFunc
from retain._memory.place import computing
from retain._memory.results import MemorizedResult, NotMemorizedResult
from retain._memory.tier import IN_MEMORY, IN_STORE, NOT_LOOKED, NOTHING, NOWHERE, UNREADABLE
from retain._memory.unkept import NotMemorizedFunc
from retain._retain import Held, Owner

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from retain._memory.place import Place

_THREADS = 8
_SMALL_BYTES = 1 << 16
_FEW = 256
_ATOMS = (int, float, complex, bool, type(None))

_executor: list[ThreadPoolExecutor] = []


class AsyncMemorizedFunc(MemorizedFunc):
    """
    A coroutine function whose results are kept in a store: what `Memory.cache` returns for an ``async def``.

    Tasks that ask for the same result await one computation. It is cancelled when all of them are.
    """

    def _update_wrapper(self, func: Any) -> None:
        super()._update_wrapper(func)
        _mark_as_coroutine_function(inspect, self)

    def _flights_of(self, place: Place) -> Any:
        return place.flights(_compute, asynchronous=True)

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the function's result, kept or computed."""
        call = await self._address_of(args, kwargs)
        turn = [args, kwargs, NOTHING, 0.0, NOT_LOOKED]
        key = call if self._mode is None else call + b"m"
        held = self._tier.get(key) or await self._flight(key, self, turn)
        while turn[2] is NOTHING:
            if held.where == NOWHERE:
                return await self.func(*args, **kwargs)
            if held.where == IN_MEMORY and await self._may_serve_here(call, held, turn):
                self._recall.hit(held.cost)
                return held.value if held.payload is None else loads(held.payload)
            if held.where == IN_STORE:
                if await _on_thread(self._find, call, turn) is not None:
                    break
            else:
                self._tier.remove(key)
            held = await self._flight(key, self, turn)
        return turn[2]

    async def _may_serve_here(self, call: bytes, held: Held, turn: list[Any]) -> bool:
        if self._is_plain:
            return self._may_serve(call, held, turn)
        return bool(await _on_thread(self._may_serve, call, held, turn))

    async def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Compute anew, and keep the result; return it and its metadata."""
        call = await self._address_of(args, kwargs)
        turn = [args, kwargs, NOTHING, 0.0, NOT_LOOKED]
        await self._run_here(call, turn)
        self._forget(call)
        return turn[2], await _on_thread(self._metadata, call) or {}

    async def call_and_shelve(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return a reference to the function's result, which is computed if it is not kept."""
        call = await self._address_of(args, kwargs)
        if await _on_thread(self._is_kept, call):
            self._recall.hit(0.0)
            return await _on_thread(self._result, call)
        value = await self(*args, **kwargs)
        result: MemorizedResult | NotMemorizedResult = NotMemorizedResult(value)
        if await _on_thread(partial(self._is_kept, validate=False), call):
            result = await _on_thread(self._result, call)
        return result

    async def _address_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        room = [_FEW]
        if all(_is_small(value, room) for value in (*args, *kwargs.values())):
            return self._address(*args, **kwargs)
        found: bytes = await _on_thread(partial(self._address, *args, **kwargs))
        return found

    async def _compute_here(self, call: bytes, turn: list[Any]) -> Held:
        """Find a result in the store, or compute it: no other task of this process does meanwhile."""
        self._say_querying(call, turn)
        found: Held | None = await _on_thread(self._find, call, turn)
        if found is not None:
            return found
        lead = await self._lead_here(call)
        if lead is None:
            return await self._run_here(call, turn)
        try:
            # Another process may have computed it between the look and the lead.
            if lead.waited or turn[4] != UNREADABLE:
                found = await _on_thread(self._find, call, turn)
                if found is not None:
                    return found
            mark = computing.set((self._place.location, call, computing.get()))
            try:
                self._place.leading.add(call)
                return await self._run_here(call, turn)
            finally:
                computing.reset(mark)
                self._place.leading.discard(call)
        finally:
            lead.release()

    async def _lead_here(self, call: bytes) -> Any:
        if self._place.leads(call):
            return None
        try:
            owner = _owner()
            lead = await _on_thread(self._try_lead, call, owner)
            return await _waited_for(self._store(), call, owner) if lead is None else lead
        except Exception as error:  # noqa: BLE001 - whatever ails the store, the function is called
            self._complain("wait for other processes", error)
            return None

    def _try_lead(self, call: bytes, owner: Any) -> Any:
        return self._store().try_lead(call, owner)

    async def _run_here(self, call: bytes, turn: list[Any]) -> Held:
        begun = self._before(call, turn)
        try:
            start = time.perf_counter()
            value = await self.func(*turn[0], **turn[1])
            cost = time.perf_counter() - start
            held: Held = await _on_thread(self._after, begun, turn, value, cost)
            return held
        finally:
            self._place.running.discard(begun)


# Who waits for other processes: all tasks that one computation starts count as one.
_owners: ContextVar[Any] = ContextVar("retain_owner", default=None)


def _owner() -> Any:
    found = _owners.get()
    if found is None:
        found = Owner()
        _owners.set(found)
    return found


async def _compute(call: bytes, function: AsyncMemorizedFunc, turn: list[Any]) -> Held:
    held = await function._compute_here(call[:64], turn)
    function._tier.put(call, held)
    return held


class AsyncNotMemorizedFunc(NotMemorizedFunc):
    """A coroutine function whose results are kept nowhere."""

    def __init__(self, func: Any) -> None:
        super().__init__(func)
        _mark_as_coroutine_function(inspect, self)

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return await self.func(*args, **kwargs)

    async def call(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function; return its result, and an empty dict."""
        return await self.func(*args, **kwargs), {}

    async def call_and_shelve(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function; return a `NotMemorizedResult` that holds its result."""
        return NotMemorizedResult(await self.func(*args, **kwargs))


async def _on_thread(function: Callable[..., Any], *args: Any) -> Any:
    if not _executor:
        from concurrent.futures import ThreadPoolExecutor

        _executor.append(ThreadPoolExecutor(_THREADS, thread_name_prefix="retain-store"))
    return await asyncio.get_running_loop().run_in_executor(_executor[0], function, *args)


async def _waited_for(store: Any, call: bytes, owner: Any) -> Any:
    """
    Return the lead, once another process has let go of it.

    Each wait has a thread of its own: those of the executor are needed to let go of what others wait for.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(lead: Any, error: BaseException | None) -> None:
        if done.done():
            if lead is not None:
                lead.release()
        elif error is not None:
            done.set_exception(error)
        else:
            done.set_result(lead)

    def wait() -> None:
        lead = error = None
        try:
            lead = store.lead(call, owner)
        except Exception as found:  # noqa: BLE001 - raised where it is awaited
            error = found
        try:
            loop.call_soon_threadsafe(tell, lead, error)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            if lead is not None:
                lead.release()

    threading.Thread(target=wait, name="retain-wait", daemon=True).start()
    return await done


def _is_small(value: Any, room: list[int]) -> bool:
    """Tell whether hashing a value takes no time to speak of."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind in (str, bytes):
        return len(value) <= _SMALL_BYTES
    if kind not in (list, tuple, dict):
        return False
    room[0] -= len(value)
    if room[0] < 0:
        return False
    if kind is dict:
        return all(_is_small(key, room) and _is_small(item, room) for key, item in value.items())
    return all(_is_small(item, room) for item in value)


if hasattr(os, "register_at_fork"):
    # The threads are the parent's.
    os.register_at_fork(after_in_child=_executor.clear)
