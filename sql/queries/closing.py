"""Closed subscriptions whose time is over: what of them is exported, and its rows on their way out."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select, text

from sql.database import Transaction
from sql.models import TABLES
from sql.queries.tenancy import SubscriptionRow

_SUBSCRIPTIONS, _ARCHIVES = TABLES["subscriptions"], TABLES["archives"]

# All but what follows from other rows (`change_numbers`), or is of use to nobody else (`idempotency_keys`).
EXPORTED = (
    *("subscriptions", "repositories", "actors", "users", "api_keys"),
    *("workspaces", "folders", "jobs", "workflows", "jobpackages", "connectors"),
    *("versions", "version_comments", "tags", "publications", "check_outs", "deletion_logs"),
    *("deletion_requests", "audit_policies", "retention_policies", "legal_holds"),
    *("audit_logs", "data_change_history", "execution_logs", "node_execution_logs", "server_logs"),
)
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
    """All rows of a subscription in a table, without secrets."""
    found = TABLES[table]
    columns = [column for column in found.c if column.name not in _SECRET]
    return select(*columns).where(found.c.subscription_id == subscription_id)


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
    for name in EXPORTED:
        if name not in STAYING:
            query = select(func.count()).where(TABLES[name].c.subscription_id == subscription_id)
            found[name] = int(tx.execute(query).scalar_one())
    return found


@dataclass(frozen=True, slots=True)
class Step:
    """Rows that went, all of one table."""

    table: str
    rows: int


def purge_some(tx: Transaction, subscription_id: UUID, at: datetime, *, limit: int) -> Step | None:
    """Take away some rows of a subscription, None where none is left; the transaction is retention's."""
    row = tx.execute(_STEP, {"subscription_id": subscription_id, "at": at, "limit": limit}).one_or_none()
    return None if row is None else Step(*row)
