"""The server log: each request leaves one row, with its caller, path, time and outcome."""

import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from service.http.server_log import writer
from tests.support.api import Caller, Json, Server, Tenant, ok, pointers, refused
from tests.support.events import audit_refused
from tests.support.pkt_lines import FLUSH, line, upload_pack

FIELDS = {
    *("log_id", "request_id", "http_method", "endpoint", "query_params", "user_id", "subscription_id"),
    *("auth_method", "request_body", "response_status", "response_body", "response_time_ms", "ip_address"),
    *("user_agent", "referer", "error_message", "error_traceback", "created_at"),
    *("request_bytes", "response_bytes", "occurrences", "occurred_at", "origin", "source", "actor_id"),
    *("received_request_id", "route"),
}
SECONDS = 10


@pytest.fixture(autouse=True, scope="module")
def soon() -> Iterator[None]:
    """Shorten the writer's pause, so that rows are written soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "FLUSH_SECONDS", 0.05)
        yield


def rows(server: Server, number: int = 1, **query: Any) -> list[Json]:
    """Read the server log as the operator, once it has so many rows."""
    deadline = time.monotonic() + SECONDS
    while len(found := server.operator.pages("/v1/server-logs", **query)) < number:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    assert len(found) == number, found
    return found


def traced(caller: Caller, method: str, path: str, json: object = None, **how: Any) -> Json:
    """Read the row of a call."""
    request_id = f"server-log-{uuid4()}"
    headers = {"x-request-id": request_id, **caller.server.another_address(), **how.pop("headers", {})}
    caller.request(method, path, json, headers=headers, **how)
    [row] = rows(caller.server, request_id=request_id)
    return row


def test_a_call_leaves_one_row_with_who_what_where_and_how_long(tenant: Tenant) -> None:
    ben = tenant.ben
    before = datetime.now(UTC)
    headers = {"user-agent": "the tests", "referer": "https://example.org/page"}
    body = b'{"name": "w"}'
    headers |= {"content-type": "application/json", "x-forwarded-for": "10.1.2.3"}
    row = traced(
        ben, "POST", f"{tenant.path}/workspaces?unknown=1&unknown=2&other=", content=body, headers=headers
    )
    assert set(row) == FIELDS
    assert UUID(row["log_id"]).version == 7
    assert before <= datetime.fromisoformat(row["created_at"]) <= datetime.now(UTC)
    assert row["response_time_ms"] >= 0
    assert row["response_bytes"] > 100
    expected = {
        "http_method": "POST",
        "endpoint": f"{tenant.path}/workspaces",
        "query_params": {"unknown": ["1", "2"], "other": ""},
        "user_id": ben.user_id,
        "subscription_id": tenant.subscription_id,
        "auth_method": "api_key",
        "response_status": 422,
        "request_bytes": len(body),
        "ip_address": "10.1.2.3",
        "user_agent": "the tests",
        "referer": "https://example.org/page",
        "request_body": None,
        "response_body": None,
        "error_traceback": None,
    }
    assert row | expected == row
    assert row["error_message"].startswith("invalid: The query is not valid: there is no parameter 'unknown'")


def test_a_success_has_no_error_and_its_sizes(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": "x" * 100_000})
    path = f"{tenant.at(workflow)}/versions/1/data"
    row = traced(tenant.ana, "GET", path)
    assert (row["response_status"], row["error_message"], row["error_traceback"]) == (200, None, None)
    assert row["response_bytes"] == len(tenant.ana.get(path).content)
    assert (row["request_bytes"], row["query_params"]) == (0, None)


@pytest.mark.parametrize("key", [None, "annals_garbage"])
def test_a_call_of_nobody_is_at_the_platforms_level(tenant: Tenant, key: str | None) -> None:
    row = traced(Caller(tenant.server, key), "GET", f"{tenant.path}/workspaces")
    assert (row["response_status"], row["error_message"][:16]) == (401, "unauthenticated:")
    assert (row["user_id"], row["subscription_id"], row["auth_method"]) == (None, None, None)
    assert row["ip_address"].startswith("10.")
    assert row["user_agent"].startswith("python-httpx/")


def test_what_the_operator_does_in_a_subscription_is_of_that(tenant: Tenant) -> None:
    operator = tenant.server.operator
    row = traced(operator, "GET", f"{tenant.path}/users")
    assert (row["subscription_id"], row["user_id"], row["auth_method"]) == (
        tenant.subscription_id,
        None,
        "api_key",
    )
    for path in ("/v1/subscriptions", "/v1/subscriptions/nobody", f"/v1/subscriptions/{uuid4()}"):
        assert traced(operator, "GET", path)["subscription_id"] is None


def test_a_call_into_anothers_subscription_is_of_the_callers_own(tenant: Tenant, stranger: Tenant) -> None:
    row = traced(tenant.ana, "GET", f"{stranger.path}/workspaces")
    assert (row["response_status"], row["subscription_id"]) == (404, tenant.subscription_id)


def test_a_fault_of_the_server_has_its_traceback(tenant: Tenant) -> None:
    ok(tenant.ana.get(f"{tenant.path}/workspaces"))
    with audit_refused(tenant):
        row = traced(tenant.ana, "POST", f"{tenant.path}/workspaces", {"name": "w"})
    assert row["response_status"] == 500
    assert row["error_message"] == "internal: The server failed; the log has the details."
    assert row["error_traceback"].startswith("Traceback (most recent call last):")
    assert "no audit" in row["error_traceback"]
    assert row["subscription_id"] == tenant.subscription_id


def test_a_method_and_a_path_of_any_kind_have_a_row(server: Server) -> None:
    long = traced(server.nobody, "GET", "/" + "a" * 2000)
    assert re.fullmatch(r"/a{400,} … \[cut: 2001 bytes\]", long["endpoint"])
    assert len(long["endpoint"]) <= 500
    odd = traced(server.nobody, "UNSUBSCRIBE", "/a%00b/%ff?a%00=%ff")
    assert odd["http_method"] == "UNSUBSCRIB"
    assert odd["endpoint"] == "/a\ufffdb/\ufffd"
    assert odd["query_params"] == {"a\ufffd": "\ufffd"}
    assert odd["response_status"] == 404
    agent = traced(server.nobody, "GET", "/version", headers={"user-agent": "é 🙂".encode()})
    assert agent["user_agent"] == "é 🙂"


def test_secrets_are_masked_wherever_they_are(server: Server) -> None:
    secret = "hunter2-hunter2"
    headers = {"user-agent": f"x --password={secret}", "referer": f"https://ana:{secret}@example.org/"}
    path = f"/nothing/password={secret}?token={secret}&a=b&api_key={secret}"
    row = traced(server.nobody, "GET", path, headers=headers)
    assert secret not in str(row)
    assert row["query_params"]["a"] == "b"
    assert set(row["query_params"]) == {"token", "a", "api_key"}


def test_probes_leave_a_row_only_when_they_fail(server: Server) -> None:
    request_id = f"probe-{uuid4()}"
    headers = {"x-request-id": request_id, **server.another_address()}
    for path in ("/livez", "/readyz", "/metrics", "/version"):
        server.http.get(path, headers=headers)
    server.http.post("/livez", headers=headers)
    found = rows(server, 2, request_id=request_id)
    assert [(row["endpoint"], row["response_status"]) for row in found] == [
        ("/livez", 405),
        ("/version", 200),
    ]


# -- clients that go, and git -----------------------------------------------------------------------------


def test_a_client_that_goes_before_its_request_was_read_is_499(tenant: Tenant) -> None:
    request_id = f"gone-{uuid4()}"
    address = urlsplit(tenant.server.url)
    assert address.port
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(
            f"POST {tenant.path}/workspaces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {tenant.ana.key}\r\nX-Request-Id: {request_id}\r\n"
            'Content-Length: 100\r\n\r\n{"name"'.encode()
        )
        time.sleep(0.3)
    [row] = rows(tenant.server, request_id=request_id)
    assert (row["response_status"], row["request_bytes"]) == (499, 7)
    assert (row["user_id"], row["response_bytes"]) == (tenant.ana.user_id, 0)


def test_a_clone_that_is_broken_off_is_499(tenant: Tenant) -> None:
    tenant.workflow(definition={"noise": "".join(str(uuid4()) for _ in range(200_000))})
    request_id = f"broken-{uuid4()}"
    body = line(f"want {tenant.main()}\n") + FLUSH + line("done\n")
    headers = {"authorization": f"Bearer {tenant.ana.key}", "x-request-id": request_id}
    how = {"content": body, "headers": headers}
    with tenant.server.http.stream("POST", upload_pack(tenant), **how) as answer:  # type: ignore[arg-type]
        assert answer.status_code == 200
        assert next(answer.iter_bytes())
    [row] = rows(tenant.server, request_id=request_id)
    assert (row["response_status"], row["request_bytes"]) == (499, len(body))
    assert row["response_bytes"] > 0


def test_a_clone_has_a_row_for_each_of_its_requests(tenant: Tenant, home: Path) -> None:
    tenant.workflow(definition={"noise": "".join(str(uuid4()) for _ in range(20_000))})
    tenant.clone(home / "clone", tenant.ben)
    path = f"/git/{tenant.subscription_id}.git"
    [refs] = rows(tenant.server, endpoint=f"{path}/info/refs", user_id=tenant.ben.user_id)
    assert (refs["response_status"], refs["query_params"]) == (200, {"service": "git-upload-pack"})
    packs = rows(tenant.server, 2, endpoint=f"{path}/git-upload-pack")
    for row in (refs, *packs):
        assert row["user_id"] == tenant.ben.user_id
        assert row["subscription_id"] == tenant.subscription_id
        assert row["user_agent"].startswith("git/")
        assert (row["request_body"], row["response_body"]) == (None, None)
    assert packs[0]["response_bytes"] > 300_000
    assert packs[0]["request_bytes"] > 50


# -- reading ----------------------------------------------------------------------------------------------


def read(tenant: Tenant, **query: Any) -> list[Json]:
    """Read the server log as an auditor, without the rows of the reading itself."""
    found = tenant.aud.pages(f"{tenant.path}/server-logs", **query)
    return [row for row in found if row["user_id"] != tenant.aud.user_id]


def visited(tenant: Tenant) -> list[Json]:
    """The rows of some traffic, newest first."""
    _ = tenant.aud
    request_id = ""
    for caller in (tenant.ben, tenant.ana):
        for path in ("/users", "/nothing", "/workspaces"):
            for _ in range(2):
                request_id = f"visit-{uuid4()}"
                caller.get(tenant.path + path, headers={"x-request-id": request_id})
    rows(tenant.server, request_id=request_id)
    return read(tenant)


def test_rows_are_narrowed_by_each_filter_and_by_all(tenant: Tenant) -> None:
    everything = visited(tenant)
    one = next(row for row in everything if row["response_status"] == 403)
    names = ("log_id", "endpoint", "user_id", "ip_address", "request_id")
    for name in names:
        expected = [row for row in everything if row[name] == one[name]]
        assert read(tenant, **{name: one[name]}) == expected
    at = one["created_at"]
    later = [row for row in everything if row["created_at"] >= at]
    earlier = [row for row in everything if row["created_at"] <= at]
    assert read(tenant, since=at) == later
    assert read(tenant, until=at) == earlier
    assert read(tenant, since=at, until=at) == [one]
    everyone = {name: one[name] for name in names}
    assert read(tenant, status="403", since=at, until=at, **everyone) == [one]
    assert read(tenant, status="404", **everyone) == []
    assert read(tenant, user_id=str(uuid4())) == []
    assert read(tenant, endpoint=tenant.path) == []


@pytest.mark.parametrize(
    ("status", "lowest", "highest"),
    [("200", 200, 200), ("403", 403, 403), ("2xx", 200, 299), ("4xx", 400, 499), ("5xx", 500, 599)],
)
def test_a_status_is_a_number_or_a_class(shared: Tenant, status: str, lowest: int, highest: int) -> None:
    expected = [row for row in visited(shared) if lowest <= row["response_status"] <= highest]
    assert expected or status == "5xx"
    until = expected[0]["created_at"] if expected else None
    found = read(shared, status=status, **{} if until is None else {"until": until})
    assert found == expected


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        *(({"status": status}, "status") for status in ("", "4", "6xx", "099", "4XX", "xx", "-1", "200,404")),
        ({"user_id": "x" * 256}, "user_id"),
        ({"ip_address": "1.2.3"}, "ip_address"),
        ({"endpoint": "\0"}, "endpoint"),
        ({"request_id": "x" * 501}, "request_id"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026"}, "since"),
        ({"until": "2026-01-01T00:00:00"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"action": "CREATE"}, "action"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_refused(
    shared: Tenant, query: dict[str, str], parameter: str
) -> None:
    for caller, path in (
        (shared.aud, f"{shared.path}/server-logs"),
        (shared.server.operator, "/v1/server-logs"),
    ):
        response = caller.get(path, params=query)
        assert pointers(refused(response, 422, "invalid")) == [parameter]


@pytest.mark.parametrize("limit", [1, 3, 200])
def test_paging_gives_every_row_once_newest_first(shared: Tenant, limit: int) -> None:
    expected = visited(shared)
    found = read(shared, limit=limit, until=expected[0]["created_at"])
    assert found == expected
    places = [(row["created_at"], row["log_id"]) for row in found]
    assert places == sorted(places, reverse=True)


def test_a_page_is_stable_while_rows_come_in(tenant: Tenant) -> None:
    before = visited(tenant)
    path = f"{tenant.path}/server-logs"
    first = tenant.aud.get(path, params={"limit": 3})
    visited(tenant)
    cursor = ok(first)["next_cursor"]
    rest = tenant.aud.pages(path, cursor=cursor, limit=3)
    assert [row for row in first.json()["items"] + rest if row["user_id"] != tenant.aud.user_id] == before
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)
    for query in ({"status": "4xx"}, {"since": "2026-01-01T00:00:00Z"}, {"user_id": str(uuid4())}):
        response = tenant.aud.get(path, params={"cursor": cursor, **query})
        assert pointers(refused(response, 422, "invalid")) == ["cursor"]
    refused(tenant.server.operator.get("/v1/server-logs", params={"cursor": cursor}), 422, "invalid")


def test_an_auditor_sees_its_own_subscription_alone(tenant: Tenant, stranger: Tenant) -> None:
    visited(tenant)
    rows(tenant.server, request_id=traced(tenant.server.nobody, "GET", tenant.path)["request_id"])
    visited(stranger)
    for one in (tenant, stranger):
        found = one.aud.pages(f"{one.path}/server-logs")
        assert {row["subscription_id"] for row in found} == {one.subscription_id}
    refused(stranger.aud.get(f"{tenant.path}/server-logs"), 404, "subscription_not_found")
    seen = tenant.server.operator.pages("/v1/server-logs", limit=200)
    assert {tenant.subscription_id, stranger.subscription_id, None} <= {
        row["subscription_id"] for row in seen
    }


@pytest.mark.parametrize("name", ["vera", "ben", "aud", "ana"])
def test_the_log_of_the_platform_is_the_operators(shared: Tenant, name: str) -> None:
    refused(shared.caller(name).get("/v1/server-logs"), 403, "forbidden")
    refused(shared.server.nobody.get("/v1/server-logs"), 401, "unauthenticated")


def test_a_time_without_rows_is_an_empty_page(shared: Tenant) -> None:
    later = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    assert read(shared, since=later) == []
    for name in ("since", "until"):
        for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
            response = shared.aud.get(f"{shared.path}/server-logs", params={name: at})
            assert response.status_code in (200, 422)
