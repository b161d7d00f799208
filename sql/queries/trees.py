"""The tree of live resources: all of it, what lies in one resource, and a search by a part of a name."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    TextClause,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    text,
    union_all,
)

from sql.case_folding import folded
from sql.database import Transaction
from sql.models import TABLES
from sql.queries.resources import TABLE_OF, identity, parent_column

_VERSIONS, _CHECK_OUTS, _ACTORS = TABLES["versions"], TABLES["check_outs"], TABLES["actors"]
_PATHS_ABOVE, _PATHS_AT_DELETION = (
    text(Path(__file__).with_name(f"{name}.sql").read_text()) for name in ("paths_above", "paths_at_deletion")
)
# Folders above a resource that are read of its path; names of more would fill a page.
DEEPEST = 200
# Kinds in the order in which a place lists them.
ORDER = ("workspace", "folder", "job", "workflow", "jobpackage", "connector")
# Kinds of what can lie in a resource of a kind; None is the subscription.
KINDS_IN: dict[str | None, tuple[str, ...]] = {
    None: ("workspace",),
    "workspace": ("folder", "connector"),
    "folder": ("folder", "job", "jobpackage"),
    "job": ("workflow",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A live resource with its current version, and who holds its check-out until when."""

    resource_type: str
    resource_id: UUID
    name: str
    parent_id: UUID | None
    updated_at: datetime
    current_version: int
    checked_out_by_username: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRow:
    """A resource that others lie in."""

    resource_type: str
    resource_id: UUID
    name: str


def some(tx: Transaction, subscription_id: UUID, *, limit: int, at: datetime) -> list[NodeRow]:
    """At most `limit` resources of all kinds, in no order."""
    parts = [_live(subscription_id, kind, _place_of(kind)).limit(limit) for kind in ORDER]
    return _nodes(tx, parts, limit=limit, at=at)


def below(
    tx: Transaction,
    subscription_id: UUID,
    parent: tuple[str, UUID] | None,
    *,
    after: tuple[str, str] | None,
    limit: int,
    at: datetime,
) -> list[NodeRow]:
    """At most `limit` resources that lie directly in `parent`, or workspaces; by kind, then by name.

    `after` is the kind and the name of the last one of the page before.
    """
    kinds = KINDS_IN[None if parent is None else parent[0]]
    parts = []
    for kind in kinds:
        if after is not None and ORDER.index(kind) < ORDER.index(after[0]):
            continue
        table = TABLE_OF[kind]
        part = _live(subscription_id, kind, _place_of(kind))
        if parent is not None:
            part = part.where(_lies_in(kind, *parent))
        if after is not None and kind == after[0]:
            part = part.where(table.c.name > after[1])
        parts.append(part.order_by(table.c.name).limit(limit))
    return _nodes(tx, parts, limit=limit, at=at) if parts else []


def named(
    tx: Transaction, subscription_id: UUID, part_of_name: str, *, by: str | None, limit: int, at: datetime
) -> list[NodeRow]:
    """At most `limit` resources with a text in their names, in any case; names that begin with it first.

    `by` is the collation that folds case. All names of live resources of the subscription are read: behind
    row-level security no index serves a function of a name.
    """
    wanted = folded(bindparam("wanted", part_of_name, Text()), by)
    parts = []
    for kind in ORDER:
        table = TABLE_OF[kind]
        place = func.strpos(folded(table.c.name, by), wanted)
        rank = case((place == 1, 0), else_=1)
        part = _live(subscription_id, kind, rank).where(place > 0)
        parts.append(part.order_by(rank, table.c.name).limit(limit))
    return _nodes(tx, parts, limit=limit, at=at)


def paths_above(
    tx: Transaction, subscription_id: UUID, parents: Collection[UUID]
) -> dict[UUID, list[PlaceRow]]:
    """The resources above some others, by the id of their parent: the workspace first, the parent last."""
    values = {"subscription_id": subscription_id, "parents": list(parents), "deepest": DEEPEST}
    return _paths(tx, _PATHS_ABOVE, values)


def paths_at_deletion(
    tx: Transaction, subscription_id: UUID, deletions: Collection[UUID]
) -> dict[UUID, list[PlaceRow]]:
    """The resources that deleted ones lay in then, by the id of the deletion: the workspace first."""
    values = {"subscription_id": subscription_id, "deletions": list(deletions), "deepest": DEEPEST}
    return _paths(tx, _PATHS_AT_DELETION, values)


def _paths(tx: Transaction, query: TextClause, values: Mapping[str, Any]) -> dict[UUID, list[PlaceRow]]:
    found: dict[UUID, list[PlaceRow]] = {}
    for start, kind, resource_id, name in tx.execute(query, values):
        place = PlaceRow(resource_type=kind, resource_id=resource_id, name=name)
        found.setdefault(start, []).append(place)
    return found


def _lies_in(kind: str, parent_kind: str, parent_id: UUID) -> ColumnElement[bool]:
    """Make the condition that a resource of a kind lies in a parent.

    The one column that names folders and workspaces alike is an expression, which row-level security keeps
    from being looked for in an index.
    """
    table = TABLE_OF[kind]
    if kind != "folder":
        return parent_column(kind, table) == parent_id
    if parent_kind == "folder":
        return table.c.parent_folder_id == parent_id
    return and_(table.c.workspace_id == parent_id, table.c.parent_folder_id.is_(None))


def _place_of(kind: str) -> ColumnElement[int]:
    return literal(ORDER.index(kind))


def _live(subscription_id: UUID, kind: str, rank: ColumnElement[int]) -> Select[Any]:
    """Select live resources of a kind; lists are in the order of `rank`, then of names."""
    table = TABLE_OF[kind]
    return select(
        literal(kind).label("resource_type"),
        rank.label("rank"),
        identity(kind).label("resource_id"),
        table.c.name,
        cast(parent_column(kind, table), Uuid()).label("parent_id"),
        table.c.updated_at,
    ).where(table.c.subscription_id == subscription_id, table.c.deleted_at.is_(None))


def _nodes(
    tx: Transaction,
    parts: Sequence[Select[Any]],
    *,
    limit: int,
    at: datetime,
) -> list[NodeRow]:
    """Join a bounded number of live resources with their versions and check-outs, in one query."""
    every = union_all(*(part.subquery().select() for part in parts)).subquery("every")
    # Limited before the joins, so that only rows of the page are joined.
    found = every.select().order_by(every.c.rank, every.c.name).limit(limit).subquery("found")
    current = and_(
        _VERSIONS.c.resource_type == found.c.resource_type,
        _VERSIONS.c.resource_id == found.c.resource_id,
        _VERSIONS.c.is_current,
    )
    is_leased = and_(
        _CHECK_OUTS.c.resource_type == found.c.resource_type,
        _CHECK_OUTS.c.resource_id == found.c.resource_id,
        _CHECK_OUTS.c.released_at.is_(None),
        _CHECK_OUTS.c.expires_at > at,
    )
    query = (
        select(
            found.c.resource_type,
            found.c.resource_id,
            found.c.name,
            found.c.parent_id,
            found.c.updated_at,
            _VERSIONS.c.version_number.label("current_version"),
            _ACTORS.c.username.label("checked_out_by_username"),
            _CHECK_OUTS.c.expires_at,
        )
        .select_from(found.join(_VERSIONS, current))
        .outerjoin(_CHECK_OUTS, is_leased)
        .outerjoin(_ACTORS, _ACTORS.c.user_id == _CHECK_OUTS.c.checked_out_by)
        .order_by(found.c.rank, found.c.name)
    )
    return [NodeRow(**row._mapping) for row in tx.execute(query)]
