"""Remove all entries of a memory, or all of one function. On a terminal it asks first."""

from __future__ import annotations

import sys

from retain._command import GOOD, NOT_GOOD, print_json
from retain._command.store import add_folder, counted, function_named, opened
from retain._command.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "remove all entries of a memory, or of a function"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    add_folder(parser)
    parser.add_argument(
        "function", nargs="?", metavar="FUNCTION", help="its entries alone; the end of its name will do"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: Namespace) -> int:
    """Run the verb."""
    from retain._files.report import size, visible
    from retain._memory.showing import statistics, total

    store = opened(options)
    function = None if options.function is None else function_named(store, options.function)
    if not options.yes and sys.stdin.isatty():
        there = total(each for each in statistics(store) if function in (None, each.function))
        what = f"{counted(there.entries, 'entry')}, {size(there.bytes)}, of {visible(function or store.path)}"
        if not _agrees(f"Remove {what}? [y/N] "):
            return NOT_GOOD
    with Waiting("removing"):
        removed = store.clear(function)
    if options.json:
        print_json({"removed": removed})
    else:
        print(f"{counted(removed, 'entry')} removed")
    return GOOD


def _agrees(question: str) -> bool:
    # Not input(), which would write the question where the output goes.
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
