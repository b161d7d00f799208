"""Deletion of resources, softly or for good, its record, and its restore."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
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
from service.domain import ids
from service.domain.actions import EventOrigin
from service.domain.errors import DeletionNotFound, Invalid
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, time_position
from service.domain.resource_kinds import Kind, spellings
from service.usecases import people
from service.usecases.context import Context
from service.usecases.documents import JsonObject, snapshot_bytes, snapshot_of
from service.usecases.references import Warned, warnings_of
from sql.queries import posted_deletions, trees
from sql.queries.deletions import DeletionRow
from sql.queries.posted_deletions import DeletionFilter, DeletionRead, DeletionWithSource
from sql.queries.trees import PlaceRow

# What only the row of a posted deletion has.
_OF_POSTS = frozenset({"source", "recorded_by", "request_id"})


@dataclass(frozen=True, kw_only=True)
class Deletion(DeletionRead):
    """A deleted resource; `counts` counts it and all resources below it that were deleted with it.

    The resource that the call named is the root and has level 0. `can_be_restored` says if it can be restored
    now; `purged_at` is the time at which a softly deleted resource was deleted for good. Of a deletion that a
    platform posted (`origin`), ids and people are any text, and Annals can't restore it.
    """

    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class DeletionMade(Deletion):
    """A deletion as its call returns it; `warnings` name live workflows whose connector was deleted."""

    warnings: Sequence[Warned]


@dataclass(frozen=True, kw_only=True)
class DeletionWithData(Deletion):
    """A deletion and the resource's snapshot, or None if the caller may not read the purged resource."""

    resource_data: JsonObject | None


@dataclass(frozen=True, kw_only=True)
class DeletionWithText(Deletion):
    """A deletion and the bytes of the resource's document, in lines; None as in DeletionWithData."""

    text: bytes | None


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
        raise Invalid.of("restore_days", detail)
    return timedelta(days=days)


async def delete(context: Context, change: Delete | Purge) -> DeletionMade:
    """Delete a resource and all below it; raises the errors that the change's class names."""
    done = await context.committer.submit(change)
    warnings: Sequence[Warned] = ()
    if done.connectors and done.deletion.is_soft_delete:
        subscription_id = change.author.subscription_id
        warnings = await to_thread.run_sync(warnings_of, context, subscription_id, done.connectors)
    return DeletionMade(**_values(_as_read(done.deletion), context.clock()), warnings=warnings)


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


def look_up(context: Context, subscription_id: SubscriptionId, deletion_id: UUID) -> Deletion:
    """Read a deletion without the resource's snapshot; raises DeletionNotFound."""
    return Deletion(**_values(_find(context, subscription_id, deletion_id).deletion, context.clock()))


def get(
    context: Context, subscription_id: SubscriptionId, deletion_id: UUID, *, purged: bool
) -> DeletionWithData:
    """Read a deletion with the resource's snapshot, or with the data that a platform posted.

    That of a resource deleted for good is read only with `purged`. Raises DeletionNotFound.
    """
    found = _find(context, subscription_id, deletion_id)
    shown = None
    if purged or not _is_purged(found.deletion):
        blob_id = found.git_blob_id
        shown = found.posted_data if blob_id is None else snapshot_of(context, subscription_id, blob_id).whole
    return DeletionWithData(**_values(found.deletion, context.clock()), resource_data=shown)


def get_text(
    context: Context, subscription_id: SubscriptionId, deletion_id: UUID, *, purged: bool
) -> DeletionWithText:
    """Read a deletion like `get`, with the document in lines, as git has it."""
    found = _find(context, subscription_id, deletion_id)
    shown = None
    if purged or not _is_purged(found.deletion):
        if found.git_blob_id is not None:
            shown = snapshot_bytes(context, subscription_id, found.git_blob_id)
        elif found.posted_data is not None:
            shown = orjson.dumps(found.posted_data, option=orjson.OPT_INDENT_2)
    return DeletionWithText(**_values(found.deletion, context.clock()), text=shown)


def _find(context: Context, subscription_id: SubscriptionId, deletion_id: UUID) -> DeletionWithSource:
    with context.database.transaction(subscription_id) as tx:
        found = posted_deletions.get(tx, subscription_id, deletion_id)
    if found is None:
        raise DeletionNotFound(f"There is no deletion {deletion_id} in this subscription.")
    return found


def _is_purged(row: DeletionRead) -> bool:
    return row.purged_at is not None or not row.is_soft_delete


def filter_of(
    *, resource_type: str | None, resource_id: str | None, parent_resource_id: str | None, **given: Any
) -> DeletionFilter:
    """Make a filter that finds ids and types as Annals writes them, and as a platform did."""
    return DeletionFilter(
        **given,
        resource_type=None if resource_type is None else spellings(resource_type),
        resource_id=None if resource_id is None else ids.spellings(resource_id),
        parent_resource_id=None if parent_resource_id is None else ids.spellings(parent_resource_id),
    )


def page(
    context: Context, subscription_id: SubscriptionId, filters: DeletionFilter, paging: Paging
) -> Page[Deletion]:
    """Deletions that match, newest first."""
    given = {"list": "deletions", "of": subscription_id, **filters.given()}
    before = time_position(paging.position(given))
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        found = people.by_ids(tx, subscription_id, filters, ("restored_by", "recorded_by"))
        if isinstance(found.deleted_by, str):
            named = people.texts_of(tx, subscription_id, found.deleted_by, "deleted_by")
            found = replace(found, deleted_by=named)
        rows = posted_deletions.page(tx, subscription_id, found, before=before, limit=paging.limit + 1, at=at)
    items = [Deletion(**_values(row, at)) for row in rows]

    def position(item: Deletion) -> list[str]:
        time = item.occurred_at if filters.by_occurrence else item.deleted_at
        return [time.isoformat(), str(item.deletion_id)]

    return paging.page(items, given, position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Path to the place of a deleted resource, the workspace first: as it was then, and as it is now.

    `now` is empty for a place that was deleted for good.
    """

    then: Sequence[PlaceRow]
    now: Sequence[PlaceRow]

    @property
    def is_as_it_was(self) -> bool:
        """True if nothing above was renamed or moved since."""
        return list(self.then) == list(self.now)


def places(
    context: Context, subscription_id: SubscriptionId, deletions: Sequence[Deletion]
) -> Mapping[UUID, Whereabouts]:
    """Read the place of each deleted resource by the id of its deletion; posted ones have no place here."""
    parents = {
        each.deletion_id: UUID(each.parent_resource_id)
        for each in deletions
        if each.origin == EventOrigin.ANNALS and each.parent_resource_id is not None
    }
    if not parents:
        return {}
    with context.database.transaction(subscription_id) as tx:
        now = trees.paths_above(tx, subscription_id, set(parents.values()))
        then = trees.paths_at_deletion(tx, subscription_id, parents)
    return {
        deletion_id: Whereabouts(then=then.get(deletion_id, ()), now=now.get(parent_id, ()))
        for deletion_id, parent_id in parents.items()
    }


def _as_read(row: DeletionRow) -> DeletionRead:
    """Make what a reader sees of a deletion that Annals has just recorded."""
    names = {each.name for each in fields(DeletionRead)} - {"origin", "occurred_at", *_OF_POSTS}
    parent_id = row.parent_resource_id
    texts = {
        "resource_id": str(row.resource_id),
        "parent_resource_id": None if parent_id is None else str(parent_id),
        "deleted_by": str(row.deleted_by),
    }
    given = {name: getattr(row, name) for name in names} | texts
    return DeletionRead(**given, occurred_at=row.deleted_at, origin=EventOrigin.ANNALS)


def _values(row: DeletionRead, at: datetime) -> dict[str, Any]:
    """Make the fields of a Deletion as of an instant."""
    values: dict[str, Any] = dict(vars(row))
    until = row.restore_expiry_at
    values["can_be_restored"] = row.can_be_restored and until is not None and until > at
    values["counts"] = {kind.collection: values[f"cascaded_{kind.collection}"] for kind in Kind}
    return values
