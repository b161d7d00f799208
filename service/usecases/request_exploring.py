"""The server log as a page explores it: requests, their figures, and those of their routes, read at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.audit import events
from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, time_position
from service.usecases import log_exploring, people
from service.usecases.context import Context
from service.usecases.log_exploring import MOST_IN_FILE, AskedRows, Counted, WidthFor
from service.usecases.log_reading import LogFigures
from service.usecases.server_logs import ServerEvent, rated
from sql import log_reading, log_statistics
from sql.log_statistics import Deadline, Grouping
from sql.log_windows import LogPaging
from sql.queries.server_logs import FIGURES, SERVER_LOG, ServerBucket, ServerLogFilter

MOST_ROUTES: Final = 15
ROUTE: Final = ("http_method", "route")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploredRequests:
    """A page of requests beside the figures of all: by time, in total, and of the slowest routes.

    `total` is None without a request, and its `rate` is that of the time that is counted.
    """

    page: Page[ServerEvent]
    counted: Counted[ServerBucket]
    total: ServerBucket | None
    routes: Sequence[ServerBucket]


def explore(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    asked: AskedRows[ServerLogFilter],
    paging: Paging,
    width_for: WidthFor,
) -> ExploredRequests:
    """Read requests, and figures of them.

    Raises Invalid for another list's cursor, and QueryTooLong after five seconds.
    """
    at = context.clock()
    filters = asked.narrowed
    stamped = {"list": "explored", "of": subscription_id, **filters.given()}
    reached = paging.position(stamped)
    with context.database.transaction(subscription_id) as tx:
        deadline = Deadline()
        found = people.resolved(tx, subscription_id, filters, SERVER_LOG)
        wanted = LogPaging(limit=paging.limit + 1, at=at, before=time_position(reached))
        rows = log_reading.page(tx, SERVER_LOG, subscription_id, found, wanted)
        newest = log_exploring.newest(tx, SERVER_LOG, subscription_id, found, asked, deadline)
        counted = log_exploring.counted(tx, FIGURES, subscription_id, newest, asked, width_for, deadline)

        def figures(*by: str, order: str | None, limit: int) -> list[ServerBucket]:
            grouping = Grouping(width=None, by=by, order=order, limit=limit)
            return log_statistics.statistics(
                tx, FIGURES, subscription_id, newest, grouping, deadline=deadline
            )

        totals = figures(order=None, limit=1)
        routes = figures(*ROUTE, order="p95", limit=MOST_ROUTES)
        shown = min(len(rows), paging.limit)
        events.record_reading(
            tx, caller, subscription_id, SERVER_LOG.name, at, filters=asked.told, rows=shown, after=reached
        )
    page = paging.page(rows, stamped, lambda row: [row.created_at.isoformat(), str(row.log_id)])
    seconds = (asked.until - counted.since).total_seconds()
    total = rated(totals[0], seconds) if totals else None
    return ExploredRequests(page=page, counted=counted, total=total, routes=routes)


def routes(
    context: Context, caller: Caller, subscription_id: SubscriptionId, asked: AskedRows[ServerLogFilter]
) -> LogFigures[ServerBucket]:
    """Read figures of the MOST_IN_FILE slowest routes, of the rows that `explore` counts.

    Raises QueryTooLong after five seconds.
    """
    at = context.clock()
    grouping = Grouping(width=None, by=ROUTE, order="p95", limit=MOST_IN_FILE)
    with context.database.transaction(subscription_id) as tx:
        deadline = Deadline()
        _, newest = log_exploring.counted_rows(
            tx, SERVER_LOG, subscription_id, asked.narrowed, asked, deadline
        )
        rows = log_statistics.statistics(tx, FIGURES, subscription_id, newest, grouping, deadline=deadline)
        told = {**asked.told, "of": "routes"}
        events.record_reading(tx, caller, subscription_id, SERVER_LOG.name, at, filters=told, rows=len(rows))
    seconds = (asked.until - (newest.since or asked.since)).total_seconds()
    buckets = [rated(each, seconds) for each in rows]
    return LogFigures(buckets=buckets, spans=[seconds] * len(buckets), names={}, filters=newest)
