"""Run every situation with joblib and with retain, and print what the user of each sees."""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults_parallel.lab import Unavailable, outcome
from faults_parallel.table import SITUATIONS, libraries


def main():
    parser = argparse.ArgumentParser(prog="python tests/faults_parallel", description=__doc__)
    parser.add_argument("names", nargs="*", help="situations; all of them if none is named")
    parser.add_argument("--markdown", action="store_true", help="print a table for documents")
    parser.add_argument("--library", action="append", choices=libraries(), help="only these")
    parser.add_argument("--errors", action="store_true", help="print what the programs said besides")
    options = parser.parse_args()
    chosen = options.library or libraries()
    if options.markdown:
        print(f"| what happens | {' | '.join(chosen)} |\n|{' --- |' * (len(chosen) + 1)}")
    wrong = []
    for name in options.names or SITUATIONS:
        each = SITUATIONS[name]
        cells = []
        for library in chosen:
            with tempfile.TemporaryDirectory(prefix="retain-faults-") as folder:
                begun = time.monotonic()
                try:
                    shown, said = outcome(each, library, folder)
                except Unavailable as error:
                    shown, said = f"(not tried: {error})", ""
                seconds = time.monotonic() - begun
            right = re.fullmatch(each.right, shown) is not None
            if library == "retain" and not right and not shown.startswith("(not"):
                wrong.append(name)
            cells.append(shown)
            if not options.markdown:
                if library == chosen[0]:
                    print(f"{name}: {each.title}")
                mark = " " if right else "!"
                print(f"  {library:<7}{mark} {shown}  ({seconds:.1f} s)", flush=True)
            if options.errors and said:
                print(said, file=sys.stderr)
        if options.markdown:
            print("| " + " | ".join(cell.replace("|", "\\|") for cell in (each.title, *cells)) + " |", flush=True)
    if wrong:
        print(f"\nretain is not as it must be: {', '.join(wrong)}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
