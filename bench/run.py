"""Measures retain against its peers: `python bench/run.py [--quick] [--only NAME] [--json FILE]`.

Peers take turns with retain, in one process where that is possible, in many short rounds. The
figures are medians. On a busy machine the ratios are what counts.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

BENCHES = ("hits", "misses", "memory", "imports", "hashing", "persistence", "stored", "parallel")


def main():
    parser = argparse.ArgumentParser(description="Measure retain against its peers.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", action="append", choices=BENCHES, metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    options = parser.parse_args()

    machine = (
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )
    print(machine)
    tables = []
    for name in options.only or BENCHES:
        for table in importlib.import_module(name).measure(options.quick):
            print(table, flush=True)
            tables.append((name, table))

    targets = [target for _, table in tables for target in table.targets()]
    missed = [(what, target) for what, target in targets if not target.met]
    print(f"\n{len(targets) - len(missed)} of {len(targets)} targets met")
    for what, target in missed:
        print(f"  {target.value:.2f}, target {target}: {what}")
    if options.json:
        figures = [{"bench": name, **table.as_json()} for name, table in tables]
        options.json.write_text(json.dumps({"machine": machine, "tables": figures}, indent=1))
        print(f"\nwritten to {options.json}")


if __name__ == "__main__":
    sys.exit(main())
