"""Legal holds: their scopes, reasons and ends, and the moves that they follow."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from sql.database import Transaction, among
from sql.models import TABLES

_HOLDS, _VERSIONS, _DELETIONS = TABLES["legal_holds"], TABLES["versions"], TABLES["deletion_logs"]
_MOVES = TABLES["legal_hold_moves"]


@dataclass(frozen=True, kw_only=True)
class HoldRow:
    """A hold on a resource with all below it, on a user, or, if neither is named, on the subscription."""

    hold_id: UUID
    subscription_id: UUID
    resource_type: str | None
    resource_id: UUID | None
    user_id: UUID | None
    reason: str
    placed_by: str
    placed_at: datetime
    until: datetime | None
    released_by: str | None = None
    released_at: datetime | None = None
    release_reason: str | None = None

    def runs(self, at: datetime) -> bool:
        """True if the hold runs at an instant."""
        return self.released_at is None and (self.until is None or self.until > at)


_NAMES = [field.name for field in fields(HoldRow)]
_COLUMNS = [_HOLDS.c[name] for name in _NAMES]


def _runs(at: datetime) -> ColumnElement[bool]:
    return and_(_HOLDS.c.released_at.is_(None), or_(_HOLDS.c.until.is_(None), _HOLDS.c.until > at))


def running(tx: Transaction, subscription_id: UUID, at: datetime) -> list[HoldRow]:
    """The holds of a subscription that run at an instant, the oldest first."""
    query = select(*_COLUMNS).where(_HOLDS.c.subscription_id == subscription_id, _runs(at))
    return [HoldRow(**row._mapping) for row in tx.execute(query.order_by(_HOLDS.c.hold_id))]


def all_running(tx: Transaction, at: datetime) -> list[HoldRow]:
    """The holds of all subscriptions that run at an instant, the oldest first."""
    query = select(*_COLUMNS).where(_runs(at)).order_by(_HOLDS.c.hold_id)
    return [HoldRow(**row._mapping) for row in tx.execute(query)]


def insert_row(tx: Transaction, subscription_id: UUID, row: HoldRow) -> None:
    """Add a hold."""
    tx.execute(insert(_HOLDS), asdict(row) | {"subscription_id": subscription_id})


def find(tx: Transaction, subscription_id: UUID, hold_id: UUID, *, lock: bool = False) -> HoldRow | None:
    """One hold, released or not; with `lock` its row is locked until the transaction ends."""
    query = select(*_COLUMNS).where(_HOLDS.c.subscription_id == subscription_id, _HOLDS.c.hold_id == hold_id)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else HoldRow(**row._mapping)


def page(tx: Transaction, subscription_id: UUID, *, before: UUID | None, limit: int) -> list[HoldRow]:
    """At most `limit` holds with ids below `before`, newest first."""
    query = select(*_COLUMNS).where(_HOLDS.c.subscription_id == subscription_id)
    if before is not None:
        query = query.where(_HOLDS.c.hold_id < before)
    rows = tx.execute(query.order_by(_HOLDS.c.hold_id.desc()).limit(limit))
    return [HoldRow(**row._mapping) for row in rows]


def release(
    tx: Transaction, subscription_id: UUID, hold_id: UUID, *, by: str, at: datetime, reason: str
) -> None:
    """End a hold."""
    query = update(_HOLDS).where(_HOLDS.c.subscription_id == subscription_id, _HOLDS.c.hold_id == hold_id)
    tx.execute(query.values(released_by=by, released_at=at, release_reason=reason))


def was_there(tx: Transaction, subscription_id: UUID, kind: str, resource_id: UUID) -> bool:
    """True if the subscription has or had a resource: versions stay if their resource is deleted for good."""
    query = select(_VERSIONS.c.version_id).where(
        _VERSIONS.c.subscription_id == subscription_id,
        _VERSIONS.c.resource_type == kind,
        _VERSIONS.c.resource_id == resource_id,
    )
    return tx.execute(query.limit(1)).one_or_none() is not None


def names_of(
    tx: Transaction, subscription_id: UUID, kinds: Collection[str], resource_ids: Collection[UUID]
) -> dict[UUID, str]:
    """Names of resources of these kinds, live or not, as their latest versions have them."""
    query = select(_VERSIONS.c.resource_id, _VERSIONS.c.resource_name).where(
        _VERSIONS.c.subscription_id == subscription_id,
        _VERSIONS.c.resource_type.in_(list(kinds)),
        among(_VERSIONS.c.resource_id, resource_ids),
        _VERSIONS.c.is_current,
    )
    return {row.resource_id: row.resource_name for row in tx.execute(query)}


def keeping(
    tx: Transaction, subscription_id: UUID, resource_ids: Collection[UUID], at: datetime
) -> set[UUID]:
    """The running holds on any of the given resources, and running holds with a noted move of any of them."""
    noted = select(_MOVES.c.hold_id).where(
        _MOVES.c.subscription_id == subscription_id, among(_MOVES.c.resource_id, resource_ids)
    )
    query = select(_HOLDS.c.hold_id).where(
        _HOLDS.c.subscription_id == subscription_id,
        _runs(at),
        or_(among(_HOLDS.c.resource_id, resource_ids), _HOLDS.c.hold_id.in_(noted)),
    )
    return set(tx.execute(query).scalars())


def note_move(tx: Transaction, subscription_id: UUID, resource_id: UUID, hold_ids: Collection[UUID]) -> None:
    """Make holds keep a resource that was moved out of or into their tree, wherever it is moved next."""
    rows = [
        {"hold_id": hold_id, "resource_id": resource_id, "subscription_id": subscription_id}
        for hold_id in hold_ids
    ]
    tx.execute(upsert(_MOVES).on_conflict_do_nothing(), rows)


def deleters(tx: Transaction, subscription_id: UUID, resource_ids: Collection[UUID]) -> set[UUID]:
    """The users who deleted any of the given resources, even if it was restored since."""
    query = select(_DELETIONS.c.deleted_by).where(
        _DELETIONS.c.subscription_id == subscription_id,
        among(_DELETIONS.c.resource_id, resource_ids),
        _DELETIONS.c.version_id.is_not(None),
    )
    return set(tx.execute(query.distinct()).scalars())


def subscriptions_of(tx: Transaction, hold_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Find the subscriptions of holds; the caller's scope is the platform."""
    query = select(_HOLDS.c.hold_id, _HOLDS.c.subscription_id).where(among(_HOLDS.c.hold_id, hold_ids))
    return {row.hold_id: row.subscription_id for row in tx.execute(query)}
