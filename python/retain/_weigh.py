"""The default weigher: about how many bytes a value keeps in memory."""

from __future__ import annotations

import sys
from collections import deque
from itertools import chain
from types import BuiltinFunctionType, FunctionType, ModuleType

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from typing import Any

# Shared by the whole program: no value keeps them alive by itself.
_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)
# Larger structures are measured by this many of their parts, and the rest is taken to be alike.
_SAMPLE = 100_000


def weigh(value: object) -> int:
    """
    Return about how many bytes `value` keeps in memory.

    Parameters
    ----------
    value : object
        Anything. Containers, instances' attributes and ``__slots__`` are followed, each object counted once. Arrays,
        tensors, data frames and tables tell their own size (``nbytes``, ``memory_usage``). Modules, classes and
        functions count as nothing.

    Returns
    -------
    int
        Bytes, as far as ``sys.getsizeof`` and the values themselves tell. Structures of more than 100,000 parts are
        measured by as many of them and scaled.
    """
    seen: set[int] = set()
    total = 0
    left: deque[object] = deque((value,))
    while left:
        part = left.popleft()
        if id(part) in seen or isinstance(part, _SHARED):
            continue
        seen.add(id(part))
        total += _own(part)
        left.extend(_parts(part))
        if len(seen) >= _SAMPLE and left:
            return round(total * (1 + len(left) / len(seen)))
    return total


def _own(part: object) -> int:
    size = sys.getsizeof(part, 0)
    usage = getattr(part, "memory_usage", None)
    if usage is not None and hasattr(part, "iloc"):
        used = usage(deep=True)
        return size + int(used if isinstance(used, int) else used.sum())
    held = getattr(part, "nbytes", None)
    if isinstance(held, int) and not isinstance(part, memoryview):
        # An array's own size covers its data if it owns them; a view keeps those of its base alive.
        base = getattr(part, "base", None)
        return max(size, held, getattr(base, "nbytes", 0) if base is not None else 0)
    return size


def _parts(part: object) -> Any:
    if isinstance(part, (str, bytes, bytearray, memoryview, int, float, complex)):
        return ()
    if isinstance(part, dict):
        return chain(part.keys(), part.values(), _attributes(part))
    if isinstance(part, (list, tuple, set, frozenset, deque)):
        return chain(part, _attributes(part))
    if hasattr(part, "nbytes") or hasattr(part, "iloc"):
        return ()
    return _attributes(part)


def _attributes(part: object) -> Any:
    found = list(getattr(part, "__dict__", {}).values())
    for kind in type(part).__mro__:
        names = kind.__dict__.get("__slots__", ())
        slots = {names} if isinstance(names, str) else set(names)
        slots -= {"__dict__", "__weakref__"}
        found.extend(getattr(part, name) for name in slots if hasattr(part, name))
    return found
