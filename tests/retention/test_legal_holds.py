"""Legal holds: placed, listed, released, and a bar to deletions for good."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import UNKNOWN, Json, Tenant, ok, pointers, refused
from tests.support.deletion_requests import ask, done
from tests.support.events import events
from tests.support.legal_holds import on, place, release


def purge(tenant: Tenant, resource: Json) -> Any:
    return tenant.ana.delete(tenant.at(resource), params={"permanent": True})


def later(tenant: Tenant, **by: float) -> str:
    return (tenant.server.clock() + timedelta(**by)).isoformat()


def test_a_hold_says_who_why_and_until_when_and_stays_when_it_is_released(tenant: Tenant) -> None:
    workflow, until = tenant.workflow(), later(tenant, days=1)
    first = place(tenant, **on(workflow), until=until)
    assert (first["state"], first["placed_by"], first["reason"]) == ("active", "ana", "case 12")
    second = place(tenant, user_id=tenant.ben.user_id)
    done = release(tenant, second)
    assert (done["state"], done["released_by"], done["release_reason"]) == ("released", "ana", "over")
    path = f"{tenant.path}/holds/{second['hold_id']}"
    refused(tenant.ana.post(f"{path}/release", {"reason": "again"}), 409, "hold_released")
    assert ok(tenant.aud.get(path)) == done
    assert tenant.server.operator.pages(f"{tenant.path}/holds", limit=1) == [done, first]
    with tenant.server.clock.moved(days=2):
        assert ok(tenant.ana.get(f"{tenant.path}/holds/{first['hold_id']}"))["state"] == "lapsed"
    [refusal, ended, *placed] = events(tenant, resource_type="legal_hold")
    assert (refusal["status"], refusal["resource_id"]) == ("failed", second["hold_id"])
    assert (ended["action"], ended["resource_id"], ended["username"]) == ("UPDATE", second["hold_id"], "ana")
    assert ended["new_values"]["release_reason"] == "over"
    assert [event["action"] for event in placed] == ["CREATE", "CREATE"]
    assert placed[1]["new_values"]["until"] == first["until"]
    [change, *_] = tenant.aud.pages(f"{tenant.path}/change-history", table_name="legal_holds")
    assert (change["change_type"], change["version_number"]) == ("UPDATE", 2)


def test_a_retry_places_no_second_hold(tenant: Tenant) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    answers = [
        ok(tenant.server.operator.post(f"{tenant.path}/holds", {"reason": "x"}, headers=key), 201)
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert tenant.aud.pages(f"{tenant.path}/holds") == answers[:1]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"reason": " "}, "/reason"),
        ({}, "/reason"),
        ({"reason": "x", "user_id": UNKNOWN}, "/user_id"),
        ({"reason": "x", "resource_type": "job", "resource_id": UNKNOWN}, "/resource_id"),
        ({"reason": "x", "resource_type": "cat", "resource_id": UNKNOWN}, "/resource_type"),
        ({"reason": "x", "resource_id": UNKNOWN}, ""),
        ({"reason": "x", "resource_type": "job", "resource_id": UNKNOWN, "user_id": UNKNOWN}, ""),
        ({"reason": "x", "until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"reason": "x", "until": "9999-12-31T23:59:59-10:00"}, "/until"),
        ({"reason": "x", "until": 2030}, "/until"),
    ],
)
def test_a_hold_that_is_none_is_refused(shared: Tenant, body: Json, pointer: str) -> None:
    problem = refused(shared.ana.post(f"{shared.path}/holds", body), 422, "invalid")
    assert pointers(problem) == [pointer]


def test_who_may_see_and_place_them(shared: Tenant, stranger: Tenant) -> None:
    path = f"{shared.path}/holds"
    for name in ("ben", "vera"):
        refused(shared.caller(name).get(path), 403, "forbidden")
    for name in ("ben", "vera", "aud"):
        refused(shared.caller(name).post(path, {"x": 1}), 403, "forbidden")
    refused(stranger.ana.get(path), 404, "subscription_not_found")
    refused(shared.ana.get(f"{path}/{UNKNOWN}"), 404, "hold_not_found")
    refused(shared.ana.post(f"{path}/{UNKNOWN}/release", {"reason": "x"}), 404, "hold_not_found")


def test_what_a_hold_is_on_lies_above_or_lies_below_is_not_deleted_for_good(tenant: Tenant) -> None:
    workflow, beside = tenant.workflow(), tenant.workflow()
    folder = ok(tenant.ana.get(f"{tenant.path}/folders/{tenant.folder_id}"))
    job = ok(tenant.ana.get(f"{tenant.path}/jobs/{tenant.job_id}"))
    workspace = ok(tenant.ana.get(f"{tenant.path}/workspaces/{tenant.workspace_id}"))
    tenant.remove(workspace)
    for subject, kept, free in (
        (workflow, [workflow, job, folder, workspace], [beside]),
        (folder, [workflow, job, folder, workspace], []),
        (workspace, [workflow, workspace], []),
    ):
        hold = place(tenant, **on(subject))
        for each in kept:
            problem = refused(purge(tenant, each), 409, "held")
            assert (problem["hold_id"], problem["reason"]) == (hold["hold_id"], "case 12")
        for each in free:
            ok(purge(tenant, each))
        release(tenant, hold)
    # A hold ends at its `until`.
    place(tenant, **on(job), until=later(tenant, hours=1))
    refused(purge(tenant, workflow), 409, "held")
    with tenant.server.clock.moved(hours=2):
        ok(purge(tenant, workspace))
    # A resource that was deleted for good may be held as well, for its rows of logs.
    assert place(tenant, **on(workflow))["state"] == "active"
    [tried, *_] = [e for e in events(tenant, action="DELETE") if e["status"] == "failed"]
    assert "legal hold" in tried["error_message"]


def test_a_hold_on_a_user_or_on_all_keeps_what_they_made_or_deleted(tenant: Tenant) -> None:
    made, deleted, neither = (tenant.workflow() for _ in range(3))
    made = tenant.make("workflows", tenant.ben)
    for each, by in ((made, tenant.ana), (deleted, tenant.ben), (neither, tenant.ana)):
        tenant.remove(each, by)
    hold = place(tenant, user_id=tenant.ben.user_id)
    refused(purge(tenant, made), 409, "held")
    refused(purge(tenant, deleted), 409, "held")
    ok(purge(tenant, neither))
    release(tenant, hold)
    hold = place(tenant)
    refused(purge(tenant, made), 409, "held")
    release(tenant, hold)
    ok(purge(tenant, made))


def test_a_request_in_sql_is_kept_from_it_too(tenant: Tenant) -> None:
    workspace = ok(tenant.ana.get(f"{tenant.path}/workspaces/{tenant.workspace_id}"))
    tenant.remove(workspace)
    hold = place(tenant)
    request = done(tenant.server.database, ask(tenant, workspace, softly=False))
    assert request["problem"].startswith(f"held: The legal hold {hold['hold_id']} of ana")
