"""Folders of `retain.Memory`, as verbs are given them, and the entries in them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from retain._command import ComplaintError
from retain._command.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Sequence
    from typing import Any

_MARKER = "retain-store"
_BELOW = "retain"  # what Memory calls its folder
_DIGITS = 10  # of an entry's name, where that tells it apart


def add_folder(parser: ArgumentParser) -> None:
    """Add the arguments that all verbs of folders have."""
    parser.add_argument("folder", metavar="DIR", help="what Memory was given as its location, or the folder in it")
    add_key(parser)


def add_key(parser: ArgumentParser) -> None:
    """Add the option for folders whose entries are authenticated."""
    parser.add_argument("--key", metavar="FILE", help="the file that holds the key of a memory that was given one")


def opened(options: Namespace) -> Any:
    """Return the store in the folder that a verb was given."""
    from retain._retain import Store

    return Store.open(located(options.folder), key=None if options.key is None else key_in(options.key))


def key_in(file: str) -> bytes:
    """Return the key that a file holds."""
    from pathlib import Path

    from retain._memory.keys import store_key

    try:
        return store_key(Path(file))
    except ValueError as error:
        raise ComplaintError(f"{file}: {error}") from error


def located(folder: str) -> str:
    """Return the path of the store in a folder, which is not made where there is none."""
    for path in (folder, os.path.join(folder, _BELOW)):
        try:
            os.stat(os.path.join(path, _MARKER))
        except (FileNotFoundError, NotADirectoryError):
            continue
        return path
    os.stat(folder)
    if not os.path.isdir(folder):
        raise ComplaintError(f"{folder}: not a folder")
    if os.path.isdir(os.path.join(folder, "joblib")) or os.path.basename(os.path.abspath(folder)) == "joblib":
        raise ComplaintError(f"{folder}: holds results of joblib, which are read by joblib alone")
    raise ComplaintError(f"{folder}: no memory of retain")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry, in the order in which the store lists its parts."""

    call: bytes
    function: str
    created: float
    used: float
    expires: float | None
    cost: float
    size: int
    about: bytes

    @property
    def name(self) -> str:
        """Who it is, in digits of which the first tell it apart."""
        version, arguments = (int.from_bytes(half) for half in (self.call[:32], self.call[32:]))
        return f"{version ^ arguments:064x}"

    @property
    def arguments(self) -> dict[str, str]:
        """The texts of what the function was called with, as far as they were kept."""
        from retain._memory.reprs import input_args

        return input_args(self.about)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "name": self.name,
            "function": self.function,
            "arguments": self.arguments,
            "created": self.created,
            "used": self.used,
            "expires": self.expires,
            "cost": self.cost,
            "size": self.size,
        }


def entries(store: Any, function: str | None = None) -> list[Entry]:
    """Return the entries of a store or of a function, those that were used last first."""
    with Waiting("listing"):
        found = [Entry(*each) for each in store.entries(function)]
        found.sort(key=lambda each: (-each.used, each.call))
    return found


def digits(found: Sequence[Entry]) -> int:
    """Return how many digits of their names tell entries apart."""
    names = sorted(each.name for each in found)
    same = max(map(_common, names, names[1:]), default=0)
    return max(_DIGITS, same + 1)


def _common(one: str, other: str) -> int:
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), 0)


def named(store: Any, names: Iterable[str]) -> list[Entry]:
    """Return the entries whose names begin like that."""
    every = [(each.name, each) for each in entries(store)]
    found: dict[bytes, Entry] = {}
    for name in names:
        start = name.lower()
        fitting = [each for its_name, each in every if its_name.startswith(start)] if start else []
        if not fitting:
            raise ComplaintError(f"{name}: no entry's name begins so (`retain ls` lists them)")
        if len(fitting) > 1:
            most = digits(fitting)
            shown = ", ".join(each.name[:most] for each in fitting[:5])
            raise ComplaintError(f"{name}: {len(fitting):,} entries' names begin so: {shown}")
        found[fitting[0].call] = fitting[0]
    return list(found.values())


def stored(store: Any, entry: Entry) -> Any:
    """Return what `outlined` takes of an entry's value; None if it is not there any more."""
    found = store.get(entry.call)
    return None if found is None else found[0]


def counted(number: int, noun: str) -> str:
    """Return a number of things."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def function_named(store: Any, name: str) -> str:
    """Return the function that is called so, in full or by the last parts of its name."""
    every = [each[0] for each in store.functions()]
    if name in every:
        return name
    fitting = [each for each in every if each.endswith(f".{name}")]
    if len(fitting) == 1:
        return str(fitting[0])
    if fitting:
        raise ComplaintError(f"{name}: which of {', '.join(sorted(fitting))}?")
    from difflib import get_close_matches

    short: dict[str, list[str]] = {}
    for each in every:
        short.setdefault(each.rpartition(".")[2], []).append(each)
    near = get_close_matches(name, every, 3)
    near += [each for last in get_close_matches(name, short, 3) for each in short[last] if each not in near]
    raise ComplaintError(f"{name}: no such function" + (f"; there is {', '.join(near[:3])}" if near else ""))
