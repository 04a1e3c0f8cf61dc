"""Progress in bytes: tqdm where it is installed, else a line on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any


def bar() -> Any:
    """Return an object with `report(position or None)` and `close()`."""
    from importlib import import_module

    try:
        tqdm = import_module("tqdm.auto").tqdm
    except ImportError:
        return _Line()
    return _Tqdm(tqdm(unit="B", unit_scale=True, unit_divisor=1024, desc="dump"))


class _Tqdm:
    def __init__(self, below: Any) -> None:
        self._below = below

    def report(self, position: int | None) -> None:
        if position is not None:
            self._below.update(position - self._below.n)

    def close(self) -> None:
        self._below.close()


class _Line:
    """One line that is written over, on a terminal only."""

    _INTERVAL = 0.1

    def __init__(self) -> None:
        self._shown = False
        self._next = 0.0

    def report(self, position: int | None) -> None:
        now = time.monotonic()
        if position is None or now < self._next or not sys.stderr.isatty():
            return
        self._next = now + self._INTERVAL
        self._shown = True
        sys.stderr.write(f"\rdump: {position / 2**20:,.1f} MiB")
        sys.stderr.flush()

    def close(self) -> None:
        if self._shown:
            sys.stderr.write("\n")
            sys.stderr.flush()
