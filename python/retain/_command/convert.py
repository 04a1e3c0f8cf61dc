"""
Write what is in file A to file B in another format, which B's extension or --to says.

.npz, .npy and .safetensors hold arrays alone, under names that tell where in the value they were. .joblib is joblib's
own layout, whose arrays joblib.load can map; all else is a file of retain, a plain pickle. A second extension says how
it is compressed: .joblib.gz, .pkl.zst. A is verified and nothing in it is run, unless you say whom to trust.
"""

from __future__ import annotations

from retain._command import GOOD, ComplaintError, _say, print_json
from retain._command.scan import add_trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SUMMARY = "write a file's value in another format: retain, joblib, npz, npy, safetensors"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("source", metavar="A", help="a file of retain, joblib, pickle, numpy or safetensors")
    parser.add_argument("target", metavar="B", help="the file to write; it appears when it is whole")
    parser.add_argument("--to", metavar="FORMAT", help="retain, joblib, npz, npy or safetensors, whatever B is called")
    parser.add_argument(
        "--compress",
        metavar="CODEC[:LEVEL]",
        help="zstd, zlib, gzip, bz2, xz, lzma, lz4, or none, whatever B is called",
    )
    add_trust(parser)
    parser.add_argument("--unsafe", action="store_true", help="load A whatever it runs")
    parser.add_argument("--skip", action="store_true", help="leave out what is no array, where B holds arrays alone")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="print nothing")


def run(options: Namespace) -> int:
    """Run the verb."""
    from dataclasses import asdict

    from retain._files.convert import convert

    codec, _, level = (options.compress or "").partition(":")
    if level and not level.isdecimal():
        raise ComplaintError(f"--compress {options.compress}: the level is no number")
    done = convert(
        options.source,
        options.target,
        to=options.to,
        compress=codec or None,
        level=int(level) if level else None,
        trusted=options.trust,
        unsafe=options.unsafe,
        skip=options.skip,
    )
    if options.json:
        print_json(asdict(done))
    elif not options.quiet:
        print(done)
        for note in done.notes:
            _say(note)
    return GOOD
