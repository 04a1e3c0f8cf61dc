"""
What is installed, by the folders that installers leave.

`importlib.metadata` tells the same, but to import it and to have it parse whole files takes longer than all else that
the first hit of a process needs. So what is as usual is read here, and of the rest it is said that it is `Unusual`.
"""

from __future__ import annotations

import os
import stat
import sys

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDINGS = (".dist-info", ".egg-info")
_IN_HEADERS = frozenset("abcdefghijklmnopqrstuvwxyz-")
_IN_VALUES = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.!+_-")
# What a folder of the path holds: the state that it was read in, and its infos by the names of distributions.
_read: dict[str, tuple[tuple[int, int, int], dict[str, list[str]]]] = {}


class Unusual(Exception):  # noqa: N818 - no error, but a turn to another way
    """`importlib.metadata` is to be asked."""


def library_of(top: str) -> tuple[str, str] | None:
    """
    Return the name and the version of the distribution that a top-level module belongs to; None if there is none.

    A distribution of the module's own name counts first. Of others that installed it, all are told.

    Raises
    ------
    Unusual
        If that cannot be told from plain folders alone.
    """
    if not top.isidentifier():
        raise Unusual
    _check_finders()
    name = _normal(top)
    for folder in sys.path:
        infos = _infos(folder).get(name)
        if infos:
            if len(infos) > 1:
                raise Unusual
            return top, _name_and_version(infos[0])[1]
    found = sorted({_name_and_version(info) for info in _all_infos() if _has(info, top)})
    if not found:
        return None
    return " ".join(name for name, _ in found), " ".join(version for _, version in found)


def _check_finders() -> None:
    from importlib.machinery import PathFinder

    asked = [finder for finder in sys.meta_path if getattr(finder, "find_distributions", None) is not None]
    if len(asked) != 1 or asked[0] is not PathFinder:
        raise Unusual


def _all_infos() -> Iterator[str]:
    for folder in dict.fromkeys(sys.path):
        for infos in _infos(folder).values():
            yield from infos


def _infos(folder: object) -> dict[str, list[str]]:
    """Return the infos in a folder of the path."""
    if type(folder) is not str or os.path.basename(folder).lower().endswith(".egg"):
        raise Unusual
    try:
        state = os.stat(folder or ".")
        if not stat.S_ISDIR(state.st_mode):
            raise Unusual  # an archive
        now = state.st_dev, state.st_ino, state.st_mtime_ns
        known = _read.get(folder)
        if known is not None and known[0] == now:
            return known[1]
        children = os.listdir(folder or ".")
    except OSError:
        return {}
    except ValueError as error:
        raise Unusual from error
    infos: dict[str, list[str]] = {}
    for child in children:
        low = child.lower()
        if low.endswith(_ENDINGS):
            name = _normal(low.rpartition(".")[0].partition("-")[0])
            infos.setdefault(name, []).append(os.path.join(folder, child))
    _read[folder] = now, infos
    return infos


def _normal(name: str) -> str:
    name = name.lower().replace("-", "_").replace(".", "_")
    while "__" in name:
        name = name.replace("__", "_")
    return name


def _name_and_version(info: str) -> tuple[str, str]:
    try:
        with open(os.path.join(info, "METADATA"), encoding="utf-8") as file:
            lines = file.read().split("\n")
    except (OSError, ValueError) as error:
        raise Unusual from error
    found: dict[str, str] = {}
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        header, colon, value = line.partition(":")
        header = header.lower()
        if not colon or not header or not _IN_HEADERS.issuperset(header):
            break
        if header in {"name", "version"}:
            value = value.lstrip(" \t")
            if header in found or not value or not _IN_VALUES.issuperset(value) or following[:1] in {" ", "\t"}:
                break
            found[header] = value
            if len(found) == 2:
                return found["name"], found["version"]
    raise Unusual


def _has(info: str, top: str) -> bool:
    """Tell whether a distribution installed a top-level module; its lists are long, and looked through as they are."""
    name = top.encode()
    if name in _content(info, "top_level.txt").split():
        return True
    record = b"\n" + _content(info, "RECORD")
    return any(b"\n" + name + rest in record for rest in (b"/", b".py,", b".cpython-"))


def _content(info: str, name: str) -> bytes:
    try:
        with open(os.path.join(info, name), "rb") as file:
            content = file.read()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
        return b""
    except OSError as error:
        raise Unusual from error
    return content.replace(b"\r", b"\n") if b"\r" in content else content
