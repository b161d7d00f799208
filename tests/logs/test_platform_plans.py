"""Figures of the platform touch the chunks of their time, and few rows of large or idle tenants."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from sql.database import PLATFORM, Transaction
from sql.database import Database as ServiceDatabase
from sql.log_statistics import Deadline
from sql.queries import platform_figures, scheduled_jobs
from sql.queries.platform_figures import MAX_LOG_ROWS, TenantOrder
from tests.support.databases import Cluster
from tests.support.query_plans import explained, filled, nodes

AT = datetime(2026, 11, 24, 15, tzinfo=UTC)
SINCE = AT - timedelta(days=1)
TENANTS = 40
IDS = [UUID(int=number) for number in range(1, TENANTS + 1)]
# The first tenant has more rows in a day than a list counts; each other one has some in each of 60 days. A
# job runs each minute, another one ran once.
_FILL = f"""
INSERT INTO subscriptions SELECT lpad(to_hex(n), 32, '0')::uuid, 'tenant ' || n, now()
FROM generate_series(1, {TENANTS}) n;
INSERT INTO actors (user_id, subscription_id, username)
SELECT subscription_id, subscription_id, 'ana' FROM subscriptions;
INSERT INTO server_logs (log_id, created_at, request_id, subscription_id)
SELECT gen_random_uuid(), '{AT.isoformat()}'::timestamptz - n * interval '3 seconds', n::text,
    lpad(to_hex(1), 32, '0')::uuid
FROM generate_series(1, 25000) n;
INSERT INTO server_logs (log_id, created_at, request_id, subscription_id)
SELECT gen_random_uuid(), '{AT.isoformat()}'::timestamptz - n * interval '2 minutes', n::text,
    lpad(to_hex(2 + n % {TENANTS - 1}), 32, '0')::uuid
FROM generate_series(1, 43200) n;
INSERT INTO versions (version_id, subscription_id, resource_type, resource_id, resource_name, version_number,
    version_data, is_current, is_published, git_commit_hash, git_blob_id, commit_number, git_branch,
    git_repo_url, created_by, created_at)
SELECT gen_random_uuid(), s.subscription_id, 'workflow', s.subscription_id, 'w', n, '{{}}', n = 500, false,
    encode(sha256((s.name || '.' || n)::bytea), 'hex')::char(40), repeat('b', 40), n, 'main', '',
    s.subscription_id, '{AT.isoformat()}'::timestamptz - (500 - n) * interval '3 hours'
FROM subscriptions s, generate_series(1, 500) n;
INSERT INTO job_runs (run_id, job, scheduled_for, trigger, state, process, started_at, ended_at)
SELECT gen_random_uuid(), 'often', '{AT.isoformat()}'::timestamptz - n * interval '1 minute', 'schedule',
    CASE WHEN n > 30000 THEN 'succeeded' ELSE 'failed' END, 'p', now(), now()
FROM generate_series(1, 40000) n;
INSERT INTO job_runs (run_id, job, scheduled_for, trigger, state, process, started_at, ended_at)
VALUES (gen_random_uuid(), 'once', '{AT.isoformat()}'::timestamptz - interval '80 days', 'schedule',
    'succeeded', 'p', now(), now());
ANALYZE;
"""  # noqa: S608 - nothing but constants


@pytest.fixture(scope="module")
def used(cluster: Cluster) -> Iterator[ServiceDatabase]:
    """A database of many tenants."""
    with filled(cluster, _FILL) as pool:
        yield pool


def older_chunks(tx: Transaction) -> set[str]:
    query = text("SELECT chunk_name FROM timescaledb_information.chunks WHERE range_end <= :before")
    return set(tx.execute(query, {"before": SINCE}).scalars())


def scans(plans: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Scans of tables and chunks whose names begin so, as far as they were executed."""
    every = (each for plan in plans for each in nodes(plan))
    return [
        each for each in every if str(each.get("Relation Name")).startswith(name) and each["Actual Loops"]
    ]


def rows_read(found: list[dict[str, Any]]) -> int:
    return sum(
        each["Actual Loops"] * (each["Actual Rows"] + each.get("Rows Removed by Filter", 0)) for each in found
    )


@pytest.mark.parametrize("order", TenantOrder)
def test_an_order_of_tenants_touches_the_chunks_of_a_day(used: ServiceDatabase, order: TenantOrder) -> None:
    with used.transaction(PLATFORM) as tx:
        read = partial(platform_figures.ranked, tx, order, since=SINCE, limit=10, deadline=Deadline())
        found, plans = explained(used, tx, read)
        chunks = scans(plans, "_hyper")
        assert not {each["Relation Name"] for each in chunks} & older_chunks(tx)
    assert len(found) == 10
    assert bool(chunks) is (order is TenantOrder.ROWS)
    if order is TenantOrder.ROWS:
        assert found[0] == IDS[0]
    # Of each tenant, its versions of a day, or the last one.
    assert rows_read(scans(plans, "versions")) <= TENANTS * 10


def test_the_activity_of_a_list_is_counted_in_the_chunks_of_a_day(used: ServiceDatabase) -> None:
    with used.transaction(PLATFORM) as tx:
        read = partial(platform_figures.activity, tx, IDS, since=SINCE, deadline=Deadline())
        found, plans = explained(used, tx, read)
        chunks = scans(plans, "_hyper")
        assert chunks
        assert not {each["Relation Name"] for each in chunks} & older_chunks(tx)
    assert found[IDS[0]].log_rows == MAX_LOG_ROWS + 1
    assert sum(each.log_rows for each in found.values()) == MAX_LOG_ROWS + 1 + 720
    assert {each.versions for each in found.values()} == {9}
    assert rows_read(chunks) <= 2 * (MAX_LOG_ROWS + 1 + 720)


def test_versions_of_a_time_are_counted_by_an_index(used: ServiceDatabase) -> None:
    with used.transaction(PLATFORM) as tx:
        before = SINCE - timedelta(days=1)
        read = partial(platform_figures.versions, tx, before=before, since=SINCE, until=AT)
        (now, earlier), plans = explained(used, tx, read)
    assert (now, earlier) == (TENANTS * 9, TENANTS * 8)
    assert rows_read(scans(plans, "versions")) <= 2 * (now + earlier)


@pytest.mark.parametrize("state", [None, "succeeded"])
def test_the_last_run_of_each_job_is_one_look(used: ServiceDatabase, state: str | None) -> None:
    with used.transaction(PLATFORM) as tx:
        read = partial(scheduled_jobs.last_runs, tx, ["often", "once", "never"], state=state)
        found, plans = explained(used, tx, read)
    assert set(found) == {"often", "once"}
    last = AT - timedelta(minutes=1 if state is None else 30_001)
    assert found["often"].scheduled_for == last
    assert len(plans) == 1
    assert rows_read(scans(plans, "job_runs")) <= 6
