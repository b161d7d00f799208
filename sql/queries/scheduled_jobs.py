"""Queries of scheduled jobs: their schedules, their runs (each slot is taken once) and their plans."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, Text, and_, column, func, select, true, tuple_, update, values
from sqlalchemy.dialects.postgresql import insert

from sql.database import Transaction
from sql.log_reading import between, matching
from sql.log_windows import TimeFilter
from sql.models import TABLES

_SCHEDULES = TABLES["job_schedules"]
_PLANS = TABLES["job_plans"]
_RUNS = TABLES["job_runs"]
_KEYS = TABLES["api_keys"]

# Any fixed number that no other advisory lock in the same database has.
LEADER_LOCK: Final = 0x616E6E616C6A
WAITING, RUNNING, MISSED, INTERRUPTED = "waiting", "running", "missed", "interrupted"
SUCCEEDED, FAILED = "succeeded", "failed"
# A plan is applied once; further runs by it fail, and are told by the first few.
MOST_RUNS_OF_PLAN: Final = 10
# Clocks of hosts differ by less.
_CLOCKS_DIFFER: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """Schedule of a job as an operator set it; for a value of None the default applies."""

    job: str
    cron: str | None
    time_zone: str | None
    is_paused: bool
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A job run; `requested_by` names the operator who asked for it."""

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
    """Plan of a job run, as it would have been carried out at `planned_at`."""

    plan_id: UUID
    job: str
    planned_at: datetime
    made_by: str
    content: Any
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter(TimeFilter):
    """Filter of a page of runs; both ends of the time are inclusive."""

    job: str | None = None
    state: str | None = None


_RUN_COLUMNS = tuple(field.name for field in fields(RunRow))


def try_lead(tx: Transaction) -> bool:
    """Take the leader's lock until the transaction ends; False if another process has it.

    A lock of the transaction works behind a pooler in transaction mode too.
    """
    leads: bool = tx.execute(select(func.pg_try_advisory_xact_lock(LEADER_LOCK))).scalar_one()
    return leads


def schedules(tx: Transaction) -> dict[str, list[ScheduleRow]]:
    """Settings of schedules by job, oldest first; the last one applies now."""
    found: dict[str, list[ScheduleRow]] = {}
    for row in tx.execute(select(_SCHEDULES).order_by(_SCHEDULES.c.changed_at)):
        found.setdefault(row.job, []).append(ScheduleRow(**row._mapping))
    return found


def installed_at(tx: Transaction) -> datetime | None:
    """Time of the first start of Annals, when the operator's key was made; None before the first start."""
    found: datetime | None = tx.execute(
        select(func.min(_KEYS.c.created_at)).where(_KEYS.c.subscription_id.is_(None))
    ).scalar_one()
    return found


def lock_schedules(tx: Transaction) -> None:
    """Lock the schedules until the transaction ends."""
    tx.execute(select(func.pg_advisory_xact_lock(LEADER_LOCK + 1)))


def lock_requests(tx: Transaction) -> None:
    """Lock the requests for runs by plans until the transaction ends."""
    tx.execute(select(func.pg_advisory_xact_lock(LEADER_LOCK + 2)))


def is_under_way(tx: Transaction, job: str) -> bool:
    """Tell if a run of a job waits or is at work."""
    query = select(_RUNS.c.run_id).where(_RUNS.c.job == job, _RUNS.c.state.in_((WAITING, RUNNING)))
    return tx.execute(query.limit(1)).first() is not None


def set_schedule(tx: Transaction, row: ScheduleRow) -> None:
    """Add a setting of a job's schedule, which applies from `changed_at` on."""
    tx.execute(insert(_SCHEDULES).values({field.name: getattr(row, field.name) for field in fields(row)}))


def add_run(tx: Transaction, row: RunRow) -> bool:
    """Add a run, which takes its slot; False if the slot is taken.

    A slot that was missed by a clock that was ahead, and set back since, is free.
    """
    given = insert(_RUNS).values({name: getattr(row, name) for name in _RUN_COLUMNS})
    statement = given.on_conflict_do_update(
        constraint="uq_job_runs_job_scheduled_for",
        set_={name: given.excluded[name] for name in _RUN_COLUMNS},
        where=and_(_RUNS.c.state == MISSED, _RUNS.c.ended_at > given.excluded.started_at + _CLOCKS_DIFFER),
    )
    return tx.execute(statement.returning(_RUNS.c.run_id)).scalar_one_or_none() is not None


def add_runs(tx: Transaction, rows: Sequence[RunRow]) -> None:
    """Add runs, except where the job has a run for the same slot (scheduled time) already."""
    if rows:
        given = [{name: getattr(row, name) for name in _RUN_COLUMNS} for row in rows]
        tx.execute(insert(_RUNS).on_conflict_do_nothing(constraint="uq_job_runs_job_scheduled_for"), given)


def begin_waiting(tx: Transaction, run_id: UUID, *, process: str, at: datetime) -> bool:
    """Begin a waiting run; False if it no longer waits."""
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
    """Record the end of a run; False if it was recorded as interrupted meanwhile.

    One that is missed, because it turned out that there was nothing to begin, has neither begin nor process.
    """
    unbegun = {"started_at": None, "process": None} if state == MISSED else {}
    statement = (
        update(_RUNS)
        .where(_RUNS.c.run_id == run_id, _RUNS.c.state == RUNNING)
        .values(state=state, ended_at=at, counts=counts, error=error, **unbegun)
    )
    return tx.execute(statement.returning(_RUNS.c.run_id)).scalar_one_or_none() is not None


def interrupt_all(tx: Transaction, at: datetime, error: str) -> list[RunRow]:
    """Record all running runs as interrupted; a new leader calls this before it begins a run."""
    statement = (
        update(_RUNS)
        .where(_RUNS.c.state == RUNNING)
        .values(state=INTERRUPTED, ended_at=at, error=error)
        .returning(*(_RUNS.c[name] for name in _RUN_COLUMNS))
    )
    return [RunRow(**row._mapping) for row in tx.execute(statement)]


def waiting(tx: Transaction) -> list[RunRow]:
    """Requested runs that were not begun, oldest first."""
    query = _read().where(_RUNS.c.state == WAITING).order_by(_RUNS.c.scheduled_for, _RUNS.c.run_id)
    return [RunRow(**row._mapping) for row in tx.execute(query)]


def last_slots(tx: Transaction, jobs: Collection[str]) -> dict[str, datetime]:
    """Last slot of each job's schedule that was run or missed."""
    query = select(func.max(_RUNS.c.scheduled_for)).where(_RUNS.c.trigger == "schedule")
    # One index lookup a job: grouping would read all rows of all jobs.
    found = {job: tx.execute(query.where(_RUNS.c.job == job)).scalar_one() for job in jobs}
    return {job: slot for job, slot in found.items() if slot is not None}


def last_runs(tx: Transaction, jobs: Collection[str], *, state: str | None = None) -> dict[str, RunRow]:
    """Latest run of each job; with `state`, its latest run in this state."""
    named = values(column("name", Text()), name="named").data([(job,) for job in jobs])
    query = _read().where(_RUNS.c.job == named.c.name)
    if state is not None:
        query = query.where(_RUNS.c.state == state)
    # One index lookup a job, all of them in one query.
    last = query.order_by(_RUNS.c.scheduled_for.desc()).limit(1).lateral("last")
    found = [RunRow(**row._mapping) for row in tx.execute(select(last).select_from(named.join(last, true())))]
    return {row.job: row for row in found}


def run(tx: Transaction, run_id: UUID) -> RunRow | None:
    """One run."""
    row = tx.execute(_read().where(_RUNS.c.run_id == run_id)).one_or_none()
    return None if row is None else RunRow(**row._mapping)


def page(
    tx: Transaction, narrow: RunFilter, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[RunRow]:
    """Page of at most `limit` runs older than the position `before`, newest first."""
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
    """Store a plan."""
    tx.execute(insert(_PLANS).values({field.name: getattr(row, field.name) for field in fields(row)}))


def plan(tx: Transaction, plan_id: UUID) -> PlanRow | None:
    """One plan."""
    row = tx.execute(select(_PLANS).where(_PLANS.c.plan_id == plan_id)).one_or_none()
    return None if row is None else PlanRow(**row._mapping)


def runs_of_plan(tx: Transaction, row: PlanRow, *, until: datetime) -> list[RunRow]:
    """Runs by a plan that were asked for up to a time, oldest first."""
    query = _read().where(
        _RUNS.c.job == row.job,
        _RUNS.c.scheduled_for >= row.planned_at,
        _RUNS.c.scheduled_for <= until,
        _RUNS.c.plan_id == row.plan_id,
    )
    found = tx.execute(query.order_by(_RUNS.c.scheduled_for).limit(MOST_RUNS_OF_PLAN))
    return [RunRow(**each._mapping) for each in found]
