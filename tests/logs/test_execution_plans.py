"""Executions and health touch the chunks of their time alone, and find their rows by an index."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from sql.database import Database as ServiceDatabase
from sql.database import Transaction
from sql.queries import executions, version_health
from sql.queries.executions import LONGEST, Deadline, ExecutionsFilter
from tests.support.databases import Cluster, Database
from tests.support.query_plans import nodes

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
    database: Database = cluster.migrated()
    with database.connection() as connection:
        connection.execute(_FILL.encode())
    pool = ServiceDatabase(database.url, pool_size=1)
    yield pool
    pool.close()
    cluster.drop(database)


class Explained:
    """The plans of the statements that a transaction executes."""

    def __init__(self, database: ServiceDatabase, tx: Transaction) -> None:
        self._database, self._tx = database, tx
        self._seen: list[tuple[str, Any]] = []

    def __enter__(self) -> "Explained":
        event.listen(self._database.engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._database.engine, "before_cursor_execute", self._note)

    def _note(self, _c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "set_config" not in statement and "SAVEPOINT" not in statement:
            self._seen.append((statement, parameters))

    def scans(self) -> list[dict[str, Any]]:
        """Return the scans of chunks that were executed."""
        explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) "
        found = []
        for statement, parameters in self._seen:
            plan = self._tx.exec_driver_sql(explain + statement, parameters).scalar_one()[0]["Plan"]
            found += [each for each in nodes(plan) if str(each.get("Relation Name")).startswith("_hyper")]
        return found


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
        with Explained(long, tx) as explained:
            rows = executions.page(
                *(tx, SUBSCRIPTION, filters),
                since=since,
                until=AT,
                before=None,
                limit=5_000,
                deadline=Deadline(),
            )
        check(tx, explained.scans(), since)
    assert len(rows) == pytest.approx(days * 480 / 4 / (10 if of_workflow else 1), abs=days + 2)


def test_a_full_page_touches_the_newest_chunks(long: ServiceDatabase) -> None:
    with long.transaction(SUBSCRIPTION) as tx:
        with Explained(long, tx) as explained:
            rows = executions.page(
                *(tx, SUBSCRIPTION, ExecutionsFilter()),
                since=AT - timedelta(days=80),
                until=AT,
                before=None,
                limit=51,
                deadline=Deadline(),
            )
        check(tx, explained.scans(), AT - timedelta(days=1))
    assert len(rows) == 51


def test_health_touches_the_chunks_of_its_time(long: ServiceDatabase) -> None:
    filters = ExecutionsFilter(execution_type="workflow", workflow_id=UUID(int=4))
    since = AT - timedelta(days=30)
    with long.transaction(SUBSCRIPTION) as tx:
        with Explained(long, tx) as explained:
            rows = version_health.by_version(tx, SUBSCRIPTION, filters, since=since, until=AT, most=50)
        scans = explained.scans()
        check(tx, scans, since)
    assert sum(row.executions for row in rows) == pytest.approx(30 * 480 / 40, abs=2)
    read = sum(scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) for scan in scans)
    assert read <= 4 * sum(row.executions for row in rows)


def test_one_execution_is_found_in_few_chunks(long: ServiceDatabase) -> None:
    with long.transaction(SUBSCRIPTION) as tx:
        with Explained(long, tx) as explained:
            found = executions.find(tx, SUBSCRIPTION, "run 4000", at=AT, deadline=Deadline())
        begun_at = AT - timedelta(minutes=3 * 4_000)
        check(tx, explained.scans(), begun_at - timedelta(days=10))
    assert found is not None
    assert found.events == 2
