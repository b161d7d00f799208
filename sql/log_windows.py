"""The windows of time in which a log is searched, newest first, so that a page touches few chunks.

Without a lower bound, PostgreSQL locks every chunk of a log and every index of each before it reads a row. So
the first window is as long as a chunk. Each further one is twice as long as the last, until the page is full.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

# Earlier than the rows of any log. A last window without a beginning finds earlier rows, if there are any.
FAR_PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFilter:
    """A range of time, both ends inclusive or None; a subclass adds values of columns, None for any value."""

    since: datetime | None = None
    until: datetime | None = None

    def given(self) -> dict[str, Any]:
        """Return the conditions that were given, by their names."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


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
