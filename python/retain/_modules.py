"""What a module is made of, where it is used as a whole; and what a function or class written in C is."""

from __future__ import annotations

import os
from types import FunctionType, ModuleType

from retain._anatomy import ITSELF, Anatomy, Check, Entry, contents, main_name, name_of_module
from retain._libraries import Origin, module_of, namespace_of, origin, stable_name
from retain._retain import digest
from retain._source import module_source, recipe

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from typing import Any

_files: dict[tuple[str, int, int], bytes] = {}


def module_anatomy(module: ModuleType) -> Anatomy:
    """Take a module apart: the user's own by its source and by all that it holds."""
    namespace = contents(module)
    name = name_of_module(module)
    whose = origin(name, namespace)
    if whose.kind != "own":
        head: tuple[object, ...] = stable_name(name, whose), whose.library, whose.version
        return Anatomy("module", name, head, whose.kind, b"", [], [], [], whose)
    entries: list[Entry] = []
    if origin(module_of(type(module))).kind == "own":
        entries.append(Entry("class", "", "value", type(module)))
    now = namespace.copy()
    counted = {key for key, value in now.items() if type(key) is str and _counts(key, value)}
    replaced = False
    for key in sorted(counted):
        value = now[key]
        entries.append(Entry("value", key, "value", value))
        if type(value) is FunctionType and value.__module__ == name:
            replaced = replaced or recipe(value).form != "source"
    checks = [Check(module, ITSELF, None, "contents", {key: (key in counted, value) for key, value in now.items()})]
    # A function whose source is not what runs: the file has been edited since, and tells nothing of the module.
    source = None if replaced else module_source(name, namespace)
    file = None if source is not None else _content(namespace.get("__file__"))
    form = "source" if source is not None else "file" if file is not None else "values"
    return Anatomy(
        "module", name, (main_name(name), form, source or file), form, source or file or b"", entries, checks, [], whose
    )


def _counts(name: str, value: object) -> bool:
    # Not what the interpreter puts into each module, nor what `from __future__ import ...` leaves there.
    if name.startswith("__") and name.endswith("__"):
        return type(value) is FunctionType
    return module_of(type(value)) != "__future__"


def compiled_anatomy(function: Any) -> Anatomy:
    """Tell a function or descriptor written in C by its name, and by the version or file of its module."""
    owner = getattr(function, "__self__", None)
    of = getattr(function, "__objclass__", None)
    module = getattr(function, "__module__", None) or getattr(of, "__module__", None)
    if type(module) is not str:
        module = ""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", "")
    whose, file = compiled_origin(module)
    head = type(function).__name__, stable_name(module, whose), str(name), whose.library, whose.version, file
    is_free = owner is None or isinstance(owner, ModuleType)
    exported = None if is_free else exported_by(function, owner)
    if exported is not None:
        whose = exported
        head = "exported", stable_name(module_of(type(owner)), whose), str(name), whose.library, whose.version, None
    entries: list[Entry] = []
    checks: list[Check] = []
    if not is_free and exported is None:
        entries.append(Entry("self", "", "value", owner))
        checks.append(Check(function, ITSELF, None, "self", owner))
    shown = f"{module}.{name}" if module else str(name)
    return Anatomy("compiled", shown, head, whose.kind, b"", entries, checks, [], whose)


def exported_by(method: Any, owner: object) -> Origin | None:
    """
    Tell whether a method of an instance is a library's function, as `random.random` is; if so, whose.

    It counts by its name then, whatever state the instance behind it is in, as if it were spelled ``random.random``.
    """
    module = module_of(type(owner))
    whose = origin(module)
    name = getattr(method, "__name__", None)
    if whose.kind == "own" or type(name) is not str:
        return None
    return whose if (namespace_of(module) or {}).get(name) is method else None


def compiled_origin(module: str) -> tuple[Origin, bytes | None]:
    """Tell whose a module is that is not written in Python; for the user's own, with a digest of its file."""
    if not module:
        return Origin("standard"), None
    whose = origin(module)
    if whose.kind != "own":
        return whose, None
    return whose, _content((namespace_of(module) or {}).get("__file__"))


def _content(filename: object) -> bytes | None:
    # The digest of a compiled module's file.
    if type(filename) is not str or filename.endswith((".py", ".pyc")):
        return None
    try:
        status = os.stat(filename)  # as below
        key = filename, status.st_mtime_ns, status.st_size
        if key not in _files:
            with open(filename, "rb") as file:  # a name, not a path, is what modules have
                _files[key] = digest(file.read())
        return _files[key]
    except OSError:
        return None
