"""Pages of the logs touch the chunks of their window alone, by the index of their filter, and few rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import event, text

from sql.database import PLATFORM, Transaction
from sql.database import Database as ServiceDatabase
from sql.hypertables import chunk_of
from sql.log_facets import facets
from sql.log_newest import since_newest
from sql.log_reading import Log, page, read_in_order
from sql.log_statistics import Deadline, Grouping, statistics
from sql.log_windows import LogPaging, windows_of
from sql.pipelines import driver_of
from sql.queries.audit_logs import AUDIT_LOG, COUNTS, AuditFilter
from sql.queries.data_changes import CHANGE_HISTORY, DataChangeFilter
from sql.queries.execution_logs import EXECUTION_LOG, ExecutionFilter
from sql.queries.server_logs import SERVER_LOG, ServerLogFilter
from tests.support.databases import Cluster, Database
from tests.support.query_plans import explained, filled, nodes

AT = datetime(2026, 11, 24, 15, tzinfo=UTC)
SUBSCRIPTION, OTHER = UUID(int=1), UUID(int=2)
LIMIT = 51
PAGING = LogPaging(limit=LIMIT, at=AT)
ROWS = 40_000

# Row n of each log: one in four of the subscription, values that are rare and some that are common, few
# failures of the server among those of clients, and ids that all subscriptions use.
_ID = "lpad(to_hex({}), 32, '0')::uuid"
_COMMON = f"{_ID.format('n')}, {_ID.format('n % 4 + 1')}, '{AT.isoformat()}'::timestamptz - n * "
_EXECUTION = f"""
{_ID.format("n / 40")}, {{kind}}, {_ID.format("n % 300")}, {_ID.format("n % 200")}, 'node_' || n % 400,
CASE WHEN n % 150 = 0 THEN 'ERROR' WHEN n % 152 = 4 THEN 'WARNING' ELSE 'INFO' END, 'm',
CASE n % 120 WHEN 0 THEN 'failed' WHEN 60 THEN 'timed_out' ELSE 'success' END, {_ID.format("n % 200")},
CASE WHEN n % 100 = 0 THEN 'E' || n % 300 END, {_ID.format("n % 160")}, {_ID.format("n % 120")},
'q' || n / 40, 's' || n % 200, md5((n % 160)::text) FROM generate_series(1, {ROWS}) n;
"""
_EXECUTION_COLUMNS = """(log_id, subscription_id, created_at, execution_id, execution_type, workflow_id,
job_id, node_id, log_level, log_message, status)"""
_SPARSE_COLUMNS = _EXECUTION_COLUMNS.replace(
    "status)",
    "status, jobpackage_id, error_code, triggered_by, recorded_by, request_id, source, git_commit_hash)",
)
_FILL = f"""
INSERT INTO audit_logs (audit_id, subscription_id, created_at, action, resource_type, resource_id, user_id,
    workspace_id, request_id, username, folder_id, ip_address, status, origin, actor_id, actor_name, source,
    event_id, received_request_id)
SELECT {_COMMON} interval '40 minutes', CASE WHEN n % 200 = 0 THEN 'DELETE' ELSE 'UPDATE' END,
    CASE WHEN n % 180 = 0 THEN 'connector' ELSE 'workflow' END, 'r' || n % 500, {_ID.format("n % 100")},
    {_ID.format("n % 160")}, 'q' || n / 8, 'u' || n % 100, {_ID.format("n % 160")},
    '10.0.0.0'::inet + n % 120, CASE WHEN n % 140 = 0 THEN 'failed' ELSE 'success' END,
    CASE WHEN n % 220 = 0 THEN 'posted' ELSE 'annals' END, CASE WHEN n % 4 = 0 THEN 'a' || n % 160 END,
    CASE WHEN n % 4 = 0 THEN 'n' || n % 160 END, CASE WHEN n % 4 = 0 THEN 's' || n % 160 END,
    CASE WHEN n % 4 = 0 THEN 'e' || n END, 'q' || n / 8
FROM generate_series(1, {ROWS}) n;
INSERT INTO audit_logs (audit_id, created_at, action, resource_type, status)
SELECT gen_random_uuid(), '{AT.isoformat()}'::timestamptz - n * interval '7 hours', 'CREATE', 'x', 'success'
FROM generate_series(1, 2000) n;
INSERT INTO data_change_history (change_id, subscription_id, changed_at, table_name, record_id, changed_by,
    request_id, change_type, version_number, origin, source, recorded_by)
SELECT {_COMMON} interval '40 minutes', CASE WHEN n % 180 = 0 THEN 'connectors' ELSE 'workflows' END,
    {_ID.format("n % 500")}, {_ID.format("n % 100")}, 'q' || n / 8, 'UPDATE', n,
    CASE WHEN n % 220 = 0 THEN 'posted' WHEN n % 220 > 100 THEN 'annals' END,
    CASE WHEN n % 220 = 0 THEN 's' || n % 3 END, CASE WHEN n % 220 = 0 THEN {_ID.format("n % 100")} END
FROM generate_series(1, {ROWS}) n;
INSERT INTO execution_logs {_SPARSE_COLUMNS} SELECT {_COMMON} interval '3 minutes',
    {_EXECUTION.format(kind="CASE WHEN n % 160 = 0 THEN 'jobpackage' ELSE 'workflow' END")}
INSERT INTO node_execution_logs {_SPARSE_COLUMNS} SELECT {_COMMON} interval '40 seconds',
    {_EXECUTION.format(kind="'node'")}
INSERT INTO server_logs (log_id, subscription_id, created_at, request_id, endpoint, user_id, ip_address,
    response_status, origin, source, actor_id)
SELECT {_COMMON} interval '40 seconds', 'q' || n / 8, '/v1/' || n % 400, {_ID.format("n % 100")},
    CASE WHEN n % 400 = 0 OR n % 40 = 1 THEN '10.1.0.0' WHEN n % 40 = 0 THEN '10.0.0.0'::inet + n % 120 END,
    CASE WHEN n % 660 = 0 THEN 500 WHEN n % 152 = 4 THEN 404 ELSE 200 END,
    CASE WHEN n % 220 = 0 THEN 'posted' WHEN n % 880 = 4 THEN 'annals' END,
    CASE WHEN n % 200 = 0 THEN 's' || n % 3 END, CASE WHEN n % 200 = 0 THEN 'a' || n % 3 END
FROM generate_series(1, {ROWS}) n;
ANALYZE;
"""  # noqa: S608 - nothing but constants
# A log, and whose rows.
AUDIT_PAGE = (AUDIT_LOG, SUBSCRIPTION)
PLATFORM_PAGE = (AUDIT_LOG, None)
EXECUTION_PAGE = (EXECUTION_LOG, SUBSCRIPTION)
CHANGE_PAGE = (CHANGE_HISTORY, SUBSCRIPTION)
SERVER_PAGE = (SERVER_LOG, SUBSCRIPTION)
ALL_SERVERS_PAGE = (SERVER_LOG, None)


@dataclass(frozen=True)
class Case:
    """A page, the logs that it reads, and the column that an index has to find it by."""

    page: tuple[Log[Any, Any], UUID | None]
    filters: Any
    column: str | None
    tables: tuple[str, ...]


AUDIT, CHANGES = ("audit_logs",), ("data_change_history",)
EXECUTIONS, NODES = ("execution_logs",), ("node_execution_logs",)
SERVER = ("server_logs",)
BOTH = (*EXECUTIONS, *NODES)
CASES = {
    "audit": Case(AUDIT_PAGE, AuditFilter(), None, AUDIT),
    "audit of the platform": Case(PLATFORM_PAGE, AuditFilter(), None, AUDIT),
    "audit by resource_type": Case(
        AUDIT_PAGE, AuditFilter(resource_type="connector"), "resource_type", AUDIT
    ),
    "audit by resource_id": Case(AUDIT_PAGE, AuditFilter(resource_id="r100"), "resource_id", AUDIT),
    "audit by user_id": Case(AUDIT_PAGE, AuditFilter(user_id=UUID(int=36)), "user_id", AUDIT),
    "audit by action": Case(AUDIT_PAGE, AuditFilter(action="DELETE"), "action", AUDIT),
    "audit by a common action": Case(AUDIT_PAGE, AuditFilter(action="UPDATE"), None, AUDIT),
    "audit by several actions": Case(
        AUDIT_PAGE, AuditFilter(action=("DELETE", "CREATE", "LOGIN")), "action", AUDIT
    ),
    "audit by several types and statuses": Case(
        AUDIT_PAGE, AuditFilter(resource_type=("connector", "job"), status=("failed", "success")), None, AUDIT
    ),
    "audit by several users": Case(
        AUDIT_PAGE, AuditFilter(user_id=(UUID(int=36), UUID(int=40))), "user_id", AUDIT
    ),
    "audit without some actions": Case(AUDIT_PAGE, AuditFilter(without=("DELETE", "READ")), None, AUDIT),
    "audit by status": Case(AUDIT_PAGE, AuditFilter(status="failed"), "status", AUDIT),
    "audit by success": Case(AUDIT_PAGE, AuditFilter(status="success"), None, AUDIT),
    "audit by workspace_id": Case(AUDIT_PAGE, AuditFilter(workspace_id=UUID(int=80)), "workspace_id", AUDIT),
    "audit by action and user_id": Case(
        AUDIT_PAGE, AuditFilter(action="DELETE", user_id=UUID(int=0)), "action", AUDIT
    ),
    "audit by a rare origin": Case(AUDIT_PAGE, AuditFilter(origin="posted"), None, AUDIT),
    "audit by a common origin": Case(AUDIT_PAGE, AuditFilter(origin="annals"), None, AUDIT),
    "audit by request_id": Case(AUDIT_PAGE, AuditFilter(request_id="q4000"), "request_id", AUDIT),
    "audit by username": Case(AUDIT_PAGE, AuditFilter(username="u36"), "username", AUDIT),
    "audit by folder_id": Case(AUDIT_PAGE, AuditFilter(folder_id=UUID(int=80)), "folder_id", AUDIT),
    "audit by ip_address": Case(AUDIT_PAGE, AuditFilter(ip_address="10.0.0.80"), "ip_address", AUDIT),
    **{
        f"audit by {name}": Case(AUDIT_PAGE, AuditFilter(**{name: value}), name, AUDIT)  # type: ignore[arg-type]
        for name, value in {
            "actor_id": "a80",
            "actor_name": "n80",
            "source": "s80",
            "event_id": "e400",
            "received_request_id": "q4000",
        }.items()
    },
    "audit by audit_id": Case(AUDIT_PAGE, AuditFilter(audit_id=UUID(int=400)), "audit_id", AUDIT),
    "changes": Case(CHANGE_PAGE, DataChangeFilter(), None, CHANGES),
    "changes by table_name": Case(
        CHANGE_PAGE, DataChangeFilter(table_name="connectors"), "table_name", CHANGES
    ),
    "changes by record_id": Case(
        CHANGE_PAGE, DataChangeFilter(record_id=str(UUID(int=100))), "record_id", CHANGES
    ),
    "changes by changed_by": Case(
        CHANGE_PAGE, DataChangeFilter(changed_by=str(UUID(int=36))), "changed_by", CHANGES
    ),
    "changes by a rare origin": Case(CHANGE_PAGE, DataChangeFilter(origin="posted"), "origin", CHANGES),
    "changes by a common origin": Case(CHANGE_PAGE, DataChangeFilter(origin="annals"), None, CHANGES),
    "changes by source": Case(CHANGE_PAGE, DataChangeFilter(source="s1"), "source", CHANGES),
    "changes by recorded_by": Case(
        CHANGE_PAGE, DataChangeFilter(recorded_by=UUID(int=20)), "recorded_by", CHANGES
    ),
    "changes by request_id": Case(CHANGE_PAGE, DataChangeFilter(request_id="q4000"), "request_id", CHANGES),
    "changes by change_id": Case(
        CHANGE_PAGE, DataChangeFilter(change_id=UUID(int=400)), "change_id", CHANGES
    ),
    "executions": Case(EXECUTION_PAGE, ExecutionFilter(), None, BOTH),
    "executions by execution_id": Case(
        EXECUTION_PAGE, ExecutionFilter(execution_id=str(UUID(int=700))), "execution_id", BOTH
    ),
    "executions by execution_type": Case(
        EXECUTION_PAGE, ExecutionFilter(execution_type="jobpackage"), "execution_type", EXECUTIONS
    ),
    "executions of nodes": Case(EXECUTION_PAGE, ExecutionFilter(execution_type="node"), None, NODES),
    "executions by workflow_id": Case(
        EXECUTION_PAGE, ExecutionFilter(workflow_id=UUID(int=100)), "workflow_id", BOTH
    ),
    "executions by job_id": Case(EXECUTION_PAGE, ExecutionFilter(job_id=UUID(int=100)), "job_id", BOTH),
    "executions by node_id": Case(EXECUTION_PAGE, ExecutionFilter(node_id="node_100"), "node_id", BOTH),
    "executions by log_level": Case(EXECUTION_PAGE, ExecutionFilter(log_level="ERROR"), "log_level", BOTH),
    "executions by warnings": Case(EXECUTION_PAGE, ExecutionFilter(log_level="WARNING"), "log_level", BOTH),
    "executions by the common log_level": Case(EXECUTION_PAGE, ExecutionFilter(log_level="INFO"), None, BOTH),
    "executions by status": Case(EXECUTION_PAGE, ExecutionFilter(status="failed"), "status", BOTH),
    "executions by success": Case(EXECUTION_PAGE, ExecutionFilter(status="success"), None, BOTH),
    "executions by several statuses": Case(
        EXECUTION_PAGE, ExecutionFilter(status=("failed", "timed_out")), "status", BOTH
    ),
    "executions by several workflows": Case(
        EXECUTION_PAGE, ExecutionFilter(workflow_id=(UUID(int=100), UUID(int=104))), "workflow_id", BOTH
    ),
    "executions by several nodes and levels": Case(
        EXECUTION_PAGE,
        ExecutionFilter(node_id=("node_100", "node_104"), log_level=("ERROR", "INFO")),
        None,
        BOTH,
    ),
    "executions by jobpackage_id": Case(
        EXECUTION_PAGE, ExecutionFilter(jobpackage_id=UUID(int=100)), "jobpackage_id", BOTH
    ),
    "executions by error_code": Case(EXECUTION_PAGE, ExecutionFilter(error_code="E200"), "error_code", BOTH),
    "executions by triggered_by": Case(
        EXECUTION_PAGE, ExecutionFilter(triggered_by=str(UUID(int=80))), "triggered_by", BOTH
    ),
    "executions by recorded_by": Case(
        EXECUTION_PAGE, ExecutionFilter(recorded_by=UUID(int=80)), "recorded_by", BOTH
    ),
    "executions by request_id": Case(EXECUTION_PAGE, ExecutionFilter(request_id="q400"), "request_id", BOTH),
    "executions by source": Case(EXECUTION_PAGE, ExecutionFilter(source="s80"), "source", BOTH),
    "executions by git_commit_hash": Case(
        EXECUTION_PAGE,
        ExecutionFilter(git_commit_hash="f033ab37c30201f73f142449d037028d"),
        "git_commit_hash",
        BOTH,
    ),
    "executions by time_out": Case(EXECUTION_PAGE, ExecutionFilter(status="timed_out"), "status", BOTH),
    "executions by log_id": Case(EXECUTION_PAGE, ExecutionFilter(log_id=UUID(int=400)), "log_id", BOTH),
    "requests": Case(SERVER_PAGE, ServerLogFilter(), None, SERVER),
    "requests of all": Case(ALL_SERVERS_PAGE, ServerLogFilter(), None, SERVER),
    "requests by status": Case(SERVER_PAGE, ServerLogFilter(status="404"), None, SERVER),
    "requests by a class of status": Case(SERVER_PAGE, ServerLogFilter(status="4xx"), None, SERVER),
    "requests of all by a class of status": Case(
        ALL_SERVERS_PAGE, ServerLogFilter(status="4xx"), None, SERVER
    ),
    "requests by success": Case(SERVER_PAGE, ServerLogFilter(status="2xx"), None, SERVER),
    "requests by endpoint": Case(SERVER_PAGE, ServerLogFilter(endpoint="/v1/100"), "endpoint", SERVER),
    "requests of all by endpoint": Case(
        ALL_SERVERS_PAGE, ServerLogFilter(endpoint="/v1/100"), "endpoint", SERVER
    ),
    "requests by user_id": Case(SERVER_PAGE, ServerLogFilter(user_id=UUID(int=36)), "user_id", SERVER),
    "requests by a rare origin": Case(SERVER_PAGE, ServerLogFilter(origin="posted"), "origin", SERVER),
    "requests by a common origin": Case(SERVER_PAGE, ServerLogFilter(origin="annals"), None, SERVER),
    "requests by source": Case(SERVER_PAGE, ServerLogFilter(source="s1"), "source", SERVER),
    "requests by actor_id": Case(SERVER_PAGE, ServerLogFilter(actor_id="a1"), "actor_id", SERVER),
    "requests by request_id": Case(SERVER_PAGE, ServerLogFilter(request_id="q4000"), "request_id", SERVER),
    "requests by ip_address": Case(
        SERVER_PAGE, ServerLogFilter(ip_address="10.0.0.80"), "ip_address", SERVER
    ),
    "requests by an address of many subscriptions": Case(
        SERVER_PAGE, ServerLogFilter(ip_address="10.1.0.0"), "ip_address", SERVER
    ),
    "requests of all by ip_address": Case(
        ALL_SERVERS_PAGE, ServerLogFilter(ip_address="10.0.0.80"), "ip_address", SERVER
    ),
    "requests by log_id": Case(SERVER_PAGE, ServerLogFilter(log_id=UUID(int=400)), "log_id", SERVER),
    "requests of all by subscription_id": Case(
        ALL_SERVERS_PAGE, ServerLogFilter(subscription_id=SUBSCRIPTION), "subscription_id", SERVER
    ),
}


@pytest.fixture(scope="module")
def long(cluster: Cluster) -> Iterator[ServiceDatabase]:
    """A database with logs over many chunks."""
    with filled(cluster, _FILL) as pool:
        yield pool


@pytest.mark.sampled(24)
@pytest.mark.parametrize("name", CASES)
def test_a_page_touches_the_chunks_of_its_window_by_its_index(long: ServiceDatabase, name: str) -> None:
    assert check(long, CASES[name])


@pytest.mark.sampled(24)
@pytest.mark.parametrize("name", CASES)
def test_a_page_within_a_time_touches_the_chunks_of_that(long: ServiceDatabase, name: str) -> None:
    case = CASES[name]
    until = AT - timedelta(days=3)
    since = until - chunk_of(case.tables[-1]) / 2
    check(long, replace(case, filters=replace(case.filters, since=since, until=until)))


def check(database: ServiceDatabase, case: Case) -> int:
    """Check that the statements of a page read by the index, in their windows, and few other rows.

    Returns the length of the page.
    """
    with database.transaction(case.page[1] or PLATFORM) as tx:
        rows, plans = explained(database, tx, partial(page, tx, *case.page, case.filters, PAGING))
        windows = list(windows_of(case.filters, PAGING, min(map(chunk_of, case.tables))))
        assert 0 < len(plans) <= len(windows)
        read = 0
        for plan, (begin, end) in zip(plans, windows, strict=False):
            scans = [node for node in nodes(plan) if str(node.get("Relation Name")).startswith("_hyper")]
            touched = {node["Relation Name"] for node in scans}
            assert touched <= chunks(tx, case.tables, begin, end or case.filters.until), plan
            for scan in scans:
                if scan["Actual Loops"]:
                    assert "Index" in scan["Node Type"] or "Bitmap" in scan["Node Type"], plan
                    assert case.column is None or case.column in condition(scan, plan), plan
                read += scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)
        # Both execution logs, and each of several values, are asked for a whole page.
        most = len(case.tables) * case.filters.size * (len(rows) + 20)
        assert read <= most, (read, len(rows), plans)
        return len(rows)


@pytest.mark.parametrize("narrow", [AuditFilter(), AuditFilter(action=("UPDATE", "DELETE"), without="READ")])
@pytest.mark.parametrize("days", [4, 400])
def test_facets_are_one_scan_of_the_chunks_of_their_time(
    long: ServiceDatabase, narrow: AuditFilter, days: int
) -> None:
    since = AT - timedelta(days=days)
    filters = replace(narrow, since=since, until=AT)
    columns = ("action", "resource_type", "user_id", "status")
    with long.transaction(SUBSCRIPTION) as tx:
        read = partial(facets, tx, AUDIT_LOG, SUBSCRIPTION, filters, columns, weight="occurrences", limit=50)
        found, [plan] = explained(long, tx, read)
        touched = chunks(tx, AUDIT, since, AT)
    total = sum(each.count for each in found["action"].values)
    assert total == days * 24 * 60 // 40 // 4
    every = list(nodes(plan))
    scans = [node for node in every if str(node.get("Relation Name")).startswith("_hyper")]
    assert {scan["Relation Name"] for scan in scans} == touched
    assert len(scans) == len(touched)
    assert sum(scan["Actual Rows"] for scan in scans) == total
    # The groups are sorted, by which there are few, but no rows.
    assert sum("Sort" in node["Node Type"] and node["Actual Rows"] >= total for node in every) == 0


@pytest.mark.parametrize(
    "narrow", [AuditFilter(), AuditFilter(action="DELETE"), AuditFilter(action=("UPDATE", "DELETE"))]
)
def test_the_newest_rows_are_found_by_an_index_and_no_further_ones_are_read(
    long: ServiceDatabase, narrow: AuditFilter
) -> None:
    count = 10
    filters = replace(narrow, since=AT - timedelta(days=400), until=AT)
    with long.transaction(SUBSCRIPTION) as tx:
        read_in_order(tx, filters)
        read = partial(since_newest, tx, AUDIT_LOG, SUBSCRIPTION, filters, count, deadline=Deadline())
        found, [plan] = explained(long, tx, read)
        matching = statistics(
            *(tx, COUNTS, SUBSCRIPTION, filters),
            Grouping(width=None, limit=1),
        )
    assert found is not None
    assert sum(each.count for each in matching) > count
    scans = [node for node in nodes(plan) if str(node.get("Relation Name")).startswith("_hyper")]
    assert not [scan for scan in scans if scan["Actual Loops"] and "Index" not in scan["Node Type"]], plan
    read_rows = sum(scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) for scan in scans)
    assert read_rows <= filters.size * (count + 2), plan


def condition(scan: dict[str, Any], plan: dict[str, Any]) -> str:
    """Return the condition of an index scan; for a bitmap scan, the conditions of all its bitmaps."""
    if "Index Cond" in scan:
        return str(scan["Index Cond"])
    return " ".join(str(node.get("Index Cond")) for node in nodes(plan))


def chunks(
    tx: Transaction, tables: tuple[str, ...], begin: datetime | None, end: datetime | None
) -> set[str]:
    """Find the chunks that overlap a time."""
    query = text(
        "SELECT chunk_name FROM timescaledb_information.chunks WHERE hypertable_name = ANY(:tables)"
        " AND range_end > coalesce(:begin, '-infinity'::timestamptz)"
        " AND range_start <= coalesce(:end, 'infinity'::timestamptz)"
    )
    found = tx.execute(query, {"tables": list(tables), "begin": begin, "end": end}).scalars()
    return set(found)


# Long values, which make the index of a filter deeper than that of time.
_LONG = "repeat(md5((n % 400)::text), 7)"
BURST = 60_000
_BURST = f"""
INSERT INTO audit_logs (audit_id, subscription_id, created_at, action, resource_type, resource_id, status,
    username, folder_id, ip_address)
SELECT gen_random_uuid(), %(s)s, %(at)s - n * interval '1 second', 'UPDATE', 'workflow', {_LONG}, 'success',
    {_LONG}, {_ID.format("n % 300")}, '10.0.0.0'::inet + n % 120
FROM generate_series(1, %(rows)s) n;
INSERT INTO execution_logs {_SPARSE_COLUMNS}
SELECT gen_random_uuid(), %(s)s, %(at)s - n * interval '1 second', {_ID.format("n / 40")}, 'workflow',
    {_ID.format("n % 300")}, {_ID.format("n % 200")}, {_LONG}, 'INFO', 'm', 'success',
    {_ID.format("n % 200")}, 'E' || n % 300, {_ID.format("n % 160")}, {_ID.format("n % 120")}, 'q' || n / 40,
    's' || n % 200, md5((n % 160)::text) FROM generate_series(1, %(rows)s) n;
INSERT INTO server_logs (log_id, subscription_id, created_at, request_id, endpoint, user_id, response_status,
    ip_address)
SELECT gen_random_uuid(), %(s)s, %(at)s - n * interval '1 second', md5(n::text), {_LONG},
    {_ID.format("n % 100")}, 200, '10.0.0.0'::inet + n % 120 FROM generate_series(1, %(rows)s, 3) n;
""".replace(" % ", " %% ")  # noqa: S608 - nothing but constants
UNKNOWN = UUID(int=2**100)
# Those of the statistics: a chunk as small as this may be read whole.
FEW = 1_000
NOTHING = {
    "audit by resource_id": Case(AUDIT_PAGE, AuditFilter(resource_id="none"), "resource_id", AUDIT),
    "audit by origin": Case(AUDIT_PAGE, AuditFilter(origin="posted"), None, AUDIT),
    "executions by node_id": Case(EXECUTION_PAGE, ExecutionFilter(node_id="none"), "node_id", BOTH),
    "requests by endpoint": Case(SERVER_PAGE, ServerLogFilter(endpoint="none"), "endpoint", SERVER),
    "requests by request_id": Case(SERVER_PAGE, ServerLogFilter(request_id="none"), "request_id", SERVER),
    "requests by user_id": Case(SERVER_PAGE, ServerLogFilter(user_id=UNKNOWN), "user_id", SERVER),
    "requests by ip_address": Case(SERVER_PAGE, ServerLogFilter(ip_address="::1"), "ip_address", SERVER),
    "requests of all by ip_address": Case(
        ALL_SERVERS_PAGE, ServerLogFilter(ip_address="::1"), "ip_address", SERVER
    ),
    **{
        f"audit by {name}": Case(AUDIT_PAGE, AuditFilter(**{name: value}), name, AUDIT)  # type: ignore[arg-type]
        for name, value in {"username": "none", "folder_id": UNKNOWN, "ip_address": "::1"}.items()
    },
    **{
        f"executions by {name}": Case(EXECUTION_PAGE, ExecutionFilter(**{name: value}), name, BOTH)  # type: ignore[arg-type]
        for name, value in {
            "jobpackage_id": UNKNOWN,
            "error_code": "none",
            "triggered_by": "none",
            "recorded_by": UNKNOWN,
            "request_id": "none",
            "source": "none",
            "git_commit_hash": "none",
        }.items()
    },
}


_NOT_ANALYZED = b"""
DO $$
DECLARE
    chunk regclass;
BEGIN
    FOR chunk IN SELECT format('%I.%I', chunk_schema, chunk_name) FROM timescaledb_information.chunks LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', chunk);
    END LOOP;
END $$
"""


@pytest.fixture(scope="module")
def stale(cluster: Cluster) -> Iterator[ServiceDatabase]:
    """A database whose statistics are of other rows than the many that came since."""
    database: Database = cluster.migrated()
    # The statistics are of another subscription, or of the same one at an earlier time.
    before = AT - timedelta(hours=23)
    with psycopg.connect(database.url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for subscription, rows in ((OTHER, 500), (SUBSCRIPTION, 20)):
            connection.execute(_BURST.encode(), {"s": subscription, "at": before, "rows": rows})
        connection.execute("ANALYZE")
        connection.execute(_BURST.encode(), {"s": SUBSCRIPTION, "at": AT, "rows": BURST})
        # Autovacuum looks once a minute, and would make new statistics while the tests wait.
        connection.execute(_NOT_ANALYZED)
    pool = ServiceDatabase(database.url, pool_size=1)
    yield pool
    pool.close()
    cluster.drop(database)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", NOTHING)
def test_a_filter_that_finds_nothing_reads_few_rows_before_statistics_are_made(
    stale: ServiceDatabase, name: str
) -> None:
    case = NOTHING[name]
    with stale.transaction(SUBSCRIPTION) as tx:
        rows, plans = explained(stale, tx, partial(page, tx, *case.page, case.filters, PAGING))
    assert rows == []
    scans = [node for plan in plans for node in nodes(plan)]
    assert sum(scan.get("Rows Removed by Filter", 0) for scan in scans) <= FEW


@pytest.fixture(scope="module")
def decade(cluster: Cluster) -> Iterator[ServiceDatabase]:
    """A database with ten years of audit rows, one a day."""
    database: Database = cluster.migrated()
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO audit_logs (audit_id, subscription_id, created_at, action, resource_type, status)"
            " SELECT gen_random_uuid(), %s, %s::timestamptz - n * interval '1 day', 'UPDATE', 'job',"
            " 'success' FROM generate_series(1, 3650) n",
            [SUBSCRIPTION, AT],
        )
    pool = ServiceDatabase(database.url, pool_size=1)
    yield pool
    pool.close()
    cluster.drop(database)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (AuditFilter(time="occurred_at"), "occurred_at"),
        (AuditFilter(time="occurred_at", until=AT - timedelta(days=300)), "occurred_at"),
        (AuditFilter(time="occurred_at", without="DELETE"), "occurred_at"),
        (AuditFilter(time="occurred_at", source="s80"), "source"),
        (AuditFilter(time="occurred_at", action="DELETE"), "action"),
    ],
)
def test_a_page_by_the_events_own_time_reads_few_rows_by_an_index(
    long: ServiceDatabase, filters: AuditFilter, index: str
) -> None:
    case = Case(AUDIT_PAGE, filters, index, AUDIT)
    with long.transaction(SUBSCRIPTION) as tx:
        rows, plans = explained(long, tx, partial(page, tx, *case.page, case.filters, PAGING))
    assert len(rows) == LIMIT
    scans = [node for plan in plans for node in nodes(plan)]
    scans = [node for node in scans if str(node.get("Relation Name")).startswith("_hyper")]
    assert scans
    for scan in scans:
        if scan["Actual Loops"]:
            assert index in (condition(scan, plans[0]) + scan.get("Index Name", "")), plans
    # Rows of a filter are sorted: the last window has up to twice as many as those before it together.
    assert sum(scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) for scan in scans) <= 4 * LIMIT


@contextmanager
def watched(database: ServiceDatabase, observer: ServiceDatabase) -> Iterator[list[int]]:
    """Count the locks of a pool's connection after each of its statements."""
    found: list[int] = []
    query = text("SELECT count(*) FROM pg_locks WHERE pid = :pid")

    def note(connection: Transaction, *_: object) -> None:
        pid = driver_of(connection).info.backend_pid
        with observer.transaction(PLATFORM) as tx:
            found.append(tx.execute(query, {"pid": pid}).scalar_one())

    event.listen(database.engine, "after_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database.engine, "after_cursor_execute", note)


@pytest.fixture
def observer(decade: ServiceDatabase) -> Iterator[ServiceDatabase]:
    pool = ServiceDatabase(decade.engine.url.render_as_string(hide_password=False), pool_size=1)
    yield pool
    pool.close()


def test_a_full_page_of_ten_years_locks_a_chunk_or_two(
    decade: ServiceDatabase, observer: ServiceDatabase
) -> None:
    # More often than PostgreSQL plans a statement anew for its parameters, unless it is asked to.
    for _ in range(15):
        with watched(decade, observer) as locks, decade.transaction(SUBSCRIPTION) as tx:
            assert len(page(tx, *AUDIT_PAGE, AuditFilter(), PAGING)) == LIMIT
        assert 0 < max(locks) < 80


def test_a_page_that_finds_nothing_in_ten_years_never_locks_them_all(
    decade: ServiceDatabase, observer: ServiceDatabase
) -> None:
    with watched(decade, observer) as locks, decade.transaction(SUBSCRIPTION) as tx:
        assert page(tx, *AUDIT_PAGE, AuditFilter(action="NONE"), PAGING) == []
        assert len(chunks(tx, AUDIT, None, None)) >= 40
    # Each chunk has twenty-two: itself and its indexes.
    assert 50 < max(locks) < 600


def test_every_row_of_ten_years_is_found_page_by_page(decade: ServiceDatabase) -> None:
    found: list[UUID] = []
    before = None
    with decade.transaction(SUBSCRIPTION) as tx:
        while True:
            paging = LogPaging(limit=200, at=AT, before=before)
            rows = page(tx, *AUDIT_PAGE, AuditFilter(), paging)
            if not rows:
                break
            found += [row.audit_id for row in rows]
            before = AUDIT_LOG.position_of(rows[-1], AuditFilter())
    assert len(set(found)) == len(found) == 3650
