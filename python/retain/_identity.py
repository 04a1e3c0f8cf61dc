"""Who a function is: its code, what it reads from outside, and the same for what it calls."""

from __future__ import annotations

import re
from functools import partial
from types import FunctionType
from typing import NamedTuple

from retain import _retain
from retain._anatomy import CODE, ITSELF, MEMBERS, main_name
from retain._libraries import module_of, origin
from retain._survey import ATTRIBUTES_OF, DICT, SAME, TYPE, Record, Survey, anatomy, is_code, wrapping

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from typing import Any

digest_of = _retain.digest_of


class IdentityWarning(UserWarning):
    """
    Something about a function's identity that its user should know.

    Given once for each function: where it depends on something that cannot be told from its code (`eval`, `getattr` on
    a module with a computed name), or where a large value that it reads from outside is compared at each call.
    """


class Code(NamedTuple):
    """The code of a function."""

    form: str
    """
    ``"source"``: the normalised source. ``"bytecode"``: there is no source, or it is not what runs. Otherwise it is
    not the user's own (``"library"``, ``"standard"``) or no Python function (``"own"``).
    """
    digest: str
    """64 hexadecimal digits; empty where only name and version count."""


class Identity:
    """
    Who a function is, and why.

    Returned by `retain.identity`. Identities are equal if their digests are.

    Attributes
    ----------
    digest : str
        64 hexadecimal digits.
    name : str
        Module and qualified name.
    track : {"deep", "own", "version"}
        What was asked to count.
    version : str or None
        The `version` that was given.
    code : Code
        The function's own code.
    defaults, cells, globals : dict of str to str
        What the function reads from outside, by name, each described in a few words. ``"output"`` is what it only
        writes to, and does not count.
    helpers : dict of str to str
        Functions, classes and modules of the user's own that are followed, and the digest of their code.
    libraries : dict of str to str
        Libraries that count by their version.
    unresolved : tuple of str
        What cannot be followed; name it with `depends`, or give a `version`.
    opaque : tuple of str
        Values without an identity, such as locks, that count by their type only.
    """

    __slots__ = (
        "__weakref__",
        "_records",
        "_roots",
        "cells",
        "code",
        "defaults",
        "digest",
        "globals",
        "helpers",
        "libraries",
        "name",
        "opaque",
        "track",
        "unresolved",
        "version",
    )

    def __init__(  # noqa: PLR0917  # made in one place
        self, digest: str, name: str, track: str, version: str | None, survey: Survey, code: Code
    ) -> None:
        self.digest = digest
        self.name = name
        self.track = track
        self.version = version
        self.code = code
        self.libraries = dict(sorted(survey.libraries.items()))
        self.unresolved = tuple(survey.unresolved)
        self.opaque = tuple(dict.fromkeys(map(_readable, survey.opaque)))
        self._records = tuple(record for record in survey.records if record is not None)
        self._roots = tuple(survey.roots)
        own = next((record for record in self._records if record.name == name), None)
        self.defaults = _by_name(own, "default")
        self.cells = _by_name(own, "cell")
        self.globals = _by_name(own, "global")
        self.helpers = {
            record.name: record.digest for record in self._records if record.library == "own" and record is not own
        }

    def __repr__(self) -> str:
        return f"<Identity of {self.name}: {self.digest[:12]}>"

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Identity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, ({name: getattr(self, name) for name in self.__slots__ if name != "__weakref__"},)


def _restore(attributes: dict[str, Any]) -> Identity:
    found = Identity.__new__(Identity)
    for name, value in attributes.items():
        setattr(found, name, value)
    return found


def _by_name(record: Record | None, role: str) -> dict[str, str]:
    if record is None:
        return {}
    found: dict[str, str] = {}
    for its_role, name, text, targets in record.entries:
        if its_role == role:
            found[name] = text or f"see {len(targets)} below"
    return found


def parts(value: object) -> tuple[object, ...]:
    """
    Return the parts of a function, class, module or compiled function, for the walk.

    They are told by `retain._anatomy`: the kind, what is known by itself, and what was found by role and name.
    """
    found = anatomy(value)
    counted = {f"{entry.role} {entry.name}": entry.tagged() for entry in found.entries}
    return found.kind, found.head, counted


# How the path to what counts is spelled in the parts: the item under its role and name, and of that the value.
_STEP = re.compile(r" -> \['(\w+) ([^']*)'\] -> \[1\]")


def _readable(path: str) -> str:
    return _STEP.sub(r" -> \1 \2", path).removeprefix(" -> ")


_TRACKS = ("deep", "own", "version")


def _checked(
    function: object, track: object, depends: Any, version: object
) -> tuple[str, tuple[object, ...], str | None]:
    """Check the options of `identity`."""
    if type(track) is not str or track not in _TRACKS:
        kind = TypeError if type(track) is not str else ValueError
        raise kind(f"track is {track!r}, but it must be one of {', '.join(map(repr, _TRACKS))}")
    if version is not None and type(version) is not str:
        raise TypeError(f"version is {version!r}, but it is a str, such as '2', or None")
    if track == "version" and version is None:
        raise ValueError(f"track is 'version' but {_shown(function)} has no version to go by: give version='1'")
    if depends is None:
        return track, (), version
    if isinstance(depends, (str, bytes)) or not hasattr(type(depends), "__iter__"):
        raise TypeError(f"depends is {depends!r}, but it is a list of functions, classes, modules or values")
    return track, tuple(depends), version


def _shown(function: object) -> str:
    return ".".join(part for part in _name(function) if part)


def _compute(
    function: Any, track: str, depends: tuple[Any, ...], version: str | None
) -> tuple[Identity, bytes, list[tuple[object, list[tuple[object, ...]]]]]:
    """
    Find out who a function is.

    Returns
    -------
    identity : Identity
    digest : bytes
    groups : list
        What the guards are to watch. It was looked at before the digest was made: what changes meanwhile is found at
        the next call.
    """
    if not callable(function) and not is_code(function):
        raise TypeError(f"function is {function!r}, but it is a function, a class or another callable")
    survey = Survey(told=bool(depends) or version is not None)
    inner = _unwrapped(function)
    if track == "deep":
        survey.root(function)
    else:
        # Another function may come to be wrapped.
        survey.watch_wrappers(function)
    for root in depends:
        survey.root(root)
    own = _own(survey, function, inner) if track == "own" else ()
    survey.run()
    groups = survey.groups()
    code = _code(inner)
    if own and (code.form == "own" or not is_code(inner)):
        code = Code("own", _retain.digest(own, True).hex())
    if track != "deep":
        told: object = ("tracked", track, _name(inner), version, (*code, *own) if track == "own" else (), depends)
    elif depends or version is not None:
        told = ("tracked", track, function, version, depends)
    else:
        told = function
    survey.opaque.clear()
    digest = _retain.digest(told, True, survey.opaque)
    if told is not function:
        survey.opaque = [_IN_TOLD.sub(_where, path) for path in survey.opaque]
    survey.warn_unresolved(function)
    return Identity(digest.hex(), _shown(inner), track, version, survey, code), digest, groups


# The paths to what is opaque begin at the tuple of all that was told.
_IN_TOLD = re.compile(r"^ -> \[\d\](?: -> \[(\d+)\])?")


def _where(found: re.Match[str]) -> str:
    return "" if found[1] is None else f" -> depends[{found[1]}]"


def _unwrapped(value: Any) -> Any:
    """Return the function at the bottom of methods, partials, caches and decorators."""
    for _, _, inner in wrapping(value):
        value = inner
    return value


def _own(survey: Survey, function: Any, inner: Any) -> tuple[object, ...]:
    """Return what counts of a callable's own besides the code of a function, and have it watched."""
    told: list[object] = []
    for outer in (function, *(held for _, _, held in wrapping(function))):
        if type(outer) is partial:
            for name in ("args", "keywords"):
                held = getattr(outer, name)
                survey.watch(outer, ITSELF, None, (ATTRIBUTES_OF, partial, ((name, survey.expectation(held)),)))
                told.append(held)
    if type(inner) is FunctionType:
        survey.watch(inner, CODE, None, (SAME, inner.__code__))
    elif issubclass(type(inner), type):
        if origin(module_of(inner)).kind == "own":
            told.append(_own_methods(survey, inner))
    elif not is_code(inner):
        survey.watch(inner, ITSELF, None, (TYPE, type(inner)))
        told += ["instance", _own_methods(survey, type(inner))]
    return tuple(told)


def _own_methods(survey: Survey, kind: type) -> list[tuple[str, str, str]]:
    # The code of what a class, or a base of it, defines.
    found: list[tuple[str, str, str]] = []
    for number, base in enumerate(type.__dict__["__mro__"].__get__(kind)):
        if origin(module_of(base)).kind != "own":
            continue
        members = dict(type.__dict__["__dict__"].__get__(base))
        pairs = tuple((name, (SAME if _functions(held) else TYPE, held)) for name, held in members.items())
        pairs = tuple((name, (how, held if how == SAME else type(held))) for name, (how, held) in pairs)
        survey.watch(base, MEMBERS, None, (DICT, pairs))
        # Without what the standard library writes, as it does differently from version to version.
        told = {entry.name: entry.value for entry in anatomy(base).entries if entry.role == "member"}
        for name, member in sorted(told.items()):
            for function in _functions(member):
                survey.watch(function, CODE, None, (SAME, function.__code__))
                code = _code(function)
                found.append((f"{number} {name}", code.form, code.digest))
    return found


def _functions(member: Any) -> list[FunctionType]:
    # The functions behind a member of a class.
    held = [member.fget, member.fset, member.fdel] if type(member) is property else [member]
    return [inner for inner in map(_unwrapped, held) if type(inner) is FunctionType]


def _code(value: Any) -> Code:
    if not is_code(value):
        return Code("own", "")
    found = anatomy(value)
    return Code(found.form, found.digest.hex())


def _name(value: Any) -> tuple[str, str]:
    named = value if is_code(value) else type(value)
    module = main_name(getattr(named, "__module__", None))
    return module, str(getattr(named, "__qualname__", getattr(named, "__name__", "")))
