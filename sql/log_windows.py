"""The windows of time in which a log is searched from its newest row back, so that a page touches few chunks.

Without a lower bound, PostgreSQL locks every chunk of a log and every index of each before it reads a row.
So the first window is as long as a chunk, and each further one twice as long as the last, until the page is
full.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

# Before there was any log. Older rows, if there are any, are found by one last window without a beginning.
FAR_PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFilter:
    """A time, both ends inclusive; a subclass adds values of columns. None is no condition."""

    since: datetime | None = None
    until: datetime | None = None

    def given(self) -> dict[str, Any]:
        """The conditions by their names, without the absent ones."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPaging:
    """At most `limit` rows older than `before`, the time and id of the last row seen.

    `at` is the time now, where a search without an end begins; rows a little ahead of it are found as well.
    """

    limit: int
    at: datetime
    before: tuple[datetime, UUID] | None = None


def windows_of(
    filters: TimeFilter, paging: LogPaging, span: timedelta
) -> Iterator[tuple[datetime | None, datetime | None]]:
    """Beginnings, inclusive, and ends, exclusive, from the newest window back.

    `span` is the length of the first. An end of None is the end of the search itself.
    """
    top = min([paging.at, *filter(None, (filters.until, paging.before and paging.before[0]))])
    bottom = max(filters.since or FAR_PAST, FAR_PAST)
    end = None
    while top - bottom > span:
        yield (begin := top - span), end
        top = end = begin
        span *= 2
    yield filters.since, end
