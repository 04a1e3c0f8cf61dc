"""What is kept of a function, as a list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from retain._memory.reprs import input_args
from retain._memory.results import MemorizedResult

if TYPE_CHECKING:
    from retain._memory.memorized import MemorizedFunc


class Entry(NamedTuple):
    """
    A result that is kept.

    Attributes
    ----------
    arguments : dict of str to str
        The call's arguments, each in a few words.
    created, used : datetime
        When it was computed, and last asked for.
    expires : datetime or None
        When it ends.
    duration : float
        How many seconds the function took.
    bytes : int
        Its size in the store.
    is_current : bool
        Whether it is of the function as it is now.
    result : MemorizedResult
        The result: ``get()`` gives it, ``clear()`` removes it.
    """

    arguments: dict[str, str]
    created: datetime
    used: datetime
    expires: datetime | None
    duration: float
    bytes: int
    is_current: bool
    result: MemorizedResult


def entries(function: MemorizedFunc) -> list[Entry]:
    """Return what is kept of a function, the last used first."""
    version = function._address.version()
    found = []
    for call, name, created, used, expires, cost, size, told in function._store().entries(function.func_id):
        arguments = input_args(told)
        metadata = {"duration": cost, "input_args": arguments, "time": created}
        result = MemorizedResult(
            function.store_backend,
            (name, function._args_id(call)),
            mmap_mode=function.mmap_mode,
            verbose=function._verbose - 1,
            timestamp=function.timestamp,
            metadata=metadata,
        )
        ends = None if expires is None else _moment(expires)
        is_current = call[:32] == version
        found.append(Entry(arguments, _moment(created), _moment(used), ends, cost, size, is_current, result))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC).astimezone()
