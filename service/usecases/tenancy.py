"""Subscriptions and their users."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import UUID

import anyio.to_thread
from pydantic import TypeAdapter

from service.audit import data_changes, events
from service.audit.events import Subject, check_out_state
from service.domain.actions import Action
from service.domain.callers import Caller, Machine, Origin, Right, Role, Standing
from service.domain.errors import Fault, SubscriptionClosed, SubscriptionNotFound, UsernameTaken, UserNotFound
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, UserId, mint
from service.domain.pagination import Page, Paging, uuid_position
from service.runtime.clock import Clock
from service.runtime.settings import git_url
from service.usecases.authentication import digest, mint_key, record_revocation
from service.usecases.context import Context
from service.usecases.retries import run_once
from sql.database import PLATFORM, Database, Transaction
from sql.errors import UniqueConflict
from sql.queries import check_outs, repositories, resources, tenancy
from sql.queries.audit_logs import Values
from sql.queries.tenancy import SubscriptionRow
from sql.queries.tenancy import UserRow as User

__all__ = ["Subscription", "User"]

_SUBSCRIPTION = TypeAdapter(SubscriptionRow)
_USER = TypeAdapter(User)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A tenant as the API shows it."""

    subscription_id: UUID
    name: str
    created_at: datetime
    git_url: str
    require_if_match: bool
    closed_at: datetime | None
    closed_by: str | None
    close_reason: str | None
    purge_after: datetime | None
    exported_at: datetime | None
    purged_at: datetime | None


@dataclass(frozen=True, slots=True)
class Entered:
    """A subscription that a caller is let into, and what it can be used for."""

    subscription_id: SubscriptionId
    standing: Standing


async def may_enter(context: Context, caller: Caller, subscription_id: UUID | None) -> Entered:
    """The subscription, if the caller belongs to it or is the operator; raises SubscriptionNotFound."""
    if subscription_id is not None:
        if caller.subscription_id == subscription_id:
            return Entered(SubscriptionId(subscription_id), caller.standing)
        if caller.role is Role.OPERATOR:
            row = await anyio.to_thread.run_sync(_row, context, subscription_id)
            if row is not None:
                return Entered(SubscriptionId(subscription_id), Standing.of(row.closed_at, row.exported_at))
    raise SubscriptionNotFound("There is no such subscription for this key.")


def _row(context: Context, subscription_id: UUID) -> SubscriptionRow | None:
    with context.database.transaction(subscription_id) as tx:
        return tenancy.subscription(tx, subscription_id)


def ensure_operator_key(
    database: Database,
    clock: Clock,
    chosen: str | None,
    *,
    announce: Callable[[str], None] = lambda _: None,
) -> str | None:
    """Let the operator's key be the chosen one, or make one where there is none; the made one is returned.

    A made key is announced before it is stored: one that was shown and is not valid can be seen to be so, one
    that is valid and was never shown is lost.
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


def create_subscription(
    context: Context, caller: Caller, name: str, *, require_if_match: bool, once: Attempt | None
) -> Subscription:
    """Add a tenant and its empty repository."""
    caller.needs(Right.CREATE_SUBSCRIPTIONS)

    def work(tx: Transaction) -> SubscriptionRow:
        at = context.clock()
        row = SubscriptionRow(SubscriptionId(mint()), name, at, require_if_match)
        # Before the rows: a folder without rows is harmless, rows without a folder are not.
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

    # Of the platform: before the subscription is there, no retry of this call can belong to it.
    return shown(context, run_once(context, PLATFORM, once, _SUBSCRIPTION, work))


def change_subscription(
    context: Context, caller: Caller, subscription_id: SubscriptionId, wanted: Values
) -> Subscription:
    """Set what `wanted` holds of name and require_if_match."""
    with context.database.transaction(subscription_id) as tx:
        before = tenancy.subscription(tx, subscription_id, lock=True)
        if before is None:
            raise SubscriptionNotFound("There is no such subscription for this key.")
        if before.closed_at is not None:
            # Since the caller was let in.
            raise SubscriptionClosed("The subscription was closed: it is only read.")
        # Under the lock, so that changes have times in the order of their numbers.
        at = context.clock()
        after = replace(before, **wanted)
        if after != before:
            tenancy.update_subscription(
                tx, subscription_id, name=after.name, require_if_match=after.require_if_match
            )
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
    return shown(context, after)


def subscriptions(context: Context, caller: Caller, paging: Paging) -> Page[Subscription]:
    """All subscriptions for the operator, its own one for anybody else; newest first."""
    filters = {"list": "subscriptions", "of": caller.subscription_id}
    before = uuid_position(paging.position(filters))
    with context.database.transaction(caller.subscription_id or PLATFORM) as tx:
        rows = tenancy.subscriptions(tx, caller.subscription_id, before=before, limit=paging.limit + 1)
    items = [shown(context, row) for row in rows]
    return paging.page(items, filters, lambda item: [str(item.subscription_id)])


def subscription(context: Context, subscription_id: SubscriptionId) -> Subscription:
    """One subscription."""
    with context.database.transaction(subscription_id) as tx:
        row = tenancy.subscription(tx, subscription_id)
    if row is None:
        raise SubscriptionNotFound("There is no such subscription for this key.")
    return shown(context, row)


def create_user(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    *,
    username: str,
    email: str | None,
    role: Role,
    once: Attempt | None,
) -> User:
    """Add a user; raises UsernameTaken."""

    def work(tx: Transaction) -> User:
        at = context.clock()
        row = User(mint(), username, email, role, at, at)
        tenancy.insert_user(
            tx, subscription_id, user_id=row.user_id, username=username, email=email, role=role, at=at
        )
        subject = Subject("user", row.user_id, username)
        data_changes.record(
            tx,
            caller,
            subscription_id,
            subject,
            Action.CREATE,
            at,
            table="users",
            record_id=row.user_id,
            new=_state(row),
        )
        return row

    try:
        # The address is kept in the actor's row alone; the retry brings the same one.
        made = run_once(
            context, subscription_id, once, _USER, work, kept=lambda user: replace(user, email=None)
        )
    except UniqueConflict as conflict:
        if conflict.constraint != "uq_users_subscription_id_username":
            raise
        detail = f"the username {username!r} is taken"
        raise UsernameTaken(f"/username: {detail}.", faults=[Fault(detail, pointer="/username")]) from None
    return replace(made, email=email)


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
    wanted: Values,
) -> User:
    """Set what `wanted` holds of email and role; raises UserNotFound."""
    with context.database.transaction(subscription_id) as tx:
        before = held_user(tx, subscription_id, user_id)
        at = context.clock()
        email, role = wanted.get("email", before.email), wanted.get("role", before.role)
        if (email, role) == (before.email, before.role):
            return before
        tenancy.update_user(tx, subscription_id, before.user_id, email=email, role=role, at=at)
        after = User(before.user_id, before.username, email, role, before.created_at, at)
        data_changes.record(
            tx,
            caller,
            subscription_id,
            Subject("user", before.user_id, before.username),
            Action.UPDATE,
            at,
            table="users",
            record_id=before.user_id,
            old=_state(before),
            new=_state(after) | ({"email_changed": True} if email != before.email else {}),
        )
    return after


def delete_user(
    context: Context, caller: Caller, subscription_id: SubscriptionId, user_id: UUID | None
) -> None:
    """Remove a user with its keys and check-outs; raises UserNotFound."""
    with context.database.transaction(subscription_id) as tx:
        # As the committer does, so that neither waits for the other half-way.
        repositories.lock(tx, subscription_id)
        row = held_user(tx, subscription_id, user_id)
        at = context.clock()
        released = _release_all(tx, caller, subscription_id, row, at)
        for key in tenancy.keys_of(tx, subscription_id, row.user_id):
            record_revocation(tx, caller, subscription_id, key, at)
        tenancy.delete_user(tx, subscription_id, row.user_id)
        data_changes.record(
            tx,
            caller,
            subscription_id,
            Subject("user", row.user_id, row.username),
            Action.DELETE,
            at,
            table="users",
            record_id=row.user_id,
            old=_state(row) | {"check_outs": released},
        )


def _release_all(
    tx: Transaction, caller: Caller, subscription_id: SubscriptionId, user: User, at: datetime
) -> int:
    """End what a user has checked out, each end recorded; the user's row is held, so no more can come."""
    held = check_outs.held_by(tx, subscription_id, user.user_id)
    for kind in sorted({check_out.resource_type for check_out in held}):
        ids = [check_out.resource_id for check_out in held if check_out.resource_type == kind]
        rows = resources.lock(tx, subscription_id, kind, ids)
        # Read again under the locks: one may have been checked in meanwhile.
        for check_out in check_outs.unreleased(tx, subscription_id, kind, ids).values():
            if check_out.checked_out_by != user.user_id:
                continue
            check_outs.release(tx, subscription_id, check_out, at=at, by=caller.user_id, kind="user_deleted")
            events.record(
                tx,
                caller,
                subscription_id,
                Subject.of(rows[check_out.resource_id]),
                Action.CANCEL_CHECK_OUT,
                at,
                old=check_out_state(check_out),
            )
    return len(held)


def held_user(tx: Transaction, subscription_id: SubscriptionId, user_id: UUID | None) -> User:
    """A user, kept from being deleted until the transaction ends; raises UserNotFound."""
    row = None if user_id is None else tenancy.user(tx, subscription_id, user_id, lock=True)
    if row is None:
        raise UserNotFound("There is no such user in this subscription.")
    return row


def shown(context: Context, row: SubscriptionRow) -> Subscription:
    """A subscription as the API shows it."""
    return Subscription(**asdict(row), git_url=git_url(context.public_url, row.subscription_id))


def subject_of(row: SubscriptionRow) -> Subject:
    """A subscription as events are about it."""
    return Subject("subscription", row.subscription_id, row.name)


def settings_of(row: SubscriptionRow) -> Values:
    """A subscription as log rows have it; of one that is not closed nothing is said of that."""
    values = asdict(row)
    closed = {name: values[name] for name in tenancy.CLOSING if values[name] is not None}
    return {"name": row.name, "require_if_match": row.require_if_match, **closed}


def _state(row: User) -> Values:
    # The e-mail address stays out of the log: a person can be erased, a log row can't.
    return {"user_id": UserId(row.user_id), "username": row.username, "role": row.role}
