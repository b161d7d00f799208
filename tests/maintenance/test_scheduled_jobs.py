"""The maintenance API: jobs, their schedules and runs, dry runs and plans, figures and warnings."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from jobs.scheduler import Scheduler
from service.domain.job_runs import Blocked, PlannedPart, RunPlan
from service.processes.scheduler import job_context
from service.usecases.context import Parts
from service.usecases.maintenance import scheduled_jobs
from service.usecases.maintenance.table import SCHEDULED_JOBS
from tests.support.api import Caller, Json, Server, Tenant, ok, pointers, refused

PATH = "/v1/maintenance"


@pytest.fixture(scope="module")
def scheduled(lone_server: Server) -> Iterator[Server]:
    """A server and a scheduler beside it."""
    context = lone_server.context
    with job_context(context.settings, lone_server.database.url) as made:
        scheduler = Scheduler(made)
        thread = threading.Thread(target=scheduler.run)
        thread.start()
        yield lone_server
        scheduler.stop()
        thread.join()


@pytest.fixture
def operator(scheduled: Server) -> Caller:
    return scheduled.operator


def test_jobs_are_listed_with_their_schedule_and_how_they_went(operator: Caller) -> None:
    items = ok(operator.get(f"{PATH}/jobs"))["items"]
    assert [item["name"] for item in items] == list(SCHEDULED_JOBS)
    assert {item["time_zone"] for item in items} == {"UTC"}
    one = ok(operator.get(f"{PATH}/jobs/upkeep"))
    assert one["cron"] == SCHEDULED_JOBS["upkeep"].cron
    assert one["next_run_at"] > datetime.now(UTC).isoformat()
    refused(operator.get(f"{PATH}/jobs/none"), 404, "job_not_found")


def test_a_job_is_run_at_once_and_tells_what_it_did(operator: Caller) -> None:
    tenant = Tenant(operator.server)
    tenant.workflow()
    headers = {"Idempotency-Key": str(uuid4())}
    run = ok(operator.post(f"{PATH}/jobs/reconcile/run", headers=headers))
    assert (run["state"], run["trigger"], run["requested_by"]) == ("succeeded", "operator", "operator")
    assert run["counts"]["subscriptions"] >= 1
    assert run["process"].rpartition(":")[2].isdigit()
    again = operator.post(f"{PATH}/jobs/reconcile/run", headers=headers)
    assert ok(again)["run_id"] == run["run_id"]
    story = ok(operator.get(again.headers["location"]))
    assert [event["log_message"] for event in story["events"]][:: len(story["events"]) - 1] == [
        *("reconcile: started", "reconcile: ended")
    ]
    assert ok(operator.get(f"{PATH}/jobs/reconcile"))["last_success"]["run_id"] == run["run_id"]
    rows = operator.server.database.rows(
        "SELECT action, resource_type, resource_id, username, new_values->>'run_id' FROM audit_logs"
        " WHERE subscription_id IS NULL AND action = 'EXECUTE'"
    )
    assert rows == [("EXECUTE", "maintenance_job", "reconcile", "operator", run["run_id"])]


def test_runs_are_listed_newest_first_and_narrowed(operator: Caller) -> None:
    for _ in range(3):
        ok(operator.post(f"{PATH}/jobs/upkeep/run"))
    runs = operator.pages(f"{PATH}/runs", job="upkeep", state="succeeded", limit=2)
    assert len(runs) >= 3
    assert [run["scheduled_for"] for run in runs] == sorted((r["scheduled_for"] for r in runs), reverse=True)
    assert operator.pages(f"{PATH}/runs", job="upkeep", until=runs[-1]["scheduled_for"])[0] == runs[-1]
    assert operator.pages(f"{PATH}/runs", state="waiting") == []
    refused(operator.get(f"{PATH}/runs/{uuid4()}"), 404, "run_not_found")
    refused(operator.get(f"{PATH}/runs/x"), 404, "run_not_found")
    assert pointers(refused(operator.get(f"{PATH}/runs?state=x"), 422, "invalid")) == ["state"]


def test_a_schedule_is_changed_and_paused_and_the_change_is_audited(operator: Caller) -> None:
    path = f"{PATH}/jobs/deep-upkeep"
    changed = ok(operator.patch(path, {"cron": "0 5 * * 1", "time_zone": "Europe/Berlin"}))
    assert (changed["cron"], changed["time_zone"]) == ("0 5 * * 1", "Europe/Berlin")
    paused = ok(operator.patch(path, {"is_paused": True}))
    assert (paused["is_paused"], paused["next_run_at"], paused["lag_seconds"]) == (True, None, None)
    assert ok(operator.patch(path, {"is_paused": True})) == paused
    back = ok(operator.patch(path, {"cron": None, "time_zone": None, "is_paused": False}))
    assert (back["cron"], back["time_zone"]) == (SCHEDULED_JOBS["deep-upkeep"].cron, "UTC")
    rows = operator.server.database.rows(
        "SELECT old_values, new_values FROM audit_logs WHERE resource_id = 'deep-upkeep' ORDER BY audit_id"
    )
    assert [new["is_paused"] for _, new in rows] == [False, True, False]
    assert rows[1][0] == {"cron": "0 5 * * 1", "time_zone": "Europe/Berlin", "is_paused": False}


def test_the_last_setting_of_a_schedule_applies_whatever_the_clocks(operator: Caller) -> None:
    path = f"{PATH}/jobs/purge-closed"
    with operator.server.clock.moved(hours=1):
        ok(operator.patch(path, {"cron": "0 5 * * *"}))
    assert ok(operator.patch(path, {"cron": "0 6 * * *"}))["cron"] == "0 6 * * *"
    ok(operator.patch(path, {"cron": None}))
    assert ok(operator.get(path))["cron"] == SCHEDULED_JOBS["purge-closed"].cron


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"cron": "every day"}, "/cron"),
        ({"cron": "* * * * 9"}, "/cron"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"is_paused": "yes"}, "/is_paused"),
        ({"pause": True}, "/pause"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_field(operator: Caller, body: Json, pointer: str) -> None:
    problem = refused(operator.patch(f"{PATH}/jobs/upkeep", body), 422, "invalid")
    assert pointers(problem) == [pointer]


def test_only_the_operator_maintains(scheduled: Server) -> None:
    admin = Tenant(scheduled).ana
    for call in (
        admin.get(f"{PATH}/jobs"),
        admin.get(f"{PATH}/runs"),
        admin.patch(f"{PATH}/jobs/upkeep", {"is_paused": True}),
        admin.post(f"{PATH}/jobs/upkeep/run"),
    ):
        refused(call, 403, "forbidden")
    refused(scheduled.nobody.get(f"{PATH}/jobs"), 401, "unauthenticated")


def test_a_dry_run_makes_a_plan_which_is_applied_only_while_it_fits(
    operator: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 5
    hold = uuid4()

    def plan(_context: Parts, at: datetime) -> RunPlan:
        parts = [PlannedPart(what="server_logs", level="server", rows=rows, bytes=80, chunks=1)]
        return RunPlan(at=at, parts=parts, blocked=[Blocked(hold_id=hold, what="server_logs", rows=2)])

    planned = replace(SCHEDULED_JOBS["upkeep"], plan=plan)
    monkeypatch.setattr(scheduled_jobs, "SCHEDULED_JOBS", {**SCHEDULED_JOBS, "upkeep": planned})
    dry = ok(operator.post(f"{PATH}/jobs/upkeep/run", {"dry_run": True}))
    assert (dry["plan"]["rows"], dry["plan"]["bytes"], dry["plan"]["chunks"]) == (5, 80, 1)
    assert dry["plan"]["blocked"] == [{"hold_id": str(hold), "what": "server_logs", "rows": 2}]
    applied = ok(operator.post(f"{PATH}/jobs/upkeep/run", {"plan_id": dry["plan_id"]}))
    assert (applied["state"], applied["plan_id"]) == ("succeeded", dry["plan_id"])
    path = f"{PATH}/jobs/upkeep/run"
    refused(operator.post(f"{PATH}/jobs/reconcile/run", {"plan_id": dry["plan_id"]}), 404, "plan_not_found")
    refused(operator.post(path, {"plan_id": str(uuid4())}), 404, "plan_not_found")
    rows = 6
    problem = refused(operator.post(path, {"plan_id": dry["plan_id"]}), 409, "plan_outdated")
    assert problem["plan"]["rows"] == 6
    rows = 5
    with operator.server.clock.moved(hours=25):
        refused(operator.post(path, {"plan_id": dry["plan_id"]}), 409, "plan_outdated")
    refused(operator.post(path, {"plan_id": dry["plan_id"], "dry_run": True}), 422, "invalid")
    refused(operator.post(f"{PATH}/jobs/reconcile/run", {"dry_run": True}), 409, "no_plan")


def test_figures_and_readiness_tell_how_jobs_are(scheduled: Server, operator: Caller) -> None:
    run = ok(operator.post(f"{PATH}/jobs/upkeep/run"))
    text = scheduled.http.get("/metrics").text
    ended = datetime.fromisoformat(run["ended_at"]).timestamp()
    [line] = [each for each in text.splitlines() if 'last_success_timestamp_seconds{job="upkeep"}' in each]
    assert abs(float(line.split()[1]) - ended) < 1
    assert 'annals_job_lag_seconds{job="upkeep"} 0.0' in text
    assert "annals_repository_bytes " in text
    warnings = ok(scheduled.http.get("/readyz"))["warnings"]
    assert not any("upkeep" in each for each in warnings)
    with scheduled.clock.moved(hours=2):
        answer = scheduled.http.get("/readyz")
        assert answer.status_code == 200
        assert any(each.startswith("the job upkeep is overdue") for each in answer.json()["warnings"])


def test_a_job_that_did_not_run_is_overdue_in_time(scheduled: Server) -> None:
    # It runs once a day; one of its times may have come within these tests.
    with scheduled.clock.moved(days=3):
        warnings = ok(scheduled.http.get("/readyz"))["warnings"]
    assert any(each.startswith("the job purge-closed is overdue") for each in warnings)
    assert not any(
        each.startswith("the job purge-closed") for each in ok(scheduled.http.get("/readyz"))["warnings"]
    )


def test_the_jobs_that_delete_can_be_tried_dry() -> None:
    assert {name for name, job in SCHEDULED_JOBS.items() if job.plan is not None} == {
        "retention",
        "expire-deletions",
        "release-check-outs",
        "clean-up",
        "purge-closed",
    }
