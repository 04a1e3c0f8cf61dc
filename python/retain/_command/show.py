"""Print the outline of a file's value: plain data, arrays by shape and dtype, objects by class. Nothing is run."""

from __future__ import annotations

from retain._command import GOOD, NOT_GOOD, _say, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "print the outline of a file's value, without running it"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("file", metavar="FILE", help="a file of retain, joblib or pickle; .npy, .npz, .safetensors")
    parser.add_argument("--depth", type=_count, default=4, metavar="N", help="how deep to go (default: 4)")
    parser.add_argument(
        "--items", type=_count, default=10, metavar="N", help="how many members of each container (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 1_000_000:
        raise ValueError
    return number


def run(options: Namespace) -> int:
    """Run the verb."""
    from retain._files.errors import UnsafeFileError
    from retain._files.showing import show

    try:
        node = show(options.file, options.items)
    except UnsafeFileError as error:
        _say(str(error))
        return NOT_GOOD
    # Deeper than this, the printing itself would run out of stack.
    depth = min(options.depth, 200)
    if options.json:
        print_json({"filename": options.file, **node.as_dict(depth)})
    else:
        for line in node.lines(depth):
            print(line)
    return GOOD
