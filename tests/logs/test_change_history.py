"""Reading the data change history: the parts of a row, the current one, filters and pages."""

from itertools import combinations
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Json, Tenant, ok, pointers, refused

FIELDS = {
    *("change_id", "changed_at", "subscription_id", "table_name", "record_id", "record_name", "change_type"),
    *("old_data", "new_data", "diff", "changed_by", "change_reason", "version_number", "is_current_version"),
    *("request_id", "occurred_at", "origin", "source", "recorded_by"),
}


def changed(tenant: Tenant, **query: Any) -> list[Json]:
    """Read data changes as an auditor."""
    return tenant.aud.pages(f"{tenant.path}/change-history", **query)


def test_a_change_says_what_by_whom_why_and_by_which_request(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.check_out(workflow, tenant.ben)
    body = {"data": {"n": 2}, "comment": "because"}
    headers = {"x-request-id": "edit-1"}
    ok(tenant.ben.post(f"{tenant.at(workflow)}/check-in", body, headers=headers), 201)
    found = changed(tenant, record_id=workflow["resource_id"])
    assert [set(change) for change in found] == [FIELDS, FIELDS]
    assert [change["version_number"] for change in found] == [2, 1]
    newest, first = found
    expected = {
        "subscription_id": tenant.subscription_id,
        "table_name": "workflows",
        "record_name": workflow["name"],
        "change_type": "UPDATE",
        "diff": [{"op": "replace", "path": "/definition/n", "value": 2}],
        "changed_by": tenant.ben.user_id,
        "change_reason": "because",
        "request_id": "edit-1",
        "is_current_version": True,
    }
    assert newest | expected == newest
    assert (newest["old_data"]["version_number"], newest["new_data"]["version_number"]) == (1, 2)
    assert (first["change_type"], first["old_data"], first["is_current_version"]) == ("INSERT", None, False)


def test_the_current_version_is_worked_out_when_it_is_read(tenant: Tenant) -> None:
    one, other = tenant.workflow(), tenant.make("connectors")
    assert all(change["is_current_version"] for change in changed(tenant))
    tenant.save(one, {"n": 2})
    tenant.save(one, {"n": 3})
    current = {
        (change["record_id"], change["version_number"]): change["is_current_version"]
        for change in changed(tenant)
    }
    assert [current[one["resource_id"], number] for number in (1, 2, 3)] == [False, False, True]
    assert current[other["resource_id"], 1] is True


def test_a_record_that_is_no_resource_is_numbered_by_itself(tenant: Tenant) -> None:
    record = uuid4()
    with tenant.server.database.connection() as connection:
        connection.execute(
            "INSERT INTO data_change_history (change_id, changed_at, subscription_id, table_name, record_id,"
            " change_type, version_number) SELECT gen_random_uuid(), now() - n * interval '1 year', %s,"
            " 'users', %s, 'UPDATE', 4 - n FROM generate_series(1, 3) n",
            [tenant.subscription_id, record],
        )
        connection.execute(
            "INSERT INTO change_numbers (subscription_id, table_name, record_id, changes)"
            " VALUES (%s, 'users', %s, 3)",
            [tenant.subscription_id, record],
        )
    found = changed(tenant, record_id=str(record), limit=1)
    assert [(change["version_number"], change["is_current_version"]) for change in found] == [
        (3, True),
        (2, False),
        (1, False),
    ]


def test_large_numbers_of_a_document_are_read_as_they_were(tenant: Tenant) -> None:
    values = {"large": 1e308, "big": 2**64 - 1, "tiny": 5e-324, "z": 1e23}
    workflow = tenant.workflow()
    tenant.save(workflow, values)
    newest = changed(tenant, record_id=workflow["resource_id"])[0]
    assert {step["path"]: step["value"] for step in newest["diff"]} == {
        f"/definition/{name}": value for name, value in values.items()
    }


def test_changes_are_narrowed_by_each_filter_and_by_all(tenant: Tenant) -> None:
    one, other = tenant.workflow(), tenant.make("connectors")
    for number in range(3):
        tenant.save(one, {"n": number}, by=tenant.ben)
        tenant.save(other, {"n": number}, by=tenant.ana if number else tenant.ben)
    everything = changed(tenant)
    sample = next(row for row in everything if row["table_name"] == "connectors" and row["changed_by"])
    names = ("change_id", "table_name", "record_id", "changed_by", "request_id")
    for count in range(1, len(names) + 1):
        for some in combinations(names, count):
            query = {name: sample[name] for name in some}
            expected = [row for row in everything if all(row[name] == query[name] for name in some)]
            assert changed(tenant, limit=2, **query) == expected
    since, until = everything[5]["changed_at"], everything[2]["changed_at"]
    assert changed(tenant, since=since, until=until, limit=1) == everything[2:6]
    assert changed(tenant, since=until, until=since) == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"record_id": "\0"}, "record_id"),
        ({"changed_by": "\0"}, "changed_by"),
        ({"table_name": "x" * 501}, "table_name"),
        ({"origin": "flows"}, "origin"),
        ({"since": "2026"}, "since"),
        ({"action": "UPDATE"}, "action"),
        ({"cursor": "AAAA"}, "cursor"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_refused(
    shared: Tenant, query: dict[str, str], parameter: str
) -> None:
    response = shared.aud.get(f"{shared.path}/change-history", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]


def test_the_history_is_one_subscriptions_own(tenant: Tenant, stranger: Tenant) -> None:
    workflow = stranger.workflow()
    tenant.workflow()
    assert {change["subscription_id"] for change in changed(tenant)} == {tenant.subscription_id}
    assert changed(tenant, record_id=workflow["resource_id"]) == []
