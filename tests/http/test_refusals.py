"""Refusals and failures leave a row in the audit log: the caller, the attempt and the reason."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pkgutil import iter_modules
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.http import routes
from service.http.audited_operations import declared
from tests.support.api import UNKNOWN, Caller, Json, Server, Tenant, ok, refused
from tests.support.audited_calls import CALLS
from tests.support.events import audit_refused


def endpoints() -> dict[str, Callable[..., Any]]:
    """Functions of all routes, by method and path."""
    modules = [import_module(f"{routes.__name__}.{found.name}") for found in iter_modules(routes.__path__)]
    return {
        f"{method} {route.path_format}": route.endpoint
        for module in modules
        for route in module.router.routes
        for method in route.methods
    }


def test_every_operation_that_is_an_event_is_one_of_the_api(server: Server) -> None:
    described = {
        f"{method.upper()} {path}"
        for path, methods in server.app.openapi()["paths"].items()
        for method in methods
        if path.startswith(("/v1/", "/git/"))
    }
    operations = endpoints()
    assert described <= set(operations)
    audited = {operation for operation, endpoint in operations.items() if declared(endpoint)}
    assert audited <= described
    writes = {operation for operation in described if not operation.startswith("GET ")}
    assert writes <= audited
    logs = {operation for operation in described if "-logs" in operation or "history" in operation}
    assert logs <= audited


Try = Callable[[Tenant, dict[str, str]], Any]


def rows(server: Server, request_id: str) -> list[Json]:
    """Rows that a request left, without its caller's login."""
    found = server.database.rows(
        "SELECT to_jsonb(a) FROM audit_logs a WHERE request_id = %s AND action <> 'LOGIN'", request_id
    )
    return [row for (row,) in found]


def left(server: Server, tenant: Tenant, attempt: Try) -> list[Json]:
    """Rows that an attempt leaves."""
    request_id = f"refused-{uuid4()}"
    attempt(tenant, {"x-request-id": request_id, "user-agent": "the tests"})
    return rows(server, request_id)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_that_is_refused_leaves_one_row(tenant: Tenant, method: str, path: str) -> None:
    prepare, action, resource_type = CALLS[method, path]
    if path == "S/audit-logs":
        # The attempt is to record: the events in the body are not read.
        action, resource_type = "RECORD", "audit_log"
    if path == "S/deletions/{deletion_id}/restore":
        resource_type = "deletion"
    where, body = prepare(tenant)
    caller = tenant.vera
    request_id = f"refused-{uuid4()}"
    response = caller.request(method, where, body, headers={"x-request-id": request_id})
    refused(response, 403, "forbidden")
    [row] = rows(tenant.server, request_id)
    expected = {
        "action": action,
        "resource_type": "subscription" if path in ("S/check-ins", "S/rollback") else resource_type,
        "subscription_id": tenant.subscription_id,
        "user_id": caller.user_id,
        "username": "vera",
        "api_endpoint": where,
        "http_method": method,
        "status": "unauthorized",
        "old_values": None,
        "new_values": None,
        "changes": None,
    }
    assert row | expected == row
    assert row["error_message"].startswith("forbidden: ")
    if path.startswith("R/"):
        assert row["resource_name"]
        assert row["workspace_id"] == tenant.workspace_id


def keyless(tenant: Tenant) -> Caller:
    return Caller(tenant.server, "annals_" + "0" * 32 + "_x", "", "")


FAILED: dict[str, tuple[Try, Json]] = {
    "an unknown key": (
        lambda t, h: refused(keyless(t).get(t.path, headers=h), 401, "unauthenticated"),
        {
            "status": "unauthorized",
            "user_id": None,
            "username": None,
            "subscription_id": None,
            "action": "READ",
        },
    ),
    "no key where something would change": (
        lambda t, h: httpx.post(f"{t.server.url}{t.path}/workspaces", json={"name": "w"}, headers=h),
        {"status": "unauthorized", "user_id": None, "action": "CREATE", "resource_type": "workspace"},
    ),
    "another tenant's resource": (
        lambda t, h: refused(
            Tenant(t.server, "other").ana.get(t.path, headers=h), 404, "subscription_not_found"
        ),
        {"status": "unauthorized", "username": "ana", "action": "READ", "resource_type": "subscription"},
    ),
    "content that is not valid": (
        lambda t, h: refused(t.ana.post(f"{t.path}/jobs", {"name": ""}, headers=h), 422, "invalid"),
        {"status": "failed", "username": "ana", "action": "CREATE", "resource_type": "job"},
    ),
    "a resource that is not there": (
        lambda t, h: refused(
            t.ana.post(f"{t.path}/jobs/{UNKNOWN}/versions", {"data": {}}, headers=h),
            404,
            "resource_not_found",
        ),
        {"status": "failed", "action": "UPDATE", "resource_id": UNKNOWN, "resource_name": None},
    ),
    "an id that is none": (
        lambda t, h: refused(t.ana.delete(f"{t.path}/users/a%00b", headers=h), 404, "user_not_found"),
        {"status": "failed", "action": "DELETE", "resource_type": "user", "resource_id": "a\ufffdb"},
    ),
    "the reading of logs by an editor": (
        lambda t, h: refused(t.ben.get(f"{t.path}/audit-logs", headers=h), 403, "forbidden"),
        {"status": "unauthorized", "username": "ben", "action": "READ", "resource_type": "audit_log"},
    ),
}


@pytest.mark.parametrize("what", FAILED)
def test_a_refusal_says_who_tried_what(tenant: Tenant, what: str) -> None:
    attempt, expected = FAILED[what]
    [row] = left(tenant.server, tenant, attempt)
    assert row | expected == row
    assert row["user_agent"] == "the tests"
    assert row["ip_address"] == "127.0.0.1"


def test_a_stranger_is_found_in_the_log_of_its_own_subscription(tenant: Tenant) -> None:
    other = Tenant(tenant.server, "other")
    refused(
        other.ben.get(f"{tenant.path}/workspaces", headers={"x-request-id": "stranger"}),
        404,
        "subscription_not_found",
    )
    path = f"{other.path}/audit-logs"
    [event] = ok(other.aud.get(path, params={"request_id": "stranger"}))["items"][:1]
    assert (event["status"], event["api_endpoint"]) == ("unauthorized", f"{tenant.path}/workspaces")
    assert tenant.aud.pages(f"{tenant.path}/audit-logs", request_id="stranger") == []


def test_an_expired_key_is_its_users(tenant: Tenant) -> None:
    key = {"user_id": tenant.ben.user_id, "name": "short", "expires_in_days": 1}
    made = ok(tenant.ana.post(f"{tenant.path}/api-keys", key), 201)
    expired = Caller(tenant.server, made["api_key"], tenant.ben.user_id, "ben")
    with tenant.server.clock.moved(days=2):
        refused(expired.get(tenant.path, headers={"x-request-id": "expired"}), 401, "unauthenticated")
    [row] = rows(tenant.server, "expired")
    assert (row["user_id"], row["subscription_id"]) == (tenant.ben.user_id, tenant.subscription_id)
    assert row["status"] == "unauthorized"


def test_a_wrong_secret_for_a_known_key_is_a_failed_login_of_this_key(tenant: Tenant) -> None:
    assert tenant.ben.key is not None
    key_id = UUID(tenant.ben.key.split("_")[1])
    guesser = Caller(tenant.server, f"annals_{key_id.hex}_guessed")
    known = refused(guesser.get(tenant.path, headers={"x-request-id": "guess"}), 401, "unauthenticated")
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", request_id="guess")
    assert (event["action"], event["resource_type"], event["resource_id"]) == (
        "LOGIN",
        "api_key",
        str(key_id),
    )
    assert (event["status"], event["user_id"], event["username"]) == ("unauthorized", None, None)
    assert event["api_endpoint"] == tenant.path
    # The guesser is told nothing that it would not be told of an unknown key.
    unknown = refused(keyless(tenant).get(tenant.path), 401, "unauthenticated")
    assert unknown | {"request_id": ""} == known | {"request_id": ""}


@pytest.mark.parametrize(
    "attempt",
    [
        lambda t, h: t.ana.get(f"{t.path}/jobs/{UNKNOWN}", headers=h),
        lambda t, h: t.ana.get(f"{t.path}/jobs", params={"limit": 0}, headers=h),
        lambda t, h: httpx.get(t.server.url + t.path, headers=h),
        lambda t, h: t.ana.get("/v1/nothing", headers=h),
        lambda t, h: t.ana.post("/readyz", {}, headers=h),
        lambda t, h: t.ana.request("DELETE", f"{t.path}/workflows", headers=h),
        lambda t, h: t.ana.get(f"{t.path}/check-ins", headers=h),
    ],
    ids=[
        *("nothing found", "no valid question", "nobody", "no such path", "no such method"),
        *("another method of a change", "a read where only a change is"),
    ],
)
def test_what_is_no_attempt_at_anything_is_no_event(tenant: Tenant, attempt: Try) -> None:
    assert left(tenant.server, tenant, attempt) == []


def test_a_change_that_fails_within_is_an_event(tenant: Tenant) -> None:
    _ = tenant.ana
    with audit_refused(tenant):
        response = tenant.ana.post(f"{tenant.path}/workspaces", {"name": "w"})
        assert response.status_code == 500
    # The refusal could not be recorded either; the server works on.
    refused(
        tenant.ana.post(f"{tenant.path}/workspaces", {}, headers={"x-request-id": "later"}), 422, "invalid"
    )
    assert [row["status"] for row in rows(tenant.server, "later")] == ["failed"]


def test_of_many_that_are_refused_at_once_each_has_its_row(tenant: Tenant) -> None:
    ids = [f"many-{uuid4()}" for _ in range(60)]
    _ = tenant.vera

    def attempt(request_id: str) -> None:
        headers = {"x-request-id": request_id}
        refused(tenant.vera.post(f"{tenant.path}/workspaces", {}, headers=headers), 403, "forbidden")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(attempt, ids))
    assert [len(rows(tenant.server, request_id)) for request_id in ids] == [1] * 60


# -- logins -----------------------------------------------------------------------------------------


def logins(tenant: Tenant, caller: Caller) -> list[Json]:
    """Logins of a user, oldest first."""
    path = f"{tenant.path}/audit-logs"
    return tenant.aud.pages(path, action="LOGIN", user_id=caller.user_id)[::-1]


def test_the_first_use_of_a_key_in_an_hour_is_a_login(tenant: Tenant) -> None:
    ben = tenant.ben
    with tenant.server.clock.moved(hours=30):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: ok(ben.get(tenant.path)), range(16)))
        [login] = logins(tenant, ben)[-1:]
        before = len(logins(tenant, ben))
        ok(ben.get(tenant.path))
        assert len(logins(tenant, ben)) == before
    with tenant.server.clock.moved(hours=31):
        ok(ben.get(tenant.path))
        ok(ben.get(tenant.path))
        assert len(logins(tenant, ben)) == before + 1
    assert (login["resource_type"], login["username"], login["status"]) == ("api_key", "ben", "success")
    assert login["ip_address"] == "127.0.0.1"


def test_a_login_that_another_process_recorded_is_not_recorded_again(tenant: Tenant) -> None:
    ben = tenant.ben
    with tenant.server.clock.moved(hours=50):
        ok(ben.get(tenant.path))
        count = len(logins(tenant, ben))
        forgetful = tenant.server.app.state.authenticator.logins
        forgetful._noted.clear()
        ok(ben.get(tenant.path))
        assert len(logins(tenant, ben)) == count


def test_a_key_that_is_revoked_is_a_logout(tenant: Tenant) -> None:
    key = {"user_id": tenant.ben.user_id, "name": "old laptop"}
    made = ok(tenant.ana.post(f"{tenant.path}/api-keys", key), 201)
    ok(tenant.ana.delete(f"{tenant.path}/api-keys/{made['key_id']}"), 204)
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", action="LOGOUT")
    assert event["resource_id"] == made["key_id"]
    assert event["old_values"] == {"user_id": tenant.ben.user_id, "username": "ben"}
    assert (event["username"], event["resource_name"]) == ("ana", "old laptop")


def test_the_keys_of_a_user_that_is_deleted_are_logouts(tenant: Tenant) -> None:
    ben = tenant.ben
    ok(tenant.ana.delete(f"{tenant.path}/users/{ben.user_id}"), 204)
    events = tenant.aud.pages(f"{tenant.path}/audit-logs", action="LOGOUT")
    assert [event["old_values"]["user_id"] for event in events] == [ben.user_id]
