"""Resources of the six kinds: creation, change, reading and lists."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from anyio import to_thread

from service.committer.changes import Amend, Create, Written
from service.committer.refusals import resource_not_found
from service.domain import ids
from service.domain.errors import Fault, Invalid
from service.domain.ids import SubscriptionId
from service.domain.names import comparable
from service.domain.pagination import Page, Paging, uuid_position
from service.domain.resource_kinds import PLACE_FIELDS, Kind, Place
from service.usecases.context import Context
from service.usecases.documents import JsonObject, definition_of, shown_definition
from sql.queries import resources
from sql.queries.resources import ResourceRead, ResourceRow


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

    definition: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Resource):
    """A resource as an update returns it; `unchanged` if no version was made."""

    unchanged: bool


async def create(context: Context, change: Create) -> Resource:
    """Make a resource and commit its version 1; raises the errors that the change's class names."""
    written = await context.committer.submit(change)
    return Resource(**_written(written), definition=await shown_definition(context, change.definition))


async def amend(context: Context, change: Amend) -> Changed:
    """Store a new name, description or parent as the next version.

    Raises the errors that the change's class names.
    """
    written = await context.committer.submit(change)
    definition = await to_thread.run_sync(
        definition_of, context, change.author.subscription_id, written.version.git_blob_id
    )
    return Changed(**_written(written), definition=definition, unchanged=written.unchanged)


def get(context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID) -> Resource:
    """One resource, deleted or not; raises ResourceNotFound."""
    with context.database.transaction(subscription_id) as tx:
        row = resources.get(tx, subscription_id, kind, resource_id, at=context.clock())
    if row is None:
        raise resource_not_found(kind, resource_id)
    definition = definition_of(context, subscription_id, row.git_blob_id)
    summary = summary_of(row)
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
            # A row from before 0.4.0 may have the name as it was given, another one has its stored form.
            names=() if name is None else {name, comparable(name)},
            include_deleted=include_deleted,
            before=before,
            limit=paging.limit + 1,
            at=context.clock(),
        )
    return paging.page([summary_of(row) for row in rows], filters, lambda item: [str(item.resource_id)])


def summary_of(row: ResourceRead) -> ResourceSummary:
    """Make what lists show of a resource."""
    return ResourceSummary(**{name: getattr(row, name) for name in ResourceSummary.__dataclass_fields__})


def _written(written: Written) -> dict[str, Any]:
    """Make the fields of a ResourceSummary from the result of a change."""
    row, version = written.resource, written.version
    names = ResourceRow.__dataclass_fields__.keys() & ResourceSummary.__dataclass_fields__.keys()
    return {name: getattr(row, name) for name in names} | {
        "current_version": version.version_number,
        "git_commit_hash": version.git_commit_hash,
        "checked_out_by": version.checked_out_by,
    }


def existing(
    context: Context, subscription_id: SubscriptionId, named: Iterable[tuple[str, str | None]]
) -> set[tuple[str, str]]:
    """Return those of some kinds and ids that are of a resource which is there, deleted or not.

    Kinds and ids may be any text. A resource that was deleted for good is not there.
    """
    wanted: dict[str, dict[UUID, str]] = defaultdict(dict)
    for kind, text in named:
        found = ids.parse(text or "")
        if kind in tuple(Kind) and found is not None:
            wanted[kind][found] = text or ""
    if not wanted:
        return set()
    with context.database.transaction(subscription_id) as tx:
        there = resources.existing(tx, subscription_id, wanted)
    return {(kind, text) for kind, texts in wanted.items() for each, text in texts.items() if each in there}
