"""The row that orders a repository's writers, and the lock under which its refs move."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, func, insert, select, update

from sql.database import Transaction
from sql.models import TABLES

_REPOSITORIES, _TAGS = TABLES["repositories"], TABLES["tags"]


def create(tx: Transaction, subscription_id: UUID, at: datetime) -> None:
    """Add the row of a new subscription's repository."""
    tx.execute(insert(_REPOSITORIES), {"subscription_id": subscription_id, "created_at": at})


@dataclass(frozen=True, slots=True)
class Tips:
    """Where the branches have to stand, None before their first commit, and how many commits `main` has."""

    head: str | None
    published: str | None
    commits: int


@dataclass(frozen=True, slots=True)
class RefsState:
    """Where the branches have to stand, and whether refs of tags have still to be made or removed."""

    subscription_id: UUID
    head: str | None
    published: str | None
    owes_tags: bool


def lock(tx: Transaction, subscription_id: UUID) -> Tips:
    """Wait to be the only writer of a repository, and read where it stands.

    Raises NoResultFound for a subscription that is not there.
    """
    columns = (_REPOSITORIES.c.head_commit, _REPOSITORIES.c.published_commit, _REPOSITORIES.c.commits)
    query = select(*columns).where(_REPOSITORIES.c.subscription_id == subscription_id)
    return Tips(*tx.execute(query.with_for_update()).one())


def _refs() -> Select[Any]:
    owes = select(_TAGS.c.tag_id).where(
        _TAGS.c.subscription_id == _REPOSITORIES.c.subscription_id, ~_TAGS.c.ref_is_settled
    )
    return select(
        _REPOSITORIES.c.subscription_id,
        _REPOSITORIES.c.head_commit,
        _REPOSITORIES.c.published_commit,
        exists(owes),
    )


def refs(tx: Transaction, subscription_id: UUID) -> RefsState | None:
    """Where the refs have to stand, without waiting for a writer; None for no such subscription."""
    row = tx.execute(_refs().where(_REPOSITORIES.c.subscription_id == subscription_id)).one_or_none()
    return None if row is None else RefsState(*row)


def all_refs(tx: Transaction) -> list[RefsState]:
    """Every repository with commits, and where its refs have to stand."""
    return [RefsState(*row) for row in tx.execute(_refs().where(_REPOSITORIES.c.head_commit.is_not(None)))]


def newest(tx: Transaction) -> UUID | None:
    """The repository that was made last: what has to be there if the folder is the right one."""
    query = select(_REPOSITORIES.c.subscription_id).order_by(_REPOSITORIES.c.created_at.desc()).limit(1)
    subscription_id: UUID | None = tx.execute(query).scalar_one_or_none()
    return subscription_id


def advance(tx: Transaction, subscription_id: UUID, tips: Tips) -> None:
    """Say where the branches stand from now on; the caller holds the row."""
    query = update(_REPOSITORIES).where(_REPOSITORIES.c.subscription_id == subscription_id)
    tx.execute(query.values(head_commit=tips.head, published_commit=tips.published, commits=tips.commits))


def lock_refs(tx: Transaction, subscription_id: UUID) -> None:
    """Wait to be the only one, on any host, that moves the refs of a repository."""
    key = int.from_bytes(subscription_id.bytes[-8:], "big", signed=True)
    tx.execute(select(func.pg_advisory_xact_lock(key)))
