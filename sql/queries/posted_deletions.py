"""Deletions as their readers see them: those of Annals, and those that platforms post."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, and_, case, cast, func, or_, select, tuple_

from sql import bulk
from sql.database import OF_SUBSCRIPTION, Transaction
from sql.log_reading import between, matching, occurrence
from sql.log_windows import LogFilter, OneOf, People
from sql.models import TABLES

_DELETIONS, _VERSIONS, _ACTORS = TABLES["deletion_logs"], TABLES["versions"], TABLES["actors"]
_C = _DELETIONS.c


@dataclass(frozen=True, kw_only=True)
class PostedDeletion:
    """A deletion that a platform posts, to be written: its ids and its person are any text."""

    deletion_id: UUID
    deleted_at: datetime
    occurred_at: datetime | None
    resource_type: str
    reported_resource_id: str
    resource_name: str | None
    resource_data: dict[str, Any] | None
    parent_resource_type: str | None
    reported_parent_id: str | None
    cascade_level: int
    cascaded_workspaces: int
    cascaded_folders: int
    cascaded_jobs: int
    cascaded_workflows: int
    cascaded_jobpackages: int
    cascaded_connectors: int
    reported_deleted_by: str | None
    deletion_reason: str | None
    is_soft_delete: bool
    can_be_restored: bool = False
    restore_expiry_at: datetime | None
    source: str | None
    recorded_by: UUID | None
    request_id: str | None


@dataclass(frozen=True, kw_only=True)
class DeletionRead:
    """A deletion as recorded; `origin` is posted for one that a platform posted, which has no commit.

    `purged_at` is when the softly deleted resource was deleted for good. `recorded_by` and `request_id` are
    those of the post.
    """

    deletion_id: UUID
    root_deletion_id: UUID | None
    resource_type: str
    resource_id: str
    resource_name: str | None
    parent_resource_type: str | None
    parent_resource_id: str | None
    cascade_level: int
    cascaded_workspaces: int
    cascaded_folders: int
    cascaded_jobs: int
    cascaded_workflows: int
    cascaded_jobpackages: int
    cascaded_connectors: int
    deleted_by: str | None
    deleted_by_username: str | None
    deletion_reason: str | None
    is_soft_delete: bool
    can_be_restored: bool
    restore_expiry_at: datetime | None
    deleted_at: datetime
    git_commit_hash: str | None
    restored_at: datetime | None
    restored_by: UUID | None
    restored_commit_hash: str | None
    purged_at: datetime | None
    occurred_at: datetime
    origin: str
    source: str | None = None
    recorded_by: UUID | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeletionWithSource:
    """A deletion, and where its resource's data is: in a blob of git, or as a platform posted it."""

    deletion: DeletionRead
    git_blob_id: str | None
    posted_data: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionFilter(LogFilter):
    """The filter of a page; its times are those of the arrival, or of the deletions themselves.

    `restorable` is as of the time of the call. `name_part` is in the name, without regard to case.
    """

    name_part: str | None = None
    restorable: bool | None = None
    resource_type: tuple[str, ...] | None = None
    resource_id: tuple[str, ...] | None = None
    root_deletion_id: UUID | None = None
    parent_resource_id: tuple[str, ...] | None = None
    version_id: UUID | None = None
    cascade_level: int | None = None
    deleted_by: OneOf[str] | None = None
    restored_by: People | None = None
    recorded_by: People | None = None
    origin: str | None = None
    source: str | None = None


_NAMES = [field.name for field in fields(PostedDeletion)]
_INSERT = bulk.insertion(_DELETIONS, *_NAMES, subscription_id=OF_SUBSCRIPTION)


def insert_rows(tx: Transaction, subscription_id: UUID, rows: Sequence[PostedDeletion]) -> None:
    """Add posted deletions."""
    bulk.execute(tx, _INSERT, rows, of_subscription=subscription_id)


def is_posted(tx: Transaction, subscription_id: UUID, deletion_id: UUID) -> bool:
    """Tell if a platform posted this deletion."""
    query = select(_C.deletion_id).where(
        _C.subscription_id == subscription_id, _C.deletion_id == deletion_id, _C.version_id.is_(None)
    )
    return tx.execute(query).one_or_none() is not None


_OCCURRENCE = occurrence(_DELETIONS, "deleted_at")
_COMPUTED: dict[str, ColumnElement[Any]] = {
    "resource_id": func.coalesce(_C.reported_resource_id, cast(_C.resource_id, Text())),
    "parent_resource_id": func.coalesce(_C.reported_parent_id, cast(_C.parent_resource_id, Text())),
    "deleted_by": func.coalesce(_C.reported_deleted_by, cast(_C.deleted_by, Text())),
    "deleted_by_username": _ACTORS.c.username,
    "occurred_at": _OCCURRENCE,
}
_COLUMNS = [
    _COMPUTED[field.name].label(field.name) if field.name in _COMPUTED else _C[field.name]
    for field in fields(DeletionRead)
]


def _read() -> Select[Any]:
    return select(*_COLUMNS).outerjoin(_ACTORS, _ACTORS.c.user_id == _C.deleted_by)


def get(tx: Transaction, subscription_id: UUID, deletion_id: UUID) -> DeletionWithSource | None:
    """Read one deletion, and where its resource's data is."""
    # The document of Annals' own deletions is read from git.
    data = case((_C.version_id.is_(None), _C.resource_data)).label("posted_data")
    query = (
        _read()
        .add_columns(_VERSIONS.c.git_blob_id, data)
        .outerjoin(_VERSIONS, _VERSIONS.c.version_id == _C.version_id)
        .where(_C.subscription_id == subscription_id, _C.deletion_id == deletion_id)
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    values = dict(row._mapping)
    blob_id, posted_data = values.pop("git_blob_id"), values.pop("posted_data")
    return DeletionWithSource(DeletionRead(**values), blob_id, posted_data)


def page(
    tx: Transaction,
    subscription_id: UUID,
    filters: DeletionFilter,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
    at: datetime,
) -> list[DeletionRead]:
    """At most `limit` deletions older than the position `before`, newest first."""
    time = _OCCURRENCE if filters.by_occurrence else _C.deleted_at
    chosen = select(_C.deletion_id).where(_C.subscription_id == subscription_id)
    can = and_(_C.can_be_restored, _C.restore_expiry_at > at)
    special: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "restorable": lambda wanted: can if wanted else ~can,
        "name_part": lambda part: _C.resource_name.icontains(part, autoescape=True),
        "resource_type": _C.resource_type.in_,
        "resource_id": partial(_named, _C.resource_id, _C.reported_resource_id),
        "parent_resource_id": partial(_named, _C.parent_resource_id, _C.reported_parent_id),
        "deleted_by": partial(_named, _C.deleted_by, _C.reported_deleted_by),
        "restored_by": _C.restored_by.in_,
        "recorded_by": _C.recorded_by.in_,
    }
    chosen = chosen.where(*matching(_C, filters, special), *between(time, filters))
    position = (time, _C.deletion_id)
    if before is not None:
        chosen = chosen.where(tuple_(*position) < before)
    newest_first = [column.desc() for column in position]
    # The rows of the page are found before they are joined. PostgreSQL, which has no statistics of a large
    # deletion at first, would join all of its rows with their versions.
    chosen = chosen.order_by(*newest_first).limit(limit).correlate(None)
    rows = tx.execute(_read().where(_C.deletion_id.in_(chosen)).order_by(*newest_first))
    return [DeletionRead(**row._mapping) for row in rows]


def _named(
    own: ColumnElement[UUID], reported: ColumnElement[str], texts: Sequence[str]
) -> ColumnElement[bool]:
    """Make the condition that a row has one of these ids: in Annals, or as a platform reports it."""
    ids = [each for text in texts if (each := _uuid(text)) is not None]
    found = reported.in_(texts)
    return or_(own.in_(ids), found) if ids else found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
