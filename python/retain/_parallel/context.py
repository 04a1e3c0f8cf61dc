"""What tasks find in a worker as they would find it here, and what they say that is heard here."""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from typing import TYPE_CHECKING, Any

from retain._parallel import variables
from retain._parallel.pickling import dumps

if TYPE_CHECKING:
    from retain._parallel.engine import Call

# What a worker emits.
STDOUT, STDERR, LOGGED, WARNED = range(4)

# Of a warning that is shown once a line, each worker tells: here it is shown once.
_registries: dict[str, dict[Any, Any]] = {}
# The environment when it was last told: as it is kept, and decoded.
_environ: tuple[dict[Any, Any], dict[str, str]] = ({}, {})
# What was told last, and as bytes: most calls tell the same again.
_told: tuple[dict[str, Any], bytes] = ({}, b"")


def gathered(call: Call) -> bytes:
    """Return what holds here, for the workers of a call."""
    global _told  # noqa: PLW0603 - replaced as a whole
    context = {
        "cwd": _directory(),
        "path": list(sys.path),
        "argv": list(sys.argv),
        "environ": _environment(),
        "filters": [_named(*entry) for entry in warnings.filters],
        "levels": _levels(),
        # To be unpickled when modules are found and managers answer.
        "objects": _objects(call.nested),
        "kind": call.kind,
        "initializer": None if call.initializer is None else dumps((call.initializer, call.initargs), None),
        "authkey": _authkey(),
        "max_nbytes": 1 << 20,
        "private": call.mmap_mode != "r",
    }
    told, found = _told
    if context != told:
        found = pickle.dumps(context, 5)
        _told = context, found
    return found


def _objects(nested: tuple[Any, int | None]) -> bytes:
    """Return what may be of any class: the backend of calls inside tasks, and context variables."""
    held = variables.values()
    try:
        found = pickle.dumps((nested, held), 5)
    except Exception:  # noqa: BLE001 - whatever a value's pickling raises
        found = b"__main__"
    if b"__main__" not in found:
        return found
    return dumps((nested, [entry for entry in held if _travels(entry)]), None)


def _travels(value: Any) -> bool:
    try:
        dumps(value, None)
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def _environment() -> dict[str, str]:
    """Return the environment. To decode all of it takes longer than all else that a small call needs here."""
    global _environ  # noqa: PLW0603 - replaced as a whole
    raw = getattr(os.environ, "_data", None)
    if raw is None:
        return dict(os.environ)
    seen, found = _environ
    if raw != seen:
        _environ = _, found = dict(raw), dict(os.environ)
    return found


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        # It was removed.
        return None


def _authkey() -> bytes | None:
    """Return what processes of this program prove themselves with; None if it has no others."""
    if "multiprocessing.process" not in sys.modules:
        return None
    # Another thread may be about to import it: the statement waits for that.
    from multiprocessing.process import current_process

    return bytes(current_process().authkey)


def _named(action: str, message: Any, category: Any, module: Any, lineno: int) -> tuple[Any, ...]:
    """Return a filter of warnings; its category by name, as it may be of a module that workers need not import."""
    if category.__module__ == "builtins":
        return action, message, category, module, lineno
    return action, message, (category.__module__, category.__qualname__), module, lineno


def _levels() -> tuple[int, int, list[tuple[str, int, bool]]] | None:
    """Return the levels of the loggers; None if nothing is logged in this program."""
    if "logging" not in sys.modules:
        return None
    # Another thread may be importing it: this waits for it.
    import logging

    manager = logging.root.manager
    loggers = [
        (name, logger.level, bool(logger.disabled))
        for name, logger in list(manager.loggerDict.items())
        if isinstance(logger, logging.Logger) and (logger.level or logger.disabled)
    ]
    return manager.disable, logging.root.level, loggers


def deliver(kind: int, payload: bytes) -> None:
    """Do what a worker's task did, here: write, log or warn."""
    if kind in {STDOUT, STDERR}:
        stream = sys.stdout if kind == STDOUT else sys.stderr
        if stream is not None:
            stream.write(payload.decode("utf-8", "replace"))
    elif kind == LOGGED:
        import logging

        record = logging.makeLogRecord(pickle.loads(payload))  # noqa: S301 - of a process of this program
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
    elif kind == WARNED:
        message, category, filename, lineno = pickle.loads(payload)  # noqa: S301 - of a process of this program
        registry = _registries.setdefault(filename, {})
        try:
            warnings.warn_explicit(message, category, filename, lineno, registry=registry)
        except Warning:
            # It is an error here, but the task has gone on.
            warnings.showwarning(message, category, filename, lineno)
