"""
Make a memory smaller: what is out of date goes first, then what was not used for longest.

Sizes are bytes, or end in K, M, G or T (powers of 1024). Ages are seconds, or end in s, m (minutes), h, d or w.
"""

from __future__ import annotations

from argparse import ArgumentTypeError

from retain._command import GOOD, ComplaintError, print_json
from retain._command.store import add_folder, counted, opened
from retain._command.waiting import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "make a memory smaller: by bytes, entries or age"

_AGES = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    add_folder(parser)
    parser.add_argument("--max-bytes", type=size_given, metavar="SIZE", help="keep no more than that, such as 10G")
    parser.add_argument("--max-items", type=count_given, metavar="N", help="keep no more entries than that")
    parser.add_argument("--max-age", type=age_given, metavar="AGE", help="keep nothing older than that, such as 30d")
    parser.add_argument("--json", action="store_true", help="print JSON")


def size_given(text: str) -> int:
    """Return the bytes that a text such as ``10G`` stands for."""
    from retain._memory.sizes import parse_size

    try:
        return parse_size("", text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no size such as 10G") from None


def age_given(text: str) -> float:
    """Return the seconds that a text such as ``30d`` stands for."""
    number = text.rstrip("smhdw")
    factor = _AGES.get(text[len(number) :])
    # No signs, exponents or infinities.
    if factor is None or not number.strip().replace(".", "", 1).isdecimal():
        raise ArgumentTypeError(f"{text!r} is no age such as 30d")
    return float(number) * factor


def count_given(text: str) -> int:
    """Return a number of entries."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no number of entries")
    return int(text)


def run(options: Namespace) -> int:
    """Run the verb."""
    from retain._files.report import size
    from retain._memory.showing import statistics, total

    if options.max_bytes is None and options.max_items is None and options.max_age is None:
        raise ComplaintError("to what? --max-bytes 10G, --max-items 100000, --max-age 30d")
    store = opened(options)
    with Waiting("removing"):
        items, freed = store.reduce(options.max_bytes, options.max_items, options.max_age)
        left = total(statistics(store))
    if options.json:
        print_json({"removed": items, "bytes": freed, "left": left.entries, "left_bytes": left.bytes})
    else:
        print(
            f"{counted(items, 'entry')} removed, {size(freed)}; "
            f"{counted(left.entries, 'entry')} left, {size(left.bytes)}"
        )
    return GOOD
