"""A PostgreSQL that does not answer: waiting statements end, new ones are refused, until it answers again."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import text

from sql.database import PLATFORM, connect_arguments
from sql.database import Database as ServiceDatabase
from sql.errors import DatabaseSilent, DatabaseUnavailable, StatementEnded
from sql.pipelines import driver_of, pipelined
from sql.silence import LONGEST_WORK_SECONDS
from tests.support.databases import Cluster
from tests.support.held_line import HeldLine, held_line
from tests.support.waiting import until

# In production it is 8 s.
SILENCE_SECONDS = 0.8
LONGER = 2 * SILENCE_SECONDS


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> str:
    return cluster.migrated().url


@pytest.fixture
def line(url: str) -> Iterator[HeldLine]:
    with held_line(url) as line:
        yield line


@contextmanager
def pool(url: str, **options: float) -> Iterator[ServiceDatabase]:
    database = ServiceDatabase(url, pool_size=4, **options)
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def database(line: HeldLine) -> Iterator[ServiceDatabase]:
    with pool(line.url, silence_seconds=SILENCE_SECONDS) as database:
        yield database


def ask(database: ServiceDatabase, seconds: float = 0) -> int:
    """Execute a statement that takes so long; returns the id of the server's process."""
    with database.transaction(PLATFORM) as tx:
        tx.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
        return int(tx.execute(text("SELECT pg_backend_pid()")).scalar_one())


def connections(database: ServiceDatabase) -> set[int]:
    """Use four connections at once; returns the ids of their server processes."""
    with ThreadPoolExecutor(4) as threads:
        return set(threads.map(ask, [database] * 4, [0.1] * 4))


def held(database: ServiceDatabase, line: HeldLine) -> None:
    """Hold the line in a transaction, and send a statement."""
    with database.transaction(PLATFORM) as tx:
        line.hold()
        tx.execute(text("SELECT 1"))


def copied_in_vain(database: ServiceDatabase, line: HeldLine) -> None:
    """Hold the line in a transaction, and send more rows than fit into the buffers of sockets."""
    with database.transaction(PLATFORM) as tx:
        driver = driver_of(tx)
        driver.execute("CREATE TEMPORARY TABLE words (word text) ON COMMIT DROP")
        with driver.cursor() as cursor, cursor.copy("COPY words FROM STDIN") as rows:
            line.hold()
            for _ in range(10_000):
                rows.write_row(["x" * 10_000])


def fall_silent(database: ServiceDatabase, line: HeldLine) -> None:
    """Hold the line, and wait until the silence is noticed."""
    line.hold()
    with pytest.raises(DatabaseSilent):
        ask(database)


def test_a_statement_that_is_not_answered_ends_with_the_true_reason(
    database: ServiceDatabase, line: HeldLine
) -> None:
    with pytest.raises(DatabaseSilent, match=r"^PostgreSQL has not answered for 1 s$"):
        held(database, line)
    assert database.silence == "PostgreSQL has not answered for 1 s"


def test_all_that_wait_end_together_however_late_they_came(database: ServiceDatabase, line: HeldLine) -> None:
    assert len(connections(database)) == 4
    line.hold()
    with ThreadPoolExecutor(3) as threads:
        waiting = []
        for _ in range(3):
            waiting.append(threads.submit(ask, database))
            time.sleep(SILENCE_SECONDS / 4)
        errors = [each.exception() for each in waiting]
    # Each says for how long PostgreSQL has not answered, not for how long it waited itself.
    assert {repr(error) for error in errors} == {"DatabaseSilent('PostgreSQL has not answered for 1 s')"}


def test_new_calls_are_refused_at_once_while_it_lasts(database: ServiceDatabase, line: HeldLine) -> None:
    ask(database)
    fall_silent(database, line)
    began = time.monotonic()
    for _ in range(200):
        with pytest.raises(DatabaseSilent):
            ask(database)
    assert time.monotonic() - began < 200 * SILENCE_SECONDS / 10


def test_calls_are_served_as_soon_as_postgresql_answers(database: ServiceDatabase, line: HeldLine) -> None:
    assert len(connections(database)) == 4
    fall_silent(database, line)
    line.let_go()
    until(lambda: database.silence is None)
    assert len(connections(database)) == 4


def test_a_connection_that_cant_be_made_is_a_silence(line: HeldLine, monkeypatch: pytest.MonkeyPatch) -> None:
    # The shortest time that libpq takes.
    monkeypatch.setattr("sql.database.CONNECT_TIMEOUT_SECONDS", 2)
    with pool(line.url) as database:
        fall_silent(database, line)
        assert database.silence is not None
        line.let_go()
        until(lambda: database.silence is None)
        assert ask(database)


def test_a_long_statement_is_no_silence_while_others_are_answered(database: ServiceDatabase) -> None:
    assert ask(database, LONGER)
    assert database.silence is None


def test_statements_that_wait_behind_a_long_one_do_not_lose_the_connection(database: ServiceDatabase) -> None:
    # In production it is a statement that takes a minute; TCP's own time limit can't be shorter than it is.
    assert connect_arguments("annals")["tcp_user_timeout"] >= LONGEST_WORK_SECONDS * 1000
    with database.transaction(PLATFORM) as tx, pipelined(tx):
        driver = driver_of(tx)
        driver.execute("SELECT pg_sleep(%s)", [LONGER])
        for _ in range(16):
            found = driver.execute("SELECT length(%s::text)", ["x" * 1024 * 1024])
    assert found.fetchall() == [(1024 * 1024,)]


def test_rows_that_arrive_slowly_are_no_silence(database: ServiceDatabase, line: HeldLine) -> None:
    with database.transaction(PLATFORM) as tx:
        query = "COPY (SELECT repeat('x', 9000), pg_sleep(0.05) FROM generate_series(1, 30)) TO STDOUT"
        with driver_of(tx).cursor() as cursor, cursor.copy(query) as rows:
            assert sum(1 for _ in rows) == 30


def test_rows_that_are_not_taken_end_with_the_true_reason(database: ServiceDatabase, line: HeldLine) -> None:
    with pytest.raises(DatabaseSilent):
        copied_in_vain(database, line)


def test_a_statement_past_its_time_is_ended_by_postgresql(url: str) -> None:
    with pool(url, statement_seconds=0.2) as database:
        with pytest.raises(StatementEnded, match="statement timeout"):
            ask(database, 30)
        assert ask(database)


def test_a_statement_that_its_server_process_does_not_end_is_given_up_alone(line: HeldLine) -> None:
    with pool(line.url, statement_seconds=0.5) as database:
        with pytest.raises(DatabaseSilent, match="a statement"):
            held(database, line)
        assert database.silence is None
        line.let_go()
        assert ask(database)


def test_a_server_process_that_ends_is_no_silence(database: ServiceDatabase, url: str) -> None:
    ended = ask(database)
    with psycopg.connect(url, autocommit=True) as own:
        own.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])
    with pytest.raises(DatabaseUnavailable):
        ask(database)
    assert database.silence is None
    assert ask(database) != ended


def test_a_long_statement_is_told_from_one_that_waits_in_vain(
    database: ServiceDatabase, line: HeldLine
) -> None:
    ask(database)
    with ThreadPoolExecutor(1) as threads:
        thread = threads.submit(threading.get_ident).result()
        assert not database.works_for(thread)
        asked = threads.submit(ask, database, LONGER)
        until(lambda: database.works_for(thread))
        asked.result()
        assert not database.works_for(thread)
        in_vain = threads.submit(held, database, line)
        until(lambda: database.silence is not None)
        assert not database.works_for(thread)
        line.let_go()
        with pytest.raises(DatabaseSilent):
            in_vain.result()
