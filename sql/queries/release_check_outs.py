"""Queries of check-outs whose lease has expired and that nobody released."""

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
    """A checked-out resource."""

    resource_type: str
    resource_id: UUID


def _over(at: datetime) -> ColumnElement[bool]:
    return and_(_CHECK_OUTS.c.released_at.is_(None), _CHECK_OUTS.c.expires_at <= at)


def subscriptions(tx: Transaction, at: datetime) -> list[tuple[UUID, int]]:
    """Open subscriptions with expired leases and their number, the oldest lease first."""
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
    """Resources with an expired lease, the earliest expiry first."""
    c = _CHECK_OUTS.c
    query = (
        select(c.resource_type, c.resource_id)
        .where(c.subscription_id == subscription_id, _over(at))
        .order_by(c.expires_at, c.check_out_id)
        .limit(limit)
    )
    return [Leased(*row) for row in tx.execute(query)]


def name_then(tx: Transaction, subscription_id: UUID, row: CheckOutRow) -> str:
    """Name of a resource at its check-out, from its version: the resource's row may be purged by now."""
    query = select(_VERSIONS.c.resource_name).where(
        _VERSIONS.c.subscription_id == subscription_id, _VERSIONS.c.version_id == row.version_id
    )
    name: str = tx.execute(query).scalar_one()
    return name
