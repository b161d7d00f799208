"""The tree of a subscription as people look through it: places, what lies in them, and search by name."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.committer.refusals import resource_not_found
from service.domain.errors import Invalid
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.domain.resource_kinds import Kind, Place
from service.usecases.context import Context
from sql.case_folding import collation
from sql.database import Transaction
from sql.queries import resources, trees
from sql.queries.resources import ResourceRow
from sql.queries.trees import KINDS_IN, NodeRow, PlaceRow

# Trees up to this size are read as a whole; larger ones branch by branch.
WHOLE = 200
# Results of a search, and characters of what is searched for.
FOUND = 50
MAX_SEARCHED = 500


@dataclass(frozen=True, slots=True)
class WholeTree:
    """Workspaces, and what lies in each resource by its id."""

    roots: Sequence[NodeRow]
    below: Mapping[UUID, Sequence[NodeRow]]
    size: int


@dataclass(frozen=True, slots=True)
class Branch:
    """A resource, the path down to it, and a page of what lies in it; without a resource, of workspaces."""

    root: ResourceRow | None
    path: Sequence[PlaceRow]
    page: Page[NodeRow]


@dataclass(frozen=True, slots=True)
class Found:
    """A resource that a search found, and the path down to it."""

    node: NodeRow
    path: Sequence[PlaceRow]


@dataclass(frozen=True, slots=True)
class Search:
    """The results of a search; `has_more` if there are more than it shows."""

    found: Sequence[Found]
    has_more: bool


def holds(kind: Kind | None) -> tuple[Kind, ...]:
    """Return the kinds of what can lie in a resource of a kind; None is the subscription."""
    return tuple(map(Kind, KINDS_IN.get(kind, ())))


def whole(context: Context, subscription_id: SubscriptionId) -> WholeTree | None:
    """Read the whole tree; None if it has more than WHOLE resources."""
    with context.database.transaction(subscription_id) as tx:
        rows = trees.some(tx, subscription_id, limit=WHOLE + 1, at=context.clock())
    if len(rows) > WHOLE:
        return None
    below: dict[UUID, list[NodeRow]] = {}
    for row in rows:
        if row.parent_id is not None:
            below.setdefault(row.parent_id, []).append(row)
    roots = [row for row in rows if row.parent_id is None]
    return WholeTree(roots, below, len(rows))


def branch(
    context: Context, subscription_id: SubscriptionId, root: tuple[Kind, UUID] | None, paging: Paging
) -> Branch:
    """Read what lies in a live resource, or the workspaces, by kind and name; raises ResourceNotFound."""
    filters = {"list": "branch", "of": subscription_id, "root": root}
    after = _after(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        row = None if root is None else _live(tx, subscription_id, *root)
        path = [] if row is None else _path(tx, subscription_id, row)
        rows = (
            []
            if root is not None and root[0] not in KINDS_IN
            else trees.below(
                tx, subscription_id, root, after=after, limit=paging.limit + 1, at=context.clock()
            )
        )
    page = paging.page(rows, filters, lambda item: [item.resource_type, item.name])
    return Branch(row, path, page)


def search(context: Context, subscription_id: SubscriptionId, part_of_name: str) -> Search:
    """Find resources by a part of their names, in any case; raises Invalid for a text that is too long."""
    if len(part_of_name) > MAX_SEARCHED or "\0" in part_of_name:
        detail = f"is a text of at most {MAX_SEARCHED} characters"
        raise Invalid.of("q", detail)
    # Names are stored composed; a text from another program may not be.
    composed = unicodedata.normalize("NFC", part_of_name)
    with context.database.transaction(subscription_id) as tx:
        rows = trees.named(
            tx, subscription_id, composed, by=collation(tx), limit=FOUND + 1, at=context.clock()
        )
        shown = rows[:FOUND]
        parents = {row.parent_id for row in shown if row.parent_id is not None}
        paths = trees.paths_above(tx, subscription_id, parents) if parents else {}
    found = [Found(row, paths.get(row.parent_id, []) if row.parent_id else []) for row in shown]
    return Search(found, len(rows) > FOUND)


def place_in(context: Context, subscription_id: SubscriptionId, root: tuple[Kind, UUID]) -> Branch:
    """Read a live resource and the path down to it, without what lies in it; raises ResourceNotFound."""
    with context.database.transaction(subscription_id) as tx:
        row = _live(tx, subscription_id, *root)
        return Branch(row, _path(tx, subscription_id, row), Page([], None))


def way_to(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID
) -> Sequence[PlaceRow]:
    """Read the path down to a resource, deleted or not: its workspace first, its parent last."""
    with context.database.transaction(subscription_id) as tx:
        row = resources.find(tx, subscription_id, kind, resource_id)
        return [] if row is None else _path(tx, subscription_id, row)


def place_of_child(parent: ResourceRow | None, kind: Kind) -> Place:
    """Return the place of a new resource in a parent; raises Invalid if such a parent holds no such kind."""
    if parent is None:
        if kind is Kind.WORKSPACE:
            return Place()
        raise Invalid(f"A {kind} needs a place: choose where it is to be.")
    if kind not in holds(Kind(parent.resource_type)):
        raise Invalid(f"A {parent.resource_type} holds no {kind.collection}.")
    match kind:
        case Kind.FOLDER:
            outer = parent.resource_id if parent.resource_type == Kind.FOLDER else None
            return Place(workspace_id=parent.workspace_id, parent_folder_id=outer)
        case Kind.CONNECTOR:
            return Place(workspace_id=parent.workspace_id)
        case Kind.WORKFLOW:
            return Place(job_id=parent.resource_id)
        case _:
            return Place(folder_id=parent.resource_id)


def path_to(tx: Transaction, subscription_id: SubscriptionId, parent_id: UUID | None) -> Sequence[PlaceRow]:
    """Read the path down to a resource: its workspace first, its parent last."""
    if parent_id is None:
        return []
    return trees.paths_above(tx, subscription_id, [parent_id]).get(parent_id, [])


def _path(tx: Transaction, subscription_id: SubscriptionId, row: ResourceRow) -> Sequence[PlaceRow]:
    return path_to(tx, subscription_id, row.parent_id)


def _live(tx: Transaction, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID) -> ResourceRow:
    row = resources.find(tx, subscription_id, kind, resource_id)
    if row is None or row.deleted_at is not None:
        raise resource_not_found(kind, resource_id)
    return row


def _after(position: list[Any] | None) -> tuple[str, str] | None:
    if position is None:
        return None
    match position:
        case [str(kind), str(name)] if kind in trees.ORDER and "\0" not in name:
            return kind, name
        case _:
            raise Invalid("cursor: the cursor was altered.")
