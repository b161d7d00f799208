"""Statements that are made once, and go over together: one round trip, where each would wait for the last.

They go to the driver as they are: SQLAlchemy's part of executing one takes longer than PostgreSQL's.
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
# What a statement came to, once the pipeline is over.
Later = Callable[[], list[Row]]

_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]


def driver_of(tx: Connection) -> psycopg.Connection[Any]:
    """The driver's connection that a transaction is on."""
    return cast("psycopg.Connection[Any]", tx.connection.driver_connection)


class Command:
    """A statement without a result that anybody needs; parameters are given by name."""

    def __init__(self, statement: Executable) -> None:
        self._text, self._constants = compiled(statement)

    def execute(self, tx: Connection, **parameters: Any) -> None:
        """Execute it, or send it where a pipeline is open."""
        driver_of(tx).execute(self._text, self._constants | parameters)


class Query(Generic[Row]):
    """A selection, whose columns are the fields of `row`; parameters are given by name."""

    def __init__(self, statement: Select[Any], row: type[Row]) -> None:
        self._statement = statement
        self._row = row
        self._text, self._constants = compiled(statement)

    def all(self, tx: Connection, **parameters: Any) -> list[Row]:
        """Its rows."""
        return [self._row(**row._mapping) for row in tx.execute(self._statement, parameters)]

    def send(self, tx: Connection, **parameters: Any) -> Later[Row]:
        """Its rows, to be asked for when the pipeline is over."""
        cursor = driver_of(tx).cursor(row_factory=class_row(self._row))
        return cursor.execute(self._text, self._constants | parameters).fetchall


@contextmanager
def pipelined(tx: Connection) -> Iterator[None]:
    """Within, nothing waits: also `tx.execute` only sends, so that no result of it can be read.

    An error of any statement is raised at the end, as the driver's.
    """
    with driver_of(tx).pipeline():
        yield


def compiled(statement: Executable) -> tuple[bytes, dict[str, Any]]:
    """A statement as the driver takes it, and the values of the constants in it."""
    compiled = cast("CompilerElement", statement).compile(dialect=_DIALECT)
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return str(compiled).encode(), constants
