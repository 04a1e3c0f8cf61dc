"""Make a pair of keys. The secret one signs files (`retain.dump(..., sign=)`), the public one tells whose they are."""

from __future__ import annotations

import os

from retain._command import GOOD, ComplaintError, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "make a pair of keys for signing files"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("file", metavar="FILE", help="where the secret key goes; the public key goes to FILE.pub")
    parser.add_argument("--force", action="store_true", help="replace keys that are there")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: Namespace) -> int:
    """Run the verb."""
    from retain import _retain

    public_file = options.file + ".pub"
    if not options.force:
        for file in (options.file, public_file):
            if os.path.lexists(file):
                raise ComplaintError(f"{file}: exists already; a key that is replaced is lost (--force replaces it)")
    secret, public = _retain.generate_key()
    _write(options.file, secret, 0o600, options.force)
    _write(public_file, public, 0o644, options.force)
    if options.json:
        print_json({"secret_file": options.file, "public_file": public_file, "public": public})
    else:
        print(f"secret key: {options.file} (keep it to yourself)\npublic key: {public_file}\n{public}")
    return GOOD


def _write(file: str, text: str, mode: int, force: bool) -> None:
    if force:
        # A new file has the mode asked for; an old one would keep its own.
        try:
            os.unlink(file)
        except FileNotFoundError:
            pass
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as into:
        into.write(text.strip() + "\n")
