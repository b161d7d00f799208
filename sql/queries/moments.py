"""Moments of a subtree to go back to: its latest versions, and when these were tagged and published."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    exists,
    func,
    or_,
    select,
    text,
    true,
)

from sql.database import Transaction, among
from sql.models import TABLES
from sql.queries import subtrees
from sql.queries.resources import TABLE_OF, identity, listed

_VERSIONS, _TAGS, _PUBLICATIONS = (TABLES[name] for name in ("versions", "tags", "publications"))
_ACTORS, _COMMENTS = TABLES["actors"], TABLES["version_comments"]
# Resources whose own latest versions are read. For a larger subtree the latest versions of the subscription
# are looked through, many of which are in it: no index has versions by their places.
FEW = 1_000
LOOKED_THROUGH = 400
# The planner assumes that row-level security passes one row in a hundred: it would read and sort all
# versions, instead of the latest in the order of their index. Few marks are best sorted.
_IN_ORDER = text("SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)")
_IN_ANY_ORDER = text("SELECT set_config('enable_sort', 'on', true)")
# Characters of a reason that are read.
REASON = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveRow:
    """A version that was made, by whom, when and why."""

    version_id: UUID
    commit: str
    at: datetime
    by: str
    resource_name: str
    version_number: int
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRow:
    """A version that was published, or tagged with `tag`, by whom and when."""

    version_id: UUID
    at: datetime
    by: str
    tag: str | None = None


def saves(
    tx: Transaction, subscription_id: UUID, root: tuple[str, UUID] | None, *, of_each: int, limit: int
) -> Sequence[SaveRow]:
    """At most `limit` versions of a subtree, newest first; those of one commit follow one another.

    Of one resource `of_each` are enough. Resources that were deleted for good are left out: no rollback
    brings them back.
    """
    inside = {} if root is None else subtrees.ids(tx, subscription_id, root)
    if root is None:
        latest = _of_subscription(subscription_id, limit).subquery("latest")
        found = select(latest).where(_is_there(latest))
    elif sum(map(len, inside.values())) <= FEW:
        latest = _of_resources(subscription_id, inside, of_each).subquery("latest")
        found = select(latest)
    else:
        latest = _of_subscription(subscription_id, LOOKED_THROUGH).subquery("latest")
        found = select(latest).where(_lies_in(inside, latest))
    tx.execute(_IN_ORDER)
    rows = found.order_by(latest.c.at.desc(), latest.c.commit_number.desc(), latest.c.resource_id)
    row = rows.limit(limit).subquery("found")
    query = (
        select(
            row.c.version_id,
            row.c.commit,
            row.c.at,
            _ACTORS.c.username.label("by"),
            row.c.resource_name,
            row.c.version_number,
            _reason(subscription_id, row).label("reason"),
        )
        .join(_ACTORS, _ACTORS.c.user_id == row.c.created_by)
        .order_by(row.c.at.desc(), row.c.commit_number.desc(), row.c.resource_id)
    )
    saved = [SaveRow(**each._mapping) for each in tx.execute(query)]
    tx.execute(_IN_ANY_ORDER)
    return saved


def tags(
    tx: Transaction, subscription_id: UUID, version_ids: Collection[UUID], *, limit: int
) -> Sequence[MarkRow]:
    """At most `limit` tags that some versions have, the last set first."""
    t = _TAGS.c
    query = (
        select(t.version_id, t.tagged_at.label("at"), _ACTORS.c.username.label("by"), t.tag)
        .join(_ACTORS, _ACTORS.c.user_id == t.tagged_by)
        .where(
            t.subscription_id == subscription_id, among(t.version_id, version_ids), t.untagged_at.is_(None)
        )
        .order_by(t.tagged_at.desc(), t.tag_id)
    )
    return _marks(tx, query.limit(limit))


def publications(
    tx: Transaction, subscription_id: UUID, version_ids: Collection[UUID], *, limit: int
) -> Sequence[MarkRow]:
    """At most `limit` publications of some versions, ended or not, newest first."""
    p = _PUBLICATIONS.c
    query = (
        select(p.version_id, p.published_at.label("at"), _ACTORS.c.username.label("by"))
        .join(_ACTORS, _ACTORS.c.user_id == p.published_by)
        .where(p.subscription_id == subscription_id, among(p.version_id, version_ids))
        .order_by(p.published_at.desc(), p.publication_id)
    )
    return _marks(tx, query.limit(limit))


def _versions(subscription_id: UUID) -> Select[Any]:
    v = _VERSIONS.c
    return select(
        v.version_id,
        v.resource_type,
        v.resource_id,
        v.git_commit_hash.label("commit"),
        v.commit_number,
        v.created_at.label("at"),
        v.created_by,
        v.resource_name,
        v.version_number,
        v.version_description,
    ).where(v.subscription_id == subscription_id)


def _of_subscription(subscription_id: UUID, limit: int) -> Select[Any]:
    """Select the latest versions of a subscription, of any resource."""
    v = _VERSIONS.c
    query = _versions(subscription_id).order_by(v.created_at.desc(), v.commit_number.desc())
    return query.limit(limit)


def _of_resources(
    subscription_id: UUID, resources: Mapping[str, Collection[UUID]], of_each: int
) -> Select[Any]:
    """Select the latest versions of each of some resources, whose ids are given by kind."""
    wanted = listed([(kind, each) for kind, ids in resources.items() for each in ids])
    v = _VERSIONS.c
    own = (
        _versions(subscription_id)
        .where(v.resource_type == wanted.c.kind, v.resource_id == wanted.c.resource_id)
        .order_by(v.version_number.desc())
        .limit(of_each)
        .lateral("own")
    )
    return select(own).select_from(wanted.join(own, true()))


def _is_there(latest: Subquery) -> ColumnElement[bool]:
    return or_(
        *(
            and_(latest.c.resource_type == kind, exists().where(identity(kind) == latest.c.resource_id))
            for kind in TABLE_OF
        )
    )


def _lies_in(resources: Mapping[str, Collection[UUID]], latest: Subquery) -> ColumnElement[bool]:
    return among(latest.c.resource_id, [each for some in resources.values() for each in some])


def _reason(subscription_id: UUID, latest: Subquery) -> ColumnElement[str | None]:
    """Make the first comment of a version, or else its description, as far as a list shows it."""
    c = _COMMENTS.c
    first = (
        select(c.comment_text)
        .where(c.subscription_id == subscription_id, c.version_id == latest.c.version_id)
        .order_by(c.commented_at, c.comment_id)
        .limit(1)
        .scalar_subquery()
    )
    return func.left(func.coalesce(first, latest.c.version_description), REASON)


def _marks(tx: Transaction, query: Select[Any]) -> list[MarkRow]:
    return [MarkRow(**row._mapping) for row in tx.execute(query)]
