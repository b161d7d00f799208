"""Statistics of the server log: equal to figures of all rows, made one by one."""

import math
import statistics as reference
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from service.http.server_log import writer
from tests.support.api import Json, Tenant, ok, pointers, refused

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def posted(number: int) -> Json:
    """Make a request of a platform; some have neither a route nor a status nor a time."""
    return {
        "request_id": f"r{number}",
        "occurred_at": (DAY + timedelta(minutes=17 * number)).isoformat(),
        "http_method": "GET" if number % 3 else "POST",
        "route": None if number % 7 == 0 else f"/orders/{{id}}/{number % 4}",
        "endpoint": f"/orders/{number}",
        "response_status": None if number % 11 == 0 else (200, 404, 500, 201, 302)[number % 5],
        "response_time_ms": None if number % 13 == 0 else number * number % 977,
        "request_bytes": number,
        "response_bytes": None if number % 5 == 0 else 10 * number,
        "source": "shop",
    }


@pytest.fixture(scope="module")
def filled(request: pytest.FixtureRequest) -> Tenant:
    """A tenant with 300 requests of four days."""
    tenant = Tenant(request.getfixturevalue("server"), "requests")
    body = [posted(number) for number in range(1, 301)]
    ok(tenant.ana.post(f"{tenant.path}/server-logs?import=true", body), 201)
    return tenant


def percentile(values: Sequence[float], share: float) -> float | None:
    """Interpolate between the two nearest values."""
    if not values:
        return None
    place = (len(values) - 1) * share
    low, high = sorted(values)[math.floor(place)], sorted(values)[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def figures(rows: Sequence[Json], seconds: float, measure: str) -> Json:
    statuses = [row["response_status"] or 0 for row in rows]
    measured = [row[measure] for row in rows if row[measure] is not None]
    return {
        "count": len(rows),
        "client_errors": sum(400 <= each < 500 for each in statuses),
        "server_errors": sum(each >= 500 for each in statuses),
        "request_bytes": sum(row["request_bytes"] or 0 for row in rows),
        "response_bytes": sum(row["response_bytes"] or 0 for row in rows),
        "sum": sum(measured) if measured else None,
        **{f"p{share}": percentile(measured, share / 100) for share in (50, 95, 99)},
        "rate": len(rows) / seconds,
    }


@pytest.mark.parametrize("measure", ["response_time_ms", "request_bytes", "response_bytes"])
@pytest.mark.parametrize("groups", [[], ["route"], ["http_method", "route"], ["response_status"]])
def test_requests_are_counted_by_day_and_group(filled: Tenant, groups: list[str], measure: str) -> None:
    # The second bucket ends at noon, and its rate is that of half a day.
    until = DAY + timedelta(hours=36)
    times = {"since": DAY.isoformat(), "until": until.isoformat(), "time": "occurred_at"}
    rows = filled.aud.pages(f"{filled.path}/server-logs", limit=200, source="shop", **times)
    assert len(rows) == 127
    query: Json = {**times, "source": "shop", "bucket": "1d", "measure": measure, "group_by": groups}
    found = ok(filled.aud.get(f"{filled.path}/server-logs/stats", params=query))["buckets"]
    parts: dict[tuple[Any, ...], list[Json]] = {}
    for row in rows:
        values = [None if row[name] is None else str(row[name]) for name in groups]
        parts.setdefault((row["occurred_at"][:10], *values), []).append(row)
    expected = {
        place: figures(members, 86_400 if place[0] == "2026-03-01" else 43_200, measure)
        for place, members in parts.items()
    }
    assert {(item["time"][:10], *item["groups"]): item for item in found}.keys() == expected.keys()
    for item in found:
        wanted = expected[item["time"][:10], *item["groups"]]
        assert {name: item[name] for name in wanted} == pytest.approx(wanted)


def test_the_slowest_routes_of_a_time_come_first(filled: Tenant) -> None:
    query: Json = {
        "since": DAY.isoformat(),
        "until": (DAY + timedelta(days=4)).isoformat(),
        "time": "occurred_at",
        "source": "shop",
        "bucket": "all",
        "group_by": "route",
        "order": "p95",
        "limit": 2,
    }
    found = ok(filled.aud.get(f"{filled.path}/server-logs/stats", params=query))["buckets"]
    rest = ok(filled.aud.get(f"{filled.path}/server-logs/stats", params={**query, "limit": 100}))["buckets"]
    assert found == rest[:2]
    assert [item["p95"] for item in rest] == sorted((item["p95"] for item in rest), reverse=True)
    assert len(rest) == 5


def test_each_call_of_the_api_has_its_route(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FLUSH_SECONDS", 0.05)
    workflow = tenant.workflow()
    for _ in range(3):
        ok(tenant.vera.get(tenant.at(workflow)))
    refused(tenant.vera.get(f"{tenant.path}/workflows/{uuid4()}"), 404, "resource_not_found")
    tenant.server.flush_log()
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    query: Json = {"since": since, "bucket": "all", "group_by": ["route", "response_status"]}
    query["user_id"] = tenant.vera.user_id
    found = ok(tenant.aud.get(f"{tenant.path}/server-logs/stats", params=query))["buckets"]
    route = "/v1/subscriptions/{subscription_id}/{collection}/{resource_id}"
    assert {(*item["groups"], item["count"]) for item in found} == {(route, "200", 3), (route, "404", 1)}
    # The operator has them by subscription, with its name.
    of_all = {"since": since, "bucket": "all", "group_by": ["subscription_id", "route"]}
    everything = ok(tenant.server.operator.get("/v1/server-logs/stats", params=of_all))
    groups = [item["groups"] for item in everything["buckets"]]
    assert [tenant.subscription_id, route] in groups
    assert everything["names"][tenant.subscription_id]


def test_another_tenants_requests_are_not_counted(filled: Tenant, stranger: Tenant) -> None:
    query: Json = {"since": DAY.isoformat(), "time": "occurred_at", "bucket": "all", "source": "shop"}
    assert ok(stranger.aud.get(f"{stranger.path}/server-logs/stats", params=query))["buckets"] == []
    refused(stranger.aud.get(f"{filled.path}/server-logs/stats", params=query), 404, "subscription_not_found")


def test_the_platforms_own_events_are_counted_for_the_operator(tenant: Tenant) -> None:
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    query: Json = {"since": since, "bucket": "all", "group_by": ["action", "status"], "order": "count"}
    found = ok(tenant.server.operator.get("/v1/audit-logs/stats", params=query))["buckets"]
    counts = [item["count"] for item in found]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) >= reference.mode(counts) > 0
    refused(tenant.ana.get("/v1/audit-logs/stats", params=query), 403, "forbidden")
    refused(tenant.ana.get("/v1/server-logs/stats", params=query), 403, "forbidden")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"group_by": "endpoint"}, "group_by"),
        ({"group_by": "subscription_id"}, "group_by"),
        ({"measure": "duration_ms"}, "measure"),
        ({"bucket": "all"}, "since"),
        ({"order": "rate"}, "order"),
    ],
)
def test_what_breaks_a_rule_is_refused(shared: Tenant, query: Json, parameter: str) -> None:
    response = shared.aud.get(f"{shared.path}/server-logs/stats", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]
