"""Membership of a subscription: the callers that may enter it, and its users."""

from dataclasses import dataclass
from uuid import UUID

import anyio.to_thread

from service.domain.callers import Caller, Role, SubscriptionState
from service.domain.errors import SubscriptionNotFound, UserNotFound
from service.domain.ids import SubscriptionId
from service.usecases.context import Context
from sql.database import Transaction
from sql.queries import tenancy
from sql.queries.tenancy import SubscriptionRow
from sql.queries.tenancy import UserRow as User


@dataclass(frozen=True, slots=True)
class Entered:
    """Subscription that a caller may enter, with its state and its name."""

    subscription_id: SubscriptionId
    state: SubscriptionState
    name: str


async def may_enter(context: Context, caller: Caller, subscription_id: UUID | None) -> Entered:
    """Admit the subscription's own callers and the operator; raises SubscriptionNotFound."""
    if subscription_id is not None:
        if caller.subscription_id == subscription_id:
            return Entered(
                SubscriptionId(subscription_id), caller.subscription_state, caller.subscription_name or ""
            )
        if caller.role is Role.OPERATOR:
            row = await anyio.to_thread.run_sync(_row, context, subscription_id)
            if row is not None:
                state = SubscriptionState.of(row.closed_at, row.exported_at)
                return Entered(SubscriptionId(subscription_id), state, row.name)
    raise SubscriptionNotFound("There is no such subscription for this key.")


def _row(context: Context, subscription_id: UUID) -> SubscriptionRow | None:
    with context.database.transaction(subscription_id) as tx:
        return tenancy.subscription(tx, subscription_id)


def locked_user(tx: Transaction, subscription_id: SubscriptionId, user_id: UUID | None) -> User:
    """Read a user and lock it against deletion until the transaction ends; raises UserNotFound."""
    row = None if user_id is None else tenancy.user(tx, subscription_id, user_id, lock=True)
    if row is None:
        raise UserNotFound("There is no such user in this subscription.")
    return row
