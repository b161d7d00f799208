"""Numbers, times and values as pages say them; all other words of a page are its template's."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson

# Characters of a value in a line of its own.
LINE = 120
# Characters that turn or hide text: marks of direction, and spaces without a width. Joiners are left, since
# words of some scripts, and signs of people, are made with them.
_HIDING = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_SIZE = re.compile(r"([0-9,]{1,20})\s*([A-Za-z]+)?")
# Commas part thousands: elsewhere they are decimal, and would make a number ten times as large.
_WHOLE = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+")
_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")


def number(value: float | None) -> str:
    """Write 1234567 as 1,234,567; a dash for None."""
    return "–" if value is None else f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """Write a share with one decimal; a dash for a share of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def duration(milliseconds: float | None) -> str:
    """Write a duration in its two largest units; a dash for None."""
    if milliseconds is None:
        return "–"
    if milliseconds < 999.5:
        return (
            f"{milliseconds:.0f} ms" if milliseconds >= 1 or milliseconds == 0 else f"{milliseconds:.1f} ms"
        )
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f}".removesuffix(".0") + " s"
    seconds = round(milliseconds / 1000)
    if seconds < 3600:
        return _two(seconds, 60, "min", "s")
    if seconds < 48 * 3600:
        return _two(round(seconds / 60), 60, "h", "min")
    return _two(round(seconds / 3600), 24, "days", "h")


def _two(value: int, factor: int, large: str, small: str) -> str:
    whole, rest = divmod(value, factor)
    return f"{whole:,} {large} {rest} {small}" if rest else f"{whole:,} {large}"


def counted(value: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun: `1 node`, `2 nodes`."""
    return f"{number(value)} {one if value == 1 else many or f'{one}s'}"


def size(value: int) -> str:
    """Write a number of bytes in its largest unit."""
    amount, unit = float(value), 0
    while amount >= 1024 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:,.0f} {_SIZES[unit]}" if unit == 0 else f"{amount:,.1f} {_SIZES[unit]}"


def rate(a_second: float | None) -> str:
    """Write how often something happens, in the smallest unit of time in which it happens at all."""
    if a_second is None:
        return "–"
    for unit, seconds in (("a second", 1), ("a minute", 60), ("an hour", 3_600)):
        if a_second * seconds >= 1:
            return f"{a_second * seconds:,.1f} {unit}"
    return f"{a_second * 86_400:,.1f} a day"


def exact_size(value: int) -> str:
    """Write a number of bytes in the largest unit of which it is a multiple."""
    unit = 0
    while value and value % 1024 == 0 and unit < len(_SIZES) - 1:
        value, unit = value // 1024, unit + 1
    return f"{value} {_SIZES[unit]}"


def bytes_of(text: str) -> int | None:
    """Read a size as `exact_size` writes it, or a bare number of bytes; None for any other text."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    amount, unit = whole_number(found[1]), (found[2] or "bytes").lower()
    powers = {name.lower(): power for power, name in enumerate(_SIZES)}
    return None if amount is None or unit not in powers else amount * 1024 ** powers[unit]


def whole_number(text: str) -> int | None:
    """Read a number as `number` writes it; None for any other text."""
    return int(text.replace(",", "")) if _WHOLE.fullmatch(text) and len(text) <= 20 else None


def clock(value: datetime, zone: ZoneInfo) -> str:
    """Write a time in the reader's zone, to the second, since saves come in seconds.

    A time at an end of the calendar is not in all zones: it is written in its own.
    """
    try:
        local = value.astimezone(zone)
    except OverflowError:
        local = value
    return local.strftime("%-d %b %Y %H:%M:%S")


def iso(value: datetime) -> str:
    """Write a time in UTC with milliseconds, as programs read it."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ago(value: datetime, at: datetime) -> str:
    """Write how long before `at` a time was, or how long after."""
    span = at - value
    if span < timedelta():
        return f"in {_rounded(-span)}"
    return "just now" if span < timedelta(minutes=1) else f"{_length(span)} ago"


def _rounded(span: timedelta) -> str:
    """Write a length to the nearest unit: what ends in 30 days was given so a second ago."""
    if span + timedelta(seconds=30) < timedelta(hours=1):
        return _length(span + timedelta(seconds=30))
    nearest = span + timedelta(minutes=30)
    return _length(nearest if nearest < timedelta(days=2) else span + timedelta(hours=12))


def _length(span: timedelta) -> str:
    if span < timedelta(hours=1):
        return f"{max(span // timedelta(minutes=1), 1)} min"
    if span < timedelta(days=2):
        return f"{span // timedelta(hours=1)} h"
    return counted(span.days, "day")


def compact(value: Any, limit: int = LINE) -> str:
    """Write a JSON value in one line of at most `limit` characters; a text without its quotes."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def pretty(value: Any) -> str:
    """Write a JSON value in lines."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()


def revealed(text: str) -> str:
    """Name the characters that turn or hide text, so that a reader sees what a program reads."""
    return _HIDING.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
