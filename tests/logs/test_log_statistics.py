"""Statistics of the logs: equal buckets of time, the same by TimescaleDB and by PostgreSQL alone, bounded."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import literal, select

from sql import hypertables
from sql.database import Database as ServiceDatabase
from sql.log_reading import page
from sql.log_statistics import Grouping, statistics
from sql.log_windows import LogPaging
from sql.models.columns import INSTANT
from sql.queries.audit_logs import AUDIT_LOG, COUNTS, AuditFilter
from sql.queries.execution_logs import EXECUTION_LOG, FIGURES, ExecutionFilter
from sql.time_buckets import begin_of, bucket_of
from tests.support.api import Json, Server, Tenant, ok, pointers, refused
from tests.support.databases import Cluster

WIDTHS = {"1m": 60, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "7d": 604_800, "1w": 604_800}
EPOCH = datetime(2000, 1, 3, tzinfo=UTC)
FILL = """
INSERT INTO audit_logs (audit_id, created_at, subscription_id, user_id, action, resource_type, status)
SELECT gen_random_uuid(), now() - n * interval '97 minutes', %(s)s,
    lpad((n %% 3)::text, 32, '0')::uuid, CASE WHEN n %% 4 = 0 THEN 'LOGIN' ELSE 'EXECUTE' END, 'job',
    CASE WHEN n %% 5 = 0 THEN 'failed' ELSE 'success' END
FROM generate_series(1, 400) n;
"""
FILL_EXECUTIONS = """
INSERT INTO {} (log_id, created_at, subscription_id, execution_id, execution_type, log_level, log_message,
    status, duration_ms, rows_processed, node_id)
SELECT gen_random_uuid(), now() - n * interval '97 minutes', %(s)s, gen_random_uuid(), {}, 'INFO', 'm',
    CASE WHEN n %% 5 = 0 THEN 'failed' WHEN n %% 7 = 0 THEN NULL ELSE 'success' END,
    CASE WHEN n %% 3 = 0 THEN NULL ELSE n END, n * 10, 'node_' || n %% 3
FROM generate_series(1, 400) n;
"""
KINDS = {"execution_logs": "'workflow'", "node_execution_logs": "'node'"}


@pytest.fixture(scope="module")
def counted(server: Server) -> Tenant:
    """A tenant with rows of 27 days in every log."""
    tenant = Tenant(server, "counted")
    with server.database.connection() as connection:
        values = {"s": tenant.subscription_id}
        connection.execute(FILL, values)
        for table, kind in KINDS.items():
            connection.execute(FILL_EXECUTIONS.format(table, kind).encode(), values)
    return tenant


def stats(tenant: Tenant, log: str, **query: Any) -> list[Json]:
    """Read the buckets of an answer."""
    found: list[Json] = ok(tenant.aud.get(f"{tenant.path}/{log}/stats", params=query))["buckets"]
    return found


def rows(tenant: Tenant, log: str, **query: Any) -> list[Json]:
    return tenant.aud.pages(f"{tenant.path}/{log}", limit=200, **query)


def bucket(moment: str, seconds: int) -> str:
    """Compute the beginning of the bucket that an instant lies in, independently of the product."""
    past = int((datetime.fromisoformat(moment) - EPOCH).total_seconds())
    begin = EPOCH + timedelta(seconds=past - past % seconds)
    return begin.isoformat().replace("+00:00", "Z")


MONTH = {"since": (datetime.now(UTC) - timedelta(days=25)).isoformat()}


@pytest.mark.parametrize("width", ["1h", "6h", "1d", "7d", "1w"])
@pytest.mark.parametrize("group_by", [None, "action", "status", "user_id", "resource_type", "workspace_id"])
def test_events_are_counted_by_bucket_and_group(counted: Tenant, width: str, group_by: str | None) -> None:
    query = {"resource_type": "job", **MONTH}
    expected = Counter(
        (bucket(row["created_at"], WIDTHS[width]), None if group_by is None else row[group_by])
        for row in rows(counted, "audit-logs", **query)
    )
    by = {} if group_by is None else {"group_by": group_by}
    found = stats(counted, "audit-logs", bucket=width, **by, **query)
    assert {(item["time"], item["group"]): item["count"] for item in found} == expected
    assert [item["time"] for item in found] == sorted(item["time"] for item in found)
    assert set(found[0]) == {"time", "group", "groups", "count"}


@pytest.mark.parametrize("group_by", [None, "execution_type", "status", "node_id", "log_level"])
def test_executions_have_figures_of_both_tables(counted: Tenant, group_by: str | None) -> None:
    everything = rows(counted, "execution-logs", **MONTH)
    by = {} if group_by is None else {"group_by": group_by}
    found = stats(counted, "execution-logs", bucket="1d", **by, **MONTH)
    assert sum(item["count"] for item in found) == len(everything)
    for item in found:
        members = [
            row
            for row in everything
            if bucket(row["created_at"], WIDTHS["1d"]) == item["time"]
            and (group_by is None or row[group_by] == item["group"])
        ]
        durations = [row["duration_ms"] for row in members if row["duration_ms"] is not None]
        assert item["count"] == len(members)
        assert item["failed"] == sum(row["status"] == "failed" for row in members)
        assert item["rows_processed"] == sum(row["rows_processed"] for row in members)
        assert item["max_duration_ms"] == max(durations, default=None)
        mean = pytest.approx(sum(durations) / len(durations)) if durations else None
        assert item["avg_duration_ms"] == mean


@pytest.mark.parametrize(
    "narrow",
    [{"execution_type": "node"}, {"execution_type": "workflow", "status": "failed"}, {"node_id": "node_1"}],
)
def test_the_filters_are_those_of_the_page(counted: Tenant, narrow: Json) -> None:
    until = datetime.now(UTC) - timedelta(days=10)
    query = {**narrow, **MONTH, "until": until.isoformat()}
    found = stats(counted, "execution-logs", bucket="1w", **query)
    assert sum(item["count"] for item in found) == len(rows(counted, "execution-logs", **query)) > 0


def test_without_a_beginning_the_last_100_buckets_are_counted(counted: Tenant) -> None:
    found = stats(counted, "audit-logs", resource_type="job")
    now = datetime.now(UTC)
    first = begin_of(now, timedelta(hours=1)) - timedelta(hours=99)
    assert datetime.fromisoformat(found[0]["time"]) >= first
    kept = rows(counted, "audit-logs", resource_type="job", since=first.isoformat())
    assert sum(item["count"] for item in found) == len(kept)
    until = (now - timedelta(days=5)).isoformat()
    older = stats(counted, "audit-logs", resource_type="job", until=until)
    assert older[-1]["time"] <= until
    assert older[0]["time"] < found[0]["time"]


def test_sums_past_64_bits_are_no_fault_of_the_server(tenant: Tenant) -> None:
    event = {"execution_id": str(uuid4()), "execution_type": "job", "log_level": "INFO", "log_message": "m"}
    body = [{**event, "rows_processed": 2**63 - 1, "duration_ms": 2**31 - 1}] * 5
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", body), 201)
    [found] = stats(tenant, "execution-logs", bucket="1w")
    assert (found["count"], found["rows_processed"]) == (5, 2**63 - 1)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"bucket": "1s"}, "bucket"),
        ({"bucket": "0m"}, "bucket"),
        ({"bucket": "h"}, "bucket"),
        ({"bucket": "-1h"}, "bucket"),
        ({"bucket": "1h\n"}, "bucket"),
        ({"bucket": "999999w"}, "bucket"),
        ({"bucket": "1 hour"}, "bucket"),
        ({"bucket": "1m", "since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}, "bucket"),
        ({"since": "0001-01-01T00:00:00Z"}, "bucket"),
        ({"group_by": "created_at"}, "group_by"),
        ({"group_by": "subscription_id"}, "group_by"),
        ({"group_by": ""}, "group_by"),
        ({"group_by": ["status", "created_at"]}, "group_by"),
        ({"group_by": ["status", "source", "source"]}, "group_by"),
        ({"group_by": ["status", "status"]}, "group_by"),
        ({"bucket": "all"}, "since"),
        ({"order": "count"}, "order"),
        ({"limit": "5"}, "limit"),
        ({"bucket": "all", **MONTH, "limit": "0"}, "limit"),
        ({"bucket": "all", **MONTH, "limit": "1001"}, "limit"),
        ({"bucket": "all", **MONTH, "order": "time"}, "order"),
        ({"status": "maybe"}, "status"),
        ({"colour": "blue"}, "colour"),
    ],
)
@pytest.mark.parametrize("log", ["audit-logs", "execution-logs"])
def test_what_breaks_a_rule_is_refused(shared: Tenant, log: str, query: Json, parameter: str) -> None:
    response = shared.aud.get(f"{shared.path}/{log}/stats", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]


def test_one_bucket_has_the_whole_time(counted: Tenant) -> None:
    whole = stats(counted, "execution-logs", bucket="all", group_by="status", **MONTH)
    days = stats(counted, "execution-logs", bucket="1d", group_by="status", **MONTH)
    assert {item["time"] for item in whole} == {MONTH["since"].replace("+00:00", "Z")}
    for item in whole:
        of_days = [each["count"] for each in days if each["group"] == item["group"]]
        assert item["count"] == sum(of_days)
    assert len(whole) == 3


def test_ids_of_groups_have_their_names(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    unknown = str(uuid4())
    event = {"execution_id": "1", "execution_type": "node", "log_level": "INFO", "log_message": "m"}
    nodes = [{**event, "workflow_id": each, "node_id": "load"} for each in (workflow["resource_id"], unknown)]
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", nodes), 201)
    query = {"group_by": ["workflow_id", "node_id"]}
    found = ok(tenant.aud.get(f"{tenant.path}/execution-logs/stats", params=query))
    assert sorted(item["groups"] for item in found["buckets"]) == sorted(
        [[workflow["resource_id"], "load"], [unknown, "load"]]
    )
    assert found["names"] == {workflow["resource_id"]: "Order ETL"}
    events = ok(tenant.aud.get(f"{tenant.path}/audit-logs/stats", params={"group_by": "user_id"}))
    assert "ben" in {name.partition("-")[0] for name in events["names"].values()}


@pytest.mark.parametrize("width", ["1m", "99999w", "99999m"])
def test_any_width_is_taken(shared: Tenant, width: str) -> None:
    stats(shared, "audit-logs", bucket=width)


def test_too_many_groups_are_refused(shared: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.usecases.log_reading.MAX_ROWS", 2)
    for _ in range(3):
        body = {"action": f"RUN_{uuid4().hex.upper()}", "resource_type": "x"}
        ok(shared.ben.post(f"{shared.path}/audit-logs", body), 201)
    headers = {"x-request-id": uuid4().hex, **shared.server.another_address()}
    response = shared.aud.get(
        f"{shared.path}/audit-logs/stats", params={"group_by": "action"}, headers=headers
    )
    assert pointers(refused(response, 422, "invalid")) == ["group_by"]
    # No reading is recorded.
    left = rows(shared, "audit-logs", request_id=headers["x-request-id"])
    assert [row["status"] for row in left if row["action"] != "LOGIN"] == ["failed"]


@pytest.fixture
def pool(server: Server) -> Iterator[ServiceDatabase]:
    pool = ServiceDatabase(server.database.url, pool_size=1)
    yield pool
    pool.close()


MOMENTS = [
    datetime(2026, 11, 24, 13, 37, 11, 123456, tzinfo=UTC) + timedelta(hours=31 * n) for n in range(30)
]


@pytest.mark.parametrize("seconds", sorted({*WIDTHS.values(), 3 * 86_400, 5 * 604_800, 7 * 60}))
def test_timescaledb_and_postgresql_cut_alike(
    pool: ServiceDatabase, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    width = timedelta(seconds=seconds)

    def cut() -> list[datetime]:
        with pool.transaction("platform") as tx:
            return [
                tx.execute(select(bucket_of(tx, literal(moment, INSTANT), width))).scalar_one()
                for moment in [*MOMENTS, datetime(1969, 7, 20, tzinfo=UTC)]
            ]

    by_timescaledb = cut()
    monkeypatch.setattr(hypertables, "installed_version", lambda _: None)
    assert cut() == by_timescaledb
    assert by_timescaledb[:-1] == [begin_of(moment, width) for moment in MOMENTS]


def test_the_statistics_are_the_same_without_timescaledb(
    counted: Tenant, pool: ServiceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription_id = UUID(counted.subscription_id)
    since = datetime.now(UTC) - timedelta(days=20)
    how = Grouping(width=timedelta(hours=6), by=("status",), limit=10_000)

    def both() -> tuple[Any, Any]:
        with pool.transaction(subscription_id) as tx:
            return (
                statistics(tx, COUNTS, subscription_id, AuditFilter(since=since), how),
                statistics(tx, FIGURES, subscription_id, ExecutionFilter(since=since), how),
            )

    by_timescaledb = both()
    assert all(by_timescaledb)
    monkeypatch.setattr(hypertables, "installed_version", lambda _: None)
    assert both() == by_timescaledb


def test_pages_and_statistics_are_there_on_postgresql_alone(cluster: Cluster) -> None:
    database = cluster.migrated()
    with database.connection() as connection:
        connection.execute("DROP EXTENSION timescaledb CASCADE")
        subscription_id = uuid4()
        connection.execute(FILL, {"s": subscription_id})
        for table, kind in KINDS.items():
            connection.execute(FILL_EXECUTIONS.format(table, kind).encode(), {"s": subscription_id})
    pool = ServiceDatabase(database.url, pool_size=1)
    at = datetime.now(UTC)
    how = Grouping(width=timedelta(days=1), limit=1_000)
    whole = LogPaging(limit=1_000, at=at)
    with pool.transaction(subscription_id) as tx:
        audited = page(tx, AUDIT_LOG, subscription_id, AuditFilter(), whole)
        executed = page(tx, EXECUTION_LOG, subscription_id, ExecutionFilter(), whole)
        counts = statistics(tx, COUNTS, subscription_id, AuditFilter(), how)
        figures = statistics(tx, FIGURES, subscription_id, ExecutionFilter(), how)
    pool.close()
    assert (len(audited), len(executed)) == (400, 800)
    assert (sum(row.count for row in counts), sum(row.count for row in figures)) == (400, 800)
