"""Size and last activity of each of some subscriptions, in one query for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, Select, any_, case, func, select, union_all

from sql.database import IDS, Transaction
from sql.models import TABLES
from sql.pipelines import Query
from sql.queries.resources import TABLE_OF

_REPOSITORIES, _VERSIONS = TABLES["repositories"], TABLES["versions"]
# More of a subscription's resources or versions are not counted for a list: PostgreSQL reads each of them.
MAX_COUNTED = 5_000


@dataclass(frozen=True, slots=True)
class SubscriptionSize:
    """Size of a subscription; of resources and versions at most MAX_COUNTED + 1 are counted.

    `last_version_at` is the time of its last version, None before its first.
    """

    subscription_id: UUID
    repository_bytes: int
    live_resources: int
    versions: int
    last_version_at: datetime | None


def _count(rows: Select[Any]) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows.limit(MAX_COUNTED + 1).subquery()).scalar_subquery()


def _live() -> ScalarSelect[int]:
    """Count live resources, at most MAX_COUNTED + 1 of each kind."""
    parts = (
        select(table.c.subscription_id)
        .where(table.c.subscription_id == _REPOSITORIES.c.subscription_id, table.c.deleted_at.is_(None))
        .correlate(_REPOSITORIES)
        .limit(MAX_COUNTED + 1)
        .subquery()
        .select()
        for table in TABLE_OF.values()
    )
    return _count(select(union_all(*parts).subquery()))


_OWN_VERSIONS = (
    select(_VERSIONS.c.created_at)
    .where(_VERSIONS.c.subscription_id == _REPOSITORIES.c.subscription_id)
    .correlate(_REPOSITORIES)
)
_IS_COUNTED = _REPOSITORIES.c.live_at_commits == _REPOSITORIES.c.commits
_SIZES = Query(
    select(
        _REPOSITORIES.c.subscription_id,
        func.coalesce(_REPOSITORIES.c.bytes, 0).label("repository_bytes"),
        case((_IS_COUNTED, _REPOSITORIES.c.live_resources), else_=_live()).label("live_resources"),
        _count(_OWN_VERSIONS).label("versions"),
        _OWN_VERSIONS.order_by(_VERSIONS.c.created_at.desc())
        .limit(1)
        .scalar_subquery()
        .label("last_version_at"),
    ).where(_REPOSITORIES.c.subscription_id == any_(IDS)),
    SubscriptionSize,
)


def of(tx: Transaction, subscription_ids: Sequence[UUID]) -> dict[UUID, SubscriptionSize]:
    """Measure some subscriptions; one that was purged has no size."""
    found = _SIZES.all(tx, ids=list(subscription_ids))
    return {row.subscription_id: row for row in found}
