"""Expired rows of logs: functions of `retention.sql` and `chunks.sql` find, count and delete them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, cast, func, literal, literal_column, null, select, text
from sqlalchemy.dialects.postgresql import INTEGER, TEXT
from sqlalchemy.dialects.postgresql import UUID as UUID_TYPE

from sql.database import Transaction
from sql.hypertables import HYPERTABLES
from sql.models import TABLES
from sql.models.columns import INSTANT

_TIME_OF = {log.table: log.time_column for log in HYPERTABLES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A chunk of a log, `end` exclusive; `planned_rows` is the planner's estimate, -1 if it has none."""

    log: str
    start: datetime
    end: datetime
    bytes: int
    planned_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Rows of a level of a log before `end`, of one subscription or of all that have no rule of their own."""

    log: str
    level: str
    subscription_id: UUID | None
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class HeldRows:
    """The number of expired rows that a hold keeps, and the time of the oldest."""

    hold_id: UUID
    rows: int
    oldest: datetime


def time_column(log: str) -> str:
    """The column by which a log is cut into chunks and rows expire."""
    return _TIME_OF[log]


def chunks(tx: Transaction, log: str) -> list[Chunk]:
    """The chunks of a log, oldest first; a plain table has no chunks."""
    rows = tx.execute(text("SELECT * FROM log_chunks(:log)"), {"log": log})
    return [Chunk(log=log, start=row[0], end=row[1], bytes=row[2], planned_rows=row[3]) for row in rows]


def keeps(tx: Transaction, chunk: Chunk, *, at: datetime) -> bool:
    """True if a rule or a hold keeps any row of a chunk."""
    query = text("SELECT log_keeps(:log, :start, :end, :at)")
    values = {"log": chunk.log, "start": chunk.start, "end": chunk.end, "at": at}
    found: bool = tx.execute(query, values).scalar_one()
    return found


def rows_of(chunk: Chunk) -> Select[Any]:
    """Make the query of a chunk's rows with all columns."""
    table = TABLES[chunk.log]
    time = table.c[_TIME_OF[chunk.log]]
    return select(table).where(time >= chunk.start, time < chunk.end)


def count_rows(tx: Transaction, chunk: Chunk) -> int:
    """Count the rows of a chunk."""
    counted: int = tx.execute(rows_of(chunk).with_only_columns(func.count())).scalar_one()
    return counted


def drop(tx: Transaction, chunk: Chunk, archived: int | None, *, at: datetime) -> None:
    """Drop a chunk whose rows are all expired; `archived` is the number of rows in its archive, if any.

    Raises RowsKept, WriteConflict if the chunk has another number of rows, ChunkGone and LockNotTaken.
    """
    query = text("SELECT drop_expired_chunk(:log, :start, :end, :at, :archived)")
    values = {"log": chunk.log, "start": chunk.start, "end": chunk.end, "at": at, "archived": archived}
    tx.execute(query, values)


def deletion(span: Span, *, at: datetime, limit: int) -> Select[Any]:
    """Make the query that deletes at most `limit` rows of a span, and returns them with all columns.

    Executing the query raises RowsKept if the term of the rows is not over, and LockNotTaken. COMMIT raises
    LockNotTaken if a rule or a hold was changed since.
    """
    of = span.subscription_id
    deleted = func.delete_expired(
        literal_column(f"NULL::{span.log}"),
        literal(span.level, TEXT),
        # Not a parameter: `compiled` leaves out parameters that are None, so it would be missing for COPY.
        cast(null(), UUID_TYPE) if of is None else literal(of, UUID_TYPE),
        literal(span.start, INSTANT),
        literal(span.end, INSTANT),
        literal(at, INSTANT),
        literal(limit, INTEGER),
    )
    table = TABLES[span.log]
    return select(*deleted.table_valued(*(column.name for column in table.c), name="deleted").c)


def delete(tx: Transaction, span: Span, *, at: datetime, limit: int) -> int:
    """Delete at most `limit` rows of a span; returns their number. Raises the errors of `deletion`."""
    query = select(func.count()).select_from(deletion(span, at=at, limit=limit).subquery())
    counted: int = tx.execute(query).scalar_one()
    return counted


def count(tx: Transaction, span: Span, *, at: datetime) -> int:
    """Count the rows of a span that are expired and not held."""
    counted: int = tx.execute(_COUNT, _values(span, at)).scalar_one()
    return counted


def held(tx: Transaction, span: Span, *, at: datetime) -> list[HeldRows]:
    """Count, for each hold, the rows of a span that only holds keep."""
    return [HeldRows(*row) for row in tx.execute(_HELD, _values(span, at))]


def oldest(
    tx: Transaction, log: str, *, since: datetime | None = None, of: UUID | None = None
) -> datetime | None:
    """The time of the oldest row of a log, of all or of one subscription; None if there is no row."""
    table = TABLES[log]
    time = table.c[_TIME_OF[log]]
    query = select(time).order_by(time).limit(1)
    if since is not None:
        query = query.where(time >= since)
    if of is not None:
        query = query.where(table.c.subscription_id == of)
    found: datetime | None = tx.execute(query).scalar_one_or_none()
    return found


_COUNT = text("SELECT count_expired(:log, :level, :subscription_id, :start, :end, :at)")
_HELD = text(
    "SELECT hold_id, rows, oldest FROM count_held(:log, :level, :subscription_id, :start, :end, :at)"
    " ORDER BY hold_id"
)


def _values(span: Span, at: datetime) -> dict[str, object]:
    return {
        "log": span.log,
        "level": span.level,
        "subscription_id": span.subscription_id,
        "start": span.start,
        "end": span.end,
        "at": at,
    }
