"""Check-out, check-in and cancel: one holder at a time, by a lease on the resource."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from service import audit
from service.audit import Action, Subject, check_out_state
from service.callers import Member
from service.committer.change import CheckIn
from service.committer.refusals import checked_out, holder_facts, resource_deleted, resource_not_found
from service.committer.step import running
from service.context import Context
from service.errors import NotCheckedOut, NotHolder, Unauthenticated
from service.ids import ResourceId, SubscriptionId, mint
from service.kinds import Kind
from service.usecases.documents import canonical, definition_of
from service.usecases.versions import Saved, saved
from sql.database import Transaction
from sql.queries import check_outs, resources, tenancy, versions
from sql.queries.check_outs import CheckOutRow
from sql.queries.resources import ResourceRow

DEFAULT_LEASE = timedelta(hours=8)
MAX_LEASE = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOut:
    """A check-out and the version that it stands on."""

    version_id: UUID
    version_number: int
    commit: str
    checked_out_by: UUID
    checked_out_by_username: str
    checked_out_at: datetime
    expires_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOutDocument:
    """A check-out with the definition to edit."""

    check_out: CheckOut
    data: dict[str, Any]


def check_out(
    context: Context,
    author: Member,
    kind: Kind,
    resource_id: UUID,
    *,
    reason: str | None,
    lease: timedelta | None,
) -> CheckedOutDocument:
    """Take the lease on a resource, or renew one's own.

    Raises ResourceNotFound, ResourceDeleted, or CheckedOut where another's lease runs.
    """
    subscription_id = author.subscription_id
    with context.database.transaction(subscription_id) as tx:
        if not tenancy.hold_user(tx, subscription_id, author.user_id):
            # Deleted since the key was verified: nobody could end a lease of nobody.
            raise Unauthenticated("The user of this API key was deleted.")
        resource, held = _hold(tx, subscription_id, kind, resource_id)
        at = context.clock()
        expires_at = at + (lease or DEFAULT_LEASE)
        still = running(held, at)
        if still is not None and still.checked_out_by != author.user_id:
            raise checked_out(kind, still)
        version = versions.current(tx, subscription_id, kind, [resource_id], at=at)[resource_id]
        row = CheckOutRow(
            check_out_id=mint() if still is None else still.check_out_id,
            resource_type=kind,
            resource_id=resource_id,
            version_id=version.version_id,
            checked_out_by=author.user_id,
            username=author.username,
            checked_out_at=at if still is None else still.checked_out_at,
            expires_at=expires_at,
            reason=reason if still is None or reason is not None else still.reason,
        )
        if still is not None:
            check_outs.renew(tx, subscription_id, still, expires_at=expires_at, reason=row.reason)
        else:
            if held is not None:
                check_outs.release(tx, subscription_id, held, at=held.expires_at, by=None, kind="expired")
            check_outs.take(tx, subscription_id, row)
        audit.record(
            tx,
            author,
            subscription_id,
            Subject.of(resource),
            Action.CHECK_OUT,
            at,
            old=None if still is None else check_out_state(still),
            new=check_out_state(row),
        )
    return CheckedOutDocument(
        check_out=CheckOut(
            version_id=version.version_id,
            version_number=version.version_number,
            commit=version.git_commit_hash,
            checked_out_by=row.checked_out_by,
            checked_out_by_username=row.username,
            checked_out_at=row.checked_out_at,
            expires_at=row.expires_at,
            reason=row.reason,
        ),
        data=definition_of(context, subscription_id, version.git_blob_id),
    )


async def check_in(
    context: Context,
    author: Member,
    kind: Kind,
    resource_id: UUID,
    *,
    definition: dict[str, Any] | None,
    comment: str | None,
    tag: str | None,
) -> Saved:
    """End one's check-out, with a new version where the content is new.

    Raises ResourceNotFound, ResourceDeleted, NotCheckedOut, NotHolder, TagTaken.
    """
    change = CheckIn(
        author=author,
        kind=kind,
        resource_id=ResourceId(resource_id),
        definition=None if definition is None else await canonical(definition),
        comment=comment,
        tag=tag,
    )
    return saved(context, author, await context.committer.submit(change))


def cancel(context: Context, author: Member, kind: Kind, resource_id: UUID) -> None:
    """Give one's check-out back without a new version; raises NotCheckedOut, NotHolder."""
    with context.database.transaction(author.subscription_id) as tx:
        resource, held = _hold(tx, author.subscription_id, kind, resource_id)
        at = context.clock()
        still = running(held, at)
        if still is None:
            raise NotCheckedOut(f"Nobody holds a check-out of this {kind}.")
        if still.checked_out_by != author.user_id:
            raise NotHolder(f"{still.username} holds the check-out.", facts=holder_facts(still))
        check_outs.release(tx, author.subscription_id, still, at=at, by=author.user_id, kind="cancel")
        audit.record(
            tx,
            author,
            author.subscription_id,
            Subject.of(resource),
            Action.CANCEL_CHECK_OUT,
            at,
            old=check_out_state(still),
        )


def _hold(
    tx: Transaction, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID
) -> tuple[ResourceRow, CheckOutRow | None]:
    """The resource, its row held until the transaction ends, and its unreleased check-out."""
    row = resources.lock(tx, subscription_id, kind, [resource_id]).get(resource_id)
    if row is None:
        raise resource_not_found(kind, resource_id)
    if row.deleted_at is not None:
        raise resource_deleted(kind)
    return row, check_outs.unreleased(tx, subscription_id, kind, [resource_id]).get(resource_id)
