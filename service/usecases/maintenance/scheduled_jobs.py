"""Operation of scheduled jobs: schedules, runs, dry runs and their plans, and lag."""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
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
from service.domain.job_runs import RunPlan
from service.domain.overtaken import check_seen
from service.domain.pagination import Page, Paging, time_position
from service.domain.schedules import DEFAULT_ZONE, BadSchedule, Schedule
from service.usecases.context import Context, Parts
from service.usecases.maintenance.table import SCHEDULED_JOBS, ScheduledJob
from service.usecases.retries import run_once
from sql.database import PLATFORM, Transaction
from sql.queries import scheduled_jobs
from sql.queries.audit_logs import Values
from sql.queries.scheduled_jobs import PlanRow, RunFilter, ScheduleRow
from sql.queries.scheduled_jobs import RunRow as Run

__all__ = ["Run"]

# Seconds that a request for a run waits for its end. The scheduler looks for waiting runs once a second, and
# most runs end within this time.
WAIT_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.1
# A plan permits the deletions of its instant: a run much later needs a new plan.
PLAN_LIFETIME: Final = timedelta(hours=24)
# States of runs by which a plan is, or is about to be, carried out.
_CARRIED_OUT: Final = (scheduled_jobs.WAITING, scheduled_jobs.RUNNING, scheduled_jobs.SUCCEEDED)
# A job with a shorter lag counts as on time, because a run takes a while.
MIN_LAG: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledJobStatus:
    """Status of a scheduled job: its schedule, its last run and its lag.

    `lag_seconds` counts from the first slot after the last success, or after the first start of Annals; None
    while the job is paused.
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
class DryRun:
    """Deletions that a run would make, and the id of the plan that permits exactly these deletions."""

    plan_id: UUID
    job: str
    dry_run: bool
    plan: dict[str, Any]


_RUN = TypeAdapter(Run)
_DRY = TypeAdapter(DryRun)


def schedule_of(job: ScheduledJob, row: ScheduleRow | None) -> Schedule:
    """Schedule of a job: the operator's, or the default."""
    if row is None:
        return Schedule(job.cron)
    return Schedule(row.cron or job.cron, row.time_zone or DEFAULT_ZONE)


def last_of(rows: Sequence[ScheduleRow] | None) -> ScheduleRow | None:
    """Return the newest setting of a job's schedule, which applies now."""
    return rows[-1] if rows else None


def all_jobs(context: Parts, names: Collection[str] = SCHEDULED_JOBS) -> list[ScheduledJobStatus]:
    """Read the statuses of all scheduled jobs, or of those in `names`."""
    with context.database.transaction(PLATFORM) as tx:
        installed = scheduled_jobs.installed_at(tx)
        rows = scheduled_jobs.schedules(tx)
        last = scheduled_jobs.last_runs(tx, names)
        succeeded = scheduled_jobs.last_runs(tx, names, state=scheduled_jobs.SUCCEEDED)
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


def listed(context: Parts, _: Paging) -> Page[ScheduledJobStatus]:
    """Read the statuses of all scheduled jobs as a list, which has one page."""
    return Page(all_jobs(context), None)


def job(context: Parts, name: str) -> ScheduledJobStatus:
    """Status of one scheduled job; raises JobNotFound."""
    check_known(name)
    [found] = all_jobs(context, [name])
    return found


def check_known(name: str) -> ScheduledJob:
    """Return a job by its name; raises JobNotFound."""
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
) -> ScheduledJobStatus:
    schedule = schedule_of(job, row)
    is_paused = row is not None and row.is_paused
    upcoming = None if is_paused else schedule.next_after(at)
    if succeeded is not None:
        since = succeeded.scheduled_for
    lag = None if is_paused or since is None else _lag(schedule, row, since, at)
    allowed = MIN_LAG
    if upcoming is not None and (following := schedule.next_after(upcoming)) is not None:
        allowed = max(allowed, following - upcoming)
    return ScheduledJobStatus(
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
    """Time since the first slot that has no successful run yet."""
    if row is not None:
        # Slots of an earlier schedule, or of a pause, are no longer due.
        since = max(since, row.changed_at)
    due = schedule.next_after(since)
    return timedelta(0) if due is None else max(timedelta(0), at - due)


def change_schedule(
    context: Parts, caller: events.Author, name: str, wanted: Values, *, seen: Values | None = None
) -> ScheduledJobStatus:
    """Update cron, time_zone (None means the default) and is_paused, if `wanted` has them.

    With `seen`, a setting that is not as it was seen is left to whoever changed it: raises StaleVersion.
    Raises JobNotFound, and Invalid for a cron expression or time zone that is not valid.
    """
    kind = check_known(name)
    with context.database.transaction(PLATFORM) as tx:
        scheduled_jobs.lock_schedules(tx)
        row = last_of(scheduled_jobs.schedules(tx).get(name))
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
        check_seen(_applied(kind, before), {key: _applied(kind, after)[key] for key in wanted}, seen)
        if after != before:
            # The last setting applies, also if it was made by a clock that was ahead of this one.
            changed_at = at if row is None else max(at, row.changed_at + timedelta(microseconds=1))
            scheduled_jobs.set_schedule(tx, replace(after, changed_at=changed_at, changed_by=caller.username))
            events.record(
                tx, caller, None, _subject(name), Action.UPDATE, at, old=_set(before), new=_set(after)
            )
    return job(context, name)


def _set(row: ScheduleRow) -> Values:
    return {"cron": row.cron, "time_zone": row.time_zone, "is_paused": row.is_paused}


def _applied(kind: ScheduledJob, row: ScheduleRow) -> Values:
    """Settings as they apply, the default in place of None."""
    schedule = schedule_of(kind, row)
    return {"cron": schedule.cron, "time_zone": schedule.time_zone, "is_paused": row.is_paused}


def _subject(name: str) -> Subject:
    return Subject("maintenance_job", name, name)


def plan_of(context: Parts, name: str, at: datetime) -> RunPlan:
    """Plan a run at an instant; raises JobNotFound, NoPlan."""
    plan = check_known(name).plan
    if plan is None:
        raise NoPlan(f"The job {name} takes nothing away: there is nothing to try.")
    return plan(context, at)


def try_dry(context: Context, caller: Caller, name: str, *, once: Attempt | None) -> DryRun:
    """Plan a run without carrying it out, and keep the plan; raises JobNotFound, NoPlan."""
    caller.needs(Right.MAINTAIN)
    return run_once(context, PLATFORM, once, _DRY, lambda tx: keep_plan(tx, context, name, caller.username))


def keep_plan(tx: Transaction, context: Parts, name: str, made_by: str) -> DryRun:
    """Make and store a plan; raises JobNotFound, NoPlan."""
    plan = plan_of(context, name, context.clock())
    content = events.plain(plan.shown())
    plan_id = mint()
    scheduled_jobs.add_plan(
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
    """Check that a plan still fits, and return its instant.

    Raises PlanNotFound, and PlanOutdated if the plan is too old or a run would now differ from it.
    """
    with context.database.transaction(PLATFORM) as tx:
        row = scheduled_jobs.plan(tx, plan_id)
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


def _check_free(tx: Transaction, name: str, plan_id: UUID) -> None:
    """Check that no run did what a plan says, and that none of the job may be about to.

    Others who ask for a run by a plan wait until the transaction ends. Raises PlanOutdated.
    """
    scheduled_jobs.lock_requests(tx)
    row = scheduled_jobs.plan(tx, plan_id)
    if row is not None:
        runs = scheduled_jobs.runs_of_plan(tx, row, until=row.planned_at + PLAN_LIFETIME)
        if any(each.state in _CARRIED_OUT for each in runs):
            raise PlanOutdated("A run by this plan was asked for already: look at it, or make a new plan.")
    if scheduled_jobs.is_under_way(tx, name):
        raise PlanOutdated(
            f"A run of the job {name} waits or is at work, and may delete what the plan says. "
            "Look at the plan again when it has ended, or make a new one."
        )


async def ask_for_run(
    context: Context, caller: Caller, name: str, plan_id: UUID | None, *, once: Attempt | None
) -> Run:
    """Ask the scheduler to run a job now; waits up to WAIT_SECONDS for its end.

    Raises JobNotFound, PlanNotFound, PlanOutdated.
    """
    asked = await anyio.to_thread.run_sync(partial(ask, context, caller, name, plan_id, once=once))
    deadline = time.monotonic() + WAIT_SECONDS
    found = asked
    while found.ended_at is None and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        found = await anyio.to_thread.run_sync(run, context, asked.run_id)
    return found


def ask(context: Context, caller: Caller, name: str, plan_id: UUID | None, *, once: Attempt | None) -> Run:
    """Ask the scheduler to run a job, without waiting for the run; raises what `ask_for_run` raises."""
    caller.needs(Right.MAINTAIN)

    def work(tx: Transaction) -> Run:
        check_known(name)
        if plan_id is not None:
            checked_plan(context, name, plan_id)
        return request(tx, context, name, plan_id, caller=caller)

    return run_once(context, PLATFORM, once, _RUN, work)


def request(
    tx: Transaction, context: Parts, name: str, plan_id: UUID | None, *, caller: events.Author
) -> Run:
    """Add a run that waits for the scheduler, and record the request in the audit log.

    Raises PlanOutdated if a run by the plan was asked for already, or a run of the job may be about to do it.
    """
    if plan_id is not None:
        _check_free(tx, name, plan_id)
    at = context.clock()
    row = Run(
        run_id=mint(),
        job=name,
        scheduled_for=at,
        trigger="operator",
        state=scheduled_jobs.WAITING,
        requested_by=caller.username,
        plan_id=plan_id,
    )
    while not scheduled_jobs.add_run(tx, row):
        # Another run of the job has the same instant, which must be unique.
        row = replace(row, scheduled_for=row.scheduled_for + timedelta(microseconds=1))
    about: Values = {"run_id": row.run_id, "plan_id": plan_id}
    events.record(tx, caller, None, _subject(name), Action.EXECUTE, at, new=about)
    return row


def run(context: Parts, run_id: UUID) -> Run:
    """One run; raises RunNotFound."""
    with context.database.transaction(PLATFORM) as tx:
        row = scheduled_jobs.run(tx, run_id)
    if row is None:
        raise RunNotFound("There is no such run.")
    return row


def runs(context: Context, narrow: Mapping[str, Any], paging: Paging) -> Page[Run]:
    """Page of the runs that match `narrow` (fields of RunFilter), newest first."""
    filters = {"list": "job-runs", **narrow}
    before = time_position(paging.position(filters))
    with context.database.transaction(PLATFORM) as tx:
        rows = scheduled_jobs.page(tx, RunFilter(**narrow), before=before, limit=paging.limit + 1)
    return paging.page(rows, filters, lambda row: [row.scheduled_for.isoformat(), str(row.run_id)])


def last_runs(context: Parts, name: str | None, limit: int) -> list[Run]:
    """Newest runs of one job or of all; raises JobNotFound."""
    if name is not None:
        check_known(name)
    with context.database.transaction(PLATFORM) as tx:
        return scheduled_jobs.page(tx, RunFilter(job=name), before=None, limit=limit)


def overdue(jobs: Iterable[ScheduledJobStatus]) -> list[str]:
    """Make a sentence about each overdue job."""
    return [
        f"the job {each.name} is overdue: it should have been done {each.lag_seconds:.0f} s ago"
        for each in jobs
        if each.is_overdue
    ]
