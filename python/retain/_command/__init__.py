"""
The command `retain`: its verbs, and what they have in common.

A verb is a module of this package with `SUMMARY` (a line for the help), `add_arguments(parser)` and
`run(options)`, which returns the exit status. It raises `ComplaintError`, or an error of the operating system or of
retain, for what its user is to be told in one line.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence
    from typing import TextIO

# In the order of the help. The modules are imported when the command runs, and are light: what a verb works with it
# imports in `run`.
VERBS = ("stat", "ls", "show", "rm", "gc", "verify", "clear", "explain", "scan", "convert", "keygen")

GOOD = 0
NOT_GOOD = 1  # the answer is no: what a script asks for with `if`
TROUBLE = 2  # no answer: wrong arguments, no such file, damaged files

_EPILOG = """\
exit status: 0 all is well; 1 the answer is no (scan, show: the file is not safe to load; verify: some entries were
damaged; explain: the call would not be answered; clear: you said no); 2 there was an error
"""


class ComplaintError(Exception):
    """What is wrong, for the user, in a line."""


def parser() -> ArgumentParser:
    """Return the parser of the command line."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter
    from importlib import import_module

    from retain import __version__

    top = ArgumentParser(
        prog="retain",
        description="Compute once, retain the result: what can be done from the command line.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"retain {__version__}")
    below = top.add_subparsers(metavar="VERB", required=True, title="verbs")
    for name in VERBS:
        verb = import_module(f"retain._command.{name}")
        one = below.add_parser(name, help=verb.SUMMARY, description=verb.__doc__, epilog=_EPILOG)
        verb.add_arguments(one)
        one.set_defaults(run=verb.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments behind the command's name; by default those of this process.
    """
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has had enough. What is still buffered has nowhere to go.
        _to_nowhere(sys.stdout)
        return GOOD
    except KeyboardInterrupt:
        return 130  # what shells report for an interrupted command
    except Exception as error:
        said = complaint(error)
        if said is None:
            raise
        _say(said)
        return TROUBLE
    return status


def complaint(error: Exception) -> str | None:
    """Return the line that tells the user of an expected error; None for others, which are bugs."""
    from pickle import UnpicklingError

    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    if isinstance(error, (ComplaintError, OSError, UnpicklingError, ImportError)):
        return str(error)
    # retain.SignatureError, retain.StoreError and what the readers of foreign formats raise.
    if isinstance(error, (ValueError, RuntimeError)) and type(error).__module__.partition(".")[0] == "retain":
        return str(error)
    return None


def _say(text: str) -> None:
    from retain._files.report import visible

    lines = "\n".join(visible(line) for line in text.splitlines())
    try:
        print(f"retain: {lines}", file=sys.stderr)
    except BrokenPipeError:
        _to_nowhere(sys.stderr)


def _to_nowhere(stream: TextIO) -> None:
    # The interpreter flushes its streams once more as it ends, and would complain.
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError:
        pass


def print_json(value: object) -> None:
    """Print a value as JSON, indented where people read it."""
    import json

    print(json.dumps(value, indent=1 if sys.stdout.isatty() else None))
