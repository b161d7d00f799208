"""Scheduled jobs, for the operator: their schedules, their runs, and running one now."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.domain import ids
from service.domain.actions import Action
from service.domain.errors import JobNotFound, NoPlan, PlanNotFound, PlanOutdated, RunNotFound
from service.domain.pagination import Paging
from service.http.audited_operations import audits
from service.http.auth.access import Maintaining
from service.http.bodies import body_of
from service.http.description.declarations import refuses, sends
from service.http.description.headers import LOCATION
from service.http.exports import FILES, ListFile, list_answer, of_caller, whole
from service.http.parameters import Once, Paged, PathId
from service.http.requests import context_of
from service.http.responses import answer, page_of
from service.http.schemas.scheduled_jobs import RunQuery, RunRequest, ScheduleUpdate
from service.usecases.maintenance import run_logs, scheduled_jobs

router = APIRouter(prefix="/v1/maintenance", tags=["maintenance"])


@router.get("/jobs", response_model=page_of(scheduled_jobs.ScheduledJobStatus), responses=FILES)
def list_scheduled_jobs(request: Request, caller: Maintaining, file: ListFile) -> Response:
    """List the scheduled jobs, each with its schedule, last run and lag (operator)."""
    read = partial(scheduled_jobs.listed, context_of(request))
    listed = whole("maintenance_job", scheduled_jobs.ScheduledJobStatus, {"of": "jobs"}, read)
    return list_answer(request, file, of_caller(request, caller), listed, Paging())


@router.get("/jobs/{name}", response_model=scheduled_jobs.ScheduledJobStatus)
@refuses(JobNotFound)
def get_scheduled_job(request: Request, _caller: Maintaining, name: str) -> Response:
    """Show a scheduled job (operator)."""
    return answer(scheduled_jobs.job(context_of(request), name))


@router.patch(
    "/jobs/{name}",
    response_model=scheduled_jobs.ScheduledJobStatus,
)
@audits(Action.UPDATE, "maintenance_job", id_in="name")
@refuses(JobNotFound)
def update_scheduled_job(
    request: Request,
    caller: Maintaining,
    name: str,
    body: Annotated[ScheduleUpdate, Depends(body_of(ScheduleUpdate))],
) -> Response:
    """Set a scheduled job's cron expression and time zone, null for the default, or pause it (operator)."""
    changes = body.model_dump(include=body.model_fields_set)
    return answer(scheduled_jobs.change_schedule(context_of(request), caller, name, changes))


@router.post(
    "/jobs/{name}/run",
    response_model=scheduled_jobs.Run | scheduled_jobs.DryRun,
    responses={202: {"description": "The run has not ended yet", "model": scheduled_jobs.Run}},
)
@audits(Action.EXECUTE, "maintenance_job", id_in="name")
@sends(LOCATION)
@refuses(JobNotFound, NoPlan, PlanNotFound, PlanOutdated)
async def run_scheduled_job(
    request: Request,
    caller: Maintaining,
    name: str,
    body: Annotated[RunRequest, Depends(body_of(RunRequest, may_be_empty=True))],
    once: Once,
) -> Response:
    """Run a scheduled job now; `dry_run` makes a plan of its deletions, `plan_id` applies one (operator).

    202 if the run has not ended within ten seconds; the Location is the run's address.
    """
    context = context_of(request)
    if body.dry_run:
        return answer(await run_in_threadpool(scheduled_jobs.try_dry, context, caller, name, once=once))
    run = await scheduled_jobs.ask_for_run(context, caller, name, body.plan_id, once=once)
    response = answer(run, 202 if run.ended_at is None else 200)
    response.headers["Location"] = f"/v1/maintenance/runs/{run.run_id}"
    return response


@router.get("/runs", response_model=page_of(scheduled_jobs.Run), responses=FILES)
@refuses(JobNotFound)
def list_job_runs(
    request: Request,
    caller: Maintaining,
    paging: Paged,
    file: ListFile,
    narrow: Annotated[RunQuery, Query()],
) -> Response:
    """List the job runs, newest first (operator)."""
    given = narrow.model_dump(exclude_none=True)
    read = partial(scheduled_jobs.runs, context_of(request), given)
    listed = whole("maintenance_job", scheduled_jobs.Run, given, read)
    return list_answer(request, file, of_caller(request, caller), listed, paging)


@router.get("/runs/{run_id}", response_model=run_logs.RunWithLog)
@refuses(RunNotFound)
def get_job_run(request: Request, _caller: Maintaining, run_id: PathId) -> Response:
    """Show a job run with its log (operator)."""
    return answer(run_logs.read(context_of(request), ids.parse(run_id)))
