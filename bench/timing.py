"""What the benchmarks share: turns taken in one process, tables, targets.

Turns are timed by the thread's processor time where it is fine enough, so that what else runs on a
busy machine is not in the figures; it still shows, as it shares the caches.
"""

from __future__ import annotations

import gc
import statistics
import time
import timeit
from dataclasses import dataclass, field

fine = time.get_clock_info("thread_time").resolution < 1e-6
clock = time.thread_time if fine else time.perf_counter


@dataclass
class Target:
    """A bound on one of a row's figures, and whether it was kept."""

    value: float
    least: float | None = None
    most: float | None = None

    @property
    def met(self):
        if self.least is not None:
            return self.value >= self.least
        return self.value <= self.most

    def __str__(self):
        bound = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"
        return f"{bound} {'met' if self.met else 'MISSED'}"


@dataclass
class Table:
    """Rows of figures under a title. The first column names the row."""

    title: str
    columns: tuple
    note: str = ""
    rows: list = field(default_factory=list)

    def add(self, *cells):
        self.rows.append(cells)

    def __str__(self):
        texts = [self.columns, *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[place]) for row in texts) for place in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in texts
        ]
        lines.insert(1, "-" * len(lines[0]))
        note = f"{self.note}\n" if self.note else ""
        return f"\n{self.title}\n{note}\n" + "\n".join(lines)

    def targets(self):
        return [(f"{self.title}: {row[0]}", cell) for row in self.rows for cell in row if isinstance(cell, Target)]

    def as_json(self):
        rows = [
            [{"target": str(cell), "met": cell.met} if isinstance(cell, Target) else cell for cell in row]
            for row in self.rows
        ]
        return {"title": self.title, "note": self.note, "columns": self.columns, "rows": rows}


def _text(cell):
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.2f}"
    return str(cell)


def statement(code, **names):
    """A turn: runs `code` so many times and returns the nanoseconds that one run took."""
    timer = timeit.Timer(code, timer=clock, globals=names)
    return lambda number: timer.timeit(number) / number * 1e9


def take_turns(contestants, rounds, seconds, per_run=1):
    """Time the contestants in turn, round after round: each one's nanoseconds, a list of rounds.

    One run of a contestant does `per_run` operations, and the figures are per operation. Each turn
    goes on for about `seconds`. Whatever disturbs the machine for a while disturbs all alike.
    """
    numbers = {}
    for name, contestant in contestants.items():
        contestant(1)
        number = 1
        while (took := contestant(number) * number / 1e9) < seconds / 4:
            number *= 2
        numbers[name] = max(1, round(number * seconds / took))
    times = {name: [] for name in contestants}
    order = list(contestants)
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name in order:
                times[name].append(contestants[name](numbers[name]) / per_run)
            order = order[1:] + order[:1]
    finally:
        gc.enable()
    return times


def median(times):
    return statistics.median(times)


def ratio(slower, faster):
    """The median of the ratios within each round: steadier than the ratio of the medians."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def stopwatch(action):
    """Seconds that `action()` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
