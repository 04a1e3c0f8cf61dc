"""The options that `memoize` and `Cache` share, checked: each message names the argument, its value and the remedy."""

from __future__ import annotations

import math
import operator

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from typing import Any

POLICIES = ("s3fifo", "lru", "sieve", "lfu", "fifo", "unbounded")

DEFAULT_MAXSIZE = 1024
"""Entries that are kept when neither `maxsize` nor `max_bytes` says otherwise."""


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()
"""An argument that was not given, where `None` means something."""


def seconds(name: str, value: Any, *, zero: bool = False) -> float:
    """Return `value` as seconds: a number above 0, or from 0 on where `zero` is allowed."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        if hasattr(value, "total_seconds"):
            return seconds(name, value.total_seconds(), zero=zero)
        msg = f"{name} is {value!r}, but it is a number of seconds or a timedelta"
        raise TypeError(msg)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if math.isnan(number) or number < 0 or (number == 0 and not zero):
        least = "0 seconds or more" if zero else "more than 0 seconds; leave it out for no limit"
        msg = f"{name} is {value!r}, but it must be {least}"
        raise ValueError(msg)
    return number


def count(name: str, value: Any) -> int:
    """Return `value` as a whole number from 0 on."""
    try:
        number = operator.index(value)
    except TypeError:
        msg = f"{name} is {value!r}, but it is a whole number, or None for no bound"
        raise TypeError(msg) from None
    if not 0 <= number < 2**63:
        msg = f"{name} is {value!r}, but it must be 0 or more and below 2**63; None for no bound"
        raise ValueError(msg)
    return number


def function(name: str, value: object) -> Any:
    """Return `value`, a callable or `None`."""
    if value is not None and not callable(value):
        msg = f"{name} is {value!r}, but it is a callable or None"
        raise TypeError(msg)
    return value


def rules(
    *,
    maxsize: Any,
    policy: Any,
    ttl: Any,
    ttl_jitter: Any,
    time_to_idle: Any,
    stale: Any,
    max_bytes: Any,
    weigher: Any,
    on_evict: Any,
    errors_end: bool,
) -> dict[str, Any]:
    """Check the options of a table and return them as the compiled part takes them."""
    if policy not in POLICIES:
        msg = f"policy is {policy!r}, but it must be one of {', '.join(map(repr, POLICIES))}"
        raise ValueError(msg)
    if max_bytes is not None:
        max_bytes = count("max_bytes", max_bytes)
    if maxsize is UNSET:
        maxsize = None if policy == "unbounded" or max_bytes is not None else DEFAULT_MAXSIZE
    elif maxsize is not None:
        maxsize = count("maxsize", maxsize)
    if policy == "unbounded":
        for name, bound in (("maxsize", maxsize), ("max_bytes", max_bytes)):
            if bound is not None:
                msg = f"{name} is {bound!r}, but policy='unbounded' keeps no bounds: choose another or leave {name} out"
                raise ValueError(msg)
    if ttl is not None and not callable(ttl):
        ttl = seconds("ttl", ttl)
    jitter = seconds("ttl_jitter", ttl_jitter, zero=True)
    if jitter > 1:
        msg = f"ttl_jitter is {ttl_jitter!r}, but it is a share of the time to live, from 0 to 1"
        raise ValueError(msg)
    if jitter and ttl is None:
        msg = f"ttl_jitter is {ttl_jitter!r} but there is no ttl to vary: give one"
        raise ValueError(msg)
    if stale is not None and ttl is None:
        msg = f"stale_while_revalidate is {stale!r} but without a ttl nothing gets stale: give one"
        raise ValueError(msg)
    if weigher is None and max_bytes is not None:
        from retain._weigh import weigh as weigher
    return {
        "maxsize": maxsize,
        "policy": policy,
        "max_bytes": max_bytes,
        "ttl": ttl,
        "ttl_jitter": jitter,
        "time_to_idle": None if time_to_idle is None else seconds("time_to_idle", time_to_idle),
        "stale": 0.0 if stale is None else seconds("stale_while_revalidate", stale),
        "weigher": function("weigher", weigher),
        "on_evict": function("on_evict", on_evict),
        "errors_end": errors_end,
    }
