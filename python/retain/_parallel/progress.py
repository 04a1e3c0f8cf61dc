"""A bar that shows how many tasks are done: tqdm's where it is installed, else a line on a terminal."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Bar(Protocol):
        """What shows progress."""

        def to(self, done: int, total: int | None = None) -> None:
            """Show that so many tasks are done, of so many if that is known."""

        def close(self) -> None:
            """Leave the terminal as it is to be."""


def bar(progress: bool | str, total: int | None) -> Bar | None:
    """
    Return a bar for a run.

    Parameters
    ----------
    progress : bool or str
        Whether there is to be one; a text stands before it.
    total : int or None
        How many tasks there are, if that is known.

    Raises
    ------
    TypeError
        If `progress` is neither.
    """
    if not isinstance(progress, (bool, str)):
        raise TypeError(f"progress is {progress!r}, but must be True, False or the text before the bar")
    if not progress:
        return None
    label = progress if isinstance(progress, str) else None
    from importlib import import_module

    try:
        tqdm = import_module("tqdm.auto").tqdm
    except ImportError:
        return _Line(label or "running", total)
    # In a notebook `leave` keeps the finished bar, as on a terminal.
    return _Tqdm(tqdm(total=total, desc=label, unit="task"))


class _Tqdm:
    def __init__(self, below: Any) -> None:
        self._below = below

    def to(self, done: int, total: int | None = None) -> None:
        if total is not None and total != self._below.total:
            self._below.total = total
            self._below.refresh()
        self._below.update(done - self._below.n)

    def close(self) -> None:
        self._below.close()


class _Line:
    def __init__(self, label: str, total: int | None) -> None:
        from retain._command.waiting import Waiting

        self._total = total
        self._below = Waiting(label)
        self._below.__enter__()
        self._below.report(0, total or 0)

    def to(self, done: int, total: int | None = None) -> None:
        if total is not None:
            self._total = total
        self._below.report(done, self._total or 0)

    def close(self) -> None:
        self._below.__exit__()
