"""Calls of memoized functions whose results are at hand: they need not be dispatched."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retain._memory.memorized import MemorizedFunc
    from retain._memory.methods import BoundMemorized
    from retain._parallel.engine import Lookup


def lookups() -> Mapping[type, Lookup]:
    """Return how to look up calls of functions of which types."""
    found: dict[type, Lookup] = {_memoized(): _held}
    if "retain._memory.memorized" in sys.modules:
        from retain._memory.memorized import MemorizedFunc
        from retain._memory.methods import BoundMemorized

        found[MemorizedFunc] = _kept
        found[BoundMemorized] = _kept_of_method
    return found


@cache
def _memoized() -> type:
    """Return the type of what `memoize` returns."""
    from retain._memoize import memoize

    return type(memoize(len, maxsize=1))


def _kept(function: MemorizedFunc, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any] | None:
    """Look where a memorized function looks first."""
    try:
        return _looked(function, args, kwargs)
    except Exception:  # noqa: BLE001 - what is wrong with a call is told where it is made
        return None


def _looked(function: MemorizedFunc, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any] | None:
    from retain._memory.encoding import loads
    from retain._memory.tier import IN_STORE, NOT_LOOKED, NOTHING, NOWHERE
    from retain._retain import Missed

    missed = function._recall.look(args, kwargs)
    if type(missed) is not Missed:
        return (missed,)
    call = missed.call
    turn = [args, kwargs, NOTHING, 0.0, NOT_LOOKED]
    if missed.found is not None:
        return None if function._use(call, turn, missed.found, None) is None else (turn[2],)
    held = function._tier.get(call if function._mode is None else call + b"m")
    if held is not None and held.where != IN_STORE:
        if held.where == NOWHERE or not function._may_serve(call, held, turn):
            return None
        function._recall.hit(held.cost)
        return (held.value if held.payload is None else loads(held.payload),)
    if missed.looked or function._find(call, turn) is None:
        return None
    return (turn[2],)


def _kept_of_method(function: BoundMemorized, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any] | None:
    memorized = function.__func__
    if type(memorized).__name__ != "MemorizedFunc":
        # What a coroutine function returns is to be awaited.
        return None
    return _kept(memorized, (function.__self__, *args), kwargs)


def _held(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any] | None:
    """Look in the table of a memoized function."""
    from inspect import iscoroutinefunction

    try:
        return None if iscoroutinefunction(function.__wrapped__) else (function.peek(*args, **kwargs),)
    except Exception:  # noqa: BLE001 - there is none, or what is wrong is told where the call is made
        return None
