"""The parts of the standard library's own values: dates, numbers, paths, patterns, enums."""

from __future__ import annotations

from retain._parts import known, name_of, of_table, subclass
from retain._retain import At

TYPE_CHECKING = False  # typing is not imported at start-up
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime, time, timedelta, timezone
    from decimal import Decimal
    from enum import Enum
    from fractions import Fraction
    from re import Match, Pattern
    from typing import Any
    from uuid import UUID
    from zoneinfo import ZoneInfo

    from retain._parts import Parts, PartsOf


def find(base: type, kind: type) -> PartsOf | None:
    """Return what gives the parts of instances of `kind`, as far as its base `base` tells; see `handler`."""
    name = name_of(base)
    if name == "enum.Enum" and known(base, name):
        return _enum
    if name.startswith("pathlib.") and name.rpartition(".")[2] in _PATHS and known(base, name):
        name = f"pathlib.{name.rpartition('.')[2]}"
        return _path(name) if base is kind else subclass(kind, base, name, _path(name))
    return of_table(_TABLE, base, kind)


def _enum(member: Enum) -> Parts:
    return "enum", type(member), member._name_, At(".value", member._value_)


# Since 3.13 pathlib says that they are of `pathlib._local`.
_PATHS = ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath")


def _path(name: str) -> PartsOf:
    from pathlib import PurePath

    def parts(path: PurePath) -> Parts:
        return name, PurePath.__str__(path)

    return parts


def _date(day: date) -> Parts:
    return "datetime.date", day.year, day.month, day.day


def _datetime(moment: datetime) -> Parts:
    return (
        "datetime.datetime",
        (moment.year, moment.month, moment.day),
        (moment.hour, moment.minute, moment.second, moment.microsecond),
        moment.fold,
        At(".tzinfo", moment.tzinfo),
    )


def _time(moment: time) -> Parts:
    parts = (moment.hour, moment.minute, moment.second, moment.microsecond)
    return "datetime.time", parts, moment.fold, At(".tzinfo", moment.tzinfo)


def _timedelta(span: timedelta) -> Parts:
    return "datetime.timedelta", span.days, span.seconds, span.microseconds


def _timezone(zone: timezone) -> Parts:
    # One or two: a name that was given tells it apart from a zone that makes up its own.
    return "datetime.timezone", *zone.__getinitargs__()  # type: ignore[attr-defined]


def _zone_info(zone: ZoneInfo) -> Parts:
    from pickle import PicklingError

    try:
        zone.__reduce__()
    except PicklingError:
        raise TypeError("a time zone that was read from a file has no name that stands for it") from None
    return "zoneinfo.ZoneInfo", zone.key


def _decimal(number: Decimal) -> Parts:
    sign, digits, exponent = number.as_tuple()
    return "decimal.Decimal", sign, bytes(digits), exponent


def _fraction(number: Fraction) -> Parts:
    return "fractions.Fraction", number.numerator, number.denominator


def _uuid(uuid: UUID) -> Parts:
    return "uuid.UUID", uuid.int, uuid.is_safe.value


def _pattern(pattern: Pattern[Any]) -> Parts:
    return "re.Pattern", pattern.pattern, pattern.flags


def _match(match: Match[Any]) -> Parts:
    return "re.Match", match.re, match.string, match.pos, match.endpos, match.regs


_TABLE: dict[str, Callable[[Any], Parts]] = {
    "datetime.date": _date,
    "datetime.datetime": _datetime,
    "datetime.time": _time,
    "datetime.timedelta": _timedelta,
    "datetime.timezone": _timezone,
    "decimal.Decimal": _decimal,
    "fractions.Fraction": _fraction,
    "re.Match": _match,
    "re.Pattern": _pattern,
    "uuid.UUID": _uuid,
    "zoneinfo.ZoneInfo": _zone_info,
}
