"""The row that orders a repository's writers, and the lock under which its refs move."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, update

from sql.database import Transaction
from sql.models import TABLES

_REPOSITORIES = TABLES["repositories"]


def create(tx: Transaction, subscription_id: UUID, at: datetime) -> None:
    """Add the row of a new subscription's repository."""
    tx.execute(insert(_REPOSITORIES), {"subscription_id": subscription_id, "created_at": at})


def lock(tx: Transaction, subscription_id: UUID) -> str | None:
    """Wait to be the only writer of a repository, and read its head: None before its first commit.

    Raises NoResultFound for a subscription that is not there.
    """
    query = select(_REPOSITORIES.c.head_commit).where(_REPOSITORIES.c.subscription_id == subscription_id)
    head: str | None = tx.execute(query.with_for_update()).scalar_one()
    return head


def head(tx: Transaction, subscription_id: UUID) -> str | None:
    """Where `main` has to stand, without waiting for a writer."""
    query = select(_REPOSITORIES.c.head_commit).where(_REPOSITORIES.c.subscription_id == subscription_id)
    commit: str | None = tx.execute(query).scalar_one_or_none()
    return commit


def heads(tx: Transaction) -> list[tuple[UUID, str]]:
    """Every repository with commits, and where its `main` has to stand."""
    query = select(_REPOSITORIES.c.subscription_id, _REPOSITORIES.c.head_commit)
    rows = tx.execute(query.where(_REPOSITORIES.c.head_commit.is_not(None)))
    return [(subscription_id, commit) for subscription_id, commit in rows]


def newest(tx: Transaction) -> UUID | None:
    """The repository that was made last: what has to be there if the folder is the right one."""
    query = select(_REPOSITORIES.c.subscription_id).order_by(_REPOSITORIES.c.created_at.desc()).limit(1)
    subscription_id: UUID | None = tx.execute(query).scalar_one_or_none()
    return subscription_id


def advance(tx: Transaction, subscription_id: UUID, commit: str) -> None:
    """Say where `main` stands from now on; the caller holds the row."""
    query = update(_REPOSITORIES).where(_REPOSITORIES.c.subscription_id == subscription_id)
    tx.execute(query.values(head_commit=commit))


def lock_refs(tx: Transaction, subscription_id: UUID) -> None:
    """Wait to be the only one, on any host, that moves the refs of a repository."""
    key = int.from_bytes(subscription_id.bytes[-8:], "big", signed=True)
    tx.execute(select(func.pg_advisory_xact_lock(key)))
