"""Queries of purging closed subscriptions: exported tables, and deletion of their rows."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, literal, literal_column, select, text
from sqlalchemy.dialects.postgresql import INTEGER
from sqlalchemy.dialects.postgresql import UUID as UUID_TYPE

from sql.database import Transaction
from sql.models import TABLES
from sql.models.columns import INSTANT
from sql.queries.tenancy import SUBSCRIPTION, SubscriptionRow

_SUBSCRIPTIONS, _ARCHIVES = TABLES["subscriptions"], TABLES["archives"]

# Tables that are exported before the purge: their rows no longer change, or are not deleted. Tables whose
# rows follow from others (`change_numbers`, `reported_event_ids`) or serve Annals alone (`idempotency_keys`)
# are not exported.
EXPORTED = (
    *("subscriptions", "repositories", "actors", "users"),
    *("workspaces", "folders", "jobs", "workflows", "jobpackages", "connectors"),
    *("versions", "version_comments", "tags", "publications", "check_outs", "deletion_logs"),
    *("audit_policies", "legal_holds", "audit_logs", "data_change_history", "reported_actors"),
)
# KEPT_UP and LOGS are written to until the end, so their rows are archived when they are deleted. KEPT_UP is
# deleted before the exported tables, whose rows it names.
KEPT_UP = ("deletion_requests", "api_keys", "retention_policies")
# LOGS is deleted after the exported tables.
LOGS = ("execution_logs", "node_execution_logs", "server_logs")
_SECRET = ("secret_hash",)
# Tables whose rows outlive the purge: the subscription's existence, its legal holds, and who did what.
STAYING = ("subscriptions", "legal_holds", "audit_logs", "data_change_history")

_STEP = text("SELECT * FROM purge_subscription(:subscription_id, :at, :limit)")


def due(tx: Transaction, at: datetime) -> list[SubscriptionRow]:
    """Closed subscriptions due to be purged, in the order of their due times."""
    c = _SUBSCRIPTIONS.c
    query = SUBSCRIPTION.where(c.closed_at.is_not(None), c.purged_at.is_(None), c.purge_after <= at)
    rows = tx.execute(query.order_by(c.purge_after, c.subscription_id))
    return [SubscriptionRow(**row._mapping) for row in rows]


def rows(table: str, subscription_id: UUID) -> Select[tuple[object, ...]]:
    """All rows of a subscription in a table."""
    found = TABLES[table]
    return select(found).where(found.c.subscription_id == subscription_id)


def deletion(table: str, subscription_id: UUID, at: datetime, *, limit: int) -> Select[tuple[object, ...]]:
    """Query that deletes at most `limit` rows of a subscription, the oldest first, and returns them.

    It returns all columns but secrets. Only tables of KEPT_UP and LOGS are allowed, in a transaction of the
    retention role.
    """
    gone = func.purge_rows(
        literal_column(f"NULL::{table}"),
        literal(subscription_id, UUID_TYPE),
        literal(at, INSTANT),
        literal(limit, INTEGER),
    )
    names = [column.name for column in TABLES[table].c]
    columns = gone.table_valued(*names, name="gone").c
    return select(*(columns[name] for name in names if name not in _SECRET))


def time_column(table: str) -> str | None:
    """Name of a log's time column; None for other tables."""
    return "created_at" if table in LOGS else None


def exported(tx: Transaction, row: SubscriptionRow) -> set[str]:
    """Names of the tables exported since a subscription was closed."""
    query = select(_ARCHIVES.c.log).where(
        _ARCHIVES.c.subscription_id == row.subscription_id,
        # Leaves out archives of the retention job, which begin at other instants.
        _ARCHIVES.c.range_start == row.created_at,
        _ARCHIVES.c.made_at >= row.closed_at,
    )
    return set(tx.execute(query).scalars())


def counts(tx: Transaction, subscription_id: UUID) -> dict[str, int]:
    """Count the rows that a purge would delete, by table."""
    found = {}
    for name in (*EXPORTED, *KEPT_UP, *LOGS):
        if name not in STAYING:
            query = select(func.count()).where(TABLES[name].c.subscription_id == subscription_id)
            found[name] = int(tx.execute(query).scalar_one())
    return found


@dataclass(frozen=True, slots=True)
class PurgeStep:
    """The number of rows deleted from a table at once; `is_last` ends this stage of the purge."""

    table: str
    rows: int
    is_last: bool = False


def purge_some(tx: Transaction, subscription_id: UUID, at: datetime, *, limit: int) -> PurgeStep | None:
    """Delete some rows of a subscription, in a transaction of the retention role; None if no row is left."""
    row = tx.execute(_STEP, {"subscription_id": subscription_id, "at": at, "limit": limit}).one_or_none()
    return None if row is None else PurgeStep(*row)
