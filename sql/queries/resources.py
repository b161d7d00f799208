"""Resources of all six kinds: one table a kind, read and written by the same queries."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    TableValuedAlias,
    Text,
    Uuid,
    and_,
    any_,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from sql import bulk
from sql.database import IDS, OF_SUBSCRIPTION, Transaction, among
from sql.models import TABLES
from sql.pipelines import Command, Query

_VERSIONS, _CHECK_OUTS = TABLES["versions"], TABLES["check_outs"]

TABLE_OF = {
    "workspace": TABLES["workspaces"],
    "folder": TABLES["folders"],
    "job": TABLES["jobs"],
    "workflow": TABLES["workflows"],
    "jobpackage": TABLES["jobpackages"],
    "connector": TABLES["connectors"],
}


Values = dict[str, Any]
# The ids of a resource's place by column: workspace_id, parent_folder_id, folder_id and job_id, as far as its
# kind has these columns.
PlaceIds = Mapping[str, UUID]


@dataclass(frozen=True, kw_only=True)
class ResourceRow:
    """A resource as stored in its table; `folder_id` is its folder, for the context of audit events."""

    resource_type: str
    resource_id: UUID
    name: str
    description: str | None
    parent_id: UUID | None
    workspace_id: UUID
    folder_id: UUID | None
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    @property
    def place(self) -> tuple[UUID | None, str]:
        """The parent and the name, which together are unique among live resources of a kind."""
        return self.parent_id, self.name

    def touched(self, at: datetime, description: str | None) -> "ResourceRow":
        """Copy the row, with a new time of change and a new description."""
        return replace(self, updated_at=at, description=description)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRead(ResourceRow):
    """A resource with its current version and the holder of its check-out."""

    current_version: int
    git_commit_hash: str
    git_blob_id: str
    checked_out_by: UUID | None


def identity(kind: str) -> ColumnElement[UUID]:
    """The column of a kind's ids."""
    return TABLE_OF[kind].c[f"{kind}_id"]


def listed(resources: Collection[tuple[str, UUID]]) -> TableValuedAlias:
    """Make a table, with `kind` and `resource_id`, of some resources."""
    kinds = literal([kind for kind, _ in resources], ARRAY(Text()))
    ids = literal([resource_id for _, resource_id in resources], ARRAY(Uuid()))
    return func.unnest(kinds, ids).table_valued("kind", "resource_id").render_derived()


def parent_column(kind: str, table: Table) -> ColumnElement[Any]:
    """The column or expression of the parent's id, for a kind."""
    match kind:
        case "workspace":
            return null()
        case "folder":
            return func.coalesce(table.c.parent_folder_id, table.c.workspace_id)
        case "connector":
            return table.c.workspace_id
        case "workflow":
            return table.c.job_id
        case _:
            return table.c.folder_id


def _folder(kind: str, table: Table) -> ColumnElement[Any]:
    match kind:
        case "folder":
            return table.c.folder_id
        case "job" | "jobpackage":
            return table.c.folder_id
        case "workflow":
            jobs = TABLES["jobs"]
            return select(jobs.c.folder_id).where(jobs.c.job_id == table.c.job_id).scalar_subquery()
        case _:
            return null()


def columns(kind: str) -> list[ColumnElement[Any]]:
    """The columns of ResourceRow."""
    table = TABLE_OF[kind]
    return [
        literal(kind).label("resource_type"),
        identity(kind).label("resource_id"),
        table.c.name,
        table.c.description,
        parent_column(kind, table).label("parent_id"),
        table.c.workspace_id,
        _folder(kind, table).label("folder_id"),
        table.c.created_by,
        table.c.created_at,
        table.c.updated_at,
        table.c.deleted_at,
    ]


@cache
def lock_of(kind: str) -> Query[ResourceRow]:
    """Make the query that locks and reads the rows of some resources of a kind, in the order of their ids."""
    table = TABLE_OF[kind]
    statement = (
        select(*columns(kind))
        .where(
            table.c.subscription_id == OF_SUBSCRIPTION,
            identity(kind) == any_(IDS),
        )
        .order_by(identity(kind))
        .with_for_update(of=table)
    )
    return Query(statement, ResourceRow)


def lock(
    tx: Transaction, subscription_id: UUID, kind: str, resource_ids: Collection[UUID]
) -> dict[UUID, ResourceRow]:
    """Lock the rows of some resources of a kind, in the order of their ids, and read them."""
    rows = lock_of(kind).all(tx, of_subscription=subscription_id, ids=list(resource_ids))
    return {row.resource_id: row for row in rows}


def every(tx: Transaction, subscription_id: UUID) -> list[ResourceRow]:
    """All resources of a subscription, deleted or not."""
    queries = (
        select(*columns(kind)).where(table.c.subscription_id == subscription_id)
        for kind, table in TABLE_OF.items()
    )
    return [ResourceRow(**row._mapping) for query in queries for row in tx.execute(query)]


@cache
def _touch(kind: str) -> Command:
    table = TABLE_OF[kind]
    given = bulk.table_of(table.c[f"{kind}_id"], table.c.description, table.c.updated_at)
    return Command(
        update(table)
        # The ids are also given as a list: for rows of a function, of which it expects a hundred, the planner
        # would read the whole table.
        .where(
            table.c.subscription_id == OF_SUBSCRIPTION,
            identity(kind) == any_(IDS),
            identity(kind) == given.c[f"{kind}_id"],
        )
        .values(description=given.c.description, updated_at=given.c.updated_at)
    )


def touch(tx: Transaction, subscription_id: UUID, rows: Iterable[ResourceRow]) -> None:
    """Store the descriptions and times of change of resources; no resource is given twice."""
    by_kind: dict[str, list[Values]] = {}
    for row in rows:
        kind = row.resource_type
        by_kind.setdefault(kind, []).append(
            {f"{kind}_id": row.resource_id, "description": row.description, "updated_at": row.updated_at}
        )
    for kind, given in by_kind.items():
        ids = [each[f"{kind}_id"] for each in given]
        bulk.execute(tx, _touch(kind), given, of_subscription=subscription_id, ids=ids)


def correct(
    tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, values: Mapping[str, Any]
) -> bool:
    """Set columns of a resource to git's values; False if it had them already. Raises UniqueConflict."""
    table = TABLE_OF[kind]
    query = update(table).where(
        table.c.subscription_id == subscription_id,
        identity(kind) == resource_id,
        or_(*(table.c[name].is_distinct_from(value) for name, value in values.items())),
    )
    changed = tx.execute(query.values(dict(values)).returning(identity(kind)))
    return changed.one_or_none() is not None


def _read(subscription_id: UUID, kind: str, at: datetime) -> Select[Any]:
    table = TABLE_OF[kind]
    current = and_(
        _VERSIONS.c.resource_type == kind,
        _VERSIONS.c.resource_id == identity(kind),
        _VERSIONS.c.is_current,
    )
    is_leased = and_(
        _CHECK_OUTS.c.resource_type == kind,
        _CHECK_OUTS.c.resource_id == identity(kind),
        _CHECK_OUTS.c.released_at.is_(None),
        _CHECK_OUTS.c.expires_at > at,
    )
    return (
        select(
            *columns(kind),
            _VERSIONS.c.version_number.label("current_version"),
            _VERSIONS.c.git_commit_hash,
            _VERSIONS.c.git_blob_id,
            _CHECK_OUTS.c.checked_out_by,
        )
        .join(_VERSIONS, current)
        .outerjoin(_CHECK_OUTS, is_leased)
        .where(table.c.subscription_id == subscription_id)
    )


def get(
    tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, *, at: datetime
) -> ResourceRead | None:
    """One resource as of the instant `at`, deleted or not."""
    query = _read(subscription_id, kind, at).where(identity(kind) == resource_id)
    row = tx.execute(query).one_or_none()
    return None if row is None else ResourceRead(**row._mapping)


def names(tx: Transaction, subscription_id: UUID, kind: str, ids: Collection[UUID]) -> dict[UUID, str]:
    """Read the names of resources of one kind, deleted or not."""
    table = TABLE_OF[kind]
    query = select(identity(kind), table.c.name).where(
        table.c.subscription_id == subscription_id, among(identity(kind), ids)
    )
    return {row[0]: row.name for row in tx.execute(query)}


def existing(tx: Transaction, subscription_id: UUID, ids: Mapping[str, Collection[UUID]]) -> set[UUID]:
    """Read which resources are there, deleted or not; `ids` are those of each kind."""
    queries = [
        select(identity(kind).label("resource_id")).where(
            TABLE_OF[kind].c.subscription_id == subscription_id, among(identity(kind), of_kind)
        )
        for kind, of_kind in ids.items()
    ]
    return {row.resource_id for row in tx.execute(union_all(*queries))}


def find(tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID) -> ResourceRow | None:
    """The row of one resource, deleted or not."""
    query = select(*columns(kind)).where(
        TABLE_OF[kind].c.subscription_id == subscription_id, identity(kind) == resource_id
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else ResourceRow(**row._mapping)


def page(
    tx: Transaction,
    subscription_id: UUID,
    kind: str,
    place: PlaceIds,
    *,
    names: Collection[str],
    include_deleted: bool,
    before: UUID | None,
    limit: int,
    at: datetime,
) -> list[ResourceRead]:
    """At most `limit` resources with ids below `before`, newest first; with `names`, only those so named."""
    table = TABLE_OF[kind]
    query = _read(subscription_id, kind, at)
    for column, parent_id in place.items():
        query = query.where(table.c[column] == parent_id)
    if names:
        query = query.where(table.c.name.in_(names))
    if not include_deleted:
        query = query.where(table.c.deleted_at.is_(None))
    if before is not None:
        query = query.where(identity(kind) < before)
    rows = tx.execute(query.order_by(identity(kind).desc()).limit(limit))
    return [ResourceRead(**row._mapping) for row in rows]
