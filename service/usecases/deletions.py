"""Deletion of resources, softly or for good, its record, and its restore."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from anyio import to_thread

from service.committer.changes import (
    Blobs,
    Delete,
    DeletedPart,
    ForeseenRestore,
    Purge,
    Restore,
    Restored,
    RestoreObstacle,
)
from service.domain.errors import DeletionNotFound, Fault, Invalid
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, time_position
from service.domain.resource_kinds import Kind
from service.usecases import people
from service.usecases.context import Context
from service.usecases.documents import JsonObject, snapshot_of
from service.usecases.references import Warned, warnings_of
from sql.queries import deletions
from sql.queries.deletions import DeletedResource, DeletionFilter, DeletionRow

__all__ = ["DeletionFilter"]


@dataclass(frozen=True, kw_only=True)
class Deletion(DeletedResource):
    """A deleted resource; `counts` counts it and all resources below it that were deleted with it.

    The resource that the call named is the root and has level 0. `can_be_restored` says if it can be restored
    now; `purged_at` is the time at which a softly deleted resource was deleted for good.
    """

    counts: Mapping[str, int]
    deleted_by: UUID
    deleted_by_username: str
    deletion_reason: str | None
    is_soft_delete: bool
    can_be_restored: bool
    restore_expiry_at: datetime | None
    deleted_at: datetime
    git_commit_hash: str
    restored_at: datetime | None
    restored_by: UUID | None
    restored_commit_hash: str | None
    purged_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class DeletionMade(Deletion):
    """A deletion as its call returns it; `warnings` name live workflows whose connector was deleted."""

    warnings: Sequence[Warned]


@dataclass(frozen=True, kw_only=True)
class DeletionWithData(Deletion):
    """A deletion and the resource's snapshot, or None if the caller may not read the purged resource."""

    resource_data: JsonObject | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """The result of a restore, or with `dry_run` the expected result.

    `restored` counts resources by collection. `missing` resources were deleted for good since; `kept` ones
    were restored separately before, and stay unchanged. `blobs` is the result of a comparison with git before
    the deletion.
    """

    deletion_id: UUID
    restored: Mapping[str, int]
    conflicts: Sequence[RestoreObstacle]
    dry_run: bool
    commit: str | None = None
    blobs: Blobs | None = None
    missing: Sequence[DeletedPart] = field(default_factory=tuple)
    kept: Sequence[DeletedPart] = field(default_factory=tuple)


def restore_term(context: Context, days: int | None, *, permanent: bool) -> timedelta:
    """Return for how long a deletion can be restored, if the call asks for so many days.

    Without any it is ANNALS_RESTORE_DAYS. Raises Invalid for days past the operator's maximum, and for any
    days of a deletion for good.
    """
    if days is None:
        return timedelta(days=context.settings.restore_days)
    most = context.settings.longest_restore_days
    if permanent or days > most:
        detail = (
            "a permanent deletion can't be restored" if permanent else f"at most {most} days are possible"
        )
        raise Invalid(f"restore_days: {detail}.", faults=[Fault(detail, parameter="restore_days")])
    return timedelta(days=days)


async def delete(context: Context, change: Delete | Purge) -> DeletionMade:
    """Delete a resource and all below it; raises the errors that the change's class names."""
    done = await context.committer.submit(change)
    warnings: Sequence[Warned] = ()
    if done.connectors and done.deletion.is_soft_delete:
        subscription_id = change.author.subscription_id
        warnings = await to_thread.run_sync(warnings_of, context, subscription_id, done.connectors)
    return DeletionMade(**_values(done.deletion, context.clock()), warnings=warnings)


async def restore(context: Context, change: Restore) -> Restoration:
    """Restore a deletion, or a part of it; raises the errors that the change's class names."""
    done = await context.committer.submit(change)
    return Restoration(
        deletion_id=done.deletion_id,
        restored=done.counts,
        conflicts=done.conflicts if isinstance(done, ForeseenRestore) else (),
        dry_run=isinstance(done, ForeseenRestore),
        commit=done.commit if isinstance(done, Restored) else None,
        blobs=done.blobs if isinstance(done, Restored) else None,
        missing=done.missing,
        kept=done.kept,
    )


def get(
    context: Context, subscription_id: SubscriptionId, deletion_id: UUID, *, purged: bool
) -> DeletionWithData:
    """Read a deletion with the resource's snapshot; a purged resource's snapshot only with `purged`.

    Raises DeletionNotFound.
    """
    with context.database.transaction(subscription_id) as tx:
        row = deletions.get(tx, subscription_id, deletion_id)
    if row is None:
        raise DeletionNotFound(f"There is no deletion {deletion_id} in this subscription.")
    is_purged = row.purged_at is not None or not row.is_soft_delete
    shown = None
    if not is_purged or purged:
        shown = snapshot_of(context, subscription_id, row.git_blob_id).whole
    return DeletionWithData(**_values(row, context.clock()), resource_data=shown)


def page(
    context: Context, subscription_id: SubscriptionId, filters: DeletionFilter, paging: Paging
) -> Page[Deletion]:
    """Deletions that match, newest first."""
    given = {"list": "deletions", "of": subscription_id, **filters.given()}
    before = time_position(paging.position(given))
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        found = people.by_ids(tx, subscription_id, filters, ("deleted_by", "restored_by"))
        rows = deletions.page(tx, subscription_id, found, before=before, limit=paging.limit + 1, at=at)
    items = [Deletion(**_values(row, at)) for row in rows]
    return paging.page(items, given, lambda item: [item.deleted_at.isoformat(), str(item.deletion_id)])


def _values(row: DeletionRow, at: datetime) -> dict[str, Any]:
    """Make the fields of a Deletion as of an instant."""
    values: dict[str, Any] = {
        each.name: getattr(row, each.name) for each in fields(Deletion) if each.name != "counts"
    }
    until = row.restore_expiry_at
    values["can_be_restored"] = row.can_be_restored and until is not None and until > at
    values["counts"] = {kind.collection: values[f"cascaded_{kind.collection}"] for kind in Kind}
    return values
