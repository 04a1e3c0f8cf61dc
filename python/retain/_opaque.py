"""What counts, among what a function reads, of values without an identity, or with one that tells nothing of code."""

from __future__ import annotations

from retain._libraries import module_of, origin
from retain._parts import attributes

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from typing import Any


def parts(value: Any) -> tuple[object, ...]:
    """
    Return the parts of a value that has no identity.

    Those are its class, and of an instance of the user's own class its attributes: those of others come and go as they
    are used, as the threads of an executor do.
    """
    kind = type(value)
    if origin(module_of(kind)).kind == "own":
        return "opaque", kind, attributes(kind)(value)
    return "opaque", kind


def named(value: Any, module: str, name: str) -> tuple[object, ...]:
    """Return the parts of a value that is pickled by its name: outside of the standard library, code goes with it."""
    kind = type(value)
    if origin(module_of(kind)).kind == "standard":
        return "global", module, name
    return "global", module, name, kind, attributes(kind)(value)


def keyed(value: Any, name: str, key: object) -> tuple[object, ...]:
    """Return the parts of a value for which a key stands: what its methods do is not in the key."""
    return "key", name, key, type(value)
