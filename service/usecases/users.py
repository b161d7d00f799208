"""Users of a subscription: create, update, list and delete them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import data_changes, events
from service.audit.events import Subject, check_out_state
from service.domain.actions import Action
from service.domain.callers import Caller, Right, Role, UserKind
from service.domain.errors import Fault, Invalid, LastAdmin, UsernameTaken, UserNotFound
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, UserId, mint
from service.domain.names import name_key
from service.domain.overtaken import check_seen
from service.domain.pagination import Page, Paging, uuid_position
from service.usecases.api_keys import record_revocation
from service.usecases.context import Context
from service.usecases.retries import run_once
from service.usecases.tenancy import locked_user
from sql.database import Transaction
from sql.errors import UniqueConflict
from sql.queries import check_outs, repositories, resources, tenancy
from sql.queries.audit_logs import Values
from sql.queries.tenancy import KeyRow as Key
from sql.queries.tenancy import UserRow as User

__all__ = ["User"]

# Keys that the page of a user shows.
MAX_KEYS = 100
_USER = TypeAdapter(User)
_NAMES = ("uq_users_subscription_id_username", "uq_users_name_key")


def create_user(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    *,
    username: str,
    kind: UserKind,
    email: str | None,
    role: Role,
    once: Attempt | None,
) -> User:
    """Create a user; raises UsernameTaken, also for a name that differs from another's in case alone."""

    def work(tx: Transaction) -> User:
        at = context.clock()
        row = User(mint(), username, email, role, at, at, kind)
        add_user(tx, caller, subscription_id, row)
        return row

    try:
        # The address is stored in the user's row alone. The answer to a retry takes it from the retry's body.
        made = run_once(
            context, subscription_id, once, _USER, work, kept=lambda user: replace(user, email=None)
        )
    except UniqueConflict as conflict:
        if conflict.constraint not in _NAMES:
            raise
        detail = f"the username {username!r} is taken"
        raise UsernameTaken(f"/username: {detail}.", faults=[Fault(detail, pointer="/username")]) from None
    return replace(made, email=email)


def add_user(tx: Transaction, caller: Caller, subscription_id: SubscriptionId, row: User) -> None:
    """Create a user; raises UniqueConflict for a name that is taken."""
    tenancy.insert_user(tx, subscription_id, row, name_key(row.username))
    data_changes.record(
        tx,
        caller,
        subscription_id,
        Subject("user", row.user_id, row.username),
        Action.CREATE,
        row.created_at,
        table="users",
        record_id=row.user_id,
        new=_state(row),
    )


def users(
    context: Context, subscription_id: SubscriptionId, kind: UserKind | None, paging: Paging
) -> Page[User]:
    """List the users of a subscription, newest first; with `kind`, only those of a kind."""
    filters = {"list": "users", "of": subscription_id, "kind": kind}
    before = uuid_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        rows = tenancy.users(tx, subscription_id, kind=kind, before=before, limit=paging.limit + 1)
    return paging.page(rows, filters, lambda item: [str(item.user_id)])


@dataclass(frozen=True, slots=True, kw_only=True)
class UserHoldings:
    """A user with what ends when the user is deleted: at most MAX_KEYS keys, and its running check-outs."""

    user: User
    keys: Sequence[Key]
    has_more_keys: bool
    check_outs: int


def user(context: Context, subscription_id: SubscriptionId, user_id: UUID | None) -> UserHoldings:
    """Show a user with its keys and check-outs; raises UserNotFound."""
    with context.database.transaction(subscription_id) as tx:
        row = None if user_id is None else tenancy.user(tx, subscription_id, user_id)
        if row is None:
            raise UserNotFound("There is no such user in this subscription.")
        keys = tenancy.keys(tx, subscription_id, user_id=row.user_id, limit=MAX_KEYS + 1)
        taken = check_outs.count_of_user(tx, subscription_id, row.user_id, context.clock())
    return UserHoldings(user=row, keys=keys[:MAX_KEYS], has_more_keys=len(keys) > MAX_KEYS, check_outs=taken)


def update_user(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    user_id: UUID | None,
    wanted: Values,
    *,
    seen: Values | None = None,
) -> User:
    """Set email and role, if `wanted` has them; an email of None erases the address.

    A role that may not write ends the user's check-outs. Raises UserNotFound, LastAdmin, and Invalid for the
    address of a service account. With `seen`, a value that is not as it was seen is left to whoever changed
    it: raises StaleVersion.
    """
    with context.database.transaction(subscription_id) as tx:
        if "role" in wanted:
            _lock_roles(tx, subscription_id)
        before = locked_user(tx, subscription_id, user_id)
        check_seen({"email": before.email, "role": before.role}, wanted, seen)
        at = context.clock()
        email, role = wanted.get("email", before.email), wanted.get("role", before.role)
        if (email, role) == (before.email, before.role):
            return before
        if email is not None and before.kind == UserKind.SERVICE:
            fault = Fault("a service account has no e-mail address", pointer="/email")
            raise Invalid(f"{fault.pointer}: {fault.detail}.", faults=[fault])
        if role != Role.ADMIN:
            _check_admin_remains(tx, caller, subscription_id, before, at)
        if not Role(role).may(Right.WRITE):
            _release_all(tx, caller, subscription_id, before, at, Action.FORCE_CANCEL, "forced")
        tenancy.update_user(tx, subscription_id, before.user_id, email=email, role=role, at=at)
        after = replace(before, email=email, role=role, updated_at=at)
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
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    user_id: UUID | None,
    *,
    once: Attempt | None = None,
) -> None:
    """Delete a user with its keys and check-outs; raises UserNotFound, LastAdmin."""

    def work(tx: Transaction) -> None:
        _lock_roles(tx, subscription_id)
        row = locked_user(tx, subscription_id, user_id)
        at = context.clock()
        _check_admin_remains(tx, caller, subscription_id, row, at)
        released = _release_all(tx, caller, subscription_id, row, at, Action.CANCEL_CHECK_OUT, "user_deleted")
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

    run_once(context, subscription_id, once, TypeAdapter(type(None)), work)


def erase_email(
    context: Context, caller: Caller, subscription_id: SubscriptionId, user_id: UUID | None
) -> None:
    """Erase the e-mail address of a present or former user; raises UserNotFound."""
    with context.database.transaction(subscription_id) as tx:
        if user_id is None or not tenancy.is_actor(tx, subscription_id, user_id):
            raise UserNotFound("This subscription never had such a user.")
        username = tenancy.erase_email(tx, subscription_id, user_id)
        if username is None:
            return
        state: Values = {"user_id": user_id, "username": username}
        data_changes.record(
            tx,
            caller,
            subscription_id,
            Subject("user", user_id, username),
            Action.UPDATE,
            context.clock(),
            table="users",
            record_id=user_id,
            old=state,
            new=state | {"email_changed": True},
        )


def _lock_roles(tx: Transaction, subscription_id: SubscriptionId) -> None:
    """Wait until no other transaction takes roles or check-outs from users of the subscription.

    Locks are taken in the committer's order, so that neither waits for a lock that the other has.
    """
    repositories.lock(tx, subscription_id)


def _check_admin_remains(
    tx: Transaction, caller: Caller, subscription_id: SubscriptionId, user: User, at: datetime
) -> None:
    """Raise LastAdmin if the user is the only admin with a valid key.

    The operator may end it, since he can make another.
    """
    if user.role != Role.ADMIN or caller.role is Role.OPERATOR:
        return
    if not tenancy.has_other(tx, subscription_id, user.user_id, role=Role.ADMIN, at=at):
        raise LastAdmin(f"{user.username} is the only admin with a valid key: make another one first.")


def _release_all(
    tx: Transaction,
    caller: Caller,
    subscription_id: SubscriptionId,
    user: User,
    at: datetime,
    action: Action,
    kind_of_release: str,
) -> int:
    """End and record each check-out of a user; the user's row is locked, so that no new ones appear."""
    found = check_outs.of_user(tx, subscription_id, user.user_id)
    for kind in sorted({check_out.resource_type for check_out in found}):
        ids = [check_out.resource_id for check_out in found if check_out.resource_type == kind]
        rows = resources.lock(tx, subscription_id, kind, ids)
        # Check-outs are read again under the locks, because a resource may have been checked in meanwhile.
        for check_out in check_outs.unreleased(tx, subscription_id, kind, ids).values():
            if check_out.checked_out_by != user.user_id:
                continue
            check_outs.release(tx, subscription_id, check_out, at=at, by=caller.user_id, kind=kind_of_release)
            events.record(
                tx,
                caller,
                subscription_id,
                Subject.of(rows[check_out.resource_id]),
                action,
                at,
                old=check_out_state(check_out),
            )
    return len(found)


def _state(row: User) -> Values:
    # The e-mail address is left out: a person must be erasable, and log rows can't be erased.
    return {"user_id": UserId(row.user_id), "username": row.username, "kind": row.kind, "role": row.role}
