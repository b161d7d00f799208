"""Check-outs: leases on resources. The specification's columns in `versions` mirror unreleased check-outs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, any_, bindparam, func, insert, null, select, tuple_, update

from sql import bulk
from sql.database import IDS, OF_SUBSCRIPTION, Transaction
from sql.models import TABLES
from sql.models.columns import INSTANT
from sql.pipelines import Command, Query
from sql.queries import subtrees

_CHECK_OUTS = TABLES["check_outs"]
_VERSIONS = TABLES["versions"]
_ACTORS = TABLES["actors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOutRow:
    """A check-out that nobody released; past `expires_at` its lease has ended."""

    check_out_id: UUID
    resource_type: str
    resource_id: UUID
    version_id: UUID
    checked_out_by: UUID
    username: str
    checked_out_at: datetime
    expires_at: datetime
    reason: str | None


_OPEN = (
    select(
        _CHECK_OUTS.c.check_out_id,
        _CHECK_OUTS.c.resource_type,
        _CHECK_OUTS.c.resource_id,
        _CHECK_OUTS.c.version_id,
        _CHECK_OUTS.c.checked_out_by,
        _ACTORS.c.username,
        _CHECK_OUTS.c.checked_out_at,
        _CHECK_OUTS.c.expires_at,
        _CHECK_OUTS.c.reason,
    )
    .join(_ACTORS, _ACTORS.c.user_id == _CHECK_OUTS.c.checked_out_by)
    .where(_CHECK_OUTS.c.released_at.is_(None))
)


# Compiled once: the committer sends it for each batch.
UNRELEASED = Query(
    _OPEN.where(
        _CHECK_OUTS.c.subscription_id == OF_SUBSCRIPTION,
        _CHECK_OUTS.c.resource_type == bindparam("kind", type_=Text()),
        _CHECK_OUTS.c.resource_id == any_(IDS),
    ),
    CheckOutRow,
)


def unreleased(
    tx: Transaction, subscription_id: UUID, resource_type: str, resource_ids: Collection[UUID]
) -> dict[UUID, CheckOutRow]:
    """The unreleased check-outs of some resources, by resource; the caller has locked the resources' rows."""
    rows = UNRELEASED.all(tx, of_subscription=subscription_id, kind=resource_type, ids=list(resource_ids))
    return {row.resource_id: row for row in rows}


def of_user(tx: Transaction, subscription_id: UUID, user_id: UUID) -> list[CheckOutRow]:
    """The unreleased check-outs of a user."""
    query = _OPEN.where(
        _CHECK_OUTS.c.subscription_id == subscription_id, _CHECK_OUTS.c.checked_out_by == user_id
    )
    return [CheckOutRow(**row._mapping) for row in tx.execute(query)]


def count_of_user(tx: Transaction, subscription_id: UUID, user_id: UUID, at: datetime) -> int:
    """Count the check-outs of a user that run at `at`."""
    c = _CHECK_OUTS.c
    query = select(func.count()).where(
        c.subscription_id == subscription_id,
        c.checked_out_by == user_id,
        c.released_at.is_(None),
        c.expires_at > at,
    )
    return tx.execute(query).scalar_one()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCheckOut(CheckOutRow):
    """A running check-out with the name of its resource and its version."""

    resource_name: str
    version_number: int
    git_commit_hash: str


def _running(subscription_id: UUID, at: datetime) -> Select[Any]:
    return (
        _OPEN.add_columns(_VERSIONS.c.resource_name, _VERSIONS.c.version_number, _VERSIONS.c.git_commit_hash)
        .join(_VERSIONS, _VERSIONS.c.version_id == _CHECK_OUTS.c.version_id)
        .where(_CHECK_OUTS.c.subscription_id == subscription_id, _CHECK_OUTS.c.expires_at > at)
    )


def page(
    tx: Transaction,
    subscription_id: UUID,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
    at: datetime,
) -> list[RunningCheckOut]:
    """At most `limit` check-outs that run at `at`, taken before the position `before`, newest first."""
    taken = (_CHECK_OUTS.c.checked_out_at, _CHECK_OUTS.c.check_out_id)
    query = _running(subscription_id, at).order_by(*(column.desc() for column in taken)).limit(limit)
    if before is not None:
        query = query.where(tuple_(*taken) < before)
    return [RunningCheckOut(**row._mapping) for row in tx.execute(query)]


def of_resource(
    tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID, *, at: datetime
) -> RunningCheckOut | None:
    """The check-out of a resource that runs at `at`."""
    query = _running(subscription_id, at).where(
        _CHECK_OUTS.c.resource_type == kind, _CHECK_OUTS.c.resource_id == resource_id
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else RunningCheckOut(**row._mapping)


def inside(
    tx: Transaction,
    subscription_id: UUID,
    root: tuple[str, UUID],
    *,
    own: UUID | None,
    limit: int,
    at: datetime,
) -> tuple[list[RunningCheckOut], int]:
    """At most `limit` check-outs of a resource and of those below it, and how many there are.

    Those of the user `own` come last.
    """
    members = subtrees.members(subscription_id, root)
    query = (
        _running(subscription_id, at)
        .add_columns(func.count().over().label("number"))
        .join(
            members,
            (members.c.kind == _CHECK_OUTS.c.resource_type)
            & (members.c.resource_id == _CHECK_OUTS.c.resource_id),
        )
        .where(members.c.deleted_at.is_(None))
        .order_by(_CHECK_OUTS.c.checked_out_by.is_not_distinct_from(own), _CHECK_OUTS.c.checked_out_at.desc())
        .limit(limit)
    )
    found = [dict(row._mapping) for row in tx.execute(query)]
    numbers = [row.pop("number") for row in found]
    return [RunningCheckOut(**row) for row in found], numbers[0] if numbers else 0


def take(tx: Transaction, subscription_id: UUID, row: CheckOutRow) -> None:
    """Record a new check-out; raises UniqueConflict if the resource has an unreleased one."""
    tx.execute(
        insert(_CHECK_OUTS),
        {
            "check_out_id": row.check_out_id,
            "subscription_id": subscription_id,
            "resource_type": row.resource_type,
            "resource_id": row.resource_id,
            "version_id": row.version_id,
            "checked_out_by": row.checked_out_by,
            "checked_out_at": row.checked_out_at,
            "expires_at": row.expires_at,
            "reason": row.reason,
        },
    )
    _mirror(tx, subscription_id, row.version_id, row.checked_out_by, row.checked_out_at)


def renew(
    tx: Transaction, subscription_id: UUID, row: CheckOutRow, *, expires_at: datetime, reason: str | None
) -> None:
    """Set the end and the reason of a check-out."""
    tx.execute(
        update(_CHECK_OUTS)
        .where(
            _CHECK_OUTS.c.subscription_id == subscription_id,
            _CHECK_OUTS.c.check_out_id == row.check_out_id,
        )
        .values(expires_at=expires_at, reason=reason)
    )


def move(tx: Transaction, subscription_id: UUID, row: CheckOutRow, version_id: UUID) -> None:
    """Move a check-out to a newer version, after its holder saved one."""
    tx.execute(
        update(_CHECK_OUTS)
        .where(
            _CHECK_OUTS.c.subscription_id == subscription_id,
            _CHECK_OUTS.c.check_out_id == row.check_out_id,
        )
        .values(version_id=version_id)
    )
    _mirror(tx, subscription_id, row.version_id, None, None)
    _mirror(tx, subscription_id, version_id, row.checked_out_by, row.checked_out_at)


def release(
    tx: Transaction, subscription_id: UUID, row: CheckOutRow, *, at: datetime, by: UUID | None, kind: str
) -> None:
    """End a check-out without a check-in; `kind` is one of cancel, expired, forced, user_deleted, deleted."""
    _end(tx, subscription_id, row, at=at, by=by, kind=kind)


_GIVEN = bulk.table_of(_CHECK_OUTS.c.check_out_id, _CHECK_OUTS.c.released_by)
_END_ALL = Command(
    update(_CHECK_OUTS)
    .where(
        _CHECK_OUTS.c.subscription_id == OF_SUBSCRIPTION,
        # The ids are also given as a list: for rows of a function, of which it expects a hundred, the planner
        # would read the whole table.
        _CHECK_OUTS.c.check_out_id == any_(IDS),
        _CHECK_OUTS.c.check_out_id == _GIVEN.c.check_out_id,
    )
    .values(
        released_at=bindparam("at", type_=INSTANT), released_by=_GIVEN.c.released_by, release_kind="check_in"
    )
)
_UNMARK_ALL = Command(
    update(_VERSIONS)
    .where(_VERSIONS.c.subscription_id == OF_SUBSCRIPTION, _VERSIONS.c.version_id == any_(IDS))
    .values(checked_out_by=null(), checked_out_at=null())
)
_MARK_CHECKED_IN = Command(
    update(_VERSIONS)
    .where(_VERSIONS.c.subscription_id == OF_SUBSCRIPTION, _VERSIONS.c.version_id == any_(IDS))
    .values(checked_in_at=bindparam("at", type_=INSTANT))
)


def check_in(
    tx: Transaction, subscription_id: UUID, ended: Sequence[tuple[CheckOutRow, UUID]], *, at: datetime
) -> None:
    """End check-outs by check-ins. Each is given with the version that its check-in made current."""
    if not ended:
        return
    scope = {"of_subscription": subscription_id}
    given = [{"check_out_id": row.check_out_id, "released_by": row.checked_out_by} for row, _ in ended]
    bulk.execute(tx, _END_ALL, given, **scope, ids=[row.check_out_id for row, _ in ended], at=at)
    _UNMARK_ALL.execute(tx, **scope, ids=[row.version_id for row, _ in ended])
    _MARK_CHECKED_IN.execute(tx, **scope, ids=[version_id for _, version_id in ended], at=at)


def _end(
    tx: Transaction, subscription_id: UUID, row: CheckOutRow, *, at: datetime, by: UUID | None, kind: str
) -> None:
    tx.execute(
        update(_CHECK_OUTS)
        .where(
            _CHECK_OUTS.c.subscription_id == subscription_id,
            _CHECK_OUTS.c.check_out_id == row.check_out_id,
        )
        .values(released_at=at, released_by=by, release_kind=kind)
    )
    _mirror(tx, subscription_id, row.version_id, None, None)


def _mirror(
    tx: Transaction,
    subscription_id: UUID,
    version_id: UUID,
    holder: UUID | None,
    at: datetime | None,
) -> None:
    tx.execute(
        update(_VERSIONS)
        .where(_VERSIONS.c.subscription_id == subscription_id, _VERSIONS.c.version_id == version_id)
        .values(checked_out_by=holder, checked_out_at=at)
    )
