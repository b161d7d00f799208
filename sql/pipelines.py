"""Statements that go over together: one round trip, where each would wait for the answer to the last."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import psycopg
from psycopg.rows import class_row
from sqlalchemy import Executable, Select
from sqlalchemy.dialects.postgresql import psycopg as dialect
from sqlmodel import Session

Row = TypeVar("Row")
# What a statement came to, once the pipeline is over.
Later = Callable[[], list[Row]]

_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]


class Pipeline:
    """A transaction's statements on their way to the server, in order."""

    def __init__(self, tx: Session, connection: psycopg.Connection[Any]) -> None:
        self._tx = tx
        self.connection = connection

    def execute(self, statement: Executable) -> None:
        """Send a statement whose result, if it has one, nobody needs."""
        self._tx.execute(statement)


class Query(Generic[Row]):
    """A selection made once, whose columns are the fields of `row`; parameters are given by name."""

    def __init__(self, statement: Select[Any], row: type[Row]) -> None:
        self._statement = statement
        self._row = row
        compiled = statement.compile(dialect=_DIALECT)
        self._text = str(compiled).encode()
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def all(self, tx: Session, **parameters: Any) -> list[Row]:
        """Its rows."""
        return [self._row(**row._mapping) for row in tx.execute(self._statement, parameters)]

    def send(self, pipeline: Pipeline, **parameters: Any) -> Later[Row]:
        """Its rows, to be asked for when the pipeline is over."""
        cursor = pipeline.connection.cursor(row_factory=class_row(self._row))
        return cursor.execute(self._text, self._constants | parameters).fetchall


@contextmanager
def pipelined(tx: Session) -> Iterator[Pipeline]:
    """Within, nothing waits: also `tx.execute` only sends, so that no result of it can be read.

    An error of any statement is raised at the end, as the driver's.
    """
    connection = tx.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)  # noqa: S101 - the engine's only driver
    with connection.pipeline():
        yield Pipeline(tx, connection)
