"""Scheduled jobs: their schedules, their runs, a run now, and dry runs whose plan can be carried out."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Depends, Response

from service.domain import ids
from service.domain.actions import Action
from service.domain.callers import Right
from service.domain.errors import AnnalsError, PlanNotFound, PlanOutdated, QueryTooLong
from service.domain.job_runs import PlannedPart
from service.http.audited_operations import audits
from service.http.exports import whole
from service.http.schemas.scheduled_jobs import RunQuery, ScheduleUpdate
from service.usecases.maintenance import job_plans, run_logs, scheduled_jobs
from service.usecases.maintenance.table import SCHEDULED_JOBS
from service.web import files
from service.web.filter_forms import filters_of, query_of
from service.web.gate import REFUSALS
from service.web.platform_gate import PlatformPosted, PlatformView, posting_platform, viewing_platform

PATH: Final = "/platform/jobs"
JOB: Final = PATH + "/{name}"
PLAN: Final = JOB + "/plans/{plan_id}"
# Runs of a page, and entries of a run's log.
SHOWN: Final = 50
EVENTS_SHOWN: Final = 100
_FILTERS: Final = ("state",)
_FIELDS: Final = ("cron", "time_zone", "is_paused")

router = APIRouter(include_in_schema=False)
Seeing = Annotated[PlatformView, Depends(viewing_platform(Right.MAINTAIN))]
Maintaining = Annotated[PlatformPosted, Depends(posting_platform(Right.MAINTAIN))]


def states() -> list[str]:
    """List the states of runs, as the API filters by them."""
    literal, _ = get_args(RunQuery.model_fields["state"].annotation)
    return list(get_args(literal))


@router.get(PATH)
@audits(Action.READ, "maintenance_job")
def list_scheduled_jobs(view: Seeing) -> Response:
    """Show the jobs, with their schedules, last runs and lags, or with `format` the same as a file."""
    if (form := view.file_format) is not None:
        read = partial(scheduled_jobs.listed, view.context)
        kind = scheduled_jobs.ScheduledJobStatus
        return view.file(form, whole("maintenance_job", kind, {"of": "jobs"}, read))
    found = scheduled_jobs.all_jobs(view.context)
    return view.show(
        "platform_jobs.html",
        jobs=found,
        overdue=[each for each in found if each.is_overdue],
        files=files.links(PATH),
    )


@router.get(PATH + "/runs/{run_id}")
def show_run(view: Seeing, run_id: str) -> Response:
    """Show a run with its result, its log and its plan."""
    run = run_logs.read(view.context, ids.parse(run_id))
    plan = None
    if run.plan_id is not None:
        # Plans are deleted when they are 90 days old, as runs are.
        with suppress(PlanNotFound):
            plan = job_plans.get(view.context, view.caller, run.plan_id)
    return view.show(
        "platform_run.html",
        run=run,
        is_known=run.job in SCHEDULED_JOBS,
        plan=plan,
        files=None if plan is None else files.links(f"{PATH}/{plan.job}/plans/{plan.plan_id}"),
        events=run.events[-EVENTS_SHOWN:],
    )


@router.get(JOB)
@audits(Action.READ, "maintenance_job", id_in="name")
def show_job(view: Seeing, name: str) -> Response:
    """Show a job with its runs, or with `format` the runs as a file."""
    if (form := view.file_format) is not None:
        narrow = _narrowed(view, name)
        read = partial(scheduled_jobs.runs, view.context, narrow)
        return view.file(form, whole("maintenance_job", scheduled_jobs.Run, narrow, read))
    return _job(view, name)


@router.post(JOB)
@audits(Action.UPDATE, "maintenance_job", id_in="name")
def change_schedule(posted: Maintaining, name: str) -> Response:
    """Change the settings of a schedule that differ from those that the page showed."""
    form = posted.form
    with posted.refused_on(lambda problem: _job(posted, name, problem, form.again(problem))):
        given = _settings(posted, "")
        wanted = {field: given[field] for field in _FIELDS if form.differs(field)}
        form.checked(ScheduleUpdate, wanted)
        if wanted:
            scheduled_jobs.change_schedule(
                posted.context, posted.caller, name, wanted, seen=_settings(posted, "_seen")
            )
    return posted.lead_to(f"{PATH}/{name}", done="schedule-changed" if wanted else "nothing-changed")


@router.post(JOB + "/run")
@audits(Action.EXECUTE, "maintenance_job", id_in="name")
def run_now(posted: Maintaining, name: str) -> Response:
    """Ask for a run, and lead to its page."""
    with posted.refused_on(lambda problem: _job(posted, name, problem)):
        run = scheduled_jobs.ask(posted.context, posted.caller, name, None, once=posted.once)
    return posted.lead_to(f"{PATH}/runs/{run.run_id}", done="run-asked")


@router.post(JOB + "/dry-run")
@audits(Action.EXECUTE, "maintenance_job", id_in="name")
def try_dry(posted: Maintaining, name: str) -> Response:
    """Make a plan of a run, and lead to its page; nothing is deleted."""
    with posted.refused_on(lambda problem: _job(posted, name, problem), (*REFUSALS, QueryTooLong)):
        made = scheduled_jobs.try_dry(posted.context, posted.caller, name, once=posted.once)
    return posted.lead_to(f"{PATH}/{name}/plans/{made.plan_id}", done="plan-made")


@router.get(PLAN)
@audits(Action.READ, "maintenance_job", id_in="name")
def show_plan(view: Seeing, name: str, plan_id: str) -> Response:
    """Show a plan, and the form that carries it out, or with `format` its parts as a file."""
    if (form := view.file_format) is not None:
        of = ids.parse(plan_id)
        read = partial(job_plans.parts, view.context, view.caller, of, name)
        narrow = {"of": "plan", "plan_id": of}
        return view.file(form, whole("maintenance_job", PlannedPart, narrow, read))
    return _plan(view, name, plan_id)


@router.post(PLAN + "/run")
@audits(Action.EXECUTE, "maintenance_job", id_in="name")
def run_plan(posted: Maintaining, name: str, plan_id: str) -> Response:
    """Ask for a run that does what a plan says, and lead to its page."""
    plan = job_plans.get(posted.context, posted.caller, ids.parse(plan_id), name)
    with posted.refused_on(lambda problem: _plan(posted, name, plan_id, problem), (*REFUSALS, QueryTooLong)):
        run = scheduled_jobs.ask(posted.context, posted.caller, name, plan.plan_id, once=posted.once)
    return posted.lead_to(f"{PATH}/runs/{run.run_id}", done="run-asked")


def _settings(posted: PlatformPosted, end: str) -> dict[str, Any]:
    """Read the settings of a form, or with `_seen` those that its page showed."""
    form = posted.form
    is_paused = form.text(f"is_paused{end}") is not None
    return {
        "cron": form.text(f"cron{end}"),
        "time_zone": form.text(f"time_zone{end}"),
        "is_paused": is_paused,
    }


def _narrowed(view: PlatformView, name: str) -> dict[str, Any]:
    scheduled_jobs.check_known(name)
    return {"job": name, **filters_of(view, RunQuery, _FILTERS).model_dump(exclude_none=True)}


def _job(
    view: PlatformView,
    name: str,
    problem: AnnalsError | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    narrow = _narrowed(view, name)
    found = scheduled_jobs.job(view.context, name)
    return view.show(
        "platform_job.html",
        problem=problem,
        job=found,
        default=SCHEDULED_JOBS[name].cron,
        page=scheduled_jobs.runs(view.context, narrow, view.paging(SHOWN)),
        states=states(),
        state=narrow.get("state"),
        query=query_of(view, _FILTERS),
        typed=typed or {},
        present={
            "cron": found.cron,
            "time_zone": found.time_zone,
            "is_paused": "paused" if found.is_paused else "not paused",
        },
    )


def _plan(view: PlatformView, name: str, plan_id: str, problem: AnnalsError | None = None) -> Response:
    """Show a plan; one that does not fit any more beside what a run would do now."""
    now = None
    if isinstance(problem, PlanOutdated) and "plan" in problem.facts:
        now = job_plans.shown(view.context, problem.facts["plan"])
    plan = job_plans.get(view.context, view.caller, ids.parse(plan_id), name)
    # An address says for ever that the plan was made; once it is run, that nothing was deleted is not so.
    notice: dict[str, Any] = {"notice": None} if plan.runs else {}
    return view.show(
        "platform_plan.html",
        **notice,
        problem=problem,
        plan=plan,
        job=scheduled_jobs.job(view.context, name),
        would_do=now,
        files=files.links(f"{PATH}/{name}/plans/{plan_id}"),
    )
