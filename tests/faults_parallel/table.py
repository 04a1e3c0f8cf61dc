"""All situations."""

from importlib import import_module
from importlib.util import find_spec

from faults_parallel.lab import LIBRARIES, TABLE

for module in ("workers", "errors", "ending", "places", "programs"):
    import_module("faults_parallel." + module)
SITUATIONS = {each.name: each for each in TABLE}


def libraries():
    return [library for library in LIBRARIES if find_spec(library) is not None]
