"""Users of a subscription: create, update, list and delete them."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import data_changes, events
from service.audit.events import Subject, check_out_state
from service.domain.actions import Action
from service.domain.callers import Caller, Role
from service.domain.errors import Fault, UsernameTaken
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, UserId, mint
from service.domain.pagination import Page, Paging, uuid_position
from service.usecases.api_keys import record_revocation
from service.usecases.context import Context
from service.usecases.retries import run_once
from service.usecases.tenancy import locked_user
from sql.database import Transaction
from sql.errors import UniqueConflict
from sql.queries import check_outs, repositories, resources, tenancy
from sql.queries.audit_logs import Values
from sql.queries.tenancy import UserRow as User

__all__ = ["User"]

_USER = TypeAdapter(User)


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
    """Create a user; raises UsernameTaken."""

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
        # The address is stored in the user's row alone. The answer to a retry takes it from the retry's body.
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
    """List the users of a subscription, newest first."""
    filters = {"list": "users", "of": subscription_id}
    before = uuid_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        rows = tenancy.users(tx, subscription_id, before=before, limit=paging.limit + 1)
    return paging.page(rows, filters, lambda item: [str(item.user_id)])


def update_user(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    user_id: UUID | None,
    wanted: Values,
) -> User:
    """Set email and role, if `wanted` has them; raises UserNotFound."""
    with context.database.transaction(subscription_id) as tx:
        before = locked_user(tx, subscription_id, user_id)
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
    """Delete a user with its keys and check-outs; raises UserNotFound."""
    with context.database.transaction(subscription_id) as tx:
        # Locks are taken in the committer's order, so that neither waits for a lock that the other has.
        repositories.lock(tx, subscription_id)
        row = locked_user(tx, subscription_id, user_id)
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
    """End and record each check-out of a user; the user's row is locked, so that no new ones appear."""
    found = check_outs.of_user(tx, subscription_id, user.user_id)
    for kind in sorted({check_out.resource_type for check_out in found}):
        ids = [check_out.resource_id for check_out in found if check_out.resource_type == kind]
        rows = resources.lock(tx, subscription_id, kind, ids)
        # Check-outs are read again under the locks, because a resource may have been checked in meanwhile.
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
    return len(found)


def _state(row: User) -> Values:
    # The e-mail address is left out: a person must be erasable, and log rows can't be erased.
    return {"user_id": UserId(row.user_id), "username": row.username, "role": row.role}
