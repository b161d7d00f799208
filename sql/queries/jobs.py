"""Jobs: their schedules, their runs, each slot of which is taken once, and plans of what a run would do."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from sql.database import Transaction
from sql.log_reading import between, matching
from sql.log_windows import TimeFilter
from sql.models import TABLES

_SCHEDULES = TABLES["job_schedules"]
_PLANS = TABLES["job_plans"]
_RUNS = TABLES["job_runs"]
_KEYS = TABLES["api_keys"]

# Any fixed numbers: what must not coincide is another advisory lock in the same database.
LEADER_LOCK: Final = 0x616E6E616C6A
WAITING, RUNNING, MISSED, INTERRUPTED = "waiting", "running", "missed", "interrupted"
SUCCEEDED, FAILED = "succeeded", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """What an operator set of a job's schedule; None where the default holds."""

    job: str
    cron: str | None
    time_zone: str | None
    is_paused: bool
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run; one that was asked for by an operator has a name in `requested_by`."""

    run_id: UUID
    job: str
    scheduled_for: datetime
    trigger: str
    state: str
    requested_by: str | None = None
    plan_id: UUID | None = None
    process: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    counts: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """What a run would have done at `planned_at`."""

    plan_id: UUID
    job: str
    planned_at: datetime
    made_by: str
    content: Any
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter(TimeFilter):
    """What narrows a page; both ends of the time are inclusive."""

    job: str | None = None
    state: str | None = None


_RUN_COLUMNS = tuple(field.name for field in fields(RunRow))


def try_lead(tx: Transaction) -> bool:
    """Be the one process that runs jobs until the transaction ends; False where another is.

    In a transaction, and so also behind a pooler that gives each of them another connection.
    """
    leads: bool = tx.execute(select(func.pg_try_advisory_xact_lock(LEADER_LOCK))).scalar_one()
    return leads


def schedules(tx: Transaction) -> dict[str, list[ScheduleRow]]:
    """What was set, by job, what holds now being the last."""
    found: dict[str, list[ScheduleRow]] = {}
    for row in tx.execute(select(_SCHEDULES).order_by(_SCHEDULES.c.changed_at)):
        found.setdefault(row.job, []).append(ScheduleRow(**row._mapping))
    return found


def installed_at(tx: Transaction) -> datetime | None:
    """Since when there is somebody to operate Annals, None before its first start."""
    found: datetime | None = tx.execute(
        select(func.min(_KEYS.c.created_at)).where(_KEYS.c.subscription_id.is_(None))
    ).scalar_one()
    return found


def lock_schedules(tx: Transaction) -> None:
    """Let no one else change a schedule until the transaction ends."""
    tx.execute(select(func.pg_advisory_xact_lock(LEADER_LOCK + 1)))


def set_schedule(tx: Transaction, row: ScheduleRow) -> None:
    """Let a job have another schedule from `changed_at` on."""
    tx.execute(insert(_SCHEDULES).values({field.name: getattr(row, field.name) for field in fields(row)}))


def add_run(tx: Transaction, row: RunRow) -> bool:
    """Take a slot; False where it was taken before."""
    values = {name: getattr(row, name) for name in _RUN_COLUMNS}
    statement = (
        insert(_RUNS).values(values).on_conflict_do_nothing(constraint="uq_job_runs_job_scheduled_for")
    )
    return tx.execute(statement.returning(_RUNS.c.run_id)).scalar_one_or_none() is not None


def add_runs(tx: Transaction, rows: Sequence[RunRow]) -> None:
    """Take slots, those that were not taken before."""
    if rows:
        values = [{name: getattr(row, name) for name in _RUN_COLUMNS} for row in rows]
        tx.execute(insert(_RUNS).on_conflict_do_nothing(constraint="uq_job_runs_job_scheduled_for"), values)


def begin_waiting(tx: Transaction, run_id: UUID, *, process: str, at: datetime) -> bool:
    """Let a run that waits be running; False where it does not wait any more."""
    statement = (
        update(_RUNS)
        .where(_RUNS.c.run_id == run_id, _RUNS.c.state == WAITING)
        .values(state=RUNNING, process=process, started_at=at)
    )
    return tx.execute(statement.returning(_RUNS.c.run_id)).scalar_one_or_none() is not None


def end_run(
    tx: Transaction,
    run_id: UUID,
    *,
    state: str,
    at: datetime,
    counts: Mapping[str, Any] | None,
    error: str | None,
) -> bool:
    """Say what a run came to; False where it was taken for interrupted meanwhile."""
    statement = (
        update(_RUNS)
        .where(_RUNS.c.run_id == run_id, _RUNS.c.state == RUNNING)
        .values(state=state, ended_at=at, counts=counts, error=error)
    )
    return tx.execute(statement.returning(_RUNS.c.run_id)).scalar_one_or_none() is not None


def interrupt_all(tx: Transaction, at: datetime, error: str) -> list[RunRow]:
    """End the runs of processes that are gone; whoever leads now has none of its own yet."""
    statement = (
        update(_RUNS)
        .where(_RUNS.c.state == RUNNING)
        .values(state=INTERRUPTED, ended_at=at, error=error)
        .returning(*(_RUNS.c[name] for name in _RUN_COLUMNS))
    )
    return [RunRow(**row._mapping) for row in tx.execute(statement)]


def waiting(tx: Transaction) -> list[RunRow]:
    """The runs that operators asked for and nobody began, oldest first."""
    query = _read().where(_RUNS.c.state == WAITING).order_by(_RUNS.c.scheduled_for, _RUNS.c.run_id)
    return [RunRow(**row._mapping) for row in tx.execute(query)]


def last_slots(tx: Transaction, jobs: Collection[str]) -> dict[str, datetime]:
    """The last slot of each job's schedule that was taken or missed."""
    query = select(func.max(_RUNS.c.scheduled_for)).where(_RUNS.c.trigger == "schedule")
    # One look into the index for each: grouping would read all rows of all jobs.
    found = {job: tx.execute(query.where(_RUNS.c.job == job)).scalar_one() for job in jobs}
    return {job: slot for job, slot in found.items() if slot is not None}


def last_runs(tx: Transaction, jobs: Collection[str], *, state: str | None = None) -> dict[str, RunRow]:
    """The run of the latest slot of each job, or of the latest that came to `state`."""
    found = {}
    for job in jobs:
        query = _read().where(_RUNS.c.job == job)
        if state is not None:
            query = query.where(_RUNS.c.state == state)
        row = tx.execute(query.order_by(_RUNS.c.scheduled_for.desc()).limit(1)).one_or_none()
        if row is not None:
            found[job] = RunRow(**row._mapping)
    return found


def run(tx: Transaction, run_id: UUID) -> RunRow | None:
    """One run."""
    row = tx.execute(_read().where(_RUNS.c.run_id == run_id)).one_or_none()
    return None if row is None else RunRow(**row._mapping)


def page(
    tx: Transaction, narrow: RunFilter, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[RunRow]:
    """At most `limit` runs older than the position `before`, newest first."""
    bounds = between(_RUNS.c.scheduled_for, narrow)
    query = _read().where(*matching(_RUNS.c, narrow), *bounds)
    position = (_RUNS.c.scheduled_for, _RUNS.c.run_id)
    if before is not None:
        query = query.where(tuple_(*position) < before)
    rows = tx.execute(query.order_by(*(column.desc() for column in position)).limit(limit))
    return [RunRow(**row._mapping) for row in rows]


def _read() -> Select[Any]:
    return select(*(_RUNS.c[name] for name in _RUN_COLUMNS))


def add_plan(tx: Transaction, row: PlanRow) -> None:
    """Keep a plan."""
    tx.execute(insert(_PLANS).values({field.name: getattr(row, field.name) for field in fields(row)}))


def plan(tx: Transaction, plan_id: UUID) -> PlanRow | None:
    """One plan."""
    row = tx.execute(select(_PLANS).where(_PLANS.c.plan_id == plan_id)).one_or_none()
    return None if row is None else PlanRow(**row._mapping)
