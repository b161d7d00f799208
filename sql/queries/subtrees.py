"""Subtrees: a resource and all resources below it."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Select, Uuid, func, literal, select, union_all

from sql.database import Transaction
from sql.models import TABLES
from sql.queries.resources import TABLE_OF, ResourceRow, columns, identity

_FOLDERS, _JOBS = TABLES["folders"], TABLES["jobs"]


def members(subscription_id: UUID, root: tuple[str, UUID], *, live: bool) -> CTE:
    """Make the table of a subtree, with `kind` and `resource_id`; with `live`, of its live resources."""
    parts = []
    for kind, condition in _conditions(subscription_id, root).items():
        table = TABLE_OF[kind]
        part = select(literal(kind).label("kind"), identity(kind).label("resource_id")).where(
            table.c.subscription_id == subscription_id, condition
        )
        parts.append(part.where(table.c.deleted_at.is_(None)) if live else part)
    return union_all(*parts).cte("members")


def counts(tx: Transaction, subscription_id: UUID, root: tuple[str, UUID], *, live: bool) -> dict[str, int]:
    """Count the resources of a subtree, its root included, by kind; with `live`, those that are live."""
    found = members(subscription_id, root, live=live)
    query = select(found.c.kind, func.count().label("number")).group_by(found.c.kind)
    return {row.kind: row.number for row in tx.execute(query)}


def rows(tx: Transaction, subscription_id: UUID, root: tuple[str, UUID]) -> Sequence[ResourceRow]:
    """Read the resources of a subtree, deleted or not, its root first."""
    found = [
        ResourceRow(**row._mapping)
        for kind, condition in _conditions(subscription_id, root).items()
        for row in tx.execute(
            select(*columns(kind)).where(TABLE_OF[kind].c.subscription_id == subscription_id, condition)
        )
    ]
    return sorted(found, key=lambda row: (row.resource_type, row.resource_id) != root)


def _conditions(subscription_id: UUID, root: tuple[str, UUID]) -> dict[str, ColumnElement[bool]]:
    """Make the condition of the members of each kind that the subtree may hold."""
    kind, resource_id = root
    if kind == "workspace":
        return {each: table.c.workspace_id == resource_id for each, table in TABLE_OF.items()}
    found = {kind: identity(kind) == resource_id}
    if kind == "job":
        found["workflow"] = TABLE_OF["workflow"].c.job_id == resource_id
    if kind == "folder":
        inside = _folders(subscription_id, resource_id)
        jobs = select(_JOBS.c.job_id).where(
            _JOBS.c.subscription_id == subscription_id, _JOBS.c.folder_id.in_(inside)
        )
        found = {each: TABLE_OF[each].c.folder_id.in_(inside) for each in ("folder", "job", "jobpackage")}
        found["workflow"] = TABLE_OF["workflow"].c.job_id.in_(jobs)
    return found


def _folders(subscription_id: UUID, folder_id: UUID) -> Select[tuple[UUID]]:
    """Make the query of a folder and the folders below it at any depth."""
    inside = select(literal(folder_id, Uuid()).label("folder_id")).cte("inside", recursive=True)
    deeper = select(_FOLDERS.c.folder_id).where(
        _FOLDERS.c.subscription_id == subscription_id, _FOLDERS.c.parent_folder_id == inside.c.folder_id
    )
    inside = inside.union(deeper)
    return select(inside.c.folder_id)
