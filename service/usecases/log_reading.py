"""Reading of logs: a page or figures, and the event that records the reading, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from service.audit import events
from service.domain.callers import Caller
from service.domain.errors import Fault, Invalid
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, time_position
from service.usecases import people
from service.usecases.context import Context
from service.usecases.log_following import page_in_commit_order
from sql import log_reading
from sql.database import PLATFORM
from sql.log_reading import Log, Statistics
from sql.log_windows import FAR_PAST, LogFilter, LogPaging
from sql.time_buckets import begin_of

# Number of buckets if a filter has no `since`: the last ones up to its `until`, or up to now.
DEFAULT_BUCKETS = 100
# A chart shows no more buckets, and reading these takes a moment. Rows are buckets times groups.
MAX_BUCKETS = 2_000
MAX_ROWS = 10_000

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

RowT = TypeVar("RowT")
BucketT = TypeVar("BucketT")
FilterT = TypeVar("FilterT", bound=LogFilter)


def page_of_log(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    log: Log[RowT, FilterT],
    filters: FilterT,
    paging: Paging,
    *,
    expand: str | None = None,
) -> Page[RowT]:
    """Read a page of the rows that match, newest first, or in the order of commits.

    `expand` names what the caller adds to the rows, and is recorded with the filters.
    Raises Invalid for another list's cursor.
    """
    if paging.in_commit_order:
        return page_in_commit_order(context, caller, subscription_id, log, filters, paging, expand=expand)
    given = filters.given()
    stamped = {"list": log.name, "of": subscription_id, **given}
    reached = paging.position(stamped)
    before = time_position(reached)
    at = context.clock()
    with context.database.transaction(subscription_id or PLATFORM) as tx:
        wanted = LogPaging(limit=paging.limit + 1, at=at, before=before)
        found = people.resolved(tx, subscription_id, filters, log)
        rows = log_reading.page(tx, log, subscription_id, found, wanted)
        shown = min(len(rows), paging.limit)
        asked = given if expand is None else {**given, "expand": expand}
        events.record_reading(
            tx, caller, subscription_id, log.name, at, filters=asked, rows=shown, after=reached
        )

    def position(row: RowT) -> list[str]:
        time, row_id = log.position_of(row, filters)
        return [time.isoformat(), str(row_id)]

    return paging.page(rows, stamped, position)


def figures_of_log(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    statistics: Statistics[FilterT, BucketT],
    filters: FilterT,
    *,
    bucket: str,
    group_by: str | None,
) -> Sequence[BucketT]:
    """Compute figures of the rows that match, by buckets of time.

    Raises Invalid for more than MAX_BUCKETS buckets or MAX_ROWS rows.
    """
    at = context.clock()
    width = width_of(bucket)
    filters = bounded(filters, width, at)
    with context.database.transaction(subscription_id) as tx:
        found = people.resolved(tx, subscription_id, filters, statistics.log)
        rows = log_reading.statistics(
            tx, statistics, subscription_id, found, width=width, group_by=group_by, limit=MAX_ROWS + 1
        )
        # Checked before the reading is recorded, because a refused reading gets a row of its own.
        if len(rows) > MAX_ROWS:
            raise _too_many(f"more than {MAX_ROWS:,} groups in all buckets together", "group_by")
        asked: Mapping[str, Any] = {**filters.given(), "bucket": bucket}
        name = statistics.log.name
        events.record_reading(tx, caller, subscription_id, name, at, filters=asked, rows=len(rows))
    return rows


def width_of(bucket: str) -> timedelta:
    """Parse the width of a bucket, a text like 15m, 1h, 7d or 2w."""
    return timedelta(**{_UNITS[bucket[-1]]: int(bucket[:-1])})


def bounded(filters: FilterT, width: timedelta, at: datetime) -> FilterT:
    """Add a `since` to a filter that has none; raises Invalid for more than MAX_BUCKETS buckets."""
    until = filters.until or at
    if filters.since is None:
        whole = (DEFAULT_BUCKETS - 1) * width
        since = FAR_PAST if until - FAR_PAST < whole else begin_of(until - whole, width)
        return replace(filters, since=since)
    if (until - filters.since) // width >= MAX_BUCKETS:
        raise _too_many(f"more than {MAX_BUCKETS:,} buckets", "bucket")
    try:
        begin_of(filters.since, width)
    except OverflowError:
        detail = "its first bucket would begin before the year 1: take narrower buckets or a later time"
        raise Invalid(f"since: {detail}.", faults=[Fault(detail, parameter="since")]) from None
    return filters


def _too_many(excess: str, parameter: str) -> Invalid:
    detail = f"{excess}: take wider buckets or a shorter time"
    return Invalid(f"{parameter}: {detail}.", faults=[Fault(detail, parameter=parameter)])
