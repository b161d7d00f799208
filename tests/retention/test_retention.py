"""The retention job: each level expires at its term, whole chunks are dropped, and held rows stay."""

from datetime import datetime, timedelta
from typing import LiteralString

import psycopg
import pytest

from tests.support.api import UNKNOWN, Json, Server, Tenant, ok, refused
from tests.support.expired_logs import COLUMNS, Logs
from tests.support.legal_holds import on, place, release


@pytest.fixture
def tenant(lone_server: Server) -> Tenant:
    return Tenant(lone_server)


@pytest.fixture
def logs(lone_server: Server, tenant: Tenant) -> Logs:
    """Empty logs, all keys of the tenant made before."""
    assert tenant.ana
    logs = Logs(lone_server)
    logs.clear()
    return logs


def days_ago(logs: Logs, days: float) -> datetime:
    return logs.server.clock() - timedelta(days=days)


def left(logs: Logs) -> dict[str, int]:
    return {log: logs.count(log) for log in COLUMNS}


def test_each_level_goes_when_its_term_is_over_and_what_is_permanent_never(
    logs: Logs, tenant: Tenant
) -> None:
    of = tenant.subscription_id
    for log in COLUMNS:
        for subscription_id in (of, None):
            logs.add(log, logs.server.clock(), subscription_id=subscription_id, number=3)
    for kind in ("job", "jobpackage", "other"):
        logs.add("execution_logs", logs.server.clock(), execution_type=kind, subscription_id=of)
    with logs.server.clock.moved(days=89):
        assert logs.run()["rows"] == 0
    with logs.server.clock.moved(days=91):
        counts = logs.run()
        assert counts["rows_by_log"] == {"server_logs": 6, "node_execution_logs": 6}
        assert (counts["held_rows"], counts["is_complete"], counts["chunks"] >= 2) == (0, True, True)
        assert left(logs) == {
            "server_logs": 0,
            "node_execution_logs": 0,
            "execution_logs": 9,
            "audit_logs": 6,
            "data_change_history": 6,
        }
    with logs.server.clock.moved(days=366):
        plan = logs.plan()
        assert sum(part.rows for part in plan.parts) == 9
        counts = logs.run()
        assert (counts["rows"], logs.count("execution_logs")) == (9, 0)
        assert logs.plan().parts == []
    with logs.server.clock.moved(days=36_500):
        assert logs.run()["rows"] == 0
        assert (logs.count("audit_logs"), logs.count("data_change_history")) == (6, 6)


def test_a_term_may_be_one_day_on_every_level(logs: Logs, tenant: Tenant) -> None:
    levels = ("server", "node", "workflow", "job", "jobpackage", "user_actions", "data_changes")
    rules = {"policies": [{"level": level, "keep_days": 1} for level in levels], "confirm": True}
    ok(tenant.server.operator.put("/v1/retention-policies", rules))
    logs.clear_rows()
    for log in COLUMNS:
        for hours in (12, 36, 60):
            logs.add(
                log, logs.server.clock() - timedelta(hours=hours), subscription_id=tenant.subscription_id
            )
    counts = logs.run()
    # Those that are past the term by less than a day may wait for the end of their chunk.
    assert {log: rows in (1, 2) for log, rows in counts["rows_by_log"].items()} == dict.fromkeys(
        COLUMNS, True
    )
    with logs.server.clock.moved(days=3):
        logs.run()
    assert left(logs) == dict.fromkeys(COLUMNS, 0)
    ok(tenant.server.operator.put("/v1/retention-policies", {"policies": [], "confirm": True}))


def test_an_event_of_any_past_is_kept_from_its_arrival_on(logs: Logs, tenant: Tenant) -> None:
    logs.rule("workflow", 1)
    event = {"execution_id": "of 1999", "execution_type": "workflow", "log_level": "INFO", "log_message": "m"}
    path = f"{tenant.path}/execution-logs?import=true"
    ok(tenant.ana.post(path, event | {"occurred_at": "1999-01-01T00:00:00Z"}), 201)
    logs.run()
    assert logs.count("execution_logs") == 1
    with logs.server.clock.moved(days=9):
        logs.run()
    assert logs.count("execution_logs") == 0
    logs.rule("workflow", 365)


def test_tenants_with_terms_of_their_own_keep_less_or_more_than_the_others(
    logs: Logs, lone_server: Server
) -> None:
    short, default, long, ever = (Tenant(lone_server, name).subscription_id for name in "abcd")
    logs.clear()
    logs.rule("server", 10, short)
    logs.rule("server", 400, long)
    logs.rule("server", None, ever)
    everybody = (short, default, long, ever, None)
    for days in (5, 20, 100, 500):
        for of in everybody:
            logs.add("server_logs", days_ago(logs, days), subscription_id=of, number=2)
    plan = logs.plan()
    counts = logs.run()
    assert {
        of: logs.count("server_logs", subscription_id=of) for of in (short, default, long, ever, None)
    } == {
        short: 2,
        default: 4,
        long: 6,
        ever: 8,
        None: 4,
    }
    assert counts["rows"] == sum(part.rows for part in plan.parts) == 16
    assert plan.digest != logs.plan().digest
    assert logs.run()["rows"] == 0
    # Past all terms but one tenant's, the chunk keeps that tenant's rows; without them it is dropped.
    logs.rule("server", 400, ever)
    counts = logs.run()
    assert (counts["chunks"], counts["rows"]) == (1, 2)


def test_a_chunk_with_held_rows_keeps_just_those_until_they_are_released(logs: Logs, tenant: Tenant) -> None:
    of, old = tenant.subscription_id, days_ago(logs, 400)
    workflow = tenant.workflow()
    other = tenant.make("workflows", job_id=tenant.job_id)
    folder = ok(tenant.ana.get(f"{tenant.path}/folders/{tenant.folder_id}"))
    logs.clear()
    about: Json = {"subscription_id": of}
    flow, user = workflow["resource_id"], tenant.ana.user_id
    logs.add("server_logs", old, **about, endpoint=f"{tenant.path}/workflows/{flow}/versions", number=2)
    logs.add(
        "server_logs", old, **about, endpoint=f"{tenant.path}/workflows/{other['resource_id']}", number=3
    )
    logs.add("server_logs", old, **about, endpoint="/v1/whoami", user_id=user, number=4)
    logs.add("server_logs", old, subscription_id=None, user_id=user, number=5)
    for log in ("execution_logs", "node_execution_logs"):
        logs.add(log, old, **about, workflow_id=flow)
        logs.add(log, old, **about, workflow_id=other["resource_id"], job_id=tenant.job_id, recorded_by=user)
        logs.add(log, old, **about, workflow_id=UNKNOWN, number=3)
    holds = [place(tenant, **on(workflow))]
    plan = logs.plan()
    assert {(str(b.hold_id), b.what): b.rows for b in plan.blocked} == {
        (holds[0]["hold_id"], "server_logs"): 2,
        (holds[0]["hold_id"], "node_execution_logs"): 1,
        (holds[0]["hold_id"], "execution_logs"): 1,
    }
    assert all(part.chunks == 0 for part in plan.parts)
    counts = logs.run()
    assert (counts["rows"], counts["held_rows"]) == (12 + 4 + 4, 4) == (sum(p.rows for p in plan.parts), 4)
    assert [logs.count(log) for log in ("server_logs", "node_execution_logs", "execution_logs")] == [2, 1, 1]
    release(tenant, holds[0])
    logs.clear()

    # A folder with all below it, and a user.
    for log in ("execution_logs", "node_execution_logs"):
        logs.add(log, old, **about, workflow_id=flow)
        logs.add(log, old, **about, workflow_id=UNKNOWN, triggered_by=user)
        logs.add(log, old, **about, workflow_id=UNKNOWN)
    holds = [place(tenant, **on(folder)), place(tenant, user_id=user)]
    assert logs.run()["rows"] == 2
    release(tenant, holds[0])
    assert logs.run()["rows"] == 2
    release(tenant, holds[1])
    counts = logs.run()
    assert (counts["rows"], counts["chunks"]) == (2, 2)

    # A whole subscription, and no other, until the hold lapses.
    logs.add("server_logs", old, **about, number=2)
    logs.add("server_logs", old, subscription_id=None, number=2)
    place(tenant, until=(logs.server.clock() + timedelta(days=1)).isoformat())
    assert logs.run()["rows"] == 2
    assert logs.run()["rows"] == 0
    with logs.server.clock.moved(days=2):
        assert logs.run()["chunks"] == 1
        assert logs.count("server_logs", subscription_id=of) == 0


def test_what_is_moved_out_of_what_is_held_stays_held(logs: Logs, tenant: Tenant) -> None:
    workflow, old = tenant.workflow(), days_ago(logs, 400)
    held, other, third = (ok(tenant.ana.post(f"{tenant.path}/workspaces", {"name": n}), 201) for n in "abc")
    folders = f"{tenant.path}/folders"
    outer = ok(tenant.ana.post(folders, {"name": "f", "workspace_id": held["resource_id"]}), 201)
    ok(
        tenant.ana.patch(
            f"{folders}/{tenant.folder_id}",
            {"parent_folder_id": outer["resource_id"], "workspace_id": held["resource_id"]},
        )
    )
    hold = place(tenant, **on(held))
    # With all below it, and then a part of it again: each is kept for its earlier place.
    ok(tenant.ana.patch(f"{folders}/{outer['resource_id']}", {"workspace_id": other["resource_id"]}))
    ok(tenant.ana.patch(f"{folders}/{tenant.folder_id}", {"workspace_id": third["resource_id"]}))
    logs.clear_rows()
    logs.add(
        "execution_logs", old, subscription_id=tenant.subscription_id, workflow_id=workflow["resource_id"]
    )
    assert (logs.run()["rows"], logs.count("execution_logs")) == (0, 1)
    tenant.remove(workflow)
    refused(tenant.ana.delete(tenant.at(workflow), params={"permanent": True}), 409, "held")
    release(tenant, hold)
    assert logs.run()["rows"] == 1


@pytest.mark.sampled(2)
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("by", ["move", "restore"])
def test_what_comes_into_what_is_held_while_its_rows_go_keeps_them(
    logs: Logs, tenant: Tenant, by: str, depth: int
) -> None:
    workflow, at = tenant.workflow(), logs.server.clock()
    held = inner = tenant.make("workspaces")
    within = {"workspace_id": held["resource_id"]}
    for _ in range(depth):
        inner = tenant.make("folders", **within)
        within["parent_folder_id"] = inner["resource_id"]
    folder = ok(tenant.ana.get(f"{tenant.path}/folders/{tenant.folder_id}"))
    deletion = tenant.remove(folder) if by == "restore" else {}
    place(tenant, **on(held))
    logs.clear_rows()
    logs.add(
        "execution_logs",
        days_ago(logs, 400),
        subscription_id=tenant.subscription_id,
        workflow_id=workflow["resource_id"],
    )
    delete: LiteralString = (
        "SELECT count(*) FROM delete_expired(NULL::execution_logs, 'workflow', NULL, '2000-01-01', %s, %s, 9)"
    )
    with logs.database.connection("annals_retention", "platform") as connection:
        connection.autocommit = False
        assert connection.execute(delete, [at - timedelta(days=365), at]).fetchall() == [(1,)]
        if by == "restore":
            tenant.restore(deletion, resolve={"new_parent_id": inner["resource_id"]})
        else:
            tenant.amend(folder, **within)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.commit()
    assert (logs.run()["rows"], logs.count("execution_logs")) == (0, 1)


def test_a_move_is_noted_only_where_other_holds_keep_it_then(logs: Logs, tenant: Tenant) -> None:
    workspace = ok(tenant.ana.get(f"{tenant.path}/workspaces/{tenant.workspace_id}"))
    job, (one, two) = tenant.make("jobs"), (tenant.make("folders")["resource_id"] for _ in "12")
    tenant.begin_another_tree()
    outside = tenant.folder_id
    place(tenant, **on(workspace))
    noted = "SELECT count(*) FROM legal_hold_moves WHERE subscription_id = %s"
    for folder, number in ((one, 0), (two, 0), (outside, 1), (one, 1), (outside, 1)):
        tenant.amend(job, folder_id=folder)
        assert logs.database.value(noted, tenant.subscription_id) == number


def test_what_is_restored_elsewhere_goes_on_to_be_held_by_holds_of_before(logs: Logs, tenant: Tenant) -> None:
    workflow, of, old = tenant.workflow(), tenant.subscription_id, days_ago(logs, 400)
    job = ok(tenant.ana.get(f"{tenant.path}/jobs/{tenant.job_id}"))
    first = ok(tenant.ana.get(f"{tenant.path}/folders/{tenant.folder_id}"))
    tenant.begin_another_tree()
    second = tenant.folder_id
    hold = place(tenant, **on(first))
    tenant.restore(tenant.remove(job), resolve={"new_parent_id": second})
    logs.clear_rows()
    logs.add("execution_logs", old, subscription_id=of, workflow_id=workflow["resource_id"])
    assert (logs.run()["rows"], logs.count("execution_logs")) == (0, 1)
    tenant.remove(job)
    refused(tenant.ana.delete(tenant.at(job), params={"permanent": True}), 409, "held")
    release(tenant, hold)
    place(tenant, **on(first))
    ok(tenant.ana.delete(tenant.at(job), params={"permanent": True}))
    # It was deleted below that folder once.
    assert (logs.run()["rows"], logs.count("execution_logs")) == (0, 1)


def test_audit_rows_and_changes_of_what_is_held_or_was_below_it_stay(logs: Logs, tenant: Tenant) -> None:
    of, old, user = tenant.subscription_id, days_ago(logs, 4000), tenant.ana.user_id
    gone = tenant.workflow()
    job = ok(tenant.ana.get(f"{tenant.path}/jobs/{tenant.job_id}"))
    tenant.remove(gone)
    tenant.remove(gone, permanent=True)
    logs.clear()
    logs.rule("user_actions", 30)
    logs.rule("data_changes", 30, of)
    logs.add("audit_logs", old, subscription_id=of, resource_id=gone["resource_id"].upper())
    logs.add("audit_logs", old, subscription_id=of, workspace_id=tenant.job_id)
    logs.add("audit_logs", old, subscription_id=of, user_id=user, number=2)
    logs.add("audit_logs", old, subscription_id=of, number=3)
    logs.add("data_change_history", old, subscription_id=of, record_id=gone["resource_id"])
    logs.add("data_change_history", old, subscription_id=of, changed_by=user, number=2)
    logs.add("data_change_history", old, subscription_id=None)
    place(tenant, **on(job))
    assert logs.run()["rows_by_log"]["audit_logs"] == 5
    assert (logs.count("audit_logs", subscription_id=of), logs.count("data_change_history")) == (2, 2)
    logs.rule("user_actions", None)


def test_a_hold_on_a_user_keeps_what_was_posted_about_this_user_and_by_this_key(
    logs: Logs, tenant: Tenant
) -> None:
    of, old, user = tenant.subscription_id, days_ago(logs, 4000), tenant.ana.user_id
    logs.clear()
    for level in ("user_actions", "data_changes", "server"):
        logs.rule(level, 30, of)
    logs.add("audit_logs", old, subscription_id=of, actor_id=user.upper())
    logs.add("data_change_history", old, subscription_id=of, changed_by=user)
    logs.add("data_change_history", old, subscription_id=of, recorded_by=user)
    logs.add("server_logs", old, subscription_id=of, actor_id=user)
    kept = {"audit_logs": 1, "data_change_history": 2, "server_logs": 1}
    for log in kept:
        logs.add(log, old, subscription_id=of)
    place(tenant, user_id=user)
    logs.run()
    assert {log: logs.count(log, subscription_id=of) for log in kept} == kept


def test_a_plan_has_rows_bytes_chunks_and_what_is_left(logs: Logs, tenant: Tenant) -> None:
    of, kept = tenant.subscription_id, days_ago(logs, 5)
    logs.rule("server", 10, of)
    logs.add("server_logs", days_ago(logs, 100), subscription_id=of, number=3)
    logs.add("server_logs", days_ago(logs, 20), subscription_id=of, number=2)
    logs.add("server_logs", kept, subscription_id=of)
    logs.add("server_logs", days_ago(logs, 20), subscription_id=None)
    shown = logs.plan().shown()
    [rows, chunks] = shown["parts"]
    assert (rows["level"], rows["rows"], rows["oldest_kept"], rows["bytes"]) == ("server", 2, kept, None)
    assert (chunks["what"], chunks["rows"], chunks["chunks"]) == ("server_logs", 3, 1)
    assert (str(rows["subscription_id"]), chunks["subscription_id"]) == (of, None)
    assert shown["bytes"] > 0
    assert logs.plan().digest == logs.plan().digest
