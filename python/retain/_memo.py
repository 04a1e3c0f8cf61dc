"""The parts of a memoized function that are Python: awaiting, binding to an instance, describing."""

from __future__ import annotations

import os
import sys
from collections import namedtuple
from contextvars import ContextVar

from retain._retain import after_fork_in_child

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    import asyncio
    import inspect
    from collections.abc import Callable, Iterator
    from typing import Any

    from retain._retain import _Flight, _Memoized, _MethodCache, _Ticket

MemoInfo = namedtuple(  # noqa: PYI024 - typed in the stubs; typing is not imported at start-up
    "MemoInfo",
    [
        "hits",
        "misses",
        "maxsize",
        "currsize",
        "evictions",
        "expirations",
        "in_flight",
        "weight",
        "time_saved",
    ],
)

Entry = namedtuple(  # noqa: PYI024 - as above
    "Entry", ["arguments", "value", "weight", "cost"]
)


def iterate(memo: _Memoized) -> Iterator[Entry]:
    """Iterate over the entries of a memoized function as they are now."""
    return iter([Entry(*entry) for entry in memo._entries()])


_FORWARDED = {"__annotations__", "__name__", "__qualname__", "__type_params__", "__wrapped__"}


class BoundMemoized:
    # A memoized method of one instance, with the results of that instance.

    __slots__ = ("__func__", "__self__")

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        doc: str | None = self.__func__.__doc__
        return doc

    @property
    def __module__(self) -> str:  # type: ignore[override]
        return self.__func__.__module__

    @property
    def __signature__(self) -> inspect.Signature:
        import inspect
        from types import MethodType

        return inspect.signature(MethodType(self.__func__.__wrapped__, self.__self__))

    def __init__(self, function: _Memoized, instance: object) -> None:
        self.__func__ = function
        self.__self__ = instance

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool:
        """Forget the instance's result for these arguments; whether there was one."""
        return self.__func__.invalidate(self.__self__, *args, **kwargs)

    def peek(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the instance's result for these arguments; `KeyError` if there is none."""
        return self.__func__.peek(self.__self__, *args, **kwargs)

    def set(self, value: Any, /, *args: Any, **kwargs: Any) -> None:
        """Keep `value` as the instance's result for these arguments."""
        self.__func__.set(value, self.__self__, *args, **kwargs)

    def refresh(self, /, *args: Any, **kwargs: Any) -> Any:
        """Compute the instance's result for these arguments anew."""
        return self.__func__.refresh(self.__self__, *args, **kwargs)

    def cache_info(self) -> MemoInfo:
        """Return the counts and sizes of this instance."""
        return self.__func__._instance_info(self.__self__)

    def cache_clear(self) -> None:
        """Forget all results of this instance."""
        self.__func__._instance_clear(self.__self__)

    def __iter__(self) -> Iterator[Entry]:
        return iter([Entry(*entry) for entry in self.__func__._entries(self.__self__)])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _FORWARDED:
            # What the function does as an object, its methods do not.
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(self.__func__, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundMemoized:
        from copy import deepcopy

        return BoundMemoized(self.__func__, deepcopy(self.__self__, memo))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundMemoized):
            return NotImplemented
        return self.__func__ is other.__func__ and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__func__.__name__)

    def __repr__(self) -> str:
        return f"<bound method {self.__func__.__qualname__} of {self.__self__!r}>"


def keep_beside(caches: dict[int, Any], instance: object, cache: _MethodCache) -> _MethodCache:
    """
    Keep the results of an instance that takes no attributes, for as long as it lives.

    Returns the results that are kept: another thread may have been first.
    """
    import weakref

    address = id(instance)

    def forget(_: object) -> None:
        caches.pop(address, None)

    mine = (weakref.ref(instance, forget), cache)
    kept: tuple[Any, _MethodCache] = caches.setdefault(address, mine)
    if kept[0]() is not instance:
        # Those of an instance that lay here before.
        caches[address] = kept = mine
    return kept[1]


def copy_exception(error: BaseException) -> BaseException:
    """Return an exception like `error` that keeps none of the frames it passed through alive."""
    import copy

    try:
        copied = copy.copy(error)
    except Exception:  # noqa: BLE001 - an exception that cannot be copied is kept as it is
        copied = error
    if type(copied) is not type(error):
        copied = error
    return copied.with_traceback(None)


def refresh_in_background(
    ticket: _Ticket, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Compute anew on a thread of its own, while the stale value is served."""
    import threading

    def run() -> None:
        try:
            ticket.lead_here()
            ticket.finish(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - there is no caller to raise it to
            ticket.fail(error)
            _log_failed_refresh(function, error)

    thread = threading.Thread(target=run, name="retain-refresh", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # The interpreter is shutting down, or there is no room for a thread: the next caller tries again.
        ticket.abandon()


def _log_failed_refresh(function: Callable[..., Any], error: BaseException) -> None:
    import logging

    logging.getLogger("retain").warning(
        "computing a stale result of %r anew failed; the stale one is served while it may be",
        function,
        exc_info=error,
    )


class _Computation:
    """A task that computes, if it is known, and how many wait for it."""

    __slots__ = ("loop", "task", "ticket", "waiting")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        task: asyncio.Task[None] | None = None,
        ticket: _Ticket | None = None,
    ) -> None:
        self.loop = loop
        self.task = task
        self.ticket = ticket
        self.waiting = 0


# By the number of the flight. Tasks are kept alive by this.
_computations: dict[int, _Computation] = {}

# The agent that computes in this context: what it waits for, it waits for on behalf of those who wait for it.
_agent: ContextVar[int | None] = ContextVar("retain_agent", default=None)


async def resolve(memo: _Memoized, args: tuple[Any, ...], kwargs: dict[str, Any], anew: bool = False) -> Any:
    """Await the result of an async memoized function: kept, being computed, or computed now."""
    import asyncio

    ticket: Any
    flight: Any
    while True:
        kind, value, further = memo._begin(args, kwargs, anew)
        if kind in ("hit", "stale"):
            if further is not None:
                ticket, flight = further
                _start(ticket, flight, args, kwargs)
            return value
        led = kind == "lead"
        ticket, flight = further if led else (None, further)
        if flight is None:
            return await _compute_alone(ticket, args, kwargs)
        if led:
            _start(ticket, flight, args, kwargs)
        if not await _landing(flight):
            # Whoever computes waits for this very call: computing again is the only way on.
            return await memo.__wrapped__(*args, **kwargs)
        outcome = flight.outcome()
        if outcome is None:
            if led:
                # The function raised it: it is this caller's to bear, and nobody else's.
                raise asyncio.CancelledError
            continue
        got_value, result = outcome
        if not led:
            flight.joined(got_value)
        # An exception will hold this frame, and the flight holds the exception: the circle must not close.
        ticket = flight = further = outcome = None
        if got_value:
            return result
        try:
            raise result
        finally:
            del result


async def _landing(flight: _Flight) -> bool:
    """
    Wait until the flight has ended; ``False`` if that would be for ever.

    When everyone who waits is cancelled, so is the computation.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    landed: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not landed.done():
            landed.set_result(None)

    def tell() -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:
            # That loop is closed: nobody waits there any more.
            pass

    agent = _agent.get()
    wait = flight.join(agent) if agent is not None else None
    if agent is not None and wait is None:
        return False
    computation = _computations.get(flight.number) or _Computation(loop)
    if computation.loop.is_closed() and computation.ticket is not None:
        # Its task will never go on.
        _computations.pop(flight.number, None)
        computation.ticket.abandon()
    if not flight.subscribe(tell):
        return True
    computation.waiting += 1
    try:
        await landed
    finally:
        if wait is not None:
            wait.end()
        computation.waiting -= 1
        if landed.cancelled():
            _cancel(computation)
    return True


def _cancel(computation: _Computation) -> None:
    task = computation.task
    if task is None or computation.waiting > 0:
        return
    try:
        computation.loop.call_soon_threadsafe(task.cancel)
    except RuntimeError:
        # Its loop is closed, and the task is gone with it.
        pass


def _start(ticket: _Ticket, flight: _Flight, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    task = loop.create_task(_compute(ticket, args, kwargs))
    _computations[flight.number] = _Computation(loop, task, ticket)

    def forget(_: asyncio.Task[None]) -> None:
        # Holding the flight until now has kept its number from being another's.
        _computations.pop(flight.number, None)

    task.add_done_callback(forget)


async def _compute(ticket: _Ticket, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    import asyncio

    _agent.set(ticket.agent)
    try:
        value = await ticket.function(*args, **kwargs)
    except asyncio.CancelledError:
        ticket.abandon()
        raise
    except Exception as error:  # noqa: BLE001 - raised where it is awaited
        ticket.fail(error)
    except BaseException as error:
        ticket.fail(error)
        raise
    else:
        ticket.finish(value)


async def _compute_alone(ticket: _Ticket, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        value = await ticket.function(*args, **kwargs)
    except BaseException as error:
        ticket.fail(error)
        raise
    ticket.finish(value)
    return ticket.present(value)


def _after_fork_in_child() -> None:
    after_fork_in_child()
    _computations.clear()


# The threads and loops that compute are the parent's: in a child nobody waits for them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

HELPERS = sys.modules[__name__]
