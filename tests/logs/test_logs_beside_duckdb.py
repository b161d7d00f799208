"""Pages and statistics of thousands of rows, by either time, equal what DuckDB makes of the posted rows."""

import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.api import Json, Server, Tenant, ok
from tests.support.duckdb_logs import Question, Reference
from tests.support.senders import SENDERS

# ANNALS_TEST_QUESTIONS asks more random questions than a run in between has time for.
QUESTIONS = int(os.environ.get("ANNALS_TEST_QUESTIONS", "20"))
COPIES = 20
MOST_AT_ONCE = 1_000
IDS = {"audit-logs": "audit_id", "execution-logs": "log_id"}
COLUMNS = {
    "audit-logs": (
        *("occurred_at", "created_at", "event_id", "source", "action", "resource_type", "resource_id"),
        *("status", "actor_id", "ip_address"),
    ),
    "execution-logs": (
        *("occurred_at", "created_at", "n", "source", "execution_id", "execution_type", "workflow_id"),
        *("node_id", "log_level", "status", "error_code", "triggered_by", "duration_ms", "rows_processed"),
        "memory_used_mb",
    ),
}
FILTERS = {
    "audit-logs": ("source", "action", "resource_type", "resource_id", "status", "actor_id", "ip_address"),
    "execution-logs": (
        *("source", "execution_id", "execution_type", "workflow_id", "node_id", "log_level", "status"),
        *("error_code", "triggered_by"),
    ),
}
GROUPS = {
    "audit-logs": ("action", "resource_type", "status", "source", "actor_id"),
    "execution-logs": ("execution_type", "status", "log_level", "workflow_id", "node_id", "error_code"),
}
# Filters that take several values.
SEVERAL = {
    "audit-logs": ("source", "action", "resource_type", "status"),
    "execution-logs": ("workflow_id", "node_id", "log_level", "status", "error_code"),
}
# Values of fields that are left out.
DEFAULTS: dict[str, Json] = {"audit-logs": {"status": "success"}, "execution-logs": {}}
# What parts the posted rows from Annals' own in the same log.
POSTED = {"audit-logs": {"origin": "posted"}, "execution-logs": {}}
EXECUTION_FIGURES = (
    *("count", "failed", "avg_duration_ms", "max_duration_ms", "rows_processed"),
    *("sum", "p50", "p95", "p99"),
)
MEASURES = ("duration_ms", "rows_processed", "memory_used_mb")
WIDTHS = {"6h": "6 hours", "1d": "1 day", "7d": "7 days", "2w": "14 days"}
LOGS = pytest.mark.parametrize("log", list(IDS))

Filled = dict[str, tuple[Tenant, Reference, list[Json]]]


@pytest.fixture(scope="module")
def filled(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Thousands of rows in each log, and the same rows in DuckDB."""
    rng = random.Random(20)
    tenant = Tenant(server, "filled")
    found: Filled = {}
    for log in IDS:
        sent = reported(log, rng)
        for begin in range(0, len(sent), MOST_AT_ONCE):
            batch = sent[begin : begin + MOST_AT_ONCE]
            ok(tenant.ana.post(f"{tenant.path}/{log}?import=true", batch), 201)
        shown_rows = tenant.aud.pages(f"{tenant.path}/{log}", limit=200, **POSTED[log])
        stored = {key(log, row): row for row in shown_rows}
        rows = [with_arrival(log, body, stored[key(log, body)]) for body in sent]
        assert len(stored) == len(rows)
        found[log] = tenant, Reference(tmp_path_factory.mktemp("duckdb"), log, COLUMNS[log], rows), rows
    return found


def reported(log: str, rng: random.Random) -> list[Json]:
    """Make bodies of the samples, with random times of a year: many equal, some left out."""
    now = datetime.now(UTC)
    moments = [now - timedelta(seconds=rng.uniform(0, 365 * 86_400)) for _ in range(1_000)]
    found: list[Json] = []
    samples = [body for sender in SENDERS.values() if sender.log == log for body in sender.bodies()]
    for body in samples * COPIES:
        made = {**body, "occurred_at": rng.choice(moments).isoformat()}
        if rng.random() < 0.1:
            del made["occurred_at"]
        if log == "audit-logs":
            made["event_id"] = str(len(found))
            made.pop("new_values", None)
        else:
            made["log_details"] = {"n": len(found)}
            made["rows_processed"] = rng.choice([None, 0, 17, 2**40])
        found.append(made)
    rng.shuffle(found)
    return found


def key(log: str, row: Json) -> object:
    """Return the number that a row was posted with."""
    return row["event_id"] if log == "audit-logs" else row["log_details"]["n"]


def with_arrival(log: str, body: Json, row: Json) -> Json:
    """Make the row of DuckDB: the posted values, with the id and the arrival of Annals."""
    values = {
        **DEFAULTS[log],
        **body,
        "actor_id": body.get("actor", {}).get("id"),
        "n": body.get("log_details", {}).get("n"),
        "id": row[IDS[log]],
        "created_at": row["created_at"],
    }
    return {
        name: instant(value) if name.endswith("_at") and value is not None else value
        for name, value in ((name, values.get(name)) for name in ("id", *COLUMNS[log]))
    }


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def question(log: str, rows: list[Json], rng: random.Random) -> Question:
    """Ask for values of a random row, and between two random times."""
    row = rng.choice(rows)
    names = [name for name in FILTERS[log] if row[name] is not None]
    equal = {name: row[name] for name in rng.sample(names, rng.choice([0, 1, 1, 2, 3]))}
    for name in rng.sample(SEVERAL[log], rng.choice([0, 0, 1, 2])):
        others = [other[name] for other in rng.choices(rows, k=2) if other[name] is not None]
        equal |= {name: sorted({*others, equal[name]})} if name in equal else {}
    without: list[str] = []
    if log == "audit-logs" and rng.random() < 0.3:
        without = [other["action"] for other in rng.choices(rows, k=rng.choice([1, 3]))]
    time = rng.choice(["created_at", "occurred_at"])
    bounds = sorted(happened(rng.choice(rows), time) for _ in range(2))
    since, until = (bound if rng.random() < 0.7 else None for bound in bounds)
    return Question(time, equal, without, since, until)


def happened(row: Json, time: str) -> datetime:
    found: datetime = row[time] or row["created_at"]
    return found


def shown(log: str, row: Json) -> Json:
    """Take from an answer what DuckDB has."""
    values = {
        **row,
        "id": row[IDS[log]],
        "actor_id": (row.get("actor") or {}).get("id"),
        "n": key(log, row) if log == "execution-logs" else None,
    }
    return {name: values[name] for name in ("id", *COLUMNS[log]) if not name.endswith("_at")}


@pytest.mark.sampled(16)
@LOGS
@pytest.mark.parametrize("seed", range(QUESTIONS))
def test_pages_have_the_rows_of_duckdb_in_its_order(filled: Filled, log: str, seed: int) -> None:
    tenant, reference, rows = filled[log]
    rng = random.Random(seed)
    asked, limit = question(log, rows, rng), rng.choice([1, 3, 20, 50, 200])
    query: dict[str, Any] = {**asked.parameters, "limit": limit, **POSTED[log]}
    found: list[Json] = []
    for _ in range(6):
        page = ok(tenant.aud.get(f"{tenant.path}/{log}", params=query))
        found += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    expected = reference.page(asked, 6 * limit)
    assert [shown(log, row) for row in found] == [
        {name: value for name, value in row.items() if not name.endswith("_at")} for row in expected
    ]
    times = [(instant(row["occurred_at"]), instant(row["created_at"])) for row in found]
    assert times == [
        ((row["occurred_at"] or row["created_at"]).replace(tzinfo=UTC), row["created_at"].replace(tzinfo=UTC))
        for row in expected
    ]


@pytest.mark.sampled(20)
@LOGS
@pytest.mark.parametrize("seed", range(QUESTIONS))
def test_statistics_have_the_buckets_of_duckdb(filled: Filled, log: str, seed: int) -> None:
    tenant, reference, rows = filled[log]
    rng = random.Random(1_000 + seed)
    asked = question(log, rows, rng)
    if asked.since is None:
        asked = replace(asked, since=datetime.now(UTC) - timedelta(days=400))
    bucket, groups = rng.choice([*WIDTHS, "all"]), rng.sample(GROUPS[log], rng.randint(0, 2))
    measure = rng.choice(MEASURES)
    query = {**asked.parameters, "bucket": bucket, "group_by": groups, **POSTED[log]}
    query |= {"measure": measure} if log == "execution-logs" else {}
    found = ok(tenant.aud.get(f"{tenant.path}/{log}/stats", params=query))["buckets"]
    expected = reference.buckets(asked, WIDTHS.get(bucket), groups, measure)
    assert [item["time"] for item in found] == sorted(item["time"] for item in found)
    assert [item["group"] for item in found] == [item["groups"][0] if groups else None for item in found]
    places = [(None if bucket == "all" else instant(item["time"]), tuple(item["groups"])) for item in found]
    assert dict(zip(places, (figures(log, item) for item in found), strict=True)) == {
        place: pytest.approx(values) for place, values in expected.items()
    }


@pytest.mark.parametrize("order", ["count", "failed", "max_duration_ms", "sum", "p95"])
def test_the_first_groups_are_those_of_the_highest_figure(filled: Filled, order: str) -> None:
    tenant, reference, _ = filled["execution-logs"]
    asked = Question(time="occurred_at", since=datetime.now(UTC) - timedelta(days=400))
    groups = ("workflow_id", "node_id")
    query = {**asked.parameters, "bucket": "all", "group_by": groups, "order": order, "limit": 5}
    found = ok(tenant.aud.get(f"{tenant.path}/execution-logs/stats", params=query))["buckets"]
    place = EXECUTION_FIGURES.index(order)
    every = [row[place] for row in reference.buckets(asked, None, groups).values()]
    best = sorted((value for value in every if value is not None), reverse=True)[:5]
    assert [item[order] for item in found] == pytest.approx(best)


@pytest.mark.parametrize("seed", range(QUESTIONS))
def test_facets_have_the_counts_of_duckdb(filled: Filled, seed: int) -> None:
    tenant, reference, rows = filled["audit-logs"]
    asked = question("audit-logs", rows, random.Random(2_000 + seed))
    if asked.since is None:
        asked = replace(asked, since=datetime.now(UTC) - timedelta(days=400))
    query = {**asked.parameters, **POSTED["audit-logs"]}
    found = ok(tenant.aud.get(f"{tenant.path}/audit-logs/facets", params=query))
    for name in ("action", "resource_type", "status"):
        expected = reference.facet(asked, name)
        values = found[name]["values"]
        assert [item["count"] for item in values] == sorted(expected.values(), reverse=True)[:50]
        assert {item["value"]: item["count"] for item in values}.items() <= expected.items()
        assert found[name]["others"] == sum(expected.values()) - sum(item["count"] for item in values)
        assert found[name]["other_values"] == len(expected) - len(values)
        assert found["count"] == sum(expected.values())
    assert [(item["value"], item["count"]) for item in found["user_id"]["values"]] == (
        [(tenant.ana.user_id, found["count"])] if found["count"] else []
    )


def figures(log: str, item: Json) -> list[Any]:
    return [item[name] for name in (("count",) if log == "audit-logs" else EXECUTION_FIGURES)]
