"""`safe_load`: files of strangers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from retain._files.errors import CorruptFileError, UnsafeFileError
from retain._files.load import is_regular, named
from retain._files.unpickler import Unpickler
from retain._retain import Block, Reader, scan_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Bytes of a file, uncompressed, that are taken into memory at most.
LIMIT = 1 << 36
# So many are not asked about, however small the file.
FLOOR = 1 << 28


def safe_load(filename: Any, trusted: Iterable[str] = (), *, max_bytes: int | None = None) -> Any:
    """
    Read a value from a file of a stranger: nothing in it is run before all of it was verified.

    Plain data, numpy, pandas, pyarrow, scipy's sparse matrices and the data types of the standard library need no
    trust. Whatever else the file names is refused, unless it is trusted.

    Parameters
    ----------
    filename : str, bytes, os.PathLike or file object
        What to read, as for `load`. A file object is read to its end.
    trusted : iterable of str, default ()
        What else the file may use: a class, as in "sklearn.ensemble._forest.RandomForestClassifier", or a package, as
        in "sklearn", with all classes that are defined in it. Grant a package only if you would run any of its classes
        with arguments that a stranger chose; classes one by one are the safer grant. `scan` tells what a file wants.
    max_bytes : int, optional
        How many bytes the file may have, uncompressed: 64 GiB by default, and of a compressed file not more than 256
        MiB and a thousand times its size.

    Returns
    -------
    object
        The value. Its arrays are in the byte order that the file has.

    Raises
    ------
    UnsafeFileError
        If the file holds anything else, or would take more memory than its size explains. It lists all that was
        refused, and nothing was run.
    CorruptFileError
        If the file is damaged, cut short, or of no kind that is known.
    OSError
        If the file cannot be read.
    """
    granted = grants(trusted)
    filename = named(filename)
    block: Block | bytes
    if hasattr(filename, "read"):
        name = getattr(filename, "name", None)
        source = name if isinstance(name, str) else None
        limit = LIMIT if max_bytes is None else max_bytes
        block = Block.of(filename, limit)
    elif is_regular(filename):
        source = filename
        limit = limit_of(filename) if max_bytes is None else max_bytes
        block = Block.of_file(filename, limit)
    else:
        source = filename
        limit = LIMIT if max_bytes is None else max_bytes
        # Python's own waiting ends at Ctrl-C.
        with open(filename, "rb", buffering=0) as file:
            block = Block.of(file, limit)
    if isinstance(block, bytes):
        return _safe_other(filename, block, LIMIT if max_bytes is None else max_bytes)
    found = scan_block(block, granted, limit, False)
    _refuse(found, source)
    lookup = _Lookup(found, granted, source)
    reader = Reader.of_block(block)
    value = Unpickler(reader, source, None, False, lookup).load()
    reader.finish()
    return value


def limit_of(filename: str) -> int:
    """Return how many bytes a file of this size may have, uncompressed, if nothing is said."""
    return min(LIMIT, FLOOR + 1000 * os.path.getsize(filename))


def grants(trusted: Iterable[str]) -> list[str]:
    """Return what is trusted as a list, if it is names."""
    if isinstance(trusted, str):
        raise TypeError(f"trusted must be a list of names, not the str {trusted!r}: give [{trusted!r}]")
    granted: list[Any] = list(trusted)
    for grant in granted:
        if not isinstance(grant, str) or not all(part.isidentifier() for part in grant.split(".")):
            raise ValueError(
                f"trusted must hold names such as 'sklearn' or 'sklearn.tree._tree.Tree', but it holds {grant!r}"
            )
    return granted


def _refuse(found: Mapping[str, Any], filename: str | None) -> None:
    """Raise what a verdict other than "safe" amounts to."""
    if found["verdict"] == "safe":
        return
    reasons = [f"{each['reason']} (at byte {each['offset']:,})" for each in found["refusals"]]
    if found["more_refusals"]:
        reasons.append(f"and {found['more_refusals']:,} more of these")
    if found["verdict"] == "damaged":
        raise CorruptFileError(str(found["damage"]), filename)
    wanted = [
        (each["module"], each["name"]) for each in found["globals"] if each["verdict"] in ("needs trust", "refused")
    ]
    untrusted = [
        f"{each['module']}.{each['name']}: {each['reason']}"
        for each in found["globals"]
        if each["verdict"] == "needs trust"
    ]
    reasons = [*untrusted, *reasons]
    text = "the file was not loaded, and nothing in it was run:\n  " + "\n  ".join(reasons)
    if found["verdict"] == "needs trust":
        names = ", ".join(repr(f"{module}.{name}") for module, name in wanted)
        text += f"\nsafe_load(..., trusted=[{names}]) loads it, if you trust these with whatever the file gives them"
    raise UnsafeFileError(text, filename, wanted, reasons)


class _Lookup:
    """Finds the globals that were verified, and no others."""

    def __init__(self, found: Mapping[str, Any], grants: list[str], filename: str | None) -> None:
        self._allowed: dict[tuple[str, str], tuple[str, str]] = {}
        self._trusted: set[tuple[str, str]] = set()
        self._grants = grants
        self._filename = filename
        for each in found["globals"]:
            name = each["module"], each["name"]
            self._allowed[each["written"] or name] = name
            self._allowed[name] = name
            if each["verdict"] == "trusted":
                self._trusted.add(name)

    def __call__(self, module: str, name: str) -> Any:
        wanted = self._allowed.get((module, name))
        if wanted is None:
            raise UnsafeFileError(f"the file wants {module}.{name}, which was not verified", self._filename)
        if wanted == ("builtins", "getattr"):
            return _getattr
        value = _imported(*wanted)
        if wanted in self._trusted:
            self._check(*wanted, value)
        return value

    def _check(self, module: str, name: str, value: Any) -> None:
        """Check that what a grant of a package leads to lives in the package, and is a class."""
        if f"{module}.{name}" in self._grants:
            return
        home = str(getattr(value, "__module__", ""))
        inside = any(home == grant or home.startswith(grant + ".") for grant in self._grants)
        # Classes compiled by Cython are made by functions of their own.
        made = isinstance(value, type) or name.startswith("__pyx_unpickle_")
        if not (inside and made):
            raise UnsafeFileError(
                f"the file wants {module}.{name}, which is no class of the package: name it in full to trust it",
                self._filename,
                [(module, name)],
            )


def _getattr(owner: Any, name: Any) -> Any:
    """Return what pickles of bound methods and the like ask for, and nothing through which more could be reached."""
    if not isinstance(name, str) or name.startswith("__"):
        raise UnsafeFileError(f"the file wants the attribute {name!r} of {owner!r}")
    return getattr(owner, name)


def _imported(module: str, name: str) -> Any:
    from importlib import import_module

    value: Any = import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _safe_other(filename: str, start: bytes, max_bytes: int) -> Any:
    """Load what is no pickle: numpy's files, without objects in them."""
    from retain._files.legacy import Z_PREFIX

    if start.startswith(Z_PREFIX):
        raise UnsafeFileError(
            "a compressed file of joblib before 0.10: load it where you trust it, and dump it anew", filename
        )
    from retain._files.numpy_files import infos, is_numpy_file, load_numpy_file

    if not is_numpy_file(start):
        raise CorruptFileError("a file of safetensors, which `retain convert` makes another of", filename)
    found = infos(filename)
    if sum(each["nbytes"] for each in found) > max_bytes:
        raise UnsafeFileError(f"its arrays take more than the {max_bytes:,} bytes that are allowed", filename)
    try:
        return load_numpy_file(filename, None, allow_pickle=False)
    except (MemoryError, OverflowError) as error:
        raise UnsafeFileError(f"its arrays are larger than there is memory for: {error}", filename) from error
