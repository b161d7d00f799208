"""Statements that are compiled once, and sent together in one round trip instead of one after the other.

The driver gets them directly: SQLAlchemy's part of executing a statement takes longer than PostgreSQL's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

import psycopg
from psycopg.rows import class_row
from sqlalchemy import Connection, Executable, Select
from sqlalchemy.dialects.postgresql import psycopg as dialect
from sqlalchemy.sql.elements import CompilerElement

Row = TypeVar("Row")
# A function that returns the rows of a statement, to be called once the pipeline has ended.
Later = Callable[[], list[Row]]

_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]


def driver_of(tx: Connection) -> psycopg.Connection[Any]:
    """The driver's connection of a transaction."""
    return cast("psycopg.Connection[Any]", tx.connection.driver_connection)


class Command:
    """A statement whose result nobody needs; parameters are given by name."""

    def __init__(self, statement: Executable) -> None:
        self._text, self._constants = compiled(statement)

    def execute(self, tx: Connection, **parameters: Any) -> None:
        """Execute the command; while a pipeline is open, only send it."""
        driver_of(tx).execute(self._text, self._constants | parameters)


class Query(Generic[Row]):
    """A selection, whose columns are the fields of `row`; parameters are given by name."""

    def __init__(self, statement: Select[Any], row: type[Row]) -> None:
        self._statement = statement
        self._row = row
        self._text, self._constants = compiled(statement)

    def all(self, tx: Connection, **parameters: Any) -> list[Row]:
        """Read the rows."""
        return [self._row(**row._mapping) for row in tx.execute(self._statement, parameters)]

    def send(self, tx: Connection, **parameters: Any) -> Later[Row]:
        """Send the query; the function returned gives its rows once the pipeline has ended."""
        cursor = driver_of(tx).cursor(row_factory=class_row(self._row))
        return cursor.execute(self._text, self._constants | parameters).fetchall


@contextmanager
def pipelined(tx: Connection) -> Iterator[None]:
    """Send the statements of the body without waiting. Even `tx.execute` only sends, and has no result.

    An error of any statement is raised at the end of the body, as the driver's error.
    """
    with driver_of(tx).pipeline():
        yield


def compiled(statement: Executable) -> tuple[bytes, dict[str, Any]]:
    """Compile a statement to the driver's text and the values of its constants."""
    compiled = cast("CompilerElement", statement).compile(dialect=_DIALECT)
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return str(compiled).encode(), constants
