"""The data change history beyond versions: users, keys, the policy and the subscription, and reasons."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonpatch
import pytest

from tests.support.api import Json, Tenant, ok, pointers, refused


def history(tenant: Tenant, table: str, record_id: str) -> list[Json]:
    """Read the data changes of a record, in the order of their numbers."""
    rows = tenant.server.database.rows(
        "SELECT to_jsonb(h) FROM data_change_history h WHERE subscription_id = %s AND table_name = %s"
        " AND record_id = %s ORDER BY version_number",
        tenant.subscription_id,
        table,
        record_id,
    )
    return [row for (row,) in rows]


def check_chain(rows: list[Json]) -> None:
    """Check that data changes are numbered from 1 on, and that each diff leads from one state to the next."""
    assert [row["version_number"] for row in rows] == list(range(1, len(rows) + 1))
    before: Any = None
    for row in rows:
        assert row["old_data"] == before
        kinds = {(True, False): "INSERT", (False, False): "UPDATE", (False, True): "DELETE"}
        assert row["change_type"] == kinds[before is None, row["new_data"] is None]
        if row["new_data"] is not None:
            assert jsonpatch.JsonPatch(row["diff"]).apply(before) == row["new_data"]
        before = row["new_data"]


def test_a_users_life_is_numbered(tenant: Tenant) -> None:
    zed = tenant.user("zed", "viewer")
    path = f"{tenant.path}/users/{zed.user_id}"
    for role in ("editor", "auditor", "auditor"):
        ok(tenant.ana.patch(path, {"role": role}))
    ok(tenant.ana.delete(path, headers={"x-change-reason": "left the company"}), 204)
    rows = history(tenant, "users", zed.user_id)
    # Only the last one has the number of check-outs that ended with it.
    rows[-1]["old_data"].pop("check_outs")
    check_chain(rows)
    assert [row["change_type"] for row in rows] == ["INSERT", "UPDATE", "UPDATE", "DELETE"]
    assert rows[1]["diff"] == [{"op": "replace", "path": "/role", "value": "editor"}]
    assert rows[-1]["change_reason"] == "left the company"
    assert (rows[0]["changed_by"], rows[-1]["changed_by"]) == (None, tenant.ana.user_id)
    assert {row["record_name"] for row in rows} == {"zed"}
    assert "example.org" not in str(rows)


def test_an_address_that_changes_is_a_change_that_does_not_tell_it(tenant: Tenant) -> None:
    zed = tenant.user("zed", "viewer")
    ok(tenant.ana.patch(f"{tenant.path}/users/{zed.user_id}", {"email": "new@example.org"}))
    [_, row] = history(tenant, "users", zed.user_id)
    assert row["new_data"]["email_changed"] is True
    assert "example.org" not in str(row)


def test_a_keys_life_is_an_insert_and_a_delete(tenant: Tenant) -> None:
    made = ok(
        tenant.ana.post(f"{tenant.path}/api-keys", {"user_id": tenant.ben.user_id, "name": "laptop"}), 201
    )
    ok(tenant.ana.delete(f"{tenant.path}/api-keys/{made['key_id']}"), 204)
    rows = history(tenant, "api_keys", made["key_id"])
    check_chain(rows)
    assert len(rows) == 2
    assert made["api_key"] not in str(rows)


def test_the_keys_of_a_user_that_is_deleted_end_with_it(tenant: Tenant) -> None:
    made = ok(
        tenant.ana.post(f"{tenant.path}/api-keys", {"user_id": tenant.ben.user_id, "name": "laptop"}), 201
    )
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    assert [row["change_type"] for row in history(tenant, "api_keys", made["key_id"])] == ["INSERT", "DELETE"]


def test_a_subscriptions_settings_are_changes(tenant: Tenant) -> None:
    ok(tenant.ana.patch(tenant.path, {"require_if_match": True}))
    ok(tenant.ana.patch(tenant.path, {"require_if_match": True}))
    rows = history(tenant, "subscriptions", tenant.subscription_id)
    check_chain(rows)
    assert len(rows) == 2


def test_changes_at_once_are_numbered_without_gaps(tenant: Tenant) -> None:
    zed = tenant.user("zed", "viewer")
    path = f"{tenant.path}/users/{zed.user_id}"
    roles = ["editor", "viewer", "auditor", "admin"] * 10

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda role: ok(tenant.ana.patch(path, {"role": role})), roles))
    rows = history(tenant, "users", zed.user_id)
    check_chain(rows)
    assert len(rows) > 4
    times = [row["changed_at"] for row in rows]
    assert times == sorted(times)


def test_the_header_says_why_where_the_body_does_not(tenant: Tenant) -> None:
    why = {"x-change-reason": "żółw: ticket 7".encode()}
    made = ok(tenant.ana.post(f"{tenant.path}/workspaces", {"name": "w"}, headers=why), 201)
    at = f"{tenant.path}/workspaces/{made['resource_id']}"
    ok(tenant.ana.post(f"{at}/versions", {"data": {"n": 1}}, headers=why), 201)
    tenant.check_out(made)
    body = {"data": {"n": 2}, "comment": "the body's own"}
    ok(tenant.ana.post(f"{at}/check-in", body, headers=why), 201)
    rows = history(tenant, "workspaces", made["resource_id"])
    assert [row["change_reason"] for row in rows] == ["żółw: ticket 7", "żółw: ticket 7", "the body's own"]


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
def test_a_reason_that_is_too_long_is_refused(tenant: Tenant, method: str) -> None:
    zed = tenant.user("zed", "viewer")
    path = f"{tenant.path}/users" + ("" if method == "POST" else f"/{zed.user_id}")
    body = None if method == "DELETE" else {"role": "editor"}
    response = tenant.ana.request(method, path, body, headers={"x-change-reason": "x" * 1001})
    assert pointers(refused(response, 422, "invalid")) == ["X-Change-Reason"]
    assert len(history(tenant, "users", zed.user_id)) == 1


def test_every_row_names_its_request(tenant: Tenant) -> None:
    made = tenant.make("jobs")
    ok(
        tenant.ana.post(
            f"{tenant.at(made)}/versions", {"data": {"n": 1}}, headers={"x-request-id": "the-request"}
        ),
        201,
    )
    assert history(tenant, "jobs", made["resource_id"])[-1]["request_id"] == "the-request"
