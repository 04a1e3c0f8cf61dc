"""Tell what a memory holds and what it was good for: entries, bytes, hits and the time that they saved, by function."""

from __future__ import annotations

from retain._command import GOOD, print_json
from retain._command.store import add_folder, counted, opened
from retain._command.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from retain._memory.showing import Statistics

SUMMARY = "tell what a memory holds and what it was good for, by function"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    add_folder(parser)
    parser.add_argument("--json", action="store_true", help="print JSON: times in seconds, sizes in bytes")


def run(options: Namespace) -> int:
    """Run the verb."""
    import time

    from retain._command.tables import table
    from retain._files.report import visible
    from retain._memory.showing import ALL, HEAD, ago, row, statistics, total

    store = opened(options)
    with Waiting("counting"):
        found = statistics(store)
    every = total(found)
    if options.json:
        plain = every.as_dict()
        del plain["function"], plain["used"], plain["versions"]
        functions = [each.as_dict() for each in found]
        print_json({"folder": store.path, "layout": store.layout, **plain, "functions": functions})
        return GOOD
    print(f"{visible(store.path)}: {store.layout}, {counted(len(found), 'function')}")
    if found:
        now = time.time()
        head = (*HEAD[:1], "versions", *HEAD[1:], "last used")
        rows = [_cells(row(each), each, ago(each.used, now)) for each in found]
        sums = _cells(row(every, ALL), every, ago(every.used, now))
        print()
        for line in table(head, rows, left=HEAD[:1], last=sums):
            print(line)
    return GOOD


def _cells(row: tuple[str, ...], each: Statistics, used: str) -> tuple[str, ...]:
    return row[0], f"{each.versions:,}", *row[1:], used
