"""New tenants: a subscription, its first admin, and the key by which the admin signs in."""

from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from service.domain.callers import Caller, Role, UserKind
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, mint
from service.usecases import api_keys, subscriptions, users
from service.usecases.api_keys import NewKey
from service.usecases.context import Context
from service.usecases.retries import run_once
from service.usecases.subscriptions import Subscription
from service.usecases.users import User
from sql.database import PLATFORM, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantTerms:
    """Name of the subscription, name and address of its first admin, name and days of the admin's key."""

    name: str
    require_if_match: bool
    username: str
    email: str | None
    key_name: str
    expires_in_days: int | None


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A new subscription, and the key of its admin."""

    subscription: Subscription
    key: NewKey


_NEW_TENANT = TypeAdapter(NewTenant)


def create(context: Context, caller: Caller, wanted: TenantTerms, *, once: Attempt | None) -> NewTenant:
    """Make a subscription with an admin and a key, all or nothing; raises Forbidden."""

    def work(tx: Transaction) -> NewTenant:
        made = subscriptions.add_subscription(
            tx, context, caller, wanted.name, require_if_match=wanted.require_if_match
        )
        subscription_id, at = SubscriptionId(made.subscription_id), made.created_at
        admin = User(mint(), wanted.username, wanted.email, Role.ADMIN, at, at, UserKind.HUMAN)
        users.add_user(tx, caller, subscription_id, admin)
        key = api_keys.add_key(
            tx,
            caller,
            subscription_id,
            user_id=admin.user_id,
            name=wanted.key_name,
            at=at,
            expires_in_days=wanted.expires_in_days,
        )
        return NewTenant(subscriptions.shown(context, made), key)

    return run_once(
        context,
        PLATFORM,
        once,
        _NEW_TENANT,
        work,
        kept=lambda made: replace(made, key=api_keys.without_secret(made.key)),
    )
