"""A resource's history as people read it: why, who and when, the state now, and what lies in the resource."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from gitstore.read.blob_reader import Blob, content_of
from gitstore.store import snapshot_path
from service.committer.refusals import resource_not_found
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, number_position
from service.domain.resource_kinds import Kind
from service.usecases import people
from service.usecases.comments import Comment, of_version
from service.usecases.context import Context
from service.usecases.documents import found_snapshot
from service.usecases.trees import path_to
from service.usecases.versions import find
from sql.database import Transaction
from sql.queries import histories, trees
from sql.queries.histories import DeletionOf, LineRow, StateRow
from sql.queries.trees import KINDS_IN, NodeRow, PlaceRow
from sql.queries.versions import VersionRow

Drawing = TypeVar("Drawing")
# Blobs of a document before and after a change; None before the first version.
Pair = tuple[str | None, str]
# Tells in few words what differs between two documents.
Summarize = Callable[[bytes | None, bytes], str]
# Resources in a folder, job or workspace that its history shows beside it.
INSIDE = 20
# Documents read for the summaries of one page.
MAX_SUMMARIZED_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class ShownResource:
    """A resource now, and the path down to it; `deletion` if it is deleted."""

    state: StateRow
    path: Sequence[PlaceRow]
    deletion: DeletionOf | None


@dataclass(frozen=True, slots=True)
class ShownHistory:
    """A page of a resource's versions beside the resource now.

    `inside` are the first INSIDE resources that lie in it, and `has_more_inside` tells if there are others.
    """

    standing: ShownResource
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
) -> ShownHistory:
    """Read a page of the history of a resource; raises ResourceNotFound.

    `narrow` is that of `people.version_filter`; with `purged`, purged resources are read, too.
    """
    filters = {"list": "history", "of": resource_id, **narrow}
    before = number_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        found = standing(context, tx, subscription_id, kind, resource_id, purged=purged)
        rows = histories.page(
            tx,
            subscription_id,
            kind,
            resource_id,
            people.version_filter(tx, subscription_id, narrow),
            before=before,
            limit=paging.limit + 1,
        )
        inside = _inside(context, tx, subscription_id, kind, resource_id)
    page = paging.page(rows, filters, lambda row: [row.version_number])
    return ShownHistory(found, page, inside[:INSIDE], len(inside) > INSIDE)


def standing(
    context: Context,
    tx: Transaction,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    *,
    purged: bool,
) -> ShownResource:
    """Read how a resource is now; raises ResourceNotFound, for a purged one unless `purged` is set."""
    state = histories.state(tx, subscription_id, kind, resource_id, at=context.clock())
    if state is None or (state.is_purged and not purged):
        raise resource_not_found(kind, resource_id)
    is_gone = state.is_purged or state.deleted_at is not None
    deletion = histories.last_deletion(tx, subscription_id, kind, resource_id) if is_gone else None
    return ShownResource(state, path_to(tx, subscription_id, state.parent_id), deletion)


@dataclass(frozen=True, slots=True)
class VersionShown(Generic[Drawing]):
    """A version with its document as it was drawn, and a page of its comments.

    `path` is that of the document in git. `same_as` is the number of an older version with the same document,
    unless the version left the document as it was.
    """

    standing: ShownResource
    version: VersionRow
    path: str
    comments: Page[Comment]
    same_as: int | None
    drawing: Drawing


def version(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    ref: str,
    paging: Paging,
    draw: Callable[[bytes], Drawing],
    *,
    purged: bool,
) -> VersionShown[Drawing]:
    """Read the version that `ref` names, and draw its document; `paging` is of its comments.

    A document worker draws a large one, so that the function and its result have to be fit for pickle.
    Raises ResourceNotFound, VersionNotFound, AmbiguousRef.
    """
    with context.database.transaction(subscription_id) as tx:
        found = standing(context, tx, subscription_id, kind, resource_id, purged=purged)
        row = find(tx, subscription_id, kind, resource_id, ref, context.clock())
        remarks = of_version(tx, subscription_id, row, paging)
        number = row.version_number
        same = histories.same_document(tx, subscription_id, kind, resource_id, number, row.git_blob_id)
    drawing = drawn(context, subscription_id, row.git_blob_id, draw)
    path = snapshot_path(kind.collection, str(resource_id))
    return VersionShown(found, row, path, remarks, None if same == number - 1 else same, drawing)


def drawn(
    context: Context, subscription_id: SubscriptionId, blob_id: str, draw: Callable[[bytes], Drawing]
) -> Drawing:
    """Draw a document; a document worker draws a large one."""
    blob = found_snapshot(context, subscription_id, blob_id)
    return context.documents.run(len(blob), _drawn, draw, blob)


def summarized(
    context: Context,
    subscription_id: SubscriptionId,
    pairs: Sequence[Pair],
    summarize: Summarize,
) -> dict[Pair, str]:
    """Summarize the differences of documents, each given by the blobs before and after it.

    Documents are read until they have MAX_SUMMARIZED_BYTES together; pairs with one that is large, or after
    that, have no summary.
    """
    documents: dict[str, bytes] = {}
    read_bytes = 0
    for blob_id in dict.fromkeys(blob_id for pair in pairs for blob_id in pair if blob_id is not None):
        if read_bytes > MAX_SUMMARIZED_BYTES:
            break
        blob = found_snapshot(context, subscription_id, blob_id)
        if isinstance(blob, bytes):
            documents[blob_id] = blob
            read_bytes += len(blob)
    whole = [pair for pair in pairs if all(each is None or each in documents for each in pair)]
    return context.documents.run(read_bytes, _summarized, summarize, whole, documents)


def _drawn(draw: Callable[[bytes], Drawing], blob: Blob) -> Drawing:
    return draw(content_of(blob))


def _summarized(
    summarize: Summarize, pairs: Sequence[Pair], documents: Mapping[str, bytes]
) -> dict[Pair, str]:
    return {
        (before, after): summarize(None if before is None else documents[before], documents[after])
        for before, after in pairs
    }


def _inside(
    context: Context, tx: Transaction, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID
) -> Sequence[NodeRow]:
    if kind not in KINDS_IN:
        return []
    root = (kind, resource_id)
    return trees.below(tx, subscription_id, root, after=None, limit=INSIDE + 1, at=context.clock())
