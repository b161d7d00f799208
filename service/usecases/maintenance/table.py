"""The table of scheduled jobs: name, schedule, use case and, if its runs delete something, their plan."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.domain.job_runs import Counts, JobRun, RunPlan
from service.usecases.context import JobContext, Parts
from service.usecases.maintenance import (
    clean_up,
    execution_figures,
    expire_deletions,
    purge_closed,
    release_check_outs,
    repositories,
    retention,
)

Work = Callable[[JobContext, JobRun], Counts]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledJob:
    """A scheduled job.

    `cron` has five fields, or six with seconds first, in UTC; an operator can set another schedule.
    `plan` reports the deletions of a run at an instant, for dry runs. `rows` names the counts whose sum is
    the number of rows that a run processed.
    """

    name: str
    summary: str
    cron: str
    run: Work
    plan: Callable[[Parts, datetime], RunPlan] | None = None
    rows: tuple[str, ...] = ("rows",)


SCHEDULED_JOBS: Final[Mapping[str, ScheduledJob]] = {
    job.name: job
    for job in (
        ScheduledJob(
            name=retention.NAME,
            summary="Drops logs past their term, archived first where that is on",
            cron="15 2 * * *",
            run=retention.run,
            plan=retention.plan,
        ),
        ScheduledJob(
            name=expire_deletions.NAME,
            summary="Deletes for good what can no longer be restored",
            cron="*/5 * * * *",
            run=expire_deletions.run,
            plan=expire_deletions.plan,
            rows=("resources",),
        ),
        ScheduledJob(
            name=release_check_outs.NAME,
            summary="Ends check-outs whose lease is over",
            cron="* * * * *",
            run=release_check_outs.run,
            plan=release_check_outs.plan,
            rows=("check_outs",),
        ),
        ScheduledJob(
            name=clean_up.NAME,
            summary="Removes idempotency keys, ids of events, API keys and job records past use",
            cron="40 * * * *",
            run=clean_up.run,
            plan=clean_up.plan,
            rows=clean_up.COUNTED,
        ),
        ScheduledJob(
            name=execution_figures.NAME,
            summary="Counts executions by whole days, and again what came late",
            cron="2-57/5 * * * *",
            run=execution_figures.run,
        ),
        ScheduledJob(
            name=purge_closed.NAME,
            summary="Exports, then purges subscriptions closed for long enough",
            cron="30 3 * * *",
            run=purge_closed.run,
            plan=purge_closed.plan,
        ),
        ScheduledJob(
            name=repositories.UPKEEP,
            summary="Merges packs of the repositories that need it most",
            cron="*/10 * * * *",
            run=repositories.upkeep,
            rows=("repositories",),
        ),
        ScheduledJob(
            name=repositories.DEEP_UPKEEP,
            summary="Finds deltas and prunes what nothing reaches",
            cron="0 4 * * *",
            run=repositories.deep_upkeep,
            rows=("repositories",),
        ),
        ScheduledJob(
            name=repositories.RECONCILE,
            summary="Compares rows with repositories and repairs what is known",
            cron="5,35 * * * *",
            run=repositories.reconcile,
            rows=("subscriptions",),
        ),
    )
}
