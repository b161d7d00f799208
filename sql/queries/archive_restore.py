"""Rows restored from archives, into separate tables with the columns of their log."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from psycopg import sql

from sql.database import Transaction
from sql.models import TABLES
from sql.pipelines import driver_of

# The comment of a table for restored rows. An existing table with another comment is never touched.
_MARK = "annals: rows of {} restored from archives"
# The columns that a table for restored rows has besides the log's.
MARKS = ("archive_id", "restored_at")

_STATE = (
    "SELECT to_regclass(%s) IS NOT NULL, obj_description(to_regclass(%s), 'pg_class') IS NOT DISTINCT FROM %s"
)
_COLUMNS = (
    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
)
_MAKE = """
CREATE TABLE {table} (
    LIKE {log} INCLUDING DEFAULTS INCLUDING INDEXES,
    archive_id UUID NOT NULL,
    restored_at TIMESTAMP WITH TIME ZONE NOT NULL
);
CREATE INDEX ON {table} (archive_id);
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY subscription ON {table}
    USING (current_setting('annals.scope', true) IN ('platform', subscription_id::text));
GRANT SELECT ON {table} TO annals_service, annals_retention;
COMMENT ON TABLE {table} IS {mark};
"""
_OPTIONAL = "ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL"
_INCOMING = "CREATE TEMPORARY TABLE incoming_rows (line JSON) ON COMMIT DROP"
_COPY = "COPY incoming_rows FROM STDIN"
# Each row is stored once, from the first archive that has it.
_STORE = """
INSERT INTO {table} ({names}, archive_id, restored_at)
SELECT {values}, %s, %s FROM incoming_rows CROSS JOIN LATERAL json_populate_record(NULL::{table}, line) r
ON CONFLICT DO NOTHING
"""


class NotForRestoring(Exception):
    """The table can't take restored rows; the message names the reason."""


def prepare(tx: Transaction, log: str, table: str) -> None:
    """Make the table for restored rows of a log, unless it exists; the transaction acts as the owner.

    Raises NotForRestoring for an existing table that this function did not make, and for an unknown log.
    """
    if log not in TABLES or "subscription_id" not in TABLES[log].c:
        raise NotForRestoring(f"{log} is no table whose rows can be restored")
    connection = driver_of(tx)
    mark = _MARK.format(log)
    [(exists, is_ours)] = connection.execute(_STATE, [_quoted(table), _quoted(table), mark]).fetchall()
    if is_ours:
        return
    if exists:
        raise NotForRestoring(f"{table} exists and is no table for restored rows of {log}: choose another")
    parts = {"table": sql.Identifier("public", table), "log": sql.Identifier("public", log)}
    connection.execute(sql.SQL(_MAKE).format(mark=sql.Literal(mark), **parts))
    # Columns may be null here, since archives of an older schema lack some.
    for column in TABLES[log].c:
        if not column.nullable and not column.primary_key:
            connection.execute(sql.SQL(_OPTIONAL).format(parts["table"], sql.Identifier(column.name)))


def unknown(tx: Transaction, table: str, names: Collection[str]) -> list[str]:
    """The names that are not columns of the table."""
    known = {name for (name,) in driver_of(tx).execute(_COLUMNS, [_quoted(table)])}
    return [name for name in names if name not in known]


def add(
    tx: Transaction, table: str, names: Sequence[str], lines: bytes, archive_id: UUID, at: datetime
) -> int:
    """Store rows given as lines of JSON; returns the number of rows that were new."""
    connection = driver_of(tx)
    connection.execute(_INCOMING)
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(lines.replace(b"\\", b"\\\\"))
    columns = [sql.Identifier(name) for name in names]
    store = sql.SQL(_STORE).format(
        table=sql.Identifier("public", table),
        names=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(sql.SQL("r.{}").format(column) for column in columns),
    )
    return connection.execute(store, [archive_id, at]).rowcount


def _quoted(table: str) -> str:
    return f'public."{table}"'
