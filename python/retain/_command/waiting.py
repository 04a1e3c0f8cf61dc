"""What a terminal shows while a verb is busy: nothing for the first second, then how far it is."""

from __future__ import annotations

import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_PATIENCE = 1.0  # seconds
_INTERVAL = 0.1
_WIDTH = 30


class Waiting:
    """
    A line on a terminal's standard error, which is gone in the end.

    Parameters
    ----------
    doing : str
        What is being done, such as ``"verifying"``.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._begun = time.monotonic()
        self._at: tuple[int, int] | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._thread = threading.Thread(target=self._show, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def report(self, done: int, of: int) -> None:
        """Note how far it is; `of` is 0 where that is not known."""
        self._at = done, of

    def _show(self) -> None:
        from shutil import get_terminal_size

        from retain._command.tables import cut

        shown = ""
        wait = _PATIENCE
        while not self._over.wait(wait):
            wait = _INTERVAL
            line = cut(self._line(time.monotonic() - self._begun), get_terminal_size().columns - 1)
            sys.stderr.write("\r" + line.ljust(len(shown)))
            sys.stderr.flush()
            shown = line
        if shown:
            sys.stderr.write("\r" + " " * len(shown) + "\r")
            sys.stderr.flush()

    def _line(self, passed: float) -> str:
        from retain._memory.showing import duration

        done, of = self._at or (0, 0)
        if not of:
            count = f" {done:,}" if done else ""
            return f"{self._doing}{count} … {duration(round(passed))}"
        filled = _WIDTH * min(done, of) // of
        left = f", {duration(round(passed / done * (of - done)))} left" if 0 < done < of else ""
        return f"{self._doing} [{'#' * filled}{' ' * (_WIDTH - filled)}] {done:,} of {of:,}{left}"
