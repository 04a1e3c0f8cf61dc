"""Context variables, which other processes know by where they are found."""

from __future__ import annotations

import sys
from contextvars import ContextVar, copy_context
from importlib import import_module
from typing import Any

_places: dict[ContextVar[Any], tuple[str, str] | None] = {}
# Those of modules that are not here, such as the program itself.
_made: dict[tuple[str, str], ContextVar[Any]] = {}


def place(variable: ContextVar[Any]) -> tuple[str, str]:
    """Return the module in which a variable is found, and its name there."""
    found = _place(variable)
    if found is None:
        raise TypeError(
            f"the context variable {variable.name!r} belongs to no module, so that other processes cannot find it; "
            "make it a global variable of a module"
        )
    return found


def variable(module: str, name: str) -> ContextVar[Any]:
    """Return the variable that is found there."""
    if module != "__main__":
        found = getattr(import_module(module), name, None)
        if isinstance(found, ContextVar):
            return found
    made = _made.get((module, name))
    if made is None:
        made = _made[module, name] = ContextVar(name)
        _places[made] = (module, name)
    return made


def values() -> list[tuple[str, str, Any]]:
    """Return the module, name and value of each variable that is set and that others can find."""
    return [(*found, value) for variable, value in copy_context().items() if (found := _place(variable)) is not None]


def _place(variable: ContextVar[Any]) -> tuple[str, str] | None:
    if variable in _places:
        return _places[variable]
    found = None
    for module, namespace in list(sys.modules.items()):
        for name, value in list(getattr(namespace, "__dict__", {}).items()):
            if value is variable:
                found = (module, name)
                break
        if found is not None:
            break
    _places[variable] = found
    return found
