"""Subtrees: a resource and all resources below it, or all resources of a subscription."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from sqlalchemy import CTE, Text, Uuid, column, func, literal, select, text

from sql.database import Transaction, among
from sql.models.columns import INSTANT
from sql.queries.resources import TABLE_OF, ResourceRow, columns, identity

_HERE = Path(__file__)
# The query of the subtree of each kind that has children; None is the whole subscription.
_BELOW = {
    kind: text(_HERE.with_name(f"below_{kind or 'subscription'}.sql").read_text())
    for kind in (None, "workspace", "folder", "job")
}
_COLUMNS = (column("kind", Text()), column("resource_id", Uuid()), column("deleted_at", INSTANT))


def members(subscription_id: UUID, root: tuple[str, UUID] | None) -> CTE:
    """Make the table of a subtree, deleted or not, with `kind`, `resource_id` and `deleted_at`."""
    kind, resource_id = root or (None, None)
    if kind is not None and kind not in _BELOW:
        table = TABLE_OF[kind]
        alone = select(
            literal(kind).label("kind"), identity(kind).label("resource_id"), table.c.deleted_at
        ).where(table.c.subscription_id == subscription_id, identity(kind) == resource_id)
        return alone.cte("members")
    given = {"subscription_id": subscription_id} | ({} if kind is None else {f"{kind}_id": resource_id})
    return _BELOW[kind].bindparams(**given).columns(*_COLUMNS).cte("members")


def ids(tx: Transaction, subscription_id: UUID, root: tuple[str, UUID] | None) -> dict[str, list[UUID]]:
    """Read the ids of a subtree by kind, deleted or not."""
    if root is not None and root[0] not in _BELOW:
        return {root[0]: [root[1]]}
    of_all = members(subscription_id, root)
    found: dict[str, list[UUID]] = {}
    for kind, resource_id in tx.execute(select(of_all.c.kind, of_all.c.resource_id)):
        found.setdefault(kind, []).append(resource_id)
    return found


def counts(tx: Transaction, subscription_id: UUID, root: tuple[str, UUID], *, live: bool) -> dict[str, int]:
    """Count the resources of a subtree, its root included, by kind; with `live`, those that are live."""
    found = members(subscription_id, root)
    query = select(found.c.kind, func.count().label("number")).group_by(found.c.kind)
    if live:
        query = query.where(found.c.deleted_at.is_(None))
    return {row.kind: row.number for row in tx.execute(query)}


def rows(tx: Transaction, subscription_id: UUID, root: tuple[str, UUID]) -> Sequence[ResourceRow]:
    """Read the resources of a subtree, deleted or not, its root first."""
    found = [
        ResourceRow(**row._mapping)
        for kind, some in ids(tx, subscription_id, root).items()
        for row in tx.execute(
            select(*columns(kind)).where(
                TABLE_OF[kind].c.subscription_id == subscription_id, among(identity(kind), some)
            )
        )
    ]
    return sorted(found, key=lambda row: (row.resource_type, row.resource_id) != root)
