"""Tables for a terminal: aligned, in colours where there are any, cut where a line would not fit."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LEAST = 12  # columns that a cut text has at least

BOLD, DIM, YELLOW = "1", "2", "33"


def is_coloured() -> bool:
    """Whether the output goes to a terminal whose user wants colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str) -> str:
    """Return the text in a colour, if in any."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
    last: Sequence[str] | None = None,
) -> Iterator[str]:
    """
    Yield the lines of a table.

    Parameters
    ----------
    head : sequence of str
        The columns' names.
    rows : sequence of sequences of str
    left : sequence of str
        The columns of text; those of numbers are aligned on the right.
    colours : mapping of str to str, optional
        The colours of columns.
    last : sequence of str, optional
        A row of sums.
    """
    every = [head, *rows, *([last] if last else [])]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    room = _room() - 2 * (len(widths) - 1)
    if head[-1] in left:
        widths[-1] = max(min(widths[-1], room - sum(widths[:-1])), _LEAST)
    elif head[0] in left:
        widths[0] = max(min(widths[0], room - sum(widths[1:])), min(widths[0], _LEAST))
    coloured = is_coloured()
    # What is text stands on the left, and is not filled up at a line's end.
    form = [
        "{}" if place == len(head) - 1 and name in left else f"{{:{'<' if name in left else '>'}{width}}}"
        for place, (name, width) in enumerate(zip(head, widths, strict=True))
    ]
    paint = [(colours or {}).get(name, "") if coloured else "" for name in head]

    def line(cells: Sequence[str], paint: Sequence[str]) -> str:
        first, *between, end = cells
        # Of names the end tells more, of calls the beginning.
        fitting = [cut(first, widths[0], at_start=True), *between, cut(end, widths[-1])]
        made = [shape.format(cell) for shape, cell in zip(form, fitting, strict=True)]
        if coloured:
            made = [painted(cell, colour) for cell, colour in zip(made, paint, strict=True)]
        return "  ".join(made).rstrip()

    yield line(head, [BOLD] * len(head))
    for row in rows:
        yield line(row, paint)
    if last:
        yield line(last, [BOLD] * len(head))


def cut(text: str, width: int, *, at_start: bool = False) -> str:
    """Return no more of a text than fits."""
    if len(text) <= width:
        return text
    return f"…{text[len(text) - width + 1 :]}" if at_start else f"{text[: width - 1]}…"


def _room() -> int:
    # What goes to a file or a program is not cut.
    if not sys.stdout.isatty():
        return sys.maxsize
    import shutil

    return shutil.get_terminal_size().columns
