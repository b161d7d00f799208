"""Upgrade a database's schema to the revision that this program needs: once, even if many processes try.

Each migration expands or contracts (docs/decisions/0022-migrations.md). It adds objects that the processes of
the release before can ignore, or it removes objects that they no longer use. No migration does both.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg.errors
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, exc, text

from sql import hypertables, patience
from sql.database import connect_arguments, driver_url, is_pooled
from sql.errors import SchemaError, translated

Progress = Callable[[str], None]

OWNER_ROLE = "annals_owner"
# Any fixed number that no other program uses for its advisory locks in the same database.
UPGRADE_LOCK = 0x616E6E616C73

# Revisions of version 0.1.0. No migration leads from them: the schema was folded before the first release.
_UNRELEASED = frozenset(f"000{number}" for number in range(1, 9))

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
        # No prepared statements: a pooler may give the next transaction a connection that does not know them.
        connect_args={**connect_arguments("annals upgrade"), "prepare_threshold": None},
    )
    with translated(), engine.connect() as connection:
        yield connection
    engine.dispose()


def current_revision(url: str) -> str | None:
    """The revision of the database, or None if it has no schema."""
    with _session(url) as connection:
        return _revision(connection)


def upgrade(url: str, progress: Progress) -> None:
    """Create or migrate the schema, and make hypertables of the logs if TimescaleDB is available.

    Idempotent; concurrent callers wait for each other. Raises SchemaError if the schema has to be changed and
    this login may not, and if the database is of version 0.1.0 or newer than the program. Raises
    DatabaseUnavailable if the database can't be reached.
    """
    with _session(url) as connection:
        _check_upgradable(connection)
        if is_pooled(connection.connection.driver_connection):
            _need_newest(
                connection,
                "it can't be changed through a connection pooler: run `annals db upgrade` with a "
                "DATABASE_URL that goes to PostgreSQL itself",
            )
            return
        with _upgrade_lock(connection, progress):
            _check_upgradable(connection)
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
    """Keep the advisory lock of upgrades for the session, also when transactions of the body end."""
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


def refusal(revision: str | None) -> str | None:
    """The reason why this program can't upgrade a database at a revision, or None if it can."""
    if revision in _UNRELEASED:
        return (
            f"the database is at revision {revision} of Annals 0.1.0, which can't be upgraded: "
            "run `annals rebuild --from-git` with a new, empty database, which restores resources, "
            "versions, tags, publications, deletions and user names, but no logs, audit, change history, "
            "API keys, roles, e-mail addresses, comments, check-outs, audit policies, retention policies, "
            "legal holds or closings of subscriptions "
            "(docs/operations/recovery.md)"
        )
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        return (
            f"the database is at revision {revision}, which this version does not know: "
            "it was upgraded by a newer Annals; install that one"
        )
    return None


def _check_upgradable(connection: Connection) -> None:
    if (reason := refusal(_revision(connection))) is not None:
        raise SchemaError(reason)


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
            "As a superuser, run GRANT annals_owner, annals_service, annals_ingest, annals_retention, "
            "annals_sealer TO it, "
            "and let it own the database"
        ) from error
    config = _config()
    config.attributes["connection"] = connection

    def migrate() -> None:
        connection.execute(text(f"SET LOCAL ROLE {OWNER_ROLE}"))
        command.upgrade(config, "head")

    patience.change(connection, migrate, progress)


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
        patience.change(connection, partial(_convert_log, connection, log), progress)
    connection.rollback()


def _convert_log(connection: Connection, log: hypertables.Hypertable) -> None:
    connection.execute(text(f"SET LOCAL ROLE {OWNER_ROLE}"))
    hypertables.convert(connection, log)
