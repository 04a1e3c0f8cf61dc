"""Prove that the crates import one another only along the arrows of the design.

The arrows are the table ``MAY_IMPORT`` below. Besides, whatever speaks to Python (``pyo3`` and
its relatives) is named by ``retain-python`` alone, so that every other crate builds and tests with
Rust only.

Usage: python tools/import_rule.py    (exit status 1 and one line a breach, if there is any)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PYTHON_FACE = "retain-python"
CORES = frozenset(
    {
        "retain-key",
        "retain-memory",
        "retain-format",
        "retain-store",
        "retain-pool",
        "retain-macros",
    }
)
MAY_IMPORT: dict[str, frozenset[str]] = {
    "retain-key": frozenset(),
    "retain-memory": frozenset(),
    "retain-format": frozenset(),
    "retain-pool": frozenset(),
    "retain-macros": frozenset(),
    "retain-store": frozenset({"retain-key", "retain-format"}),
    # The two faces stand side by side: both see the cores, neither sees the other.
    "retain": CORES,
    PYTHON_FACE: CORES,
}
SPEAKS_PYTHON = re.compile(r"(pyo3|numpy$)", re.IGNORECASE)
MENTIONS_PYO3 = re.compile(r"pyo3", re.IGNORECASE)


def breaches_of_arrows(packages: list[dict[str, Any]]) -> list[str]:
    """Say which crate depends on which other crate of this workspace against the arrows."""
    ours = {package["name"] for package in packages}
    found = []
    for package in packages:
        crate = package["name"]
        if crate not in MAY_IMPORT:
            found.append(f"{crate}: unknown; say in MAY_IMPORT of this script what it may import")
            continue
        for dependency in package["dependencies"]:
            name = dependency["name"]
            # Dependencies of tests and build scripts are imports as well.
            kind = f"{dependency['kind'] or 'normal'} dependency"
            if name in ours | MAY_IMPORT.keys() and name not in MAY_IMPORT[crate]:
                allowed = ", ".join(sorted(MAY_IMPORT[crate])) or "no crate of this workspace"
                found.append(f"{crate} -> {name} ({kind}): {crate} may import {allowed}")
            if SPEAKS_PYTHON.match(name) and crate != PYTHON_FACE:
                found.append(f"{crate} -> {name} ({kind}): only {PYTHON_FACE} may know Python")
    return found


def breaches_in_sources(packages: list[dict[str, Any]]) -> list[str]:
    """Say which lines outside the Python face mention pyo3, be it in a comment."""
    found = []
    for package in packages:
        if package["name"] == PYTHON_FACE:
            continue
        folder = Path(package["manifest_path"]).parent
        for file in sorted([*folder.rglob("*.rs"), *folder.rglob("*.toml")]):
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
                if MENTIONS_PYO3.search(line):
                    place = f"{package['name']}: {file.relative_to(folder)}:{number}"
                    why = f"mentions pyo3, but only {PYTHON_FACE} may know Python"
                    found.append(f"{place}: {why}: {line.strip()}")
    return found


def breaches_of_defaults(metadata: dict[str, Any]) -> list[str]:
    """Say so if a plain ``cargo build`` at the root would need a Python interpreter."""
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    if PYTHON_FACE in (names.get(member) for member in metadata["workspace_default_members"]):
        return [f"{PYTHON_FACE} is in default-members: a plain `cargo build` would need Python"]
    return []


def main() -> int:
    """Check the workspace that the current folder belongs to."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    metadata = json.loads(output)
    packages = metadata["packages"]
    found = [
        *breaches_of_arrows(packages),
        *breaches_in_sources(packages),
        *breaches_of_defaults(metadata),
    ]
    for breach in found:
        print(f"import rule broken: {breach}", file=sys.stderr)
    if not found:
        print(f"import rule holds for {', '.join(sorted(package['name'] for package in packages))}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
