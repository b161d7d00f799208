"""Versions of a resource: lists, reading by any ref, and writing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from service.committer.changes import CheckIn, Save, SetPublished, SetTag, Written
from service.committer.refusals import resource_deleted, resource_not_found, version_not_found
from service.domain import version_refs
from service.domain.errors import ResourceNotFound, VersionNotFound
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, number_position
from service.domain.resource_kinds import Kind
from service.runtime.settings import git_url
from service.usecases import people
from service.usecases.context import Context
from service.usecases.documents import JsonObject, snapshot_bytes, snapshot_of
from sql.database import Transaction
from sql.pipelines import Later
from sql.queries import as_of, resources, tags, versions
from sql.queries.resources import ResourceRow
from sql.queries.versions import Traced, VersionColumns, VersionRow


@dataclass(frozen=True, kw_only=True)
class Version(VersionColumns):
    """A version's metadata, as lists show it."""


@dataclass(frozen=True, kw_only=True)
class VersionWithData(Version):
    """A version with its definition and whole snapshot."""

    data: JsonObject
    snapshot: JsonObject


@dataclass(frozen=True, kw_only=True)
class Saved(Version):
    """A version as a write returns it; `unchanged` if the content was equal and no version was made."""

    unchanged: bool


@dataclass(frozen=True, slots=True)
class Data:
    """The canonical bytes of a version's snapshot, and its commit, which is their ETag."""

    content: bytes
    commit: str


@contextmanager
def reading(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, *, purged: bool
) -> Iterator[Transaction]:
    """Open a transaction that reads a resource's history; with `purged`, also of a purged resource.

    Raises ResourceNotFound.
    """
    asked: list[Later[Traced]] = []

    def send(tx: Transaction) -> None:
        query = versions.trace(kind)
        asked.append(query.send(tx, of_subscription=subscription_id, ids=[resource_id]))

    with context.database.transaction(subscription_id, first=send) as tx:
        found = asked[0]()
        if not found or (found[0].is_purged and not purged):
            raise resource_not_found(kind, resource_id)
        yield tx


def can_be_read(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, *, purged: bool
) -> bool:
    """Tell if a resource has a history that the caller may read."""
    try:
        with reading(context, subscription_id, kind, resource_id, purged=purged):
            return True
    except ResourceNotFound:
        return False


def page(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    narrow: Mapping[str, Any],
    paging: Paging,
    *,
    purged: bool,
) -> Page[Version]:
    """List the versions of a resource that match `narrow`, newest first; raises ResourceNotFound.

    `narrow` is that of `people.version_filter`.
    """
    filters = {"list": "versions", "of": resource_id, **narrow}
    before = number_position(paging.position(filters))
    at = context.clock()
    with reading(context, subscription_id, kind, resource_id, purged=purged) as tx:
        rows = versions.page(
            tx,
            subscription_id,
            kind,
            resource_id,
            people.version_filter(tx, subscription_id, narrow),
            before=before,
            limit=paging.limit + 1,
            at=at,
        )
    items = [shown(context, subscription_id, row) for row in rows]
    return paging.page(items, filters, lambda item: [item.version_number])


def number_at(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    moment: datetime,
    *,
    purged: bool,
) -> int:
    """Number of the version that was current at a moment; raises ResourceNotFound, VersionNotFound."""
    with reading(context, subscription_id, kind, resource_id, purged=purged) as tx:
        commit = as_of.last_commit(tx, subscription_id, moment)
        number = 0 if commit is None else commit.commit_number
        only = (str(kind), resource_id)
        found = versions.as_of(tx, subscription_id, [only], number=number, at=context.clock())
    if not found:
        raise VersionNotFound(f"The {kind} had no version yet at {moment.isoformat()}.")
    return found[only].version_number


def look_up(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    ref: str,
    *,
    purged: bool,
) -> Version:
    """Read the metadata of the version that `ref` names; raises like `get`."""
    return shown(
        context, subscription_id, _find(context, subscription_id, kind, resource_id, ref, purged=purged)
    )


def tagged(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, tag: str
) -> Version | None:
    """Read the version that has a tag, or one that differs from it in case alone; None if none has it."""
    with context.database.transaction(subscription_id) as tx:
        version_id = tags.owner(tx, subscription_id, kind, resource_id, tag)
        if version_id is None:
            return None
        (row,) = versions.by_ids(tx, subscription_id, kind, [version_id], at=context.clock())
    return shown(context, subscription_id, row)


def get(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    ref: str,
    *,
    purged: bool,
) -> VersionWithData:
    """The version that `ref` names, with its content.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef.
    """
    row = _find(context, subscription_id, kind, resource_id, ref, purged=purged)
    snapshot = snapshot_of(context, subscription_id, row.git_blob_id)
    values = _values(context, subscription_id, row)
    return VersionWithData(**values, data=snapshot.definition, snapshot=snapshot.whole)


def data(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    ref: str,
    *,
    purged: bool,
) -> Data:
    """The canonical bytes of the version that `ref` names; raises like `get`."""
    row = _find(context, subscription_id, kind, resource_id, ref, purged=purged)
    return Data(snapshot_bytes(context, subscription_id, row.git_blob_id), row.git_commit_hash)


async def write(context: Context, change: Save | CheckIn | SetTag | SetPublished) -> Saved:
    """Write a change of one resource; returns the new version, or the unchanged one.

    Raises the errors that the change's class names.
    """
    return saved(context, change.author.subscription_id, await context.committer.submit(change))


def saved(context: Context, subscription_id: SubscriptionId, written: Written) -> Saved:
    """Make a Saved from the result of a change."""
    return Saved(**_values(context, subscription_id, written.version), unchanged=written.unchanged)


def find(
    tx: Transaction,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    ref: str | int,
    at: datetime,
) -> VersionRow:
    """Find the version of an existing resource that `ref` names; raises VersionNotFound, AmbiguousRef."""
    row = version_refs.resolve(tx, subscription_id, kind, resource_id, ref, at)
    if row is None:
        raise version_not_found(kind, ref)
    return row


def lock_resource(
    tx: Transaction, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID
) -> ResourceRow:
    """Lock a resource's row, deleted or not, until the transaction ends; raises ResourceNotFound."""
    row = resources.lock(tx, subscription_id, kind, [resource_id]).get(resource_id)
    if row is None:
        raise resource_not_found(kind, resource_id)
    return row


def lock_live_resource(
    tx: Transaction, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID
) -> ResourceRow:
    """Lock a live resource's row until the transaction ends; raises ResourceNotFound, ResourceDeleted."""
    row = lock_resource(tx, subscription_id, kind, resource_id)
    if row.deleted_at is not None:
        raise resource_deleted(kind)
    return row


def shown(context: Context, subscription_id: SubscriptionId, row: VersionRow) -> Version:
    """Make a version's metadata from its row."""
    return Version(**_values(context, subscription_id, row))


def _values(context: Context, subscription_id: SubscriptionId, row: VersionRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in Version.__dataclass_fields__}
    # The column has the URL at the time of writing; clients need the current URL.
    values["git_repo_url"] = git_url(context.public_url, subscription_id)
    return values


def _find(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    ref: str,
    *,
    purged: bool,
) -> VersionRow:
    with reading(context, subscription_id, kind, resource_id, purged=purged) as tx:
        return find(tx, subscription_id, kind, resource_id, ref, context.clock())
