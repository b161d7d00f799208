"""Statements that a server sends to its database, as SQLAlchemy knows them."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from tests.support.api import Server

# Savepoints and settings ask for nothing.
_IDLE = ("SAVEPOINT", "ROLLBACK TO", "RELEASE", "SELECT set_config")


@contextmanager
def counted(server: Server) -> Iterator[list[str]]:
    """Record every statement that calls send to the database until the block ends."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        # The committer looks for these once a second.
        if "deletion_requests" not in statement and not statement.startswith(_IDLE):
            seen.append(statement)

    engine = server.context.database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
