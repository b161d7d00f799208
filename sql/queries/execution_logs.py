"""The execution logs: one table for nodes and one for all else, since they are kept for different times."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Double, Table, Text, cast, func, null, select, union_all

from sql import bulk, log_windows
from sql.database import Transaction
from sql.hypertables import chunk_of
from sql.log_windows import Part, Reach
from sql.models import TABLES
from sql.time_buckets import bucket_of

NODE: Final = "node"
_EXECUTION_LOGS, _NODE_LOGS = TABLES["execution_logs"], TABLES["node_execution_logs"]
# PostgreSQL sums 64-bit integers to any length; JSON's readers take no longer ones.
_MAX_SUM: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRow:
    """What a workflow, job, job package or node said while it ran."""

    log_id: UUID
    created_at: datetime
    subscription_id: UUID | None
    execution_id: UUID
    execution_type: str
    workflow_id: UUID | None
    job_id: UUID | None
    jobpackage_id: UUID | None
    node_id: str | None
    log_level: str
    log_message: str
    log_details: dict[str, Any] | None
    duration_ms: int | None
    rows_processed: int | None
    memory_used_mb: float | None
    cpu_percent: float | None
    status: str | None
    error_code: str | None
    error_details: dict[str, Any] | None
    triggered_by: UUID | None
    recorded_by: UUID | None
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """What narrows a page; `since` and `until` are both inclusive."""

    execution_id: UUID | None = None
    execution_type: str | None = None
    workflow_id: UUID | None = None
    job_id: UUID | None = None
    node_id: str | None = None
    log_level: str | None = None
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionBucket:
    """What a group came to from `time` on, for the width of a bucket."""

    time: datetime
    group: str | None
    count: int
    failed: int
    avg_duration_ms: float | None
    max_duration_ms: int | None
    rows_processed: int


_COLUMNS: Final = tuple(field.name for field in fields(ExecutionRow))
_INSERT = bulk.insertion(_EXECUTION_LOGS, *_COLUMNS)
_INSERT_NODES = bulk.insertion(_NODE_LOGS, *_COLUMNS)


def insert_rows(tx: Transaction, rows: Sequence[ExecutionRow]) -> None:
    """Add rows, each to the table that keeps it for as long as its type is kept."""
    bulk.execute(tx, _INSERT, [row for row in rows if row.execution_type != NODE])
    bulk.execute(tx, _INSERT_NODES, [row for row in rows if row.execution_type == NODE])


def page(
    tx: Transaction,
    subscription_id: UUID | None,
    narrow: ExecutionFilter,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
    at: datetime,
) -> list[ExecutionRow]:
    """At most `limit` rows of both tables older than the position `before`, newest first."""
    tables = _tables(narrow)
    parts = [
        Part(
            query=select(*(table.c[name] for name in _COLUMNS)).where(
                table.c.subscription_id == subscription_id, *log_windows.matching(table.c, narrow)
            ),
            time=table.c.created_at,
            row_id=table.c.log_id,
        )
        for table in tables
    ]
    reach = Reach(since=narrow.since, until=narrow.until, before=before, limit=limit, at=at)
    span = min(chunk_of(table.name) for table in tables)
    return [_row(found._mapping) for found in log_windows.newest(tx, parts, reach, span=span)]


def _tables(narrow: ExecutionFilter) -> list[Table]:
    """The tables that can have what is looked for."""
    if narrow.execution_type is None:
        return [_EXECUTION_LOGS, _NODE_LOGS]
    return [_NODE_LOGS if narrow.execution_type == NODE else _EXECUTION_LOGS]


def _row(values: Any) -> ExecutionRow:
    # Of ten digits at the most: a double holds them exactly.
    decimals = ("memory_used_mb", "cpu_percent")
    return ExecutionRow(
        **{**values, **{name: None if values[name] is None else float(values[name]) for name in decimals}}
    )


def statistics(
    tx: Transaction,
    subscription_id: UUID,
    narrow: ExecutionFilter,
    *,
    width: timedelta,
    group_by: str | None,
    limit: int,
) -> list[ExecutionBucket]:
    """At most `limit` figures, by buckets of time in ascending order and the values of a column."""
    rows = union_all(
        *(
            select(
                bucket_of(tx, table.c.created_at, width).label("time"),
                cast(null() if group_by is None else table.c[group_by], Text()).label("group"),
                table.c.status,
                table.c.duration_ms,
                table.c.rows_processed,
            ).where(
                table.c.subscription_id == subscription_id,
                *log_windows.matching(table.c, narrow),
                *log_windows.between(table.c.created_at, narrow),
            )
            for table in _tables(narrow)
        )
    ).subquery()
    query = (
        select(
            rows.c.time,
            rows.c.group,
            func.count().label("count"),
            func.count().filter(rows.c.status == "failed").label("failed"),
            cast(func.avg(rows.c.duration_ms), Double()).label("avg_duration_ms"),
            func.max(rows.c.duration_ms).label("max_duration_ms"),
            func.least(func.coalesce(func.sum(rows.c.rows_processed), 0), _MAX_SUM).label("rows_processed"),
        )
        .group_by(rows.c.time, rows.c.group)
        .order_by(rows.c.time, rows.c.group)
        .limit(limit)
    )
    log_windows.plan_anew(tx)
    return [
        ExecutionBucket(**{**row._mapping, "rows_processed": int(row.rows_processed)})
        for row in tx.execute(query)
    ]
