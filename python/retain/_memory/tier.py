"""Results as this process holds them, and the one computation that all who ask at once share."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from retain._memo import HELPERS
from retain._retain import memoize_wrapper
from retain._rules import rules

if TYPE_CHECKING:
    from collections.abc import Callable

RAM_BYTES = 64 << 20
"""What a memory holds if it is not told."""
_OVERHEAD = 250
_NOT_HELD = float(2**60)

NOTHING: Any = sys.intern("nothing")
"""In place of a value: there is none yet."""

IN_MEMORY, IN_STORE, NOWHERE = range(3)


class Held:
    """
    What a call came to.

    Attributes
    ----------
    where : int
        ``IN_MEMORY``: here. ``IN_STORE``: to be read from the store. ``NOWHERE``: it could not be kept.
    value : object
        A value that nobody can change, if there is no `payload`.
    payload : bytes or None
        The pickle of one that can be changed: each caller gets an object of its own.
    created, cost : float
        When it was computed, in seconds since 1970, and for how long.
    ends : float or None
        When it ends.
    removals : int or None
        The store's count of removals when it was looked up: if that moved since, it may be gone.
    about : bytes or None
        What the store keeps beside it, once that was asked for.
    """

    __slots__ = ("about", "cost", "created", "ends", "payload", "removals", "value", "where")

    def __init__(  # noqa: PLR0917 - made in a few places, at each call
        self,
        where: int,
        value: Any,
        payload: bytes | None,
        created: float,
        cost: float,
        ends: float | None,
        removals: int | None,
    ) -> None:
        self.where = where
        self.value = value
        self.payload = payload
        self.created = created
        self.cost = cost
        self.ends = ends
        self.removals = removals
        self.about: bytes | None = None


def _life(held: Held) -> float | None:
    return None if held.ends is None else max(held.ends - time.time(), 0.0)


def _weight(held: Held) -> float:
    if held.where != IN_MEMORY:
        return _NOT_HELD
    if held.payload is not None:
        return len(held.payload) + _OVERHEAD
    value = held.value
    if type(value) is tuple:
        from retain._weigh import weigh

        return float(weigh(value)) + _OVERHEAD
    return sys.getsizeof(value) + _OVERHEAD


def flights(compute: Callable[..., Any], ram_bytes: int, *, asynchronous: bool) -> Any:
    """
    Return a function of a call's address, a memorized function and a turn that gives what the call came to.

    Parameters
    ----------
    compute : callable
        Called with the same arguments where nothing is held, by one of those who ask.
    ram_bytes : int
        The most bytes to hold.
    asynchronous : bool
        Whether `compute` is a coroutine function.
    """
    names: list[tuple[str, list[Any], bool]] = [
        (sys.intern(name), [], name != "call") for name in ("call", "function", "turn")
    ]
    bounds: dict[str, Any] = {"maxsize": None, "policy": "s3fifo", "max_bytes": ram_bytes}
    life: dict[str, Any] = {"ttl": _life, "ttl_jitter": 0.0, "time_to_idle": None, "stale": None}
    found = memoize_wrapper(
        compute,
        (names, 3, 3, "refused", "refused"),
        rules(**bounds, **life, weigher=_weight, on_evict=None, errors_end=False),
        key=None,
        typed=True,
        copy=None,
        errors=None,
        single_flight=True,
        asynchronous=asynchronous,
        helpers=HELPERS,
    )
    found.__wrapped__ = compute
    return found
