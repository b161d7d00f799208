"""The state of the database, for readiness and for the doctor."""

from dataclasses import dataclass

from sqlalchemy import text

from sql.database import Transaction

_STATE = text(
    "SELECT current_setting('server_version') AS server_version, CAST(current_user AS text) AS role, "
    "(SELECT max(version_num) FROM alembic_version) AS revision, "
    "(SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescaledb, "
    "CAST(current_setting('max_locks_per_transaction') AS int) AS max_locks_per_transaction, "
    "CAST(current_setting('fsync') AS bool) AND current_setting('synchronous_commit') <> 'off' AS durable, "
    "coalesce((SELECT pg_has_role(session_user, oid, 'SET') FROM pg_roles "
    "WHERE rolname = 'annals_retention'), "
    "false) AS may_delete_rows"
)


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """Versions, role and the settings that Annals depends on."""

    server_version: str
    role: str
    revision: str | None
    timescaledb: str | None
    max_locks_per_transaction: int
    durable: bool
    # True if the login may take the role of retention.
    may_delete_rows: bool


def state(tx: Transaction) -> DatabaseState:
    """Read the state."""
    return DatabaseState(**tx.execute(_STATE).one()._mapping)
