"""Deletions in a platform's own systems, which it posts: shown, found, and never restored."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import COLLECTIONS, Json, Tenant, ok, pointers, refused
from tests.support.events import DELETION
from tests.support.histories import check_history
from tests.support.reconciled import told, verify
from tests.support.streams import check_lines


def post(tenant: Tenant, body: object, **headers: str) -> Json:
    """Post deletions, and return the answer to their acceptance."""
    return ok(tenant.ben.post(f"{tenant.path}/deletions", body, headers=headers), 201)


def posted(tenant: Tenant, **query: Any) -> list[Json]:
    """Read posted deletions as a viewer."""
    return tenant.vera.pages(f"{tenant.path}/deletions", origin="posted", **query)


def one(tenant: Tenant, answer: Json, by: str = "ana") -> Json:
    """Read the deletion that was posted alone, with its data."""
    caller = tenant.ana if by == "ana" else tenant.vera
    return ok(caller.get(f"{tenant.path}/deletions/{answer['ids'][0]}"))


def test_every_parameter_comes_back_as_it_was_sent(tenant: Tenant) -> None:
    at = datetime.now(UTC) - timedelta(days=2)
    counts = {name: number for number, name in enumerate(COLLECTIONS)}
    sent = {
        "resource_type": "Dashboard",
        "resource_id": "d/7",
        "resource_name": "Sales é",
        "resource_data": {"title": "Sales", "tiles": [1, None]},
        "deleted_by": "mira@shop",
        "parent_resource_type": "space",
        "parent_resource_id": "s-1",
        "cascade_level": 2,
        "deletion_reason": "tidying\nup",
        "is_soft_delete": True,
        "occurred_at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "source": "shop",
    }
    more = {"cascaded_counts": counts, "restore_expiry_days": 10}
    answer = post(tenant, sent | more, **{"x-request-id": "the-post"})
    found = one(tenant, answer)
    expected = {
        "deletion_id": answer["ids"][0],
        "origin": "posted",
        "counts": counts,
        "can_be_restored": False,
        "restore_expiry_at": (at + timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "recorded_by": tenant.ben.user_id,
        "request_id": "the-post",
        "deleted_by_username": None,
        "root_deletion_id": None,
        "git_commit_hash": None,
        "purged_at": None,
    }
    assert found == found | sent | expected
    assert datetime.now(UTC) - datetime.fromisoformat(found["deleted_at"]) < timedelta(minutes=1)
    del found["resource_data"]
    assert posted(tenant) == [found]


def test_what_is_left_out_has_the_specified_default(tenant: Tenant) -> None:
    found = one(tenant, post(tenant, DELETION))
    assert (found["cascade_level"], found["is_soft_delete"], found["restore_expiry_at"]) == (0, False, None)
    assert set(found["counts"].values()) == {0}
    assert found["resource_data"] is None
    assert found["occurred_at"] == found["deleted_at"]


def test_posted_deletions_are_found_by_each_of_their_fields(tenant: Tenant) -> None:
    person = tenant.ben.user_id
    other = {"resource_type": "space", "resource_id": str(uuid4()), "parent_resource_id": "up",
        "deleted_by": person, "source": "shop", "cascade_level": 1}  # fmt: skip
    post(tenant, [DELETION | {"deleted_by": "kim"}, DELETION | other])
    ok(tenant.ana.post(f"{tenant.path}/deletions", DELETION | {"resource_id": "d-9"}), 201)
    for name, value in other.items():
        assert [row["resource_id"] for row in posted(tenant, **{name: value})] == [other["resource_id"]], name
    assert [row["resource_id"] for row in posted(tenant, deleted_by="ben")] == [other["resource_id"]]
    assert [row["resource_id"] for row in posted(tenant, deleted_by="kim")] == ["d-7"]
    assert [row["resource_id"] for row in posted(tenant, recorded_by="ana")] == ["d-9"]
    assert posted(tenant, restorable=True) == []
    assert len(posted(tenant, restorable=False, limit=1)) == 3


def test_deletions_are_listed_by_their_own_times_too(tenant: Tenant) -> None:
    now = datetime.now(UTC)
    times = {n: (now - timedelta(days=n)).strftime("%Y-%m-%dT%H:%M:%SZ") for n in (3, 1, 2)}
    post(tenant, [DELETION | {"resource_id": f"d-{n}", "occurred_at": at} for n, at in times.items()])
    own = tenant.remove(tenant.workflow())
    path = f"{tenant.path}/deletions"
    listed = tenant.vera.pages(path, time="occurred_at", limit=1)
    assert [row["resource_id"] for row in listed] == [own["resource_id"], "d-1", "d-2", "d-3"]
    between = tenant.vera.pages(path, time="occurred_at", since=times[2], until=times[1])
    assert [row["resource_id"] for row in between] == ["d-1", "d-2"]
    assert tenant.vera.pages(path, until=times[1]) == []


def test_the_own_deletions_of_annals_are_told_apart(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    own = tenant.remove(workflow)
    post(tenant, {"resource_type": "Workflows", "resource_id": workflow["resource_id"]})
    of_resource = tenant.vera.pages(f"{tenant.path}/deletions", resource_id=workflow["resource_id"])
    assert [row["origin"] for row in of_resource] == ["posted", "annals"]
    assert [row["deletion_id"] for row in of_resource][1:] == [own["deletion_id"]]
    assert [row["origin"] for row in tenant.vera.pages(f"{tenant.path}/deletions", origin="annals")] == [
        "annals"
    ]
    assert own["origin"] == "annals"
    of_type = tenant.vera.pages(f"{tenant.path}/deletions", resource_type="workflow")
    assert [row["origin"] for row in of_type] == ["annals"]


def test_nobody_restores_what_another_system_deleted(tenant: Tenant) -> None:
    answer = post(tenant, DELETION | {"is_soft_delete": True})
    path = f"{tenant.path}/deletions/{answer['ids'][0]}/restore"
    for body in ({}, {"dry_run": True}):
        refused(tenant.ana.post(path, body), 410, "deletion_posted")


def test_a_posted_deletion_of_a_resource_s_id_changes_nothing_of_the_resource(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    said = {"resource_type": "workflow", "resource_id": workflow["resource_id"], "is_soft_delete": True}
    post(tenant, said)
    assert ok(tenant.vera.get(tenant.at(workflow)))["deleted_at"] is None
    deletion = tenant.remove(workflow)
    tenant.restore(deletion)
    tenant.remove(workflow)
    ok(tenant.ana.delete(tenant.at(workflow), params={"permanent": True}))
    [found] = posted(tenant)
    assert (found["purged_at"], found["restored_at"]) == (None, None)
    assert told(verify(tenant)) == []
    check_history(tenant)


def test_a_posted_deletion_for_good_closes_no_clone(tenant: Tenant, tmp_path: Path) -> None:
    tenant.workflow()
    post(tenant, DELETION)
    assert (tenant.clone(tmp_path / "clone", tenant.vera) / "workflows").is_dir()


def test_the_data_of_a_permanent_deletion_is_for_admins(tenant: Tenant) -> None:
    hard = post(tenant, DELETION | {"resource_data": {"n": 1}})
    soft = post(tenant, DELETION | {"resource_data": {"n": 2}, "is_soft_delete": True})
    assert [one(tenant, each, by="vera")["resource_data"] for each in (hard, soft)] == [None, {"n": 2}]
    assert one(tenant, hard)["resource_data"] == {"n": 1}


def test_secrets_in_the_data_are_masked_and_large_data_is_cut(tenant: Tenant) -> None:
    masked = one(tenant, post(tenant, DELETION | {"resource_data": {"password": "hunter22", "n": 1}}))
    assert "hunter22" not in repr(masked)
    assert masked["resource_data"]["n"] == 1
    large = one(tenant, post(tenant, DELETION | {"resource_data": {"rows": ["word"] * 50_000}}))
    assert large["resource_data"]["truncated"] is True


BAD: list[tuple[Json, str]] = [
    ({"resource_type": None}, "/resource_type"),
    ({"resource_type": "x" * 51}, "/resource_type"),
    ({"resource_id": ""}, "/resource_id"),
    ({"resource_id": "x" * 256}, "/resource_id"),
    ({"resource_name": "x" * 501}, "/resource_name"),
    ({"resource_data": "x"}, "/resource_data"),
    ({"cascade_level": -1}, "/cascade_level"),
    ({"cascade_level": 2**31}, "/cascade_level"),
    ({"cascaded_counts": {"workflows": -1}}, "/cascaded_counts/workflows"),
    ({"cascaded_counts": {"dashboards": 1}}, "/cascaded_counts/dashboards"),
    ({"is_soft_delete": "yes"}, "/is_soft_delete"),
    ({"restore_expiry_days": -1}, "/restore_expiry_days"),
    ({"restore_expiry_days": 36_501}, "/restore_expiry_days"),
    ({"can_be_restored": True}, "/can_be_restored"),
    ({"occurred_at": "2000-01-01T00:00:00Z"}, "/occurred_at"),
]


@pytest.mark.parametrize(("change", "pointer"), BAD)
def test_a_bad_field_is_named_and_nothing_is_stored(tenant: Tenant, change: Json, pointer: str) -> None:
    answer = tenant.ben.post(f"{tenant.path}/deletions", [DELETION, DELETION | change])
    assert pointers(refused(answer, 422, "invalid")) == [f"/1{pointer}"]
    assert posted(tenant) == []


def test_a_post_is_stored_once_with_its_key(tenant: Tenant) -> None:
    key = {"idempotency-key": "once"}
    assert post(tenant, [DELETION] * 2, **key) == post(tenant, [DELETION] * 2, **key) == {"accepted": 2}
    assert len(posted(tenant)) == 2
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", resource_type="deletion", action="RECORD")
    assert event["new_values"] == {"accepted": 2}


def test_lines_are_stored_and_a_bad_one_is_named(tenant: Tenant) -> None:
    check_lines(tenant, "deletions", [DELETION, DELETION], lambda: posted(tenant))
