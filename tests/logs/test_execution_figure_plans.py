"""Figures by counted days read the rest of their time by an index, in the chunks that can have rows of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from sql.database import Database as ServiceDatabase
from sql.log_statistics import Deadline, Grouping
from sql.log_windows import AHEAD
from sql.queries import execution_figures
from sql.queries.execution_day_figures import figures
from sql.queries.execution_logs import ExecutionFilter
from tests.support.databases import Cluster
from tests.support.query_plans import explained, filled, nodes

AT = datetime(2026, 11, 24, 15, tzinfo=UTC)
SUBSCRIPTION = UUID(int=1)
# One in four rows is of the subscription; a row in a hundred came a day late.
_FILL = f"""
INSERT INTO node_execution_logs (log_id, subscription_id, created_at, occurred_at, execution_id,
    execution_type, workflow_id, node_id, log_level, log_message, status, duration_ms)
SELECT gen_random_uuid(), lpad(to_hex(n % 4 + 1), 32, '0')::uuid,
    at + CASE WHEN n % 100 = 4 THEN interval '1 day' ELSE interval '0' END, at, 'run ' || n / 5, 'node',
    lpad(to_hex(n % 40), 32, '0')::uuid, 'node_' || n % 3, 'INFO', 'm',
    CASE WHEN n % 9 = 0 THEN 'failed' ELSE 'success' END, n
FROM generate_series(1, 40000) n,
    LATERAL (SELECT '{AT.isoformat()}'::timestamptz - n * interval '90 seconds' AS at) t;
INSERT INTO execution_logs (log_id, subscription_id, created_at, execution_id, execution_type, workflow_id,
    log_level, log_message, status, duration_ms)
SELECT gen_random_uuid(), subscription_id, occurred_at, execution_id, 'workflow', workflow_id, 'INFO', 'm',
    status, duration_ms
FROM node_execution_logs;
INSERT INTO subscriptions (subscription_id, name, created_at) VALUES ('{SUBSCRIPTION}', 'long', now());
INSERT INTO log_trees (subscription_id, size, batches) VALUES ('{SUBSCRIPTION}', 0, 0);
ANALYZE;
"""  # noqa: S608 - nothing but constants


@pytest.fixture(scope="module")
def long(cluster: Cluster) -> Iterator[ServiceDatabase]:
    """A database with executions of forty days, which are counted."""
    with filled(cluster, _FILL) as pool:
        with pool.transaction(SUBSCRIPTION) as tx:
            execution_figures.mark(tx, SUBSCRIPTION)
            while stale := execution_figures.next_stale(tx, SUBSCRIPTION, before=AT.date(), at=AT):
                assert execution_figures.count(tx, SUBSCRIPTION, stale, at=AT) is not None
            tx.execute(text("SELECT set_config('role', 'none', true)"))
            tx.execute(text("ANALYZE execution_figures, execution_figure_days"))
        yield pool


def scans_of(plans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    every = (each for plan in plans for each in nodes(plan))
    return [each for each in every if str(each.get("Relation Name")).startswith("_hyper")]


@pytest.mark.parametrize("by", [(), ("workflow_id", "node_id")])
@pytest.mark.parametrize(
    ("since", "until"),
    [
        (AT - timedelta(days=20), AT),
        (AT - timedelta(days=20, hours=15), AT - timedelta(days=5, hours=15, microseconds=1)),
        (AT - timedelta(days=20), AT - timedelta(days=5)),
    ],
)
def test_the_ends_of_a_time_are_read_by_an_index_in_their_chunks(
    long: ServiceDatabase, since: datetime, until: datetime, by: tuple[str, ...]
) -> None:
    filters = ExecutionFilter(since=since, until=until, time="occurred_at")
    grouping = Grouping(width=None, by=by, limit=10_000)
    with long.transaction(SUBSCRIPTION) as tx:
        read = partial(figures, tx, SUBSCRIPTION, filters, grouping, Deadline(), most_rows=100)
        found, plans = explained(long, tx, read)
        older = set(
            tx.execute(
                text("SELECT chunk_name FROM timescaledb_information.chunks WHERE range_end <= :before"),
                {"before": since - AHEAD},
            ).scalars()
        )
    assert found is not None
    of_a_day = 2 * timedelta(days=1) / timedelta(seconds=90) / 4
    days = (until - since) / timedelta(days=1)
    assert sum(bucket.count for bucket in found) == pytest.approx(days * of_a_day, abs=4)
    scans = scans_of(plans)
    assert older
    assert not {scan["Relation Name"] for scan in scans} & older
    rows = sum((scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) for scan in scans)
    # Both ends together are one day; the second time has whole days alone. By arrival the rows of an end
    # are among those of a day more, since some came a day late.
    assert rows <= (2 * of_a_day if since.hour else 0)
