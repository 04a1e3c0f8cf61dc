"""A worker process: it makes itself like the program that it works for, and runs tasks."""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextlib import suppress
from contextvars import Context
from pickle import loads
from typing import Any

from retain import _retain
from retain._parallel.cores import WORKER_VARIABLES
from retain._parallel.pickling import dumps
from retain._parallel.remote import packed

__all__ = ["activate", "begin", "dumps", "main", "packed", "spawned"]

# The initializers that were called in this process.
_initialized: set[bytes] = set()
# The variables of the environment that a worker has of its own.
_own: dict[str, str] = {}


class _Settled:
    """What was last made to hold here: most runs find it as it is, and many are short."""

    message = b""
    context: dict[str, Any] | None = None
    environ: dict[str, str] | None = None
    raw_environ: dict[Any, Any] | None = None
    told_filters: list[Any] | None = None
    filters: list[Any] | None = None
    levels: Any = None


def spawned() -> None:
    """Serve the program that started this interpreter as a worker."""
    # If the program is gone while it is spoken to, nobody is left to be told.
    with suppress(OSError):
        main(int(os.environ["RETAIN_WORKER"]), None)


def main(index: int, socket: int | None) -> None:
    """Serve the program at the other end of a socket, until it is done with this worker."""
    import faulthandler

    os.environ["RETAIN_WORKER"] = str(index)
    _own.update((name, os.environ[name]) for name in os.environ if name.startswith("RETAIN_"))
    _own.update((name, os.environ[name]) for name in WORKER_VARIABLES if name in os.environ)
    if sys.__stderr__ is not None and not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        # A forked process goes on where its parent is, and so would all others.
        numpy_random.seed()
    sys.stdout, sys.stderr = _Stream(0, sys.__stdout__), _Stream(1, sys.__stderr__)
    warnings.showwarning = _warn
    _retain.work(socket, sys.modules[__name__])


def begin(message: bytes) -> tuple[dict[str, Any], Context, int | None, bool]:
    """Make ready for the tasks of a run: return its state, its context variables and how large results come back."""
    # What is imported from here on is found where the program finds it.
    if _Settled.context is None or _Settled.message != message:
        _Settled.context = loads(message)  # noqa: S301 - of a process of this program
        _Settled.message = message
    context = dict(_Settled.context)
    _settle_in(context)
    context["nested"], variables = loads(context["objects"])  # noqa: S301 - as above
    _nest(context)
    initializer = context["initializer"]
    if initializer is not None and initializer not in _initialized:
        function, args = loads(initializer)  # noqa: S301 - as above
        function(*args)
        _initialized.add(initializer)
    values = Context()
    values.run(_set, variables)
    return context, values, context["max_nbytes"], context["private"]


def _set(values: list[tuple[str, str, Any]]) -> None:
    from retain._parallel.variables import variable

    for module, name, value in values:
        variable(module, name).set(value)


def activate(context: dict[str, Any]) -> None:
    """Make what holds in the program hold here, before a task of it after one of another."""
    _settle_in(context)
    _nest(context)


def _nest(context: dict[str, Any]) -> None:
    from retain._parallel.config import nest

    backend, n_jobs = context["nested"]
    nest(backend, n_jobs, context["kind"])


def _settle_in(context: dict[str, Any]) -> None:
    if sys.path != context["path"]:
        sys.path[:] = context["path"]
    if sys.argv != context["argv"]:
        sys.argv[:] = context["argv"]
    if context["cwd"] is not None:
        try:
            os.chdir(context["cwd"])
        except OSError:
            # It is gone; the tasks find that out if they need it.
            pass
    raw = getattr(os.environ, "_data", None)
    if raw is None or raw != _Settled.raw_environ or context["environ"] != _Settled.environ:
        _settle_environment(context["environ"])
    if warnings.filters != _Settled.filters or context["filters"] != _Settled.told_filters:
        _settle_filters(context["filters"])
    if context["authkey"] is not None:
        # Proxies of a manager of the program's are refused by it without.
        from multiprocessing.process import current_process

        current_process().authkey = context["authkey"]
    if context["levels"] is not None and context["levels"] != _Settled.levels:
        _log(*context["levels"])
        _Settled.levels = context["levels"]


def _settle_environment(environ: dict[str, str]) -> None:
    wanted = {**environ, **_own}
    found = dict(os.environ)
    for name in found.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in wanted.items() if found.get(name) != value})
    _Settled.environ = environ
    _Settled.raw_environ = dict(getattr(os.environ, "_data", {}))


def _settle_filters(told: list[Any]) -> None:
    found = [entry for entry in map(_filter, told) if entry is not None]
    # The way of all Pythons to have forgotten what was shown before.
    warnings.simplefilter("default", append=True)
    warnings.filters[:] = found  # type: ignore[index]
    _Settled.told_filters, _Settled.filters = told, found


def _filter(entry: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return a filter of warnings again; None if its category is of no use here."""
    action, message, category, module, lineno = entry
    if isinstance(category, tuple):
        name, qualname = category
        if name.partition(".")[0] in ("pytest", "_pytest"):
            # A test's worker runs no tests, and importing it takes longer than most tests.
            return None
        try:
            __import__(name)
            category = sys.modules[name]
            for part in qualname.split("."):
                category = getattr(category, part)
        except Exception:  # noqa: BLE001 - whatever the import raises
            return None
    return action, message, category, module, lineno


class _Stream(io.TextIOBase):
    """Standard output or error of tasks: what is written appears in the program."""

    def __init__(self, number: int, real: Any) -> None:
        self._number = number
        self._real = real
        self.buffer = _Bytes(number)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "surrogatepass"

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        _retain.write(self._number, text.encode("utf-8", "surrogatepass"))
        return len(text)

    def flush(self) -> None:
        _retain.write(self._number, b"")

    def fileno(self) -> int:
        if self._real is None:
            raise io.UnsupportedOperation("fileno")
        return int(self._real.fileno())


class _Bytes(io.RawIOBase):
    """What is below the text."""

    def __init__(self, number: int) -> None:
        self._number = number

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        found = bytes(data)
        _retain.write(self._number, found)
        return len(found)


def _warn(  # noqa: PLR0917 - as `warnings.showwarning` is called
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    if file is not None:
        file.write(warnings.formatwarning(message, category, filename, lineno, line))
        return
    try:
        payload = dumps((message, category, filename, lineno), None)
    except Exception:  # noqa: BLE001 - whatever its pickling raises
        payload = dumps((str(message), RuntimeWarning, filename, lineno), None)
    _retain.emit(3, payload)


def _log(disable: int, level: int, loggers: list[tuple[str, int, bool]]) -> None:
    import logging

    from retain._parallel.logs import Forwarding

    root = logging.root
    if not any(isinstance(handler, Forwarding) for handler in root.handlers):
        root.handlers[:] = [Forwarding()]
    root.setLevel(level)
    named = {name: (level, disabled) for name, level, disabled in loggers}
    for name, logger in list(root.manager.loggerDict.items()):
        if name not in named and isinstance(logger, logging.Logger) and (logger.level or logger.disabled):
            named[name] = (logging.NOTSET, False)
    for name, (level_of_it, disabled) in named.items():
        logger = logging.getLogger(name)
        logger.setLevel(level_of_it)
        logger.disabled = disabled
    root.manager.disable = disable
