"""What a memory holds and what it was good for, as people read it: in notebooks, and in the command's tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape

from retain._files.report import size, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_SHOWN = 20  # functions of a notebook's table, before the rest is only counted


@dataclass(frozen=True, slots=True)
class Statistics:
    """
    What is kept of a function, and what it was good for.

    Attributes
    ----------
    function : str
    entries, bytes : int
    hits, misses : int
        Of all processes, since the function's first entry.
    saved, spent : float
        Seconds of the function's time that the hits saved, and that the misses took.
    versions : int
        How many versions of the function have entries.
    used : float
        When an entry was last asked for, in seconds since 1970; 0 if that is not known.
    """

    function: str
    entries: int
    bytes: int
    hits: int
    misses: int
    saved: float
    spent: float
    versions: int
    used: float

    @property
    def hit_rate(self) -> float | None:
        """The share of the calls that were answered from the store; None before the first."""
        calls = self.hits + self.misses
        return self.hits / calls if calls else None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "hit_rate": self.hit_rate}


def statistics(store: Any) -> list[Statistics]:
    """Return what a store knows of each function, the largest first."""
    found = [Statistics(*each) for each in store.functions()]
    return sorted(found, key=lambda each: (-each.bytes, -each.hits, each.function))


def total(each: Iterable[Statistics]) -> Statistics:
    """Return the sums."""
    all_ = list(each)
    return Statistics(
        "",
        sum(one.entries for one in all_),
        sum(one.bytes for one in all_),
        sum(one.hits for one in all_),
        sum(one.misses for one in all_),
        sum(one.saved for one in all_),
        sum(one.spent for one in all_),
        sum(one.versions for one in all_),
        max((one.used for one in all_), default=0.0),
    )


def rate(share: float | None) -> str:
    """Return a share in percent; 100 % and 0 % only where that is all or nothing."""
    if share is None:
        return "-"
    percent = 100 * share
    if 0 < percent < 1:
        return "< 1 %"
    if 99 < percent < 100:
        return "> 99 %"
    return f"{percent:.0f} %"


_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def duration(seconds: float) -> str:
    """Return a time span as people read it: ``250 µs``, ``1.5 s``, ``3 h 12 min``."""
    if not seconds > 0:
        return "0 s"
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{max(seconds * factor, 0.001):.3g} {unit}"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    rest = round(seconds)
    for place, (length, unit) in enumerate(_UNITS):
        if rest >= length:
            smaller, name = (*_UNITS, (1.0, "s"))[place + 1]
            count, left = divmod(rest, length)
            few = int(left // smaller)
            return f"{count:,.0f} {unit} {few} {name}" if few and count < 100 else f"{count:,.0f} {unit}"
    return f"{seconds:.3g} s"


def ago(then: float, now: float) -> str:
    """Return how long ago a time was, or the day where that is long."""
    import time

    passed = now - then
    if not then > 0:
        return "-"
    if passed < -60:
        return f"in {roughly(-passed)}"
    if passed < 1:
        return "now"
    if passed < 60 * 86400:
        return f"{roughly(passed)} ago"
    return time.strftime("%Y-%m-%d", time.localtime(then))


def roughly(seconds: float) -> str:
    """Return a time span in its largest unit: ``3 h``."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


HEAD = ("function", "entries", "size", "hits", "misses", "hit rate", "time saved")
ALL = "all"


def row(each: Statistics, name: str | None = None) -> tuple[str, ...]:
    """Return the cells of a function's row."""
    return (
        visible(each.function) if name is None else name,
        f"{each.entries:,}",
        size(each.bytes),
        f"{each.hits:,}",
        f"{each.misses:,}",
        rate(each.hit_rate),
        duration(each.saved),
    )


# --- for notebooks -------------------------------------------------------------------------------------------------

# Colours are the notebook's own, or grey that is seen through: readable on light and on dark.
_CELL = "padding:2px 10px;text-align:right"
_LEFT = "padding:2px 10px;text-align:left"
_LINE = ";border-top:1px solid rgba(128,128,128,.6)"
_BAR = "rgba(76,160,96,.35)"


def html(memory: Any) -> str:
    """
    Return a memory as a table.

    Parameters
    ----------
    memory : retain.Memory
    """
    place = memory._place
    if place is None:
        return "<p><b>Memory</b> without a location: nothing is kept</p>"
    title = f"<b>Memory</b> <code>{escape(visible(str(place.location)))}</code>"
    try:
        place.flush()
        store = place.store
        # A registered backend knows of no functions.
        if store is None:
            return f"<p>{title}</p>"
        found = statistics(store)
    except Exception as error:  # noqa: BLE001  # what is wrong with the folder is what there is to show
        return f"<p>{title}: {escape(visible(f'{type(error).__name__}: {error}'))}</p>"
    if not found:
        return f"<p>{title}: no entries yet</p>"
    lines = [_line(row(each), "td", share=each.hit_rate) for each in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"<tr><td style='{_LEFT}' colspan='{len(HEAD)}'>and {len(found) - _SHOWN:,} more</td></tr>")
    every = total(found)
    return (
        f"<table style='border-collapse:collapse;color:inherit'>"
        f"<caption style='text-align:left;caption-side:top;padding:2px 10px'>{title}</caption>"
        f"<thead>{_line(HEAD, 'th')}</thead><tbody>{''.join(lines)}</tbody>"
        f"<tfoot>{_line(row(every, ALL), 'td', _LINE, every.hit_rate)}</tfoot></table>"
    )


def _line(cells: Sequence[str], tag: str, style: str = "", share: float | None = None) -> str:
    made = []
    for place, cell in enumerate(cells):
        own = (_CELL if place else _LEFT) + style
        if share is not None and HEAD[place] == "hit rate":
            own += f";background:linear-gradient(90deg,{_BAR} {100 * share:.0f}%,transparent 0)"
        text = escape(cell).replace(" ", "&nbsp;") if place else escape(cell)
        made.append(f"<{tag} style='{own}'>{text}</{tag}>")
    return f"<tr>{''.join(made)}</tr>"
