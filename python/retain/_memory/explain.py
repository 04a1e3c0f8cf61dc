"""Why a call would be answered from the store, or not."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retain._memory.reprs import input_args, short
from retain._retain import identity

if TYPE_CHECKING:
    from retain._memory.memorized import MemorizedFunc

_MOST = 12


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    Why a call would be answered from the store, or computed.

    Attributes
    ----------
    function : str
        The function's name.
    reason : str
        ``"hit"``: it is kept. Otherwise ``"new"``: nothing is kept of the function. ``"changed"``: what is kept is of
        other versions of it. ``"arguments"``: it is of other arguments. ``"ended"``: its time is over. ``"refused"``:
        the validation callback says no. ``"removed"``: it was there, and is not any more. ``"not kept"``: the memory
        has no location.
    details : tuple of str
        What differs, a line each.
    """

    function: str
    reason: str
    details: tuple[str, ...] = ()

    @property
    def would_hit(self) -> bool:
        """Whether the call would be answered from the store."""
        return self.reason == "hit"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "function": self.function,
            "reason": self.reason,
            "would_hit": self.would_hit,
            "details": list(self.details),
        }

    def __str__(self) -> str:
        return "\n".join([f"{self.function}: {_SENTENCES[self.reason]}", *(f"  {line}" for line in self.details)])

    def __repr__(self) -> str:
        return str(self)


_SENTENCES = {
    "hit": "a hit, the result is kept",
    "new": "a miss, no result of this function is kept",
    "changed": "a miss, the function changed since its results were kept",
    "arguments": "a miss, results are kept for other arguments only",
    "ended": "a miss, the time of the result is over",
    "refused": "a miss, the validation callback refuses the result",
    "removed": "a miss, the results of this version were removed (cleared, or evicted to make room)",
    "not kept": "a miss, nothing is kept: the memory has no location",
}


def not_kept(name: str) -> Explanation:
    """Return the explanation for a function that is not memorized."""
    return Explanation(name, "not kept")


def explain(function: MemorizedFunc, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Explanation:
    """Return why a call would be answered from the store, or computed."""
    store = function._store()
    name = function.func_id
    call = function._address(*args, **kwargs)
    found = store.contains(call)
    if found is not None:
        return _of_kept(function, call, found)
    kept = store.entries(name)
    same = [entry for entry in kept if entry[0][:32] == call[:32]]
    ended = [entry for entry in same if entry[0][32:56] == call[32:56]]
    if ended and ended[0][4] is not None and ended[0][4] <= time.time():
        return Explanation(name, "ended", (f"it ended {_ago(ended[0][4])}",))
    if same:
        return Explanation(name, "arguments", _nearest(same, function._address.bind(*args, **kwargs)))
    versions = store.versions(name)
    if any(digest == call[:32] for digest, _, _ in versions):
        return Explanation(name, "removed")
    if not versions:
        return Explanation(name, "new")
    latest = max(versions, key=lambda version: version[2])
    return Explanation(name, "changed", _changes(latest[1], description(function)))


def _of_kept(function: MemorizedFunc, call: bytes, found: tuple[float, float, float | None]) -> Explanation:
    created, cost, _ = found
    age = f"computed {_ago(created)}, in {cost:.3g} s"
    if function._life is not None and time.time() - created >= function._life:
        return Explanation(function.func_id, "ended", (f"{age}; its ttl is {function._life:.3g} s",))
    if not function._is_valid(created, cost, function._about(call), None):
        return Explanation(function.func_id, "refused", (age,))
    return Explanation(function.func_id, "hit", (age,))


def _nearest(kept: list[tuple[Any, ...]], arguments: dict[str, Any]) -> tuple[str, ...]:
    """Return in which arguments the entry differs that has the most in common."""
    now = {str(name): short(value) for name, value in arguments.items()}

    def differing(entry: tuple[Any, ...]) -> list[str]:
        then = input_args(entry[7])
        return [name for name in {**now, **then} if now.get(name) != then.get(name)]

    nearest = min(kept, key=lambda entry: (len(differing(entry)), -entry[3]))
    then = input_args(nearest[7])
    head = f"the nearest of {len(kept)} kept results was computed {_ago(nearest[2])}"
    names = differing(nearest)
    if not names:
        shown = ", ".join(f"{name}={text}" for name, text in now.items())
        return head, f"its arguments look the same, and differ in what is not shown here: {shown}"
    return (head, *(f"{name}: {now.get(name, 'not given')}, kept is {then.get(name, 'not given')}" for name in names))


def description(function: MemorizedFunc) -> str:
    """Return what a function's version consists of, as JSON, to be compared with later ones."""
    settings = function._settings
    found = identity(function.func, settings.track, settings.depends, settings.version)
    told = {
        "code": found.code.digest,
        "version": found.version,
        "track": found.track,
        "default": found.defaults,
        "cell": found.cells,
        "global": found.globals,
        "helper": found.helpers,
        "library": found.libraries,
    }
    return json.dumps({name: value for name, value in told.items() if value}, ensure_ascii=True)


def _changes(then_text: str, now_text: str) -> tuple[str, ...]:
    """Return what differs between two versions."""
    try:
        then, now = json.loads(then_text), json.loads(now_text)
    except ValueError:
        return ()
    lines = ["its code changed"] if then.get("code") != now.get("code") else []
    lines += [
        f"{name}: {now.get(name)!r}, was {then.get(name)!r}"
        for name in ("version", "track")
        if then.get(name) != now.get(name)
    ]
    for role in ("default", "cell", "global", "helper", "library"):
        before, after = then.get(role, {}), now.get(role, {})
        lines += [
            _change(role, name, before.get(name), after.get(name))
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        ]
    if not lines:
        lines.append("in something that the descriptions do not show: retain.explain(function) prints all of it")
    return tuple(lines if len(lines) <= _MOST else [*lines[:_MOST], f"and {len(lines) - _MOST} more"])


def _change(role: str, name: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"{role} {name} is new"
    if after is None:
        return f"{role} {name} is gone"
    if role == "helper":
        return f"{role} {name} changed"
    return f"{role} {name}: {after}, was {before}"


def _ago(moment: float) -> str:
    seconds = max(time.time() - moment, 0.0)
    for size, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"
