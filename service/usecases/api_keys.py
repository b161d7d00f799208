"""API keys: make them for a user, list them without their secrets, delete them with effect at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import data_changes, events
from service.audit.events import Author, Subject
from service.domain.actions import Action
from service.domain.api_keys import digest, mint_key
from service.domain.callers import Caller, Machine, Origin
from service.domain.errors import KeyNotFound, OwnKey
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, mint
from service.domain.pagination import Page, Paging, uuid_position
from service.runtime.clock import Clock
from service.usecases.context import Context
from service.usecases.retries import run_once
from service.usecases.tenancy import locked_user
from sql.database import PLATFORM, Database, Transaction
from sql.queries import tenancy, web_sessions
from sql.queries.audit_logs import Values
from sql.queries.tenancy import KeyRow as Key

__all__ = ["Key", "NewKey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """New key as the API shows it once; `api_key` is the secret, and None in the answer to a retry."""

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
        return add_key(
            tx,
            caller,
            subscription_id,
            user_id=user_id,
            name=name,
            at=context.clock(),
            expires_in_days=expires_in_days,
        )

    return run_once(context, subscription_id, once, _NEW_KEY, work, kept=without_secret)


def add_key(
    tx: Transaction,
    caller: Caller,
    subscription_id: SubscriptionId,
    *,
    user_id: UUID,
    name: str,
    at: datetime,
    expires_in_days: int | None,
) -> NewKey:
    """Make a key for a user; raises UserNotFound."""
    expires_at = None if expires_in_days is None else at + timedelta(days=expires_in_days)
    key_id = mint()
    minted = mint_key(key_id)
    user = locked_user(tx, subscription_id, user_id)
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
    data_changes.record(
        tx,
        caller,
        subscription_id,
        Subject("api_key", key_id, name),
        Action.CREATE,
        at,
        table="api_keys",
        record_id=key_id,
        new=key_state(row),
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


def without_secret(key: NewKey) -> NewKey:
    """Make the key of the answer to a retry, which shows no secret."""
    return replace(key, api_key=None, secret_shown=False)


def keys(context: Context, subscription_id: SubscriptionId, paging: Paging) -> Page[Key]:
    """List the keys of a subscription without their secrets, newest first."""
    filters = {"list": "api-keys", "of": subscription_id}
    before = uuid_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        rows = tenancy.keys(tx, subscription_id, before=before, limit=paging.limit + 1)
    return paging.page(rows, filters, lambda item: [str(item.key_id)])


def key(context: Context, subscription_id: SubscriptionId, key_id: UUID | None) -> Key:
    """Show a key without its secret; raises KeyNotFound."""
    with context.database.transaction(subscription_id) as tx:
        row = None if key_id is None else tenancy.key(tx, subscription_id, key_id)
    if row is None:
        raise KeyNotFound("There is no such API key in this subscription.")
    return row


def last_logins(
    context: Context, subscription_id: SubscriptionId, keys: Sequence[Key]
) -> dict[UUID, datetime]:
    """Times of the last logins with keys, by their ids; a login is noted once an hour at most."""
    with context.database.transaction(subscription_id) as tx:
        return tenancy.last_logins(tx, subscription_id, [each.key_id for each in keys])


def delete_key(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    key_id: UUID | None,
    *,
    once: Attempt | None = None,
) -> None:
    """Delete a key, with effect at once; raises KeyNotFound, and OwnKey for the key of the call itself."""
    at = context.clock()

    def work(tx: Transaction) -> None:
        if key_id is not None and key_id == caller.key_id:
            raise OwnKey("A key can't delete itself: make a new key, and delete this one with it.")
        row = None if key_id is None else tenancy.key(tx, subscription_id, key_id)
        if row is None or not tenancy.delete_key(tx, subscription_id, row.key_id):
            raise KeyNotFound("There is no such API key in this subscription.")
        record_revocation(tx, caller, subscription_id, row, at)

    run_once(context, subscription_id, once, TypeAdapter(type(None)), work)


def key_state(key: Key) -> Values:
    """State of a key as log rows record it."""
    return {"key_id": key.key_id, "user_id": key.user_id, "name": key.name, "expires_at": key.expires_at}


def record_revocation(tx: Transaction, author: Author, subscription_id: UUID, key: Key, at: datetime) -> None:
    """Record the end of a key: its deletion, and its user's LOGOUT."""
    subject = Subject("api_key", key.key_id, key.name)
    state = key_state(key)
    data_changes.record(
        tx,
        author,
        subscription_id,
        subject,
        Action.DELETE,
        at,
        table="api_keys",
        record_id=key.key_id,
        old=state,
    )
    about = {"user_id": key.user_id, "username": key.username}
    events.record(tx, author, subscription_id, subject, Action.LOGOUT, at, old=about)


def ensure_operator_key(
    database: Database,
    clock: Clock,
    chosen: str | None,
    *,
    announce: Callable[[str], None] = lambda _: None,
) -> str | None:
    """Store the operator's key if one was chosen; otherwise, if none is stored, make a key and return it.

    A new key is announced before it is stored: a shown key that is not valid is noticed, but a valid key that
    was never shown would be lost.
    """
    with database.transaction(PLATFORM) as tx:
        tenancy.lock_operator(tx)
        stored = tenancy.operator_hash(tx)
        if chosen is None and stored is not None:
            return None
        key_id = mint()
        made = mint_key(key_id)
        secret_hash = made.secret_hash if chosen is None else digest(chosen)
        if chosen is None:
            announce(made.text)
        at = clock()
        if stored is None:
            _record_operator_key(tx, key_id, Action.CREATE, at)
            tenancy.insert_key(
                tx,
                None,
                key_id=key_id,
                user_id=None,
                name=tenancy.OPERATOR_KEY_NAME,
                secret_hash=secret_hash,
                created_by=None,
                at=at,
                expires_at=None,
            )
        elif stored != secret_hash:
            _record_operator_key(tx, None, Action.UPDATE, at)
            tenancy.replace_operator_hash(tx, secret_hash, at)
            # They were begun with the key that is replaced.
            web_sessions.end_of_operator(tx)
    return made.text if chosen is None else None


def _record_operator_key(tx: Transaction, key_id: UUID | None, action: Action, at: datetime) -> None:
    origin = Origin(
        request_id=f"start-{mint()}",
        ip_address=None,
        user_agent=None,
        endpoint="annals serve",
        method="START",
    )
    starter = Machine(username="system:start", origin=origin)
    subject = Subject("api_key", key_id, tenancy.OPERATOR_KEY_NAME)
    events.record(tx, starter, None, subject, action, at, new={"name": tenancy.OPERATOR_KEY_NAME})
