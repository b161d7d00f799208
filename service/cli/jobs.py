"""`annals jobs`: run the scheduler or one scheduled job, and set schedules, by the operator on the server."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from service.cli.console import AsJson, DataDir, explained, out, progress, read_settings
from service.cli.tables import plain
from service.runtime.settings import Settings

# Imported where they are used: at the top, every command would wait for them.
if TYPE_CHECKING:
    from service.domain.callers import Machine
    from service.usecases.maintenance.scheduled_jobs import DryRun, Run, ScheduledJobStatus

jobs = typer.Typer(help="Scheduled jobs: retention, expiry, upkeep.", no_args_is_help=True)

LOOK_SECONDS = 0.2
RUNS_SHOWN = 20

Name = Annotated[str, typer.Argument(metavar="JOB", help="A job, as `annals jobs list` names it.")]


@contextmanager
def _opened(data_dir: Path | None) -> Iterator[tuple[Settings, str]]:
    """Read the settings and prepare the database; an error that an operator can act on ends the command."""
    from service.processes.startup import operated_database

    with explained():
        settings, _ = read_settings(data_dir=data_dir)
        with operated_database(settings, progress) as prepared:
            yield settings, prepared.url


@contextmanager
def _context(data_dir: Path | None) -> Iterator[Any]:
    from service.processes.scheduler import job_context

    with _opened(data_dir) as (settings, url), job_context(settings, url) as context:
        yield context


def _operator() -> "Machine":
    from service.domain.callers import Machine, Origin
    from service.domain.ids import mint

    origin = Origin(
        request_id=f"command-{mint()}",
        ip_address=None,
        user_agent=None,
        endpoint="annals jobs",
        method="RUN",
    )
    return Machine(username="system:command", origin=origin)


@jobs.command("list")
def list_jobs(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the scheduled jobs: schedule, next run, last run."""
    from service.usecases.maintenance import scheduled_jobs

    with _context(data_dir) as context:
        found = scheduled_jobs.all_jobs(context)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2, default=str))
        return
    plain(("job", "schedule", "next", "last run", "does"), map(_cells, found))


def _cells(job: "ScheduledJobStatus") -> tuple[str, ...]:
    last = "never" if job.last_run is None else f"{job.last_run.state} {_instant(job.last_run.scheduled_for)}"
    upcoming = "paused" if job.is_paused else _instant(job.next_run_at)
    return job.name, f"{job.cron} {job.time_zone}", upcoming, last, job.summary


@jobs.command("run")
def run_jobs(
    job: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="One job, now; without it, the scheduler runs.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a run would take away.")] = False,
    plan: Annotated[UUID | None, typer.Option(help="Do just what this plan of a dry run says.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Run the scheduler until Ctrl-C, or one job now; exit code 1 where that did not succeed."""
    if job is None:
        if dry_run or plan is not None:
            raise typer.BadParameter("name the job that is to be tried, or run by a plan")
        _run_scheduler(data_dir)
        return
    if dry_run and plan is not None:
        raise typer.BadParameter("a plan is applied or made anew, not both")
    if dry_run:
        with _context(data_dir) as context:
            tried = _try(context, job)
        _show(tried, as_json=as_json, in_words=lambda: _show_plan(tried))
        return
    with _context(data_dir) as context:
        done = _run(context, job, plan)
    _show(done, as_json=as_json, in_words=lambda: _show_run(done))
    if done.state != "succeeded":
        raise typer.Exit(1)


def _run_scheduler(data_dir: Path | None) -> None:
    from service.processes.scheduler import run_alone
    from service.runtime import log_setup

    with _opened(data_dir) as (settings, url):
        log_setup.configure(settings.log_format, settings.log_level)
        progress("Running jobs; stop with Ctrl-C.")
        run_alone(settings, url)


def _try(context: Any, job: str) -> "DryRun":
    from service.usecases.maintenance import scheduled_jobs
    from sql.database import PLATFORM

    with context.database.transaction(PLATFORM) as tx:
        return scheduled_jobs.keep_plan(tx, context, job, _operator().username)


def _run(context: Any, job: str, plan: UUID | None) -> "Run":
    """Ask the scheduler to run a job; if no scheduler runs, run it in this process."""
    from jobs.leader import elected
    from jobs.runner import Runner
    from service.usecases.maintenance import scheduled_jobs
    from sql.database import PLATFORM

    scheduled_jobs.job(context, job)
    if plan is not None:
        scheduled_jobs.checked_plan(context, job, plan)
    with context.database.transaction(PLATFORM) as tx:
        asked = scheduled_jobs.request(tx, context, job, plan, caller=_operator())
    # SIGTERM of a service manager ends the command like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = asked
    try:
        while found.ended_at is None:
            with elected(context.database) as leadership:
                if leadership is not None:
                    runner = Runner(context)
                    runner.interrupt_others()
                    _beside(leadership.beat, partial(runner.run_waiting, asked), runner.stop)
            time.sleep(LOOK_SECONDS)
            found = scheduled_jobs.run(context, asked.run_id)
    except KeyboardInterrupt:
        if scheduled_jobs.run(context, asked.run_id).ended_at is None:
            progress("The run goes on without this command: `annals jobs runs` shows what becomes of it.")
        else:
            progress("The run was stopped: what is left is done by the next.")
        raise
    return found


def _beside(beat: Callable[[], None], work: Callable[[], object], stop: Callable[[], None]) -> None:
    """Carry out `work` in another thread, and call `beat` meanwhile; Ctrl-C stops the work, and waits."""
    interrupted = False
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        while not working.done():
            try:
                beat()
                time.sleep(LOOK_SECONDS)
            except KeyboardInterrupt:
                interrupted = True
                stop()
        working.result()
    if interrupted:
        raise KeyboardInterrupt


@jobs.command("runs")
def list_runs(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only this job's.")] = None,
    limit: Annotated[int, typer.Option(help="So many, the newest first.", min=1, max=200)] = RUNS_SHOWN,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the last job runs with their results."""
    from service.usecases.maintenance import scheduled_jobs

    with _context(data_dir) as context:
        found = scheduled_jobs.last_runs(context, job, limit)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2, default=str))
        return
    rows = (
        (
            *(each.job, _instant(each.scheduled_for), each.state, each.process or "", _seconds(each)),
            each.error or json.dumps(each.counts or {}),
        )
        for each in found
    )
    plain(("job", "scheduled for", "state", "by", "seconds", "came to"), rows)


@jobs.command("schedule")
def schedule(
    job: Name,
    cron: Annotated[str | None, typer.Option(help="Five fields, or six with seconds first.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="As Europe/Berlin.")] = None,
    default: Annotated[bool, typer.Option("--default", help="As it was made, in UTC.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Set the schedule of a job."""
    from service.usecases.maintenance import scheduled_jobs

    given = {"cron": cron, "time_zone": time_zone}
    wanted = given if default else {name: value for name, value in given.items() if value is not None}
    if default is (cron is not None or time_zone is not None):
        raise typer.BadParameter("say --cron, --time-zone or both, or --default")
    with _context(data_dir) as context:
        done = scheduled_jobs.change_schedule(context, _operator(), job, wanted)
    out.print(f"{done.name}: {done.cron} {done.time_zone}, next at {_instant(done.next_run_at)}")


@jobs.command("pause")
def pause(job: Name, data_dir: DataDir = None) -> None:
    """Pause a job until `annals jobs resume`."""
    _set_paused(job, data_dir, is_paused=True)


@jobs.command("resume")
def resume(job: Name, data_dir: DataDir = None) -> None:
    """Resume a paused job from its next slot on."""
    _set_paused(job, data_dir, is_paused=False)


def _set_paused(job: str, data_dir: Path | None, *, is_paused: bool) -> None:
    from service.usecases.maintenance import scheduled_jobs

    with _context(data_dir) as context:
        done = scheduled_jobs.change_schedule(context, _operator(), job, {"is_paused": is_paused})
    out.print(f"{done.name}: {'paused' if done.is_paused else f'next at {_instant(done.next_run_at)}'}")


def _show(done: "Run | DryRun", *, as_json: bool, in_words: Callable[[], None]) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(done), indent=2, default=str))
    else:
        in_words()


def _show_run(done: "Run") -> None:
    out.print(f"{done.job}: {done.state} after {_seconds(done)} s", markup=False)
    out.print(done.error or json.dumps(done.counts or {}), markup=False)


def _show_plan(done: "DryRun") -> None:
    plan = done.plan
    names = ("what", "level", "subscription_id", "rows", "bytes", "chunks", "oldest_kept")
    rows = [["" if part[name] is None else str(part[name]) for name in names] for part in plan["parts"]]
    out.print(f"A run at {plan['at']} would take away {plan['rows']} rows.", markup=False)
    if rows:
        plain(("of", "level", "subscription", "rows", "bytes", "chunks", "oldest kept"), rows)
    for blocked in plan["blocked"]:
        out.print(f"Held back by {blocked['hold_id']}: {blocked['rows']} of {blocked['what']}", markup=False)
    out.print(f"Do just this within 24 hours: annals jobs run {done.job} --plan {done.plan_id}", markup=False)


def _instant(value: Any) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S}Z"


def _seconds(run: "Run") -> str:
    if run.started_at is None or run.ended_at is None:
        return ""
    return f"{(run.ended_at - run.started_at).total_seconds():.1f}"
