"""The scheduler: each slot once, what was missed, interrupted, paused, failed or asked for."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from jobs import scheduler as scheduling
from jobs.scheduler import Scheduler
from service.domain.errors import Invalid
from service.domain.job_runs import Counts, JobRun
from service.processes.scheduler import job_context
from service.processes.startup import make_folders
from service.runtime.settings import load
from service.usecases.context import JobContext
from service.usecases.maintenance.table import ScheduledJob, Work
from tests.support.api import Clock
from tests.support.databases import Cluster, Database

EACH_SECOND = "* * * * * *"
NEVER = "0 0 1 1 *"


@pytest.fixture(scope="module")
def prepared(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[JobContext, Database]]:
    """Context of scheduled jobs, on a database of their own."""
    database = cluster.migrated()
    settings, _ = load({"data_dir": tmp_path_factory.mktemp("annals")}, {})
    make_folders(settings)
    with job_context(settings, database.url) as made:
        yield made, database


@pytest.fixture
def context(prepared: tuple[JobContext, Database]) -> JobContext:
    return prepared[0]


@pytest.fixture
def database(prepared: tuple[JobContext, Database]) -> Database:
    """The database, without a run."""
    with prepared[1].connection() as connection:
        connection.execute("DELETE FROM job_runs")
        connection.execute("DELETE FROM job_schedules")
    return prepared[1]


def scheduled(cron: str, **works: Work) -> dict[str, ScheduledJob]:
    """A table of scheduled jobs with one schedule."""
    return {name: ScheduledJob(name=name, summary=name, cron=cron, run=run) for name, run in works.items()}


@contextmanager
def scheduling_by(context: JobContext, cron: str, **table: Work) -> Iterator[Scheduler]:
    """A scheduler of some jobs, in a thread, until the block ends."""
    made = Scheduler(context, table=scheduled(cron, **table))
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join()


def add_run(database: Database, job: str, state: str, at: datetime, **more: Any) -> None:
    started = at if state in ("running", "succeeded") else None
    ended = None if state in ("running", "waiting") else at
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO job_runs (run_id, job, scheduled_for, trigger, state, process, started_at, ended_at,"
            " counts) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb)",
            [
                *(uuid4(), job, at, more.get("trigger", "schedule"), state),
                *("gone:1" if started else None, started, ended, more.get("counts")),
            ],
        )


def runs(database: Database, job: str) -> list[tuple[datetime, str, str | None]]:
    return [
        (at, state, error)
        for at, state, error in database.rows(
            "SELECT scheduled_for, state, error FROM job_runs WHERE job = %s ORDER BY scheduled_for", job
        )
    ]


def states(database: Database, job: str) -> list[str]:
    return [state for _, state, _ in runs(database, job)]


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def nothing(_context: JobContext, _run: JobRun) -> Mapping[str, int]:
    return {"rows": 0}


def second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def test_two_schedulers_take_each_slot_once_and_the_second_takes_over(
    context: JobContext, database: Database
) -> None:
    took: list[tuple[str, datetime]] = []

    def work(who: str) -> Work:
        return lambda _context, run: took.append((who, run.at)) or {"rows": 1}  # type: ignore[func-returns-value]

    with scheduling_by(context, EACH_SECOND, tick=work("first")):
        wait_until(lambda: len(took) >= 1)
        with scheduling_by(context, EACH_SECOND, tick=work("second")) as other:
            wait_until(lambda: len(took) >= 3)
            assert {who for who, _ in took} == {"first"}
            assert other is not None
    with scheduling_by(context, EACH_SECOND, tick=work("second")):
        wait_until(lambda: took[-1][0] == "second")
    found = runs(database, "tick")
    assert [b[0] - a[0] for a, b in itertools.pairwise(found)] == [timedelta(seconds=1)] * (len(found) - 1)
    assert [state for _, state, _ in found].count("succeeded") == len(took)


def test_a_new_leader_records_what_was_missed_and_what_was_interrupted(
    context: JobContext, database: Database
) -> None:
    now = second(datetime.now(UTC))
    add_run(database, "tick", "succeeded", now - timedelta(seconds=9))
    add_run(database, "tick", "running", now - timedelta(seconds=8))
    with scheduling_by(context, EACH_SECOND, tick=nothing):
        wait_until(lambda: states(database, "tick")[-1] == "succeeded")
    found = runs(database, "tick")
    assert found[1][1:] == ("interrupted", "its process is gone")
    missed = [at for at, state, error in found if (state, error) == ("missed", "no scheduler was at work")]
    assert missed[:8] == [now - timedelta(seconds=n) for n in range(7, -1, -1)]
    assert len({at for at, _, _ in found}) == (found[-1][0] - found[0][0]) / timedelta(seconds=1) + 1
    events = database.rows("SELECT error_message FROM server_logs WHERE subscription_id IS NULL")
    assert all(message.startswith("leader_changed: ") for (message,) in events)
    assert events != []


def test_after_a_long_downtime_the_latest_slots_are_written_and_the_others_counted(
    context: JobContext, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "MAX_MISSED", 5)
    begin = second(datetime.now(UTC)) - timedelta(seconds=100)
    add_run(database, "tick", "succeeded", begin)
    with scheduling_by(context, EACH_SECOND, tick=nothing):
        wait_until(lambda: states(database, "tick")[-1] == "succeeded")
    missed = [error for _, state, error in runs(database, "tick") if state == "missed"]
    assert len(missed) == 5
    assert missed[0] is not None
    assert 90 <= int(missed[0].split("the ")[1].split()[0]) <= 100
    assert missed[1:] == ["no scheduler was at work"] * 4


def test_after_a_clock_that_stood_at_its_beginning_the_latest_slots_alone_are_counted(
    context: JobContext, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "MAX_MISSED", 5)
    monkeypatch.setattr(scheduling, "MAX_COUNTED", 50)
    add_run(database, "tick", "succeeded", datetime(1970, 1, 1, tzinfo=UTC))
    with scheduling_by(context, EACH_SECOND, tick=nothing):
        wait_until(lambda: states(database, "tick")[-1] == "succeeded")
    missed = [error for _, state, error in runs(database, "tick") if state == "missed"]
    assert len(missed) == 5
    assert "nor in the more than 4" in str(missed[0])


def test_jobs_run_on_after_the_clock_was_set_back(context: JobContext, database: Database) -> None:
    clock = Clock()
    with (
        clock.moved(days=1),
        scheduling_by(replace(context, clock=clock), EACH_SECOND, tick=nothing),
    ):
        time.sleep(2)
        assert runs(database, "tick") == []
        with clock.moved(days=-1):
            wait_until(lambda: states(database, "tick")[:2] == ["succeeded", "succeeded"])


def test_slots_that_a_clock_skips_that_is_put_forward_are_missed(
    context: JobContext, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "MAX_MISSED", 5)
    monkeypatch.setattr(scheduling, "MAX_COUNTED", 1_000)
    clock = Clock()
    with scheduling_by(replace(context, clock=clock), EACH_SECOND, tick=nothing):
        wait_until(lambda: "succeeded" in states(database, "tick"))
        with clock.moved(days=3650):
            wait_until(lambda: states(database, "tick").count("missed") == 5)
    [first, *others] = [error for _, state, error in runs(database, "tick") if state == "missed"]
    assert "nor in the more than 9" in str(first)
    assert others == ["no scheduler was at work"] * 4


def test_slots_that_a_clock_missed_that_was_ahead_are_run_when_they_come(
    context: JobContext, database: Database
) -> None:
    now = second(datetime.now(UTC))
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO job_runs (run_id, job, scheduled_for, trigger, state, ended_at)"
            " SELECT gen_random_uuid(), 'tick', %s + number * interval '1 second', 'schedule', 'missed', %s"
            " FROM generate_series(1, 60) AS number",
            [now, now + timedelta(days=1)],
        )
    with scheduling_by(context, EACH_SECOND, tick=nothing):
        wait_until(lambda: states(database, "tick").count("succeeded") >= 2)


def test_slots_of_a_schedule_that_was_changed_in_a_downtime_are_missed_by_it(
    context: JobContext, database: Database
) -> None:
    now = second(datetime.now(UTC))
    add_run(database, "tick", "succeeded", now - timedelta(seconds=30))
    for ago, cron, is_paused in ((20, NEVER, False), (10, EACH_SECOND, True), (5, EACH_SECOND, False)):
        with database.connection() as connection:
            connection.execute(
                "INSERT INTO job_schedules VALUES ('tick', %s, NULL, %s, %s, 'system:test')",
                [cron, is_paused, now - timedelta(seconds=ago)],
            )
    with scheduling_by(context, EACH_SECOND, tick=nothing):
        wait_until(lambda: states(database, "tick")[-1] == "succeeded")
    missed = [(now - at).total_seconds() for at, state, _ in runs(database, "tick") if state == "missed"]
    assert missed[:15] == [*range(29, 19, -1), *range(4, -1, -1)]


def test_a_slot_that_comes_while_the_job_is_at_work_is_missed(
    context: JobContext, database: Database
) -> None:
    go_on = threading.Event()

    def work(_context: JobContext, run: JobRun) -> Counts:
        assert run.machine.username == "system:slow"
        go_on.wait(30)
        return {"rows": 3}

    with scheduling_by(context, EACH_SECOND, slow=work, quick=nothing):
        wait_until(lambda: states(database, "slow").count("missed") >= 2)
        go_on.set()
        wait_until(lambda: "succeeded" in states(database, "slow"))
    [first] = [error for _, state, error in runs(database, "slow") if state == "missed"][:1]
    assert first == "the run before was still at work"
    assert "missed" not in states(database, "quick")[1:-1]


def test_a_failure_is_recorded_and_told_and_the_next_slot_tries_again(
    context: JobContext, database: Database
) -> None:
    tries: list[object] = []

    def work(_context: JobContext, run: JobRun) -> Counts:
        tries.append(run.resume)
        run.tell("looked at it", {"number": len(tries)})
        if len(tries) == 1:
            raise Invalid("the answer is not 42")
        if len(tries) == 2:
            raise ZeroDivisionError("a fault of the program")
        return {"rows": 7, "resume": "here"}

    with scheduling_by(context, EACH_SECOND, tick=work):
        wait_until(lambda: states(database, "tick").count("succeeded") >= 2)
    found = runs(database, "tick")
    assert [state for _, state, _ in found[:3]] == ["failed", "failed", "succeeded"]
    assert [error for _, _, error in found[:3]] == [
        *("Invalid: the answer is not 42", "ZeroDivisionError: a fault of the program", None)
    ]
    assert tries[:4] == [None, None, None, "here"]
    story = database.rows(
        "SELECT log_level, log_message, status, rows_processed FROM execution_logs JOIN job_runs"
        " ON execution_id = run_id::text WHERE subscription_id IS NULL"
        " ORDER BY scheduled_for, created_at, log_id LIMIT 9"
    )
    assert story[:3] == [
        ("INFO", "tick: started", "running", None),
        ("INFO", "tick: looked at it", "running", None),
        ("ERROR", "tick: failed: Invalid: the answer is not 42", "failed", None),
    ]
    assert story[8] == ("INFO", "tick: ended", "success", 7)


def test_a_changed_schedule_and_a_pause_are_taken_up_at_once(context: JobContext, database: Database) -> None:
    def set_to(cron: str | None, *, is_paused: bool) -> None:
        with database.connection() as connection:
            connection.execute(
                "INSERT INTO job_schedules VALUES ('tick', %s, NULL, %s, %s, 'system:test')",
                [cron, is_paused, datetime.now(UTC)],
            )

    add_run(database, "tick", "succeeded", datetime.now(UTC) - timedelta(seconds=10))
    set_to(NEVER, is_paused=True)
    with scheduling_by(context, NEVER, tick=nothing, other=nothing):
        time.sleep(1.5)
        assert len(runs(database, "tick")) == 1
        set_to(EACH_SECOND, is_paused=False)
        wait_until(lambda: len(runs(database, "tick")) >= 3)
        set_to(EACH_SECOND, is_paused=True)
        time.sleep(2.5)
        before = len(runs(database, "tick"))
        time.sleep(1.5)
        assert len(runs(database, "tick")) == before
    assert set(states(database, "tick")) == {"succeeded"}
    assert runs(database, "other") == []


def test_a_run_that_an_operator_asked_for_waits_for_the_one_at_work(
    context: JobContext, database: Database
) -> None:
    went_on = threading.Event()

    def work(_context: JobContext, _run: JobRun) -> Counts:
        went_on.wait(30)
        return {}

    now = datetime.now(UTC)
    with scheduling_by(context, NEVER, tick=work):
        add_run(database, "tick", "waiting", now, trigger="operator")
        wait_until(lambda: states(database, "tick") == ["running"])
        add_run(database, "tick", "waiting", now + timedelta(seconds=1), trigger="operator")
        time.sleep(1.5)
        assert states(database, "tick") == ["running", "waiting"]
        went_on.set()
        wait_until(lambda: states(database, "tick") == ["succeeded", "succeeded"])
