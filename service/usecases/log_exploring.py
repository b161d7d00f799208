"""Logs as pages explore them: the rows of a time, and figures of all of them or of the newest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from service.domain.ids import SubscriptionId
from service.usecases import people
from service.usecases.log_reading import begins_of
from sql import log_newest, log_reading, log_statistics
from sql.database import Transaction
from sql.log_reading import Log
from sql.log_statistics import Deadline, Grouping, Statistics
from sql.log_windows import LogFilter

__all__ = ["AskedRows", "LogFilter"]

# Figures count so many of the newest rows: more take longer than a page may.
COUNTED: Final = 10_000
# Groups of figures, and values of a facet, that a file has: more than a page, which shows the first.
MOST_IN_FILE: Final = 200
# Rows of a chart: some hundred buckets, with few groups each.
_MOST_ROWS: Final = 1_000
_MICROSECOND: Final = timedelta(microseconds=1)

FilterT = TypeVar("FilterT", bound=LogFilter)
BucketT = TypeVar("BucketT")
# Makes the width of a chart's columns from its time.
WidthFor = Callable[[timedelta], timedelta]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRows(Generic[FilterT]):
    """Rows that a page asks for, from `since` to `until`.

    `recorded` is the time as the event of a reading says it. With `counts_all`, figures are of all rows,
    otherwise of the COUNTED newest.
    """

    filters: FilterT
    since: datetime
    until: datetime
    recorded: Mapping[str, Any]
    counts_all: bool = False

    @property
    def narrowed(self) -> FilterT:
        """Return the filter with its time."""
        return replace(self.filters, since=self.since, until=self.until)

    @property
    def told(self) -> dict[str, Any]:
        """Return what the event of the reading says; readings of a usual time are of the same."""
        more = {"counted": "all"} if self.counts_all else {}
        return {**self.filters.given(), **self.recorded, **more, "of": "page"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted(Generic[BucketT]):
    """Figures by time and group; `since` is later than asked where only the newest rows are counted."""

    since: datetime
    begins: Sequence[datetime]
    width: timedelta
    by_time: Sequence[BucketT]
    is_all: bool


def newest(
    tx: Transaction,
    log: Log[Any, FilterT],
    subscription_id: SubscriptionId,
    filters: FilterT,
    asked: AskedRows[FilterT],
    deadline: Deadline,
) -> FilterT:
    """Narrow a filter to the newest rows that match, unless all are asked for or there are no more."""
    if asked.counts_all:
        return filters
    last = log_newest.since_newest(tx, log, subscription_id, filters, COUNTED, deadline=deadline)
    return filters if last is None else replace(filters, since=last + _MICROSECOND)


def counted_rows(
    tx: Transaction,
    log: Log[Any, FilterT],
    subscription_id: SubscriptionId,
    filters: FilterT,
    asked: AskedRows[FilterT],
    deadline: Deadline,
) -> tuple[FilterT, FilterT]:
    """Resolve the people of a filter, and narrow it as `newest` does, where no page is read before.

    Returns the filter, and the narrowed one.
    """
    log_reading.read_in_order(tx, filters)
    found = people.resolved(tx, subscription_id, filters, log)
    return found, newest(tx, log, subscription_id, found, asked, deadline)


def counted(
    tx: Transaction,
    statistics: Statistics[FilterT, BucketT],
    subscription_id: SubscriptionId,
    filters: FilterT,
    asked: AskedRows[FilterT],
    width_for: WidthFor,
    deadline: Deadline,
    *by: str,
) -> Counted[BucketT]:
    """Count the rows of a filter that was narrowed, by time and by groups."""
    since = filters.since or asked.since
    width = width_for(asked.until - since)
    grouping = Grouping(width=width, by=by, limit=_MOST_ROWS)
    return Counted(
        since=since,
        begins=begins_of(since, asked.until, width),
        width=width,
        by_time=log_statistics.statistics(
            tx, statistics, subscription_id, filters, grouping, deadline=deadline
        ),
        is_all=since == asked.since,
    )
