"""Places of resources: their parents, their names among siblings, and moves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Text, insert, literal_column, select, text, union_all, update

from sql.database import Transaction
from sql.models.resources import COMPARABLE_NAME, UNUSUAL_NAME
from sql.queries.resources import TABLE_OF, ResourceRow, columns, identity, parent_column

_comparable_name: ColumnElement[str] = literal_column(COMPARABLE_NAME, Text())
_IS_UNUSUAL: ColumnElement[bool] = literal_column(UNUSUAL_NAME, Boolean())
_ABOVE = text(Path(__file__).with_name("folders_above.sql").read_text())


def lock_parent(tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID) -> ResourceRow | None:
    """Read a resource that is to be a parent, and lock it against deletion and moves."""
    table = TABLE_OF[kind]
    query = select(*columns(kind)).where(
        table.c.subscription_id == subscription_id, identity(kind) == resource_id
    )
    row = tx.execute(query.with_for_update(of=table, read=True)).one_or_none()
    return None if row is None else ResourceRow(**row._mapping)


def name_owner(
    tx: Transaction,
    subscription_id: UUID,
    kind: str,
    parent_id: UUID | None,
    name: str,
    alike: str,
    *,
    but: UUID | None = None,
) -> UUID | None:
    """The id of a live resource of a kind under a parent that has a name, or one that looks like it.

    `alike` is the comparable form of the name; the resource `but` is left out. New names are stored in this
    form; names of older rows that differ from it have an index of their own.
    """
    table = TABLE_OF[kind]
    sibling = select(identity(kind)).where(
        table.c.subscription_id == subscription_id, table.c.deleted_at.is_(None)
    )
    if but is not None:
        sibling = sibling.where(identity(kind) != but)
    if parent_id is not None:
        sibling = sibling.where(parent_column(kind, table) == parent_id)
    query = union_all(
        sibling.where(table.c.name.in_({name, alike})).limit(1),
        # Sorted, so that the planner does not expect to find a row soon by reading the table.
        sibling.where(_IS_UNUSUAL, _comparable_name == alike).order_by(identity(kind)).limit(1),
    )
    owner: UUID | None = tx.execute(query.limit(1)).scalar_one_or_none()
    return owner


def lies_in(tx: Transaction, subscription_id: UUID, folder_id: UUID, outer_id: UUID) -> bool:
    """True if a folder is the folder `outer_id`, or is below it at any depth."""
    return outer_id in above(tx, subscription_id, folder_id)


def above(tx: Transaction, subscription_id: UUID, folder_id: UUID) -> Sequence[UUID]:
    """A folder and all folders above it."""
    values = {"subscription_id": subscription_id, "folder_id": folder_id}
    return tx.execute(_ABOVE, values).scalars().all()


def insert_row(tx: Transaction, subscription_id: UUID, row: ResourceRow) -> None:
    """Add a resource; raises UniqueConflict if a live sibling has its name."""
    values = _place(row) | {
        f"{row.resource_type}_id": row.resource_id,
        "subscription_id": subscription_id,
        "description": row.description,
        "created_by": row.created_by,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
    tx.execute(insert(TABLE_OF[row.resource_type]), values)


def put(tx: Transaction, subscription_id: UUID, row: ResourceRow) -> None:
    """Store a resource's name and parent; its descendants move with it into its workspace.

    Raises UniqueConflict if a live sibling has its name.
    """
    table, kind = TABLE_OF[row.resource_type], row.resource_type
    query = update(table).where(table.c.subscription_id == subscription_id, identity(kind) == row.resource_id)
    tx.execute(query.values(_place(row)))


def _place(row: ResourceRow) -> dict[str, Any]:
    """The columns of a resource's name and place."""
    found: dict[str, Any] = {"name": row.name, "workspace_id": row.workspace_id}
    match row.resource_type:
        case "folder":
            is_outermost = row.parent_id == row.workspace_id
            found["parent_folder_id"] = None if is_outermost else row.parent_id
        case "job" | "jobpackage":
            found["folder_id"] = row.parent_id
        case "workflow":
            found["job_id"] = row.parent_id
    return found
