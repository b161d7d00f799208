"""Refusals and failures leave a row in the audit log: the caller, the attempt and the reason."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, LiteralString
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from service.http import routes
from service.http.audited_operations import declared
from tests.support.api import UNKNOWN, Caller, Json, Server, Tenant, ok, refused
from tests.support.audited_calls import CALLS
from tests.support.databases import Cluster
from tests.support.events import audit_refused
from tests.support.serving import serving
from tests.support.waiting import until


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
        "SELECT to_jsonb(a) FROM audit_logs a"
        " WHERE request_id = %s AND (action <> 'LOGIN' OR status <> 'success')",
        request_id,
    )
    return [row for (row,) in found]


def left(server: Server, tenant: Tenant, attempt: Try, number: int = 0) -> list[Json]:
    """Rows that an attempt leaves, once there are so many: failed logins do not wait for theirs."""
    request_id = f"refused-{uuid4()}"
    attempt(tenant, {"x-request-id": request_id, "user-agent": "the tests", **server.another_address()})
    until(lambda: len(rows(server, request_id)) >= number)
    return rows(server, request_id)


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.sampled(13)
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
    [row] = left(tenant.server, tenant, attempt, 1)
    assert row | expected == row
    assert row["user_agent"] == "the tests"
    assert row["ip_address"].startswith("10.")
    assert row["occurrences"] == 1


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
        [row] = left(
            tenant.server,
            tenant,
            lambda _, headers: refused(expired.get(tenant.path, headers=headers), 401, "unauthenticated"),
            1,
        )
    assert (row["user_id"], row["subscription_id"]) == (tenant.ben.user_id, tenant.subscription_id)
    assert row["status"] == "unauthorized"


def test_a_wrong_secret_for_a_known_key_is_a_failed_login_of_this_key(tenant: Tenant) -> None:
    assert tenant.ben.key is not None
    key_id = UUID(tenant.ben.key.split("_")[1])
    guesser = Caller(tenant.server, f"annals_{key_id.hex}_guessed")
    [event] = left(
        tenant.server,
        tenant,
        lambda _, headers: refused(guesser.get(tenant.path, headers=headers), 401, "unauthenticated"),
        1,
    )
    assert tenant.aud.pages(f"{tenant.path}/audit-logs", request_id=event["request_id"])
    assert (event["action"], event["resource_type"], event["resource_id"]) == (
        "LOGIN",
        "api_key",
        str(key_id),
    )
    assert (event["status"], event["user_id"], event["username"]) == ("unauthorized", None, None)
    assert event["api_endpoint"] == tenant.path
    known = refused(guesser.get(tenant.path), 401, "unauthenticated")
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


def test_of_many_that_are_refused_at_once_each_that_differs_has_its_row(tenant: Tenant) -> None:
    ids = {f"many-{number}-{uuid4()}": str(uuid4()) for number in range(60)}
    _ = tenant.vera

    def attempt(request_id: str) -> None:
        path = f"{tenant.path}/workflows/{ids[request_id]}/versions"
        refused(tenant.vera.post(path, {}, headers={"x-request-id": request_id}), 403, "forbidden")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(attempt, ids))
    assert [len(rows(tenant.server, request_id)) for request_id in ids] == [1] * 60


# -- repeats ----------------------------------------------------------------------------------------


def written(server: Server, name: str, value: str) -> list[Json]:
    """Rows of refusals in which a field has this value, oldest first, once one of them is that of repeats."""
    query: LiteralString = (
        "SELECT to_jsonb(a) FROM audit_logs a WHERE status <> 'success' ORDER BY created_at"
    )

    def found() -> list[Json]:
        return [row for (row,) in server.database.rows(query) if row[name] == value]

    until(lambda: any(row["occurrences"] > 1 for row in found()))
    return found()


def test_repeats_of_a_refusal_are_one_row_when_their_minute_is_over(lone: Tenant) -> None:
    vera = lone.vera
    for _ in range(5):
        refused(vera.post(f"{lone.path}/workspaces", {"name": "w"}), 403, "forbidden")
    with lone.server.clock.moved(seconds=61):
        first, repeats = written(lone.server, "user_id", vera.user_id)
        assert (first["occurrences"], repeats["occurrences"]) == (1, 4)
        made_anew = ("audit_id", "created_at", "occurrences")
        assert {k: v for k, v in first.items() if k not in made_anew} == {
            k: v for k, v in repeats.items() if k not in made_anew
        }
        # What comes later is told at once again.
        refused(vera.post(f"{lone.path}/workspaces", {"name": "w"}), 403, "forbidden")
        assert len(written(lone.server, "user_id", vera.user_id)) == 3


def test_statistics_count_every_occurrence(lone: Tenant) -> None:
    for _ in range(5):
        refused(lone.vera.post(f"{lone.path}/workspaces", {"name": "w"}), 403, "forbidden")
    with lone.server.clock.moved(seconds=61):
        written(lone.server, "user_id", lone.vera.user_id)
        query = {"status": "unauthorized", "bucket": "1d"}
        found = ok(lone.aud.get(f"{lone.path}/audit-logs/stats", params=query))
    assert sum(item["count"] for item in found["buckets"]) == 5


def test_the_duration_of_a_failed_login_tells_nothing_about_the_key(
    lone: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lone.ben.key is not None
    known = f"annals_{lone.ben.key.split('_')[1]}_guessed"
    address = lone.server.another_address()
    # A row that has to be written is not waited for, nor is the answer without one any sooner.
    monkeypatch.setattr("service.http.refusals.WAIT_SECONDS", 60)
    monkeypatch.setattr("service.http.auth.headers.FAILED_LOGIN_SECONDS", 0.2)
    with psycopg.connect(lone.server.database.url) as blocker:
        blocker.execute("LOCK TABLE audit_logs IN SHARE MODE")
        for key in (f"annals_{uuid4().hex}_x", known) * 3:
            answer = Caller(lone.server, key).get(lone.path, headers=address)
            refused(answer, 401, "unauthenticated")
            assert answer.elapsed.total_seconds() >= 0.2
        assert (
            lone.server.database.rows("SELECT 1 FROM audit_logs WHERE ip_address = %s", *address.values())
            == []
        )
    with lone.server.clock.moved(seconds=61):
        assert len(written(lone.server, "ip_address", address["x-forwarded-for"])) >= 3


def test_guesses_at_a_known_key_are_two_rows_of_its_subscription(lone: Tenant) -> None:
    assert lone.ben.key is not None
    key_id = str(UUID(lone.ben.key.split("_")[1]))
    for number in range(30):
        key = f"annals_{UUID(key_id).hex}_{number}"
        refused(Caller(lone.server, key).get(f"{lone.path}/jobs/{uuid4()}"), 401, "unauthenticated")
    with lone.server.clock.moved(seconds=61):
        found = written(lone.server, "resource_id", key_id)
    assert [row["occurrences"] for row in found] == [1, 29]
    assert {row["subscription_id"] for row in found} == {lone.subscription_id}


def test_guesses_at_unknown_keys_are_two_rows_whatever_they_ask_for(lone: Tenant) -> None:
    address = lone.server.another_address()
    for _ in range(30):
        guesser = Caller(lone.server, f"annals_{uuid4().hex}_x")
        answer = guesser.get(f"{lone.path}/jobs/{uuid4()}", headers=address)
        refused(answer, 401, "unauthenticated")
    with lone.server.clock.moved(seconds=61):
        found = written(lone.server, "ip_address", address["x-forwarded-for"])
    assert [row["occurrences"] for row in found] == [1, 29]


def test_past_a_hundred_a_minute_a_callers_refusals_are_told_in_short(
    lone: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.runtime.repeats.MAX_WINDOWS_OF_ONE", 3)
    ids = [str(uuid4()) for _ in range(8)]
    for resource_id in ids:
        refused(lone.vera.delete(f"{lone.path}/workflows/{resource_id}"), 403, "forbidden")
    with lone.server.clock.moved(seconds=61):
        found = written(lone.server, "user_id", lone.vera.user_id)
    assert [row["resource_id"] for row in found] == [*ids[:3], None, None]
    assert [row["occurrences"] for row in found] == [1, 1, 1, 1, 4]


def test_repeats_that_are_counted_at_a_stop_are_written(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path) as server:
        tenant = Tenant(server)
        for _ in range(4):
            refused(tenant.vera.post(f"{tenant.path}/workspaces", {}), 403, "forbidden")
        database, vera = server.database, tenant.vera.user_id
    for query in (
        "SELECT occurrences FROM audit_logs WHERE user_id = %s AND status <> 'success' ORDER BY 1",
        "SELECT occurrences FROM server_logs WHERE user_id = %s AND response_status = 403 ORDER BY 1",
    ):
        assert database.rows(query, vera) == [(1,), (3,)]


def test_the_server_log_counts_repeats_of_strangers_and_keeps_other_failures(lone: Tenant) -> None:
    ana, other = lone.ana, Tenant(lone.server, "other")
    for _ in range(4):
        refused(ana.get(f"{other.path}/workspaces"), 404, "subscription_not_found")
        refused(ana.post(f"{lone.path}/workspaces", {}), 422, "invalid")
    with lone.server.clock.moved(seconds=61):
        lone.server.flush_log()
        query = "SELECT response_status, occurrences FROM server_logs WHERE user_id = %s"
        found = lone.server.database.rows(f"{query} AND response_status >= 400 ORDER BY 1, 2", ana.user_id)
    assert found == [(404, 1), (404, 3)] + [(422, 1)] * 4


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
