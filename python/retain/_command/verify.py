"""
Read every entry of a memory and check it against its digest. Damaged ones are removed: they would be computed anew.

Exit status 1 tells that there were some.
"""

from __future__ import annotations

from retain._command import GOOD, NOT_GOOD, print_json
from retain._command.store import Entry, add_folder, counted, opened
from retain._command.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "check every entry of a memory; exit status 1 if some were damaged"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    add_folder(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: Namespace) -> int:
    """Run the verb."""
    from retain._command.ls import listed

    store = opened(options)
    with Waiting("verifying") as waiting:
        checked, found = store.verify(waiting.report)
    damaged = [Entry(*each) for each in found]
    if options.json:
        print_json({"checked": checked, "damaged": [each.as_dict() for each in damaged]})
    elif damaged:
        print(f"{counted(checked, 'entry')} checked, {len(damaged):,} damaged and removed:\n")
        for line in listed(damaged):
            print(line)
    else:
        print(f"{counted(checked, 'entry')} checked, none damaged")
    return NOT_GOOD if damaged else GOOD
