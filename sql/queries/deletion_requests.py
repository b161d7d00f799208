"""Requests for deletions that operators made in SQL: those that wait, and their outcomes."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update

from sql.database import Transaction
from sql.models import TABLES

_REQUESTS, _ACTORS = TABLES["deletion_requests"], TABLES["actors"]

# The first number of an advisory lock's key, which has two numbers, as the key of upkeep has.
_REQUESTS_LOCK = 0x64656C72


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request that waits; `username` names the user for whom it deletes."""

    request_id: UUID
    workspace_id: UUID
    requested_by: UUID
    username: str
    is_soft_delete: bool


def subscriptions(tx: Transaction) -> list[UUID]:
    """The subscriptions in which a request waits."""
    query = select(_REQUESTS.c.subscription_id).where(_REQUESTS.c.done_at.is_(None)).distinct()
    return list(tx.execute(query).scalars())


def try_lock(tx: Transaction, subscription_id: UUID) -> bool:
    """Lock a subscription's requests until the transaction ends; False if another host has the lock.

    Two subscriptions may share a lock, as two repositories may in `repositories.try_lock_upkeep`.
    """
    key = int.from_bytes(subscription_id.bytes[-4:], "big", signed=True)
    is_locked: bool = tx.execute(select(func.pg_try_advisory_xact_lock(_REQUESTS_LOCK, key))).scalar_one()
    return is_locked


def oldest(tx: Transaction, subscription_id: UUID) -> RequestRow | None:
    """The request that has waited longest."""
    c = _REQUESTS.c
    query = (
        select(c.request_id, c.workspace_id, c.requested_by, _ACTORS.c.username, c.is_soft_delete)
        .join(_ACTORS, _ACTORS.c.user_id == c.requested_by)
        .where(c.subscription_id == subscription_id, c.done_at.is_(None))
        .order_by(c.requested_at, c.request_id)
        .limit(1)
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else RequestRow(**row._mapping)


def finish(
    tx: Transaction,
    subscription_id: UUID,
    request_id: UUID,
    *,
    at: datetime,
    deletion_id: UUID | None = None,
    problem: str | None = None,
) -> None:
    """Record the outcome of a request: a deletion, or a problem."""
    query = update(_REQUESTS).where(
        _REQUESTS.c.subscription_id == subscription_id, _REQUESTS.c.request_id == request_id
    )
    tx.execute(query.values(done_at=at, deletion_id=deletion_id, problem=problem))
