"""Closing a subscription: it can only be read until it is reopened or purged."""

from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter

from service.audit import data_changes
from service.audit.events import Author
from service.domain import legal_holds
from service.domain.actions import Action
from service.domain.callers import Caller
from service.domain.errors import SubscriptionClosed, SubscriptionNotFound, SubscriptionOpen
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from service.usecases.context import Context
from service.usecases.retries import run_once
from service.usecases.subscriptions import Subscription, settings_of, shown, subject_of
from sql.database import Transaction
from sql.queries import legal_holds as held_rows
from sql.queries import repositories, tenancy
from sql.queries.tenancy import SubscriptionRow

_SUBSCRIPTION = TypeAdapter(SubscriptionRow)


def close(
    context: Context, caller: Caller, subscription_id: SubscriptionId, reason: str, *, once: Attempt | None
) -> Subscription:
    """Close a subscription: from now on it can only be read, and after the setting `purge_days` it is purged.

    Raises SubscriptionClosed if it is closed already, and Held if a legal hold keeps it.
    """

    def work(tx: Transaction) -> SubscriptionRow:
        before = _locked(tx, subscription_id)
        if before.closed_at is not None:
            raise SubscriptionClosed("The subscription is closed already.")
        # The committer takes this lock, too: a running batch is written before the closing, none after it.
        repositories.lock(tx, subscription_id)
        at = context.clock()
        in_the_way = next(iter(held_rows.running(tx, subscription_id, at)), None)
        if in_the_way is not None:
            raise legal_holds.held(in_the_way)
        after = replace(
            before,
            closed_at=at,
            closed_by=caller.username,
            close_reason=reason,
            purge_after=at + timedelta(days=context.settings.purge_days),
        )
        _store(tx, _because(caller, reason), before, after, at)
        return after

    return shown(context, run_once(context, subscription_id, once, _SUBSCRIPTION, work))


def reopen(
    context: Context, caller: Caller, subscription_id: SubscriptionId, reason: str, *, once: Attempt | None
) -> Subscription:
    """Reopen a closed subscription.

    Raises SubscriptionOpen if it is not closed, and SubscriptionClosed if it was exported to be purged.
    """

    def work(tx: Transaction) -> SubscriptionRow:
        before = _locked(tx, subscription_id)
        if before.closed_at is None:
            raise SubscriptionOpen("The subscription is not closed.")
        if before.exported_at is not None:
            raise SubscriptionClosed("It is too late: the subscription was exported, and is purged.")
        after = replace(
            before,
            closed_at=None,
            closed_by=None,
            close_reason=None,
            purge_after=None,
            exported_at=None,
            purged_at=None,
        )
        _store(tx, _because(caller, reason), before, after, context.clock())
        return after

    return shown(context, run_once(context, subscription_id, once, _SUBSCRIPTION, work))


def _because(caller: Caller, reason: str) -> Caller:
    """Return the caller with the reason from the request's body."""
    return replace(caller, origin=replace(caller.origin, reason=reason))


def _locked(tx: Transaction, subscription_id: SubscriptionId) -> SubscriptionRow:
    """Read a subscription's row, locked until the transaction ends; raises SubscriptionNotFound."""
    row = tenancy.subscription(tx, subscription_id, lock=True)
    if row is None:
        raise SubscriptionNotFound("There is no such subscription for this key.")
    return row


def _store(
    tx: Transaction, author: Author, before: SubscriptionRow, after: SubscriptionRow, at: datetime
) -> None:
    tenancy.update_closing(tx, after)
    data_changes.record(
        tx,
        author,
        after.subscription_id,
        subject_of(after),
        Action.UPDATE,
        at,
        table="subscriptions",
        record_id=after.subscription_id,
        old=settings_of(before),
        new=settings_of(after),
    )
