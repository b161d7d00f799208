"""The audit log: every change leaves its row in its own transaction, and auditors find it."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from tests.support.api import UNKNOWN, Json, Server, Tenant, ok, pointers, refused
from tests.support.audited_calls import CALLS, NOT_HERE, held, short
from tests.support.events import audit_refused, events

EVENT_FIELDS = {
    *("audit_id", "created_at", "subscription_id", "user_id", "username", "user_email", "action", "origin"),
    *("resource_type", "resource_id", "resource_name", "old_values", "new_values", "changes"),
    *("ip_address", "user_agent", "api_endpoint", "http_method", "request_id"),
    *("workspace_id", "folder_id", "status", "error_message", "occurrences"),
    *("occurred_at", "actor", "source", "event_id", "received_request_id"),
}


WITHOUT_PLACE = (
    *("subscription", "user", "api_key", "audit_policy", "legal_hold"),
    *("execution_log", "server_log", "change_history", "deletion"),
)


def test_every_call_that_changes_something_is_tried_here(server: Server) -> None:
    described = {
        (method.upper(), short(path))
        for path, methods in server.app.openapi()["paths"].items()
        for method in methods
        if method.upper() not in ("GET", "HEAD", "OPTIONS")
    }
    assert described - NOT_HERE == set(CALLS)


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.sampled(19)
def test_a_change_leaves_one_row_that_says_who_what_where_and_how(
    tenant: Tenant, method: str, path: str
) -> None:
    prepare, action, resource_type = CALLS[method, path]
    where, body = prepare(tenant)
    caller = tenant.server.operator if path == "/v1/subscriptions" else tenant.ana
    request_id = f"audit-{uuid4()}"
    headers = {"x-request-id": request_id, "user-agent": "the tests"}
    response = caller.request(method, where, body, headers=headers)
    assert response.is_success, response.text
    rows = tenant.server.database.rows(
        "SELECT row_to_json(a) FROM audit_logs a WHERE request_id = %s AND resource_type = %s"
        " AND action NOT IN ('LOGIN', 'LOGOUT')",
        request_id,
        resource_type,
    )
    [[row]] = rows
    answer = response.json() if response.content else {}
    expected = {
        "action": action,
        "resource_type": resource_type,
        "subscription_id": answer.get("subscription_id", tenant.subscription_id),
        "user_id": caller.user_id or None,
        "username": caller.username or "operator",
        "ip_address": "127.0.0.1",
        "user_agent": "the tests",
        "api_endpoint": where,
        "http_method": method,
        "request_id": request_id,
        "status": "success",
        "error_message": None,
    }
    if path == "S/audit-logs":
        # Its row is of the platform's event; the request that posted it is in the server log.
        expected |= dict.fromkeys(("ip_address", "user_agent", "api_endpoint", "http_method"))
    assert row | expected == row
    assert row["resource_id"] is not None
    assert row["old_values"] is not None or row["new_values"] is not None
    assert row["changes"]
    assert (row["workspace_id"] is not None) == (resource_type not in WITHOUT_PLACE)
    assert "example.org" not in str(row)


@pytest.mark.parametrize("call", ["versions", "check-in"])
def test_an_unchanged_save_is_recorded_as_that(tenant: Tenant, call: str) -> None:
    path = held(tenant)
    answer = ok(tenant.ana.post(f"{path}/{call}", {"data": {}}, headers={"x-request-id": "equal"}))
    [event] = events(tenant, request_id="equal")
    assert event["new_values"]["unchanged"] is True
    assert event["new_values"]["version_id"] == answer["version_id"]


def test_an_event_of_a_version_names_it_without_its_body(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": "the body"})
    saved = tenant.save(workflow, {"n": "another body"}, tag="v2")
    [event] = events(tenant, action="UPDATE")
    assert event["old_values"]["version_number"] == 1
    names = ("version_id", "version_number", "version_tag", "git_commit_hash")
    assert event["new_values"] == {name: saved[name] for name in names}
    assert {change["path"] for change in event["changes"]} == {f"/{name}" for name in names}
    assert "body" not in str(event)
    assert event["workspace_id"] == tenant.workspace_id
    assert event["folder_id"] == tenant.folder_id


def test_a_refused_change_leaves_no_row_of_success(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    before = tenant.footprint()
    refused(tenant.ana.post(f"{tenant.at(workflow)}/check-in", {}), 409, "not_checked_out")
    refused(tenant.ana.post(f"{tenant.at(workflow)}/rollback", {"to": 9}), 404, "version_not_found")
    assert tenant.footprint() == before


WRITES: tuple[tuple[str, str, Json], ...] = (
    ("POST", "{R}/check-out", {}),
    ("POST", "{R}/versions", {"data": {"n": 9}}),
    ("POST", "{S}/workspaces", {"name": "w"}),
    ("POST", "{S}/users", {"username": "new", "email": "n@example.org", "role": "viewer"}),
    ("POST", "{S}/api-keys", {"name": "k"}),
)


def test_without_its_audit_row_no_change_is_made(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    _ = tenant.ben
    before = tenant.footprint()
    with audit_refused(tenant):
        for method, path, body in WRITES:
            where = path.format(R=tenant.at(workflow), S=tenant.path)
            whole = {**body, "user_id": tenant.ben.user_id} if "api-keys" in path else body
            response = tenant.ana.request(method, where, whole)
            assert response.status_code == 500
            assert response.headers["content-type"] == "application/problem+json"
        url = f"/git/{tenant.subscription_id}.git/git-upload-pack"
        want = f"want {tenant.main()}\n"
        negotiation = f"{len(want) + 4:04x}{want}00000009done\n".encode()
        assert tenant.ana.post(url, content=negotiation).status_code == 500
    assert tenant.footprint() == before
    tenant.save(workflow, {"n": 9})


def test_an_event_answers_with_every_field_and_the_present_address(tenant: Tenant) -> None:
    tenant.workflow(by=tenant.ben)
    ok(tenant.ana.patch(f"{tenant.path}/users/{tenant.ben.user_id}", {"email": "new@example.org"}))
    found = events(tenant, user_id=tenant.ben.user_id)
    assert [event["resource_type"] for event in found] == ["workflow"]
    assert set(found[0]) == EVENT_FIELDS
    assert found[0]["user_email"] == "new@example.org"
    assert found[0]["ip_address"] == "127.0.0.1"
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    assert events(tenant, user_id=tenant.ben.user_id)[0]["username"] == "ben"


def test_events_are_narrowed_by_each_filter_and_by_all(tenant: Tenant) -> None:
    one, other = tenant.workflow(), tenant.make("connectors")
    tenant.save(one, {"n": 1}, by=tenant.ben)
    tenant.check_out(other, tenant.ben)
    everything = events(tenant)
    saved = next(event for event in everything if event["action"] == "UPDATE")
    names = (
        *("audit_id", "resource_type", "resource_id", "user_id", "username", "action", "status"),
        *("workspace_id", "folder_id", "ip_address", "request_id"),
    )
    for name in names:
        expected = [event for event in everything if event[name] == saved[name]]
        assert events(tenant, **{name: saved[name]}) == expected
    assert events(tenant, **{name: saved[name] for name in names}) == [saved]
    assert events(tenant, action="UPDATE", user_id=tenant.ana.user_id) == []
    assert events(tenant, status="failed") == []
    at = saved["created_at"]
    assert events(tenant, since=at) == [event for event in everything if event["created_at"] >= at]
    assert events(tenant, until=at) == [event for event in everything if event["created_at"] <= at]
    assert events(tenant, since=at, until=at) == [saved]
    later = datetime.fromisoformat(at) + timedelta(days=400)
    assert events(tenant, since=later.isoformat()) == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"user_id": "x" * 256}, "user_id"),
        ({"folder_id": "x"}, "folder_id"),
        ({"ip_address": "here"}, "ip_address"),
        ({"workspace_id": "x"}, "workspace_id"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"until": "2026-13-01T00:00:00Z"}, "until"),
        ({"action": "a\0b"}, "action"),
        ({"status": "maybe"}, "status"),
        ({"resource_id": "\0"}, "resource_id"),
        ({"request_id": "x" * 501}, "request_id"),
        ({"limit": "201"}, "limit"),
        ({"cursor": "AAAA"}, "cursor"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_refused(
    shared: Tenant, query: dict[str, str], parameter: str
) -> None:
    response = shared.aud.get(f"{shared.path}/audit-logs", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"]
)
def test_the_ends_of_time_are_no_fault_of_the_server(shared: Tenant, since: str) -> None:
    for name in ("since", "until"):
        response = shared.aud.get(f"{shared.path}/audit-logs", params={name: since})
        assert response.status_code in (200, 422), response.text


@pytest.mark.parametrize("limit", [1, 2, 5, 200])
def test_paging_gives_every_event_once_newest_first(shared: Tenant, limit: int) -> None:
    workflow = shared.workflow()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: shared.save(workflow, {"n": number}), range(8)))
    found = events(shared, limit=limit, resource_id=workflow["resource_id"])
    assert len({event["audit_id"] for event in found}) == len(found) == 9
    times = [event["created_at"] for event in found]
    assert times == sorted(times, reverse=True)


def test_names_are_as_long_as_they_may_be_in_any_script(tenant: Tenant) -> None:
    sent = {
        "resource_type": "é" * 100,
        "resource_id": "識" * 255,
        "resource_name": "名" * 500,
        "actor": {"id": "识" * 255, "name": "😀" * 255, "email": None, "kind": None},
        "source": "é" * 200,
        "event_id": "😀" * 255,
    }
    ok(tenant.ben.post(f"{tenant.path}/audit-logs", {"action": "EXECUTE", **sent}), 201)
    narrow = {key: sent[key] for key in ("resource_type", "resource_id")}
    [found] = tenant.aud.pages(f"{tenant.path}/audit-logs", **narrow)
    assert {key: found[key] for key in sent} == sent


def test_a_page_is_stable_while_events_come_in(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for number in range(4):
        tenant.save(workflow, {"n": number})
    path = f"{tenant.path}/audit-logs"
    before = tenant.aud.pages(path)
    first = tenant.aud.get(path, params={"limit": 3})
    tenant.save(workflow, {"n": 9})
    rest = tenant.aud.pages(path, cursor=ok(first)["next_cursor"], limit=3)
    assert [event for event in first.json()["items"] + rest if event in before] == before
    assert re.fullmatch(r"[A-Za-z0-9_-]+", first.json()["next_cursor"])


def test_a_cursor_holds_only_with_its_filters(tenant: Tenant) -> None:
    tenant.workflow()
    path = f"{tenant.path}/audit-logs"
    cursor = ok(tenant.aud.get(path, params={"limit": 1}))["next_cursor"]

    def answer(**query: str) -> httpx.Response:
        return tenant.aud.get(path, params={"cursor": cursor, **query})

    ok(answer(limit="2"))
    for query in ({"action": "CREATE"}, {"since": "2026-01-01T00:00:00Z"}, {"user_id": UNKNOWN}):
        assert pointers(refused(answer(**query), 422, "invalid")) == ["cursor"]


@pytest.mark.parametrize(
    ("name", "status"), [("ana", 200), ("aud", 200), ("ben", 403), ("vera", 403), ("operator", 403)]
)
def test_the_log_is_for_auditors_and_admins(shared: Tenant, name: str, status: int) -> None:
    assert shared.caller(name).get(f"{shared.path}/audit-logs").status_code == status


def test_the_log_is_one_subscriptions_own(tenant: Tenant, stranger: Tenant) -> None:
    stranger.workflow()
    tenant.workflow()
    assert {event["subscription_id"] for event in events(tenant)} == {tenant.subscription_id}
