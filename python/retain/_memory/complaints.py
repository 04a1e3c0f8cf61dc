"""What goes wrong with a store is told once, and never raised."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType


class CacheWarning(UserWarning):
    """
    A result could not be kept, or not be read: the function is computed, and its value returned.

    Given once for each function and kind of failure.
    """


def warn(text: str, category: type[Warning] = CacheWarning) -> None:
    """Warn at the line outside of retain that is to blame."""
    warnings.warn(text, category, stacklevel=_level())


def reason(error: BaseException) -> str:
    """Return an error as a clause of a sentence."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _level() -> int:
    # As `warnings.warn` counts: 1 is the line in `warn`.
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame.f_globals.get("__name__")):
        level, frame = level + 1, frame.f_back
    return level if frame is not None else 2


def _is_ours(module: Any) -> bool:
    return isinstance(module, str) and (module == "retain" or module.startswith("retain."))
