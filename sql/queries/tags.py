"""Tags, mirrored in `versions.version_tag`, and the refs that git still lacks for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, update

from sql.database import Transaction
from sql.models import TABLES

_TAGS, _VERSIONS = TABLES["tags"], TABLES["versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTag:
    """A tag for a version, and the id of its git object."""

    tag_id: UUID
    resource_type: str
    resource_id: UUID
    version_id: UUID
    tag: str
    tag_object: str
    tagged_by: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsettledRef:
    """A tag's row whose git ref may be wrong. The ref has to name `tag_object`, or with None be missing."""

    tag_id: UUID
    untagged_at: datetime | None
    resource_type: str
    resource_id: UUID
    tag: str
    tag_object: str | None


def give(tx: Transaction, subscription_id: UUID, new: NewTag, at: datetime) -> None:
    """Tag a version; raises UniqueConflict if it has a tag, or another version has this tag."""
    tx.execute(
        insert(_TAGS),
        {
            "tag_id": new.tag_id,
            "subscription_id": subscription_id,
            "resource_type": new.resource_type,
            "resource_id": new.resource_id,
            "version_id": new.version_id,
            "tag": new.tag,
            "tag_object": new.tag_object,
            "tagged_by": new.tagged_by,
            "tagged_at": at,
            "ref_is_settled": False,
        },
    )
    _mirror(tx, subscription_id, new.version_id, new.tag)


def remove(tx: Transaction, subscription_id: UUID, version_id: UUID, *, by: UUID, at: datetime) -> None:
    """Remove the tag of a version."""
    tx.execute(
        update(_TAGS)
        .where(
            _TAGS.c.subscription_id == subscription_id,
            _TAGS.c.version_id == version_id,
            _TAGS.c.untagged_at.is_(None),
        )
        .values(untagged_by=by, untagged_at=at, ref_is_settled=False)
    )
    _mirror(tx, subscription_id, version_id, None)


def owner(tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, tag: str) -> UUID | None:
    """The id of the version of a resource that has a tag, or one that differs from it in case alone.

    Of older tags that differ in case alone, the equal one counts.
    """
    query = select(_TAGS.c.version_id).where(
        _TAGS.c.subscription_id == subscription_id,
        _TAGS.c.resource_type == kind,
        _TAGS.c.resource_id == resource_id,
        _TAGS.c.tag_key == tag.lower(),
        _TAGS.c.untagged_at.is_(None),
    )
    equal_first = query.order_by((_TAGS.c.tag == tag).desc()).limit(1)
    version_id: UUID | None = tx.execute(equal_first).scalar_one_or_none()
    return version_id


def unsettled(tx: Transaction, subscription_id: UUID) -> list[UnsettledRef]:
    """The refs of tags that may be wrong, with the object that each has to name."""
    open_tag = _TAGS.alias("open_tag")
    query = (
        select(
            _TAGS.c.tag_id,
            _TAGS.c.untagged_at,
            _TAGS.c.resource_type,
            _TAGS.c.resource_id,
            _TAGS.c.tag,
            open_tag.c.tag_object,
        )
        .outerjoin(
            open_tag,
            (open_tag.c.subscription_id == _TAGS.c.subscription_id)
            & (open_tag.c.resource_type == _TAGS.c.resource_type)
            & (open_tag.c.resource_id == _TAGS.c.resource_id)
            & (open_tag.c.tag == _TAGS.c.tag)
            & open_tag.c.untagged_at.is_(None),
        )
        .where(_TAGS.c.subscription_id == subscription_id, ~_TAGS.c.ref_is_settled)
    )
    return [UnsettledRef(**row._mapping) for row in tx.execute(query)]


def settle(tx: Transaction, subscription_id: UUID, refs: Sequence[UnsettledRef]) -> None:
    """Record the refs of these rows as right, except for rows that have changed since they were read.

    The lock on refs keeps other processes from settling, but not from adding and removing tags.
    """
    for row in refs:
        tx.execute(
            update(_TAGS)
            .where(
                _TAGS.c.subscription_id == subscription_id,
                _TAGS.c.tag_id == row.tag_id,
                _TAGS.c.untagged_at.is_not_distinct_from(row.untagged_at),
            )
            .values(ref_is_settled=True)
        )


def _mirror(tx: Transaction, subscription_id: UUID, version_id: UUID, tag: str | None) -> None:
    tx.execute(
        update(_VERSIONS)
        .where(_VERSIONS.c.subscription_id == subscription_id, _VERSIONS.c.version_id == version_id)
        .values(version_tag=tag)
    )
