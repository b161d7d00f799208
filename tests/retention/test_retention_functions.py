"""The functions that delete rows of logs: for one role alone, never early, and without making others wait."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import exc, text

from sql.database import PLATFORM, RETENTION_ROLE
from sql.database import Database as ServiceDatabase
from sql.errors import ChunkGone, DatabaseError, WriteConflict, translate
from sql.hypertables import CHUNK_SCHEMA
from sql.queries import retention
from sql.queries.retention import Chunk
from tests.support.api import Server, Tenant
from tests.support.databases import Database
from tests.support.expired_logs import COLUMNS, Logs
from tests.support.serving import serving_embedded

DELETE: LiteralString = "SELECT count(*) FROM delete_expired(NULL::server_logs, %s, %s, %s, %s, %s, %s)"
DROP: LiteralString = "SELECT drop_expired_chunk('server_logs', %s, %s, %s, %s)"
EARLY = "RK001"
EVER = datetime(2000, 1, 1, tzinfo=UTC)
LATE_ROW: LiteralString = (
    "INSERT INTO server_logs (log_id, created_at, request_id) VALUES (gen_random_uuid(), %s, 'r')"
)
# Longer than anybody may wait for a lock.
LOCK_TIMEOUT = "100ms"


@pytest.fixture
def logs(lone_server: Server) -> Logs:
    logs = Logs(lone_server)
    logs.clear()
    return logs


def refused(database: Database, query: LiteralString, *values: object) -> str | None:
    """The SQLSTATE of a statement that is refused to the role of retention."""
    with database.connection("annals_retention", "platform") as connection:
        with pytest.raises(psycopg.Error) as raised:
            connection.execute(query, values)
        return raised.value.sqlstate


def chunk_of(logs: Logs, at: datetime) -> tuple[datetime, datetime]:
    """The beginning and end of the chunk of an instant."""
    [(start, end)] = logs.database.rows(
        "SELECT range_start, range_end FROM timescaledb_information.chunks"
        " WHERE hypertable_name = 'server_logs' AND range_start <= %s AND range_end > %s",
        at,
        at,
    )
    return start, end


def test_only_the_role_of_retention_calls_them_and_it_has_no_other_way(logs: Logs) -> None:
    at = logs.server.clock()
    logs.add("server_logs", at - timedelta(days=100))
    for role in ("annals_service", "annals_ingest"):
        with logs.database.connection(role, "platform") as connection:
            for query, values in (
                (DELETE, ["server", None, EVER, at - timedelta(days=91), at, 10]),
                (DROP, [EVER, at, at, 1]),
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(query, values)
    with logs.database.connection("annals_retention", "platform") as connection:
        for log in map(sql.Identifier, COLUMNS):
            for statement in ("DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.SQL(statement).format(log))
        for statement in (
            f"SELECT drop_chunks('server_logs', older_than => '{at.isoformat()}'::timestamptz)",
            "SELECT retention_cutoff('server', NULL, now())",
            "SELECT * FROM retention_held(NULL, now())",
            "SELECT keep_rules('')",
            "DELETE FROM rules_seen",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement)
        [(chunk,)] = logs.database.rows(
            "SELECT chunk_name FROM timescaledb_information.chunks WHERE hypertable_name = 'server_logs'"
        )
        directly = sql.SQL("SELECT * FROM {}").format(sql.Identifier(CHUNK_SCHEMA, chunk))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(directly)
    assert logs.count("server_logs") == 1


def test_they_refuse_what_a_rule_or_a_hold_keeps(logs: Logs) -> None:
    at = logs.server.clock()
    of = Tenant(logs.server).subscription_id
    logs.add("server_logs", at - timedelta(days=50), subscription_id=of)
    logs.add("server_logs", at - timedelta(days=100), subscription_id=None)
    cutoff = at - timedelta(days=90)
    late = cutoff + timedelta(microseconds=1)
    for until in (late, at, None):
        assert refused(logs.database, DELETE, "server", None, EVER, until, at, 10) == EARLY
        assert refused(logs.database, DELETE, "server", of, EVER, until, at, 10) == EARLY
    for level in ("workflow", "user_actions", "nonsense"):
        # Of another log, or kept for good.
        assert refused(logs.database, DELETE, level, None, EVER, cutoff, at, 10) == "22023"
    audit = DELETE.replace("server_logs", "audit_logs")
    assert refused(logs.database, audit, "user_actions", None, EVER, EVER, at, 10) == EARLY
    assert refused(logs.database, DELETE, "server", None, EVER, cutoff, at, 100_001) == "22023"
    assert refused(logs.database, DELETE, "server", None, EVER, cutoff, at, None) == "22023"
    chunks = logs.database.rows(
        "SELECT range_start, range_end FROM timescaledb_information.chunks"
        " WHERE hypertable_name = 'server_logs' ORDER BY range_start"
    )
    # The last chunk may have requests of today.
    (old_from, old_until), (new_from, new_until) = chunks[:2]
    assert refused(logs.database, DROP, new_from, new_until, at, 1) == EARLY
    # No chunk has this range.
    assert refused(logs.database, DROP, old_from, new_until, at, 1) == "P0002"
    # The archive has fewer rows, or more.
    for rows in (0, 2):
        assert refused(logs.database, DROP, old_from, old_until, at, rows) == "40001"
    logs.rule("server", None, of)
    logs.add("server_logs", at - timedelta(days=100), subscription_id=of)
    for archived in (2, None):
        assert refused(logs.database, DROP, old_from, old_until, at, archived) == EARLY
    logs.rule("server", 60, of)
    with logs.database.connection("annals_owner") as connection:
        connection.execute(
            "INSERT INTO legal_holds (hold_id, subscription_id, reason, placed_by, placed_at)"
            " VALUES (gen_random_uuid(), %s, 'x', 'x', now())",
            [of],
        )
    assert refused(logs.database, DROP, old_from, old_until, at, 2) == EARLY
    with logs.database.connection("annals_retention", "platform") as connection:
        values = ["server", of, EVER, at - timedelta(days=60), at, 10]
        assert connection.execute(DELETE, values).fetchone() == (0,)
        with logs.database.connection("annals_owner") as owner:
            owner.execute("DELETE FROM legal_holds")
        assert connection.execute(DELETE, values).fetchone() == (1,)
    assert logs.count("server_logs") == 2


def test_while_a_rule_or_a_hold_is_being_changed_nothing_goes(logs: Logs) -> None:
    at = logs.server.clock()
    of = Tenant(logs.server).subscription_id
    logs.add("server_logs", at - timedelta(days=100), subscription_id=of)
    start, end = chunk_of(logs, at - timedelta(days=100))
    for table in ("legal_holds", "legal_hold_moves", "retention_policies"):
        with logs.database.connection("annals_owner") as connection, connection.transaction():
            lock = sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE")
            connection.execute(lock.format(sql.Identifier(table)))
            began = time.monotonic()
            assert refused(logs.database, DROP, start, end, at, 1) == "55P03"
            # Refused by its COMMIT.
            assert (
                refused(logs.database, DELETE, "server", None, EVER, at - timedelta(days=90), at, 9)
                == "55P03"
            )
            # The lock is held until both have ended, so that neither may wait for it.
            assert time.monotonic() - began < 2
    with logs.database.connection("annals_retention", "platform") as connection:
        connection.execute("SET default_transaction_isolation = 'repeatable read'")
        for query, values in (
            (DROP, [start, end, at, 1]),
            (DELETE, ["server", of, EVER, at - timedelta(days=90), at, 9]),
        ):
            with pytest.raises(psycopg.errors.InvalidTransactionState):
                connection.execute(query, values)
    assert logs.count("server_logs") == 1


def test_nothing_is_added_to_a_chunk_while_its_rows_are_looked_at(logs: Logs) -> None:
    at = logs.server.clock()
    logs.add("server_logs", at - timedelta(days=100))
    start, end = chunk_of(logs, at - timedelta(days=100))
    with logs.database.connection() as writer, writer.transaction():
        # A row that is not committed yet could be one that a hold keeps.
        writer.execute(LATE_ROW, [at - timedelta(days=100)])
        assert refused(logs.database, DROP, start, end, at, None) == "55P03"
    assert logs.count("server_logs") == 2


def test_who_waited_to_write_to_a_chunk_that_was_dropped_may_try_again(logs: Logs) -> None:
    at = logs.server.clock() - timedelta(days=100)
    logs.add("server_logs", at)
    pool = ServiceDatabase(logs.database.url, pool_size=1)
    insert = text(
        "INSERT INTO server_logs (log_id, created_at, request_id) VALUES (gen_random_uuid(), :at, 'r')"
    )

    def write() -> None:
        with pool.transaction(PLATFORM) as tx:
            tx.execute(insert, {"at": at})

    write()
    start, end = chunk_of(logs, at)
    chunk = Chunk(log="server_logs", start=start, end=end, bytes=0, planned_rows=-1)
    failures: list[Exception] = []

    def write_beside() -> None:
        try:
            write()
        except DatabaseError as error:
            failures.append(error)

    other = ServiceDatabase(logs.database.url, pool_size=1)
    writer = threading.Thread(target=write_beside)
    with other.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
        retention.drop(tx, chunk, None, at=logs.server.clock())
        writer.start()
        time.sleep(0.3)
    writer.join()
    assert [type(error) for error in failures] == [WriteConflict]
    write()
    assert logs.count("server_logs") == 1
    with other.transaction(PLATFORM, role=RETENTION_ROLE) as tx, pytest.raises(exc.DBAPIError) as raised:
        retention.drop(tx, replace(chunk, end=start), None, at=logs.server.clock())
    assert isinstance(translate(raised.value), ChunkGone)
    pool.close()
    other.close()


def test_beside_a_drop_nobody_waits_for_a_lock_and_a_long_reader_only_puts_it_off(logs: Logs) -> None:
    at, waited = logs.server.clock(), list[Any]()
    logs.add("server_logs", at - timedelta(days=100), number=500)
    logs.add("server_logs", at)
    over = threading.Event()

    def work(statement: LiteralString) -> None:
        with logs.database.connection() as connection:
            connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            while not over.wait(0.005):
                try:
                    connection.execute(statement)
                except psycopg.errors.LockNotAvailable as error:
                    waited.append(error)

    statements: tuple[LiteralString, ...] = (
        "SELECT count(*) FROM server_logs",
        "INSERT INTO server_logs (log_id, created_at, request_id) VALUES (gen_random_uuid(), now(), 'w')",
    )
    workers = [threading.Thread(target=work, args=[statement]) for statement in statements]
    with logs.database.connection() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM server_logs")
        for worker in workers:
            worker.start()
        ended = threading.Timer(1.5, lambda: reader.execute("COMMIT"))
        ended.start()
        began = time.monotonic()
        counts = logs.run()
        took = time.monotonic() - began
        over.set()
        for worker in (*workers, ended):
            worker.join()
    # The machine itself may stall once.
    assert len(waited) <= 1
    assert took > 1.4
    assert (counts["chunks"], logs.count("server_logs")) == (1, 1)


def test_a_save_beside_the_drop_of_old_audit_rows_neither_waits_nor_fails(logs: Logs) -> None:
    tenant, at = Tenant(logs.server), logs.server.clock()
    tenant.workflow()
    logs.add("audit_logs", at - timedelta(days=400))
    logs.rule("user_actions", 1)
    [(start, end)] = logs.database.rows(
        "SELECT range_start, range_end FROM timescaledb_information.chunks"
        " WHERE hypertable_name = 'audit_logs' ORDER BY range_start LIMIT 1"
    )
    chunk = Chunk(log="audit_logs", start=start, end=end, bytes=0, planned_rows=-1)
    pool = ServiceDatabase(logs.database.url, pool_size=1)
    with pool.transaction(PLATFORM, role=RETENTION_ROLE) as tx:
        # The chunk is dropped, and its lock is held until COMMIT.
        retention.drop(tx, chunk, 1, at=at)
        began = time.monotonic()
        tenant.workflow()
        took = time.monotonic() - began
    pool.close()
    # A wait for the lock would last until a timeout, seconds later.
    assert took < 1.5
    assert logs.count("audit_logs") == 0
    logs.rule("user_actions", None)


@pytest.mark.embedded
def test_without_timescaledb_the_same_rows_go_one_by_one(tmp_path: Path) -> None:
    with serving_embedded(tmp_path) as (server, _):
        clock = server.clock
        logs, of = Logs(server), Tenant(server).subscription_id
        logs.clear()
        at = clock()
        for log in COLUMNS:
            for days in (20, 100, 400):
                for whose in (of, None):
                    logs.add(log, at - timedelta(days=days), subscription_id=whose, number=3)
        logs.rule("server", 10, of)
        plan = logs.plan()
        counts = logs.run(archive_url=str(tmp_path / "archive"))
        # 12 of servers and of nodes past 90 days, and 3 more of one tenant; 6 of executions past a year.
        expected = {"server_logs": 15, "node_execution_logs": 12, "execution_logs": 6}
        assert counts["rows_by_log"] == expected
        assert counts["rows"] == counts["archived_rows"] == sum(part.rows for part in plan.parts) == 33
        assert {log: logs.count(log) for log in COLUMNS} == {
            "server_logs": 3,
            "node_execution_logs": 6,
            "execution_logs": 12,
            "audit_logs": 18,
            "data_change_history": 18,
        }
        assert (counts["chunks"], logs.run()["rows"]) == (0, 0)
