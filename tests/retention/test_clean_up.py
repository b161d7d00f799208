"""Spent rows are deleted in time, except held ones and those that a schedule continues from."""

from datetime import timedelta
from uuid import uuid4

from service.domain.job_runs import Counts, RunPlan
from service.usecases.maintenance import clean_up
from tests.support.api import Server, Tenant, ok
from tests.support.events import events
from tests.support.job_runs import carried_out, job_context
from tests.support.legal_holds import hold
from tests.support.web import Browser, offered

NOTHING = dict.fromkeys(
    (
        *("idempotency_keys", "reported_event_ids", "api_keys", "web_sessions", "sign_in_links"),
        *("job_runs", "job_plans"),
    ),
    0,
)


def clean(server: Server) -> Counts:
    """Run the scheduled job; answers its counts."""
    return carried_out(server, clean_up.NAME, clean_up.run)


def planned(server: Server) -> RunPlan:
    """The plan of a job run."""
    with job_context(server) as context:
        return clean_up.plan(context, context.clock())


def test_old_answers_and_keys_go_in_time_unless_they_are_held(lone: Tenant) -> None:
    server, held = lone.server, Tenant(lone.server)
    ids = []
    for tenant in (lone, held):
        headers = {"Idempotency-Key": "once"}
        ok(tenant.ana.post(f"{tenant.path}/workspaces", {"name": "w"}, headers=headers), 201)
        body = {"user_id": tenant.ben.user_id, "name": "short", "expires_in_days": 1}
        ids.append(ok(server.operator.post(f"{tenant.path}/api-keys", body), 201))
    key = ids[0]["api_key"]
    hold_id = hold(held)
    with server.clock.moved(hours=23):
        assert clean(server) == NOTHING
    with server.clock.moved(days=30):
        assert clean(server) == NOTHING | {"idempotency_keys": 1}
        problem = server.http.get("/v1/whoami", headers={"authorization": f"Bearer {key}"}).json()
        assert problem["detail"].startswith("The API key has expired")
    with server.clock.moved(days=31, minutes=1):
        plan = planned(server)
        assert {part.what: part.rows for part in plan.parts} == NOTHING | {"api_keys": 1}
        kept = {each.what: each.rows for each in plan.blocked if str(each.hold_id) == hold_id}
        assert kept == {"idempotency_keys": 1, "api_keys": 1}
        assert clean(server) == NOTHING | {"api_keys": 1}
        assert clean(server) == NOTHING
        listed = [each["key_id"] for each in lone.ana.pages(f"{lone.path}/api-keys")]
        assert ids[0]["key_id"] not in listed
        assert len(listed) == 2
        assert ids[1]["key_id"] in [each["key_id"] for each in held.ana.pages(f"{held.path}/api-keys")]
        [event] = [each for each in events(lone, action="DELETE") if each["resource_type"] == "api_key"]
        assert (event["username"], event["resource_id"]) == (f"system:{clean_up.NAME}", ids[0]["key_id"])
        problem = server.http.get("/v1/whoami", headers={"authorization": f"Bearer {key}"}).json()
        assert problem["detail"].startswith("The API key is not known")


def kept_ids(tenant: Tenant) -> list[str]:
    """Post events again that were posted as e-1 to e-3; returns the ids that are still known."""
    path = f"{tenant.path}/audit-logs"
    event = {"action": "RUN", "resource_type": "report"}
    answers = {name: tenant.ana.post(path, event | {"event_id": name}) for name in ("e-1", "e-2", "e-3")}
    return [name for name, answer in answers.items() if answer.status_code == 200]


def test_ids_of_events_are_forgotten_when_their_rows_are_no_longer_kept(lone: Tenant) -> None:
    server, held = lone.server, Tenant(lone.server)
    for_good = Tenant(server)
    for tenant in (lone, held, for_good):
        assert kept_ids(tenant) == []
    hold(held)
    rules = [
        {"subscription_id": tenant.subscription_id, "level": "user_actions", "keep_days": 30}
        for tenant in (lone, held)
    ]
    ok(server.operator.put("/v1/retention-policies", {"policies": rules, "confirm": True}))
    with server.clock.moved(days=29, hours=23):
        assert clean(server) == NOTHING | {"idempotency_keys": 0}
    with server.clock.moved(days=30, minutes=1):
        assert {part.what: part.rows for part in planned(server).parts}["reported_event_ids"] == 3
        assert clean(server)["reported_event_ids"] == 3
        assert kept_ids(lone) == []
        assert kept_ids(held) == kept_ids(for_good) == ["e-1", "e-2", "e-3"]


def test_records_of_jobs_go_but_for_the_last_ones(lone_server: Server) -> None:
    server = lone_server
    begin = server.clock() - timedelta(days=100)
    states = ["succeeded", "running", "failed", "succeeded", "failed", "missed"]
    for hours, state in enumerate(states):
        at = begin + timedelta(hours=hours)
        has_begun, is_over = state != "missed", state != "running"
        server.database.rows(
            "INSERT INTO job_runs (run_id, job, scheduled_for, trigger, state, process, started_at, ended_at)"
            " VALUES (%s, 'quiet', %s, 'schedule', %s, %s, %s, %s) RETURNING 1",
            uuid4(),
            at,
            state,
            "host:1" if has_begun else None,
            at if has_begun else None,
            at if is_over else None,
        )
    for age in (91, 89):
        server.database.rows(
            "INSERT INTO job_plans (plan_id, job, planned_at, made_by, content, digest)"
            " VALUES (%s, 'quiet', %s, 'operator', '{}', '') RETURNING 1",
            uuid4(),
            server.clock() - timedelta(days=age),
        )
    assert clean(server) == NOTHING | {"job_runs": 3, "job_plans": 1}
    left = server.database.rows("SELECT state FROM job_runs WHERE job = 'quiet' ORDER BY scheduled_for")
    # Runs that may still run, the last success, and the last run of all.
    assert [state for (state,) in left] == ["running", "succeeded", "missed"]
    assert clean(server) == NOTHING


def test_sessions_that_have_ended_go_with_their_readings_also_under_a_hold(lone: Tenant) -> None:
    server = lone.server
    clean(server)
    idle, used = (Browser(server).sign_in(lone.ana) for _ in range(2))
    hold(lone)
    offered(lone)
    digest = b"a reading"
    server.database.rows(
        "INSERT INTO web_readings (session_id, digest, subscription_id, read_at)"
        " SELECT session_id, %s, subscription_id, created_at FROM web_sessions WHERE key_id = %s RETURNING 1",
        digest,
        lone.ana.key_id,
    )
    assert clean(server) == NOTHING
    with server.clock.moved(minutes=10, seconds=1):
        assert clean(server) == NOTHING | {"sign_in_links": 1}
    with server.clock.moved(hours=1):
        used.get("/")
    with server.clock.moved(hours=2, seconds=5):
        assert {part.what: part.rows for part in planned(server).parts} == NOTHING | {"web_sessions": 1}
        assert clean(server) == NOTHING | {"web_sessions": 1}
        assert used.get("/").location == f"/s/{lone.subscription_id}"
        assert idle.get("/").location == "/sign-in?done=session-ended"
    assert server.database.value("SELECT count(*) FROM web_readings WHERE digest = %s", digest) == 1
    with server.clock.moved(hours=12, seconds=5):
        assert clean(server) == NOTHING | {"web_sessions": 1}
    assert server.database.value("SELECT count(*) FROM web_readings WHERE digest = %s", digest) == 0
