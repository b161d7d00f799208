"""Pages and statistics by the events' own time: equal to an ordering of all rows, whenever these arrived."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from sql.database import Database as ServiceDatabase
from sql.log_reading import page
from sql.log_statistics import Grouping, statistics
from sql.log_windows import AHEAD, LogPaging
from sql.queries.audit_logs import AUDIT_LOG, COUNTS, AuditFilter
from sql.time_buckets import begin_of
from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.databases import Cluster

AT = datetime(2026, 11, 24, 15, tzinfo=UTC)
SUBSCRIPTION = UUID(int=1)
DAY = timedelta(days=1)
ROWS = 3_000
SOURCES = ("console", "billing", "rare")


def occurrence(rng: random.Random, arrival: datetime) -> datetime | None:
    """Choose the time of an event: none, a few minutes off, days late, or imported years later."""
    kind = rng.random()
    if kind < 0.3:
        return None
    if kind < 0.6:
        return arrival + timedelta(seconds=rng.randint(-600, int(AHEAD.total_seconds())))
    if kind < 0.9:
        return arrival - timedelta(seconds=rng.randint(0, 7 * 86_400))
    return arrival - timedelta(days=rng.randint(0, 2_000))


@pytest.fixture(scope="module")
def mixed(cluster: Cluster) -> Iterator[tuple[ServiceDatabase, list[tuple[datetime, UUID, str]]]]:
    """A database with three years of arrivals, and the own time, id and source of each of its events."""
    database = cluster.migrated()
    rng = random.Random(7)
    rows = []
    for _ in range(ROWS):
        arrival = AT - timedelta(seconds=rng.randint(0, 1_000 * 86_400))
        source = "rare" if rng.random() < 0.01 else rng.choice(SOURCES[:2])
        rows.append((uuid4(), arrival, occurrence(rng, arrival), source))
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO audit_logs (audit_id, created_at, occurred_at, source, subscription_id, action,"
            " resource_type) VALUES (%s, %s, %s, %s, %s, 'X', 'x')",
            [(*row, SUBSCRIPTION) for row in rows],
        )
        cursor.execute("ANALYZE audit_logs")
    pool = ServiceDatabase(database.url, pool_size=1)
    yield pool, [(occurred or arrival, audit_id, source) for audit_id, arrival, occurred, source in rows]
    pool.close()
    cluster.drop(database)


RANGES: dict[str, dict[str, Any]] = {
    "all": {},
    "since": {"since": AT - 40 * DAY},
    "until": {"until": AT - 400 * DAY},
    "between": {"since": AT - 500 * DAY, "until": AT - 300 * DAY},
    "source": {"source": "billing"},
    "rare source": {"source": "rare"},
    "source until": {"source": "console", "until": AT - 700 * DAY},
    "before everything": {"until": datetime(1990, 1, 1, tzinfo=UTC)},
    "since the first year": {"since": datetime(1, 1, 1, tzinfo=UTC)},
}


def matching(rows: list[tuple[datetime, UUID, str]], narrow: dict[str, Any]) -> list[tuple[datetime, UUID]]:
    """Find the events of a filter, the newest first."""
    since = narrow.get("since", datetime.min.replace(tzinfo=UTC))
    until = narrow.get("until", datetime.max.replace(tzinfo=UTC))
    found = [
        (time, audit_id)
        for time, audit_id, source in rows
        if since <= time <= until and source == narrow.get("source", source)
    ]
    return sorted(found, reverse=True)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("limit", [7, 200])
def test_pages_by_the_events_own_time_are_those_of_all_rows_in_order(
    mixed: tuple[ServiceDatabase, list[tuple[datetime, UUID, str]]], name: str, limit: int
) -> None:
    pool, rows = mixed
    filters = AuditFilter(time="occurred_at", **RANGES[name])
    found: list[tuple[datetime, UUID]] = []
    with pool.transaction(SUBSCRIPTION) as tx:
        # At most some pages of a short length: each is searched for by itself.
        for _ in range(40):
            paging = LogPaging(limit=limit, at=AT, before=found[-1] if found else None)
            read = page(tx, AUDIT_LOG, SUBSCRIPTION, filters, paging)
            found += [(row.occurred_at, row.audit_id) for row in read]
            if len(read) < limit:
                break
    expected = matching(rows, RANGES[name])
    assert found == expected[: 40 * limit]
    assert found or name == "before everything"


@pytest.mark.parametrize("name", ["since", "between"])
def test_buckets_by_the_events_own_time_count_all_rows(
    mixed: tuple[ServiceDatabase, list[tuple[datetime, UUID, str]]], name: str
) -> None:
    pool, rows = mixed
    filters = AuditFilter(time="occurred_at", **RANGES[name])
    with pool.transaction(SUBSCRIPTION) as tx:
        found = statistics(
            tx, COUNTS, SUBSCRIPTION, filters, Grouping(width=DAY, by=("source",), limit=10_000)
        )
    chosen = set(matching(rows, RANGES[name]))
    expected = Counter(
        (begin_of(time, DAY), source) for time, audit_id, source in rows if (time, audit_id) in chosen
    )
    assert {(bucket.time, bucket.group): bucket.count for bucket in found} == expected


def times(tenant: Tenant, **query: Any) -> list[str]:
    found = tenant.aud.pages(f"{tenant.path}/audit-logs", source="clocks", limit=2, **query)
    return [event["resource_id"] for event in found]


def clocks(tenant: Tenant, *days: int) -> None:
    """Post events, one by one, of some days ago."""
    for day in days:
        moment = (datetime.now(UTC) - timedelta(days=day)).isoformat()
        event: Json = {"action": "TICK", "resource_type": "clock", "resource_id": str(day)}
        body = event | {"source": "clocks", "occurred_at": moment}
        ok(tenant.ana.post(f"{tenant.path}/audit-logs?import=true", body), 201)


def test_a_reader_chooses_the_time_of_order_and_range(tenant: Tenant) -> None:
    clocks(tenant, 1, 400, 3, 2, 30)
    assert times(tenant) == times(tenant, time="created_at") == ["30", "2", "3", "400", "1"]
    assert times(tenant, time="occurred_at") == ["1", "2", "3", "30", "400"]
    week = (datetime.now(UTC) - timedelta(days=7)).isoformat()
    assert times(tenant, time="Occurred_At", since=week) == ["1", "2", "3"]
    assert times(tenant, time="occurred_at", until=week) == ["30", "400"]
    assert times(tenant, until=week) == []
    query = {"source": "clocks", "time": "occurred_at", "bucket": "1w", "since": week}
    buckets = ok(tenant.aud.get(f"{tenant.path}/audit-logs/stats", params=query))["buckets"]
    assert sum(bucket["count"] for bucket in buckets) == 3


# An event of each other log, as a platform posts it.
OTHERS: dict[str, Json] = {
    "execution-logs": {
        "execution_id": "run",
        "execution_type": "job",
        "log_level": "INFO",
        "log_message": "m",
    },
    "change-history": {"table_name": "orders", "record_id": "7", "new_data": {"n": 1}},
    "server-logs": {"request_id": "theirs", "http_method": "GET", "endpoint": "/orders"},
}


@pytest.mark.parametrize("log", OTHERS)
def test_each_log_is_read_by_the_events_own_time(tenant: Tenant, log: str) -> None:
    now = datetime.now(UTC)
    days = (2, 500, 1, 40, 3)
    for day in days:
        own: Json = {"source": "clocks", "occurred_at": (now - timedelta(days=day)).isoformat()}
        if log == "execution-logs" and day % 2:
            own |= {"execution_type": "node", "node_id": "n"}
        ok(tenant.ana.post(f"{tenant.path}/{log}?import=true", OTHERS[log] | own), 201)

    def ages(**query: Any) -> list[int]:
        found = tenant.aud.pages(f"{tenant.path}/{log}", source="clocks", limit=2, **query)
        return [(now - datetime.fromisoformat(row["occurred_at"])).days for row in found]

    assert ages() == list(reversed(days))
    assert ages(time="occurred_at") == sorted(days)
    since = (now - timedelta(days=41)).isoformat()
    assert ages(time="occurred_at", since=since, until=(now - timedelta(days=2)).isoformat()) == [2, 3, 40]


def test_a_cursor_is_of_one_time(tenant: Tenant) -> None:
    clocks(tenant, 1, 2)
    path = f"{tenant.path}/audit-logs"
    cursor = ok(tenant.aud.get(path, params={"limit": 1, "time": "occurred_at"}))["next_cursor"]
    refused(tenant.aud.get(path, params={"limit": 1, "cursor": cursor}), 422, "invalid")
    ok(tenant.aud.get(path, params={"limit": 1, "cursor": cursor, "time": "occurred_at"}))


def test_another_time_is_refused(shared: Tenant) -> None:
    problem = refused(shared.aud.get(f"{shared.path}/audit-logs?time=read_at"), 422, "invalid")
    assert pointers(problem) == ["time"]
