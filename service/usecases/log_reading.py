"""Reading of logs: a page or figures, and the event that records the reading, in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar
from uuid import UUID

from service.audit import events
from service.domain.calendar import FIRST
from service.domain.callers import Caller
from service.domain.errors import Invalid
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, time_position
from service.usecases import group_names, people
from service.usecases.context import Context
from service.usecases.log_following import page_in_commit_order
from sql import log_reading, log_statistics
from sql.database import PLATFORM, Transaction
from sql.duration_bins import ERROR
from sql.log_reading import Log
from sql.log_statistics import Deadline, Grouping, Statistics
from sql.log_windows import FAR_PAST, LogFilter, LogPaging
from sql.time_buckets import begin_of

# Number of buckets if a filter has no `since`: the last ones up to its `until`, or up to now.
DEFAULT_BUCKETS = 100
# A chart shows no more buckets, and reading these takes a moment. Rows are buckets times groups.
MAX_BUCKETS = 2_000
MAX_ROWS = 10_000

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

RowT = TypeVar("RowT")
BucketT = TypeVar("BucketT", bound="Bucket")
FilterT = TypeVar("FilterT", bound=LogFilter)


class Bucket(Protocol):
    """Figures of a group in the bucket that begins at `time`, with its value of each column."""

    @property
    def time(self) -> datetime:
        """The beginning."""

    @property
    def groups(self) -> list[str | None]:
        """The values."""


def page_of_log(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    log: Log[RowT, FilterT],
    filters: FilterT,
    paging: Paging,
    *,
    expand: str | None = None,
    told: Mapping[str, Any] | None = None,
) -> Page[RowT]:
    """Read a page of the rows that match, newest first, or in the order of commits.

    `expand` names what the caller adds to the rows, and is recorded with the filters; `told` is recorded in
    place of the filters.
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
        if not paging.is_part:
            shown = min(len(rows), paging.limit)
            asked = {**(given if told is None else told), **({} if expand is None else {"expand": expand})}
            events.record_reading(
                tx, caller, subscription_id, log.name, at, filters=asked, rows=shown, after=reached
            )

    def position(row: RowT) -> list[str]:
        time, row_id = log.position_of(row, filters)
        return [time.isoformat(), str(row_id)]

    return paging.page(rows, stamped, position)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFigures:
    """Buckets, groups and order of figures, as a reader asks for them; `bucket` is a width (1h) or all."""

    bucket: str
    group_by: Sequence[str] = ()
    measure: str | None = None
    order: str | None = None
    limit: int | None = None

    def given(self) -> dict[str, Any]:
        """Return what is recorded with the filters."""
        values = {"bucket": self.bucket, "group_by": list(self.group_by), "order": self.order}
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFigures(Generic[BucketT]):
    """Figures by buckets of time and groups, and the names of those ids among the groups that have one.

    `spans` has the seconds of each bucket that lie within the time that was asked for. `filters` are those of
    the rows, with the time that was taken where none was asked for. Percentiles that come from counted days
    are wrong by `percentile_error` of their value at most; all else is exact.
    """

    buckets: Sequence[BucketT]
    spans: Sequence[float]
    names: Mapping[str, str]
    filters: LogFilter
    figures_from: Literal["rows", "days"] = "rows"

    @property
    def percentile_error(self) -> float:
        """The largest relative error of a percentile."""
        return ERROR if self.figures_from == "days" else 0.0


# Figures by counted days, or None where rows have to be read.
CountedFigures: TypeAlias = Callable[[Transaction, UUID, FilterT, Grouping, Deadline], list[BucketT] | None]


def figures_of_log(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    statistics: Statistics[FilterT, BucketT],
    filters: FilterT,
    asked: AskedFigures,
    *,
    counted: CountedFigures[FilterT, BucketT] | None = None,
) -> LogFigures[BucketT]:
    """Compute figures of the rows that match, by buckets of time; by counted days, where these answer.

    Raises Invalid for more than MAX_BUCKETS buckets or MAX_ROWS rows, for one bucket without `since`, and for
    an order or a limit of several.
    """
    at = context.clock()
    with context.database.transaction(subscription_id or PLATFORM) as tx:
        found = figures_within(tx, subscription_id, statistics, filters, asked, at, counted=counted)
        given: Mapping[str, Any] = {**found.filters.given(), **asked.given()}
        name = statistics.log.name
        events.record_reading(tx, caller, subscription_id, name, at, filters=given, rows=len(found.buckets))
    return found


def figures_within(
    tx: Transaction,
    subscription_id: SubscriptionId | None,
    statistics: Statistics[FilterT, BucketT],
    filters: FilterT,
    asked: AskedFigures,
    at: datetime,
    *,
    deadline: Deadline | None = None,
    counted: CountedFigures[FilterT, BucketT] | None = None,
) -> LogFigures[BucketT]:
    """Compute figures as `figures_of_log` does, in a transaction that records the reading itself."""
    filters, width = _bounds(filters, asked, at)
    grouping = Grouping(
        width=width,
        by=tuple(asked.group_by),
        order=asked.order,
        measure=asked.measure,
        limit=asked.limit or MAX_ROWS + 1,
    )
    found = people.resolved(tx, subscription_id, filters, statistics.log)
    deadline = deadline or Deadline()
    rows = None
    if counted is not None and subscription_id is not None:
        rows = counted(tx, subscription_id, found, grouping, deadline)
    source: Literal["rows", "days"] = "rows" if rows is None else "days"
    if rows is None:
        rows = log_statistics.statistics(tx, statistics, subscription_id, found, grouping, deadline=deadline)
    # Checked before the reading is recorded, because a refused reading gets a row of its own.
    if len(rows) > MAX_ROWS:
        raise _too_many(f"more than {MAX_ROWS:,} groups in all buckets together", "group_by")
    groups: list[Sequence[str | None]] = [row.groups for row in rows]
    names = group_names.of(tx, subscription_id, asked.group_by, groups)
    spans = [_span(row.time, width, filters, at) for row in rows]
    return LogFigures(buckets=rows, spans=spans, names=names, filters=filters, figures_from=source)


def _span(begin: datetime, width: timedelta | None, filters: LogFilter, at: datetime) -> float:
    until = filters.until or at
    end = until if width is None else min(begin + width, until)
    return (end - max(begin, filters.since or begin)).total_seconds()


def _bounds(filters: FilterT, asked: AskedFigures, at: datetime) -> tuple[FilterT, timedelta | None]:
    if asked.bucket == "all":
        if filters.since is None:
            raise Invalid.of("since", "is needed with the bucket `all`")
        return filters, None
    for name, value in (("order", asked.order), ("limit", asked.limit)):
        if value is not None:
            raise Invalid.of(name, "is for the groups of the bucket `all`")
    width = width_of(asked.bucket)
    return bounded(filters, width, at), width


def width_of(bucket: str) -> timedelta:
    """Parse the width of a bucket, a text like 15m, 1h, 7d or 2w."""
    return timedelta(**{_UNITS[bucket[-1]]: int(bucket[:-1])})


def bounded(filters: FilterT, width: timedelta, at: datetime) -> FilterT:
    """Add a `since` to a filter that has none; raises Invalid for more than MAX_BUCKETS buckets."""
    until = filters.until or at
    if filters.since is None:
        return replace(filters, since=begin_of_last(until, width))
    if (until - filters.since) // width >= MAX_BUCKETS:
        raise _too_many(f"more than {MAX_BUCKETS:,} buckets", "bucket")
    try:
        begin_of(filters.since, width)
    except OverflowError:
        detail = "its first bucket would begin before the year 1: take narrower buckets or a later time"
        raise Invalid.of("since", detail) from None
    return filters


def begins_of(since: datetime, until: datetime, width: timedelta) -> list[datetime]:
    """Return the beginnings of all buckets that have a part of a time; its ends belong to it."""
    found = [begin_of(since, width)]
    while found[-1] + width <= until:
        found.append(found[-1] + width)
    return found


def begin_of_last(until: datetime, width: timedelta) -> datetime:
    """Return the beginning of the last DEFAULT_BUCKETS buckets up to a time."""
    whole = (DEFAULT_BUCKETS - 1) * width
    return FAR_PAST if until - FAR_PAST < whole else begin_of(until - whole, width)


def asked_time(
    since: datetime | None, until: datetime | None, at: datetime, usual: timedelta
) -> tuple[datetime, datetime]:
    """Return the beginning and the end of a time, the last `usual` one where none is asked for.

    Raises Invalid for a time that ends before it begins.
    """
    end = until or at
    begin = since or max(end, FIRST + usual) - usual
    if begin > end:
        raise Invalid.of("since", "is later than `until`")
    return begin, end


def _too_many(excess: str, parameter: str) -> Invalid:
    return Invalid.of(parameter, f"{excess}: take wider buckets or a shorter time")
