"""The schema: migrations, models and database agree; logs are hypertables; upgrades run once."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from sql import models, upgrade
from sql.database import PLATFORM, driver_url
from sql.database import Database as ServiceDatabase
from sql.embedded.server import EmbeddedPostgres
from sql.errors import DatabaseUnavailable, RoleNotGranted, SchemaError
from sql.queries import schema
from tests.support.databases import Cluster, Database
from tests.support.project import ROOT
from tests.support.waiting import until

LOGS = {
    "audit_logs": ("created_at", 90),
    "data_change_history": ("changed_at", 90),
    "execution_logs": ("created_at", 7),
    "node_execution_logs": ("created_at", 1),
    "server_logs": ("created_at", 1),
}


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def fresh(cluster: Cluster) -> Database:
    """A migrated database without rows."""
    return cluster.migrated()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A migrated database on the embedded PostgreSQL, which has no TimescaleDB."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("embedded"), silent)
    server.start()
    try:
        upgrade.upgrade(server.url, silent)
        yield Database(server.url)
    finally:
        server.stop()


def differences(database: Database) -> list[Any]:
    """The changes by which alembic would make the database equal to the models."""
    assert models.TABLES
    engine = create_engine(driver_url(database.url), poolclass=NullPool)
    options = {"compare_type": True, "compare_server_default": True}
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts=options)
            return list(compare_metadata(context, SQLModel.metadata))
    finally:
        engine.dispose()


def hypertables(database: Database) -> dict[str, tuple[str, int]]:
    """Each hypertable's time column, and the days of a chunk."""
    rows = database.rows(
        "SELECT hypertable_name, column_name, extract(epoch FROM time_interval)::int / 86400"
        " FROM timescaledb_information.dimensions WHERE hypertable_schema = 'public'"
    )
    return {name: (column, days) for name, column, days in rows}


def test_models_and_migrations_agree_on_timescaledb(fresh: Database) -> None:
    assert differences(fresh) == []


@pytest.mark.embedded
def test_models_and_migrations_agree_on_plain_postgresql(plain: Database) -> None:
    assert differences(plain) == []


def definitions(database: Database) -> list[tuple[Any, ...]]:
    """Columns, constraints and indexes, as PostgreSQL itself writes them."""
    return database.rows(
        "SELECT table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '')"
        " FROM information_schema.columns WHERE table_schema = 'public'"
        " UNION ALL SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'c', 'f')"
        " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
    )


@pytest.mark.embedded
def test_plain_postgresql_has_the_schema_without_hypertables(plain: Database) -> None:
    pool = ServiceDatabase(plain.url, pool_size=1)
    try:
        with pool.transaction(PLATFORM) as tx:
            state = schema.state(tx)
    finally:
        pool.close()
    assert (state.revision, state.timescaledb) == (upgrade.newest_revision(), None)
    names = {name for name, _ in definitions(plain)}
    assert {f"{log}.{column}" for log, (column, _) in LOGS.items()} <= names


@pytest.mark.embedded
def test_an_upgrade_of_what_is_up_to_date_does_nothing(plain: Database) -> None:
    before = definitions(plain)
    said: list[str] = []
    upgrade.upgrade(plain.url, said.append)
    assert said == []
    assert definitions(plain) == before


def test_the_logs_are_hypertables(fresh: Database) -> None:
    assert hypertables(fresh) == LOGS
    listed = fresh.rows("SELECT hypertable_name FROM timescaledb_information.hypertables")
    assert {name for (name,) in listed} == set(LOGS)


def test_an_upgrade_again_says_and_changes_nothing(cluster: Cluster) -> None:
    database = cluster.migrated()
    before, said = definitions(database), list[str]()
    upgrade.upgrade(database.url, said.append)
    assert said == []
    assert definitions(database) == before


UPGRADE = "import sys; from sql.upgrade import upgrade; upgrade(sys.argv[1], print)"


def test_of_many_that_upgrade_at_once_one_migrates(cluster: Cluster) -> None:
    database = cluster.empty()

    def run(_: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", UPGRADE, database.url]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(5) as pool:
        ended = list(pool.map(run, range(5)))
    assert [process.returncode for process in ended] == [0] * 5, ended
    said = "".join(process.stdout for process in ended)
    assert said.count("Creating the schema") == 1
    assert said.count("Making a hypertable of") == 5
    assert differences(database) == []


def migrate_without_timescaledb(database: Database) -> None:
    """Make the schema as on a server that does not have TimescaleDB yet."""
    with upgrade._session(database.url) as connection:
        upgrade._migrate(connection, silent)


def test_plain_logs_become_hypertables_with_their_rows(cluster: Cluster) -> None:
    database = cluster.empty()
    migrate_without_timescaledb(database)
    assert database.rows("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'") == []
    with database.connection() as connection:
        for days in (0, 40, 400):
            connection.execute(
                "INSERT INTO audit_logs (audit_id, created_at, action, resource_type, status)"
                " VALUES (%s, now() - make_interval(days => %s), 'CREATE', 'job', 'success')",
                [uuid4(), days],
            )
            connection.execute(
                "INSERT INTO server_logs (log_id, created_at, request_id)"
                " VALUES (%s, now() - make_interval(days => %s), 'r')",
                [uuid4(), days],
            )
    rows = database.rows("SELECT * FROM audit_logs ORDER BY audit_id")
    said: list[str] = []
    upgrade.upgrade(database.url, said.append)
    assert "Adding TimescaleDB to the database …" in said
    assert hypertables(database) == LOGS
    assert database.rows("SELECT * FROM audit_logs ORDER BY audit_id") == rows
    assert database.value("SELECT count(*) FROM show_chunks('server_logs')") == 3
    assert database.value("SELECT count(*) FROM ONLY audit_logs") == 0
    assert differences(database) == []


def test_executions_of_an_older_version_stay_as_they_were(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = cluster.empty()
    with monkeypatch.context() as patched:
        migrate = command.upgrade
        patched.setattr(command, "upgrade", lambda config, _: migrate(config, "0.4.0"))
        upgrade.upgrade(database.url, silent)
    value = uuid4()
    with database.connection() as connection:
        for log in ("execution_logs", "node_execution_logs"):
            connection.execute(
                sql.SQL(
                    "INSERT INTO {} (created_at, execution_id, triggered_by, execution_type, log_level,"
                    " log_message, duration_ms)"
                    " SELECT now() - n * interval '3 days', %s, %s, 'job', 'INFO', 'm', n"
                    " FROM generate_series(1, 20) n"
                ).format(sql.Identifier(log)),
                [value, value],
            )
        # What an interrupted run of retention left.
        connection.execute(
            "SELECT guard_chunk(hypertable_name, range_start, range_end) FROM timescaledb_information.chunks"
            " WHERE hypertable_name LIKE '%execution_logs'"
        )
    upgrade.upgrade(database.url, silent)
    for log in ("execution_logs", "node_execution_logs"):
        rows = sql.SQL("SELECT execution_id, triggered_by, duration_ms FROM {} ORDER BY created_at DESC")
        with database.connection() as connection:
            found = connection.execute(rows.format(sql.Identifier(log))).fetchall()
        assert found == [(str(value), str(value), float(n)) for n in range(1, 21)]
    assert database.value("SELECT count(*) FROM pg_trigger WHERE tgname = 'note_late_write'") == 0
    assert differences(database) == []


def test_a_conversion_that_was_interrupted_is_finished(cluster: Cluster) -> None:
    database = cluster.empty()
    migrate_without_timescaledb(database)
    with database.connection() as connection:
        connection.execute("CREATE EXTENSION timescaledb")
        connection.execute(
            "SELECT create_hypertable('audit_logs', by_range('created_at', INTERVAL '90 days'),"
            " create_default_indexes => false)"
        )
    upgrade.upgrade(database.url, silent)
    assert hypertables(database) == LOGS


def test_a_database_of_a_newer_program_is_refused(cluster: Cluster) -> None:
    database = cluster.migrated()
    with database.connection() as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from-the-future'")
    with pytest.raises(SchemaError, match=r"from-the-future.*newer"):
        upgrade.upgrade(database.url, silent)


@pytest.fixture
def login(cluster: Cluster) -> Iterator[Callable[[Database], Database]]:
    """A login of no rights at all."""
    name = f"annals_test_{uuid4().hex[:12]}"
    server = cluster.empty()

    def as_login(database: Database) -> Database:
        url = make_url(database.url).set(username=name, password="secret")
        return Database(url.render_as_string(hide_password=False))

    with server.connection() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(name)))
        yield as_login
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_a_login_without_rights_is_told_what_it_lacks(
    cluster: Cluster, login: Callable[[Database], Database]
) -> None:
    database = cluster.empty()
    with pytest.raises(SchemaError, match=r"annals db upgrade.*CREATEROLE"):
        upgrade.upgrade(login(database).url, silent)
    assert database.rows("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []


def test_a_login_without_rights_on_what_is_up_to_date_is_told_so(
    fresh: Database, login: Callable[[Database], Database]
) -> None:
    with pytest.raises(SchemaError):
        upgrade.upgrade(login(fresh).url, silent)


def test_a_login_that_is_the_services_may_use_what_is_up_to_date(
    fresh: Database, login: Callable[[Database], Database]
) -> None:
    as_login = login(fresh)
    name = make_url(as_login.url).username
    assert name is not None
    with fresh.connection() as connection:
        connection.execute(sql.SQL("GRANT annals_service TO {}").format(sql.Identifier(name)))
    upgrade.upgrade(as_login.url, silent)
    pool = ServiceDatabase(as_login.url, pool_size=1)
    try:
        with pool.transaction(PLATFORM) as tx:
            state = schema.state(tx)
            assert (state.role, state.may_delete_rows) == ("annals_service", False)
        with (
            pytest.raises(RoleNotGranted, match='role "annals_retention": GRANT it'),
            pool.transaction(PLATFORM, role="annals_retention"),
        ):
            pass
    finally:
        pool.close()


def test_a_login_that_may_make_roles_but_not_take_ours_is_told_so(
    cluster: Cluster, login: Callable[[Database], Database]
) -> None:
    database = cluster.empty()
    name = make_url(login(database).url).username
    assert name is not None
    with database.connection() as connection:
        connection.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(name)))
    with pytest.raises(SchemaError, match="roles of Annals"):
        upgrade.upgrade(login(database).url, silent)


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        upgrade.upgrade("postgresql://nobody:secret@127.0.0.1:1/none", silent)


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "postgresql+asyncpg://x/y"])
def test_a_url_of_another_database_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not a PostgreSQL URL"):
        upgrade.upgrade(url, silent)


def test_a_migration_that_fails_leaves_nothing(cluster: Cluster) -> None:
    database = cluster.empty()
    with database.connection() as connection:
        connection.execute("CREATE TABLE workflows (mine int)")
    with pytest.raises(Exception, match="workflows"):
        upgrade.upgrade(database.url, silent)
    tables = database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert tables == [("workflows",)]
    with database.connection() as connection:
        connection.execute("DROP TABLE workflows")
    upgrade.upgrade(database.url, silent)
    assert differences(database) == []


def test_connections_are_closed_after_an_upgrade(cluster: Cluster) -> None:
    database = cluster.empty()
    upgrade.upgrade(database.url, silent)
    left = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'annals%%'"
    )
    # PostgreSQL ends the process of a closed connection a moment later.
    until(lambda: not database.rows(left))
