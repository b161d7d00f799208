"""Health of a workflow, job or job package: its executions by version, and since when they are worse."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from service.audit import events
from service.committer.refusals import resource_not_found
from service.domain import version_health
from service.domain.callers import Caller
from service.domain.ids import ResourceId, SubscriptionId
from service.domain.resource_kinds import Kind
from service.domain.version_health import VersionCounts, Worsening
from service.usecases.context import Context
from service.usecases.log_reading import asked_time
from sql.database import Transaction
from sql.log_statistics import Deadline
from sql.queries import resources
from sql.queries import version_health as figures
from sql.queries.executions import ExecutionsFilter
from sql.queries.resources import ResourceRow
from sql.queries.version_health import VersionFigures

DEFAULT_TIME: Final = timedelta(days=30)
MAX_VERSIONS: Final = 50
_EXECUTED: Final = {Kind.WORKFLOW: "workflow_id", Kind.JOB: "job_id", Kind.JOBPACKAGE: "jobpackage_id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionHealth:
    """Executions of a version; of those that are of no known version, its number is null.

    `git_commit_hash` is null for a number that events name and Annals does not have.
    `failure_rate` is the share of `failures` among those that failed or succeeded. `unended` have not ended.
    Percentiles are of successful ones. `version_from` is `both` if only some name the version themselves.
    """

    version_number: int | None
    git_commit_hash: str | None
    version_from: Literal["event", "publication", "both"] | None
    executions: int
    failures: int
    failure_rate: float | None
    unended: int
    p50_duration_ms: float | None
    p95_duration_ms: float | None
    first_begun_at: datetime
    last_begun_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceHealth:
    """Executions that began in a time by version, the newest version first.

    `worse_since` is the version since which more fail (`worse_in` is `failures`) or are slow (`duration`).
    `roll_back_to` is the last one before it that ran and is stored. They are null if executions do not tell.
    """

    since: datetime
    until: datetime
    worse_since: int | None
    worse_in: Worsening | None
    roll_back_to: int | None
    versions: Sequence[VersionHealth]


def read(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: ResourceId,
    *,
    since: datetime | None,
    until: datetime | None,
) -> ResourceHealth:
    """Compute the health of a resource; kinds that are not executed have no versions in it.

    Raises ResourceNotFound, and Invalid for a time that ends before it begins.
    """
    at = context.clock()
    begin, end = asked_time(since, until, at, DEFAULT_TIME)
    with context.database.transaction(subscription_id) as tx:
        _, found = within(tx, subscription_id, kind, resource_id, since=begin, until=end, at=at)
        asked = {"of": "health", "resource_type": kind, "resource_id": resource_id, "since": begin}
        count = len(found.versions)
        events.record_reading(tx, caller, subscription_id, "execution_log", at, filters=asked, rows=count)
    return found


def within(
    tx: Transaction,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: ResourceId,
    *,
    since: datetime,
    until: datetime,
    at: datetime,
    deadline: Deadline | None = None,
) -> tuple[ResourceRow, ResourceHealth]:
    """Compute what `read` does, in a transaction that records the reading; with the resource."""
    resource = resources.get(tx, subscription_id, kind, resource_id, at=at)
    if resource is None:
        raise resource_not_found(kind, resource_id)
    rows: list[VersionFigures] = []
    if kind in _EXECUTED:
        named: dict[str, Any] = {_EXECUTED[kind]: resource_id}
        filters = ExecutionsFilter(execution_type=kind, **named)
        rows = figures.by_version(
            tx, subscription_id, filters, since=since, until=until, most=MAX_VERSIONS, deadline=deadline
        )
    verdict = version_health.judge(_counts(rows), _current(rows))
    return resource, ResourceHealth(
        since=since,
        until=until,
        worse_since=verdict.worse_since,
        worse_in=verdict.worse_in,
        roll_back_to=verdict.roll_back_to,
        versions=[_shown(row) for row in rows],
    )


def _counts(rows: Sequence[VersionFigures]) -> list[VersionCounts]:
    return [
        VersionCounts(
            version_number=row.version_number,
            failed=row.failed,
            succeeded=row.succeeded,
            durations=row.durations,
            is_stored=row.git_commit_hash is not None,
        )
        for row in rows
        if row.version_number is not None
    ]


def _current(rows: Sequence[VersionFigures]) -> int | None:
    """Return the version of the newest execution whose version is known."""
    known = [row for row in rows if row.version_number is not None]
    newest = max(known, key=lambda row: row.last_begun_at, default=None)
    return None if newest is None else newest.version_number


def _shown(row: VersionFigures) -> VersionHealth:
    judged = row.failed + row.succeeded
    return VersionHealth(
        version_number=row.version_number,
        git_commit_hash=row.git_commit_hash,
        version_from=_source(row),
        executions=row.executions,
        failures=row.failed,
        failure_rate=row.failed / judged if judged else None,
        unended=row.unended,
        p50_duration_ms=row.p50,
        p95_duration_ms=row.p95,
        first_begun_at=row.first_begun_at,
        last_begun_at=row.last_begun_at,
    )


def _source(row: VersionFigures) -> Literal["event", "publication", "both"] | None:
    if row.named == row.executions:
        return "event"
    if row.version_number is None:
        return "event" if row.named else None
    return "both" if row.named else "publication"
