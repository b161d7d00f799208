"""TimescaleDB, if the database has it: which logs become hypertables, and the span of their chunks."""

from dataclasses import dataclass
from datetime import timedelta

import psycopg.errors
from sqlalchemy import Connection, exc, text

from sql.errors import SchemaError


@dataclass(frozen=True)
class Hypertable:
    """A log, its time column and the span of one chunk."""

    table: str
    time_column: str
    chunk: timedelta


CHUNK_SCHEMA = "annals_chunks"

# A chunk is dropped as a whole, and locked with each of its indexes. It spans a day if rows expire after 90
# days, a week if they expire after a year, and a quarter if they are kept for good: one unbounded page of ten
# years of weekly chunks, with six indexes each, would take some four thousand locks, and the default lock
# table holds about 6,400.
HYPERTABLES = (
    Hypertable("audit_logs", "created_at", timedelta(days=90)),
    Hypertable("data_change_history", "changed_at", timedelta(days=90)),
    Hypertable("execution_logs", "created_at", timedelta(days=7)),
    Hypertable("node_execution_logs", "created_at", timedelta(days=1)),
    Hypertable("server_logs", "created_at", timedelta(days=1)),
)


def chunk_of(table: str) -> timedelta:
    """The span of one chunk of a log."""
    return next(log.chunk for log in HYPERTABLES if log.table == table)


def installed_version(connection: Connection) -> str | None:
    """The version of TimescaleDB that is installed in this database, or None."""
    query = text("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    version: str | None = connection.execute(query).scalar_one_or_none()
    return version


def is_available(connection: Connection) -> bool:
    """True if the server can install TimescaleDB in this database."""
    query = text("SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'")
    return bool(connection.execute(query).scalar_one())


def install(connection: Connection) -> None:
    """Create the extension.

    Raises SchemaError if the login may not create it, or the server did not load the library at its start.
    """
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    except exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise SchemaError(
                "TimescaleDB is available but this login may not create it: "
                "as a superuser, run CREATE EXTENSION timescaledb in this database, then try again"
            ) from error
        raise SchemaError(
            f"TimescaleDB is available but could not be created: {error.orig}. "
            "Is shared_preload_libraries = 'timescaledb' set, and was the server restarted since?"
        ) from error


def plain_logs(connection: Connection) -> list[Hypertable]:
    """The logs that are not hypertables yet. The extension has to be installed."""
    query = text("SELECT hypertable_name FROM timescaledb_information.hypertables")
    known = set(connection.execute(query).scalars())
    return [log for log in HYPERTABLES if log.table not in known]


def make_chunk_schema(connection: Connection, owner: str) -> None:
    """Create the schema of the chunks, closed to all but the tables' owner.

    Everybody may use TimescaleDB's own schema. A chunk there could be read directly, without the row-level
    security of its hypertable.
    """
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {CHUNK_SCHEMA} AUTHORIZATION {owner}"))


def convert(connection: Connection, log: Hypertable) -> None:
    """Convert a log, with its rows, to a hypertable; runs as the tables' owner."""
    # Without TimescaleDB's default index: the migrations make all indexes, and describe no such index.
    # This is the older form of the call: the newer, with by_range, can't choose the schema of the chunks.
    statement = text(
        "SELECT create_hypertable(CAST(:log AS regclass), CAST(:time_column AS name), "
        "chunk_time_interval => CAST(:chunk AS interval), associated_schema_name => CAST(:schema AS name), "
        "create_default_indexes => false, migrate_data => true)"
    )
    values = {"log": log.table, "time_column": log.time_column, "chunk": log.chunk, "schema": CHUNK_SCHEMA}
    connection.execute(statement, values)
