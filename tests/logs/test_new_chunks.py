"""A long stream does not make the chunk that all tenants need: it is made before."""

from datetime import datetime, timedelta

import psycopg
import pytest
from psycopg import errors, sql

from service.domain.ids import mint
from sql.database import PLATFORM
from sql.queries import log_chunks
from tests.support.api import Server

LOGS = ("audit_logs", "data_change_history", "execution_logs", "node_execution_logs", "server_logs")
INSERT = """
INSERT INTO node_execution_logs (log_id, created_at, execution_id, execution_type, log_level, log_message)
VALUES (%s, %s, 'e', 'node', 'INFO', 'm')
"""


def chunks(server: Server) -> int:
    count: int = server.database.value(
        "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_schema = 'public'"
    )
    return count


def rows(server: Server) -> list[int]:
    with server.database.connection() as connection:
        query = sql.SQL("SELECT count(*) FROM {}")
        return [connection.execute(query.format(sql.Identifier(log))).fetchone()[0] for log in LOGS]  # type: ignore[index]


def test_a_chunk_is_made_once_and_without_a_row(server: Server) -> None:
    at = server.clock() + timedelta(days=1000)
    before, made = rows(server), chunks(server)
    for _ in range(2):
        with server.context.database.transaction(PLATFORM) as tx:
            log_chunks.make(tx, LOGS, at)
        assert chunks(server) == made + len(LOGS)
    assert rows(server) == before
    assert server.database.value("SELECT count(*) FROM log_queue WHERE first_at > now() + '900 days'") == 0


def waits_beside(stream: psycopg.Connection, server: Server, at: datetime) -> bool:
    """Tell if a row of another transaction waits for that of `stream`, which is not committed."""
    stream.execute(INSERT, [mint(), at])
    with server.database.connection() as other, other.transaction(force_rollback=True):
        other.execute("SET LOCAL lock_timeout = '300ms'")
        try:
            other.execute(INSERT, [mint(), at])
        except errors.LockNotAvailable:
            return True
    return False


@pytest.mark.parametrize("is_made_before", [True, False])
def test_others_wait_for_a_stream_only_if_it_makes_the_chunk(server: Server, is_made_before: bool) -> None:
    at = server.clock() + timedelta(days=2000 + 10 * is_made_before)
    if is_made_before:
        with server.context.database.transaction(PLATFORM) as tx:
            log_chunks.make(tx, ["node_execution_logs"], at)
    with server.database.connection() as stream, stream.transaction(force_rollback=True):
        assert waits_beside(stream, server, at) is not is_made_before
