"""Subscriptions, users and keys."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service import audit
from service.addresses import git_url
from service.audit import Action
from service.callers import Caller, Right, Role
from service.clock import Clock
from service.context import Context
from service.errors import Fault, KeyNotFound, SubscriptionNotFound, UsernameTaken, UserNotFound
from service.ids import SubscriptionId, UserId, mint
from service.pages import Page, Paging, uuid_position
from service.usecases.keys import digest, mint_key
from sql.database import PLATFORM, Database, Transaction
from sql.errors import UniqueConflict
from sql.queries import audit_logs, check_outs, repositories, resources, tenancy
from sql.queries.audit_logs import Values
from sql.queries.tenancy import KeyRow as Key
from sql.queries.tenancy import SubscriptionRow
from sql.queries.tenancy import UserRow as User

__all__ = ["Key", "NewKey", "Subscription", "User"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A tenant as the API shows it."""

    subscription_id: UUID
    name: str
    created_at: datetime
    git_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key as it is shown once; `api_key` is the secret."""

    key_id: UUID
    user_id: UUID
    username: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    api_key: str


def may_enter(context: Context, caller: Caller, subscription_id: UUID | None) -> SubscriptionId:
    """The subscription, if the caller belongs to it or is the operator; raises SubscriptionNotFound."""
    if subscription_id is not None and caller.subscription_id == subscription_id:
        return SubscriptionId(subscription_id)
    if subscription_id is not None and caller.role is Role.OPERATOR:
        with context.database.transaction(subscription_id) as tx:
            if tenancy.subscription(tx, subscription_id) is not None:
                return SubscriptionId(subscription_id)
    raise SubscriptionNotFound("There is no such subscription for this key.")


def ensure_operator_key(database: Database, clock: Clock, chosen: str | None) -> str | None:
    """Let the operator's key be the chosen one, or make one where there is none; the made one is returned."""
    with database.transaction(PLATFORM) as tx:
        stored = tenancy.operator_hash(tx)
        if chosen is None and stored is not None:
            return None
        key_id = mint()
        made = mint_key(key_id)
        secret_hash = made.secret_hash if chosen is None else digest(chosen)
        if stored is None:
            tenancy.insert_key(
                tx,
                None,
                key_id=key_id,
                user_id=None,
                name=tenancy.OPERATOR_KEY_NAME,
                secret_hash=secret_hash,
                created_by=None,
                at=clock(),
                expires_at=None,
            )
        elif stored != secret_hash:
            tenancy.replace_operator_hash(tx, secret_hash, clock())
    return made.text if chosen is None else None


def create_subscription(context: Context, caller: Caller, name: str) -> Subscription:
    """Add a tenant and its empty repository."""
    caller.needs(Right.CREATE_SUBSCRIPTIONS)
    at = context.clock()
    subscription_id = SubscriptionId(mint())
    # Before the rows: a folder without rows is harmless, rows without a folder are not.
    context.store.ensure(str(subscription_id))
    with context.database.transaction(subscription_id) as tx:
        tenancy.insert_subscription(tx, subscription_id, name, at)
        repositories.create(tx, subscription_id, at)
        _record(
            tx,
            caller,
            subscription_id,
            Action.CREATE,
            "subscription",
            subscription_id,
            name,
            at,
            None,
            {"name": name},
        )
    return _shown(context, SubscriptionRow(subscription_id, name, at))


def subscriptions(context: Context, caller: Caller, paging: Paging) -> Page[Subscription]:
    """All subscriptions for the operator, its own one for anybody else; newest first."""
    filters = {"list": "subscriptions", "of": caller.subscription_id}
    before = uuid_position(paging.position(filters))
    with context.database.transaction(caller.subscription_id or PLATFORM) as tx:
        rows = tenancy.subscriptions(tx, caller.subscription_id, before=before, limit=paging.limit + 1)
    shown = [_shown(context, row) for row in rows]
    return paging.page(shown, filters, lambda item: [str(item.subscription_id)])


def subscription(context: Context, subscription_id: SubscriptionId) -> Subscription:
    """One subscription."""
    with context.database.transaction(subscription_id) as tx:
        row = tenancy.subscription(tx, subscription_id)
    if row is None:
        raise SubscriptionNotFound("There is no such subscription for this key.")
    return _shown(context, row)


def create_user(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    *,
    username: str,
    email: str | None,
    role: Role,
) -> User:
    """Add a user; raises UsernameTaken."""
    at = context.clock()
    row = User(user_id=mint(), username=username, email=email, role=role, created_at=at, updated_at=at)
    try:
        with context.database.transaction(subscription_id) as tx:
            tenancy.insert_user(
                tx,
                subscription_id,
                user_id=row.user_id,
                username=username,
                email=email,
                role=role,
                at=at,
            )
            _record(
                tx,
                caller,
                subscription_id,
                Action.CREATE,
                "user",
                row.user_id,
                username,
                at,
                None,
                _state(row),
            )
    except UniqueConflict as conflict:
        if conflict.constraint != "uq_users_subscription_id_username":
            raise
        detail = f"the username {username!r} is taken"
        raise UsernameTaken(f"/username: {detail}.", faults=[Fault(detail, pointer="/username")]) from None
    return row


def users(context: Context, subscription_id: SubscriptionId, paging: Paging) -> Page[User]:
    """The users of a subscription, newest first."""
    filters = {"list": "users", "of": subscription_id}
    before = uuid_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        rows = tenancy.users(tx, subscription_id, before=before, limit=paging.limit + 1)
    return paging.page(rows, filters, lambda item: [str(item.user_id)])


def change_user(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    user_id: UUID | None,
    changes: Values,
) -> User:
    """Set what `changes` holds of email and role; raises UserNotFound."""
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        before = _user(tx, subscription_id, user_id)
        email, role = changes.get("email", before.email), changes.get("role", before.role)
        tenancy.update_user(tx, subscription_id, before.user_id, email=email, role=role, at=at)
        after = User(before.user_id, before.username, email, role, before.created_at, at)
        _record(
            tx,
            caller,
            subscription_id,
            Action.UPDATE,
            "user",
            before.user_id,
            before.username,
            at,
            _state(before),
            _state(after) | ({"email_changed": True} if email != before.email else {}),
        )
    return after


def delete_user(
    context: Context, caller: Caller, subscription_id: SubscriptionId, user_id: UUID | None
) -> None:
    """Remove a user with its keys and check-outs; raises UserNotFound."""
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        row = _user(tx, subscription_id, user_id)
        held = check_outs.held_by(tx, subscription_id, row.user_id)
        kinds = sorted({check_out.resource_type for check_out in held})
        for kind in kinds:
            ids = [check_out.resource_id for check_out in held if check_out.resource_type == kind]
            resources.lock(tx, subscription_id, kind, ids)
        # Read again under the locks: one may have been checked in meanwhile.
        for check_out in check_outs.held_by(tx, subscription_id, row.user_id):
            check_outs.release(tx, subscription_id, check_out, at=at, by=caller.user_id, kind="user_deleted")
        tenancy.delete_user(tx, subscription_id, row.user_id)
        _record(
            tx,
            caller,
            subscription_id,
            Action.DELETE,
            "user",
            row.user_id,
            row.username,
            at,
            _state(row),
            None,
        )


def create_key(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    *,
    user_id: UUID,
    name: str,
    expires_in_days: int | None,
) -> NewKey:
    """Make a key for a user; raises UserNotFound."""
    at = context.clock()
    expires_at = None if expires_in_days is None else at + timedelta(days=expires_in_days)
    key_id = mint()
    minted = mint_key(key_id)
    with context.database.transaction(subscription_id) as tx:
        user = _user(tx, subscription_id, user_id)
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
        _record(
            tx, caller, subscription_id, Action.CREATE, "api_key", key_id, name, at, None, _key_state(row)
        )
    return NewKey(
        key_id=key_id,
        user_id=user.user_id,
        username=user.username,
        name=name,
        created_at=at,
        expires_at=expires_at,
        api_key=minted.text,
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
        _record(
            tx,
            caller,
            subscription_id,
            Action.DELETE,
            "api_key",
            row.key_id,
            row.name,
            at,
            _key_state(row),
            None,
        )


def _user(tx: Transaction, subscription_id: SubscriptionId, user_id: UUID | None) -> User:
    row = None if user_id is None else tenancy.user(tx, subscription_id, user_id, lock=True)
    if row is None:
        raise UserNotFound("There is no such user in this subscription.")
    return row


def _shown(context: Context, row: SubscriptionRow) -> Subscription:
    return Subscription(
        subscription_id=row.subscription_id,
        name=row.name,
        created_at=row.created_at,
        git_url=git_url(context.public_url, row.subscription_id),
    )


def _state(row: User) -> Values:
    # The e-mail address stays out of the log: a person can be erased, a log row can't.
    return {"user_id": UserId(row.user_id), "username": row.username, "role": row.role}


def _key_state(row: Key) -> Values:
    return {"key_id": row.key_id, "user_id": row.user_id, "name": row.name, "expires_at": row.expires_at}


def _record(
    tx: Transaction,
    caller: Caller,
    subscription_id: SubscriptionId,
    action: Action,
    resource_type: str,
    resource_id: UUID,
    resource_name: str,
    at: datetime,
    old: Values | None,
    new: Values | None,
) -> None:
    row = audit.event(
        action,
        subscription_id=subscription_id,
        user_id=caller.user_id,
        username=caller.username,
        origin=caller.origin,
        at=at,
        resource_type=resource_type,
        resource_id=resource_id,
        resource_name=resource_name,
        old=old,
        new=new,
    )
    audit_logs.insert_rows(tx, [row])
