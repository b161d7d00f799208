"""Facets of the audit log: counts by action, type, user and status within a filter."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import Json, Server, Tenant, ok, pointers, refused

NAMES = ("action", "resource_type", "user_id", "status")
# Users 1 to 60, of whom user n has n events, some of nobody, and a row that stands for seven attempts.
FILL = """
INSERT INTO audit_logs (audit_id, created_at, subscription_id, user_id, action, resource_type, status,
    occurrences)
SELECT gen_random_uuid(), now() - n * interval '10 minutes', %(s)s::uuid, lpad(to_hex(n), 32, '0')::uuid,
    CASE WHEN m %% 4 = 0 THEN 'LOGIN' ELSE 'EXECUTE' END, 'job' || n %% 3,
    CASE WHEN m %% 5 = 0 THEN 'failed' ELSE 'success' END, 1
FROM generate_series(1, 60) n, generate_series(1, n) m
UNION ALL
SELECT gen_random_uuid(), now() - interval '1 hour', %(s)s::uuid, NULL, 'SWEEP', 'job', 'unauthorized', n
FROM unnest(ARRAY[1, 7]) n
"""
TYPES = {"resource_type": ["job", "job0", "job1", "job2"]}


@pytest.fixture(scope="module")
def filled(server: Server) -> Tenant:
    """A subscription whose events are known; another one has the same."""
    filled, other = Tenant(server, "faceted"), Tenant(server, "other")
    with server.database.connection() as connection:
        for tenant in (filled, other):
            connection.execute(FILL, {"s": tenant.subscription_id})
    return filled


def facets(tenant: Tenant, **query: Any) -> Json:
    """Read the facets as an auditor."""
    return ok(tenant.aud.get(f"{tenant.path}/audit-logs/facets", params=query))


def counts(facet: Json) -> dict[str | None, int]:
    return {item["value"]: item["count"] for item in facet["values"]}


def test_each_facet_has_the_fifty_highest_counts_and_the_sum_of_the_others(filled: Tenant) -> None:
    found = facets(filled, **TYPES)
    total = sum(range(1, 61)) + 8
    assert found["count"] == total
    users = found["user_id"]
    assert [item["count"] for item in users["values"]] == list(range(60, 10, -1))
    assert users["values"][0]["value"] == str(UUID(int=60))
    # Ten users, and the events of nobody.
    assert (users["others"], users["other_values"]) == (sum(range(1, 11)) + 8, 11)
    for name in ("action", "resource_type", "status"):
        assert sum(counts(found[name]).values()) == total
        assert (found[name]["others"], found[name]["other_values"]) == (0, 0)
    assert counts(found["resource_type"])["job"] == counts(found["status"])["unauthorized"] == 8


def test_events_of_nobody_have_a_value_of_null(filled: Tenant) -> None:
    found = facets(filled, action="sweep", **TYPES)
    assert found["user_id"]["values"] == [{"value": None, "name": None, "count": 8}]
    assert counts(found["action"]) == {"SWEEP": 8}


@pytest.mark.parametrize(
    "query",
    [
        {"status": ["failed", "unauthorized"]},
        {"without": "execute"},
        {"action": ["login", "sweep"], "status": "SUCCESS"},
        {"user_id": [str(UUID(int=7)), str(UUID(int=9))]},
        {"until": (datetime.now(UTC) - timedelta(hours=5)).isoformat()},
    ],
)
def test_the_filters_are_those_of_the_page(filled: Tenant, query: Json) -> None:
    found = facets(filled, **{**TYPES, **query})
    rows = filled.aud.pages(f"{filled.path}/audit-logs", limit=200, **{**TYPES, **query})
    for name in NAMES:
        expected: Counter[str | None] = Counter()
        for row in rows:
            expected[row[name]] += row["occurrences"]
        assert counts(found[name]).items() <= expected.items()
        assert sum(counts(found[name]).values()) + found[name]["others"] == expected.total() == found["count"]


def test_users_have_their_names(tenant: Tenant) -> None:
    tenant.workflow(by=tenant.ben)
    found = facets(tenant, action="CREATE", resource_type="workflow")
    assert found["user_id"]["values"] == [{"value": tenant.ben.user_id, "name": "ben", "count": 1}]
    assert found["action"]["values"] == [{"value": "CREATE", "name": None, "count": 1}]


def test_nothing_is_counted_where_nothing_matches(filled: Tenant) -> None:
    empty = {"values": [], "others": 0, "other_values": 0}
    for query in ({"action": "NOTHING"}, {"user_id": ["nobody", "noone"]}):
        found = facets(filled, **query)
        assert found["count"] == 0
        assert [found[name] for name in NAMES] == [empty] * 4


def test_without_a_beginning_the_last_hundred_hours_count(filled: Tenant) -> None:
    until = "2026-06-10T12:34:56Z"
    assert facets(filled, until=until)["since"] == "2026-06-06T09:00:00Z"
    since = "2021-05-05T05:05:05Z"
    assert facets(filled, since=since)["since"] == since
    whole = facets(filled, since=since, **TYPES)
    assert whole["count"] == facets(filled, **TYPES)["count"]


def test_the_events_own_time_bounds_them_too(tenant: Tenant) -> None:
    long_ago = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    late = {"action": "APPROVE", "resource_type": "invoice", "occurred_at": long_ago}
    body = [late, {**late, "occurred_at": None}]
    ok(tenant.ana.post(f"{tenant.path}/audit-logs?import=true", body), 201)
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert facets(tenant, action="APPROVE", since=since)["count"] == 2
    assert facets(tenant, action="APPROVE", since=since, time="occurred_at")["count"] == 1
    until = (datetime.now(UTC) - timedelta(days=29)).isoformat()
    assert facets(tenant, action="APPROVE", until=until, time="occurred_at")["count"] == 1


def test_the_reading_is_one_event_with_its_filters(filled: Tenant) -> None:
    request_id = f"facets-{uuid4()}"
    query = {"action": ["LOGIN", "SWEEP"], "without": "READ"}
    path = f"{filled.path}/audit-logs/facets"
    found = ok(filled.aud.get(path, params=query, headers={"x-request-id": request_id}))
    rows = filled.server.database.rows(
        "SELECT resource_type, new_values FROM audit_logs WHERE request_id = %s AND action = 'READ'",
        request_id,
    )
    [(kind, values)] = rows
    assert kind == "audit_log"
    assert values["filters"].items() >= {**query, "facets": list(NAMES)}.items()
    assert values["filters"]["since"].startswith(found["since"][:19])
    assert values["rows"] == sum(len(found[name]["values"]) for name in NAMES)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"bucket": "1h"}, "bucket"),
        ({"cursor": "x"}, "cursor"),
        ({"status": "maybe"}, "status"),
        ({"since": "2026"}, "since"),
        ({"action": [f"A{n}" for n in range(21)]}, "action"),
        ({"action": [f"A{n}" for n in range(20)], "source": list("abcdef")}, "action"),
    ],
)
def test_unfit_parameters_are_refused(filled: Tenant, query: Json, parameter: str) -> None:
    response = filled.aud.get(f"{filled.path}/audit-logs/facets", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]


def test_facets_that_take_too_long_end(filled: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    # The auditor's first call is a LOGIN in the log that is locked below.
    ok(filled.aud.get(f"{filled.path}/audit-logs/facets"))
    monkeypatch.setattr("sql.log_statistics.SECONDS", 0.05)
    with filled.server.database.connection() as connection:
        connection.autocommit = False
        connection.execute("LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE")
        response = filled.aud.get(f"{filled.path}/audit-logs/facets")
        connection.rollback()
    refused(response, 503, "query_too_long")
