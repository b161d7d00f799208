"""References of workflows to connectors."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import select, text

from sql.database import Transaction, among
from sql.models import TABLES

_CONNECTORS = TABLES["connectors"]
_WORKFLOWS_NAMING = text(Path(__file__).with_name("workflows_naming.sql").read_text())
_LAST = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """A live workflow, and the ids, as texts, of the given connectors that its current version names.

    The ids are None if the workflow was not searched.
    """

    resource_id: UUID
    resource_name: str
    named: list[str] | None


def live_connectors(tx: Transaction, subscription_id: UUID, ids: Collection[UUID]) -> dict[UUID, str]:
    """The names, by id, of the given connectors that exist and are not deleted."""
    c = _CONNECTORS.c
    query = select(c.connector_id, c.name).where(
        c.subscription_id == subscription_id, among(c.connector_id, ids), c.deleted_at.is_(None)
    )
    return {row.connector_id: row.name for row in tx.execute(query)}


def scan_workflows(
    tx: Transaction,
    subscription_id: UUID,
    connector_ids: Collection[UUID],
    *,
    before: UUID | None,
    most: int,
    most_bytes: int,
) -> list[Scanned]:
    """At most `most` live workflows with ids below `before`, newest first.

    The first workflow is searched. Each other is searched if the documents of all workflows before it take
    less than `most_bytes`, as stored.
    """
    values = {
        "subscription_id": subscription_id,
        "connector_ids": [str(each) for each in connector_ids],
        "before": before or _LAST,
        "most": most,
        "most_bytes": most_bytes,
    }
    return [Scanned(**row._mapping) for row in tx.execute(_WORKFLOWS_NAMING, values)]
