"""Versions: written by the committer alone, read by number, tag, commit or state."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from orjson import Fragment
from sqlalchemy import (
    Select,
    Text,
    and_,
    any_,
    bindparam,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from sql import bulk
from sql.database import IDS, OF_SUBSCRIPTION, Transaction, among
from sql.models import TABLES
from sql.models.columns import INSTANT
from sql.pipelines import Command, Query
from sql.queries.resources import TABLE_OF, identity, listed

_VERSIONS, _ACTORS, _CHECK_OUTS = TABLES["versions"], TABLES["actors"], TABLES["check_outs"]


@dataclass(frozen=True, kw_only=True)
class VersionColumns:
    """A version's metadata as the API shows it; `checked_out_by` is set while a lease on it runs."""

    version_id: UUID
    resource_type: str
    resource_id: UUID
    resource_name: str
    version_number: int
    version_tag: str | None
    version_description: str | None
    is_current: bool
    is_published: bool
    git_commit_hash: str
    git_branch: str
    git_repo_url: str
    created_by: UUID
    created_by_username: str
    created_at: datetime
    checked_out_by: UUID | None
    checked_out_at: datetime | None
    checked_in_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class VersionRow(VersionColumns):
    """A version's metadata, with the columns that the API does not show.

    `unversioned_changes` counts the resource's deletions and restores until its next version, or until now.
    """

    git_blob_id: str
    # It has a default, since results that an earlier release stored for retries lack it.
    unversioned_changes: int = 0

    @property
    def changes(self) -> int:
        """Number of the latest data change of the resource; each resource has a count of its own."""
        return self.version_number + self.unversioned_changes


@dataclass(frozen=True, slots=True)
class NewVersionRow:
    """A version to be written, which has no tag and is not published; `snapshot` is the canonical bytes."""

    row: VersionRow
    snapshot: bytes
    commit_number: int


@dataclass(frozen=True, slots=True)
class Traced:
    """A resource that has a history; if it `is_purged`, nothing else is left of it."""

    is_purged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFilter:
    """The filter of a history: versions by any of `authors`; `since` and `until` are both inclusive."""

    tag: str | None = None
    published: bool | None = None
    authors: Sequence[UUID] | None = None
    since: datetime | None = None
    until: datetime | None = None


_GIVEN = (
    *("version_id", "resource_type", "resource_id", "resource_name", "version_number", "version_description"),
    *("version_data", "is_current", "is_published", "git_commit_hash", "git_blob_id", "commit_number"),
    *("unversioned_changes", "git_branch", "git_repo_url", "created_by", "created_at"),
)
_INSERT = bulk.insertion(_VERSIONS, *_GIVEN, subscription_id=OF_SUBSCRIPTION)
_SUPERSEDE = Command(
    update(_VERSIONS)
    .where(_VERSIONS.c.subscription_id == OF_SUBSCRIPTION, _VERSIONS.c.version_id == any_(IDS))
    .values(is_current=False)
)


def insert_rows(
    tx: Transaction,
    subscription_id: UUID,
    rows: Sequence[NewVersionRow],
    *,
    superseded: Collection[UUID],
) -> None:
    """Add versions. The last given one of each resource becomes current, in place of a `superseded` one.

    Raises LimitExceeded if a snapshot is larger than JSONB can store.
    """
    last = {(new.row.resource_type, new.row.resource_id): new.row.version_id for new in rows}
    if superseded:
        _SUPERSEDE.execute(tx, of_subscription=subscription_id, ids=list(superseded))
    given = [
        {
            "version_id": row.version_id,
            "resource_type": row.resource_type,
            "resource_id": row.resource_id,
            "resource_name": row.resource_name,
            "version_number": row.version_number,
            "version_description": row.version_description,
            # The snapshot is sent as its text: parsing it again would cost more than storing it.
            "version_data": Fragment(new.snapshot),
            "is_current": last[row.resource_type, row.resource_id] == row.version_id,
            "is_published": False,
            "git_commit_hash": row.git_commit_hash,
            "git_blob_id": row.git_blob_id,
            "commit_number": new.commit_number,
            "unversioned_changes": row.unversioned_changes,
            "git_branch": row.git_branch,
            "git_repo_url": row.git_repo_url,
            "created_by": row.created_by,
            "created_at": row.created_at,
        }
        for new in rows
        for row in (new.row,)
    ]
    bulk.execute(tx, _INSERT, given, of_subscription=subscription_id)


def _of_kind(subscription_id: Any, kind: Any, at: Any) -> Select[Any]:
    """Select the columns of VersionRow. The arguments are values, or parameters of the query."""
    v = _VERSIONS.c
    lease = and_(
        _CHECK_OUTS.c.version_id == v.version_id,
        _CHECK_OUTS.c.released_at.is_(None),
        _CHECK_OUTS.c.expires_at > at,
    )
    return (
        select(
            v.version_id,
            v.resource_type,
            v.resource_id,
            v.resource_name,
            v.version_number,
            v.version_tag,
            v.version_description,
            v.is_current,
            v.is_published,
            v.git_commit_hash,
            v.git_blob_id,
            v.git_branch,
            v.git_repo_url,
            v.created_by,
            _ACTORS.c.username.label("created_by_username"),
            v.created_at,
            _CHECK_OUTS.c.checked_out_by,
            _CHECK_OUTS.c.checked_out_at,
            v.checked_in_at,
            v.unversioned_changes,
        )
        .join(_ACTORS, _ACTORS.c.user_id == v.created_by)
        .outerjoin(_CHECK_OUTS, lease)
        .where(v.subscription_id == subscription_id, v.resource_type == kind)
    )


def _of(subscription_id: UUID, kind: str, resource_id: UUID, at: datetime) -> Select[Any]:
    return _of_kind(subscription_id, kind, at).where(_VERSIONS.c.resource_id == resource_id)


# Compiled once: the committer sends it for each batch.
CURRENT = Query(
    _of_kind(OF_SUBSCRIPTION, bindparam("kind", type_=Text()), bindparam("at", type_=INSTANT)).where(
        _VERSIONS.c.resource_id == any_(IDS), _VERSIONS.c.is_current
    ),
    VersionRow,
)


def current(
    tx: Transaction,
    subscription_id: UUID,
    kind: str,
    resource_ids: Collection[UUID],
    *,
    at: datetime,
) -> dict[UUID, VersionRow]:
    """The current versions of some resources, by resource."""
    rows = CURRENT.all(tx, of_subscription=subscription_id, kind=kind, ids=list(resource_ids), at=at)
    return {row.resource_id: row for row in rows}


@cache
def trace(kind: str) -> Query[Traced]:
    """Make the query that shows if resources still exist; no row for a resource without a history."""
    v, table = _VERSIONS.c, TABLE_OF[kind]
    statement = (
        select(identity(kind).is_(None).label("is_purged"))
        .select_from(_VERSIONS.outerjoin(table, identity(kind) == v.resource_id))
        .where(
            v.subscription_id == OF_SUBSCRIPTION,
            v.resource_type == kind,
            v.resource_id == any_(IDS),
            v.is_current,
        )
    )
    return Query(statement, Traced)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRow:
    """The blob of a version; `is_purged` is true once its resource was deleted for good."""

    version_id: UUID
    resource_id: UUID
    git_blob_id: str
    is_purged: bool


def documents(
    tx: Transaction, subscription_id: UUID, version_ids: Collection[UUID]
) -> dict[UUID, DocumentRow]:
    """The blobs of versions of any kind, by version."""
    if not version_ids:
        return {}
    v = _VERSIONS.c
    is_there = or_(
        *(
            and_(
                v.resource_type == kind,
                select(identity(kind)).where(identity(kind) == v.resource_id).exists(),
            )
            for kind in TABLE_OF
        )
    )
    query = select(v.version_id, v.resource_id, v.git_blob_id, not_(is_there).label("is_purged")).where(
        v.subscription_id == subscription_id, among(v.version_id, version_ids)
    )
    return {row.version_id: DocumentRow(**row._mapping) for row in tx.execute(query)}


def by_ids(
    tx: Transaction, subscription_id: UUID, kind: str, version_ids: Collection[UUID], *, at: datetime
) -> list[VersionRow]:
    """Versions of resources of a kind, by their ids."""
    query = _of_kind(subscription_id, kind, at).where(among(_VERSIONS.c.version_id, version_ids))
    return [VersionRow(**row._mapping) for row in tx.execute(query)]


def page(
    tx: Transaction,
    subscription_id: UUID,
    kind: str,
    resource_id: UUID,
    narrow: VersionFilter,
    *,
    before: int | None,
    limit: int,
    at: datetime,
) -> list[VersionRow]:
    """At most `limit` versions of a resource with numbers below `before`, newest first."""
    query = narrowed(_of(subscription_id, kind, resource_id, at), narrow, before)
    rows = tx.execute(query.order_by(_VERSIONS.c.version_number.desc()).limit(limit))
    return [VersionRow(**row._mapping) for row in rows]


def narrowed(query: Select[Any], narrow: VersionFilter, before: int | None) -> Select[Any]:
    """Add the filter of a history to a query of versions, and the number that all are below."""
    for column, value in (
        (_VERSIONS.c.version_tag, narrow.tag),
        (_VERSIONS.c.is_published, narrow.published),
    ):
        if value is not None:
            query = query.where(column == value)
    if narrow.authors is not None:
        query = query.where(among(_VERSIONS.c.created_by, narrow.authors))
    if narrow.since is not None:
        query = query.where(_VERSIONS.c.created_at >= narrow.since)
    if narrow.until is not None:
        query = query.where(_VERSIONS.c.created_at <= narrow.until)
    if before is not None:
        query = query.where(_VERSIONS.c.version_number < before)
    return query


def published(
    tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, *, at: datetime
) -> VersionRow | None:
    """The published version of a resource."""
    return _one(tx, _of(subscription_id, kind, resource_id, at).where(_VERSIONS.c.is_published))


def published_of(
    tx: Transaction, subscription_id: UUID, kind: str, resource_ids: Collection[UUID], *, at: datetime
) -> list[VersionRow]:
    """The published versions of some resources."""
    query = _of_kind(subscription_id, kind, at).where(
        among(_VERSIONS.c.resource_id, resource_ids), _VERSIONS.c.is_published
    )
    return [VersionRow(**row._mapping) for row in tx.execute(query)]


def by_number(
    tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, number: int, *, at: datetime
) -> VersionRow | None:
    """The version with a number."""
    query = _of(subscription_id, kind, resource_id, at)
    return _one(tx, query.where(_VERSIONS.c.version_number == number))


def by_tag(
    tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, name: str, *, at: datetime
) -> VersionRow | None:
    """The version with a tag."""
    return _one(tx, _of(subscription_id, kind, resource_id, at).where(_VERSIONS.c.version_tag == name))


def by_commit(
    tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, prefix: str, *, at: datetime
) -> list[VersionRow]:
    """The versions whose commit id begins with `prefix` (lower-case hex digits); two if it is ambiguous."""
    query = _of(subscription_id, kind, resource_id, at)
    query = query.where(_VERSIONS.c.git_commit_hash.startswith(prefix, autoescape=True))
    return [VersionRow(**row._mapping) for row in tx.execute(query.limit(2))]


def as_of(
    tx: Transaction,
    subscription_id: UUID,
    resources: Collection[tuple[str, UUID]],
    *,
    number: int,
    at: datetime,
) -> dict[tuple[str, UUID], VersionRow]:
    """The versions of resources, given by kind and id, that were current at commit `number` of `main`."""
    wanted = listed(resources)
    past = _VERSIONS.alias("past")
    newest = (
        select(past.c.version_id)
        .where(
            past.c.subscription_id == subscription_id,
            past.c.resource_type == wanted.c.kind,
            past.c.resource_id == wanted.c.resource_id,
            past.c.commit_number <= number,
        )
        .order_by(past.c.version_number.desc())
        .limit(1)
        .lateral("newest")
    )
    # A query of its own: if it were joined with the rest, a planner that expects few versions would execute
    # it again for each of them.
    found = tx.execute(select(newest.c.version_id).select_from(wanted.join(newest, true()))).scalars().all()
    of_kinds = any_(literal(sorted({kind for kind, _ in resources}), ARRAY(Text())))
    query = _of_kind(subscription_id, of_kinds, at).where(among(_VERSIONS.c.version_id, found))
    rows = (VersionRow(**row._mapping) for row in tx.execute(query))
    return {(row.resource_type, row.resource_id): row for row in rows}


def _one(tx: Transaction, query: Select[Any]) -> VersionRow | None:
    row = tx.execute(query).one_or_none()
    return None if row is None else VersionRow(**row._mapping)
