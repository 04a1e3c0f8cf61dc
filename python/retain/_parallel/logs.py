"""What tasks log, on its way to the program's own handlers."""

from __future__ import annotations

import logging
import pickle

from retain import _retain

_EMITTED = 2


class Forwarding(logging.Handler):
    """Hands records over to the program that the task is of."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, with its text ready."""
        try:
            _retain.emit(_EMITTED, _pickled(record))
        except Exception:  # noqa: BLE001 - as all handlers do
            self.handleError(record)


def _pickled(record: logging.LogRecord) -> bytes:
    parts = dict(vars(record))
    parts["msg"] = parts["message"] = record.getMessage()
    parts["args"] = None
    if record.exc_info:
        parts["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
    parts["exc_info"] = None
    try:
        return pickle.dumps(parts)
    except Exception:  # noqa: BLE001 - what `extra` brought along
        plain = (str, int, float, bool, type(None))
        return pickle.dumps({name: value if isinstance(value, plain) else repr(value) for name, value in parts.items()})
