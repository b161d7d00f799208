"""API keys: made for a user, listed without their secrets, removed with effect at once."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import data_changes
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Caller
from service.domain.errors import KeyNotFound
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, mint
from service.domain.pagination import Page, Paging, uuid_position
from service.usecases.authentication import key_state, mint_key, record_revocation
from service.usecases.context import Context
from service.usecases.retries import run_once
from service.usecases.tenancy import held_user
from sql.database import Transaction
from sql.queries import tenancy
from sql.queries.tenancy import KeyRow as Key

__all__ = ["Key", "NewKey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key as it is shown once; `api_key` is the secret, which a retry is not shown again."""

    key_id: UUID
    user_id: UUID
    username: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    api_key: str | None
    secret_shown: bool


_NEW_KEY = TypeAdapter(NewKey)


def create_key(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    *,
    user_id: UUID,
    name: str,
    expires_in_days: int | None,
    once: Attempt | None,
) -> NewKey:
    """Make a key for a user; raises UserNotFound."""

    def work(tx: Transaction) -> NewKey:
        at = context.clock()
        expires_at = None if expires_in_days is None else at + timedelta(days=expires_in_days)
        key_id = mint()
        minted = mint_key(key_id)
        user = held_user(tx, subscription_id, user_id)
        tenancy.insert_key(
            tx,
            subscription_id,
            key_id=key_id,
            user_id=user.user_id,
            name=name,
            secret_hash=minted.secret_hash,
            created_by=caller.user_id,
            at=at,
            expires_at=expires_at,
        )
        row = Key(key_id, user.user_id, user.username, name, at, expires_at)
        subject = Subject("api_key", key_id, name)
        state = key_state(row)
        data_changes.record(
            tx,
            caller,
            subscription_id,
            subject,
            Action.CREATE,
            at,
            table="api_keys",
            record_id=key_id,
            new=state,
        )
        return NewKey(
            key_id=key_id,
            user_id=user.user_id,
            username=user.username,
            name=name,
            created_at=at,
            expires_at=expires_at,
            api_key=minted.text,
            secret_shown=True,
        )

    return run_once(
        context,
        subscription_id,
        once,
        _NEW_KEY,
        work,
        kept=lambda key: replace(key, api_key=None, secret_shown=False),
    )


def keys(context: Context, subscription_id: SubscriptionId, paging: Paging) -> Page[Key]:
    """The keys of a subscription without their secrets, newest first."""
    filters = {"list": "api-keys", "of": subscription_id}
    before = uuid_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        rows = tenancy.keys(tx, subscription_id, before=before, limit=paging.limit + 1)
    return paging.page(rows, filters, lambda item: [str(item.key_id)])


def delete_key(
    context: Context, caller: Caller, subscription_id: SubscriptionId, key_id: UUID | None
) -> None:
    """Remove a key, with effect at once; raises KeyNotFound."""
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        row = None if key_id is None else tenancy.key(tx, subscription_id, key_id)
        if row is None or not tenancy.delete_key(tx, subscription_id, row.key_id):
            raise KeyNotFound("There is no such API key in this subscription.")
        record_revocation(tx, caller, subscription_id, row, at)
