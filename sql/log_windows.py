"""The windows of time in which a log is searched, newest first, so that a page touches few chunks.

Without a lower bound, PostgreSQL locks every chunk of a log and every index of each before it reads a row. So
the first window is as long as a chunk. Each further one is twice as long as the last, until the page is full.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final, Self, TypeAlias, TypeVar
from uuid import UUID

# Earlier than the rows of any log. A last window without a beginning finds earlier rows, if there are any.
FAR_PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)

ValueT = TypeVar("ValueT")
# A value, or several of which a row has one.
OneOf: TypeAlias = ValueT | tuple[ValueT, ...]
# Users by their ids, or by a name, in place of which a reader puts the ids.
People: TypeAlias = UUID | tuple[UUID, ...] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFilter:
    """A range of time, both ends inclusive or None; a subclass adds values of columns, None for any value."""

    since: datetime | None = None
    until: datetime | None = None

    def given(self) -> dict[str, Any]:
        """Return the conditions that were given, by their names."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def alternatives(self) -> Iterator[Self]:
        """Yield a filter for each of several values: its rows are found in the order of an index."""
        several = {name: value for name, value in self.given().items() if isinstance(value, tuple)}
        for values in product(*several.values()):
            yield replace(self, **dict(zip(several, values, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPaging:
    """A page: at most `limit` rows older than `before`, the time and id of the last row seen.

    A search without an upper end begins at `at`, the time now. Rows with a slightly later time are found too.
    """

    limit: int
    at: datetime
    before: tuple[datetime, UUID] | None = None


def windows_of(
    filters: TimeFilter, paging: LogPaging, span: timedelta
) -> Iterator[tuple[datetime | None, datetime | None]]:
    """Yield windows, the newest first: each its beginning, inclusive, and its end, exclusive.

    The first window is as long as `span`. Its end is None: there the end of the whole search applies.
    """
    top = min([paging.at, *filter(None, (filters.until, paging.before and paging.before[0]))])
    bottom = max(filters.since or FAR_PAST, FAR_PAST)
    end = None
    while top - bottom > span:
        yield (begin := top - span), end
        top = end = begin
        span *= 2
    yield filters.since, end
