"""References between resources: the connectors that a workflow names, and the workflows that name one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

import orjson

from gitstore.read.blob_reader import Blob, content_of
from service.committer.refusals import resource_not_found
from service.domain import ids
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, number_position, uuid_position
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from service.usecases.documents import found_snapshot
from sql.queries import references, resources

FIELD = "connector_id"
# Limits of one page: searching a workflow of 7 KB takes PostgreSQL 0.08 ms, a larger one in proportion to its
# stored size.
MAX_SCANNED = 1_000
MAX_SCANNED_BYTES = 8 * 1024 * 1024
# Limits of one deletion: workflows searched, and workflows named in a warning.
MAX_SEARCHED = 20_000
MAX_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One end of a reference; `resource_id` is the text in the definition, and may name no live resource."""

    resource_type: str
    resource_id: str
    resource_name: str | None
    is_live: bool


@dataclass(frozen=True, slots=True)
class Referring:
    """A workflow that names a connector."""

    resource_id: UUID
    resource_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A warning of a deletion: `connector_referenced`, or `references_not_searched` for too many workflows.

    `referenced_by` names some of the referring workflows, `references` counts all of them.
    """

    code: str
    detail: str
    resource_type: str | None = None
    resource_id: UUID | None = None
    resource_name: str | None = None
    referenced_by: Sequence[Referring] = ()
    references: int = 0


def page(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, paging: Paging
) -> Page[Reference]:
    """List the connectors that a workflow names, or the workflows that name a connector.

    Other kinds have no references. Raises ResourceNotFound. A page of workflows may be short, or empty, if
    few name the connector: the next cursor continues.
    """
    with context.database.transaction(subscription_id) as tx:
        row = resources.get(tx, subscription_id, kind, resource_id, at=context.clock())
    if row is None:
        raise resource_not_found(kind, resource_id)
    filters = {"list": "references", "of": resource_id}
    match kind:
        case Kind.WORKFLOW:
            # The cursor is bound to this version: its position means nothing in the list of the next version.
            filters["at"] = row.git_blob_id
            snapshot = found_snapshot(context, subscription_id, row.git_blob_id)
            named = context.documents.run(len(snapshot), _named_in, snapshot)
            return _connectors(context, subscription_id, named, paging, filters)
        case Kind.CONNECTOR:
            return _workflows(context, subscription_id, resource_id, paging, filters)
        case _:
            paging.position(filters)
            return Page([], None)


def warnings_of(
    context: Context, subscription_id: SubscriptionId, deleted: Mapping[UUID, str]
) -> list[Warned]:
    """Warn of deleted connectors that live workflows still name; `deleted` has their names by id.

    Searches at most MAX_SEARCHED workflows, the newest first; if there are more, one warning says so.
    """
    naming: dict[str, list[Referring]] = {}
    before, searched, saw_all = None, 0, False
    while not saw_all and searched < MAX_SEARCHED:
        with context.database.transaction(subscription_id) as tx:
            scanned = references.scan_workflows(
                tx, subscription_id, deleted, before=before, most=MAX_SCANNED, most_bytes=MAX_SCANNED_BYTES
            )
        looked_into = [row for row in scanned if row.named is not None]
        for row in looked_into:
            for text in set(row.named or ()):
                naming.setdefault(text, []).append(Referring(row.resource_id, row.resource_name))
        searched += len(looked_into)
        saw_all = len(looked_into) == len(scanned) < MAX_SCANNED
        before = looked_into[-1].resource_id if looked_into else None
    warned = [
        Warned(
            code="connector_referenced",
            detail=f"{len(found)} live workflow(s) name the deleted connector {deleted[UUID(text)]!r}.",
            resource_type=Kind.CONNECTOR,
            resource_id=UUID(text),
            resource_name=deleted[UUID(text)],
            referenced_by=found[:MAX_NAMED],
            references=len(found),
        )
        for text, found in sorted(naming.items())
    ]
    if not saw_all:
        detail = f"Only the newest {searched} workflows were searched for the deleted connectors."
        warned.append(Warned(code="references_not_searched", detail=detail))
    return warned


def _connectors(
    context: Context,
    subscription_id: SubscriptionId,
    named: Sequence[str],
    paging: Paging,
    filters: dict[str, Any],
) -> Page[Reference]:
    first = number_position(paging.position(filters)) or 0
    shown = named[first : first + paging.limit + 1]
    by_text = {text: found for text in shown if (found := ids.parse(text)) is not None}
    with context.database.transaction(subscription_id) as tx:
        live = references.live_connectors(tx, subscription_id, by_text.values())
    names = {str(connector_id): name for connector_id, name in live.items()}
    items = [
        Reference(
            resource_type=Kind.CONNECTOR,
            resource_id=text,
            resource_name=names.get(text),
            is_live=text in names,
        )
        for text in shown
    ]
    return paging.page(items, filters, lambda _: [first + paging.limit])


def _named_in(snapshot: Blob) -> list[str]:
    """List the texts that a snapshot's definition names as connectors, each once, in the order of pages."""
    return sorted(set(_named(orjson.loads(content_of(snapshot))["definition"])), reverse=True)


def _named(definition: dict[str, Any]) -> Iterator[str]:
    """Yield the texts of all `connector_id` fields in a definition."""
    waiting: list[Any] = [definition]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            named = value.get(FIELD)
            if isinstance(named, str):
                yield named
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _workflows(
    context: Context,
    subscription_id: SubscriptionId,
    connector_id: UUID,
    paging: Paging,
    filters: dict[str, Any],
) -> Page[Reference]:
    before = uuid_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        scanned = references.scan_workflows(
            tx,
            subscription_id,
            [connector_id],
            before=before,
            most=MAX_SCANNED,
            most_bytes=MAX_SCANNED_BYTES,
        )
    looked_into = [row for row in scanned if row.named is not None]
    naming = list(islice((row for row in scanned if row.named), paging.limit + 1))
    items = [
        Reference(
            resource_type=Kind.WORKFLOW,
            resource_id=str(row.resource_id),
            resource_name=row.resource_name,
            is_live=True,
        )
        for row in naming
    ]
    saw_all = len(looked_into) == len(scanned) < MAX_SCANNED
    if len(items) <= paging.limit and not saw_all:
        return paging.page_to(items, filters, [str(looked_into[-1].resource_id)])
    return paging.page(items, filters, lambda item: [item.resource_id])
