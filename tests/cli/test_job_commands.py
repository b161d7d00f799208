"""`annals jobs`: what an operator types on the server, beside a scheduler or without one."""

import json
import threading
import time
from uuid import uuid4

import pytest

from jobs.scheduler import Scheduler
from service.cli import jobs as commands
from service.processes.scheduler import job_context
from tests.support.api import Server
from tests.support.commands import annals


@pytest.fixture
def jobs(lone_server: Server) -> "Jobs":
    return Jobs(lone_server)


class Jobs:
    """The command on a server's database and data directory."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run a command; returns its output, that on stderr if it has to fail."""
        folder = self.server.context.settings.data_dir
        done = annals(
            None,
            *("jobs", *arguments, "--data-dir", folder),
            code=code,
            DATABASE_URL=self.server.database.url,
        )
        return (done.stderr if code else done.stdout).decode()


def test_without_a_scheduler_the_command_runs_the_job_itself(jobs: Jobs) -> None:
    run = json.loads(jobs("run", "reconcile", "--json"))
    assert (run["state"], run["requested_by"], run["trigger"]) == ("succeeded", "system:command", "operator")
    assert "reconcile: succeeded" in jobs("run", "reconcile")
    shown = jobs("runs", "reconcile")
    assert shown.count("succeeded") == 2
    assert "succeeded" in next(line for line in jobs("list").splitlines() if line.split()[0] == "reconcile")
    assert "no job 'none'" in jobs("run", "none", code=1)
    assert "upkeep" in jobs("run", "upkeep", "--dry-run", code=1)
    assert "no plan" in jobs("run", "retention", "--plan", str(uuid4()), code=1)


def test_beside_a_scheduler_that_runs_it(jobs: Jobs) -> None:
    context = jobs.server.context
    with job_context(context.settings, jobs.server.database.url) as made:
        scheduler = Scheduler(made, process="the-other:1")
        thread = threading.Thread(target=scheduler.run)
        thread.start()
        try:
            assert json.loads(jobs("run", "upkeep", "--json"))["process"] == "the-other:1"
        finally:
            scheduler.stop()
            thread.join()


def test_a_job_is_paused_and_resumed(jobs: Jobs) -> None:
    assert jobs("pause", "upkeep") == "upkeep: paused\n"
    listed = {job["name"]: job for job in json.loads(jobs("list", "--json"))}
    assert [name for name, job in listed.items() if job["is_paused"]] == ["upkeep"]
    assert jobs("resume", "upkeep").startswith("upkeep: next at 20")


def test_a_job_is_given_another_time(jobs: Jobs) -> None:
    set_to = jobs("schedule", "upkeep", "--cron", "0 6 * * 1", "--time-zone", "Europe/Berlin")
    assert set_to.startswith("upkeep: 0 6 * * 1 Europe/Berlin, next at 20")
    assert "can't be read" in jobs("schedule", "upkeep", "--cron", "x * * * *", code=1)
    assert "--default" in jobs("schedule", "upkeep", code=2)
    assert jobs("schedule", "upkeep", "--default").startswith("upkeep: */10 * * * * UTC")


def test_a_dry_run_shows_its_plan_which_can_be_applied(jobs: Jobs) -> None:
    shown = jobs("run", "clean-up", "--dry-run")
    assert "would take away" in shown
    plan = json.loads(jobs("run", "clean-up", "--dry-run", "--json"))["plan_id"]
    applied = json.loads(jobs("run", "clean-up", "--plan", plan, "--json"))
    assert (applied["state"], applied["plan_id"]) == ("succeeded", plan)


def test_ctrl_c_stops_a_run_whose_leader_goes_on_until_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LOOK_SECONDS", 0.01)
    asked, ended = threading.Event(), threading.Event()
    beats: list[bool] = []

    def beat() -> None:
        beats.append(asked.is_set())
        if len(beats) == 2:
            raise KeyboardInterrupt

    def work() -> None:
        asked.wait(30)
        time.sleep(0.2)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        commands._beside(beat, work, asked.set)
    assert ended.is_set()
    assert beats[:2] == [False, False]
    assert beats.count(True) > 1


def test_without_a_scheduler_the_command_records_that_a_run_died(jobs: Jobs) -> None:
    jobs.server.database.rows(
        "INSERT INTO job_runs (run_id, job, scheduled_for, trigger, state, process, started_at)"
        " VALUES (gen_random_uuid(), 'upkeep', now(), 'operator', 'running', 'gone:1', now()) RETURNING 1"
    )
    jobs("run", "reconcile")
    [row] = jobs.server.database.rows("SELECT state, error FROM job_runs WHERE process = 'gone:1'")
    assert row == ("interrupted", "its process is gone")
