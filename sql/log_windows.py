"""The windows of time in which a log is searched, newest first, so that a page touches few chunks.

Without a lower bound, PostgreSQL locks every chunk of a log and every index of each before it reads a row. So
the first window is as long as a chunk. Each further one is twice as long as the last, until the page is full.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from math import prod
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, TypeVar
from uuid import UUID

# How far ahead of its arrival an event's own time may lie, since clocks differ.
AHEAD: Final = timedelta(minutes=5)
# TimescaleDB cuts chunks at multiples of their span from here on.
_FIRST_CHUNK: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Earlier than the rows of any log. A last window without a beginning finds earlier rows, if there are any.
FAR_PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)

# The time that a reader means: of a row's arrival, or of the event itself.
LogTime: TypeAlias = Literal["created_at", "occurred_at"]
ValueT = TypeVar("ValueT")
# A value, or several of which a row has one.
OneOf: TypeAlias = ValueT | tuple[ValueT, ...]
# Users by their ids, or by names, in place of which a reader puts the ids.
People: TypeAlias = UUID | tuple[UUID | str, ...] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFilter:
    """A range of time, both ends inclusive or None; a subclass adds values of columns, None for any value."""

    since: datetime | None = None
    until: datetime | None = None

    # The fields whose several values are one condition, and no alternatives.
    joint: ClassVar[frozenset[str]] = frozenset()

    def given(self) -> dict[str, Any]:
        """Return the conditions that were given, by their names."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def several(self) -> dict[str, tuple[Any, ...]]:
        """Return the fields that have several values, of which a row has one."""
        return {
            name: value
            for name, value in self.given().items()
            if isinstance(value, tuple) and name not in self.joint
        }

    def alternatives(self) -> Iterator[Self]:
        """Yield a filter for each of several values: its rows are found in the order of an index."""
        several = self.several()
        for values in product(*several.values()):
            yield replace(self, **dict(zip(several, values, strict=True)))

    @property
    def size(self) -> int:
        """Return the number of alternatives; with 0, no row matches."""
        return prod(map(len, self.several().values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter(TimeFilter):
    """A filter of a log; `time` is the time that its range and the order mean, None that of the arrival."""

    time: LogTime | None = None

    @property
    def by_occurrence(self) -> bool:
        """Tell if range and order are of the events' own time."""
        return self.time == "occurred_at"

    @property
    def ahead(self) -> timedelta:
        """Return how far the time that is meant may lie ahead of a row's arrival."""
        return AHEAD if self.by_occurrence else timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPaging:
    """A page: at most `limit` rows older than `before`, the time and id of the last row seen.

    A search without an upper end begins at `at`, the time now. Rows with a slightly later time are found too.
    """

    limit: int
    at: datetime
    before: tuple[datetime, UUID] | None = None


def windows_of(
    filters: LogFilter, paging: LogPaging, span: timedelta
) -> Iterator[tuple[datetime | None, datetime | None]]:
    """Yield windows of arrivals, the newest first: each its beginning, inclusive, and its end, exclusive.

    The first window is as long as `span`. Its end is None: there the end of the whole search applies.
    An event can arrive long after its own time: a search by that time begins with the last arrivals.
    """
    since = earliest_arrival(filters)
    ends = () if filters.by_occurrence else (filters.until, paging.before and paging.before[0])
    top = min([paging.at, *filter(None, ends)])
    bottom = max(since or FAR_PAST, FAR_PAST)
    end = None
    chunk = span
    while top - bottom > span:
        begin = top - span
        if filters.by_occurrence:
            # A chunk that lies in a window in part would be read whole: its index has another order.
            begin -= (begin - _FIRST_CHUNK) % chunk
            if begin <= bottom:
                break
        yield begin, end
        top = end = begin
        span *= 2
    yield since, end


def earliest_arrival(filters: LogFilter) -> datetime | None:
    """Return the earliest arrival of the rows that a filter can find; None for any."""
    if filters.since is None or not filters.by_occurrence:
        return filters.since
    return None if filters.since <= FAR_PAST else filters.since - filters.ahead
