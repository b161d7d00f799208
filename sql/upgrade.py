"""Bringing a database's schema to what this program needs, once, however many try at the same time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg.errors
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, exc, text

from sql import hypertables
from sql.database import connect_arguments, driver_url, is_pooled
from sql.errors import SchemaError, translated

Progress = Callable[[str], None]

OWNER_ROLE = "annals_owner"
# Any fixed number: what must not coincide is another program's advisory lock in the same database.
UPGRADE_LOCK = 0x616E6E616C73

_ROLES = Path(__file__).with_name("roles.sql").read_text()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def newest_revision() -> str:
    """The revision that this program needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise SchemaError("this installation has no migrations: install it again")
    return head


@contextmanager
def _session(url: str) -> Iterator[Connection]:
    engine = create_engine(
        driver_url(url),
        poolclass=NullPool,
        hide_parameters=True,
        # A pooler may give the next transaction another connection.
        connect_args={**connect_arguments("annals upgrade"), "prepare_threshold": None},
    )
    with translated(), engine.connect() as connection:
        yield connection
    engine.dispose()


def current_revision(url: str) -> str | None:
    """The revision that the database is at, None for one without a schema."""
    with _session(url) as connection:
        return _revision(connection)


def upgrade(url: str, progress: Progress) -> None:
    """Create or migrate the schema, and make hypertables of the logs where TimescaleDB is to be had.

    Idempotent; callers at the same time wait for each other. Raises SchemaError where this login may not,
    or where the database is newer than the program; DatabaseUnavailable where it can't be reached.
    """
    with _session(url) as connection:
        _check_not_newer(connection)
        if is_pooled(connection.connection.driver_connection):
            _need_newest(
                connection,
                "it can't be changed through a connection pooler: run `annals db upgrade` with a "
                "DATABASE_URL that goes to PostgreSQL itself",
            )
            return
        with _upgrade_lock(connection, progress):
            _check_not_newer(connection)
            if _may_own(connection):
                _migrate(connection, progress)
                _convert(connection, progress)
            else:
                _need_newest(
                    connection,
                    "this login may not change it: run `annals db upgrade` with a DATABASE_URL whose user is "
                    "a superuser or has CREATEROLE and owns the database",
                )
            connection.rollback()


def _need_newest(connection: Connection, why_not_made: str) -> None:
    if _revision(connection) != newest_revision():
        raise SchemaError(f"the schema is not at the revision that this version needs, and {why_not_made}")


@contextmanager
def _upgrade_lock(connection: Connection, progress: Progress) -> Iterator[None]:
    """Hold the session's advisory lock; also across the transactions inside."""
    if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": UPGRADE_LOCK}).scalar_one():
        progress("Waiting for another process that upgrades the schema …")
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": UPGRADE_LOCK})
    connection.commit()
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": UPGRADE_LOCK})
            connection.commit()


def _revision(connection: Connection) -> str | None:
    try:
        return MigrationContext.configure(connection).get_current_revision()
    except exc.ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        raise SchemaError(
            "this login may not even read the schema: GRANT annals_service to it, as its administrator"
        ) from error
    finally:
        connection.rollback()


def _check_not_newer(connection: Connection) -> None:
    revision = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaError(
            f"the database is at revision {revision}, which this version does not know: "
            "it was upgraded by a newer Annals; install that one"
        )


def _may_own(connection: Connection) -> bool:
    query = text(
        "SELECT rolsuper OR rolcreaterole OR EXISTS (SELECT FROM pg_roles WHERE rolname = :owner "
        "AND pg_has_role(current_user, oid, 'SET')) FROM pg_roles WHERE rolname = current_user"
    )
    may: bool = connection.execute(query, {"owner": OWNER_ROLE}).scalar_one()
    connection.rollback()
    return may


def _migrate(connection: Connection, progress: Progress) -> None:
    revision = _revision(connection)
    if revision == newest_revision():
        return
    progress("Creating the schema …" if revision is None else f"Migrating the schema from {revision} …")
    try:
        connection.execute(text(_ROLES))
        connection.commit()
    except exc.ProgrammingError as error:
        raise SchemaError(
            f"the roles of Annals can't be made or taken by this login: {error.orig}. "
            "As a superuser, run GRANT annals_owner, annals_service, annals_ingest, annals_retention TO it, "
            "and let it own the database"
        ) from error
    connection.execute(text(f"SET LOCAL ROLE {OWNER_ROLE}"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


def _convert(connection: Connection, progress: Progress) -> None:
    if hypertables.installed_version(connection) is None:
        if not hypertables.is_available(connection):
            connection.rollback()
            return
        progress("Adding TimescaleDB to the database …")
        hypertables.install(connection)
        connection.commit()
    plain = hypertables.plain_logs(connection)
    if plain:
        hypertables.make_chunk_schema(connection, OWNER_ROLE)
        connection.commit()
    for log in plain:
        progress(f"Making a hypertable of {log.table} …")
        connection.execute(text(f"SET LOCAL ROLE {OWNER_ROLE}"))
        hypertables.convert(connection, log)
        connection.commit()
    connection.rollback()
