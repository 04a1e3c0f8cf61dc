"""Keys for signatures, as their lines or the files that hold them."""

from __future__ import annotations

import os
from typing import Any

_PREFIX = "retain-"


def key_line(key: Any, argument: str) -> str:
    """
    Return the line of a key.

    Parameters
    ----------
    key : str or os.PathLike
        The line itself, or the file that holds it.
    argument : str
        What the argument is called, for messages.

    Raises
    ------
    TypeError
        If it is neither.
    OSError
        If the file cannot be read.
    """
    if isinstance(key, str) and key.startswith(_PREFIX) and ":" in key:
        return key.strip()
    if not isinstance(key, (str, os.PathLike)):
        raise TypeError(f"{argument} must be a key's line or the path of its file, not {type(key).__name__}")
    with open(key, encoding="ascii", errors="replace") as file:
        return file.read(4096).strip()
