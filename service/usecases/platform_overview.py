"""Overview of the platform: how it is used, how it answers, and which tenants use it most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from service.audit import events
from service.domain.calendar import FIRST
from service.domain.callers import Caller, Right
from service.domain.errors import Invalid
from service.domain.pagination import Page, Paging
from service.usecases import subscriptions
from service.usecases.context import Context
from service.usecases.log_reading import AskedFigures, asked_time, begins_of, figures_within
from service.usecases.overview import ENDED, FigureSpan
from service.usecases.subscriptions import Subscription
from sql.database import PLATFORM, Transaction
from sql.errors import StatementEnded
from sql.log_statistics import Deadline
from sql.queries import log_queue, platform_figures, repositories, tenancy
from sql.queries.log_queue import QueueState
from sql.queries.platform_figures import (
    MAX_LOG_ROWS,
    EndedExecutions,
    PlatformCounts,
    TenantActivity,
    TenantOrder,
)
from sql.queries.repositories import Sizes
from sql.queries.server_logs import FIGURES, SERVER_LOG, ServerBucket, ServerLogFilter
from sql.queries.subscription_sizes import SubscriptionSize

__all__ = ["MAX_LOG_ROWS", "TenantOrder"]

# Subscriptions of a list that is not paged.
MOST_RANKED: Final = 50
# Versions and log rows of a subscription are those of so long.
ACTIVITY_SPAN: Final = timedelta(hours=24)
# Figures of a longer time are for a report.
LONGEST: Final = timedelta(days=3_660)
_ALL: Final = AskedFigures(bucket="all")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFigures:
    """Figures of a time, each beside that of the time before; totals of requests are None without any."""

    begins: Sequence[datetime]
    by_time: Sequence[ServerBucket]
    requests: ServerBucket | None
    requests_before: ServerBucket | None
    executions: EndedExecutions
    versions: int
    versions_before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformOverview:
    """The present state, and the figures of a time; None if these take longer than a page may."""

    counts: PlatformCounts
    sizes: Sizes
    queue: QueueState
    figures: PlatformFigures | None


def read(context: Context, caller: Caller, span: FigureSpan) -> PlatformOverview:
    """Read the overview of all subscriptions, and of requests of unknown callers."""
    caller.needs(Right.READ_PLATFORM_LOGS)
    with context.database.transaction(PLATFORM) as tx:
        counts, sizes, queue = platform_figures.counts(tx), repositories.sizes(tx), log_queue.state(tx)
    try:
        with context.database.transaction(PLATFORM) as tx:
            figures = _figures(tx, context, span)
            about = {"of": "platform", **span.recorded()}
            rows = len(figures.by_time)
            events.record_reading(
                tx, caller, None, SERVER_LOG.name, context.clock(), filters=about, rows=rows
            )
    except StatementEnded:
        figures = None
    return PlatformOverview(counts=counts, sizes=sizes, queue=queue, figures=figures)


def _figures(tx: Transaction, context: Context, span: FigureSpan) -> PlatformFigures:
    at, deadline = context.clock(), Deadline()
    since, until = span.before
    earlier = replace(span, since=since, until=until)

    def requests(of: FigureSpan, asked: AskedFigures) -> Sequence[ServerBucket]:
        narrow = ServerLogFilter(since=of.since, until=of.until)
        return figures_within(tx, None, FIGURES, narrow, asked, at, deadline=deadline).buckets

    deadline.bound(tx)
    (versions, versions_before), executions = _counted(tx, since, span.since, span.until)
    return PlatformFigures(
        begins=begins_of(span.since, span.until, span.width),
        by_time=requests(span, AskedFigures(bucket=span.bucket)),
        requests=next(iter(requests(span, _ALL)), None),
        requests_before=next(iter(requests(earlier, _ALL)), None),
        executions=executions,
        versions=versions,
        versions_before=versions_before,
    )


def _counted(
    tx: Transaction, before: datetime, since: datetime, until: datetime
) -> tuple[tuple[int, int], EndedExecutions]:
    """Count the versions of a time and of the time before, and the executions."""
    versions = platform_figures.versions(tx, before=before, since=since, until=until)
    executions = platform_figures.executions(tx, before=before, since=since, until=until, ended=ENDED)
    return versions, executions


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformUse:
    """Present numbers, and those of a time and of the time of the same length before."""

    since: datetime
    until: datetime
    subscriptions: PlatformCounts
    repositories: Sizes
    executions: EndedExecutions
    versions: int
    versions_before: int


def use(context: Context, caller: Caller, *, since: datetime | None, until: datetime | None) -> PlatformUse:
    """Count as the overview does, over the last ACTIVITY_SPAN where no time is asked for.

    Raises Invalid for a time that ends before it begins or is too long, StatementEnded after five seconds.
    """
    caller.needs(Right.READ_PLATFORM_LOGS)
    at = context.clock()
    begin, end = asked_time(since, until, at, ACTIVITY_SPAN)
    if end - begin > LONGEST:
        raise Invalid.of("since", f"is more than {LONGEST.days:,} days before `until`")
    with context.database.transaction(PLATFORM) as tx:
        Deadline().bound(tx)
        before = begin - min(end - begin, begin - FIRST)
        (versions, versions_before), executions = _counted(tx, before, begin, end)
        found = PlatformUse(
            since=begin,
            until=end,
            subscriptions=platform_figures.counts(tx),
            repositories=repositories.sizes(tx),
            executions=executions,
            versions=versions,
            versions_before=versions_before,
        )
        about = {"of": "platform_figures", "since": begin, "until": end}
        events.record_reading(tx, caller, None, SERVER_LOG.name, at, filters=about, rows=1)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTenant:
    """A subscription with its size and activity; a purged one has neither.

    Resources and versions are counted up to MAX_COUNTED + 1, versions and log rows of the last day up to
    MAX_LOG_ROWS + 1; these are None where counting took too long.
    """

    subscription_id: UUID
    name: str
    created_at: datetime
    closed_at: datetime | None
    exported_at: datetime | None
    repository_bytes: int | None = None
    live_resources: int | None = None
    versions: int | None = None
    versions_of_day: int | None = None
    log_rows_of_day: int | None = None
    last_version_at: datetime | None = None
    last_activity_at: datetime | None = None


def tenants(context: Context, caller: Caller, paging: Paging) -> Page[ListedTenant]:
    """List all subscriptions with size and activity, newest first."""
    caller.needs(Right.CREATE_SUBSCRIPTIONS)
    page = subscriptions.subscriptions(context, caller, paging)
    return Page(_measured(context, caller, page.items), page.next_cursor)


def ranked(context: Context, caller: Caller, order: TenantOrder) -> Sequence[ListedTenant] | None:
    """List the first MOST_RANKED subscriptions in an order; None if that takes longer than a page may."""
    caller.needs(Right.CREATE_SUBSCRIPTIONS)
    since = context.clock() - ACTIVITY_SPAN
    try:
        with context.database.transaction(PLATFORM) as tx:
            found = platform_figures.ranked(tx, order, since=since, limit=MOST_RANKED, deadline=Deadline())
            rows = {row.subscription_id: row for row in tenancy.of_ids(tx, found)}
    except StatementEnded:
        return None
    listed = [subscriptions.shown(context, rows[each]) for each in found if each in rows]
    return _measured(context, caller, listed)


def _measured(context: Context, caller: Caller, found: Sequence[Subscription]) -> list[ListedTenant]:
    sizes, used = subscriptions.sizes(context, caller, found), _activity(context, found)
    return [_listed(each, sizes.get(each.subscription_id), used.get(each.subscription_id)) for each in found]


def _listed(each: Subscription, size: SubscriptionSize | None, used: TenantActivity | None) -> ListedTenant:
    bare = ListedTenant(
        subscription_id=each.subscription_id,
        name=each.name,
        created_at=each.created_at,
        closed_at=each.closed_at,
        exported_at=each.exported_at,
    )
    if size is None:
        return bare
    measured = replace(
        bare,
        repository_bytes=size.repository_bytes,
        live_resources=size.live_resources,
        versions=size.versions,
        last_version_at=size.last_version_at,
        last_activity_at=size.last_version_at,
    )
    if used is None:
        return measured
    times = [time for time in (size.last_version_at, used.last_use_at) if time is not None]
    return replace(
        measured,
        versions_of_day=used.versions,
        log_rows_of_day=used.log_rows,
        last_activity_at=max(times, default=None),
    )


def _activity(context: Context, found: Sequence[Subscription]) -> Mapping[UUID, TenantActivity]:
    """Measure the activity of subscriptions; empty where that takes too long."""
    since = context.clock() - ACTIVITY_SPAN
    ids = [each.subscription_id for each in found]
    try:
        with context.database.transaction(PLATFORM) as tx:
            return platform_figures.activity(tx, ids, since=since, deadline=Deadline())
    except StatementEnded:
        return {}
