"""Versions of a resource: listed, found by any ref, saved and rolled back to."""

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from service.addresses import git_url
from service.callers import Member
from service.committer.change import RollBack, Save, Written
from service.committer.refusals import resource_not_found
from service.context import Context
from service.errors import AmbiguousRef, VersionNotFound
from service.ids import ResourceId, SubscriptionId
from service.kinds import Kind
from service.pages import MAX_NUMBER, Page, Paging, number_position
from service.usecases.documents import canonical, snapshot_bytes, snapshot_of
from sql.database import Transaction
from sql.queries import resources, versions
from sql.queries.versions import VersionRow

RESERVED = frozenset({"current", "published", "previous"})
_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_COMMIT = re.compile(r"[0-9a-fA-F]{7,40}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version's metadata, as lists show it."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionWithData(Version):
    """A version with its definition and whole snapshot."""

    data: dict[str, Any]
    snapshot: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(Version):
    """A version as a write answers it; `unchanged` where the content was equal and none was made."""

    unchanged: bool


@dataclass(frozen=True, slots=True)
class Data:
    """The canonical bytes of a version's snapshot and the commit that is their ETag."""

    content: bytes
    commit: str


def page(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, paging: Paging
) -> Page[Version]:
    """A resource's versions, newest first; raises ResourceNotFound."""
    filters = {"list": "versions", "of": resource_id}
    before = number_position(paging.position(filters))
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        rows = versions.page(
            tx, subscription_id, kind, resource_id, before=before, limit=paging.limit + 1, at=at
        )
        if not rows:
            _check_resource(tx, subscription_id, kind, resource_id, at)
    shown = [_shown(context, subscription_id, row) for row in rows]
    return paging.page(shown, filters, lambda item: [item.version_number])


def get(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, ref: str
) -> VersionWithData:
    """The version that `ref` names, with its content.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef.
    """
    row = _find(context, subscription_id, kind, resource_id, ref)
    snapshot = snapshot_of(context, subscription_id, row.git_blob_id)
    version = _shown(context, subscription_id, row)
    return VersionWithData(**asdict(version), data=snapshot["definition"], snapshot=snapshot)


def data(context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, ref: str) -> Data:
    """The canonical bytes of the version that `ref` names; raises like `get`."""
    row = _find(context, subscription_id, kind, resource_id, ref)
    return Data(snapshot_bytes(context, subscription_id, row.git_blob_id), row.git_commit_hash)


def has(if_none_match: str | None, commit: str) -> bool:
    """Whether a client's `If-None-Match` names that commit."""
    given = [tag.strip().removeprefix("W/").strip('"') for tag in (if_none_match or "").split(",")]
    return commit in given or "*" in given


async def save(
    context: Context,
    author: Member,
    kind: Kind,
    resource_id: UUID,
    *,
    definition: dict[str, Any],
    description: str | None,
    tag: str | None,
) -> Saved:
    """Store the next version; raises ResourceNotFound, ResourceDeleted, CheckedOut, TagTaken."""
    change = Save(
        author=author,
        kind=kind,
        resource_id=ResourceId(resource_id),
        definition=await canonical(definition),
        description=description,
        tag=tag,
    )
    return saved(context, author, await context.committer.submit(change))


def rollback_target(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    ref: str | int,
) -> VersionRow:
    """The version to roll back to; it never changes, so it can be found before the change is queued."""
    return _find(context, subscription_id, kind, resource_id, ref)


async def roll_back(
    context: Context,
    author: Member,
    kind: Kind,
    resource_id: UUID,
    *,
    target: VersionRow,
    comment: str | None,
) -> Saved:
    """Make a version with the target's definition and description; raises like `save`."""
    change = RollBack(
        author=author,
        kind=kind,
        resource_id=ResourceId(resource_id),
        to_number=target.version_number,
        to_commit=target.git_commit_hash,
        to_blob=target.git_blob_id,
        comment=comment,
    )
    return saved(context, author, await context.committer.submit(change))


def saved(context: Context, author: Member, written: Written) -> Saved:
    """A written version as the API answers it."""
    version = _shown(context, author.subscription_id, written.version)
    return Saved(**asdict(version), unchanged=written.unchanged)


def _find(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, ref: str | int
) -> VersionRow:
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        row = _resolve(tx, subscription_id, kind, resource_id, ref, at)
        if row is None:
            _check_resource(tx, subscription_id, kind, resource_id, at)
            raise VersionNotFound(f"The {kind} has no version {ref!r}.")
    return row


def _resolve(
    tx: Transaction,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    ref: str | int,
    at: datetime,
) -> VersionRow | None:
    of = (tx, subscription_id, kind, resource_id)
    if isinstance(ref, int):
        # A JSON number is a version number, whatever commit begins with the same digits.
        return versions.by_number(*of, ref, at=at) if 0 < ref <= MAX_NUMBER else None
    match ref:
        case "published":
            return versions.published(*of, at=at)
        case "current" | "previous":
            current = versions.current(tx, subscription_id, kind, [resource_id], at=at).get(resource_id)
            if ref == "current" or current is None:
                return current
            return versions.by_number(*of, current.version_number - 1, at=at)
    row = None
    if _NUMBER.match(ref):
        row = versions.by_number(*of, int(ref), at=at)
    # Seven digits and more may also begin a commit; the rules for tags keep those apart from both.
    if row is None and _COMMIT.match(ref):
        found = versions.by_commit(*of, ref.lower(), at=at)
        if len(found) > 1:
            raise AmbiguousRef(f"More than one version has a commit that begins with {ref}.")
        row = found[0] if found else None
    elif row is None and "\0" not in ref:
        row = versions.by_tag(*of, ref, at=at)
    return row


def _check_resource(
    tx: Transaction, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, at: datetime
) -> None:
    if resources.get(tx, subscription_id, kind, resource_id, at=at) is None:
        raise resource_not_found(kind, resource_id)


def _shown(context: Context, subscription_id: SubscriptionId, row: VersionRow) -> Version:
    values = {name: getattr(row, name) for name in Version.__dataclass_fields__}
    # The column keeps what it was when written; clients need where it is now.
    return Version(**values | {"git_repo_url": git_url(context.public_url, subscription_id)})
