"""Rows on their way out to the archive, and the list of the archives that were made."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Executable, insert, select, text

from sql.database import Transaction
from sql.errors import SchemaError
from sql.models import TABLES
from sql.models.retention import ArchiveTable
from sql.pipelines import compiled, driver_of

# Rows come one by one; what is done with them is done for so many bytes at once.
BATCH_BYTES = 256 * 1024
# Between some rows and the next. Some kernels let whoever computes go on until their clock's next tick, up to
# 4 ms away (PREEMPT_NONE, HZ=250): who pauses before that keeps nobody waiting for it.
PAUSE_SECONDS = 0.002
# It takes as long as it takes, and nothing happens in its transaction while what was written is read again.
_PATIENCE = (
    "SELECT set_config('statement_timeout', '0', true), "
    "set_config('idle_in_transaction_session_timeout', '1h', true)"
)
# No other processes beside the one that pauses.
_ALONE = "SELECT set_config('max_parallel_workers_per_gather', '0', true)"
# PostgreSQL pauses by itself: whoever just reads slowly finds megabytes that wait already, written in one go.
_PAUSES = "WHERE CASE WHEN random() < {odds} THEN pg_sleep({seconds}) IS NOT NULL ELSE true END"

# The JSON as the bytes that PostgreSQL sends, not parsed, and the time of the row.
_ROW_TYPES = ("bytea", "timestamptz")
_IS_THERE = text("SELECT to_regclass('public.archives') IS NOT NULL")
# What JSON has a value for that every reader takes as it is; other numbers may become doubles.
_PLAIN = {"bool", "int2", "int4", "int8", "float8", "timestamptz", "uuid", "text", "varchar", "inet"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of what is read, with its type as PostgreSQL writes it."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class ArchiveBatch:
    """Some rows, a line of JSON each, and the oldest and newest of their times."""

    lines: bytes
    rows: int
    oldest: datetime
    newest: datetime


def columns_of(tx: Transaction, query: Executable) -> list[Column]:
    """The columns that a query has; it is not carried out."""
    cursor = driver_of(tx).execute(sql.SQL("SELECT * FROM ({}) r LIMIT 0").format(_literal(tx, query)))
    return [Column(each.name, each.type_display) for each in cursor.description or ()]


def batches(
    tx: Transaction,
    query: Executable,
    time_column: str | None,
    *,
    as_text: bool = False,
    rows_per_second: int = 0,
) -> Generator[ArchiveBatch, None, None]:
    """The rows of a query, each as PostgreSQL writes it as JSON; nothing for none.

    The time column is never null. With `as_text` documents, exact numbers and rarer types are strings. So
    many rows a second at the most, 0 for as many as come; then the transaction goes without parallel
    queries to its end.
    """
    parts = {
        "query": _literal(tx, query),
        "time": sql.SQL("'epoch'::timestamptz") if time_column is None else sql.Identifier("r", time_column),
    }
    if as_text:
        columns = sql.SQL(", ").join(_as_text(column) for column in columns_of(tx, query))
        rows = sql.SQL("SELECT row_to_json(t), {time} FROM ({query}) r, LATERAL (SELECT {columns}) t")
        rows_out = rows.format(columns=columns, **parts)
    else:
        rows_out = sql.SQL("SELECT row_to_json(r), {time} FROM ({query}) r").format(**parts)
    connection = driver_of(tx)
    connection.execute(_PATIENCE)
    if rows_per_second:
        connection.execute(_ALONE)
    copy_out = sql.SQL("COPY ({} {}) TO STDOUT (FORMAT binary)").format(rows_out, _pauses(rows_per_second))
    with connection.cursor() as cursor, cursor.copy(copy_out) as copy:
        copy.set_types(_ROW_TYPES)
        lines: list[bytes] = []
        times: list[datetime] = []
        size = 0
        for line, time in copy.rows():
            lines.append(line)
            times.append(time)
            size += len(line)
            if size >= BATCH_BYTES:
                yield _batch(lines, times)
                lines, times, size = [], [], 0
        if lines:
            yield _batch(lines, times)


def _pauses(rows_per_second: int) -> sql.Composable:
    """The clause by which a query makes no more rows a second, nothing for 0."""
    if not rows_per_second:
        return sql.SQL("")
    odds = min(1.0, 1 / (PAUSE_SECONDS * rows_per_second))
    # Fewer than a row in each pause take longer ones.
    seconds = max(PAUSE_SECONDS, 1 / rows_per_second)
    return sql.SQL(_PAUSES).format(odds=sql.Literal(odds), seconds=sql.Literal(seconds))


def _batch(lines: Sequence[bytes], times: Sequence[datetime]) -> ArchiveBatch:
    return ArchiveBatch(b"\n".join([*lines, b""]), len(lines), min(times), max(times))


def _as_text(column: Column) -> sql.Composable:
    is_plain = column.type.partition("(")[0] in _PLAIN
    return sql.SQL("r.{0}" if is_plain else "r.{0}::text AS {0}").format(sql.Identifier(column.name))


def _literal(tx: Transaction, query: Executable) -> sql.SQL:
    """A query with its values in it, quoted by the driver: COPY takes no parameters."""
    text, values = compiled(query)
    with psycopg.ClientCursor(driver_of(tx)) as cursor:
        return sql.SQL(cursor.mogrify(text, values))


def add(
    tx: Transaction,
    *,
    archive_id: UUID,
    log: str,
    subscription_id: UUID | None,
    range_start: datetime,
    range_end: datetime,
    rows: int,
    bytes: int,  # noqa: A002 - the column is called so
    sha256: str,
    location: str,
    run_id: UUID | None,
    made_at: datetime,
) -> None:
    """Note an archive that was made."""
    tx.execute(
        insert(ArchiveTable).values(
            archive_id=archive_id,
            log=log,
            subscription_id=subscription_id,
            range_start=range_start,
            range_end=range_end,
            rows=rows,
            bytes=bytes,
            sha256=sha256,
            location=location,
            run_id=run_id,
            made_at=made_at,
        )
    )


@dataclass(frozen=True, slots=True)
class Recorded:
    """An archive as it was noted; `location` is the URL of its file, and `range_end` is exclusive."""

    archive_id: UUID
    log: str
    range_start: datetime
    range_end: datetime
    rows: int
    sha256: str
    location: str


def recorded(tx: Transaction, log: str | None = None) -> list[Recorded]:
    """The archives that were noted, wherever they lie, of all logs or of one, in order of time.

    Raises SchemaError where the schema is from before there were any.
    """
    if not tx.execute(_IS_THERE).scalar_one():
        raise SchemaError("its schema has no table of archives")
    c = TABLES["archives"].c
    query = select(*(c[field.name] for field in fields(Recorded)))
    if log is not None:
        query = query.where(c.log == log)
    rows = tx.execute(query.order_by(c.log, c.range_start, c.archive_id))
    return [Recorded(**row._mapping) for row in rows]
