"""Tell what files are and what they would run, without running it: format, arrays, the classes and functions named."""

from __future__ import annotations

from retain._command import GOOD, NOT_GOOD, TROUBLE, _say, complaint, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "tell what a file holds and whether it is safe to load, without running it"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file of retain, joblib or pickle")
    add_trust(parser)
    parser.add_argument("--all", action="store_true", help="list all arrays and names, however many there are")
    parser.add_argument(
        "--json", action="store_true", help="print JSON: one object a line, or a table if it is one file"
    )


def add_trust(parser: ArgumentParser) -> None:
    """Add the option by which verbs are told what to trust."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        type=_name,
        metavar="NAME",
        help="a class or function (package.module.Class) or a whole package (sklearn) that the file may name; "
        "may be given more than once. A package's functions may do anything: trust those whose code you know.",
    )


def _name(text: str) -> str:
    if not all(part.isidentifier() for part in text.split(".")):
        raise ValueError
    return text


def run(options: Namespace) -> int:
    """Run the verb."""
    import retain

    status = GOOD
    for number, file in enumerate(options.files):
        try:
            report = retain.scan(file, trusted=options.trust)
        except Exception as error:
            said = complaint(error)
            if said is None:
                raise
            # The other files are still of interest.
            _say(said)
            status = TROUBLE
            continue
        if not report.safe:
            status = max(status, NOT_GOOD)
        if options.json:
            print_json(report.as_dict())
        else:
            print("\n" * (number > 0) + (report.as_text(None) if options.all else str(report)))
    return status
