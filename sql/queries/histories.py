"""A resource's history as people read it: each version with why it was made, and the resource now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, and_, cast, func, literal, select, true

from sql.database import Transaction
from sql.models import TABLES
from sql.queries.resources import TABLE_OF, identity, parent_column
from sql.queries.versions import VersionFilter, narrowed

_VERSIONS, _ACTORS, _CHECK_OUTS = TABLES["versions"], TABLES["actors"], TABLES["check_outs"]
_COMMENTS, _DELETIONS = TABLES["version_comments"], TABLES["deletion_logs"]
# Comments of one version are counted up to this number.
MOST_COMMENTS = 1_000
# Versions among which the one is searched whose document another version has, as after a rollback.
LOOKED_BACK = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """A resource with its current version, its published version, and the check-out that runs.

    Of a purged resource nothing is left but its versions; its name is that of the last one.
    """

    name: str
    is_purged: bool
    description: str | None
    parent_id: UUID | None
    created_at: datetime | None
    created_by_username: str | None
    updated_at: datetime | None
    deleted_at: datetime | None
    current_version: int
    git_commit_hash: str
    git_blob_id: str
    published_version: int | None
    checked_out_by: UUID | None
    checked_out_by_username: str | None
    checked_out_at: datetime | None
    checked_out_version: int | None
    expires_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionOf:
    """The latest deletion of a resource; `root_deletion_id` is the entry of the restore bin."""

    root_deletion_id: UUID
    deleted_at: datetime
    deleted_by_username: str
    deletion_reason: str | None
    restore_expiry_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow:
    """A version in a history, with its first comment, and the blob and description of the one before it."""

    version_id: UUID
    version_number: int
    version_tag: str | None
    version_description: str | None
    is_current: bool
    is_published: bool
    git_commit_hash: str
    git_blob_id: str
    created_by_username: str
    created_at: datetime
    first_comment: str | None
    comments: int
    blob_before: str | None
    description_before: str | None


def state(
    tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, *, at: datetime
) -> StateRow | None:
    """The state of a resource, deleted, purged or not; None for one without a history."""
    table, v = TABLE_OF[kind], _VERSIONS.alias("current")
    published, held = _VERSIONS.alias("published"), _VERSIONS.alias("held")
    creator, holder = _ACTORS.alias("creator"), _ACTORS.alias("holder")
    query = (
        select(
            func.coalesce(table.c.name, v.c.resource_name).label("name"),
            identity(kind).is_(None).label("is_purged"),
            table.c.description,
            cast(parent_column(kind, table), Uuid()).label("parent_id"),
            table.c.created_at,
            creator.c.username.label("created_by_username"),
            table.c.updated_at,
            table.c.deleted_at,
            v.c.version_number.label("current_version"),
            v.c.git_commit_hash,
            v.c.git_blob_id,
            published.c.version_number.label("published_version"),
            _CHECK_OUTS.c.checked_out_by,
            holder.c.username.label("checked_out_by_username"),
            _CHECK_OUTS.c.checked_out_at,
            held.c.version_number.label("checked_out_version"),
            _CHECK_OUTS.c.expires_at,
            _CHECK_OUTS.c.reason,
        )
        .select_from(v)
        .outerjoin(table, identity(kind) == v.c.resource_id)
        .outerjoin(creator, creator.c.user_id == table.c.created_by)
        .outerjoin(published, and_(_same(published, v), published.c.is_published))
        .outerjoin(
            _CHECK_OUTS,
            and_(_same(_CHECK_OUTS, v), _CHECK_OUTS.c.released_at.is_(None), _CHECK_OUTS.c.expires_at > at),
        )
        .outerjoin(holder, holder.c.user_id == _CHECK_OUTS.c.checked_out_by)
        .outerjoin(held, held.c.version_id == _CHECK_OUTS.c.version_id)
        .where(
            v.c.subscription_id == subscription_id,
            v.c.resource_type == kind,
            v.c.resource_id == resource_id,
            v.c.is_current,
        )
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else StateRow(**row._mapping)


def last_deletion(tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID) -> DeletionOf | None:
    """The latest deletion of a resource by Annals."""
    query = (
        select(
            _DELETIONS.c.root_deletion_id,
            _DELETIONS.c.deleted_at,
            _ACTORS.c.username.label("deleted_by_username"),
            _DELETIONS.c.deletion_reason,
            _DELETIONS.c.restore_expiry_at,
        )
        .join(_ACTORS, _ACTORS.c.user_id == _DELETIONS.c.deleted_by)
        .where(
            _DELETIONS.c.subscription_id == subscription_id,
            _DELETIONS.c.resource_id == resource_id,
            _DELETIONS.c.resource_type == kind,
            # A deletion that a platform posted has no version.
            _DELETIONS.c.version_id.is_not(None),
        )
        .order_by(_DELETIONS.c.deleted_at.desc(), _DELETIONS.c.deletion_id.desc())
        .limit(1)
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else DeletionOf(**row._mapping)


def page(
    tx: Transaction,
    subscription_id: UUID,
    kind: str,
    resource_id: UUID,
    narrow: VersionFilter,
    *,
    before: int | None,
    limit: int,
) -> list[LineRow]:
    """At most `limit` versions of a resource with numbers below `before`, newest first, in one query."""
    v = _VERSIONS.c
    of_resource = select(_VERSIONS).where(
        v.subscription_id == subscription_id, v.resource_type == kind, v.resource_id == resource_id
    )
    # Limited before the joins, so that only rows of the page are joined.
    line = (
        narrowed(of_resource, narrow, before).order_by(v.version_number.desc()).limit(limit).subquery("line")
    )
    prior = _VERSIONS.alias("prior")
    of_line = and_(
        _COMMENTS.c.version_id == line.c.version_id, _COMMENTS.c.subscription_id == subscription_id
    )
    first = (
        select(_COMMENTS.c.comment_text)
        .where(of_line)
        .order_by(_COMMENTS.c.commented_at, _COMMENTS.c.comment_id)
        .limit(1)
        .lateral("first")
    )
    some = select(literal(1).label("one")).where(of_line).correlate(line).limit(MOST_COMMENTS).lateral("some")
    number = select(func.count()).select_from(some).scalar_subquery()
    is_prior = and_(_same(prior, line), prior.c.version_number == line.c.version_number - 1)
    query = (
        select(
            *(line.c[name] for name in LineRow.__dataclass_fields__ if name in line.c),
            _ACTORS.c.username.label("created_by_username"),
            first.c.comment_text.label("first_comment"),
            number.label("comments"),
            prior.c.git_blob_id.label("blob_before"),
            prior.c.version_description.label("description_before"),
        )
        .select_from(line)
        .join(_ACTORS, _ACTORS.c.user_id == line.c.created_by)
        .outerjoin(first, true())
        .outerjoin(prior, is_prior)
        .order_by(line.c.version_number.desc())
    )
    return [LineRow(**row._mapping) for row in tx.execute(query)]


def same_document(
    tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, number: int, blob_id: str
) -> int | None:
    """Number of the newest of the LOOKED_BACK versions before a number that has the same document."""
    v = _VERSIONS.c
    query = select(v.version_number).where(
        v.subscription_id == subscription_id,
        v.resource_type == kind,
        v.resource_id == resource_id,
        v.version_number.between(number - LOOKED_BACK, number - 1),
        v.git_blob_id == blob_id,
    )
    found: int | None = tx.execute(query.order_by(v.version_number.desc()).limit(1)).scalar_one_or_none()
    return found


def _same(table: Any, other: Any) -> ColumnElement[bool]:
    """Make the condition that rows are about the same resource."""
    return and_(
        table.c.subscription_id == other.c.subscription_id,
        table.c.resource_type == other.c.resource_type,
        table.c.resource_id == other.c.resource_id,
    )
