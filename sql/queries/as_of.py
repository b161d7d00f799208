"""The past of a subscription: commits of `main` by id and by time, and the resources as of a commit."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    ScalarSelect,
    Select,
    Table,
    Uuid,
    and_,
    cast,
    exists,
    literal_column,
    or_,
    select,
    true,
    union,
    union_all,
)
from sqlalchemy.sql.selectable import LateralFromClause

from sql.database import Transaction, among
from sql.models import TABLES

_VERSIONS, _DELETIONS, _ACTORS = TABLES["versions"], TABLES["deletion_logs"], TABLES["actors"]
_PUBLICATIONS, _CHECK_OUTS = TABLES["publications"], TABLES["check_outs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRow:
    """A commit of `main`, its place there, and its time."""

    git_commit_hash: str
    commit_number: int
    committed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOutThen:
    """A check-out that ran at an instant; its last renewal set `expires_at`."""

    checked_out_by: UUID
    checked_out_by_username: str
    checked_out_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceThen:
    """A resource as of a commit and an instant; `published_version` is the number of a version."""

    resource_type: str
    resource_id: UUID
    resource_name: str
    parent_id: UUID | None
    version_id: UUID
    version_number: int
    git_commit_hash: str
    published_version: int | None
    check_out: CheckOutThen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSince:
    """A version that was made after a commit, and its author."""

    resource_type: str
    resource_id: UUID
    resource_name: str
    version_number: int
    created_by_username: str
    created_at: datetime


# A commit of `main` made versions, deleted resources or restored them. These are, for each of the three, the
# columns of the commit's id, its place on `main` and its time.
_COMMITS: tuple[tuple[Column[Any], Column[Any], Column[Any]], ...] = (
    (_VERSIONS.c.git_commit_hash, _VERSIONS.c.commit_number, _VERSIONS.c.created_at),
    (_DELETIONS.c.git_commit_hash, _DELETIONS.c.commit_number, _DELETIONS.c.deleted_at),
    (_DELETIONS.c.restored_commit_hash, _DELETIONS.c.restored_commit_number, _DELETIONS.c.restored_at),
)


def commits(tx: Transaction, subscription_id: UUID, prefix: str) -> list[CommitRow]:
    """The commits of `main` whose id begins with `prefix` (lower-case hex digits); two if it is ambiguous."""
    # A range instead of LIKE, which an index serves only under the C collation.
    first, last = prefix.ljust(40, "0"), prefix.ljust(40, "f")
    parts = [
        _commit(subscription_id, commit, number, at).where(commit.between(first, last))
        for commit, number, at in _COMMITS
    ]
    rows = tx.execute(select(union(*parts).subquery()).limit(2))
    return [CommitRow(**row._mapping) for row in rows]


def last_commit(tx: Transaction, subscription_id: UUID, until: datetime) -> CommitRow | None:
    """The head of `main` at an instant: its last commit until then, since times are in their order."""
    parts = [
        _commit(subscription_id, commit, number, at)
        .where(at <= until, *_made_by_commits(number))
        .order_by(at.desc(), number.desc())
        .limit(1)
        for commit, number, at in _COMMITS
    ]
    newest = union_all(*parts).subquery()
    row = tx.execute(select(newest).order_by(newest.c.commit_number.desc()).limit(1)).one_or_none()
    return None if row is None else CommitRow(**row._mapping)


def versions_since(
    tx: Transaction, subscription_id: UUID, commit: CommitRow, *, limit: int
) -> list[VersionSince]:
    """At most `limit` versions that were made after a commit of `main`, newest first."""
    v = _VERSIONS.c
    query = (
        select(
            v.resource_type,
            v.resource_id,
            v.resource_name,
            v.version_number,
            _ACTORS.c.username.label("created_by_username"),
            v.created_at,
        )
        .join(_ACTORS, _ACTORS.c.user_id == v.created_by)
        # The time, too, since the index has it before the number; times are in the order of the commits.
        .where(
            v.subscription_id == subscription_id,
            v.created_at >= commit.committed_at,
            v.commit_number > commit.commit_number,
        )
        .order_by(v.created_at.desc(), v.commit_number.desc(), v.resource_id)
        .limit(limit)
    )
    return [VersionSince(**row._mapping) for row in tx.execute(query)]


def deleted(
    tx: Transaction, subscription_id: UUID, resource_ids: Collection[UUID], *, number: int
) -> set[UUID]:
    """The given resources that were deleted as of a commit of `main`, and not restored by then."""
    query = select(_DELETIONS.c.resource_id).where(
        _is_deleted(subscription_id, number), among(_DELETIONS.c.resource_id, resource_ids)
    )
    return set(tx.execute(query).scalars())


def page(
    tx: Transaction,
    subscription_id: UUID,
    kind: str | None,
    *,
    number: int,
    at: datetime,
    before: UUID | None,
    limit: int,
) -> list[ResourceThen]:
    """At most `limit` resources with ids below `before` that existed at a commit, newest first.

    `number` is the commit's place on `main`; publications and check-outs are those of the instant `at`.
    """
    # In a SELECT of its own, so that the planner expects the average number of rows of a subscription. For an
    # id that is not in its statistics yet it would expect one row, and read all rows again for each it finds.
    of_subscription = select(cast(subscription_id, Uuid())).scalar_subquery()
    there = _there(of_subscription, number)
    if kind is not None:
        there = there.where(_VERSIONS.c.resource_type == kind)
    if before is not None:
        there = there.where(_VERSIONS.c.resource_id < before)
    # Limited before the joins, so that only rows of the page are joined.
    found = there.order_by(_VERSIONS.c.resource_id.desc()).limit(limit).subquery("found")

    def of_found(table: Any) -> ColumnElement[bool]:
        return and_(
            table.c.subscription_id == of_subscription,
            table.c.resource_type == found.c.resource_type,
            table.c.resource_id == found.c.resource_id,
        )

    def last(table: Table, began: str) -> LateralFromClause:
        # The publications or check-outs of a resource follow one another: only the last can have been open.
        order = (table.c[began], *table.primary_key)
        found_before = select(table).where(of_found(table), table.c[began] <= at)
        return found_before.order_by(*(column.desc() for column in order)).limit(1).lateral()

    past, shown = _VERSIONS.alias("past"), _VERSIONS.alias("shown")
    version = (
        select(
            past.c.resource_name,
            cast(past.c.version_data["parent_id"].astext, Uuid()).label("parent_id"),
            past.c.version_id,
            past.c.version_number,
            past.c.git_commit_hash,
        )
        .where(of_found(past), past.c.commit_number <= number)
        .order_by(past.c.version_number.desc())
        .limit(1)
        .lateral("version")
    )
    publication, check_out = last(_PUBLICATIONS, "published_at"), last(_CHECK_OUTS, "checked_out_at")
    query = (
        select(
            found.c.resource_type,
            found.c.resource_id,
            version.c.resource_name,
            version.c.parent_id,
            version.c.version_id,
            version.c.version_number,
            version.c.git_commit_hash,
            shown.c.version_number.label("published_version"),
            check_out.c.checked_out_by,
            _ACTORS.c.username.label("checked_out_by_username"),
            check_out.c.checked_out_at,
            check_out.c.expires_at,
        )
        .select_from(found.join(version, true()))
        .outerjoin(publication, _open(publication.c.unpublished_at, at))
        .outerjoin(shown, shown.c.version_id == publication.c.version_id)
        .outerjoin(check_out, and_(_open(check_out.c.released_at, at), check_out.c.expires_at > at))
        .outerjoin(_ACTORS, _ACTORS.c.user_id == check_out.c.checked_out_by)
        .order_by(found.c.resource_id.desc())
    )
    return [_past(row._asdict()) for row in tx.execute(query)]


def _commit(subscription_id: UUID, commit: Column[Any], number: Column[Any], at: Column[Any]) -> Select[Any]:
    """Select the columns of CommitRow from a table that names commits."""
    found = select(commit.label("git_commit_hash"), number.label("commit_number"), at.label("committed_at"))
    return found.where(commit.table.c.subscription_id == subscription_id)


def _made_by_commits(number: Column[Any]) -> list[ColumnElement[bool]]:
    """Make the condition that leaves out deletions in a platform's own systems, which no commit made."""
    return [_DELETIONS.c.origin == "annals"] if number is _DELETIONS.c.commit_number else []


def _there(of_subscription: ScalarSelect[UUID], number: int) -> Select[Any]:
    """Select the resources that existed as of a commit of `main`: made by then, and not deleted."""
    v = _VERSIONS.c
    is_deleted = exists().where(
        _is_deleted(of_subscription, number), _DELETIONS.c.resource_id == v.resource_id
    )
    return select(v.resource_type, v.resource_id).where(
        v.subscription_id == of_subscription,
        # A literal, not a parameter: otherwise the planner could not use the partial index of first versions.
        v.version_number == literal_column("1"),
        v.commit_number <= number,
        ~is_deleted,
    )


def _is_deleted(subscription_id: UUID | ScalarSelect[UUID], number: int) -> ColumnElement[bool]:
    d = _DELETIONS.c
    return and_(
        d.subscription_id == subscription_id,
        d.commit_number <= number,
        or_(d.restored_commit_number.is_(None), d.restored_commit_number > number),
    )


def _past(values: Mapping[str, Any]) -> ResourceThen:
    lease = {field.name: values[field.name] for field in fields(CheckOutThen)}
    check_out = None if lease["checked_out_by"] is None else CheckOutThen(**lease)
    others = {name: value for name, value in values.items() if name not in lease}
    return ResourceThen(**others, check_out=check_out)


def _open(ended: ColumnElement[Any], at: datetime) -> ColumnElement[bool]:
    return or_(ended.is_(None), ended > at)
