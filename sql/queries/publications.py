"""Publications: which version of a resource is published, and since when; mirrored in `versions`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, update

from sql.database import Transaction
from sql.models import TABLES

_PUBLICATIONS, _VERSIONS = TABLES["publications"], TABLES["versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What becomes of a resource's publication: `version_id` is published from now on, or None is."""

    publication_id: UUID
    resource_type: str
    resource_id: UUID
    version_id: UUID | None
    by: UUID


def record(tx: Transaction, subscription_id: UUID, change: Publication, at: datetime) -> None:
    """End what was published of the resource, and begin what is to be."""
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
