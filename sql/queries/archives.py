"""Rows read for an archive, and the list of archives."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.errors import error_from_result
from sqlalchemy import Executable, insert, select, text, tuple_

from sql.database import Transaction
from sql.errors import SchemaError
from sql.models import TABLES
from sql.models.retention import ArchiveTable
from sql.pipelines import compiled, driver_of

# Rows are read one by one and handed on in batches of this size.
BATCH_BYTES = 256 * 1024
# The length of a pause between two rows. Some kernels let a process compute until the clock's next tick, up
# to 4 ms away (PREEMPT_NONE, HZ=250). A process that pauses before the tick keeps no other process waiting.
PAUSE_SECONDS = 0.002
# Making an archive has no time limit, and its transaction is idle while the written file is read again.
_PATIENCE = (
    "SELECT set_config('statement_timeout', '0', true), "
    "set_config('idle_in_transaction_session_timeout', '1h', true)"
)
# No parallel workers: they would not pause with the process that does.
_ALONE = "SELECT set_config('max_parallel_workers_per_gather', '0', true)"
# PostgreSQL itself has to pause. If only the reader paused, PostgreSQL would write megabytes ahead of it.
_PAUSES = "WHERE CASE WHEN random() < {odds} THEN pg_sleep({seconds}) IS NOT NULL ELSE true END"

# Rows are parsed here, in 1.1 µs of CPU time a row: the driver's copy.rows() takes 2.3 µs, and all work on a
# row of an archive at full speed takes 6.1 µs.
# A binary COPY has a head of 19 bytes, then the rows, then an end mark that is shorter than any row. A row is
# the number of its columns, then each column after its length.
# https://www.postgresql.org/docs/17/sql-copy.html
_HEAD_BYTES = 19
_END = b"\xff\xff"
_BEFORE_LINE = 6
_AFTER_LINE = 12
_TIME_BYTES = 8
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_IS_THERE = text("SELECT to_regclass('public.archives') IS NOT NULL")
# Types whose JSON values every reader keeps exact. Numbers of other types may become doubles.
_PLAIN = {"bool", "int2", "int4", "int8", "float8", "timestamptz", "uuid", "text", "varchar", "inet"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the rows that are read, with its type as PostgreSQL writes it."""

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
    """Find the columns of a query without reading any rows."""
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
    """Yield batches of a query's rows, as the JSON that PostgreSQL writes; no batch if there are no rows.

    The time column is never null. With `as_text`, documents, exact numbers and rarer types become strings.
    At most `rows_per_second` rows are read a second; 0 means no limit. With a limit, the transaction has no
    parallel queries until its end.
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
        yield from map(_batch, _groups(copy))


def _pauses(rows_per_second: int) -> sql.Composable:
    """Make the SQL clause that slows a query down to a number of rows a second; empty for 0, no limit."""
    if not rows_per_second:
        return sql.SQL("")
    odds = min(1.0, 1 / (PAUSE_SECONDS * rows_per_second))
    # If the limit is less than one row in the time of a pause, each row gets one longer pause.
    seconds = max(PAUSE_SECONDS, 1 / rows_per_second)
    return sql.SQL(_PAUSES).format(odds=sql.Literal(odds), seconds=sql.Literal(seconds))


def _groups(copy: psycopg.Copy) -> Iterator[list[bytes]]:
    """The rows of a binary COPY, in groups of BATCH_BYTES."""
    group: list[bytes] = []
    size = 0
    for row in _rows(copy):
        group.append(row)
        size += len(row)
        if size >= BATCH_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _rows(copy: psycopg.Copy) -> Iterator[bytes]:
    """The rows of a binary COPY, one by one.

    Rows that have arrived already are read without the driver's wait: it takes longer than all else here.
    """
    # The first read returns the head together with the first row, or with the end mark.
    at = _HEAD_BYTES
    arrived = copy.connection.pgconn.get_copy_data
    while part := copy.read():
        size = len(part)
        while size > 0:
            row = bytes(part)[at:]
            at = 0
            if row == _END:
                # The driver reads the rest, and the outcome of the COPY, in the outer loop.
                break
            yield row
            size, part = arrived(1)
        if size < 0:
            # The COPY ended early. Read the reason, and all results behind it, as the driver would.
            raise _reason(copy.connection.pgconn)


def _reason(connection: psycopg.pq.abc.PGconn) -> psycopg.Error:
    last = result = connection.get_result()
    while result is not None:
        last, result = result, connection.get_result()
    return psycopg.OperationalError("COPY ended") if last is None else error_from_result(last)


def _batch(rows: list[bytes]) -> ArchiveBatch:
    times = [int.from_bytes(row[-_TIME_BYTES:], "big", signed=True) for row in rows]
    lines = [row[_BEFORE_LINE:-_AFTER_LINE] for row in rows]
    return ArchiveBatch(b"\n".join([*lines, b""]), len(rows), _instant(min(times)), _instant(max(times)))


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _as_text(column: Column) -> sql.Composable:
    is_plain = column.type.partition("(")[0] in _PLAIN
    return sql.SQL("r.{0}" if is_plain else "r.{0}::text AS {0}").format(sql.Identifier(column.name))


def _literal(tx: Transaction, query: Executable) -> sql.SQL:
    """Write a query with its values in it, quoted by the driver, since COPY takes no parameters."""
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
    """Add an archive to the list."""
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
    """An archive of the list; `location` is the URL of its file, and `range_end` is exclusive."""

    archive_id: UUID
    log: str
    range_start: datetime
    range_end: datetime
    rows: int
    sha256: str
    location: str


def recorded(tx: Transaction, log: str | None = None) -> list[Recorded]:
    """List the archives of all logs or of one, wherever they are stored, by log and time.

    Raises SchemaError if the schema has no table of archives.
    """
    if not tx.execute(_IS_THERE).scalar_one():
        raise SchemaError("its schema has no table of archives")
    c = TABLES["archives"].c
    query = select(*(c[field.name] for field in fields(Recorded)))
    if log is not None:
        query = query.where(c.log == log)
    rows = tx.execute(query.order_by(c.log, c.range_start, c.archive_id))
    return [Recorded(**row._mapping) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRow:
    """An archive as it was recorded: `location` is the URL of its file, and `range_end` is exclusive."""

    archive_id: UUID
    log: str
    subscription_id: UUID | None
    range_start: datetime
    range_end: datetime
    rows: int
    bytes: int
    sha256: str
    location: str
    run_id: UUID | None
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFilter:
    """Filter of a list of archives: a log or exported table, one subscription's alone, a job run."""

    log: str | None = None
    subscription_id: UUID | None = None
    run_id: UUID | None = None


_ARCHIVES = TABLES["archives"]
_ROWS = select(*(_ARCHIVES.c[field.name] for field in fields(ArchiveRow)))


def page(
    tx: Transaction, narrow: ArchiveFilter, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[ArchiveRow]:
    """Page of at most `limit` archives older than the position `before`, the newest made first."""
    position = (_ARCHIVES.c.made_at, _ARCHIVES.c.archive_id)
    given = {field.name: getattr(narrow, field.name) for field in fields(narrow)}
    query = _ROWS.where(*(_ARCHIVES.c[name] == value for name, value in given.items() if value is not None))
    if before is not None:
        query = query.where(tuple_(*position) < before)
    rows = tx.execute(query.order_by(*(column.desc() for column in position)).limit(limit))
    return [ArchiveRow(**row._mapping) for row in rows]


def find(tx: Transaction, archive_id: UUID) -> ArchiveRow | None:
    """One archive."""
    row = tx.execute(_ROWS.where(_ARCHIVES.c.archive_id == archive_id)).one_or_none()
    return None if row is None else ArchiveRow(**row._mapping)
