"""What went into a function's identity, as a tree for people."""

from __future__ import annotations

import sys

from retain._retain import identity

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Literal, TextIO

    from retain._identity import Identity
    from retain._survey import Record

    _Branch = tuple[str, tuple[int, ...]]  # a label, and the numbers of the records below

_DIGITS = 12


def explain(
    function: Any,
    track: Literal["deep", "own", "version"] = "deep",
    depends: Iterable[Any] = (),
    version: str | None = None,
    *,
    file: TextIO | None = None,
) -> None:
    """
    Print what a function's identity is made of, as a tree.

    Two such trees tell why a result was computed again: compare the digests.

    Parameters
    ----------
    function, track, depends, version
        As for `identity`.
    file : text file, optional
        Where to print; ``sys.stdout`` by default.

    Raises
    ------
    TypeError, ValueError
        As `identity`.

    See Also
    --------
    identity : The same as data.

    Examples
    --------
    >>> import retain
    >>> scale = 2
    >>> def double(x):
    ...     return scale * x
    >>> retain.explain(double)  # doctest: +ELLIPSIS
    ...double  identity ...
    └─ function ...double  ...
       └─ global scale: 2
    """
    out = sys.stdout if file is None else file
    for line in lines(identity(function, track, depends, version)):
        out.write(f"{line}\n")


def lines(found: Identity) -> Iterator[str]:
    """Return the lines of the tree."""
    yield f"{found.name or 'function'}  identity {found.digest[:_DIGITS]}"
    top: list[_Branch] = []
    if found.track == "own":
        top.append((f"track='own': only the name and {found.code.form} {found.code.digest[:_DIGITS]}", ()))
    elif found.track == "version":
        top.append(("track='version': only the name and the version", ()))
    if found.version is not None:
        top.append((f"version {found.version!r}", ()))
    for number in found._roots:
        record = found._records[number]
        # What is no function itself is told by what it wraps.
        top += [("", (number,))] if record.kind != "value" else [_branch(*entry) for entry in record.entries]
    top += [(f"unresolved: {what}", ()) for what in found.unresolved]
    top += [(f"opaque, by its type only: {what}", ()) for what in found.opaque]
    yield from _tree(found._records, top)


def _tree(records: tuple[Record, ...], top: list[_Branch]) -> Iterator[str]:
    shown: set[int] = set()
    levels = [iter(top)]
    upcoming = [next(levels[0], None)]
    bars: list[str] = []
    while levels:
        branch = upcoming[-1]
        if branch is None:
            levels.pop()
            upcoming.pop()
            if bars:
                bars.pop()
            continue
        upcoming[-1] = next(levels[-1], None)
        last = upcoming[-1] is None
        label, below = _open(records, branch, shown)
        yield f"{''.join(bars)}{'└─ ' if last else '├─ '}{label}"
        if below:
            levels.append(iter(below))
            upcoming.append(next(levels[-1]))
            bars.append("   " if last else "│  ")


def _open(records: tuple[Record, ...], branch: _Branch, shown: set[int]) -> tuple[str, list[_Branch]]:
    # What a branch is called, and what is below it.
    label, numbers = branch
    if len(numbers) != 1:
        return label, [("", (number,)) for number in numbers]
    number = numbers[0]
    record = records[number]
    label = f"{label} = {_head(record)}" if label else _head(record)
    below = [_branch(*entry) for entry in record.entries if not _is_plain(records, *entry)]
    if below and number in shown:
        return f"{label} (see above)", []
    shown.add(number)
    return label, below


def _head(record: Record) -> str:
    if record.library not in {"", "own"}:
        return f"{record.kind} {record.name}, {record.library}{' library' if record.library == 'standard' else ''}"
    if record.digest:
        return f"{record.kind} {record.name}, {record.form} {record.digest[:_DIGITS]}"
    return f"{record.kind} {record.name}"


def _branch(role: str, name: str, text: str, numbers: tuple[int, ...]) -> _Branch:
    label = f"{role} {name}".rstrip()
    if text == "output":
        text = "only written to, does not count"
    return f"{label}: {text}" if text else label, numbers


def _is_plain(records: tuple[Record, ...], role: str, _name: str, _text: str, numbers: tuple[int, ...]) -> bool:
    # What each class has.
    usual = {"metaclass": "builtins.type", "bases": "builtins.object"}.get(role)
    return usual is not None and [records[number].name for number in numbers] == [usual]
