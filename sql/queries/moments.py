"""Moments of a subtree to go back to: its latest versions, tags and publications."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Select, and_, exists, null, or_, select

from sql.database import Transaction
from sql.models import TABLES
from sql.queries import subtrees
from sql.queries.resources import TABLE_OF, identity

_VERSIONS, _TAGS, _PUBLICATIONS = (TABLES[name] for name in ("versions", "tags", "publications"))
_ACTORS = TABLES["actors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A version that was made by `commit`, tagged with `tag`, or published."""

    at: datetime
    by: str
    commit: str | None
    resource_name: str
    version_number: int
    description: str | None
    tag: str | None


def saves(
    tx: Transaction, subscription_id: UUID, root: tuple[str, UUID] | None, *, limit: int
) -> Sequence[EventRow]:
    """At most `limit` versions that were made, newest first; those of one commit follow one another."""
    v = _VERSIONS.c
    query = (
        _of(_VERSIONS.c.created_at, subscription_id, root)
        .add_columns(v.git_commit_hash.label("commit"), v.version_description.label("description"))
        .add_columns(null().label("tag"))
        .join(_ACTORS, _ACTORS.c.user_id == v.created_by)
        .order_by(v.created_at.desc(), v.commit_number.desc(), v.resource_id)
    )
    return _rows(tx, query.limit(limit))


def tags(
    tx: Transaction, subscription_id: UUID, root: tuple[str, UUID] | None, *, limit: int
) -> Sequence[EventRow]:
    """At most `limit` tags that are set, the last set first."""
    t = _TAGS.c
    query = (
        _of(t.tagged_at, subscription_id, root)
        .add_columns(null().label("commit"), null().label("description"), t.tag)
        .join(_VERSIONS, _VERSIONS.c.version_id == t.version_id)
        .join(_ACTORS, _ACTORS.c.user_id == t.tagged_by)
        .where(t.untagged_at.is_(None))
        .order_by(t.tagged_at.desc(), t.tag_id)
    )
    return _rows(tx, query.limit(limit))


def publications(
    tx: Transaction, subscription_id: UUID, root: tuple[str, UUID] | None, *, limit: int
) -> Sequence[EventRow]:
    """At most `limit` publications, ended or not, newest first."""
    p = _PUBLICATIONS.c
    query = (
        _of(p.published_at, subscription_id, root)
        .add_columns(null().label("commit"), null().label("description"), null().label("tag"))
        .join(_VERSIONS, _VERSIONS.c.version_id == p.version_id)
        .join(_ACTORS, _ACTORS.c.user_id == p.published_by)
        .order_by(p.published_at.desc(), p.publication_id)
    )
    return _rows(tx, query.limit(limit))


def _of(at: Column[Any], subscription_id: UUID, root: tuple[str, UUID] | None) -> Select[Any]:
    """Select from the table of a time the rows of resources of a subtree, or of a subscription.

    Resources that were deleted for good are left out: no rollback brings them back.
    """
    table = at.table
    query = (
        select(
            at.label("at"),
            _ACTORS.c.username.label("by"),
            _VERSIONS.c.resource_name,
            _VERSIONS.c.version_number,
        )
        .select_from(table)
        .where(table.c.subscription_id == subscription_id)
    )
    if root is None:
        return query.where(
            or_(
                *(
                    and_(
                        table.c.resource_type == kind,
                        exists().where(identity(kind) == table.c.resource_id),
                    )
                    for kind in TABLE_OF
                )
            )
        )
    inside = subtrees.members(subscription_id, root)
    return query.where(table.c.resource_id.in_(select(inside.c.resource_id)))


def _rows(tx: Transaction, query: Select[Any]) -> list[EventRow]:
    return [EventRow(**row._mapping) for row in tx.execute(query)]
