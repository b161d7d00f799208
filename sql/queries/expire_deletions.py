"""Queries of soft deletions that can no longer be restored."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select, text

from sql.database import Transaction, among
from sql.models import TABLES

_DELETIONS, _SUBSCRIPTIONS = TABLES["deletion_logs"], TABLES["subscriptions"]

_ROOTS = text(Path(__file__).with_name("expire_deletions.sql").read_text())


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiredRow:
    """A soft-deleted resource to be purged with its descendants, and its deletion.

    `total` counts all resources of the subscription to be purged.
    """

    deletion_id: UUID
    resource_type: str
    resource_id: UUID
    restore_expiry_at: datetime
    total: int


def subscriptions(tx: Transaction, at: datetime) -> list[UUID]:
    """Open subscriptions with expired deletions, the earliest expiry first."""
    c = _DELETIONS.c
    query = (
        select(c.subscription_id)
        .join(_SUBSCRIPTIONS, _SUBSCRIPTIONS.c.subscription_id == c.subscription_id)
        .where(c.can_be_restored, c.restore_expiry_at <= at, _SUBSCRIPTIONS.c.closed_at.is_(None))
        .group_by(c.subscription_id)
        .order_by(func.min(c.restore_expiry_at), c.subscription_id)
    )
    return list(tx.execute(query).scalars())


def roots(
    tx: Transaction,
    subscription_id: UUID,
    at: datetime,
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int | None,
) -> list[ExpiredRow]:
    """Topmost resources to be purged, the earliest expiry first."""
    time, deletion_id = after or (None, None)
    values = {"of_subscription": subscription_id, "at": at, "limit": limit}
    rows = tx.execute(_ROOTS, values | {"after_time": time, "after_id": deletion_id})
    return [ExpiredRow(**row._mapping) for row in rows]


def restorable_until(
    tx: Transaction, subscription_id: UUID, resource_ids: list[UUID], at: datetime
) -> datetime | None:
    """Latest time until which any of the given resources can be restored; None if none can be at `at`."""
    c = _DELETIONS.c
    query = select(func.max(c.restore_expiry_at)).where(
        c.subscription_id == subscription_id,
        among(c.resource_id, resource_ids),
        c.can_be_restored,
        c.restore_expiry_at > at,
    )
    until: datetime | None = tx.execute(query).scalar_one()
    return until
