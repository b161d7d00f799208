"""Overview of a subscription: figures of the executions of a time, and of the time before, read at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from service.audit import events
from service.domain.callers import Caller, Right
from service.domain.ids import ResourceId, SubscriptionId
from service.domain.pagination import Page, Paging
from service.domain.resource_kinds import Kind
from service.usecases import execution_logs, executions, version_health
from service.usecases.context import Parts
from service.usecases.execution_logs import ExecutionBucket, ExecutionFilter
from service.usecases.executions import Execution
from service.usecases.log_reading import AskedFigures, CountedFigures, LogFigures, begins_of
from service.usecases.version_health import ResourceHealth
from sql.database import Transaction
from sql.log_statistics import Deadline
from sql.queries import first_runs, latest_versions
from sql.queries.execution_logs import NODE
from sql.queries.executions import FAILURES, ExecutionsFilter
from sql.queries.latest_versions import LatestVersion, VersionEvent

__all__ = ["VersionEvent"]

LOG: Final = "execution_log"
# Rows of each list, and publications and rollbacks that a chart marks.
MOST_ROWS: Final = 8
MOST_EVENTS: Final = 40
# Pairs of a version and an error code, of which the most frequent ones are shown.
MOST_ERRORS: Final = 200
# States of executions and nodes that have ended, in the order in which a chart stacks them.
SUCCEEDED: Final = "success"
ENDED: Final = (SUCCEEDED, "cancelled", "skipped", *FAILURES)
# A chart of fewer days has shorter buckets, also where these take longer.
FEW_DAYS: Final = timedelta(days=5)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureSpan:
    """A time with the width of its buckets; `name` is that of a usual length, such as 7d.

    Readings of the same usual length are readings of the same, though each is of another time.
    """

    since: datetime
    until: datetime
    width: timedelta
    name: str | None = None

    @property
    def bucket(self) -> str:
        """Return the width of the buckets as a reader asks for it."""
        minutes = self.width // timedelta(minutes=1)
        return f"{minutes // 1_440}d" if minutes % 1_440 == 0 else f"{minutes}m"

    @property
    def by_days(self) -> "FigureSpan":
        """Return the time with buckets of a day at least, unless these are too few for a chart."""
        is_short = self.until - self.since < FEW_DAYS
        return self if is_short else replace(self, width=max(self.width, timedelta(days=1)))

    @property
    def before(self) -> tuple[datetime, datetime]:
        """Return the time of the same length before; both ends belong to it."""
        return self.since - (self.until - self.since), self.since - _MICROSECOND

    def recorded(self) -> dict[str, Any]:
        """Return the time as the event of a reading has it."""
        return {"since": self.since, "until": self.until} if self.name is None else {"range": self.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Figures of the ended executions of a time; percentiles are of successful ones, in milliseconds."""

    ended: int
    succeeded: int
    failed: int
    rows_processed: int
    p50: float | None
    p95: float | None

    @property
    def judged(self) -> int:
        """Return the number of executions that tell if workflows do their work."""
        return self.succeeded + self.failed

    @classmethod
    def of(cls, buckets: Sequence[ExecutionBucket]) -> "Totals":
        """Add figures of one time that are grouped by status."""
        succeeded = next((each for each in buckets if each.group == SUCCEEDED), None)
        return cls(
            ended=sum(each.count for each in buckets),
            succeeded=0 if succeeded is None else succeeded.count,
            failed=sum(each.failed for each in buckets),
            rows_processed=sum(each.rows_processed for each in buckets),
            p50=None if succeeded is None else succeeded.p50,
            p95=None if succeeded is None else succeeded.p95,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionsFigures:
    """Figures of the executions of workflows, by the events that say how they ended.

    `span` is their time, with buckets of a day where executions are too many to be read. `begins` are the
    beginnings of all buckets, and `by_time` the figures of each by status. Workflows, nodes
    and codes are the first MOST_ROWS of theirs, and `names` those of the workflows by their ids. Percentiles
    are wrong by `percentile_error` of their value at most.
    """

    span: FigureSpan
    begins: Sequence[datetime]
    by_time: Sequence[ExecutionBucket]
    totals: Totals
    before: Totals
    workflows: Sequence[ExecutionBucket]
    nodes: Sequence[ExecutionBucket]
    codes: Sequence[ExecutionBucket]
    names: Mapping[str, str]
    events: Sequence[VersionEvent]
    percentile_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Figures of a subscription beside its latest versions."""

    figures: ExecutionsFigures
    latest: Sequence[LatestVersion]


def read(context: Parts, caller: Caller, subscription_id: SubscriptionId, span: FigureSpan) -> Overview:
    """Read the overview; raises Invalid for too many buckets, and QueryTooLong after five seconds."""
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        counted = execution_logs.by_days(context.settings.exact_rows)
        figures = figures_within(tx, subscription_id, span, at, Deadline(), counted=counted)
        latest = latest_versions.latest(tx, subscription_id, limit=MOST_ROWS)
        asked = {"of": "overview", **span.recorded()}
        rows = len(figures.by_time)
        events.record_reading(tx, caller, subscription_id, LOG, at, filters=asked, rows=rows)
    return Overview(figures=figures, latest=latest)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownExecutions:
    """Executions of all workflows, or of one, whose `name` and `health` are known then, and if it `is_live`.

    `errors` are the most frequent error codes of versions. A later page of the list has no figures, and the
    list is None for a caller who may not read logs.
    """

    figures: ExecutionsFigures | None
    name: str | None
    is_live: bool
    health: ResourceHealth | None
    errors: Mapping[str | None, str]
    page: Page[Execution] | None


def read_executions(
    context: Parts,
    caller: Caller,
    subscription_id: SubscriptionId,
    span: FigureSpan,
    *,
    workflow_id: ResourceId | None,
    status: str | None,
    paging: Paging,
) -> ShownExecutions:
    """Read executions as the overview does, with the list of those that have a status.

    Raises ResourceNotFound, Invalid, and QueryTooLong after five seconds.
    """
    at, deadline = context.clock(), Deadline()
    counted = execution_logs.by_days(context.settings.exact_rows)
    reads_logs = caller.may(Right.READ_LOGS)
    is_first = paging.cursor is None
    with context.database.transaction(subscription_id) as tx:
        page, reached = None, None
        workflow, health, figures, worst = None, None, None, None
        if workflow_id is not None:
            workflow, health = version_health.within(
                *(tx, subscription_id, Kind.WORKFLOW, workflow_id),
                since=span.since,
                until=span.until,
                at=at,
                deadline=deadline,
            )
        if is_first or not reads_logs:
            figures = figures_within(tx, subscription_id, span, at, deadline, workflow_id, counted=counted)
        if reads_logs:
            wanted = listed(span, workflow_id, status)
            page, reached = executions.page_within(tx, subscription_id, wanted, paging, at, deadline)
        if figures is not None and workflow_id is not None and figures.totals.failed:
            failed = replace(executed(span, workflow_id), status=FAILURES)
            by = AskedFigures(
                bucket="all", group_by=("version", "error_code"), order="count", limit=MOST_ERRORS
            )
            worst = execution_logs.statistics_within(
                tx, subscription_id, failed, by, at, deadline, counted=counted
            )
        asked = {"of": "executions_page", "workflow_id": workflow_id, "status": status, **span.recorded()}
        rows = (
            len(figures.by_time) if page is None and figures is not None else len(page.items if page else ())
        )
        events.record_reading(tx, caller, subscription_id, LOG, at, filters=asked, rows=rows, after=reached)
    return ShownExecutions(
        figures=figures,
        name=None if workflow is None else workflow.name,
        is_live=workflow is not None and workflow.deleted_at is None,
        health=health,
        errors=_most_frequent([] if worst is None else worst.buckets),
        page=page,
    )


def _most_frequent(buckets: Sequence[ExecutionBucket]) -> dict[str | None, str]:
    """Return the first error code of each version; those that occur most come first."""
    found: dict[str | None, str] = {}
    for each in buckets:
        version, code = each.groups
        if code is not None:
            found.setdefault(version, code)
    return found


def executed(span: FigureSpan, workflow_id: UUID | None = None) -> ExecutionFilter:
    """Make the filter of the ended executions of a time."""
    return ExecutionFilter(
        since=span.since,
        until=span.until,
        time="occurred_at",
        execution_type="workflow",
        status=ENDED,
        workflow_id=workflow_id,
    )


def listed(span: FigureSpan, workflow_id: UUID | None, status: str | None) -> ExecutionsFilter:
    """Make the filter of the executions of a time as a list."""
    return ExecutionsFilter(
        since=span.since,
        until=span.until,
        execution_type="workflow",
        workflow_id=workflow_id,
        status=status,
    )


def figures_within(
    tx: Transaction,
    subscription_id: SubscriptionId,
    span: FigureSpan,
    at: datetime,
    deadline: Deadline,
    workflow_id: UUID | None = None,
    *,
    counted: CountedFigures[ExecutionFilter, ExecutionBucket],
) -> ExecutionsFigures:
    """Read figures of all workflows or of one, in a transaction that records the reading itself.

    Those of a time with many rows come from counted days.
    """
    errors: list[float] = []

    def asked(
        filters: ExecutionFilter, bucket: str, *by: str, order: str | None = None
    ) -> LogFigures[ExecutionBucket]:
        limit = None if order is None else MOST_ROWS
        wanted = AskedFigures(bucket=bucket, group_by=by, order=order, limit=limit)
        found = execution_logs.statistics_within(
            tx, subscription_id, filters, wanted, at, deadline, counted=counted
        )
        errors.append(found.percentile_error)
        return found

    whole = executed(span, workflow_id)
    since, until = span.before
    before = executed(replace(span, since=since, until=until), workflow_id)
    worst = None if workflow_id is not None else asked(whole, "all", "workflow_id", order="failed")
    by = () if workflow_id is not None else ("workflow_id",)
    slowest = asked(replace(whole, execution_type=NODE), "all", *by, "node_id", order="p95")
    failed = replace(whole, status=FAILURES)
    totals = asked(whole, "all", "status")
    shown = span if totals.figures_from == "rows" else span.by_days
    return ExecutionsFigures(
        span=shown,
        begins=begins_of(shown.since, shown.until, shown.width),
        by_time=asked(whole, shown.bucket, "status").buckets,
        totals=Totals.of(totals.buckets),
        before=Totals.of(asked(before, "all", "status").buckets),
        workflows=[] if worst is None else worst.buckets,
        nodes=slowest.buckets,
        codes=asked(failed, "all", "error_code", order="count").buckets,
        names={**({} if worst is None else worst.names), **slowest.names},
        events=_events(
            *(tx, subscription_id, span, workflow_id),
            executed=whole if workflow_id is None and totals.figures_from == "rows" else None,
            deadline=deadline,
        ),
        # Arguments are computed in their order: all figures are there.
        percentile_error=max(errors),
    )


def _events(
    tx: Transaction,
    subscription_id: SubscriptionId,
    span: FigureSpan,
    workflow_id: UUID | None,
    *,
    executed: ExecutionFilter | None,
    deadline: Deadline,
) -> list[VersionEvent]:
    """Read what a chart marks, the newest first; of executions that are given the first runs, too."""
    since, until = span.since, span.until
    found = latest_versions.events(
        tx, subscription_id, workflow_id=workflow_id, since=since, until=until, limit=MOST_EVENTS
    )
    if executed is not None:
        found += first_runs.events(tx, subscription_id, executed, deadline, limit=MOST_EVENTS)
    return sorted(found, key=lambda each: each.at, reverse=True)[:MOST_EVENTS]
