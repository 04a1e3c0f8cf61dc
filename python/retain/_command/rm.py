"""Remove entries of a memory. What they hold is computed again when it is next asked for."""

from __future__ import annotations

from retain._command import GOOD, print_json
from retain._command.store import add_folder, counted, named, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "remove entries of a memory"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    add_folder(parser)
    parser.add_argument(
        "entries", nargs="+", metavar="ENTRY", help="how its name begins, as `retain ls` prints it; all are found first"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: Namespace) -> int:
    """Run the verb."""
    from retain._files.report import size

    store = opened(options)
    removed = [each for each in named(store, options.entries) if store.remove(each.call)]
    freed = sum(each.size for each in removed)
    if options.json:
        print_json({"removed": [each.as_dict() for each in removed], "bytes": freed})
    else:
        print(f"{counted(len(removed), 'entry')} removed, {size(freed)}")
    return GOOD
