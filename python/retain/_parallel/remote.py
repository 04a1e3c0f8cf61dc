"""Exceptions on their way from one process to another."""

from __future__ import annotations

import pickle
from pickle import loads
from traceback import format_exception
from typing import Any

# A chain of causes that is longer is cut.
_DEPTH = 8


class RemoteTraceback(Exception):  # noqa: N818 - it is no error but tells of one
    """
    Where an exception came from in the process that raised it: the last of its causes.

    Attributes
    ----------
    text : str
        The traceback as Python prints it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def packed(error: BaseException) -> bytes:
    """
    Return an exception as bytes: its type, arguments, attributes, causes and traceback.

    What of it cannot be pickled is replaced by its repr.
    """
    return pickle.dumps(_packed(error, _text(error), _DEPTH), 5)


def unpacked(report: bytes) -> BaseException:
    """Return the exception again; the last of its causes is a `RemoteTraceback`."""
    try:
        parts = loads(report)  # noqa: S301 - of a process of this program
    except Exception:  # noqa: BLE001 - a report that nothing better could be made of
        return RuntimeError(report.decode(errors="replace"))
    error = _unpacked(parts)
    last, seen = error, {id(error)}
    while last.__cause__ is not None and id(last.__cause__) not in seen:
        last = last.__cause__
        seen.add(id(last))
    last.__cause__ = RemoteTraceback(parts["text"])
    return error


def _text(error: BaseException) -> str:
    try:
        return "".join(format_exception(error))
    except Exception as failure:  # noqa: BLE001 - its __str__ is the user's
        return f"{_name(type(error))} (its text cannot be told: {_told(failure)})\n"


def _packed(error: BaseException, text: str, depth: int) -> dict[str, Any]:
    parts: dict[str, Any] = {"text": text, "name": _name(type(error)), "told": _told(error)}
    for way in (_whole, _in_parts):
        try:
            parts["error"] = way(error)
            break
        except Exception:  # noqa: BLE001, S110 - the next way asks less of it
            pass
    cause = error.__cause__
    if cause is not None and depth > 0:
        parts["cause"] = _packed(cause, "", depth - 1)
    parts["suppress"] = error.__suppress_context__
    return parts


def _unpacked(parts: dict[str, Any]) -> BaseException:
    try:
        error: Any = _loaded(parts["error"])
        if not isinstance(error, BaseException):
            raise TypeError("this is no exception")  # noqa: TRY301 - told below as all others
    except Exception:  # noqa: BLE001 - its module may not be here
        error = RuntimeError(f"{parts['name']}: {parts['told']}")
    if "cause" in parts:
        error.__cause__ = _unpacked(parts["cause"])
    error.__suppress_context__ = parts["suppress"]
    found: BaseException = error
    return found


def _loaded(found: Any) -> Any:
    if isinstance(found, bytes):
        return loads(found)  # noqa: S301 - of a process of this program
    kind, args, attributes = (loads(part) for part in found)  # noqa: S301 - of a process of this program
    return _made(kind, args, attributes)


def _made(kind: Any, args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    # `__init__` may ask for what is not in `args`.
    error: BaseException = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def _whole(error: BaseException) -> bytes:
    """Return its pickle, which was seen to give the same again."""
    found = _dumps(error)
    copy = loads(found)  # noqa: S301 - just pickled
    if type(copy) is not type(error) or not _alike(copy.args, error.args):
        # Its `__init__` makes other arguments of those that it is given.
        raise pickle.PicklingError("another one came out")
    return found


def _alike(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    if len(first) != len(second):
        return False
    # Only of text and the like is it known what `==` says.
    plain = (str, bytes, int, float, bool, type(None))
    return all(a == b for a, b in zip(first, second, strict=True) if type(a) in plain and type(b) in plain)


def _in_parts(error: BaseException) -> tuple[bytes, bytes, bytes]:
    args = tuple(map(_sendable, error.args))
    attributes = {name: _sendable(value) for name, value in vars(error).items()}
    kind = type(error)
    _made(kind, args, attributes)
    return _dumps(kind), _dumps(args), _dumps(attributes)


def _sendable(value: Any) -> Any:
    try:
        loads(_dumps(value))  # noqa: S301 - just pickled
    except Exception:  # noqa: BLE001 - whatever its pickling raises
        return _told(value)
    return value


def _dumps(value: Any) -> bytes:
    from retain._parallel.pickling import dumps

    return dumps(value, None)


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _told(value: object) -> str:
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # noqa: BLE001 - the user's __str__
        return f"<{type(value).__name__}>"
