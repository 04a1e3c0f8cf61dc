"""The lines that tell what a memory does, as joblib's do."""

from __future__ import annotations

import os
import sys
from typing import Any

from retain._memory.naming import function_name, short_name

_LONGEST = 1500
_CUT = 700
_LINE = 80
_MOST = 300


def _logger() -> Any:
    from logging import getLogger

    return getLogger("retain")


class Talking:
    """What logs under the name of an object, with the methods of joblib's `Logger`."""

    def warn(self, msg: str) -> None:
        """Log a warning."""
        _logger().warning("[%s]: %s", self, msg)

    def info(self, msg: str) -> None:
        """Log what is of interest now and then."""
        _logger().info("[%s]: %s", self, msg)

    def debug(self, msg: str) -> None:
        """Log what is of interest when something is wrong."""
        _logger().debug("[%s]: %s", self, msg)

    def format(self, obj: Any, indent: int = 0) -> str:
        """Return an object as it is shown."""
        return _pretty(obj, indent)


def format_time(seconds: float) -> str:
    """Return a duration in seconds and minutes."""
    return f"{seconds:.1f}s, {seconds / 60:.1f}min"


def call_text(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return a call as it could be written."""
    shown: list[str] = []
    before = 0
    for value in args:
        text = _shown(value)
        shown.append(f"\n{text}" if before > _LINE else text)
        before = len(text)
    shown += [f"{name}={_shown(value)}" for name, value in kwargs.items()]
    return f"{short_name(function)}({', '.join(shown)})"


def calling(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Print that a function is called."""
    print(f"{'_' * _LINE}\n[Memory] Calling {function_name(function)}...\n{call_text(function, args, kwargs)}")  # noqa: T201


def took(function: Any, seconds: float, context: str = "") -> None:
    """Print how long something took, at the right edge."""
    text = f"{short_name(function)} {context}- {format_time(seconds)}"
    print(text.rjust(_LINE, "_"))  # noqa: T201


def loading(name: str, arguments: dict[str, str], elapsed: float | None, place: str | None) -> None:
    """Print that a result is loaded, `elapsed` seconds after the memory was made."""
    since = "" if elapsed is None else f"{format_time(elapsed): <16}"
    told = ", ".join(f"{key}={text}" for key, text in arguments.items())
    where = "..." if place is None else f" from {place}"
    print(f"[Memory]{since}: Loading {name.rpartition('.')[2]}({told}){where}")  # noqa: T201


def persisting(location: str, function: str, call: str) -> None:
    """Print where a result goes."""
    print(f"Persisting in {os.path.join(location, function, call)}")  # noqa: T201


def _shown(value: Any) -> str:
    try:
        text = _pretty(value, 2)
    except Exception:  # noqa: BLE001 - what cannot be shown can be computed with
        text = f"<{type(value).__qualname__}>"
    return f"{text[:_CUT]}..." if len(text) > _LONGEST else text


def _pretty(value: Any, indent: int) -> str:
    if _is_large(value, [_MOST]):
        from retain._memory.reprs import short

        return short(value, _CUT)
    import pprint

    numpy = sys.modules.get("numpy")
    if numpy is None:
        return pprint.pformat(value, indent=indent, depth=3)
    with numpy.printoptions(precision=6, threshold=64, edgeitems=1):
        return pprint.pformat(value, indent=indent, depth=3)


def _is_large(value: Any, room: list[int]) -> bool:
    # Whether printing it in full takes its time: tables, and containers of many items.
    kind = type(value)
    if kind in (str, bytes):
        return len(value) > 10 * _LONGEST
    if kind.__module__.partition(".")[0] in {"pandas", "polars", "pyarrow"}:
        return True
    if kind not in (list, tuple, set, frozenset, dict):
        return False
    room[0] -= len(value)
    if room[0] < 0:
        return True
    items = list(value.values()) if kind is dict else value
    return any(_is_large(item, room) for item in items)
