"""The faults of the specification's sample code, numbered as in the list of them; the sample fails each test.

Each is one behaviour of the running service, asked for by HTTP or seen in the rows that it wrote. The
faults of versions and deletions have tests of their own.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Caller, Json, Tenant, ok, pointers, refused
from tests.support.events import events
from tests.support.waiting import until

LOGS = ("audit_logs", "execution_logs", "node_execution_logs", "server_logs", "data_change_history")


def record(tenant: Tenant, **fields: Any) -> Json:
    """Return an event of a platform as the audit log shows it."""
    body = {"action": "EXECUTE", "resource_type": "workflow", "resource_id": str(uuid4()), **fields}
    [audit_id] = ok(tenant.ana.post(f"{tenant.path}/audit-logs", body), 201)["ids"]
    found = [e for e in events(tenant, resource_id=body["resource_id"]) if e["audit_id"] == audit_id]
    [event] = found
    return event


def execution(kind: str, **fields: Any) -> Json:
    body = {"execution_id": str(uuid4()), "execution_type": kind, "log_level": "INFO", "log_message": "m"}
    return body | fields


def server_rows(tenant: Tenant, request_id: str) -> list[Json]:
    """Return the row of a request in the server log."""
    tenant.server.flush_log()
    found = tenant.server.database.rows(
        "SELECT to_jsonb(s) FROM server_logs s WHERE request_id = %s", request_id
    )
    return [row for (row,) in found]


@pytest.mark.parametrize("log", LOGS)
def test_1_the_primary_key_of_a_hypertable_holds_its_time(tenant: Tenant, log: str) -> None:
    columns = tenant.server.database.value(
        "SELECT array_agg(attname::text ORDER BY array_position(indkey::int[], attnum::int)) FROM pg_index"
        " JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)"
        " WHERE indrelid = %s::regclass AND indisprimary",
        log,
    )
    assert columns[-1] in ("created_at", "changed_at")
    query = "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name = %s"
    assert tenant.server.database.value(query, log) == 1


def test_1_ids_are_minted_by_the_server_in_the_order_of_time(tenant: Tenant) -> None:
    made = [record(tenant)["audit_id"] for _ in range(3)]
    assert made == sorted(made)
    assert all(audit_id[14] == "7" for audit_id in made)


@pytest.mark.parametrize("log", LOGS)
def test_2_no_log_goes_with_what_it_is_about(tenant: Tenant, log: str) -> None:
    query = "SELECT count(*) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'"
    assert tenant.server.database.value(query, log) == 0


def test_2_the_trail_of_a_user_outlives_it(tenant: Tenant) -> None:
    tenant.make("workspaces", by=tenant.ben)
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    assert [e["action"] for e in events(tenant, user_id=tenant.ben.user_id)] == ["CREATE"]


def test_9_a_request_is_logged_with_who_made_it(tenant: Tenant) -> None:
    ok(tenant.ben.get(tenant.path, headers={"x-request-id": "fault-9"}))
    [row] = server_rows(tenant, "fault-9")
    assert (row["user_id"], row["subscription_id"]) == (tenant.ben.user_id, tenant.subscription_id)
    assert (row["auth_method"], row["response_status"]) == ("api_key", 200)


def test_10_the_logs_pause_is_not_the_requests(tenant: Tenant) -> None:
    ok(tenant.ana.get(tenant.path))
    with tenant.server.database.connection() as connection, connection.transaction():
        connection.execute("LOCK TABLE server_logs IN ACCESS EXCLUSIVE MODE")
        for number in range(30):
            ok(tenant.ana.get(tenant.path, headers={"x-request-id": f"fault-10-{number}"}))
    assert len(server_rows(tenant, "fault-10-29")) == 1


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        (None, {"a": 1}, [{"op": "add", "path": "", "value": {"a": 1}}]),
        ({"a": 1}, None, [{"op": "remove", "path": ""}]),
        ({}, {"a": 1}, [{"op": "add", "path": "/a", "value": 1}]),
        ({"a": 1}, {}, [{"op": "remove", "path": "/a"}]),
        (None, None, None),
    ],
)
def test_11_a_missing_state_and_an_empty_one_have_their_difference(
    tenant: Tenant, old: Any, new: Any, changes: Any
) -> None:
    assert record(tenant, old_values=old, new_values=new)["changes"] == changes


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"a": None}, {}, [{"op": "remove", "path": "/a"}]),
        ({}, {"a": None}, [{"op": "add", "path": "/a", "value": None}]),
        (
            {"a": {"b": 1, "c": list(range(99))}},
            {"a": {"b": 2, "c": list(range(99))}},
            [{"op": "replace", "path": "/a/b", "value": 2}],
        ),
    ],
)
def test_12_missing_null_and_nested_are_told_apart(tenant: Tenant, old: Any, new: Any, changes: Any) -> None:
    assert record(tenant, old_values=old, new_values=new)["changes"] == changes


def test_13_an_event_of_somebody_unknown_is_kept(tenant: Tenant) -> None:
    stranger = Caller(tenant.server, f"annals_{'0' * 32}_x", "", "")
    response = stranger.delete(f"{tenant.path}/users/x", headers={"x-request-id": "fault-13"})
    refused(response, 401, "unauthenticated")
    query = "SELECT user_id, username, status FROM audit_logs WHERE request_id = 'fault-13'"
    # A failed login does not wait for its row.
    until(lambda: tenant.server.database.rows(query) == [(None, None, "unauthorized")])


def test_14_objects_are_stored_as_objects(tenant: Tenant) -> None:
    details = {"nested": {"list": [1, "two", None, True]}}
    event = record(tenant, new_values=details)
    assert event["new_values"] == details
    query = "SELECT jsonb_typeof(new_values) FROM audit_logs WHERE audit_id = %s"
    assert tenant.server.database.value(query, event["audit_id"]) == "object"


def test_15_times_are_instants_whatever_the_zone(tenant: Tenant) -> None:
    event = record(tenant)
    assert event["created_at"].endswith("Z")
    assert abs(datetime.fromisoformat(event["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    with tenant.server.database.connection() as connection:
        connection.execute("SET TIME ZONE 'Asia/Kolkata'")
        query = "SELECT abs(extract(epoch FROM now() - created_at)) < 60 FROM audit_logs WHERE audit_id = %s"
        assert connection.execute(query, [event["audit_id"]]).fetchone() == (True,)


def test_16_a_limit_is_a_number_and_a_second_page_follows_the_first(tenant: Tenant) -> None:
    path = f"{tenant.path}/audit-logs"
    for number in range(5):
        record(tenant, resource_name=str(number))
    for limit in ("1; DROP TABLE audit_logs", "1 OFFSET 0", "-1", "1e3"):
        assert pointers(refused(tenant.aud.get(path, params={"limit": limit}), 422, "invalid")) == ["limit"]
    names = [e["resource_name"] for e in tenant.aud.pages(path, limit=2, action="EXECUTE")]
    assert names == ["4", "3", "2", "1", "0"]


def test_21_nodes_have_a_log_of_their_own_and_reads_span_both(tenant: Tenant) -> None:
    run = str(uuid4())
    bodies = [execution(kind, execution_id=run) for kind in ("workflow", "node", "job", "node")]
    ok(tenant.ana.post(f"{tenant.path}/execution-logs", bodies), 201)
    for log, count in (("execution_logs", 2), ("node_execution_logs", 2)):
        query = "SELECT count(*) FROM {} WHERE execution_id = %s".format(log)  # noqa: S608, UP032
        with tenant.server.database.connection() as connection:
            assert connection.execute(query.encode(), [run]).fetchone() == (count,)
    assert len(tenant.aud.pages(f"{tenant.path}/execution-logs", execution_id=run)) == 4


def test_22_changes_of_a_record_at_once_have_different_numbers(tenant: Tenant) -> None:
    zed = tenant.user("zed", "viewer")
    path = f"{tenant.path}/users/{zed.user_id}"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda role: tenant.ana.patch(path, {"role": role}), ["editor", "viewer"] * 12))
    numbers = tenant.server.database.value(
        "SELECT array_agg(version_number ORDER BY version_number) FROM data_change_history"
        " WHERE record_id = %s",
        zed.user_id,
    )
    assert numbers == list(range(1, len(numbers) + 1))


def test_23_what_is_secret_in_a_body_is_not_in_the_log(tenant: Tenant) -> None:
    rule = {"resource_type": "*", "action": "*", "depth": "full"}
    ok(tenant.ana.put(f"{tenant.path}/audit-policy", {"rules": [rule]}))
    body = {"name": "w", "definition": {"password": "hunter2-hunter2", "plain": "to be seen"}}
    ok(tenant.ana.post(f"{tenant.path}/workspaces", body, headers={"x-request-id": "fault-23"}), 201)
    [row] = server_rows(tenant, "fault-23")
    assert row["request_body"]["definition"]["plain"] == "to be seen"
    assert row["response_body"]["name"] == "w"
    assert "hunter2" not in str(row)
    key = ok(
        tenant.ana.post(
            f"{tenant.path}/api-keys",
            {"user_id": tenant.ben.user_id, "name": "k"},
            headers={"x-request-id": "fault-23-key"},
        ),
        201,
    )["api_key"]
    [row] = server_rows(tenant, "fault-23-key")
    assert row["response_body"]["name"] == "k"
    assert key not in str(row)
    # annals_<id>_<secret>, whose last part may have an underscore itself.
    assert key.split("_", 2)[2] not in str(row)


def test_24_a_request_id_is_text(tenant: Tenant) -> None:
    given = "trace-7f.span_2"
    tenant.ana.post(f"{tenant.path}/workspaces", {"name": "w"}, headers={"x-request-id": given})
    assert [e["action"] for e in events(tenant, request_id=given)] == ["CREATE"]
    assert len(server_rows(tenant, given)) == 1


def test_25_what_is_no_subscriptions_own_is_the_operators(tenant: Tenant) -> None:
    stranger = Caller(tenant.server, f"annals_{'1' * 32}_x", "", "")
    refused(stranger.get(tenant.path, headers={"x-request-id": "fault-25"}), 401, "unauthenticated")
    [event] = tenant.server.operator.pages("/v1/audit-logs", request_id="fault-25")
    assert event["subscription_id"] is None
    assert tenant.aud.pages(f"{tenant.path}/audit-logs", request_id="fault-25") == []
    tenant.server.flush_log()
    [row] = tenant.server.operator.pages("/v1/server-logs", request_id="fault-25")
    assert row["response_status"] == 401
    assert tenant.aud.pages(f"{tenant.path}/server-logs", request_id="fault-25") == []


def test_26_the_current_change_is_told_without_rewriting_the_log(tenant: Tenant) -> None:
    zed = tenant.user("zed", "viewer")
    for role in ("editor", "auditor"):
        ok(tenant.ana.patch(f"{tenant.path}/users/{zed.user_id}", {"role": role}))
    found = tenant.aud.pages(f"{tenant.path}/change-history", record_id=zed.user_id)
    assert [(row["version_number"], row["is_current_version"]) for row in found] == [
        (3, True),
        (2, False),
        (1, False),
    ]
    with tenant.server.database.connection() as connection:
        columns = connection.execute("SELECT * FROM data_change_history LIMIT 0").description or []
    assert "is_current_version" not in [column.name for column in columns]


def test_27_who_is_erased_is_in_no_log(tenant: Tenant) -> None:
    rule = {"resource_type": "*", "action": "*", "depth": "full"}
    ok(tenant.ana.put(f"{tenant.path}/audit-policy", {"rules": [rule]}))
    address = f"{uuid4()}@example.org"
    ok(tenant.ana.patch(f"{tenant.path}/users/{tenant.ben.user_id}", {"email": address}))
    tenant.make("workspaces", by=tenant.ben)
    assert events(tenant, user_id=tenant.ben.user_id)[0]["user_email"] == address
    ok(tenant.ana.get(f"{tenant.path}/users"))
    with tenant.server.database.connection() as connection:
        connection.execute("UPDATE actors SET email = NULL WHERE user_id = %s", [tenant.ben.user_id])
        tenant.server.flush_log()
        for log in LOGS:
            query = f"SELECT count(*) FROM {log} t WHERE to_jsonb(t)::text LIKE %s"  # noqa: S608
            assert connection.execute(query.encode(), [f"%{address}%"]).fetchone() == (0,), log
    assert events(tenant, user_id=tenant.ben.user_id)[0]["user_email"] is None
