"""Pages of the tree read few rows, also of a hundred thousand resources with ten thousand in one place."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from sql.database import Database as ServiceDatabase
from sql.queries import trees
from tests.support.databases import Cluster
from tests.support.query_plans import nodes

AT = datetime(2026, 11, 24, tzinfo=UTC)
# Two subscriptions with the same rows: what one has must not be read for the other.
SUBSCRIPTION, OTHER = UUID(int=1 << 64), UUID(int=2 << 64)
# Ids begin after that of the subscription, by kind: the workspace, folders, jobs, workflows, deletions.
WORKSPACE, FOLDERS, JOBS, WORKFLOWS, DELETIONS = 1, 1_000, 100_000, 1_000_000, 2_000_000
NUMBER_OF_FOLDERS, NUMBER_OF_JOBS, NUMBER_OF_WORKFLOWS = 10_000, 1_000, 40_000
# In one job.
CROWD = 10_000

_ROWS = """
CREATE FUNCTION pg_temp.id(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql
    AS $$ SELECT (substr('{s}', 1, 24) || lpad(to_hex(n), 12, '0'))::uuid $$;
INSERT INTO subscriptions VALUES ('{s}', 's', now());
INSERT INTO actors (user_id, subscription_id, username) VALUES ('{s}', '{s}', 'ana');
INSERT INTO workspaces (workspace_id, subscription_id, name, created_by, created_at, updated_at)
    VALUES (pg_temp.id({WORKSPACE}), '{s}', 'w', '{s}', now(), now());
INSERT INTO folders (folder_id, subscription_id, workspace_id, parent_folder_id, name, created_by, created_at,
    updated_at)
SELECT pg_temp.id({FOLDERS} + n), '{s}', pg_temp.id({WORKSPACE}),
    CASE WHEN n BETWEEN 1 AND 49 THEN pg_temp.id({FOLDERS} - 1 + n) END, 'folder ' || n, '{s}', now(), now()
FROM generate_series(0, {NUMBER_OF_FOLDERS} - 1) n;
INSERT INTO jobs (job_id, subscription_id, workspace_id, folder_id, name, created_by, created_at, updated_at)
SELECT pg_temp.id({JOBS} + n), '{s}', pg_temp.id({WORKSPACE}), pg_temp.id({FOLDERS} + n), 'job ' || n, '{s}',
    now(), now()
FROM generate_series(0, {NUMBER_OF_JOBS} - 1) n;
INSERT INTO workflows (workflow_id, subscription_id, workspace_id, job_id, name, created_by, created_at,
    updated_at)
SELECT pg_temp.id({WORKFLOWS} + n), '{s}', pg_temp.id({WORKSPACE}),
    pg_temp.id({JOBS} + CASE WHEN n < {CROWD} THEN 0 ELSE n % {NUMBER_OF_JOBS} END), 'Flow ' || n, '{s}',
    now(), now()
FROM generate_series(0, {NUMBER_OF_WORKFLOWS} - 1) n;
INSERT INTO versions (version_id, subscription_id, resource_type, resource_id, resource_name, version_number,
    version_data, is_current, is_published, git_commit_hash, git_blob_id, commit_number, git_branch,
    git_repo_url, created_by, created_at)
SELECT gen_random_uuid(), '{s}', kind, id, name, 1, jsonb_build_object('parent_id', parent), true, false,
    repeat('a', 40), repeat('b', 40), 1, 'main', '', '{s}', now()
FROM (
    SELECT 'workspace' AS kind, workspace_id AS id, name, subscription_id, NULL AS parent FROM workspaces
    UNION ALL SELECT 'folder', folder_id, name, subscription_id, coalesce(parent_folder_id, workspace_id)
        FROM folders
    UNION ALL SELECT 'job', job_id, name, subscription_id, folder_id FROM jobs
    UNION ALL SELECT 'workflow', workflow_id, name, subscription_id, job_id FROM workflows
) AS every WHERE subscription_id = '{s}';
INSERT INTO deletion_logs (deletion_id, root_deletion_id, subscription_id, resource_type, resource_id,
    resource_name, parent_resource_type, parent_resource_id, is_soft_delete, can_be_restored, deleted_at,
    version_id, git_commit_hash, commit_number)
SELECT pg_temp.id({DELETIONS} + n), pg_temp.id({DELETIONS} + n), '{s}', 'workflow', resource_id,
    resource_name, 'job', pg_temp.id({JOBS} + n), true, false, now(), version_id, git_commit_hash, 2
FROM generate_series(0, 999) n
JOIN versions ON subscription_id = '{s}' AND resource_id = pg_temp.id({WORKFLOWS} + n);
DROP FUNCTION pg_temp.id;
"""


@pytest.fixture(scope="module")
def large(cluster: Cluster) -> Iterator[ServiceDatabase]:
    """A database of two large trees."""
    database = cluster.migrated()
    numbers = {name: value for name, value in globals().items() if isinstance(value, int)}
    with database.connection() as connection:
        for subscription in (SUBSCRIPTION, OTHER):
            connection.execute(_ROWS.format(s=subscription, **numbers).encode())
    with database.connection() as connection:
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")
    pool = ServiceDatabase(database.url, pool_size=1)
    yield pool
    pool.close()
    cluster.drop(database)


def of_subscription(number: int) -> UUID:
    return UUID(int=SUBSCRIPTION.int + number)


def rows_read(pool: ServiceDatabase, query: Any) -> tuple[dict[str, float], list[Any]]:
    """Count the rows that a query reads of each table, with those that a filter leaves out."""
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        seen.append((statement, parameters))

    found: dict[str, float] = {}
    with pool.transaction(SUBSCRIPTION) as tx:
        event.listen(pool.engine, "before_cursor_execute", note)
        try:
            rows = query(tx)
        finally:
            event.remove(pool.engine, "before_cursor_execute", note)
        (asked,) = seen
        explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) "
        plan = tx.exec_driver_sql(explain + asked[0], asked[1]).scalar_one()[0]["Plan"]
    for node in nodes(plan):
        if (table := node.get("Relation Name")) is not None:
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            found[table] = found.get(table, 0) + read * node["Actual Loops"]
    return found, list(rows)


@pytest.mark.parametrize("after", [None, ("workflow", "Flow 5")])
def test_a_page_of_ten_thousand_workflows_of_a_job_reads_none_of_other_jobs(
    large: ServiceDatabase, after: tuple[str, str] | None
) -> None:
    job = ("job", of_subscription(JOBS))
    read, rows = rows_read(
        large, lambda tx: trees.below(tx, SUBSCRIPTION, job, after=after, limit=101, at=AT)
    )
    assert len(rows) == 101
    # Row-level security hides from the planner how many there are: it may sort them all.
    assert read["workflows"] <= CROWD + NUMBER_OF_WORKFLOWS / NUMBER_OF_JOBS, read
    assert read["versions"] <= 101, read


def test_a_page_of_the_folders_of_a_workspace_reads_folders_once(large: ServiceDatabase) -> None:
    workspace = ("workspace", of_subscription(WORKSPACE))
    read, rows = rows_read(
        large, lambda tx: trees.below(tx, SUBSCRIPTION, workspace, after=None, limit=101, at=AT)
    )
    assert len(rows) == 101
    assert read["folders"] <= 2 * NUMBER_OF_FOLDERS, read
    assert read["versions"] <= 101, read


def test_an_almost_empty_folder_reads_only_its_own(large: ServiceDatabase) -> None:
    folder = ("folder", of_subscription(FOLDERS + 49))
    read, rows = rows_read(
        large, lambda tx: trees.below(tx, SUBSCRIPTION, folder, after=None, limit=101, at=AT)
    )
    assert [row.name for row in rows] == ["job 49"]
    assert sum(read.values()) <= 10, read


def test_a_large_tree_is_told_by_a_few_hundred_of_its_rows(large: ServiceDatabase) -> None:
    read, rows = rows_read(large, lambda tx: trees.some(tx, SUBSCRIPTION, limit=201, at=AT))
    assert len(rows) == 201
    assert all(count <= 50_100 for count in read.values()), read


def test_paths_of_fifty_resources_read_a_row_a_place(large: ServiceDatabase) -> None:
    parents = [of_subscription(JOBS + number) for number in range(50)]
    read, _ = rows_read(large, lambda tx: trees.paths_above(tx, SUBSCRIPTION, parents).items())
    # Of 50 folders that lie in each other, 1 + 2 + … + 50 are named, each found by itself.
    assert sum(read.values()) <= 2 * 50 * 51 / 2, read
    with large.transaction(SUBSCRIPTION) as tx:
        path = trees.paths_above(tx, SUBSCRIPTION, parents[49:])[parents[49]]
    assert (path[0].resource_type, path[1].name, path[-1].name) == ("workspace", "folder 0", "job 49")
    assert len(path) == 52


def test_the_places_of_fifty_deletions_read_a_row_a_place(large: ServiceDatabase) -> None:
    deletions = [of_subscription(DELETIONS + number) for number in range(50)]
    read, found = rows_read(large, lambda tx: trees.paths_at_deletion(tx, SUBSCRIPTION, deletions).items())
    assert sum(read.values()) <= 2 * 50 * 51 / 2 + 100, read
    paths = dict(found)
    assert [len(paths[each]) for each in deletions] == [number + 3 for number in range(50)]


def test_a_search_reads_each_name_of_its_own_subscription_once(large: ServiceDatabase) -> None:
    read, rows = rows_read(
        large, lambda tx: trees.named(tx, SUBSCRIPTION, "FLOW 39", by="und-x-icu", limit=51, at=AT)
    )
    assert rows[0].name == "Flow 39"
    assert len(rows) == 51
    # The rows of both subscriptions at most, where the planner takes the table as it lies.
    assert read["workflows"] <= 2 * NUMBER_OF_WORKFLOWS, read
    assert read["versions"] <= 51, read
