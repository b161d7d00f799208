"""The execution logs: one table for nodes and one for the other types, which are kept longer."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Double, Select, Table, Text, case, cast, func, literal, select

from sql import bulk
from sql.copying import Incoming, copy_text
from sql.database import Transaction
from sql.log_reading import Columns, Log, occurrence, plain
from sql.log_statistics import Beside, Statistics, percentiles, whole_sum
from sql.log_windows import LogFilter, OneOf, People
from sql.models import TABLES
from sql.queries import log_queue
from sql.queries.executions import FAILURES, ExecutionsFilter, versions_of_events
from sql.queries.log_queue import LogBatch

NODE: Final = "node"
_EXECUTION_LOGS, _NODE_LOGS = TABLES["execution_logs"], TABLES["node_execution_logs"]


# This class and those of rows are not frozen: rows come by the thousand, and to make a frozen one takes eight
# times as long.
@dataclass(kw_only=True)
class LogEntry:
    """The identity of a row; `subscription_id` is None for scheduled jobs of the platform."""

    log_id: UUID
    created_at: datetime
    # As it is stored, None if it is the time of arrival; a row that is read always has a time.
    occurred_at: datetime | None
    subscription_id: UUID | None


@dataclass(kw_only=True)
class ExecutionDetails:
    """An event of a workflow, job, job package or node that runs, as its reporter describes it.

    `triggered_by` is a user's id or any other text; `source` is the system that sends the event, and
    `version_number` and `git_commit_hash` say which version ran.
    """

    execution_id: str
    execution_type: str
    workflow_id: UUID | None
    job_id: UUID | None
    jobpackage_id: UUID | None
    node_id: str | None
    log_level: str
    log_message: str
    log_details: dict[str, Any] | None
    duration_ms: float | None
    rows_processed: int | None
    memory_used_mb: float | None
    cpu_percent: float | None
    status: str | None
    error_code: str | None
    error_details: dict[str, Any] | None
    triggered_by: str | None
    source: str | None = None
    version_number: int | None = None
    git_commit_hash: str | None = None


# A dataclass has the fields of its last base first, so a response begins with the identity.
@dataclass(kw_only=True)
class ExecutionRow(ExecutionDetails, LogEntry):
    """An event of a workflow, job, job package or node that runs."""

    recorded_by: UUID | None
    request_id: str | None
    # No column: a subscription's rows were posted, those of scheduled jobs have no subscription.
    origin: str = "posted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter(LogFilter):
    """Conditions on execution events."""

    log_id: UUID | None = None
    execution_id: OneOf[str] | None = None
    execution_type: str | None = None
    workflow_id: OneOf[UUID] | None = None
    job_id: UUID | None = None
    jobpackage_id: UUID | None = None
    node_id: OneOf[str] | None = None
    log_level: OneOf[str] | None = None
    status: OneOf[str] | None = None
    error_code: OneOf[str] | None = None
    triggered_by: OneOf[str] | None = None
    recorded_by: People | None = None
    request_id: str | None = None
    source: str | None = None
    version_number: int | None = None
    git_commit_hash: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionBucket:
    """Figures of a group in the bucket that begins at `time`.

    `groups` has the group's value of each column, `group` the first. The percentiles and the sum are those of
    the measure that was asked for.
    """

    time: datetime
    group: str | None
    groups: list[str | None]
    count: int
    failed: int
    avg_duration_ms: float | None
    max_duration_ms: float | None
    rows_processed: int
    sum: float | None
    p50: float | None
    p95: float | None
    p99: float | None


_COLUMNS: Final = tuple(field.name for field in fields(ExecutionRow) if field.name != "origin")
# Of more rows COPY takes half of the time, of fewer one statement.
_LEAST_COPIED: Final = 50


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one table, or where they are many their text for COPY."""

    rows: Sequence[ExecutionRow]
    text: bytes | None


@dataclass(frozen=True, slots=True)
class PackedExecutions:
    """Rows of one subscription and of one time, in the order of the ids of their batch, ready to be added."""

    subscription_id: UUID | None
    at: datetime
    count: int
    first_id: UUID
    last_id: UUID
    executions: _Part
    nodes: _Part


def packed(rows: Sequence[ExecutionRow]) -> PackedExecutions:
    """Make rows, of which there is at least one, ready to be added; any process may do so."""
    return PackedExecutions(
        rows[0].subscription_id,
        rows[0].created_at,
        len(rows),
        rows[0].log_id,
        rows[-1].log_id,
        _part([row for row in rows if row.execution_type != NODE]),
        _part([row for row in rows if row.execution_type == NODE]),
    )


def _part(rows: Sequence[ExecutionRow]) -> _Part:
    return _Part(rows, None) if len(rows) < _LEAST_COPIED else _Part((), copy_text(rows, _COLUMNS))


_WAYS: Final = {
    table: (bulk.insertion(table, *_COLUMNS), Incoming(table, _COLUMNS))
    for table in (_EXECUTION_LOGS, _NODE_LOGS)
}


def insert_rows(tx: Transaction, rows: Sequence[ExecutionRow]) -> None:
    """Add rows of one batch, each to the table of its type."""
    if rows:
        add(tx, packed(rows))


def add(tx: Transaction, rows: PackedExecutions) -> None:
    """Add packed rows, and queue them as one batch."""
    for table, part in ((_EXECUTION_LOGS, rows.executions), (_NODE_LOGS, rows.nodes)):
        insertion, incoming = _WAYS[table]
        if part.text is None:
            bulk.execute(tx, insertion, part.rows)
        else:
            incoming.add_text(tx, part.text)
    batch = LogBatch(
        log="execution_logs",
        subscription_id=rows.subscription_id,
        first_id=rows.first_id,
        last_id=rows.last_id,
        first_at=rows.at,
        last_at=rows.at,
        rows=rows.count,
    )
    log_queue.add_batch(tx, batch)


def _tables(filters: ExecutionFilter) -> list[Table]:
    if filters.execution_type is None:
        return [_EXECUTION_LOGS, _NODE_LOGS]
    return [_NODE_LOGS if filters.execution_type == NODE else _EXECUTION_LOGS]


def _selected(table: Table) -> Select[Any]:
    occurred_at = occurrence(table).label("occurred_at")
    origin = case((table.c.subscription_id.is_(None), "annals"), else_="posted").label("origin")
    return select(*(occurred_at if name == "occurred_at" else table.c[name] for name in _COLUMNS), origin)


EXECUTION_LOG: Log[ExecutionRow, ExecutionFilter] = Log(
    name="execution_log",
    row=ExecutionRow,
    tables=_tables,
    people=frozenset({"recorded_by"}),
    reported_people=frozenset({"triggered_by"}),
    reported_ids=frozenset({"execution_id"}),
    selected=_selected,
    derived={"origin": literal("posted", Text())},
    # The numbers with two decimals have ten digits at most, all of which a double keeps.
    conversions={"memory_used_mb": float, "cpu_percent": float, "duration_ms": plain},
)


def _figures(rows: Columns, measure: str | None) -> dict[str, ColumnElement[Any]]:
    measured = rows[measure or "duration_ms"]
    return {
        "count": func.count(),
        "failed": func.count().filter(rows.status.in_(FAILURES)),
        "avg_duration_ms": cast(func.avg(rows.duration_ms), Double()),
        "max_duration_ms": func.max(rows.duration_ms),
        "rows_processed": whole_sum(rows.rows_processed),
        "sum": cast(func.sum(measured), Double()),
        **percentiles(measured),
    }


def _versions(subscription_id: UUID | None, filters: ExecutionFilter) -> CTE:
    """Make a table of the versions of all executions with events that match, and perhaps of others."""
    named = {name: getattr(filters, name) for name in ("workflow_id", "job_id", "jobpackage_id")}
    single: dict[str, Any] = {name: value for name, value in named.items() if isinstance(value, UUID)}
    narrow = ExecutionsFilter(since=filters.since, until=filters.until, **single)
    return versions_of_events(subscription_id, narrow, by_occurrence=filters.by_occurrence)


# The version of an event is that of its execution; events of nodes alone may name theirs.
_VERSION: Final[Beside[ExecutionFilter]] = Beside(
    column="execution_id",
    table=_versions,
    value=lambda table, versions: func.coalesce(versions.c.version_number, table.c.version_number),
)

FIGURES = Statistics(
    log=EXECUTION_LOG,
    bucket=ExecutionBucket,
    measured=("status", "duration_ms", "rows_processed", "memory_used_mb"),
    figures=_figures,
    conversions={"rows_processed": int, "max_duration_ms": plain, "sum": plain},
    beside={"version": _VERSION},
)
