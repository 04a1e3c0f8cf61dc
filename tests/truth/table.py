"""All situations, and their table."""

from __future__ import annotations

import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from truth.lab import LIBRARIES, TABLE, Templates, outcome, verdict

for module in ("functions", "code", "arguments", "arrays", "sharing"):
    import_module("truth." + module)
SITUATIONS = {each.name: each for each in TABLE if each.joblib != each.right}
ALL = {each.name: each for each in TABLE}
RIGHT_IN_BOTH = {each.name: each for each in TABLE if each.joblib == each.right}


def libraries():
    return [library for library in LIBRARIES if find_spec(library) is not None]


def outcomes(names, chosen, told=lambda *_: None):
    """Run situations with libraries; what each showed, by name and library."""
    found = {}
    with Templates() as templates, tempfile.TemporaryDirectory() as folder:
        for name in names:
            for library in chosen:
                found[name, library] = outcome(ALL[name], library, templates, Path(folder) / f"{name}-{library}")
            told(name, found)
    return found


def row(situation, found, chosen):
    """Return the cells of a row, and whether retain is right in it."""
    cells = [situation.title, situation.right]
    for library in chosen:
        shown = found[situation.name, library][0]
        cells.append(f"{shown} ({verdict(situation.right, shown)})" if shown != situation.right else "right")
    return [*cells, situation.threads]
