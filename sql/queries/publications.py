"""Publications: the published version of a resource, and the time since when; `versions` mirrors them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, any_, bindparam, false, insert, true, update

from sql import bulk
from sql.database import IDS, OF_SUBSCRIPTION, Transaction
from sql.models import TABLES
from sql.models.columns import INSTANT
from sql.pipelines import Command

_PUBLICATIONS, _VERSIONS = TABLES["publications"], TABLES["versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A change of a resource's publication: from now on `version_id` is published; None means no version."""

    publication_id: UUID
    resource_type: str
    resource_id: UUID
    version_id: UUID | None
    by: UUID


def record(tx: Transaction, subscription_id: UUID, change: Publication, at: datetime) -> None:
    """End the publication of a resource, and begin the new one if a version is given."""
    of_resource = (
        _PUBLICATIONS.c.subscription_id == subscription_id,
        _PUBLICATIONS.c.resource_type == change.resource_type,
        _PUBLICATIONS.c.resource_id == change.resource_id,
    )
    tx.execute(
        update(_VERSIONS)
        .where(
            _VERSIONS.c.subscription_id == subscription_id,
            _VERSIONS.c.resource_type == change.resource_type,
            _VERSIONS.c.resource_id == change.resource_id,
            _VERSIONS.c.is_published,
        )
        .values(is_published=False)
    )
    tx.execute(
        update(_PUBLICATIONS)
        .where(*of_resource, _PUBLICATIONS.c.unpublished_at.is_(None))
        .values(unpublished_by=change.by, unpublished_at=at)
    )
    if change.version_id is None:
        return
    tx.execute(
        insert(_PUBLICATIONS),
        {
            "publication_id": change.publication_id,
            "subscription_id": subscription_id,
            "resource_type": change.resource_type,
            "resource_id": change.resource_id,
            "version_id": change.version_id,
            "published_by": change.by,
            "published_at": at,
        },
    )
    tx.execute(
        update(_VERSIONS)
        .where(_VERSIONS.c.subscription_id == subscription_id, _VERSIONS.c.version_id == change.version_id)
        .values(is_published=True)
    )


_UNMARK = Command(
    update(_VERSIONS)
    .where(_VERSIONS.c.subscription_id == OF_SUBSCRIPTION, _VERSIONS.c.version_id == any_(IDS))
    .values(is_published=false())
)
_MARK = Command(
    update(_VERSIONS)
    .where(_VERSIONS.c.subscription_id == OF_SUBSCRIPTION, _VERSIONS.c.version_id == any_(IDS))
    .values(is_published=true())
)
_END = Command(
    update(_PUBLICATIONS)
    .where(
        _PUBLICATIONS.c.subscription_id == OF_SUBSCRIPTION,
        _PUBLICATIONS.c.version_id == any_(IDS),
        _PUBLICATIONS.c.unpublished_at.is_(None),
    )
    .values(unpublished_by=bindparam("by", type_=Uuid()), unpublished_at=bindparam("at", type_=INSTANT))
)
_BEGIN = bulk.insertion(
    _PUBLICATIONS,
    *("publication_id", "resource_type", "resource_id", "version_id", "published_by", "published_at"),
    subscription_id=OF_SUBSCRIPTION,
)


def withdraw(
    tx: Transaction, subscription_id: UUID, version_ids: Sequence[UUID], *, by: UUID, at: datetime
) -> None:
    """End the publications of the given versions."""
    scope = {"of_subscription": subscription_id, "ids": list(version_ids)}
    _UNMARK.execute(tx, **scope)
    _END.execute(tx, **scope, by=by, at=at)


def begin(tx: Transaction, subscription_id: UUID, rows: Sequence[Publication], at: datetime) -> None:
    """Publish versions of resources that have no published version."""
    if not rows:
        return
    given = [
        {
            "publication_id": row.publication_id,
            "resource_type": row.resource_type,
            "resource_id": row.resource_id,
            "version_id": row.version_id,
            "published_by": row.by,
            "published_at": at,
        }
        for row in rows
    ]
    bulk.execute(tx, _BEGIN, given, of_subscription=subscription_id)
    _MARK.execute(tx, of_subscription=subscription_id, ids=[row.version_id for row in rows])
