"""List the entries of a memory, those that were used last first: what each was called with, and what it took."""

from __future__ import annotations

from retain._command import GOOD, print_json
from retain._command.store import add_folder, digits, entries, function_named, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

    from retain._command.store import Entry

SUMMARY = "list the entries of a memory"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    add_folder(parser)
    parser.add_argument(
        "function", nargs="?", metavar="FUNCTION", help="its entries alone; the end of its name will do"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: times in seconds since 1970, sizes in bytes")


def run(options: Namespace) -> int:
    """Run the verb."""
    store = opened(options)
    function = None if options.function is None else function_named(store, options.function)
    found = entries(store, function)
    if options.json:
        print_json([each.as_dict() for each in found])
    elif found:
        for line in listed(found):
            print(line)
    return GOOD


def listed(found: list[Entry]) -> list[str]:
    """Return the lines of a table of entries."""
    import time

    from retain._command.tables import DIM, YELLOW, table
    from retain._files.report import size
    from retain._memory.showing import ago, duration

    now = time.time()
    most = digits(found)
    rows = [
        (
            each.name[:most],
            size(each.size),
            duration(each.cost),
            ago(each.used, now),
            _call(each, now),
        )
        for each in found
    ]
    head = ("entry", "size", "took", "used", "call")
    return list(table(head, rows, left=("entry", "call"), colours={"entry": YELLOW, "used": DIM}))


def _call(entry: Entry, now: float) -> str:
    from retain._files.report import visible
    from retain._memory.showing import roughly

    ended = ""
    if entry.expires is not None:
        left = entry.expires - now
        ended = f"  (ends in {roughly(left)})" if left > 0 else f"  (ended {roughly(-left)} ago)"
    return visible(f"{entry.function}({spelled(entry.arguments)}){ended}")


def spelled(arguments: Mapping[str, str]) -> str:
    """Return arguments as they stand in a call."""
    # What a function takes besides its parameters is under the names * and **.
    return ", ".join(f"{name}{text}" if name.startswith("*") else f"{name}={text}" for name, text in arguments.items())
