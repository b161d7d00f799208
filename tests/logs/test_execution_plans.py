"""Executions and health touch the chunks of their time alone, and find their rows by an index."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from sql.database import Database as ServiceDatabase
from sql.database import Transaction
from sql.log_statistics import Deadline
from sql.queries import executions, first_runs, version_health
from sql.queries.execution_logs import ExecutionFilter
from sql.queries.executions import LONGEST, ExecutionsFilter
from tests.support.databases import Cluster
from tests.support.query_plans import explained, filled, nodes

AT = datetime(2026, 11, 24, 15, tzinfo=UTC)
SUBSCRIPTION = UUID(int=1)
# One in four rows is of the subscription; each execution has two events, twenty minutes apart.
_FILL = f"""
INSERT INTO execution_logs (log_id, subscription_id, created_at, execution_id, execution_type, workflow_id,
    log_level, log_message, status, duration_ms)
SELECT gen_random_uuid(), lpad(to_hex(n % 4 + 1), 32, '0')::uuid,
    '{AT.isoformat()}'::timestamptz - n * interval '3 minutes' - e * interval '20 minutes', 'run ' || n,
    'workflow', lpad(to_hex(n % 40), 32, '0')::uuid, 'INFO', 'm',
    CASE WHEN e = 1 THEN 'running' WHEN n % 9 = 0 THEN 'failed' ELSE 'success' END, n
FROM generate_series(1, 40000) n, generate_series(0, 1) e;
INSERT INTO node_execution_logs (log_id, subscription_id, created_at, execution_id, execution_type, node_id,
    log_level, log_message, status)
SELECT gen_random_uuid(), subscription_id, created_at, execution_id, 'node', 'load', 'INFO', 'm', status
FROM execution_logs;
ANALYZE;
"""  # noqa: S608 - nothing but constants


@pytest.fixture(scope="module")
def long(cluster: Cluster) -> Iterator[ServiceDatabase]:
    """A database with executions of three months."""
    with filled(cluster, _FILL) as pool:
        yield pool


def scans_of(plans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the scans of chunks that were executed."""
    every = (each for plan in plans for each in nodes(plan))
    return [each for each in every if str(each.get("Relation Name")).startswith("_hyper")]


def older_chunks(tx: Transaction, before: datetime) -> set[str]:
    query = text("SELECT chunk_name FROM timescaledb_information.chunks WHERE range_end <= :before")
    return set(tx.execute(query, {"before": before}).scalars())


def check(tx: Transaction, scans: list[dict[str, Any]], since: datetime) -> None:
    """Check that chunks which ended LONGEST before a time are not touched, and others by an index."""
    touched = {scan["Relation Name"] for scan in scans}
    older = older_chunks(tx, since - LONGEST - timedelta(minutes=5))
    assert touched
    assert older
    assert not touched & older
    for scan in scans:
        assert "Index" in scan["Node Type"] or "Bitmap" in scan["Node Type"] or not scan["Actual Loops"], scan


@pytest.mark.parametrize("of_workflow", [False, True])
@pytest.mark.parametrize("days", [1, 10])
def test_a_page_touches_the_chunks_of_its_time(long: ServiceDatabase, of_workflow: bool, days: int) -> None:
    since = AT - timedelta(days=days)
    filters = ExecutionsFilter(workflow_id=UUID(int=4) if of_workflow else None)
    with long.transaction(SUBSCRIPTION) as tx:
        read = partial(executions.page, tx, SUBSCRIPTION, filters, since=since, until=AT, before=None)
        rows, plans = explained(long, tx, partial(read, limit=5_000, deadline=Deadline()))
        check(tx, scans_of(plans), since)
    assert len(rows) == pytest.approx(days * 480 / 4 / (10 if of_workflow else 1), abs=days + 2)


def test_a_full_page_touches_the_newest_chunks(long: ServiceDatabase) -> None:
    with long.transaction(SUBSCRIPTION) as tx:
        read = partial(executions.page, tx, SUBSCRIPTION, ExecutionsFilter(), before=None, limit=51)
        since = AT - timedelta(days=80)
        rows, plans = explained(long, tx, partial(read, since=since, until=AT, deadline=Deadline()))
        check(tx, scans_of(plans), AT - timedelta(days=1))
    assert len(rows) == 51


def test_health_touches_the_chunks_of_its_time(long: ServiceDatabase) -> None:
    filters = ExecutionsFilter(execution_type="workflow", workflow_id=UUID(int=4))
    since = AT - timedelta(days=30)
    with long.transaction(SUBSCRIPTION) as tx:
        read = partial(version_health.by_version, tx, SUBSCRIPTION, filters, since=since, until=AT, most=50)
        rows, plans = explained(long, tx, read)
        scans = scans_of(plans)
        check(tx, scans, since)
    assert sum(row.executions for row in rows) == pytest.approx(30 * 480 / 40, abs=2)
    read = sum(scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) for scan in scans)
    assert read <= 4 * sum(row.executions for row in rows)


def test_first_runs_touch_the_chunks_of_their_time(long: ServiceDatabase) -> None:
    since = AT - timedelta(days=10)
    filters = ExecutionFilter(since=since, until=AT, time="occurred_at", execution_type="workflow")
    with long.transaction(SUBSCRIPTION) as tx:
        read = partial(first_runs.events, tx, SUBSCRIPTION, filters, Deadline(), limit=40)
        _, plans = explained(long, tx, read)
        check(tx, scans_of(plans), since + LONGEST)


def test_one_execution_is_found_in_few_chunks(long: ServiceDatabase) -> None:
    with long.transaction(SUBSCRIPTION) as tx:
        read = partial(executions.find, tx, SUBSCRIPTION, "run 4000", at=AT, deadline=Deadline())
        found, plans = explained(long, tx, read)
        begun_at = AT - timedelta(minutes=3 * 4_000)
        check(tx, scans_of(plans), begun_at - timedelta(days=10))
    assert found is not None
    assert found.events == 2
