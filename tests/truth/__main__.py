"""Run every situation with joblib and with retain, and print what each made of it.

A word stands for each call: what it returned, with a star where the function was computed.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from truth.table import ALL, SITUATIONS, libraries, outcomes, row


def main():
    parser = argparse.ArgumentParser(prog="python tests/truth", description=__doc__)
    parser.add_argument("names", nargs="*", help="situations; all in which joblib fails if none is named")
    parser.add_argument("--markdown", action="store_true", help="print a table for documents")
    parser.add_argument("--library", action="append", choices=[*libraries(), "retain, plain"], help="only these")
    parser.add_argument("--errors", action="store_true", help="print what the programs said besides")
    options = parser.parse_args()
    chosen = options.library or libraries()
    names = options.names or list(SITUATIONS)
    found = outcomes(names, chosen)
    header = ["situation", "right", *chosen, "threads"]
    rows = [row(ALL[name], found, chosen) for name in names]
    if options.markdown:
        print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
        for cells in rows:
            print("| " + " | ".join(cell.replace("*", "\\*").replace("|", "\\|") for cell in cells) + " |")
    else:
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for cells in [header, *rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    if options.errors:
        for (name, library), (_, errors) in found.items():
            print(f"\n--- {name} with {library}\n{errors}")
    for library in chosen:
        right = sum(found[name, library][0] == ALL[name].right for name in names)
        print(f"\n{library}: right in {right} of {len(names)}")


if __name__ == "__main__":
    main()
