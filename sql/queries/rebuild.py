"""Write a subscription's whole history at once, and read it back, for a rebuild from git."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, cast, func, insert, literal, select, union_all
from sqlalchemy.dialects.postgresql import JSONB

from sql.database import Transaction, among
from sql.models import TABLES
from sql.models.columns import TEXT
from sql.queries.deletions import NewDeletion
from sql.queries.repositories import Tips

_KINDS = ("workspace", "folder", "job", "workflow", "jobpackage", "connector")
_NAMES = (*(f"{kind}s" for kind in _KINDS), "versions", "publications", "tags", "actors", "users")
# Tables by the name under which their rows are counted.
_COUNTED = {name: name for name in _NAMES} | {"deletions": "deletion_logs"}
_DELETIONS, _VERSIONS = TABLES["deletion_logs"], TABLES["versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastActor:
    """A person or machine that the history names."""

    user_id: UUID
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastUser(PastActor):
    """An actor that may have keys."""

    name_key: str | None
    role: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PastVersion:
    """A version without its snapshot, which is passed separately."""

    version_id: UUID
    resource_type: str
    resource_id: UUID
    resource_name: str
    version_number: int
    version_tag: str | None
    version_description: str | None
    is_current: bool
    is_published: bool
    git_commit_hash: str
    git_blob_id: str
    commit_number: int
    unversioned_changes: int
    git_branch: str
    git_repo_url: str
    created_by: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPublication:
    """The time during which a version was the published one of its resource."""

    publication_id: UUID
    resource_type: str
    resource_id: UUID
    version_id: UUID
    published_by: UUID
    published_at: datetime
    unpublished_by: UUID | None
    unpublished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTag:
    """The time during which a tag named a version; `ref_is_settled` once its ref in git agrees."""

    tag_id: UUID
    resource_type: str
    resource_id: UUID
    version_id: UUID
    tag: str
    tag_object: str
    tagged_by: UUID
    tagged_at: datetime
    untagged_by: UUID | None
    untagged_at: datetime | None
    ref_is_settled: bool


@dataclass(frozen=True, kw_only=True)
class PastDeletion(NewDeletion):
    """A deletion without the resource's document, which is in its version."""

    restored_at: datetime | None = None
    restored_by: UUID | None = None
    restored_commit_hash: str | None = None
    restored_commit_number: int | None = None
    purged_at: datetime | None = None


def present(tx: Transaction, subscription_ids: Sequence[UUID]) -> set[UUID]:
    """Find which of the given subscriptions the database has."""
    column = TABLES["subscriptions"].c.subscription_id
    return set(tx.execute(select(column).where(among(column, subscription_ids))).scalars())


def recorded(tx: Transaction, subscription_ids: Sequence[UUID], action: str) -> set[UUID]:
    """Find those of the given subscriptions that are the subject of an audit event with this action."""
    log = TABLES["audit_logs"].c
    query = select(log.subscription_id).where(
        among(log.subscription_id, subscription_ids),
        log.action == action,
        log.resource_type == "subscription",
    )
    return set(tx.execute(query.distinct()).scalars())


def insert_actors(tx: Transaction, subscription_id: UUID, rows: Sequence[PastActor]) -> None:
    """Add the actors of the history, without e-mail addresses: only the lost database had them."""
    _insert(tx, "actors", subscription_id, [_values(row) | {"email": None} for row in rows])


def insert_users(tx: Transaction, subscription_id: UUID, rows: Sequence[PastUser]) -> None:
    """Add users whose actors were added."""
    _insert(tx, "users", subscription_id, [_values(row) for row in rows])


def insert_resources(
    tx: Transaction, subscription_id: UUID, kind: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Add resources of a kind, a parent before its children, by the columns of their table."""
    _insert(tx, f"{kind}s", subscription_id, rows)


_INSERT_VERSIONS = insert(TABLES["versions"]).values(
    version_data=cast(bindparam("snapshot", type_=TEXT), JSONB)
)


def insert_versions(tx: Transaction, subscription_id: UUID, rows: Sequence[tuple[PastVersion, str]]) -> None:
    """Add versions with their snapshots, which are the canonical bytes as text."""
    if rows:
        values = [
            _values(row) | {"subscription_id": subscription_id, "snapshot": snapshot}
            for row, snapshot in rows
        ]
        tx.execute(_INSERT_VERSIONS, values)


def insert_publications(tx: Transaction, subscription_id: UUID, rows: Sequence[PastPublication]) -> None:
    """Add publications."""
    _insert(tx, "publications", subscription_id, [_values(row) for row in rows])


def insert_tags(tx: Transaction, subscription_id: UUID, rows: Sequence[PastTag]) -> None:
    """Add tags, which `versions` mirrors already."""
    _insert(tx, "tags", subscription_id, [_values(row) for row in rows])


_INSERT_DELETIONS = insert(_DELETIONS).values(
    resource_data=select(_VERSIONS.c.version_data)
    .where(_VERSIONS.c.version_id == bindparam("of_version", type_=Uuid()))
    .scalar_subquery()
)


def insert_deletions(tx: Transaction, subscription_id: UUID, rows: Sequence[PastDeletion]) -> None:
    """Add deletions with the documents of their versions, which have to be added before."""
    if rows:
        values = [
            _values(row) | {"subscription_id": subscription_id, "of_version": row.version_id} for row in rows
        ]
        tx.execute(_INSERT_DELETIONS, values)


def insert_repository(tx: Transaction, subscription_id: UUID, tips: Tips, created_at: datetime) -> None:
    """Add the row of a repository that has its commits already."""
    row = {
        "head_commit": tips.head,
        "published_commit": tips.published,
        "commits": tips.commits,
        "created_at": created_at,
    }
    _insert(tx, "repositories", subscription_id, [row])


def counts(tx: Transaction, subscription_id: UUID) -> dict[str, int]:
    """Count the rows of a subscription's history, by table."""
    queries = [
        select(literal(name), func.count()).where(TABLES[table].c.subscription_id == subscription_id)
        for name, table in _COUNTED.items()
    ]
    rows = tx.execute(union_all(*queries))
    return {str(name): int(number) for name, number in rows}


def stored_deletions(tx: Transaction, subscription_id: UUID) -> list[PastDeletion]:
    """Read every deletion of a subscription, in the order of their commits."""
    columns = [_DELETIONS.c[field.name] for field in fields(PastDeletion)]
    # Deletions that platforms posted have no version, and are unknown to git.
    own = (_DELETIONS.c.subscription_id == subscription_id, _DELETIONS.c.version_id.is_not(None))
    query = select(*columns).where(*own)
    rows = tx.execute(query.order_by(_DELETIONS.c.commit_number, _DELETIONS.c.cascade_level))
    return [PastDeletion(**row._mapping) for row in rows]


def _insert(tx: Transaction, table: str, subscription_id: UUID, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        tx.execute(insert(TABLES[table]), [{**row, "subscription_id": subscription_id} for row in rows])


def _values(row: PastActor | PastVersion | PastPublication | PastTag | PastDeletion) -> dict[str, Any]:
    # `asdict` copies deeply, which took longer than the insert.
    return {name: getattr(row, name) for name in row.__dataclass_fields__}
