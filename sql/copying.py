"""COPY into tables with row-level security, by way of a temporary table of the session."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID
from zlib import crc32

import orjson
from psycopg import Copy, sql
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from sql.database import Transaction
from sql.pipelines import driver_of

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_NULL = "\\N"
_ESCAPED = re.compile("[\\\\\n\r\t]")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Incoming:
    """Some columns of a table, as rows arrive for them by COPY.

    PostgreSQL refuses COPY into a table with row-level security to all roles that the policies bind. So rows
    are copied into a temporary table of the session, and from there into the table. Behind a pooler the
    session may still have such a table of another release with other columns, so each set of columns has its
    own name.
    """

    def __init__(self, table: Table, names: Sequence[str], *, twice: bool = False) -> None:
        """`twice` says that rows may come again after a COMMIT without an answer: those there stay."""
        types = {name: table.c[name].type.compile(_DIALECT) for name in names}
        parts = {
            "table": sql.Identifier(table.name),
            "incoming": sql.Identifier("pg_temp", f"incoming_{table.name}_{crc32(repr(types).encode()):08x}"),
            "names": sql.SQL(", ").join(map(sql.Identifier, names)),
            "columns": sql.SQL(", ").join(
                sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in types.items()
            ),
            # No conflict target is named: naming one would need the right to read.
            "conflicts": sql.SQL(" ON CONFLICT DO NOTHING" if twice else ""),
        }
        self._make, self._copy, self._store, self._clear = (
            sql.SQL(text).format(**parts)
            for text in (
                "CREATE TEMPORARY TABLE IF NOT EXISTS {incoming} ({columns}) ON COMMIT DELETE ROWS",
                "COPY {incoming} ({names}) FROM STDIN",
                "INSERT INTO {table} ({names}) SELECT {names} FROM {incoming}{conflicts}",
                # More rows of this transaction may follow.
                "TRUNCATE {incoming}",
            )
        )

    def add_text(self, tx: Transaction, text: bytes) -> None:
        """Add rows by the text that `copy_text` made of them."""
        self.add(tx, lambda copy: copy.write(text))

    def add(self, tx: Transaction, write: Callable[[Copy], None]) -> int:
        """Add the rows that `write` writes; returns the number of those that are new."""
        connection = driver_of(tx)
        connection.execute(self._make)
        with connection.cursor() as cursor, cursor.copy(self._copy) as copy:
            write(copy)
        stored = connection.execute(self._store).rowcount
        connection.execute(self._clear)
        return stored


def copy_text(rows: Sequence[Any], names: Sequence[str]) -> bytes:
    """Make the text of rows, of which there is at least one, for COPY; objects and lists are written as JSON.

    No string may hold NUL or half of a surrogate pair. At least two columns are needed.
    """
    columns = zip(*map(attrgetter(*names), rows), strict=True)
    lines = map("\t".join, zip(*map(_written, columns), strict=True))
    return ("\n".join(lines) + "\n").encode()


def _written(column: Sequence[Any]) -> Sequence[str]:
    """Write the values of one column; the rows of a batch have many values in common."""
    first, last = column[0], column[-1]
    if first is last and all(value is first for value in column):
        return [_value(first)] * len(column)
    return [_value(value) for value in column]


def _value(value: Any) -> str:
    return _NULL if value is None else _WRITERS[type(value)](value)


def _text(value: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], value) if _ESCAPED.search(value) else value


def _document(value: Any) -> str:
    # JSON has no line ends or tabs outside of its escapes.
    return orjson.dumps(value).decode().replace("\\", "\\\\")


_WRITERS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "t" if value else "f",
    datetime: datetime.isoformat,
    dict: _document,
    float: repr,
    int: repr,
    list: _document,
    str: _text,
    # PostgreSQL reads a UUID without its hyphens, too.
    UUID: lambda value: f"{value.int:032x}",
}
