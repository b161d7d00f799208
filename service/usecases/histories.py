"""A resource's history as people read it: why, who and when, the state now, and what lies in the resource."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.committer.refusals import resource_not_found
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, number_position
from service.domain.resource_kinds import Kind
from service.usecases import people
from service.usecases.context import Context
from service.usecases.documents import found_snapshot
from service.usecases.trees import path_to
from sql.database import Transaction
from sql.queries import histories, trees
from sql.queries.histories import DeletionOf, LineRow, StateRow
from sql.queries.trees import KINDS_IN, NodeRow, PlaceRow
from sql.queries.versions import VersionFilter

# Resources in a folder, job or workspace that its history shows beside it.
INSIDE = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """A resource now, and the path down to it; `deletion` if it is deleted."""

    state: StateRow
    path: Sequence[PlaceRow]
    deletion: DeletionOf | None


@dataclass(frozen=True, slots=True)
class History:
    """A page of a resource's versions beside the resource now.

    `inside` are the first INSIDE resources that lie in it, and `has_more_inside` tells if there are others.
    """

    standing: Standing
    page: Page[LineRow]
    inside: Sequence[NodeRow]
    has_more_inside: bool


def read(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    narrow: Mapping[str, Any],
    paging: Paging,
    *,
    purged: bool,
) -> History:
    """Read a page of the history of a resource; raises ResourceNotFound.

    `narrow` is that of `versions.page`; with `purged`, purged resources are read, too.
    """
    filters = {"list": "history", "of": resource_id, **narrow}
    before = number_position(paging.position(filters))
    fields = dict(narrow)
    author = fields.pop("author", None)
    with context.database.transaction(subscription_id) as tx:
        found = standing(context, tx, subscription_id, kind, resource_id, purged=purged)
        if author is not None:
            fields["authors"] = people.ids_of(tx, subscription_id, author, "author")
        rows = histories.page(
            tx,
            subscription_id,
            kind,
            resource_id,
            VersionFilter(**fields),
            before=before,
            limit=paging.limit + 1,
        )
        inside = _inside(context, tx, subscription_id, kind, resource_id)
    page = paging.page(rows, filters, lambda row: [row.version_number])
    return History(found, page, inside[:INSIDE], len(inside) > INSIDE)


def standing(
    context: Context,
    tx: Transaction,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    *,
    purged: bool,
) -> Standing:
    """Read how a resource is now; raises ResourceNotFound, for a purged one unless `purged` is set."""
    state = histories.state(tx, subscription_id, kind, resource_id, at=context.clock())
    if state is None or (state.is_purged and not purged):
        raise resource_not_found(kind, resource_id)
    is_gone = state.is_purged or state.deleted_at is not None
    deletion = histories.last_deletion(tx, subscription_id, kind, resource_id) if is_gone else None
    return Standing(state, path_to(tx, subscription_id, state.parent_id), deletion)


def small_documents(
    context: Context, subscription_id: SubscriptionId, blob_ids: Collection[str], *, most_bytes: int
) -> dict[str, bytes]:
    """Read documents by their blobs, until they have so many bytes together; large ones are left out."""
    found: dict[str, bytes] = {}
    read_bytes = 0
    for blob_id in dict.fromkeys(blob_ids):
        if read_bytes > most_bytes:
            break
        blob = found_snapshot(context, subscription_id, blob_id)
        if isinstance(blob, bytes):
            found[blob_id] = blob
            read_bytes += len(blob)
    return found


def _inside(
    context: Context, tx: Transaction, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID
) -> Sequence[NodeRow]:
    if kind not in KINDS_IN:
        return []
    root = (kind, resource_id)
    return trees.below(tx, subscription_id, root, after=None, limit=INSIDE + 1, at=context.clock())
