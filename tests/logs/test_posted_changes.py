"""Changes in a platform's own tables, which it posts: numbers without gaps, diffs, filters, faults."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.events import DATA_CHANGE as CHANGE
from tests.support.streams import check_lines

OWN = ("workflows", "workflow", "Workflows", "WORKFLOW", "api_key", "legal_holds", "audit_policy", "Users")


def post(tenant: Tenant, body: object, **headers: str) -> Json:
    """Post changes, and return the answer to their acceptance."""
    return ok(tenant.ben.post(f"{tenant.path}/change-history", body, headers=headers), 201)


def posted(tenant: Tenant, **query: Any) -> list[Json]:
    """Read posted changes as an auditor."""
    return tenant.aud.pages(f"{tenant.path}/change-history", origin="posted", **query)


def numbers(rows: Sequence[Json]) -> list[int]:
    """Return the numbers of changes in ascending order."""
    return sorted(row["version_number"] for row in rows)


def test_every_field_comes_back_with_the_diff(tenant: Tenant) -> None:
    at = datetime.now(UTC) - timedelta(days=3)
    sent = {
        "table_name": "Orders ü",
        "record_id": "order/7",
        "record_name": "Order of seven",
        "change_type": "UPDATE",
        "old_data": {"a": {"n": 1, "gone": None}},
        "new_data": {"a": {"n": 2}},
        "changed_by": "mira@shop",
        "change_reason": "because\nof that",
        "occurred_at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "source": "shop",
    }
    answer = post(tenant, sent, **{"x-request-id": "the-post"})
    [found] = posted(tenant)
    assert answer == {"accepted": 1, "ids": [found["change_id"]]}
    expected = {
        "origin": "posted",
        "recorded_by": tenant.ben.user_id,
        "request_id": "the-post",
        "version_number": 1,
        "is_current_version": True,
    }
    operations = {(each["op"], each["path"], each.get("value")) for each in found["diff"]}
    assert operations == {("remove", "/a/gone", None), ("replace", "/a/n", 2)}
    assert found == found | sent | expected
    assert datetime.now(UTC) - datetime.fromisoformat(found["changed_at"]) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("states", "kind", "diff"),
    [
        ({"new_data": {}}, "INSERT", [{"op": "add", "path": "", "value": {}}]),
        ({"old_data": {"n": 1}}, "DELETE", [{"op": "remove", "path": ""}]),
        ({"old_data": {}, "new_data": {}}, "UPDATE", []),
        ({"change_type": "UPDATE", "new_data": {"n": 1}}, "UPDATE", None),
        ({"change_type": "DELETE"}, "DELETE", None),
    ],
)
def test_the_type_of_a_change_follows_from_its_states(
    tenant: Tenant, states: Json, kind: str, diff: object
) -> None:
    post(tenant, {"table_name": "orders", "record_id": "7"} | states)
    [found] = posted(tenant)
    assert (found["change_type"], found["diff"]) == (kind, diff)


def test_the_changes_of_each_record_are_numbered_by_themselves(tenant: Tenant, stranger: Tenant) -> None:
    post(tenant, [CHANGE, CHANGE | {"record_id": "8"}, CHANGE | {"table_name": "items"}, CHANGE])
    post(tenant, CHANGE)
    post(stranger, [CHANGE] * 5)
    seven = posted(tenant, table_name="orders", record_id="7")
    assert [row["version_number"] for row in seven] == [3, 2, 1]
    assert [row["is_current_version"] for row in seven] == [True, False, False]
    assert numbers(posted(tenant, record_id="8")) == [1]
    assert numbers(posted(tenant, table_name="items")) == [1]
    assert numbers(posted(stranger)) == [1, 2, 3, 4, 5]


def test_batches_in_any_order_number_without_gaps_and_without_a_deadlock(tenant: Tenant) -> None:
    records = [f"r{n}" for n in range(20)]
    batches = [records, records[::-1], records[10:] + records[:10]] * 6

    def send(order: list[str]) -> None:
        post(tenant, [CHANGE | {"record_id": record} for record in order])

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(send, batches))
    rows = posted(tenant, limit=200)
    for record in records:
        own = [row for row in rows if row["record_id"] == record]
        assert numbers(own) == list(range(1, len(batches) + 1))
        assert [row["version_number"] for row in own if row["is_current_version"]] == [len(batches)]


def test_a_batch_that_is_refused_takes_no_number(tenant: Tenant) -> None:
    late = CHANGE | {"occurred_at": "2019-01-01T00:00:00Z"}
    refused(tenant.ben.post(f"{tenant.path}/change-history", [CHANGE, late]), 422, "invalid")
    post(tenant, CHANGE)
    assert numbers(posted(tenant)) == [1]


def test_posted_changes_are_found_by_each_of_their_fields(tenant: Tenant) -> None:
    record = str(uuid4())
    other = {"table_name": "Items", "record_id": record, "changed_by": tenant.ben.user_id, "source": "stock"}
    post(tenant, [CHANGE | {"changed_by": "kim", "source": "shop"}, CHANGE | other])
    ok(tenant.ana.post(f"{tenant.path}/change-history", CHANGE | {"record_id": "9"}), 201)
    for name, value in other.items():
        assert [row["record_id"] for row in posted(tenant, **{name: value})] == [record], name
    assert [row["record_id"] for row in posted(tenant, record_id=record.upper())] == [record]
    assert [row["record_id"] for row in posted(tenant, changed_by="ben")] == [record]
    assert [row["record_id"] for row in posted(tenant, changed_by="kim")] == ["7"]
    assert [row["record_id"] for row in posted(tenant, recorded_by="ana")] == ["9"]


def test_the_own_changes_of_annals_are_told_apart(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    post(tenant, CHANGE | {"record_id": workflow["resource_id"]})
    path = f"{tenant.path}/change-history"
    rows = tenant.aud.pages(path, record_id=workflow["resource_id"], expand="data")
    assert [(row["table_name"], row["origin"], row["version_number"]) for row in rows] == [
        ("orders", "posted", 1),
        ("workflows", "annals", 1),
    ]
    assert [row["is_current_version"] for row in rows] == [True, True]
    assert [row["absent"] for row in rows] == ["not_versioned", None]
    assert {row["origin"] for row in tenant.aud.pages(path, origin="annals")} == {"annals"}


def test_a_state_that_names_a_version_brings_no_document(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    [own] = tenant.aud.pages(f"{tenant.path}/change-history", record_id=workflow["resource_id"])
    state = {"version_id": own["new_data"]["version_id"]}
    post(tenant, CHANGE | {"record_id": workflow["resource_id"], "new_data": state})
    assert posted(tenant, expand="data")[0]["absent"] == "not_versioned"


def test_a_secret_that_changed_is_told_but_not_shown(tenant: Tenant) -> None:
    old, new = {"password": "hunter22"}, {"password": "swordfish"}
    post(tenant, CHANGE | {"old_data": old, "new_data": new, "change_reason": "Bearer abcdef0123456789abcd"})
    [found] = posted(tenant)
    assert [operation["path"] for operation in found["diff"]] == ["/password"]
    for secret in ("hunter22", "swordfish", "abcdef0123456789"):
        assert secret not in repr(found)


def test_large_states_are_cut(tenant: Tenant) -> None:
    post(tenant, CHANGE | {"new_data": {"rows": ["word"] * 50_000}})
    [found] = posted(tenant)
    assert found["new_data"]["truncated"] is True
    assert found["diff"]["truncated"] is True


@pytest.mark.parametrize("name", OWN)
def test_a_table_of_annals_is_refused(tenant: Tenant, name: str) -> None:
    answer = tenant.ben.post(f"{tenant.path}/change-history", CHANGE | {"table_name": name})
    assert pointers(refused(answer, 422, "invalid")) == ["/table_name"]
    assert posted(tenant) == []


BAD: list[tuple[Json, str]] = [
    ({"table_name": ""}, "/table_name"),
    ({"table_name": "x" * 101}, "/table_name"),
    ({"record_id": None}, "/record_id"),
    ({"record_id": 7}, "/record_id"),
    ({"record_id": "x" * 256}, "/record_id"),
    ({"record_name": "x" * 501}, "/record_name"),
    ({"change_type": "UPSERT"}, "/change_type"),
    ({"change_type": "INSERT", "old_data": {}}, "/change_type"),
    ({"change_type": "DELETE"}, "/change_type"),
    ({"new_data": None}, "/change_type"),
    ({"new_data": []}, "/new_data"),
    ({"old_data": "x"}, "/old_data"),
    ({"changed_by": "x" * 256}, "/changed_by"),
    ({"source": ""}, "/source"),
    ({"version_number": 3}, "/version_number"),
    ({"diff": []}, "/diff"),
    ({"occurred_at": 7}, "/occurred_at"),
]


@pytest.mark.parametrize(("change", "pointer"), BAD)
def test_a_bad_field_is_named(shared: Tenant, change: Json, pointer: str) -> None:
    answer = shared.ben.post(f"{shared.path}/change-history", [CHANGE, CHANGE | change])
    assert pointers(refused(answer, 422, "invalid")) == [f"/1{pointer}"]


def test_a_post_is_stored_once_with_its_key(tenant: Tenant) -> None:
    key = {"idempotency-key": "once"}
    assert post(tenant, [CHANGE] * 3, **key) == post(tenant, [CHANGE] * 3, **key) == {"accepted": 3}
    assert numbers(posted(tenant)) == [1, 2, 3]
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", resource_type="change_history", action="RECORD")
    assert event["new_values"] == {"accepted": 3}


def test_lines_are_stored_and_a_bad_one_is_named(tenant: Tenant) -> None:
    check_lines(tenant, "change-history", [CHANGE, CHANGE], lambda: posted(tenant))
