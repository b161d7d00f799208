"""New tenants: a subscription, its first admin, and the key by which the admin signs in."""

from dataclasses import dataclass

from service.domain.callers import Caller, Role, UserKind
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from service.usecases import api_keys, subscriptions, users
from service.usecases.api_keys import NewKey
from service.usecases.context import Context
from service.usecases.subscriptions import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantTerms:
    """Name of the subscription, name and address of its first admin, name and days of the admin's key."""

    name: str
    require_if_match: bool
    username: str
    email: str | None
    key_name: str
    expires_in_days: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantAttempts:
    """Attempts of the three steps, each of which is carried out once."""

    subscription: Attempt | None
    user: Attempt | None
    key: Attempt | None


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A new subscription, and the key of its admin."""

    subscription: Subscription
    key: NewKey


def create(context: Context, caller: Caller, wanted: TenantTerms, once: TenantAttempts) -> NewTenant:
    """Make a subscription with an admin and a key, in three transactions; a retry completes them."""
    made = subscriptions.create_subscription(
        context, caller, wanted.name, require_if_match=wanted.require_if_match, once=once.subscription
    )
    subscription_id = SubscriptionId(made.subscription_id)
    admin = users.create_user(
        context,
        caller,
        subscription_id,
        username=wanted.username,
        kind=UserKind.HUMAN,
        email=wanted.email,
        role=Role.ADMIN,
        once=once.user,
    )
    key = api_keys.create_key(
        context,
        caller,
        subscription_id,
        user_id=admin.user_id,
        name=wanted.key_name,
        expires_in_days=wanted.expires_in_days,
        once=once.key,
    )
    return NewTenant(made, key)
