"""The one computation that all who ask at once in this process share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from retain._memo import HELPERS
from retain._retain import memoize_wrapper
from retain._rules import rules

if TYPE_CHECKING:
    from collections.abc import Callable

RAM_BYTES = 64 << 20
"""What a memory holds if it is not told."""

NOTHING: Any = sys.intern("nothing")
"""In place of a value: there is none yet."""

IN_MEMORY, IN_STORE, NOWHERE = range(3)
"""Where a `Held` has its value."""

NOT_LOOKED, FOUND_NOTHING, UNREADABLE = range(3)
"""What the store was found to have of a call."""


def flights(compute: Callable[..., Any], *, asynchronous: bool) -> Any:
    """
    Return a function of a call's address, a memorized function and a turn that gives what the call came to.

    Parameters
    ----------
    compute : callable
        Called with the same arguments by one of those who ask at once.
    asynchronous : bool
        Whether `compute` is a coroutine function.
    """
    names: list[tuple[str, list[Any], bool]] = [
        (sys.intern(name), [], name != "call") for name in ("call", "function", "turn")
    ]
    nothing_kept: dict[str, Any] = {"maxsize": 0, "policy": "lru", "max_bytes": None, "weigher": None, "on_evict": None}
    no_end: dict[str, Any] = {"ttl": None, "ttl_jitter": 0.0, "time_to_idle": None, "stale": None}
    found = memoize_wrapper(
        compute,
        (names, 3, 3, "refused", "refused"),
        rules(**nothing_kept, **no_end, errors_end=False),
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
