"""Health: check the parts that requests need, and read figures for the metrics."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from service.runtime.metrics import Gauge
from service.usecases.context import Context
from service.usecases.maintenance import scheduled_jobs
from service.usecases.maintenance.scheduled_jobs import ScheduledJobStatus
from service.usecases.maintenance.table import SCHEDULED_JOBS
from sql.database import PLATFORM
from sql.errors import DatabaseError
from sql.queries import repositories, schema

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """Check of one part, with a detail of its state."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Checks of all parts; requests are served in spite of `warnings`."""

    ready: bool
    checks: dict[str, Check]
    warnings: list[str]


def readiness(context: Context) -> Readiness:
    """Check each part."""
    checks, warnings = _database(context)
    checks["repositories"] = _repositories(context)
    checks["committer"] = _committer(context)
    if checks["database"].ok:
        warnings += _overdue(context)
    return Readiness(all(check.ok for check in checks.values()), checks, warnings)


def _database(context: Context) -> tuple[dict[str, Check], list[str]]:
    try:
        with context.database.transaction(PLATFORM) as tx:
            state = schema.state(tx)
    except DatabaseError as error:
        # The reason is only logged, because it names hosts and users.
        log.warning("the database does not answer", error=str(error))
        return {"database": Check(ok=False, detail="does not answer")}, []
    checks = {
        "database": Check(ok=True, detail=f"PostgreSQL {state.server_version} as {state.role}"),
        "schema": Check(ok=state.revision is not None, detail=f"revision {state.revision}"),
    }
    warnings = []
    if not state.may_delete_rows:
        warnings.append("jobs can't let rows of logs go: GRANT annals_retention to the login of DATABASE_URL")
    if state.timescaledb is not None:
        checks["timescaledb"] = Check(ok=True, detail=f"TimescaleDB {state.timescaledb}")
        return checks, warnings
    required = context.settings.timescaledb_is_required
    checks["timescaledb"] = Check(ok=not required, detail="not present")
    return checks, [*warnings, "no TimescaleDB: logs are plain tables, and retention deletes in batches"]


def _repositories(context: Context) -> Check:
    root = context.settings.git_dir
    if not (root.is_dir() and os.access(root, os.W_OK | os.X_OK)):
        return Check(ok=False, detail="the folder is not writable")
    try:
        with context.database.transaction(PLATFORM) as tx:
            newest = repositories.newest(tx)
    except DatabaseError:
        return Check(ok=True, detail="writable; what has to be in it is not known just now")
    if newest is not None and not context.store.exists(str(newest)):
        return Check(
            ok=False, detail="this database's repositories are missing: is it the right data directory?"
        )
    return Check(ok=True, detail="writable")


def _overdue(context: Context) -> list[str]:
    try:
        return scheduled_jobs.overdue(context)
    except DatabaseError:
        # The database answered a moment ago: the next check will report its failure.
        return []


def figures(context: Context) -> list[Gauge]:
    """Read figures of scheduled jobs and repositories; none while the database does not answer."""
    try:
        jobs = scheduled_jobs.all_jobs(context)
        with context.database.transaction(PLATFORM) as tx:
            sizes = repositories.sizes(tx)
    except DatabaseError as error:
        log.warning("figures are missing: the database does not answer", error=str(error))
        return []
    return [
        _gauge("annals_job_last_success_timestamp_seconds", "When a job last succeeded", jobs, _ended),
        _gauge("annals_job_last_duration_seconds", "How long the last success of a job took", jobs, _took),
        _gauge("annals_job_last_rows", "Rows that the last success of a job was about", jobs, _rows),
        _gauge("annals_job_lag_seconds", "How long a job is overdue", jobs, lambda job: job.lag_seconds),
        _gauge("annals_job_failed", "Whether the last run of a job failed", jobs, _failed),
        Gauge(name="annals_repositories", help="Repositories", value=sizes.repositories),
        Gauge(name="annals_repository_packs", help="Packs of all repositories", value=sizes.packs),
        Gauge(name="annals_repository_bytes", help="Bytes of all repositories", value=sizes.bytes),
        Gauge(name="annals_repository_largest_bytes", help="Bytes of the largest", value=sizes.largest),
    ]


def _gauge(
    name: str, about: str, jobs: list[ScheduledJobStatus], read: Callable[[ScheduledJobStatus], float | None]
) -> Gauge:
    values = [(job.name, read(job)) for job in jobs]
    return Gauge(
        name=name, help=about, by_job=tuple((job, value) for job, value in values if value is not None)
    )


def _ended(job: ScheduledJobStatus) -> float | None:
    done = job.last_success
    return None if done is None or done.ended_at is None else done.ended_at.timestamp()


def _took(job: ScheduledJobStatus) -> float | None:
    done = job.last_success
    if done is None or done.started_at is None or done.ended_at is None:
        return None
    return (done.ended_at - done.started_at).total_seconds()


def _rows(job: ScheduledJobStatus) -> float | None:
    done = job.last_success
    counts = None if done is None else done.counts
    return None if counts is None else sum(counts.get(name, 0) for name in SCHEDULED_JOBS[job.name].rows)


def _failed(job: ScheduledJobStatus) -> float | None:
    return None if job.last_run is None else float(job.last_run.state == "failed")


def _committer(context: Context) -> Check:
    alive = context.committer.is_alive()
    return Check(ok=alive, detail="taking changes" if alive else "not running")
