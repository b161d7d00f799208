"""Deletions: their records, and the rows of resources that are deleted, restored and purged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    delete,
    false,
    insert,
    null,
    select,
    update,
)

from sql import bulk
from sql.database import IDS, OF_SUBSCRIPTION, Transaction, among
from sql.models import TABLES
from sql.models.columns import INSTANT
from sql.pipelines import Command, Query
from sql.queries.resources import TABLE_OF, identity

_DELETIONS, _VERSIONS, _ACTORS = TABLES["deletion_logs"], TABLES["versions"], TABLES["actors"]
_AT = bindparam("at", type_=INSTANT)
# A deletion of Annals. Those that platforms post have no version, and may have the id of any resource.
_OWN = _DELETIONS.c.version_id.is_not(None)


@dataclass(frozen=True, kw_only=True)
class DeletedResource:
    """A deleted resource: the root of a deletion, or a descendant deleted with it.

    The `cascaded_…` fields count the resource itself, and all below it that the same deletion deleted.
    """

    deletion_id: UUID
    root_deletion_id: UUID
    resource_type: str
    resource_id: UUID
    resource_name: str
    parent_resource_type: str | None
    parent_resource_id: UUID | None
    cascade_level: int
    cascaded_workspaces: int
    cascaded_folders: int
    cascaded_jobs: int
    cascaded_workflows: int
    cascaded_jobpackages: int
    cascaded_connectors: int


@dataclass(frozen=True, kw_only=True)
class NewDeletion(DeletedResource):
    """A deletion to be written."""

    deleted_by: UUID
    deletion_reason: str | None
    is_soft_delete: bool
    can_be_restored: bool
    restore_expiry_at: datetime | None
    deleted_at: datetime
    version_id: UUID
    published_version_id: UUID | None
    git_commit_hash: str
    commit_number: int


@dataclass(frozen=True, kw_only=True)
class DeletionRow(NewDeletion):
    """A deletion as recorded; `purged_at` is when the softly deleted resource was deleted for good."""

    deleted_by_username: str
    git_blob_id: str
    restored_at: datetime | None = None
    restored_by: UUID | None = None
    restored_commit_hash: str | None = None
    purged_at: datetime | None = None

    @classmethod
    def of(cls, new: NewDeletion, *, username: str, git_blob_id: str) -> "DeletionRow":
        """Make the row of a new deletion."""
        values = {name: getattr(new, name) for name in _NAMES}
        return cls(**values, deleted_by_username=username, git_blob_id=git_blob_id)


_NAMES = [field.name for field in fields(NewDeletion)]
_GIVEN = bulk.table_of(*(_DELETIONS.c[name] for name in _NAMES))
# The document of each resource is copied from its version inside the database. The versions' ids are not
# given as a list beside the rows: PostgreSQL would sort the list again for each row.
_INSERT = Command(
    insert(_DELETIONS).from_select(
        [*_NAMES, "subscription_id", "resource_data"],
        select(*(_GIVEN.c[name] for name in _NAMES), OF_SUBSCRIPTION, _VERSIONS.c.version_data).join_from(
            _GIVEN,
            _VERSIONS,
            and_(
                _VERSIONS.c.version_id == _GIVEN.c.version_id,
                _VERSIONS.c.subscription_id == OF_SUBSCRIPTION,
            ),
        ),
        include_defaults=False,
    )
)


def insert_rows(tx: Transaction, subscription_id: UUID, rows: Sequence[NewDeletion]) -> None:
    """Add deletions, each with the snapshot that its version has."""
    bulk.execute(tx, _INSERT, rows, of_subscription=subscription_id)


@cache
def _set_deleted(kind: str, *, is_deleted: bool) -> Command:
    table = TABLE_OF[kind]
    return Command(
        update(table)
        .where(table.c.subscription_id == OF_SUBSCRIPTION, identity(kind) == any_(IDS))
        .values(deleted_at=_AT if is_deleted else null())
    )


@cache
def _remove(kind: str) -> Command:
    table = TABLE_OF[kind]
    return Command(
        delete(table).where(table.c.subscription_id == OF_SUBSCRIPTION, identity(kind) == any_(IDS))
    )


def soft_delete(
    tx: Transaction, subscription_id: UUID, ids_by_kind: Mapping[str, Collection[UUID]], *, at: datetime
) -> None:
    """Mark resources as deleted at `at`."""
    for kind, ids in ids_by_kind.items():
        command = _set_deleted(kind, is_deleted=True)
        command.execute(tx, of_subscription=subscription_id, ids=list(ids), at=at)


def restore(tx: Transaction, subscription_id: UUID, ids_by_kind: Mapping[str, Collection[UUID]]) -> None:
    """Mark resources as live; raises UniqueConflict if a live sibling has the name of one of them."""
    for kind, ids in ids_by_kind.items():
        _set_deleted(kind, is_deleted=False).execute(tx, of_subscription=subscription_id, ids=list(ids))


# Each kind before the kinds of its parents.
_INNERMOST_FIRST = ("workflow", "job", "jobpackage", "connector", "folder", "workspace")


def delete_rows(tx: Transaction, subscription_id: UUID, ids_by_kind: Mapping[str, Collection[UUID]]) -> None:
    """Delete the rows of resources. All resources below them have to be given too."""
    for kind in _INNERMOST_FIRST:
        if ids := ids_by_kind.get(kind):
            _remove(kind).execute(tx, of_subscription=subscription_id, ids=list(ids))


_COUNT_CHANGE = Command(
    update(_VERSIONS)
    .where(_VERSIONS.c.subscription_id == OF_SUBSCRIPTION, _VERSIONS.c.version_id == any_(IDS))
    .values(unversioned_changes=_VERSIONS.c.unversioned_changes + 1)
)


def count_changes(tx: Transaction, subscription_id: UUID, version_ids: Collection[UUID]) -> None:
    """Count a data change that made no version, for each resource whose current version is given."""
    if version_ids:
        _COUNT_CHANGE.execute(tx, of_subscription=subscription_id, ids=list(version_ids))


_MARK_RESTORED = Command(
    update(_DELETIONS)
    .where(_DELETIONS.c.subscription_id == OF_SUBSCRIPTION, _DELETIONS.c.deletion_id == any_(IDS))
    .values(
        can_be_restored=false(),
        restored_at=_AT,
        restored_by=bindparam("by", type_=Uuid()),
        restored_commit_hash=bindparam("commit", type_=Text()),
        restored_commit_number=bindparam("number", type_=BigInteger()),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredDeletions:
    """Deletions that one commit restored, wholly or in part."""

    deletion_ids: Collection[UUID]
    by: UUID
    commit: str
    number: int


def mark_restored(tx: Transaction, subscription_id: UUID, done: RestoredDeletions, *, at: datetime) -> None:
    """Record deletions as restored."""
    _MARK_RESTORED.execute(
        tx,
        of_subscription=subscription_id,
        ids=list(done.deletion_ids),
        at=at,
        by=done.by,
        commit=done.commit,
        number=done.number,
    )


_MARK_PURGED = Command(
    update(_DELETIONS)
    .where(
        _DELETIONS.c.subscription_id == OF_SUBSCRIPTION,
        _DELETIONS.c.resource_id == any_(IDS),
        _OWN,
        _DELETIONS.c.is_soft_delete,
        _DELETIONS.c.restored_at.is_(None),
        _DELETIONS.c.purged_at.is_(None),
    )
    .values(can_be_restored=false(), purged_at=_AT)
)


def mark_purged(
    tx: Transaction, subscription_id: UUID, resource_ids: Collection[UUID], *, at: datetime
) -> None:
    """Record the soft deletions of resources as purged."""
    if resource_ids:
        _MARK_PURGED.execute(tx, of_subscription=subscription_id, ids=list(resource_ids), at=at)


def _read() -> Select[Any]:
    joined = {"deleted_by_username", "git_blob_id"}
    return (
        select(
            *(_DELETIONS.c[field.name] for field in fields(DeletionRow) if field.name not in joined),
            _ACTORS.c.username.label("deleted_by_username"),
            _VERSIONS.c.git_blob_id,
        )
        .join(_ACTORS, _ACTORS.c.user_id == _DELETIONS.c.deleted_by)
        .join(_VERSIONS, _VERSIONS.c.version_id == _DELETIONS.c.version_id)
    )


def get(tx: Transaction, subscription_id: UUID, deletion_id: UUID) -> DeletionRow | None:
    """One deletion of Annals; None also for one that a platform posted."""
    query = _read().where(
        _DELETIONS.c.subscription_id == subscription_id, _DELETIONS.c.deletion_id == deletion_id
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else DeletionRow(**row._mapping)


# Compiled once, and read by the driver without SQLAlchemy: a deletion can have thousands of rows.
_OF_ROOT = Query(
    _read()
    .where(
        _DELETIONS.c.subscription_id == OF_SUBSCRIPTION,
        _DELETIONS.c.root_deletion_id == bindparam("root", type_=Uuid()),
    )
    .order_by(_DELETIONS.c.cascade_level, _DELETIONS.c.deletion_id),
    DeletionRow,
)


def has_permanent(tx: Transaction, subscription_id: UUID) -> bool:
    """True if anything was deleted for good in a subscription."""
    c = _DELETIONS.c
    query = select(c.deletion_id).where(c.subscription_id == subscription_id, ~c.is_soft_delete, _OWN)
    return tx.execute(query.limit(1)).one_or_none() is not None


def of_root(tx: Transaction, subscription_id: UUID, root_deletion_id: UUID) -> list[DeletionRow]:
    """The records of one deletion, a parent before its children."""
    return _OF_ROOT.send(tx, of_subscription=subscription_id, root=root_deletion_id)()


def versions_of(tx: Transaction, subscription_id: UUID, deletion_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The versions that were current when resources were deleted, by deletion."""
    if not deletion_ids:
        return {}
    c = _DELETIONS.c
    query = select(c.deletion_id, c.version_id).where(
        c.subscription_id == subscription_id, among(c.deletion_id, deletion_ids), _OWN
    )
    return {row.deletion_id: row.version_id for row in tx.execute(query)}
