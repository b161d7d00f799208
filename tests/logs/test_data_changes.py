"""The data change history: each version leaves exactly one row, with the diff that leads to it."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import jsonpatch
import pytest

from sql.queries.data_changes import NewDataChange
from tests.support.api import COLLECTIONS, Json, Tenant, ok
from tests.support.bulk_check_ins import item
from tests.support.changes import author, check_in, save, submit
from tests.support.seeded_documents import ODD

COLUMNS = tuple(NewDataChange.__dataclass_fields__)


def changes(tenant: Tenant) -> list[Json]:
    """Read every row of a subscription's resources, in the order of the commits."""
    rows = tenant.server.database.rows(
        "SELECT to_jsonb(h) || jsonb_build_object('changed_at', h.changed_at = v.created_at,"
        " 'commit', v.git_commit_hash)"
        " FROM data_change_history h LEFT JOIN versions v ON v.resource_id::text = h.record_id"
        "  AND v.version_number = h.version_number AND v.subscription_id = h.subscription_id"
        " WHERE h.subscription_id = %s AND h.table_name = ANY(%s) ORDER BY v.commit_number, h.change_id",
        tenant.subscription_id,
        list(COLLECTIONS),
    )
    return [row[0] for row in rows]


def numbers_as_floats(value: Any) -> Any:
    """Convert the numbers of a JSON value as JSONB compares them, by value and not by spelling."""
    return json.loads(json.dumps(value), parse_int=float)


def snapshot(tenant: Tenant, version_id: str) -> Any:
    """Read the document of a version, out of git."""
    blob = tenant.server.database.value("SELECT git_blob_id FROM versions WHERE version_id = %s", version_id)
    return json.loads(tenant.git("cat-file", "blob", blob))


def check_complete(tenant: Tenant) -> None:
    """Check that each version has one row, complete and with a diff that leads to it, and no other row."""
    found = changes(tenant)
    versions = tenant.server.database.rows(
        "SELECT resource_type || 's', resource_id::text, version_number FROM versions"
        " WHERE subscription_id = %s",
        tenant.subscription_id,
    )
    assert sorted((row["table_name"], row["record_id"], row["version_number"]) for row in found) == sorted(
        versions
    )
    assert len({row["change_id"] for row in found}) == len(found)
    for row in found:
        assert set(row) >= set(COLUMNS)
        assert row["changed_at"] is True
        assert row["changed_by"] in {tenant.ana.user_id, tenant.ben.user_id}
        assert row["record_name"]
        check_states(tenant, row)


def check_states(tenant: Tenant, row: Json) -> None:
    new, old = row["new_data"], row["old_data"]
    assert set(new) == {"version_id", "version_number", "version_tag", "git_commit_hash"}
    assert (new["git_commit_hash"], new["version_number"]) == (row["commit"], row["version_number"])
    if row["version_number"] == 1:
        assert (row["change_type"], old) == ("INSERT", None)
        assert row["diff"] == [{"op": "add", "path": "", "value": new}]
        return
    assert row["change_type"] == "UPDATE"
    assert old["version_number"] == row["version_number"] - 1
    before, after = snapshot(tenant, old["version_id"]), snapshot(tenant, new["version_id"])
    assert numbers_as_floats(jsonpatch.JsonPatch(row["diff"]).apply(before)) == numbers_as_floats(after)


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_creation_is_an_insert(tenant: Tenant, collection: str) -> None:
    made = tenant.make(collection, description="first", definition={"n": 1})
    [row] = [row for row in changes(tenant) if row["record_id"] == made["resource_id"]]
    assert (row["table_name"], row["change_type"], row["version_number"]) == (collection, "INSERT", 1)
    assert row["record_name"] == made["name"]
    check_complete(tenant)


def test_a_save_has_the_diff_and_nothing_of_the_body(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1, "same": "x" * 1000})
    tenant.save(workflow, {"n": 2, "same": "x" * 1000}, by=tenant.ben)
    row = changes(tenant)[-1]
    assert row["diff"] == [{"op": "replace", "path": "/definition/n", "value": 2}]
    assert row["changed_by"] == tenant.ben.user_id
    assert row["change_reason"] is None
    assert "same" not in json.dumps(row)
    check_complete(tenant)


def test_a_check_in_says_why(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.check_out(workflow, tenant.ben)
    tenant.check_in(workflow, tenant.ben, data={"n": 2, "m": 3}, comment="because é")
    row = changes(tenant)[-1]
    assert row["change_reason"] == "because é"
    assert sorted(operation["path"] for operation in row["diff"]) == ["/definition/m", "/definition/n"]
    check_complete(tenant)


def test_a_rollback_is_a_change_back(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1}, description="one")
    tenant.save(workflow, {"n": 2})
    ok(tenant.ana.post(f"{tenant.at(workflow)}/rollback", {"to": 1, "comment": "oops"}), 201)
    row = changes(tenant)[-1]
    assert (row["version_number"], row["change_reason"]) == (3, "oops")
    assert row["diff"] == [{"op": "replace", "path": "/definition/n", "value": 1}]
    check_complete(tenant)


def test_a_bulk_check_in_is_a_change_of_each(tenant: Tenant) -> None:
    workflows = [tenant.workflow() for _ in range(5)]
    body = {"items": [item(each, {"n": n}) for n, each in enumerate(workflows)], "comment": "all"}
    ok(tenant.ben.post(f"{tenant.path}/check-ins", body), 201)
    rows = changes(tenant)[-5:]
    assert {row["record_id"] for row in rows} == {each["resource_id"] for each in workflows}
    assert [row["change_reason"] for row in rows] == ["all"] * 5
    assert len({row["commit"] for row in rows}) == 1
    check_complete(tenant)


def test_a_rollback_of_many_is_a_change_of_each_that_changed(tenant: Tenant) -> None:
    workflows = [tenant.workflow(definition={"n": 0}) for _ in range(3)]
    past = tenant.main()
    for each in workflows[:2]:
        tenant.save(each, {"n": 1})
    before = len(changes(tenant))
    ok(tenant.ana.post(f"{tenant.path}/rollback", {"to": past, "comment": "back"}), 201)
    rows = changes(tenant)[before:]
    assert {row["record_id"] for row in rows} == {each["resource_id"] for each in workflows[:2]}
    assert [row["change_reason"] for row in rows] == ["back"] * 2
    check_complete(tenant)


def test_changes_of_one_batch_each_have_the_diff_to_the_one_before(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 0})
    tenant.check_out(workflow)
    submit(
        tenant,
        [
            save(tenant, workflow, {"n": 1}),
            save(tenant, workflow, {"n": 1}),
            save(tenant, workflow, {"n": 2, "m": [1, 2, 3]}),
            check_in(tenant, workflow, {"n": 2, "m": [1, 3]}, tenant.ana),
        ],
    )
    diffs = [row["diff"] for row in changes(tenant)[-3:]]
    assert diffs[0] == [{"op": "replace", "path": "/definition/n", "value": 1}]
    assert diffs[2] == [{"op": "remove", "path": "/definition/m/1"}]
    assert author(tenant, tenant.ana).user_id == UUID(changes(tenant)[-1]["changed_by"])
    check_complete(tenant)


def test_odd_values_are_in_the_diff_as_the_database_can_hold_them(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"odd": []})
    tenant.save(workflow, {"odd": list(ODD), "a/b~c": {"": 1}})
    tenant.save(workflow, {"odd": list(reversed(ODD)), "a/b~c": {"": 1.0}})
    check_complete(tenant)


def unchanged(tenant: Tenant, workflow: Json) -> None:
    path = f"{tenant.at(workflow)}/versions"
    assert ok(tenant.ana.post(path, {"data": {"n": 1}, "tag": "v1"}))["unchanged"]


def refused_while_held(tenant: Tenant, workflow: Json) -> None:
    tenant.check_out(workflow, tenant.ben)
    assert tenant.ana.post(f"{tenant.at(workflow)}/versions", {"data": {"n": 5}}).status_code == 423


def stale(tenant: Tenant, workflow: Json) -> None:
    headers = {"if-match": f'"{"0" * 40}"'}
    path = f"{tenant.at(workflow)}/versions"
    assert tenant.ana.post(path, {"data": {"n": 5}}, headers=headers).status_code == 412


def name_taken(tenant: Tenant, workflow: Json) -> None:
    body = {"name": workflow["name"], "job_id": tenant.job_id}
    assert tenant.ana.post(f"{tenant.path}/workflows", body).status_code == 409


def foretold(tenant: Tenant, workflow: Json) -> None:
    body = {"to": "previous", "dry_run": True}
    assert tenant.ana.post(f"{tenant.at(workflow)}/rollback", body).is_success


def published_and_tagged(tenant: Tenant, workflow: Json) -> None:
    tenant.check_out(workflow)
    path = f"{tenant.at(workflow)}/versions/1"
    ok(tenant.ana.put(f"{path}/tag", {"tag": "v0"}))


def retried(tenant: Tenant, workflow: Json) -> None:
    # The first try was before; the second is the one under test.
    headers = {"idempotency-key": "the same"}
    path = f"{tenant.at(workflow)}/versions"
    assert tenant.ana.post(path, {"data": {"n": 1}}, headers=headers).status_code == 201


@pytest.mark.parametrize(
    "call", [unchanged, refused_while_held, stale, name_taken, foretold, published_and_tagged, retried]
)
def test_what_makes_no_version_leaves_no_row(tenant: Tenant, call: Callable[[Tenant, Json], None]) -> None:
    workflow = tenant.workflow(definition={"n": 0})
    headers = {"idempotency-key": "the same"}
    ok(tenant.ana.post(f"{tenant.at(workflow)}/versions", {"data": {"n": 1}}, headers=headers), 201)
    _ = tenant.ben
    before = changes(tenant)
    call(tenant, workflow)
    assert changes(tenant) == before
    check_complete(tenant)


def test_a_bulk_that_is_refused_leaves_no_row_of_any(tenant: Tenant) -> None:
    workflows = [tenant.workflow() for _ in range(3)]
    tenant.check_out(workflows[2], tenant.ben)
    before = changes(tenant)
    body = {"items": [item(each) for each in workflows]}
    assert tenant.ana.post(f"{tenant.path}/check-ins", body).status_code == 423
    assert changes(tenant) == before
