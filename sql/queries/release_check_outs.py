"""Check-outs whose lease is over and that nobody released."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select

from sql.database import Transaction
from sql.models import TABLES
from sql.queries.check_outs import CheckOutRow

_CHECK_OUTS, _SUBSCRIPTIONS = TABLES["check_outs"], TABLES["subscriptions"]
_VERSIONS = TABLES["versions"]


class Leased(NamedTuple):
    """A resource that somebody has checked out."""

    resource_type: str
    resource_id: UUID


def _over(at: datetime) -> ColumnElement[bool]:
    return and_(_CHECK_OUTS.c.released_at.is_(None), _CHECK_OUTS.c.expires_at <= at)


def subscriptions(tx: Transaction, at: datetime) -> list[tuple[UUID, int]]:
    """The subscriptions, other than closed ones, with leases that are over, oldest first, and how many."""
    c = _CHECK_OUTS.c
    query = (
        select(c.subscription_id, func.count())
        .join(_SUBSCRIPTIONS, _SUBSCRIPTIONS.c.subscription_id == c.subscription_id)
        .where(_over(at), _SUBSCRIPTIONS.c.closed_at.is_(None))
        .group_by(c.subscription_id)
        .order_by(func.min(c.expires_at), c.subscription_id)
    )
    return [(subscription_id, number) for subscription_id, number in tx.execute(query)]


def over(tx: Transaction, subscription_id: UUID, at: datetime, *, limit: int) -> list[Leased]:
    """Resources whose lease is over, those first where it was over first."""
    c = _CHECK_OUTS.c
    query = (
        select(c.resource_type, c.resource_id)
        .where(c.subscription_id == subscription_id, _over(at))
        .order_by(c.expires_at, c.check_out_id)
        .limit(limit)
    )
    return [Leased(*row) for row in tx.execute(query)]


def name_then(tx: Transaction, subscription_id: UUID, row: CheckOutRow) -> str:
    """The name of a resource when it was checked out: it may be gone for good since."""
    query = select(_VERSIONS.c.resource_name).where(
        _VERSIONS.c.subscription_id == subscription_id, _VERSIONS.c.version_id == row.version_id
    )
    name: str = tx.execute(query).scalar_one()
    return name
