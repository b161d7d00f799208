"""Resources of the six kinds: made, read and listed alike."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from service.callers import Member
from service.committer.change import Create
from service.committer.refusals import resource_not_found
from service.context import Context
from service.errors import Fault, Invalid
from service.idempotency import Attempt
from service.ids import ResourceId, SubscriptionId, mint
from service.kinds import PLACE_FIELDS, Kind, Place
from service.pages import Page, Paging, uuid_position
from service.usecases.documents import definition_of
from sql.queries import resources
from sql.queries.resources import ResourceRead


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSummary:
    """A resource as lists show it, without its body."""

    resource_type: str
    resource_id: UUID
    name: str
    description: str | None
    parent_id: UUID | None
    workspace_id: UUID
    current_version: int
    git_commit_hash: str
    checked_out_by: UUID | None
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(ResourceSummary):
    """A resource with the definition of its current version."""

    definition: dict[str, Any]


async def create(
    context: Context,
    author: Member,
    kind: Kind,
    *,
    name: str,
    description: str | None,
    place: Place,
    definition: bytes,
    once: Attempt | None,
) -> Resource:
    """Make a resource and commit its version 1; `definition` is in canonical bytes.

    Raises ParentNotFound, ResourceDeleted, NameTaken.
    """
    change = Create(
        author=author,
        once=once,
        kind=kind,
        resource_id=ResourceId(mint()),
        name=name,
        description=description,
        place=place,
        definition=definition,
    )
    written = await context.committer.submit(change)
    row, version = written.resource, written.version
    return Resource(
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        name=row.name,
        description=row.description,
        parent_id=row.parent_id,
        workspace_id=row.workspace_id,
        current_version=version.version_number,
        git_commit_hash=version.git_commit_hash,
        checked_out_by=None,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deleted_at=None,
        definition=orjson.loads(definition),
    )


def get(context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID) -> Resource:
    """One resource, deleted or not; raises ResourceNotFound."""
    with context.database.transaction(subscription_id) as tx:
        row = resources.get(tx, subscription_id, kind, resource_id, at=context.clock())
    if row is None:
        raise resource_not_found(kind, resource_id)
    definition = definition_of(context, subscription_id, row.git_blob_id)
    summary = _summary(row)
    return Resource(
        **{name: getattr(summary, name) for name in ResourceSummary.__dataclass_fields__},
        definition=definition,
    )


def page(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    paging: Paging,
    *,
    place: Place,
    name: str | None,
    include_deleted: bool,
) -> Page[ResourceSummary]:
    """Resources of a kind, narrowed by parent and name, newest first.

    Raises Invalid for a parent that the kind does not have.
    """
    unknown = sorted(place.ids().keys() - PLACE_FIELDS[kind])
    if unknown:
        faults = [Fault(f"{kind.collection} have no {field}", parameter=field) for field in unknown]
        raise Invalid(f"{faults[0].parameter}: {faults[0].detail}.", faults=faults)
    filters = {
        "list": kind,
        "of": subscription_id,
        "place": place.ids(),
        "name": name,
        "include_deleted": include_deleted,
    }
    before = uuid_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        rows = resources.page(
            tx,
            subscription_id,
            kind,
            place.ids(),
            name=name,
            include_deleted=include_deleted,
            before=before,
            limit=paging.limit + 1,
            at=context.clock(),
        )
    return paging.page([_summary(row) for row in rows], filters, lambda item: [str(item.resource_id)])


def _summary(row: ResourceRead) -> ResourceSummary:
    return ResourceSummary(**{name: getattr(row, name) for name in ResourceSummary.__dataclass_fields__})
