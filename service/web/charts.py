"""Geometry of charts: values by time in, shares and paths of SVG out. A chart draws what its table says."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

# Paths are in the units of a field of this size, which is stretched to the width of the page.
WIDTH: Final = 1000
HEIGHT: Final = 100
# In pixels: the whole drawing, its field, and the marks above that.
DRAWING: Final = 214
FIELD: Final = 176
TOP: Final = 14
# Columns leave a gap between them, unless they are too narrow to have one.
_COLUMN: Final = 0.82
_NARROW: Final = 3
_DOT: Final = 4
_MOST_LABELS: Final = 8
_LAST_LABEL: Final = 0.93
_MOST_LEVELS: Final = 4
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_MINUTES: Final = (1, 2, 5, 10, 15, 30)
_HOURS: Final = (1, 2, 3, 6, 12)
_DAYS: Final = (1, 2, 7, 14, 28, 84, 364, 1_820, 7_280)
# All zones are a multiple of this from UTC.
_GRID: Final = timedelta(minutes=15)
# Levels of an axis of durations, in milliseconds, from 1 ms up to 1,000 hours.
_DURATIONS: Final = (
    *(1.0, 10.0, 100.0, 1_000.0, 10_000.0, 60_000.0, 600_000.0),
    *(3_600_000.0, 36_000_000.0, 360_000_000.0, 3_600_000_000.0),
)

Say = Callable[[float | None], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values in the order of the buckets, None for none; `tone` is the class that colours them."""

    name: str
    tone: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSeries:
    """A series with its path."""

    name: str
    tone: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartMark:
    """A moment to mark, with the words that tell of it."""

    at: datetime
    text: str
    href: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMark:
    """A mark at a share of the width, in percent."""

    x: str
    mark: ChartMark


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text of an axis: a share of the width in percent, or pixels from the top."""

    at: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the chart's table: a bucket with the values of all series."""

    begin: datetime
    text: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAxis:
    """Buckets of equal width, each by its beginning in UTC, in the order of time; labels are in a zone."""

    begins: Sequence[datetime]
    width: timedelta
    zone: ZoneInfo

    @property
    def end(self) -> datetime:
        """Return the end of the last bucket."""
        return self.begins[-1] + self.width

    def share(self, moment: datetime) -> float:
        """Return how far from the left a moment is, 0 to 1."""
        return (moment - self.begins[0]) / (self.end - self.begins[0])

    def has(self, moment: datetime) -> bool:
        """Tell if a moment lies within the buckets."""
        return bool(self.begins) and self.begins[0] <= moment <= self.end

    def clock(self, moment: datetime) -> str:
        """Write the beginning of a bucket in the zone."""
        return moment.astimezone(self.zone).strftime("%a %-d %b %Y %H:%M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart with its table; without buckets it has neither paths nor rows."""

    kind: Literal["columns", "lines"]
    axis: TimeAxis
    series: Sequence[DrawnSeries]
    levels: Sequence[Label]
    labels: Sequence[Label]
    marks: Sequence[DrawnMark]
    rows: Sequence[Row]


def columns(axis: TimeAxis, series: Sequence[Series], *, say: Say, marks: Sequence[ChartMark] = ()) -> Chart:
    """Stack the values of each bucket, the first series at the bottom; equal areas are equal values."""
    totals = [sum(each.values[place] or 0 for each in series) for place in range(len(axis.begins))]
    top, step = _rounded_top(max(totals, default=0))
    slot = WIDTH / max(len(axis.begins), 1)
    width = slot * (_COLUMN if slot > _NARROW else 1)
    heights = [0.0] * len(axis.begins)
    drawn = []
    for each in series:
        path = []
        for place, value in enumerate(each.values):
            if value:
                height = value / top * HEIGHT
                heights[place] += height
                left = place * slot + (slot - width) / 2
                begin = f"M{_short(left)} {_short(HEIGHT - heights[place])}"
                path.append(f"{begin}h{_short(width)}v{_short(height)}h-{_short(width)}z")
        drawn.append(DrawnSeries(name=each.name, tone=each.tone, path="".join(path)))
    levels = [(step * number, step * number / top) for number in range(round(top / step) + 1)]
    return _chart("columns", axis, series, drawn, levels, say, marks)


def durations(
    axis: TimeAxis, series: Sequence[Series], *, say: Say, marks: Sequence[ChartMark] = ()
) -> Chart:
    """Draw lines on a logarithmic axis: on another one, one slow execution would press all others flat.

    A line ends where a bucket has no value. Values are in milliseconds.
    """
    known = [value for each in series for value in each.values if value is not None]
    low = max((level for level in _DURATIONS if level <= min(known, default=100)), default=_DURATIONS[0])
    high = min((level for level in _DURATIONS if level >= max(known, default=1)), default=_DURATIONS[-1])
    if high <= low:
        place = min(_DURATIONS.index(low), len(_DURATIONS) - 2)
        low, high = _DURATIONS[place], _DURATIONS[place + 1]

    def share(value: float) -> float:
        return math.log(min(max(value, low), high) / low) / math.log(high / low)

    slot = WIDTH / max(len(axis.begins), 1)
    drawn = []
    for each in series:
        shares = [None if value is None else share(value) for value in each.values]
        points = [None if value is None else (place + 0.5, 1 - value) for place, value in enumerate(shares)]
        drawn.append(DrawnSeries(name=each.name, tone=each.tone, path=_line(points, slot, HEIGHT)))
    levels = [(level, share(level)) for level in _DURATIONS if low <= level <= high]
    return _chart("lines", axis, series, drawn, levels, say, marks)


def spark(values: Sequence[float | None]) -> str:
    """Draw a small line without axes in a field of its own; empty for fewer than two values."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    top = max(known) or 1
    # The line keeps off the edges, which would cut its width.
    points = [
        None if value is None else (place, 0.94 - 0.88 * max(value, 0) / top)
        for place, value in enumerate(values)
    ]
    return _line(points, WIDTH / (len(values) - 1), HEIGHT)


def width_for(span: timedelta) -> timedelta:
    """Return the width of the buckets of a time, so that there are at most about a hundred."""
    minutes = (1, 5, 15, 30, 60, 120, 360, 1_440, 7 * 1_440, 28 * 1_440)
    widths = [timedelta(minutes=each) for each in minutes]
    return next((width for width in widths if span <= 100 * width), 52 * timedelta(weeks=1))


def _line(points: Sequence[tuple[float, float] | None], across: float, down: float) -> str:
    """Make the path of points in shares; it begins anew after each gap, and a lonely point is a dot."""
    path = []
    for place, point in enumerate(points):
        if point is None:
            continue
        follows = place > 0 and points[place - 1] is not None
        is_lonely = not follows and (place + 1 == len(points) or points[place + 1] is None)
        left = point[0] * across - (_DOT / 2 if is_lonely else 0)
        path.append(f"{'L' if follows else 'M'}{_short(left)} {_short(point[1] * down)}")
        if is_lonely:
            path.append(f"h{_DOT}")
    return "".join(path)


def _chart(
    kind: Literal["columns", "lines"],
    axis: TimeAxis,
    series: Sequence[Series],
    drawn: Sequence[DrawnSeries],
    levels: Sequence[tuple[float, float]],
    say: Say,
    marks: Sequence[ChartMark],
) -> Chart:
    return Chart(
        kind=kind,
        axis=axis,
        series=drawn,
        levels=[Label(at=_short(TOP + FIELD * (1 - share)), text=say(value)) for value, share in levels],
        labels=list(_labels(axis)) if axis.begins else [],
        marks=[
            DrawnMark(x=_short(100 * axis.share(mark.at)), mark=mark) for mark in marks if axis.has(mark.at)
        ],
        rows=[
            Row(begin=begin, text=axis.clock(begin), values=[say(each.values[place]) for each in series])
            for place, begin in enumerate(axis.begins)
        ],
    )


def _rounded_top(most: float) -> tuple[float, float]:
    """Return the end of an axis of numbers, at least the highest value, and the step of its levels."""
    if most <= 0:
        return float(_MOST_LEVELS), 1.0
    least = most / _MOST_LEVELS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least)
    # Events are whole, and so are the levels of few.
    step = max(step, 1.0) if float(most).is_integer() else step
    return step * math.ceil(most / step), step


def _labels(axis: TimeAxis) -> Iterator[Label]:
    """Yield labels of the time axis, at whole minutes, hours or days of the zone."""
    for moment, form in _moments(axis):
        share = axis.share(moment.astimezone(UTC))
        # A label at the right edge would be cut.
        if 0 <= share <= _LAST_LABEL:
            yield Label(at=_short(100 * share), text=moment.strftime(form))


def _moments(axis: TimeAxis) -> Iterator[tuple[datetime, str]]:
    begin, span = axis.begins[0], axis.end - axis.begins[0]
    if span <= _MOST_LABELS * _MINUTES[-1] * _MINUTE:
        yield from _within_days(axis, _step(_MINUTES, span, _MINUTE), _MINUTE)
    elif span <= 2 * _DAY:
        yield from _within_days(axis, _step(_HOURS, span, _HOUR) * 60, _GRID)
    else:
        step = _step(_DAYS, span, _DAY)
        first = begin.astimezone(axis.zone).date().toordinal()
        last = min(axis.end.astimezone(axis.zone).date().toordinal(), date.max.toordinal())
        form = "%-d %b %Y" if span > 300 * _DAY else "%a %-d %b" if step < 7 else "%-d %b"
        for day in range(first + -first % step, last + 1, step):
            yield datetime.combine(date.fromordinal(day), time(), axis.zone), form


def _within_days(axis: TimeAxis, minutes: int, grid: timedelta) -> Iterator[tuple[datetime, str]]:
    """Yield the moments whose minute of the day in the zone is a multiple of some number."""
    moment = axis.begins[0]
    moment += -(moment - datetime(2000, 1, 1, tzinfo=UTC)) % grid
    while moment < axis.end:
        local = moment.astimezone(axis.zone)
        if (local.hour * 60 + local.minute) % minutes == 0:
            yield local, "%H:%M"
        moment += grid


def _step(steps: Sequence[int], span: timedelta, unit: timedelta) -> int:
    return next((step for step in steps if span <= _MOST_LABELS * step * unit), steps[-1])


def _short(value: float) -> str:
    """Write a number with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
