"""Events that a platform sends for the audit log: all or none, their recorder, and pointers to faults."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.events import audit_refused, events

EVENT: Json = {"action": "EXECUTE", "resource_type": "workflow"}


def post(tenant: Tenant, body: object, **headers: str) -> Json:
    """Post events, and return the answer to their acceptance."""
    return ok(tenant.ben.post(f"{tenant.path}/audit-logs", body, headers=headers), 201)


def test_a_single_event_is_answered_with_its_id_and_read_with_all_it_says(tenant: Tenant) -> None:
    body = {
        "action": "report.Run:v2/now-2",
        "resource_type": "report",
        "resource_id": "report:7 é",
        "resource_name": "Sales",
        "old_values": {"n": 1, "deep": {"a": [1, 2]}},
        "new_values": {"n": 1, "deep": {"a": [1, 3]}},
        "workspace_id": str(uuid4()),
        "folder_id": str(uuid4()),
        "status": "failed",
        "error_message": "out of\nmemory",
        "occurred_at": "2026-01-02T03:04:05.678901Z",
        "actor": {"id": "u-7", "name": "Zoë", "email": "zoë@example.org", "kind": "human"},
        "ip_address": "192.0.2.7",
        "user_agent": "curl/8",
        "api_endpoint": "/reports/7/run",
        "http_method": "PUT",
        "request_id": "theirs-7",
        "source": "reports",
        "event_id": "e-7",
    }
    headers = {"x-request-id": "run-7", "user-agent": "the platform"}
    answer = ok(tenant.ana.post(f"{tenant.path}/audit-logs?import=true", body, headers=headers), 201)
    assert answer == {"accepted": 1, "duplicates": 0, "ids": [answer["ids"][0]]}
    assert UUID(answer["ids"][0]).version == 7
    [event] = events(tenant, request_id="theirs-7")
    expected = {
        **body,
        "audit_id": answer["ids"][0],
        "subscription_id": tenant.subscription_id,
        "changes": [{"op": "replace", "path": "/deep/a/1", "value": 3}],
        "user_id": tenant.ana.user_id,
        "username": "ana",
        "user_email": "ana@example.org",
        "received_request_id": "run-7",
        "occurrences": 1,
        "origin": "posted",
    }
    assert event == expected | {"created_at": event["created_at"]}


def test_what_is_not_said_is_null_and_success(tenant: Tenant) -> None:
    [audit_id] = post(tenant, EVENT)["ids"]
    [event] = events(tenant, action="EXECUTE")
    assert (event["audit_id"], event["status"]) == (audit_id, "success")
    for name in ("resource_id", "resource_name", "old_values", "new_values", "changes", "actor", "source"):
        assert event[name] is None
    # The request that posted the event is in the server log.
    for name in ("ip_address", "user_agent", "api_endpoint", "http_method", "event_id"):
        assert event[name] is None
    assert event["request_id"] == event["received_request_id"] is not None
    assert event["occurred_at"] == event["created_at"]


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        (None, None, None),
        (None, {}, [{"op": "add", "path": "", "value": {}}]),
        ({}, None, [{"op": "remove", "path": ""}]),
        ({}, {}, []),
        ({}, {"a": None}, [{"op": "add", "path": "/a", "value": None}]),
        ({"a": None}, {}, [{"op": "remove", "path": "/a"}]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [{"op": "replace", "path": "/a/b", "value": 2}]),
    ],
)
def test_nothing_and_empty_are_two_states_and_each_has_its_difference(
    tenant: Tenant, old: Json | None, new: Json | None, changes: list[Json] | None
) -> None:
    post(tenant, {**EVENT, "old_values": old, "new_values": new})
    [event] = events(tenant, action="EXECUTE")
    assert (event["old_values"], event["new_values"], event["changes"]) == (old, new, changes)


def test_changes_that_are_given_are_kept(tenant: Tenant) -> None:
    changes = [{"op": "move", "from": "/a", "path": "/b"}]
    post(tenant, {**EVENT, "new_values": {"a": 1}, "changes": changes})
    assert events(tenant, action="EXECUTE")[0]["changes"] == changes


def test_numbers_come_back_as_they_were(tenant: Tenant) -> None:
    values = {"big": 2**64 - 1, "small": -(2**63), "large": 1e308, "tiny": 5e-324, "one": 1.0, "z": 1e23}
    post(tenant, {**EVENT, "new_values": values})
    assert events(tenant, action="EXECUTE")[0]["new_values"] == values


def test_an_array_is_stored_in_one_transaction_and_answered_by_its_length(tenant: Tenant) -> None:
    body = [{**EVENT, "resource_id": str(number)} for number in range(1000)]
    assert post(tenant, body) == {"accepted": 1000, "duplicates": 0}
    found = events(tenant, action="EXECUTE", limit=200)
    assert {event["resource_id"] for event in found} == {str(number) for number in range(1000)}
    assert len({event["created_at"] for event in found}) == 1


BAD: list[tuple[Json, str]] = [
    ({"action": "run it"}, "/action"),
    ({"action": ""}, "/action"),
    ({"action": "A" * 201}, "/action"),
    ({"action": "RUN\n"}, "/action"),
    ({"action": 1}, "/action"),
    ({"resource_type": ""}, "/resource_type"),
    ({"resource_type": "x" * 101}, "/resource_type"),
    ({"resource_id": 7}, "/resource_id"),
    ({"resource_id": "x" * 256}, "/resource_id"),
    ({"resource_name": "x" * 501}, "/resource_name"),
    ({"old_values": []}, "/old_values"),
    ({"new_values": "{}"}, "/new_values"),
    ({"changes": {}}, "/changes"),
    ({"changes": [{"op": "add"}]}, "/changes/0"),
    ({"changes": [{"op": "add", "path": ""}, 1]}, "/changes/1"),
    ({"workspace_id": "w"}, "/workspace_id"),
    ({"folder_id": 1}, "/folder_id"),
    ({"status": "ok"}, "/status"),
    ({"error_message": {}}, "/error_message"),
    ({"on_behalf_of": "x" * 256}, "/on_behalf_of"),
    ({"user_id": str(uuid4())}, "/user_id"),
    ({"created_at": "2020-01-01T00:00:00Z"}, "/created_at"),
    ({"occurred_at": "2020-01-01T00:00:00Z"}, "/occurred_at"),
    ({"occurred_at": "2999-01-01T00:00:00Z"}, "/occurred_at"),
    ({"occurred_at": 1}, "/occurred_at"),
    ({"occurred_at": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z"}, "/created_at"),
    ({"actor": "zoe"}, "/actor"),
    ({"actor": {}}, "/actor"),
    ({"actor": {"kind": "human"}}, "/actor"),
    ({"actor": {"id": "z", "age": 7}}, "/actor/age"),
    ({"actor": {"id": "x" * 256}}, "/actor/id"),
    ({"actor": {"name": ""}}, "/actor/name"),
    ({"actor": {"id": "z", "email": "z"}}, "/actor/email"),
    ({"actor": {"id": "z", "kind": "robot"}}, "/actor/kind"),
    ({"actor": {"id": "z"}, "on_behalf_of": "zoe"}, "/on_behalf_of"),
    ({"ip_address": "AWS Internal"}, "/ip_address"),
    ({"user_agent": 7}, "/user_agent"),
    ({"api_endpoint": []}, "/api_endpoint"),
    ({"http_method": "X" * 11}, "/http_method"),
    ({"request_id": "x" * 129}, "/request_id"),
    ({"source": "x" * 201}, "/source"),
    ({"event_id": "x" * 256}, "/event_id"),
    ({"event_id": ""}, "/event_id"),
    ({"audit_id": str(uuid4())}, "/audit_id"),
    ({"new_values": {"a": "\0"}}, "/new_values/a"),
]


@pytest.mark.parametrize(("fields", "pointer"), BAD)
@pytest.mark.sampled(20)
def test_what_breaks_a_rule_is_pointed_at_and_nothing_is_stored(
    shared: Tenant, fields: Json, pointer: str
) -> None:
    _ = shared.ben
    before = shared.footprint()
    path = f"{shared.path}/audit-logs"
    wrong = {**EVENT, **fields}
    assert pointers(refused(shared.ben.post(path, wrong), 422, "invalid")) == [pointer]
    many = [*[EVENT] * 17, wrong, EVENT]
    assert pointers(refused(shared.ben.post(path, many), 422, "invalid")) == [f"/17{pointer}"]
    assert shared.footprint() == before


@pytest.mark.parametrize("body", [[], [EVENT] * 1001, 1, "x", None, [[EVENT]], [1], [None]])
def test_a_body_is_an_event_or_up_to_1000(shared: Tenant, body: object) -> None:
    response = shared.ben.send(f"{shared.path}/audit-logs", json.dumps(body).encode())
    [pointer] = pointers(refused(response, 422, "invalid"))
    assert pointer in ("", "/0")


def test_faults_are_told_by_the_first_20(shared: Tenant) -> None:
    problem = refused(shared.ben.post(f"{shared.path}/audit-logs", [{"action": "RUN"}] * 999), 422, "invalid")
    assert pointers(problem) == [f"/{index}/resource_type" for index in range(20)]
    raw = json.dumps([{str(number): 0 for number in range(1000)}] * 9).encode()
    problem = refused(shared.ben.send(f"{shared.path}/audit-logs", raw), 422, "invalid")
    assert len(pointers(problem)) == 20


def test_an_array_that_the_database_refuses_is_not_stored_in_part(tenant: Tenant) -> None:
    _ = tenant.ben, tenant.aud
    with audit_refused(tenant):
        response = tenant.ben.post(f"{tenant.path}/audit-logs", [EVENT] * 3)
        assert response.status_code == 500
    assert events(tenant, action="EXECUTE") == []


def test_an_array_that_is_sent_again_is_stored_once(tenant: Tenant) -> None:
    headers = {"idempotency-key": "a batch"}
    for body in ([EVENT] * 5, [EVENT] * 5):
        assert post(tenant, body, **headers) == {"accepted": 5, "duplicates": 0}
    assert len(events(tenant, action="EXECUTE")) == 5
    response = tenant.ben.post(f"{tenant.path}/audit-logs", [EVENT] * 6, headers=headers)
    refused(response, 422, "idempotency_key_reused")


def test_the_caller_is_recorded_whatever_the_event_says(tenant: Tenant) -> None:
    post(tenant, {**EVENT, "on_behalf_of": "ana"})
    [event] = events(tenant, user_id=tenant.ben.user_id)
    assert event["username"] == "ben"
    assert event["actor"] == {"id": None, "name": "ana", "email": None, "kind": None}


def test_rows_of_the_platform_are_for_the_operator(tenant: Tenant, stranger: Tenant) -> None:
    marker = uuid4().hex
    with tenant.server.database.connection() as connection:
        connection.execute(
            "INSERT INTO audit_logs (audit_id, created_at, action, resource_type, resource_id, status)"
            " SELECT gen_random_uuid(), now() - n * interval '1 day', 'KEY_UNKNOWN', 'api_key', %s, 'failed'"
            " FROM generate_series(1, 5) n",
            [marker],
        )
    post(tenant, {**EVENT, "resource_id": marker})
    found = tenant.server.operator.pages("/v1/audit-logs", resource_id=marker, limit=2)
    assert len(found) == 5
    assert {event["subscription_id"] for event in found} == {None}
    times = [event["created_at"] for event in found]
    assert times == sorted(times, reverse=True)
    assert events(tenant, action="KEY_UNKNOWN") == []
    for caller in (tenant.ana, tenant.aud, stranger.ben):
        refused(caller.get("/v1/audit-logs"), 403, "forbidden")
    refused(tenant.server.nobody.get("/v1/audit-logs"), 401, "unauthenticated")
    refused(tenant.server.operator.get("/v1/audit-logs?colour=blue"), 422, "invalid")


def described(tenant: Tenant, path: str) -> Any:
    operation = tenant.server.app.openapi()["paths"][f"/v1/subscriptions/{{subscription_id}}/{path}"]["post"]
    return operation["requestBody"]["content"]["application/json"]["schema"]["anyOf"]


@pytest.mark.parametrize("path", ["audit-logs", "execution-logs"])
def test_the_description_shows_one_event_and_many(shared: Tenant, path: str) -> None:
    one, many = described(shared, path)
    assert one["$ref"].startswith("#/components/schemas/New")
    assert (many["type"], many["maxItems"], many["items"]) == ("array", 1000, one)


SECRET = "hunter2-of-this-test"


def test_an_event_is_stored_without_its_secrets_but_says_that_one_changed(tenant: Tenant) -> None:
    post(
        tenant,
        {
            **EVENT,
            "resource_name": f"postgresql://ana:{SECRET}@db/sales",
            "old_values": {"host": "a", "password": "old-" + SECRET},
            "new_values": {"host": "a", "password": SECRET},
            "error_message": f"no answer from https://ana:{SECRET}@example.org/",
            "on_behalf_of": f"password={SECRET}",
        },
    )
    [event] = events(tenant, action="EXECUTE")
    assert SECRET not in json.dumps(event)
    assert event["new_values"]["host"] == "a"
    [change] = event["changes"]
    assert (change["op"], change["path"]) == ("replace", "/password")


def test_what_is_too_large_is_cut_and_says_so(tenant: Tenant) -> None:
    post(tenant, {**EVENT, "new_values": {"a": "x" * 1_000_000}, "error_message": "é" * 100_000})
    [event] = events(tenant, action="EXECUTE")
    assert event["new_values"]["truncated"] is True
    assert event["new_values"]["bytes"] > 1_000_000
    assert event["changes"]["truncated"] is True
    assert event["error_message"].endswith("[cut: 200000 bytes]")
    assert len(json.dumps(event)) < 200_000
