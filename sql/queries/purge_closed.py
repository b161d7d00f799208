"""Closed subscriptions whose time is over: what of them is exported, and its rows on their way out."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, literal, literal_column, select, text
from sqlalchemy.dialects.postgresql import INTEGER
from sqlalchemy.dialects.postgresql import UUID as UUID_TYPE

from sql.database import Transaction
from sql.models import TABLES
from sql.models.columns import INSTANT
from sql.queries.tenancy import SubscriptionRow

_SUBSCRIPTIONS, _ARCHIVES = TABLES["subscriptions"], TABLES["archives"]

# What does not change any more, or stays; but not what follows from other rows (`change_numbers`), or is of
# use to nobody else (`idempotency_keys`).
EXPORTED = (
    *("subscriptions", "repositories", "actors", "users"),
    *("workspaces", "folders", "jobs", "workflows", "jobpackages", "connectors"),
    *("versions", "version_comments", "tags", "publications", "check_outs", "deletion_logs"),
    *("audit_policies", "legal_holds", "audit_logs", "data_change_history"),
)
# What is written to until the end, and so is archived as it goes: before the others, whose rows it names,
KEPT_UP = ("deletion_requests", "api_keys", "retention_policies")
# and after them.
LOGS = ("execution_logs", "node_execution_logs", "server_logs")
_SECRET = ("secret_hash",)
# What outlives it: that it was there, why it was kept, and who did what.
STAYING = ("subscriptions", "legal_holds", "audit_logs", "data_change_history")

_STEP = text("SELECT * FROM purge_subscription(:subscription_id, :at, :limit)")


def due(tx: Transaction, at: datetime) -> list[SubscriptionRow]:
    """The closed subscriptions that are to be purged, those first whose time was over first."""
    c = _SUBSCRIPTIONS.c
    query = select(_SUBSCRIPTIONS).where(c.closed_at.is_not(None), c.purged_at.is_(None), c.purge_after <= at)
    rows = tx.execute(query.order_by(c.purge_after, c.subscription_id))
    return [SubscriptionRow(**row._mapping) for row in rows]


def rows(table: str, subscription_id: UUID) -> Select[tuple[object, ...]]:
    """All rows of a subscription in a table."""
    found = TABLES[table]
    return select(found).where(found.c.subscription_id == subscription_id)


def deletion(table: str, subscription_id: UUID, at: datetime, *, limit: int) -> Select[tuple[object, ...]]:
    """The query that deletes at most so many rows of a subscription, the oldest first, and gives them.

    They are whole but for secrets. It is for KEPT_UP and LOGS, in a transaction of retention.
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
    """The time of a log's rows, None for what is no log."""
    return "created_at" if table in LOGS else None


def exported(tx: Transaction, row: SubscriptionRow) -> set[str]:
    """What of a subscription was exported since it was closed, by the names of its archives."""
    query = select(_ARCHIVES.c.log).where(
        _ARCHIVES.c.subscription_id == row.subscription_id,
        # Retention's archives begin at other instants.
        _ARCHIVES.c.range_start == row.created_at,
        _ARCHIVES.c.made_at >= row.closed_at,
    )
    return set(tx.execute(query).scalars())


def counts(tx: Transaction, subscription_id: UUID) -> dict[str, int]:
    """How many rows of each table a purge takes away."""
    found = {}
    for name in (*EXPORTED, *KEPT_UP, *LOGS):
        if name not in STAYING:
            query = select(func.count()).where(TABLES[name].c.subscription_id == subscription_id)
            found[name] = int(tx.execute(query).scalar_one())
    return found


@dataclass(frozen=True, slots=True)
class Step:
    """Rows that went, all of one table; after the last of a stage there are no more."""

    table: str
    rows: int
    is_last: bool = False


def purge_some(tx: Transaction, subscription_id: UUID, at: datetime, *, limit: int) -> Step | None:
    """Take away some rows of a subscription, None where none is left; the transaction is retention's."""
    row = tx.execute(_STEP, {"subscription_id": subscription_id, "at": at, "limit": limit}).one_or_none()
    return None if row is None else Step(*row)
