"""What arguments of `Parallel` may be; a ValueError where they are not."""

from __future__ import annotations

from numbers import Integral
from typing import Any


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    """Return a text that is one of several."""
    if value not in allowed:
        raise ValueError(
            f"Expected `{name}` parameter to be a string equal to {', '.join(map(repr, allowed))}, but got {value!r}"
        )
    return value


def checked_batch_size(value: Any) -> Any:
    """Return how many tasks are sent together."""
    if value == "auto" or (isinstance(value, Integral) and int(value) > 0):
        return value
    raise ValueError(f"batch_size must be 'auto' or a positive integer, got: {value!r}")


def checked_retries(value: Any) -> int:
    """Return how often a task is tried again."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 0:
        raise ValueError(f"retries is {value!r}, but it is how often a failed task is tried again: 0 or more")
    return int(value)


def checked_timeout(value: Any) -> float | None:
    """Return for how many seconds a task may run."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise ValueError(f"task_timeout is {value!r}, but it is a number of seconds above 0, or None")
    return seconds
