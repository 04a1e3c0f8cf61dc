"""Validation by age."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def expires_after(  # noqa: PLR0917 - joblib's signature
    days: float = 0,
    seconds: float = 0,
    microseconds: float = 0,
    milliseconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    weeks: float = 0,
) -> Callable[[dict[str, Any]], bool]:
    """
    Return a `cache_validation_callback` for results that are valid for so long.

    The parameters are those of `datetime.timedelta`. Where the time is known when the function is decorated,
    ``ttl=`` does the same, and lets the store forget what has ended.

    Returns
    -------
    callable
        Given a result's metadata, tells whether it is younger.
    """
    life = timedelta(
        days=days,
        seconds=seconds,
        microseconds=microseconds,
        milliseconds=milliseconds,
        minutes=minutes,
        hours=hours,
        weeks=weeks,
    ).total_seconds()
    return _Younger(life)


class _Younger:
    """Tells whether a result is younger than `life` seconds; a class, so that it can be pickled."""

    def __init__(self, life: float) -> None:
        self.life = life

    def __call__(self, metadata: dict[str, Any]) -> bool:
        age: float = time.time() - metadata["time"]
        # A clock that was set back makes results of the future: how old they are is not known.
        return -_SKEW <= age < self.life

    def __repr__(self) -> str:
        return f"expires_after(seconds={self.life})"


_SKEW = 60.0
