"""Jobs as an operator sees them: schedules, runs, plans, and how long ago each did its work."""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import anyio.to_thread
from pydantic import TypeAdapter

from service.audit import events
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Caller, Right
from service.domain.errors import Fault, Invalid, JobNotFound, NoPlan, PlanNotFound, PlanOutdated, RunNotFound
from service.domain.idempotency import Attempt
from service.domain.ids import mint
from service.domain.job_runs import Plan
from service.domain.pagination import Page, Paging, time_position
from service.domain.schedules import DEFAULT_ZONE, BadSchedule, Schedule
from service.usecases.context import Context, Parts
from service.usecases.maintenance.table import SCHEDULED_JOBS, ScheduledJob
from service.usecases.retries import run_once
from sql import log_reading
from sql.database import PLATFORM, Transaction
from sql.log_windows import LogPaging
from sql.queries import jobs
from sql.queries.audit_logs import Values
from sql.queries.execution_logs import EXECUTION_LOG, ExecutionFilter
from sql.queries.jobs import PlanRow, RunFilter, ScheduleRow
from sql.queries.jobs import RunRow as Run

__all__ = ["Run"]

# A scheduler looks for runs that wait once a second: most are over by then.
WAIT_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.1
# Of one run's story.
MAX_EVENTS: Final = 1000
# A plan is of its instant: later it is made anew.
PLAN_LIFETIME: Final = timedelta(hours=24)
# Less is no lag: a run takes its time.
MIN_LAG: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job: when it runs, how its last run went, and how far it is behind.

    `lag_seconds` counts from the first slot after the last success, or after the first start of Annals; None
    where it is paused.
    """

    name: str
    summary: str
    cron: str
    time_zone: str
    is_paused: bool
    can_be_dry: bool
    next_run_at: datetime | None
    last_run: Run | None
    last_success: Run | None
    lag_seconds: float | None
    is_overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a run told while it was at work."""

    created_at: datetime
    log_level: str
    log_message: str
    log_details: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStory(Run):
    """A run and what it told, oldest first."""

    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a run would take away, and the plan by which just that can be done."""

    plan_id: UUID
    job: str
    dry_run: bool
    plan: dict[str, Any]


_RUN = TypeAdapter(Run)
_DRY = TypeAdapter(DryRun)


def schedule_of(job: ScheduledJob, row: ScheduleRow | None) -> Schedule:
    """When a job runs: as it was set, else by default."""
    if row is None:
        return Schedule(job.cron)
    return Schedule(row.cron or job.cron, row.time_zone or DEFAULT_ZONE)


def last_of(rows: Sequence[ScheduleRow] | None) -> ScheduleRow | None:
    """What holds now of what was set of a job's schedule."""
    return rows[-1] if rows else None


def all_jobs(context: Parts, names: Collection[str] = SCHEDULED_JOBS) -> list[Job]:
    """Every job, or some."""
    with context.database.transaction(PLATFORM) as tx:
        installed = jobs.installed_at(tx)
        rows = jobs.schedules(tx)
        last = jobs.last_runs(tx, names)
        succeeded = jobs.last_runs(tx, names, state=jobs.SUCCEEDED)
    at = context.clock()
    return [
        _job(
            SCHEDULED_JOBS[name],
            last_of(rows.get(name)),
            last.get(name),
            succeeded.get(name),
            since=installed,
            at=at,
        )
        for name in names
    ]


def job(context: Parts, name: str) -> Job:
    """One job; raises JobNotFound."""
    _known(name)
    [found] = all_jobs(context, [name])
    return found


def _known(name: str) -> ScheduledJob:
    if name not in SCHEDULED_JOBS:
        raise JobNotFound(f"There is no job {name!r}: they are {', '.join(SCHEDULED_JOBS)}.")
    return SCHEDULED_JOBS[name]


def _job(
    job: ScheduledJob,
    row: ScheduleRow | None,
    last: Run | None,
    succeeded: Run | None,
    *,
    since: datetime | None,
    at: datetime,
) -> Job:
    schedule = schedule_of(job, row)
    is_paused = row is not None and row.is_paused
    upcoming = None if is_paused else schedule.next_after(at)
    if succeeded is not None:
        since = succeeded.scheduled_for
    lag = None if is_paused or since is None else _lag(schedule, row, since, at)
    allowed = MIN_LAG
    if upcoming is not None and (following := schedule.next_after(upcoming)) is not None:
        allowed = max(allowed, following - upcoming)
    return Job(
        name=job.name,
        summary=job.summary,
        cron=schedule.cron,
        time_zone=schedule.time_zone,
        is_paused=is_paused,
        can_be_dry=job.plan is not None,
        next_run_at=upcoming,
        last_run=last,
        last_success=succeeded,
        lag_seconds=None if lag is None else lag.total_seconds(),
        is_overdue=lag is not None and lag > allowed,
    )


def _lag(schedule: Schedule, row: ScheduleRow | None, since: datetime, at: datetime) -> timedelta:
    """How long ago the first slot was that had no success yet."""
    if row is not None:
        # What was due before, by another schedule or in a pause, is not any more.
        since = max(since, row.changed_at)
    due = schedule.next_after(since)
    return timedelta(0) if due is None else max(timedelta(0), at - due)


def change_schedule(context: Parts, caller: events.Author, name: str, wanted: Values) -> Job:
    """Set what `wanted` holds of cron, time_zone (None: the default again) and is_paused.

    Raises JobNotFound, and Invalid for an expression or time zone that is none.
    """
    kind = _known(name)
    with context.database.transaction(PLATFORM) as tx:
        jobs.lock_schedules(tx)
        row = last_of(jobs.schedules(tx).get(name))
        at = context.clock()
        before = row or ScheduleRow(
            job=name, cron=None, time_zone=None, is_paused=False, changed_at=at, changed_by=caller.username
        )
        after = replace(before, **wanted)
        try:
            schedule_of(kind, after)
        except BadSchedule as error:
            pointer = f"/{error.field}"
            raise Invalid(f"{pointer}: {error}.", faults=[Fault(str(error), pointer=pointer)]) from None
        if after != before:
            jobs.set_schedule(tx, replace(after, changed_at=at, changed_by=caller.username))
            events.record(
                tx, caller, None, _subject(name), Action.UPDATE, at, old=_set(before), new=_set(after)
            )
    return job(context, name)


def _set(row: ScheduleRow) -> Values:
    return {"cron": row.cron, "time_zone": row.time_zone, "is_paused": row.is_paused}


def _subject(name: str) -> Subject:
    return Subject("maintenance_job", name, name)


def plan_of(context: Parts, name: str, at: datetime) -> Plan:
    """What a run at an instant would take away; raises JobNotFound, NoPlan."""
    plan = _known(name).plan
    if plan is None:
        raise NoPlan(f"The job {name} takes nothing away: there is nothing to try.")
    return plan(context, at)


def try_dry(context: Context, caller: Caller, name: str, *, once: Attempt | None) -> DryRun:
    """Say what a run would take away, and keep that as a plan; raises JobNotFound, NoPlan."""
    caller.needs(Right.MAINTAIN)
    return run_once(context, PLATFORM, once, _DRY, lambda tx: keep_plan(tx, context, name, caller.username))


def keep_plan(tx: Transaction, context: Parts, name: str, made_by: str) -> DryRun:
    """Make a plan and keep it; raises JobNotFound, NoPlan."""
    plan = plan_of(context, name, context.clock())
    content = events.plain(plan.shown())
    plan_id = mint()
    jobs.add_plan(
        tx,
        PlanRow(
            plan_id=plan_id,
            job=name,
            planned_at=plan.at,
            made_by=made_by,
            content=content,
            digest=plan.digest,
        ),
    )
    return DryRun(plan_id=plan_id, job=name, dry_run=True, plan=content)


def checked_plan(context: Parts, name: str, plan_id: UUID) -> datetime:
    """The instant of a plan that still fits.

    Raises PlanNotFound, and PlanOutdated where it is too old, or a run by it would do something else.
    """
    with context.database.transaction(PLATFORM) as tx:
        row = jobs.plan(tx, plan_id)
    if row is None or row.job != name:
        raise PlanNotFound(f"The job {name} has no plan {plan_id}.")
    if context.clock() - row.planned_at > PLAN_LIFETIME:
        raise PlanOutdated("The plan is more than 24 hours old: make a new one with dry_run.")
    now = plan_of(context, name, row.planned_at)
    if now.digest != row.digest:
        raise PlanOutdated(
            "A run by this plan would do something else than it says: rows, policies or holds have changed. "
            "Make a new one with dry_run.",
            facts={"plan": events.plain(now.shown())},
        )
    return row.planned_at


async def ask_for_run(
    context: Context, caller: Caller, name: str, plan_id: UUID | None, *, once: Attempt | None
) -> Run:
    """Let the scheduler run a job now, and say what came of it if that takes some seconds only.

    Raises JobNotFound, PlanNotFound, PlanOutdated.
    """
    asked = await anyio.to_thread.run_sync(_ask, context, caller, name, plan_id, once)
    deadline = time.monotonic() + WAIT_SECONDS
    found = asked
    while found.ended_at is None and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        found = await anyio.to_thread.run_sync(run, context, asked.run_id)
    return found


def _ask(context: Context, caller: Caller, name: str, plan_id: UUID | None, once: Attempt | None) -> Run:
    def work(tx: Transaction) -> Run:
        _known(name)
        if plan_id is not None:
            checked_plan(context, name, plan_id)
        return request(tx, context, name, plan_id, caller=caller)

    return run_once(context, PLATFORM, once, _RUN, work)


def request(
    tx: Transaction, context: Parts, name: str, plan_id: UUID | None, *, caller: events.Author
) -> Run:
    """Add a run that waits for the scheduler, and the record of who asked for it."""
    at = context.clock()
    row = Run(
        run_id=mint(),
        job=name,
        scheduled_for=at,
        trigger="operator",
        state=jobs.WAITING,
        requested_by=caller.username,
        plan_id=plan_id,
    )
    while not jobs.add_run(tx, row):
        # Another run has just this instant.
        row = replace(row, scheduled_for=row.scheduled_for + timedelta(microseconds=1))
    about: Values = {"run_id": row.run_id, "plan_id": plan_id}
    events.record(tx, caller, None, _subject(name), Action.EXECUTE, at, new=about)
    return row


def run(context: Parts, run_id: UUID) -> Run:
    """One run; raises RunNotFound."""
    with context.database.transaction(PLATFORM) as tx:
        row = jobs.run(tx, run_id)
    if row is None:
        raise RunNotFound("There is no such run.")
    return row


def run_story(context: Parts, run_id: UUID | None) -> RunStory:
    """One run with what it told; raises RunNotFound."""
    if run_id is None:
        raise RunNotFound("There is no such run.")
    row = run(context, run_id)
    if row.started_at is None:
        return RunStory(**asdict(row))
    narrow = ExecutionFilter(execution_id=run_id, since=row.started_at, until=row.ended_at)
    with context.database.transaction(PLATFORM) as tx:
        newest = LogPaging(limit=MAX_EVENTS, at=context.clock())
        told = log_reading.page(tx, EXECUTION_LOG, None, narrow, newest)
    story = [
        Event(
            created_at=each.created_at,
            log_level=each.log_level,
            log_message=each.log_message,
            log_details=each.log_details,
        )
        for each in reversed(told)
    ]
    return RunStory(**asdict(row), events=story)


def runs(context: Context, narrow: Mapping[str, Any], paging: Paging) -> Page[Run]:
    """Runs that match the fields of RunFilter in `narrow`, newest first."""
    filters = {"list": "job-runs", **narrow}
    before = time_position(paging.position(filters))
    with context.database.transaction(PLATFORM) as tx:
        rows = jobs.page(tx, RunFilter(**narrow), before=before, limit=paging.limit + 1)
    return paging.page(rows, filters, lambda row: [row.scheduled_for.isoformat(), str(row.run_id)])


def last_runs(context: Parts, name: str | None, limit: int) -> list[Run]:
    """The newest runs, of one job or all; raises JobNotFound."""
    if name is not None:
        _known(name)
    with context.database.transaction(PLATFORM) as tx:
        return jobs.page(tx, RunFilter(job=name), before=None, limit=limit)


def overdue(context: Parts) -> list[str]:
    """A sentence for each job that is behind."""
    return [
        f"the job {each.name} is overdue: it should have been done {each.lag_seconds:.0f} s ago"
        for each in all_jobs(context)
        if each.is_overdue
    ]
