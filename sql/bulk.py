"""Write many rows by one statement with one parameter: a JSON text, which PostgreSQL splits into rows.

This takes one round trip, and in this process a small part of the time that one parameter a value takes.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
import psycopg
from psycopg import postgres
from psycopg.adapt import Dumper
from sqlalchemy import Column, Table, Text, bindparam, cast, column, func, insert, select
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.sql.selectable import TableValuedAlias

from sql.database import Transaction
from sql.errors import UnfitValue
from sql.pipelines import Command

_ROWS: Final = "rows"
# Rows with more text are sent in several statements: PostgreSQL executes one while the next is made. It also
# refuses a text of more than 1 GiB.
MAX_TEXT_BYTES: Final = 1024 * 1024


def table_of(*columns: Column[Any]) -> TableValuedAlias:
    """Make a table, with these columns, of the rows that `execute` is given. A missing value is NULL."""
    values = func.json_to_recordset(cast(bindparam(_ROWS, type_=Text()), JSON()))
    made = values.table_valued(*(column(c.name, c.type) for c in columns))
    return made.render_derived("given", with_types=True)


def insertion(table: Table, *names: str, **constants: Any) -> Command:
    """Make the command that adds rows with values for these columns, and the same constants in each row."""
    new = table_of(*(table.c[name] for name in names))
    values = select(*(new.c[name] for name in names), *constants.values())
    return Command(insert(table).from_select([*names, *constants], values, include_defaults=False))


def execute(tx: Transaction, command: Command, rows: Sequence[Any], **parameters: Any) -> None:
    """Execute a command, made by `insertion` or with `table_of`, for rows: dataclasses or dictionaries.

    Raises UnfitValue for half of a surrogate pair and for an integer past 64 bits.
    """
    for text in _texts(rows):
        command.execute(tx, **{_ROWS: text}, **parameters)


class _JsonText:
    """A JSON text in UTF-8, which is sent as it is: as a string it would be decoded, and encoded again."""

    def __init__(self, text: bytes) -> None:
        self.text = text


class _JsonTextDumper(Dumper):
    oid = postgres.types["text"].oid

    def dump(self, obj: _JsonText) -> bytes:
        return obj.text


psycopg.adapters.register_dumper(_JsonText, _JsonTextDumper)


def _texts(rows: Sequence[Any]) -> Iterator[_JsonText]:
    # Each row is made as an array of its own: the text of a single large row is sent without another copy.
    parts: list[bytes] = []
    size = 0
    for row in rows:
        try:
            part = orjson.dumps([row])
        except orjson.JSONEncodeError as error:
            raise UnfitValue(str(error)) from error
        if parts and size + len(part) > MAX_TEXT_BYTES:
            yield _array(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    if parts:
        yield _array(parts)


def _array(parts: Sequence[bytes]) -> _JsonText:
    if len(parts) == 1:
        return _JsonText(parts[0])
    return _JsonText(b"[%b]" % b",".join(part[1:-1] for part in parts))
