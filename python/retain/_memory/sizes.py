"""Sizes as people write them."""

from __future__ import annotations

import re
from typing import Any

from retain._rules import count

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)


def parse_size(name: str, value: Any) -> int:
    """
    Return a number of bytes: a whole number, or a text such as ``"10M"`` or ``"1.5G"``, in powers of 1024.

    Raises
    ------
    ValueError, TypeError
        If `value`, the argument `name`, is none.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, but it is a number of bytes")
    if not isinstance(value, str):
        return count(name, value)
    found = _SIZE.fullmatch(value)
    if found is None:
        raise ValueError(f"{name} is {value!r}, but it is a number of bytes, such as 1000000, '500K', '10M' or '2G'")
    return int(float(found[1]) * _UNITS[found[2].lower()])
