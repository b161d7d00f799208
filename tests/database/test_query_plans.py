"""Queries that callers wait for read few rows, however long the history is."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import event

from sql import log_reading, pipelines
from sql.database import PLATFORM, Scope, Transaction
from sql.database import Database as ServiceDatabase
from sql.log_windows import LogPaging
from sql.queries import (
    as_of,
    check_outs,
    comments,
    deletion_requests,
    histories,
    moments,
    places,
    posted_deletions,
    references,
    repositories,
    resources,
    subscription_sizes,
    tags,
    versions,
)
from sql.queries.check_outs import CheckOutRow
from sql.queries.posted_deletions import DeletionFilter
from sql.queries.resources import ResourceRow
from sql.queries.server_logs import SERVER_LOG, ServerLogFilter
from sql.queries.versions import VersionFilter
from tests.support.databases import Cluster, Database
from tests.support.query_plans import nodes

AT = datetime(2026, 11, 24, tzinfo=UTC)
LONG_AGO = datetime(2025, 11, 24, tzinfo=UTC)
# In the middle of the histories.
EARLY = datetime(2026, 1, 2, tzinfo=UTC)
SUBSCRIPTION = UUID(int=1)
RESOURCE = UUID(int=7)
# Deep in the tree of folders.
FOLDER = UUID(int=1009)
RESOURCES, VERSIONS_EACH = 400, 100
# A subscription made since the statistics were, with this many resources, most of which are deleted.
NEW_SUBSCRIPTION = UUID(int=2)
NEW_RESOURCES, NEW_LIVING = 3_000, 100

# Histories of many resources, with a check-out, a tag and a comment now and then.
_ROWS = """
INSERT INTO subscriptions VALUES (:s, 's', now());
INSERT INTO actors (user_id, subscription_id, username) VALUES (:s, :s, 'ana');
INSERT INTO repositories (subscription_id, head_commit, created_at, commits)
    VALUES (:s, repeat('a', 40), now(), :resources * :each);
INSERT INTO versions (version_id, subscription_id, resource_type, resource_id, resource_name, version_number,
    version_data, is_current, is_published, git_commit_hash, git_blob_id, commit_number, git_branch,
    git_repo_url, created_by, created_at)
SELECT gen_random_uuid(), :s, 'workflow', lpad(to_hex(r), 32, '0')::uuid, 'w', n, '{}',
    n = :each, n = 3, encode(sha256((r || '.' || n)::bytea), 'hex')::char(40), repeat('b', 40),
    n * :resources + r, 'main', '', :s, '2026-01-01Z'::timestamptz + make_interval(mins => n * r)
FROM generate_series(1, :resources) r, generate_series(1, :each) n;
INSERT INTO check_outs (check_out_id, subscription_id, resource_type, resource_id, version_id, checked_out_by,
    checked_out_at, expires_at, released_at, release_kind)
SELECT gen_random_uuid(), subscription_id, resource_type, resource_id, version_id, created_by, created_at,
    '2027-01-01Z', CASE WHEN is_current AND commit_number % 9 = 0 THEN NULL ELSE created_at END,
    CASE WHEN is_current AND commit_number % 9 = 0 THEN NULL ELSE 'cancel' END FROM versions;
INSERT INTO publications (publication_id, subscription_id, resource_type, resource_id, version_id,
    published_by, published_at, unpublished_at)
SELECT gen_random_uuid(), subscription_id, resource_type, resource_id, version_id, created_by, created_at,
    created_at + '1 minute' FROM versions;
INSERT INTO deletion_logs (deletion_id, root_deletion_id, subscription_id, resource_type, resource_id,
    resource_name, cascade_level, cascaded_workspaces, cascaded_folders, cascaded_jobs, cascaded_workflows,
    cascaded_jobpackages, cascaded_connectors, is_soft_delete, can_be_restored, deleted_at, version_id,
    git_commit_hash, commit_number, restored_at, restored_commit_hash, restored_commit_number)
SELECT v.version_id, v.version_id, v.subscription_id, v.resource_type, v.resource_id, 'w', 0, 0, 0, 0, 1, 0,
    0, true, false, v.created_at, v.version_id, v.git_commit_hash, v.commit_number, back.created_at,
    back.git_commit_hash, back.commit_number
FROM versions v LEFT JOIN versions back
    ON back.version_id = v.version_id AND NOT (back.is_current AND back.commit_number % 3 = 0)
WHERE v.version_number % 10 = 0;
INSERT INTO tags (tag_id, subscription_id, resource_type, resource_id, version_id, tag, tag_object,
    tagged_by, tagged_at, ref_is_settled)
SELECT gen_random_uuid(), subscription_id, resource_type, resource_id, version_id, 'v' || version_number,
    repeat('c', 40), created_by, created_at, NOT (version_number = 5 AND commit_number % 97 = 0)
FROM versions;
INSERT INTO workspaces (workspace_id, subscription_id, name, created_by, created_at, updated_at)
    VALUES (:s, :s, 'w', :s, now(), now());
INSERT INTO folders (folder_id, subscription_id, workspace_id, name, created_by, created_at, updated_at)
    VALUES (:s, :s, :s, 'f', :s, now(), now());
INSERT INTO folders (folder_id, subscription_id, workspace_id, parent_folder_id, name, created_by, created_at,
    updated_at)
SELECT lpad(to_hex(1000 + n), 32, '0')::uuid, :s, :s,
    CASE WHEN n % 10 <> 0 THEN lpad(to_hex(999 + n), 32, '0')::uuid END, n::text, :s, now(), now()
FROM generate_series(0, 999) n;
INSERT INTO jobs (job_id, subscription_id, workspace_id, folder_id, name, created_by, created_at, updated_at)
    VALUES (:s, :s, :s, :s, 'j', :s, now(), now());
INSERT INTO workflows (workflow_id, subscription_id, workspace_id, job_id, name, created_by, created_at,
    updated_at)
SELECT lpad(to_hex(r), 32, '0')::uuid, :s, :s, :s, r::text, :s, now(), now()
FROM generate_series(1, :resources * 4) r;
UPDATE versions SET version_tag = 'v' || version_number;
INSERT INTO version_comments (comment_id, subscription_id, version_id, comment_text, commented_by,
    commented_at)
SELECT gen_random_uuid(), subscription_id, version_id, 'c', created_by, created_at FROM versions;
INSERT INTO server_logs (log_id, created_at, request_id, endpoint, user_id, subscription_id, response_status)
SELECT gen_random_uuid(), '2026-01-01Z'::timestamptz + make_interval(secs => n), n::text, '/v1/' || n % 1000,
    lpad(to_hex(n % 1000), 32, '0')::uuid, (ARRAY[:s, NULL]::uuid[])[n % 2 + 1],
    CASE WHEN n % 100 = 0 THEN 500 ELSE 200 END
FROM generate_series(1, :resources * 100) n;
INSERT INTO deletion_requests
SELECT gen_random_uuid(), :s, gen_random_uuid(), :s, n % 2 = 0, now(), CASE WHEN n > 1 THEN now() END, NULL,
    CASE WHEN n > 1 THEN 'checked_out' END
FROM generate_series(1, :resources * 25) n;
ANALYZE;
"""


_NEW_ROWS = """
INSERT INTO subscriptions VALUES (:s, 'new', now());
INSERT INTO actors (user_id, subscription_id, username) VALUES (:s, :s, 'ben');
INSERT INTO versions (version_id, subscription_id, resource_type, resource_id, resource_name, version_number,
    version_data, is_current, is_published, git_commit_hash, git_blob_id, commit_number, git_branch,
    git_repo_url, created_by, created_at)
SELECT gen_random_uuid(), :s, 'workflow', lpad(to_hex(100000 + r), 32, '0')::uuid, 'w', 1, '{}', true, false,
    encode(sha256(r::text::bytea), 'hex')::char(40), repeat('b', 40), r, 'main', '', :s, '2026-01-01Z'
FROM generate_series(1, :resources) r;
INSERT INTO deletion_logs (deletion_id, root_deletion_id, subscription_id, resource_type, resource_id,
    resource_name, cascade_level, cascaded_workspaces, cascaded_folders, cascaded_jobs, cascaded_workflows,
    cascaded_jobpackages, cascaded_connectors, is_soft_delete, can_be_restored, deleted_at, version_id,
    git_commit_hash, commit_number)
SELECT version_id, version_id, subscription_id, resource_type, resource_id, 'w', 0, 0, 0, 0, 1, 0, 0, true,
    false, '2026-01-02Z', version_id, repeat('d', 40), :resources + 1
FROM versions WHERE subscription_id = :s AND commit_number > :living;
"""


@pytest.fixture(scope="module")
def large(cluster: Cluster) -> Iterator[ServiceDatabase]:
    """A database with 40,000 versions of 400 resources."""
    database: Database = cluster.migrated()
    with database.connection() as connection:
        rows = _ROWS.replace(":s,", f"'{SUBSCRIPTION}',").replace(":each", str(VERSIONS_EACH))
        connection.execute(rows.replace(":resources", str(RESOURCES)).encode())
        for table in ("versions", "deletion_logs"):
            connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)".encode())
        rows = _NEW_ROWS.replace(":resources", str(NEW_RESOURCES)).replace(":living", str(NEW_LIVING))
        connection.execute(rows.replace(":s", f"'{NEW_SUBSCRIPTION}'").encode())
    pool = ServiceDatabase(database.url, pool_size=1)
    yield pool
    pool.close()


Query = Callable[[Transaction], object]
ANY = VersionFilter()

# Each query, and the most rows that one step of its plan may read.
UNKNOWN = UUID(int=2**100)


# Values that no deletion has.
ABSENT: dict[str, Any] = {
    **dict.fromkeys(("restored_by", "recorded_by"), (UNKNOWN,)),
    **dict.fromkeys(("deleted_by", "resource_id", "parent_resource_id"), (str(UNKNOWN), "unknown")),
    **dict.fromkeys(("version_id", "root_deletion_id"), UNKNOWN),
    **dict.fromkeys(("origin", "source"), "posted"),
}


def deletions_by(**narrow: Any) -> Query:
    """Make the query of a page of deletions."""
    filters = DeletionFilter(**narrow)
    return lambda tx: posted_deletions.page(tx, SUBSCRIPTION, filters, before=None, limit=51, at=AT)


QUERIES: dict[str, tuple[Query, int]] = {
    "a page of a history": (
        lambda tx: versions.page(tx, SUBSCRIPTION, "workflow", RESOURCE, ANY, before=90, limit=51, at=AT),
        100,
    ),
    "a history by tag": (
        lambda tx: versions.page(
            tx, SUBSCRIPTION, "workflow", RESOURCE, VersionFilter(tag="v7"), before=None, limit=51, at=AT
        ),
        100,
    ),
    "a version by number": (
        lambda tx: versions.by_number(tx, SUBSCRIPTION, "workflow", RESOURCE, 5, at=AT),
        1,
    ),
    "a version by tag": (lambda tx: versions.by_tag(tx, SUBSCRIPTION, "workflow", RESOURCE, "v5", at=AT), 1),
    "a version by commit": (
        lambda tx: versions.by_commit(tx, SUBSCRIPTION, "workflow", RESOURCE, "abcdef0", at=AT),
        100,
    ),
    "the published version": (
        lambda tx: versions.published(tx, SUBSCRIPTION, "workflow", RESOURCE, at=AT),
        1,
    ),
    "a commit by its beginning": (lambda tx: as_of.commits(tx, SUBSCRIPTION, "abcdef0"), 10),
    "the commit at an instant": (lambda tx: as_of.last_commit(tx, SUBSCRIPTION, AT), 10),
    "the commit at an instant long past": (lambda tx: as_of.last_commit(tx, SUBSCRIPTION, EARLY), 10),
    "the head of main": (
        lambda tx: as_of.last_commit(tx, SUBSCRIPTION, datetime.max.replace(tzinfo=UTC)),
        10,
    ),
    "the versions since a commit long past": (
        lambda tx: as_of.versions_since(
            tx,
            SUBSCRIPTION,
            as_of.CommitRow(git_commit_hash="0" * 40, commit_number=20_000, committed_at=EARLY),
            limit=6,
        ),
        30,
    ),
    **{
        f"what there was {when}, {which}": (
            lambda tx, number=number, kind=kind, before=before: as_of.page(  # type: ignore[misc]
                tx, SUBSCRIPTION, kind, number=number, at=EARLY, before=before, limit=51
            ),
            120,
        )
        for when, number in (("lately", 50_000), ("long ago", 20_000))
        for which, kind, before in (
            ("the newest", None, None),
            ("after a position", None, UUID(int=200)),
            ("of a kind", "workflow", None),
            ("of a kind that there is not", "folder", None),
        )
    },
    "whether a history can be read": (
        lambda tx: versions.trace("workflow").all(tx, of_subscription=SUBSCRIPTION, ids=[RESOURCE]),
        1,
    ),
    "which of 50 resources had fallen": (
        lambda tx: as_of.deleted(tx, SUBSCRIPTION, [UUID(int=n) for n in range(1, 51)], number=20_000),
        500,
    ),
    "the versions of 50 resources at a commit": (
        lambda tx: versions.as_of(
            tx, SUBSCRIPTION, [("workflow", UUID(int=n)) for n in range(1, 51)], number=20_000, at=AT
        ),
        100,
    ),
    "a page of the check-outs that run": (
        lambda tx: check_outs.page(tx, SUBSCRIPTION, before=None, limit=51, at=AT),
        100,
    ),
    "the check-out of a resource": (
        lambda tx: check_outs.of_resource(tx, SUBSCRIPTION, "workflow", RESOURCE, at=AT),
        1,
    ),
    "the comments on a version": (
        lambda tx: comments.page(tx, SUBSCRIPTION, UUID(int=3), before=None, limit=51),
        100,
    ),
    "the owner of a tag": (lambda tx: tags.owner(tx, SUBSCRIPTION, "workflow", RESOURCE, "v5"), 1),
    "the refs that are owed": (lambda tx: tags.unsettled(tx, SUBSCRIPTION), 20),
    **{
        f"a page of the server log by {' and '.join(narrow) or 'nothing'}, {whose}": (
            lambda tx, narrow=narrow, of=of: log_reading.page(  # type: ignore[misc]
                tx,
                SERVER_LOG,
                of,
                ServerLogFilter(**narrow),
                LogPaging(limit=51, at=AT, before=(AT, RESOURCE)),
            ),
            # Failures are few: all in the window of time may be read and sorted.
            410 if "status" in narrow else 110,
        )
        for whose, of in (("of one", SUBSCRIPTION), ("of all", None))
        for narrow in (
            {},
            {"status": "5xx"},
            {"status": "500", "since": LONG_AGO, "until": AT},
            {"endpoint": "/v1/8"},
            {"user_id": UUID(int=8)},
            {"request_id": "8"},
        )
    },
    "the workflows that name a connector": (
        lambda tx: references.scan_workflows(
            tx, SUBSCRIPTION, [RESOURCE], before=UUID(int=300), most=50, most_bytes=1_000_000
        ),
        50,
    ),
    "the name of a sibling": (
        lambda tx: places.name_owner(tx, SUBSCRIPTION, "workflow", SUBSCRIPTION, "7", "7"),
        1,
    ),
    "what a folder lies in": (lambda tx: places.lies_in(tx, SUBSCRIPTION, FOLDER, UUID(int=1)), 10),
    "where requests for deletions wait": (deletion_requests.subscriptions, 1),
    "deletions by their own times": (deletions_by(time="occurred_at", since=AT), 1),
    **{f"deletions by {name}": (deletions_by(**{name: value}), 1) for name, value in ABSENT.items()},
    "the request for a deletion that waits for longest": (
        lambda tx: deletion_requests.oldest(tx, SUBSCRIPTION),
        1,
    ),
    "a resource as its history shows it": (
        lambda tx: histories.state(tx, SUBSCRIPTION, "workflow", RESOURCE, at=AT),
        1,
    ),
    "the latest deletion of a resource": (
        lambda tx: histories.last_deletion(tx, SUBSCRIPTION, "workflow", RESOURCE),
        20,
    ),
    "the version whose document another one has": (
        lambda tx: histories.same_document(tx, SUBSCRIPTION, "workflow", RESOURCE, 90, "0" * 40),
        histories.LOOKED_BACK,
    ),
    "a page of a history with its comments": (
        lambda tx: histories.page(tx, SUBSCRIPTION, "workflow", RESOURCE, ANY, before=90, limit=26),
        100,
    ),
    "where the refs have to stand": (lambda tx: repositories.refs(tx, SUBSCRIPTION), 20),
}


# The committer's statements for ten resources, which are sent by the driver without SQLAlchemy.
COMMANDS: dict[str, Query] = {
    "the end of ten check-outs": lambda tx: check_outs.check_in(
        tx, SUBSCRIPTION, [(held(n), UUID(int=n)) for n in range(1, 11)], at=AT
    ),
    "ten resources touched": lambda tx: resources.touch(
        tx, SUBSCRIPTION, [workflow(n) for n in range(1, 11)]
    ),
    "ten versions superseded": lambda tx: versions.insert_rows(
        tx, SUBSCRIPTION, [], superseded=[UUID(int=n) for n in range(1, 11)]
    ),
}


def held(number: int) -> CheckOutRow:
    return CheckOutRow(
        check_out_id=UUID(int=number),
        resource_type="workflow",
        resource_id=UUID(int=number),
        version_id=UUID(int=number),
        checked_out_by=SUBSCRIPTION,
        username="ana",
        checked_out_at=AT,
        expires_at=AT,
        reason=None,
    )


def workflow(number: int) -> ResourceRow:
    return ResourceRow(
        resource_type="workflow",
        resource_id=UUID(int=number),
        name=str(number),
        description=None,
        parent_id=SUBSCRIPTION,
        workspace_id=SUBSCRIPTION,
        folder_id=SUBSCRIPTION,
        created_by=SUBSCRIPTION,
        created_at=AT,
        updated_at=AT,
        deleted_at=None,
    )


class Explaining:
    """A connection of the driver that explains its statements and executes them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.plans: list[dict[str, Any]] = []

    def execute(self, statement: bytes, parameters: dict[str, Any]) -> None:
        row = self._connection.execute(b"EXPLAIN (FORMAT JSON) " + statement, parameters).fetchone()
        assert row is not None
        self.plans.append(row[0][0]["Plan"])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_finds_its_rows_by_an_index(
    large: ServiceDatabase, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with large.transaction(SUBSCRIPTION) as tx:
        explaining = Explaining(pipelines.driver_of(tx))
        monkeypatch.setattr(pipelines, "driver_of", lambda _: explaining)
        COMMANDS[name](tx)
        monkeypatch.undo()
    assert explaining.plans
    for node in (node for plan in explaining.plans for node in nodes(plan)):
        assert node["Node Type"] != "Seq Scan", explaining.plans


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_reads_no_more_than_it_must(large: ServiceDatabase, name: str) -> None:
    query, most = QUERIES[name]
    plans = plans_of(large, SUBSCRIPTION, query)
    for node in (node for plan in plans for node in nodes(plan)):
        read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        large_table = node.get("Relation Name") not in (None, "actors", "repositories")
        assert not (large_table and node["Node Type"] == "Seq Scan"), plans
        assert not large_table or read <= most, (read, plans)


def rows_read(plans: list[dict[str, Any]]) -> Counter[str]:
    """Count the rows that plans read of each table, with those that a filter leaves out."""
    found: Counter[str] = Counter()
    for node in (node for plan in plans for node in nodes(plan)):
        if (table := node.get("Relation Name")) is not None:
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            found[table] += node["Actual Loops"] * read
    return found


@pytest.mark.parametrize(
    ("root", "most"),
    [
        (None, 200),
        (("workflow", RESOURCE), 12),
        (("folder", FOLDER), 0),
        (("job", SUBSCRIPTION), moments.LOOKED_THROUGH),
    ],
)
def test_the_latest_moments_read_few_versions_of_however_many_there_are(
    large: ServiceDatabase, root: tuple[str, UUID] | None, most: int
) -> None:
    def read(tx: Transaction) -> None:
        found = moments.saves(tx, SUBSCRIPTION, root, of_each=12, limit=200)
        version_ids = [row.version_id for row in found]
        moments.tags(tx, SUBSCRIPTION, version_ids, limit=6)
        moments.publications(tx, SUBSCRIPTION, version_ids, limit=6)

    found = rows_read(plans_of(large, SUBSCRIPTION, read))
    assert found["versions"] <= most, found
    # The comment on each, and the marks of all.
    assert all(found[table] <= most for table in ("version_comments", "tags", "publications")), found


def test_the_size_of_a_subscription_reads_a_bounded_part_of_it(large: ServiceDatabase) -> None:
    plans = plans_of(large, PLATFORM, lambda tx: subscription_sizes.of(tx, [SUBSCRIPTION]))
    # Of 40,000 versions, those that are counted, and the last one.
    assert rows_read(plans)["versions"] <= subscription_sizes.MAX_COUNTED + 2, plans
    with large.transaction(PLATFORM) as tx:
        found = subscription_sizes.of(tx, [SUBSCRIPTION])[SUBSCRIPTION]
    assert found.versions == subscription_sizes.MAX_COUNTED + 1


@pytest.mark.parametrize("number", [NEW_RESOURCES, NEW_RESOURCES + 1])
def test_what_there_was_is_found_as_soon_where_statistics_know_nothing_of_it(
    large: ServiceDatabase, number: int
) -> None:
    plans = plans_of(
        large,
        NEW_SUBSCRIPTION,
        lambda tx: as_of.page(tx, NEW_SUBSCRIPTION, None, number=number, at=AT, before=None, limit=51),
    )
    read = sum(
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for plan in plans
        for node in nodes(plan)
    )
    # Each resource and its deletion a few times, and not every deletion for each resource.
    assert read < 10 * NEW_RESOURCES, plans


def plans_of(large: ServiceDatabase, subscription_id: Scope, query: Query) -> list[dict[str, Any]]:
    """The plans by which the statements of a query were executed."""
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "SAVEPOINT" not in statement:
            seen.append((statement, parameters))

    with large.transaction(subscription_id) as tx:
        event.listen(large.engine, "before_cursor_execute", note)
        try:
            query(tx)
        finally:
            event.remove(large.engine, "before_cursor_execute", note)
        explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) "
        plans = [
            tx.exec_driver_sql(explain + statement, parameters).scalar_one()[0]["Plan"]
            for statement, parameters in seen
        ]
    assert plans
    return plans
