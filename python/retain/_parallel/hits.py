"""Calls whose results are at hand, and need not be dispatched."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retain._parallel.engine import Lookup


def lookups() -> Mapping[type, Lookup]:
    """Return how to look up calls of functions of which types."""
    return {}
