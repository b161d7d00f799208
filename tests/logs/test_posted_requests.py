"""Requests to a platform's own servers, which it posts: every field, filters, masking, faults."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.events import REQUEST
from tests.support.streams import check_lines
from tests.support.waiting import until

FULL: Json = {
    "request_id": "r-" + "x" * 126,
    "http_method": "PROPFIND",
    "endpoint": "/orders/é",
    "user_id": "mira@shop",
    "auth_method": "oauth2",
    "query_params": {"page": ["1", "2"], "q": None},
    "request_body": [1, {"a": None}],
    "response_status": 503,
    "response_body": "not JSON, but a text",
    "response_time_ms": 12,
    "ip_address": "2001:db8::7",
    "user_agent": "curl/8",
    "referer": "https://shop.example/",
    "error_message": "no such order",
    "error_traceback": "Traceback\n  line 1",
    "request_bytes": 0,
    "response_bytes": 2**63 - 1,
    "occurred_at": None,
    "source": "shop",
}


def post(tenant: Tenant, body: object, **headers: str) -> Json:
    """Post requests, and return the answer to their acceptance."""
    return ok(tenant.ben.post(f"{tenant.path}/server-logs", body, headers=headers), 201)


def posted(tenant: Tenant, **query: Any) -> list[Json]:
    """Read posted requests as an auditor."""
    return tenant.aud.pages(f"{tenant.path}/server-logs", origin="posted", **query)


def test_every_field_comes_back_as_it_was_sent(tenant: Tenant) -> None:
    at = datetime.now(UTC) - timedelta(days=2)
    sent = FULL | {"occurred_at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    answer = post(tenant, sent)
    [found] = posted(tenant)
    assert answer == {"accepted": 1, "ids": [found["log_id"]]}
    expected = {
        "user_id": tenant.ben.user_id,
        "actor_id": "mira@shop",
        "subscription_id": tenant.subscription_id,
        "origin": "posted",
        "occurrences": 1,
    }
    assert found == found | sent | expected
    assert datetime.now(UTC) - datetime.fromisoformat(found["created_at"]) < timedelta(minutes=1)


def test_a_field_that_is_left_out_is_null(tenant: Tenant) -> None:
    post(tenant, {"request_id": "bare"})
    [found] = posted(tenant)
    for name in FULL.keys() - {"request_id", "user_id", "occurred_at"} | {"actor_id"}:
        assert found[name] is None
    assert found["occurred_at"] == found["created_at"]


def test_posted_requests_are_found_by_each_of_their_fields(tenant: Tenant) -> None:
    other = {
        "request_id": "r-2",
        "endpoint": "/x",
        "user_id": "kim",
        "response_status": 200,
        "ip_address": "10.0.0.9",
        "source": "billing",
    }
    post(tenant, [FULL, other])
    assert len(posted(tenant)) == 2
    for name, value in other.items():
        name = {"user_id": "actor_id", "response_status": "status"}.get(name, name)
        assert [row["request_id"] for row in posted(tenant, **{name: value})] == ["r-2"], name
    assert len(posted(tenant, user_id="ben")) == 2
    both = posted(tenant, source="shop", actor_id="mira@shop", status="5xx")
    assert [row["request_id"] for row in both] == [FULL["request_id"]]


def test_the_own_requests_of_annals_are_told_apart(tenant: Tenant) -> None:
    post(tenant, REQUEST, **{"x-request-id": "the-post"})
    query = {"origin": "annals", "request_id": "the-post"}
    # Annals writes its own rows every second.
    until(lambda: tenant.aud.pages(f"{tenant.path}/server-logs", **query))
    own = tenant.aud.pages(f"{tenant.path}/server-logs", **query)
    assert [(row["origin"], row["endpoint"]) for row in own] == [("annals", f"{tenant.path}/server-logs")]
    assert [row["request_id"] for row in posted(tenant)] == ["r-1"]
    of_tenant = {"origin": "posted", "subscription_id": tenant.subscription_id}
    platform = tenant.server.operator.pages("/v1/server-logs", **of_tenant)
    assert [row["request_id"] for row in platform] == ["r-1"]


def test_a_time_in_milliseconds_is_rounded(tenant: Tenant) -> None:
    post(tenant, REQUEST | {"response_time_ms": 12.6})
    assert posted(tenant)[0]["response_time_ms"] == 13


def test_secrets_and_addresses_in_a_posted_request_are_masked(tenant: Tenant) -> None:
    secret = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD3fG6"
    texts = ("endpoint", "user_agent", "referer", "error_message", "error_traceback")
    body = {"password": "hunter22", "email": "mira@shop.example", "n": 1}
    post(tenant, REQUEST | dict.fromkeys(texts, f"/a?token={secret}") | {
        "query_params": {"access_token": secret}, "request_body": body, "response_body": [body],
    })  # fmt: skip
    shown = repr(posted(tenant))
    assert secret not in shown
    assert "hunter22" not in shown
    assert "mira@shop.example" not in shown


def test_large_bodies_and_texts_are_cut(tenant: Tenant) -> None:
    sent = {"request_body": {"rows": ["word"] * 50_000}, "error_traceback": "line of a trace\n" * 10_000}
    post(tenant, REQUEST | sent | {"endpoint": "/a" * 2_000})
    [found] = posted(tenant)
    assert found["request_body"]["truncated"] is True
    assert len(found["error_traceback"]) <= 32 * 1024
    assert len(found["endpoint"]) <= 500


BAD: list[tuple[Json, str]] = [
    ({"request_id": None}, "/request_id"),
    ({"request_id": "x" * 129}, "/request_id"),
    ({"http_method": "x" * 11}, "/http_method"),
    ({"endpoint": 7}, "/endpoint"),
    ({"user_id": ""}, "/user_id"),
    ({"query_params": []}, "/query_params"),
    ({"response_status": 99}, "/response_status"),
    ({"response_status": 600}, "/response_status"),
    ({"response_status": "200"}, "/response_status"),
    ({"response_time_ms": -1}, "/response_time_ms"),
    ({"response_time_ms": 2**31}, "/response_time_ms"),
    ({"ip_address": "10.0.0"}, "/ip_address"),
    ({"request_bytes": 2**63}, "/request_bytes"),
    ({"source": "x" * 201}, "/source"),
    ({"occurred_at": "2026-11-01"}, "/occurred_at"),
    ({"occurred_at": "2000-01-01T00:00:00Z"}, "/occurred_at"),
    ({"created_at": "2999-01-01T00:00:00Z"}, "/created_at"),
    ({"occurred_at": "2026-11-30T00:00:00Z", "created_at": "2026-11-30T00:00:00Z"}, "/created_at"),
    ({"log_id": "01a22801-82a5-7746-9d1a-bf81fda95c2d"}, "/log_id"),
    ({"origin": "annals"}, "/origin"),
]


@pytest.mark.parametrize(("change", "pointer"), BAD)
@pytest.mark.sampled(10)
def test_a_bad_field_is_named_and_nothing_is_stored(tenant: Tenant, change: Json, pointer: str) -> None:
    answer = tenant.ben.post(f"{tenant.path}/server-logs", [REQUEST, REQUEST | change])
    assert pointers(refused(answer, 422, "invalid")) == [f"/1{pointer}"]
    assert posted(tenant) == []


def test_a_request_of_any_past_is_imported_by_an_admin(tenant: Tenant) -> None:
    path, old = f"{tenant.path}/server-logs?import=true", REQUEST | {"occurred_at": "2019-05-01T10:00:00Z"}
    refused(tenant.ben.post(path, old), 403, "forbidden")
    ok(tenant.ana.post(path, old), 201)
    assert posted(tenant)[0]["occurred_at"] == "2019-05-01T10:00:00Z"
    assert posted(tenant, time="occurred_at", until="2019-06-01T00:00:00Z") == posted(tenant)


def test_a_post_is_recorded_once_with_its_key(tenant: Tenant) -> None:
    key = {"idempotency-key": "once"}
    first = post(tenant, [REQUEST, FULL], **key)
    assert post(tenant, [REQUEST, FULL], **key) == first == {"accepted": 2}
    assert len(posted(tenant)) == 2
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", resource_type="server_log", action="RECORD")
    assert event["new_values"] == {"accepted": 2}


def test_lines_are_stored_and_a_bad_one_is_named(tenant: Tenant) -> None:
    check_lines(tenant, "server-logs", [REQUEST, FULL], lambda: posted(tenant))
