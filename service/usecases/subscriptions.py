"""Subscriptions: create, update, list, measure and show them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import data_changes
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Caller, Right
from service.domain.errors import SubscriptionClosed, SubscriptionNotFound
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, mint
from service.domain.overtaken import check_seen
from service.domain.pagination import Page, Paging, uuid_position
from service.domain.quotas import Quota
from service.runtime.settings import git_url
from service.usecases.context import Context
from service.usecases.quotas import QuotaUse, use_of
from service.usecases.retries import run_once
from sql.database import PLATFORM, Transaction
from sql.queries import repositories, subscription_sizes, tenancy
from sql.queries.audit_logs import Values
from sql.queries.subscription_sizes import MAX_COUNTED, SubscriptionSize
from sql.queries.tenancy import SubscriptionRow

__all__ = ["MAX_COUNTED", "MeasuredSubscription", "Subscription"]

_SUBSCRIPTION = TypeAdapter(SubscriptionRow)
_QUOTA_COLUMNS = {quota.column for quota in Quota}
_QUOTA_POINTERS = {quota.column: f"/quotas/{quota.value}" for quota in Quota}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Subscription as the API shows it."""

    subscription_id: UUID
    name: str
    created_at: datetime
    git_url: str
    require_if_match: bool
    cors_origins: list[str]
    clone_after_purge: str
    closed_at: datetime | None
    closed_by: str | None
    close_reason: str | None
    purge_after: datetime | None
    exported_at: datetime | None
    purged_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSubscription(Subscription):
    """Subscription with its quotas, by their names, and what is used of them."""

    quotas: dict[str, QuotaUse]


def create_subscription(
    context: Context, caller: Caller, name: str, *, require_if_match: bool, once: Attempt | None
) -> Subscription:
    """Create a subscription and its empty repository; raises Forbidden."""

    def work(tx: Transaction) -> SubscriptionRow:
        return add_subscription(tx, context, caller, name, require_if_match=require_if_match)

    # The result is stored for retries under the platform: before the first try there is no subscription.
    return shown(context, run_once(context, PLATFORM, once, _SUBSCRIPTION, work))


def add_subscription(
    tx: Transaction, context: Context, caller: Caller, name: str, *, require_if_match: bool
) -> SubscriptionRow:
    """Create a subscription and its empty repository in a transaction of the platform; raises Forbidden."""
    caller.needs(Right.CREATE_SUBSCRIPTIONS)
    at = context.clock()
    row = SubscriptionRow(SubscriptionId(mint()), name, at, require_if_match)
    # Made before the rows: a folder without rows is harmless, but rows without a folder are a fault.
    context.store.ensure(str(row.subscription_id))
    tenancy.insert_subscription(tx, row)
    repositories.create(tx, row.subscription_id, at)
    data_changes.record(
        tx,
        caller,
        row.subscription_id,
        subject_of(row),
        Action.CREATE,
        at,
        table="subscriptions",
        record_id=row.subscription_id,
        new=settings_of(row),
    )
    return row


def update_subscription(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    wanted: Values,
    *,
    seen: Values | None = None,
) -> MeasuredSubscription:
    """Set the settings that `wanted` has, quotas by their names; raises SubscriptionClosed.

    Only the operator sets quotas: raises Forbidden. With `seen`, a setting that is not as it was seen is left
    to whoever changed it: raises StaleVersion.
    """
    if "quotas" in wanted:
        caller.needs(Right.SET_QUOTAS)
    values = _by_column(wanted)
    with context.database.transaction(subscription_id) as tx:
        before = tenancy.subscription(tx, subscription_id, lock=True)
        if before is None:
            raise SubscriptionNotFound("There is no such subscription for this key.")
        if before.closed_at is not None:
            # It was closed after the caller was admitted.
            raise SubscriptionClosed("The subscription was closed: it is only read.")
        check_seen(asdict(before), values, None if seen is None else _by_column(seen), _QUOTA_POINTERS)
        # Read under the lock, so that the times of changes are in the order of their numbers.
        at = context.clock()
        after = replace(before, **values)
        if after != before:
            tenancy.update_settings(tx, after)
            data_changes.record(
                tx,
                caller,
                subscription_id,
                subject_of(after),
                Action.UPDATE,
                at,
                table="subscriptions",
                record_id=subscription_id,
                old=settings_of(before),
                new=settings_of(after),
            )
        return _measured(context, tx, after)


def subscriptions(context: Context, caller: Caller, paging: Paging) -> Page[Subscription]:
    """List all subscriptions if the caller is the operator, else the caller's own; newest first."""
    filters = {"list": "subscriptions", "of": caller.subscription_id}
    before = uuid_position(paging.position(filters))
    with context.database.transaction(caller.subscription_id or PLATFORM) as tx:
        rows = tenancy.subscriptions(tx, caller.subscription_id, before=before, limit=paging.limit + 1)
    items = [shown(context, row) for row in rows]
    return paging.page(items, filters, lambda item: [str(item.subscription_id)])


def sizes(context: Context, caller: Caller, found: Sequence[Subscription]) -> Mapping[UUID, SubscriptionSize]:
    """Measure the subscriptions of a list by their ids, for the operator; a purged one has no size."""
    caller.needs(Right.CREATE_SUBSCRIPTIONS)
    with context.database.transaction(PLATFORM) as tx:
        return subscription_sizes.of(tx, [each.subscription_id for each in found])


def names(context: Context, caller: Caller, of: Iterable[UUID | None]) -> Mapping[UUID, str]:
    """Read the names of subscriptions, for the operator; without those that are not there."""
    caller.needs(Right.CREATE_SUBSCRIPTIONS)
    with context.database.transaction(PLATFORM) as tx:
        return tenancy.subscription_names(tx, {each for each in of if each is not None})


def subscription(context: Context, subscription_id: SubscriptionId) -> MeasuredSubscription:
    """Show a subscription with its quotas; raises SubscriptionNotFound."""
    with context.database.transaction(subscription_id) as tx:
        row = tenancy.subscription(tx, subscription_id)
        if row is None:
            raise SubscriptionNotFound("There is no such subscription for this key.")
        return _measured(context, tx, row)


def shown(context: Context, row: SubscriptionRow) -> Subscription:
    """Make a subscription, as the API shows it, from its row."""
    return Subscription(**_shown(context, row))


def _measured(context: Context, tx: Transaction, row: SubscriptionRow) -> MeasuredSubscription:
    return MeasuredSubscription(**_shown(context, row), quotas=use_of(tx, row, context.clock()))


def _shown(context: Context, row: SubscriptionRow) -> Values:
    values = {name: value for name, value in asdict(row).items() if name not in _QUOTA_COLUMNS}
    return values | {"git_url": git_url(context.public_url, row.subscription_id)}


def _by_column(settings: Values) -> Values:
    values = {name: value for name, value in settings.items() if name != "quotas"}
    return values | {Quota(name).column: limit for name, limit in settings.get("quotas", {}).items()}


def subject_of(row: SubscriptionRow) -> Subject:
    """Make a subscription the subject of an event."""
    return Subject("subscription", row.subscription_id, row.name)


def settings_of(row: SubscriptionRow) -> Values:
    """State of a subscription as log rows record it; the fields of its closing only while it is closed.

    Quotas and origins are in it as far as they are set.
    """
    values = asdict(row)
    closed = {name: values[name] for name in tenancy.CLOSING if values[name] is not None}
    set_quotas = {quota.value: limit for quota in Quota if (limit := values[quota.column]) is not None}
    quotas = {"quotas": set_quotas} if set_quotas else {}
    origins = {"cors_origins": row.cors_origins} if row.cors_origins else {}
    rules = {name: values[name] for name in ("require_if_match", "clone_after_purge")}
    return {"name": row.name, **rules, **origins, **quotas, **closed}
