"""Legal holds: placed with a reason, released with one, and listed for good."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import data_changes
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Caller
from service.domain.errors import Fault, HoldNotFound, HoldReleased, Invalid
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, mint
from service.domain.pagination import Page, Paging, uuid_position
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from service.usecases.retries import run_once
from sql.database import Transaction
from sql.queries import legal_holds, repositories, tenancy
from sql.queries.audit_logs import Values
from sql.queries.legal_holds import HoldRow

State = Literal["active", "lapsed", "released"]


@dataclass(frozen=True, kw_only=True)
class Hold(HoldRow):
    """A legal hold with its state; `lapsed` if its time is over and nobody released it."""

    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldTerms:
    """The scope, reason and end of a hold to place: on a resource, a user, or the whole subscription."""

    resource_type: Kind | None
    resource_id: UUID | None
    user_id: UUID | None
    reason: str
    until: datetime | None


_HOLD = TypeAdapter(HoldRow)


def place(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    wanted: HoldTerms,
    *,
    once: Attempt | None,
) -> Hold:
    """Place a hold: it keeps rows and resources from every scheduled job, and from being deleted for good."""

    def work(tx: Transaction) -> HoldRow:
        # The committer takes this lock, too: a permanent deletion ends before the hold, or sees it.
        repositories.lock(tx, subscription_id)
        at = context.clock()
        _check(tx, subscription_id, wanted, at)
        row = HoldRow(
            hold_id=mint(),
            subscription_id=subscription_id,
            resource_type=wanted.resource_type,
            resource_id=wanted.resource_id,
            user_id=wanted.user_id,
            reason=wanted.reason,
            placed_by=caller.username,
            placed_at=at,
            until=wanted.until,
        )
        legal_holds.insert_row(tx, subscription_id, row)
        _record(tx, caller, row, Action.CREATE, at, old=None)
        return row

    return _shown(run_once(context, subscription_id, once, _HOLD, work), context.clock())


def release(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    hold_id: UUID | None,
    reason: str,
    *,
    once: Attempt | None,
) -> Hold:
    """End a hold; raises HoldNotFound, HoldReleased."""

    def work(tx: Transaction) -> HoldRow:
        row = _found(tx, subscription_id, hold_id, lock=True)
        if row.released_at is not None:
            raise HoldReleased(
                f"{row.released_by} released the hold at {row.released_at:%Y-%m-%dT%H:%M:%SZ}."
            )
        at = context.clock()
        legal_holds.release(tx, subscription_id, row.hold_id, by=caller.username, at=at, reason=reason)
        after = replace(row, released_by=caller.username, released_at=at, release_reason=reason)
        _record(tx, caller, after, Action.UPDATE, at, old=asdict(row))
        return after

    return _shown(run_once(context, subscription_id, once, _HOLD, work), context.clock())


def get(context: Context, subscription_id: SubscriptionId, hold_id: UUID | None) -> Hold:
    """One hold; raises HoldNotFound."""
    with context.database.transaction(subscription_id) as tx:
        row = _found(tx, subscription_id, hold_id)
    return _shown(row, context.clock())


def page(context: Context, subscription_id: SubscriptionId, paging: Paging) -> Page[Hold]:
    """The holds, released or not, newest first."""
    filters = {"list": "holds", "of": subscription_id}
    before = uuid_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        rows = legal_holds.page(tx, subscription_id, before=before, limit=paging.limit + 1)
    at = context.clock()
    shown = [_shown(row, at) for row in rows]
    return paging.page(shown, filters, lambda item: [str(item.hold_id)])


@dataclass(frozen=True, slots=True)
class HeldNames:
    """Names of the resources and users that holds are on."""

    resources: dict[UUID, str]
    users: dict[UUID, str]


def names_of(context: Context, subscription_id: SubscriptionId, holds: Sequence[Hold]) -> HeldNames:
    """Find the names of what holds are on, present or former."""
    with context.database.transaction(subscription_id) as tx:
        resources = [hold.resource_id for hold in holds if hold.resource_id is not None]
        kinds = {hold.resource_type for hold in holds if hold.resource_type is not None}
        users = [hold.user_id for hold in holds if hold.user_id is not None]
        return HeldNames(
            legal_holds.names_of(tx, subscription_id, kinds, resources) if resources else {},
            tenancy.usernames(tx, subscription_id, users) if users else {},
        )


def _check(tx: Transaction, subscription_id: UUID, wanted: HoldTerms, at: datetime) -> None:
    """Raise Invalid for a resource or user that the subscription never had, and for a time that is over."""
    faults = []
    kind, resource_id, user_id = wanted.resource_type, wanted.resource_id, wanted.user_id
    if kind is not None and resource_id is not None:
        # A resource that was deleted for good still has its versions.
        if not legal_holds.was_there(tx, subscription_id, kind, resource_id):
            faults.append(Fault(f"there is no such {kind} in this subscription", pointer="/resource_id"))
    elif user_id is not None and not tenancy.is_actor(tx, subscription_id, user_id):
        faults.append(Fault("there is no such user in this subscription", pointer="/user_id"))
    if wanted.until is not None and wanted.until <= at:
        faults.append(Fault("is over already", pointer="/until"))
    if faults:
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}.", faults=faults)


def _found(tx: Transaction, subscription_id: UUID, hold_id: UUID | None, *, lock: bool = False) -> HoldRow:
    row = None if hold_id is None else legal_holds.find(tx, subscription_id, hold_id, lock=lock)
    if row is None:
        raise HoldNotFound("There is no such hold in this subscription.")
    return row


def _record(
    tx: Transaction, caller: Caller, row: HoldRow, action: Action, at: datetime, *, old: Values | None
) -> None:
    data_changes.record(
        tx,
        caller,
        row.subscription_id,
        Subject("legal_hold", row.hold_id, None),
        action,
        at,
        table="legal_holds",
        record_id=row.hold_id,
        old=old,
        new=asdict(row),
    )


def _shown(row: HoldRow, at: datetime) -> Hold:
    state: State = "released" if row.released_at is not None else "active" if row.runs(at) else "lapsed"
    return Hold(**asdict(row), state=state)
