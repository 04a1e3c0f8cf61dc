"""Whose a module is: the standard library's, an installed library's, or the user's own."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import Distribution


class Origin(NamedTuple):
    """Whose a module is."""

    kind: str
    """``"standard"``, ``"library"`` or ``"own"``."""
    library: str = ""
    """Name of the distribution."""
    version: str = ""


STANDARD = Origin("standard")
OWN = Origin("own")

_STANDARD_FOLDER = os.path.dirname(os.path.realpath(os.__file__))  # a str is compared
_INSTALLED = ("site-packages", "dist-packages")
# By name and file: another file under the name, or the same after a move, is looked at anew.
_known: dict[tuple[str, str | None], Origin] = {}
_MODULE = type.__dict__["__module__"].__get__


def origin(name: object, namespace: Mapping[str, object] | None = None) -> Origin:
    """
    Tell whose a module is.

    Parameters
    ----------
    name : str
        The module's name. Anything else is taken for the user's own.
    namespace : mapping, optional
        The module's ``__dict__``, or a function's globals; that of the imported module by default.
    """
    if type(name) is not str:
        return OWN
    if namespace is None:
        namespace = namespace_of(name)
    file = namespace.get("__file__") if namespace is not None else None
    if type(file) is not str:
        file = None
        if (
            namespace is not None
            and name.partition(".")[0] in sys.stdlib_module_names
            and namespace is not namespace_of(name)
        ):
            return OWN  # it was executed under the name of a module
    key = name, file
    found = _known.get(key)
    if found is None:
        found = _known[key] = _find(name, file)
    return found


def stable_name(name: str, whose: Origin) -> str:
    """Return a module's name; of the standard library's, one that stays as its parts move from file to file."""
    if whose.kind != "standard":
        return name
    first, *rest = name.split(".")
    return ".".join([first.lstrip("_"), *(part for part in rest if not part.startswith("_"))])


def namespace_of(name: str) -> dict[str, object] | None:
    """Return the ``__dict__`` of an imported module, past whatever its class makes of attributes."""
    module = sys.modules.get(name)
    if not issubclass(type(module), type(sys)):
        return None
    found: dict[str, object] = object.__getattribute__(module, "__dict__")
    return found


def _find(name: str, file: str | None) -> Origin:
    top = name.partition(".")[0]
    if top == "retain":
        import retain

        return Origin("library", "retain", retain.__version__)
    if top in {"__main__", "__mp_main__"}:
        return OWN
    if file is None:
        if top in sys.stdlib_module_names:
            return STANDARD
        # A library's module that has no file (six.moves) is the library's; a namespace package has none either.
        return origin(top) if "." in name and namespace_of(top) is not None else OWN
    return _of_file(top, os.path.realpath(file))


def _of_file(top: str, path: str) -> Origin:
    if any(f"{os.sep}{folder}{os.sep}" in path for folder in _INSTALLED):
        found = version_of(top)
        return OWN if found is None else Origin("library", *found)
    is_standard = top in sys.stdlib_module_names and path.startswith(_STANDARD_FOLDER + os.sep)
    return STANDARD if is_standard else OWN


def version_of(top: str) -> tuple[str, str] | None:
    """Return the name and the version of the library that a top-level module belongs to."""
    from retain._installed import Unusual, library_of

    try:
        found = library_of(top)
    except Unusual:
        found = _told_by_importlib(top)
    if found is not None:
        return found
    version = (namespace_of(top) or {}).get("__version__")
    return (top, version) if type(version) is str else None


def _told_by_importlib(top: str) -> tuple[str, str] | None:
    from importlib import metadata

    try:
        return top, _told(metadata.distribution(top), "Version")
    except (metadata.PackageNotFoundError, ValueError):
        pass
    distributions = [each for each in metadata.distributions() if _has(each, top)]
    found = sorted({(_told(each, "Name"), _told(each, "Version")) for each in distributions})
    if not found:
        return None
    return " ".join(name for name, _ in found), " ".join(version for _, version in found)


def _told(distribution: Distribution, header: str) -> str:
    # Not `distribution.version`, which warns where the metadata lack it.
    found = distribution.metadata
    return found[header] if header in found else str(None)


def _has(distribution: Distribution, top: str) -> bool:
    # Whether a distribution installed a top-level module. Its lists are long, and are looked through as text.
    if top in (distribution.read_text("top_level.txt") or "").split():
        return True
    record = "\n" + (distribution.read_text("RECORD") or "")
    return f"\n{top}/" in record or f"\n{top}.py," in record or f"\n{top}.cpython-" in record


def module_of(kind: type) -> str:
    """Return the name of a class's module, past whatever its metaclass makes of attributes."""
    try:
        name = _MODULE(kind)
    except AttributeError:
        return ""
    return name if type(name) is str else ""


def origin_unimported(name: str) -> Origin:
    """Tell whose a module is that may not have been imported, without importing it."""
    if name in sys.modules:
        return origin(name)
    top = name.partition(".")[0]
    if top in sys.modules:
        found = origin(top)
        return found if found.kind != "own" else OWN
    from importlib.util import find_spec

    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return OWN
    if spec is None:
        return OWN
    file = spec.origin if spec.has_location else None
    if file is None and spec.submodule_search_locations:
        file = next(iter(spec.submodule_search_locations), None)
    return _find(name, file)
