"""Check-out, check-in and cancel: one holder at a time, by a lease on the resource."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from gitstore import snapshots
from service import audit
from service.audit import Action
from service.callers import Member
from service.committer.change import CheckIn
from service.committer.planner import running
from service.committer.refusals import checked_out, holder_facts
from service.context import Context
from service.errors import NotCheckedOut, NotHolder, ResourceDeleted, ResourceNotFound
from service.ids import ResourceId, SubscriptionId, mint
from service.kinds import Kind
from service.usecases.documents import definition_of
from service.usecases.versions import Saved, saved
from sql.database import Transaction
from sql.queries import audit_logs, check_outs, resources, versions
from sql.queries.audit_logs import Values
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
    at = context.clock()
    subscription_id = author.subscription_id
    expires_at = at + (lease or DEFAULT_LEASE)
    with context.database.transaction(subscription_id) as tx:
        resource, held = _hold(tx, subscription_id, kind, resource_id)
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
        old = None if still is None else _state(still)
        _record(tx, author, Action.CHECK_OUT, resource, at, old, _state(row))
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
        definition=None if definition is None else snapshots.canonical_definition(definition),
        comment=comment,
        tag=tag,
    )
    return saved(context, author, await context.committer.submit(change))


def cancel(context: Context, author: Member, kind: Kind, resource_id: UUID) -> None:
    """Give one's check-out back without a new version; raises NotCheckedOut, NotHolder."""
    at = context.clock()
    with context.database.transaction(author.subscription_id) as tx:
        resource, held = _hold(tx, author.subscription_id, kind, resource_id)
        still = running(held, at)
        if still is None:
            raise NotCheckedOut(f"Nobody holds a check-out of this {kind}.")
        if still.checked_out_by != author.user_id:
            raise NotHolder(f"{still.username} holds the check-out.", facts=holder_facts(still))
        check_outs.release(tx, author.subscription_id, still, at=at, by=author.user_id, kind="cancel")
        _record(tx, author, Action.CANCEL_CHECK_OUT, resource, at, _state(still), None)


def _hold(
    tx: Transaction, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID
) -> tuple[ResourceRow, CheckOutRow | None]:
    """The resource, its row held until the transaction ends, and its unreleased check-out."""
    row = resources.lock(tx, subscription_id, kind, [resource_id]).get(resource_id)
    if row is None:
        raise ResourceNotFound(f"There is no {kind} {resource_id} in this subscription.")
    if row.deleted_at is not None:
        raise ResourceDeleted(f"The {kind} was deleted: restore it first.")
    return row, check_outs.unreleased(tx, subscription_id, kind, [resource_id]).get(resource_id)


def _state(row: CheckOutRow) -> Values:
    return {
        "checked_out_by": row.checked_out_by,
        "version_id": row.version_id,
        "expires_at": row.expires_at,
        "reason": row.reason,
    }


def _record(
    tx: Transaction,
    author: Member,
    action: Action,
    resource: ResourceRow,
    at: datetime,
    old: Values | None,
    new: Values | None,
) -> None:
    row = audit.event(
        action,
        subscription_id=author.subscription_id,
        user_id=author.user_id,
        username=author.username,
        origin=author.origin,
        at=at,
        resource_type=resource.resource_type,
        resource_id=resource.resource_id,
        resource_name=resource.name,
        old=old,
        new=new,
        workspace_id=resource.workspace_id,
        folder_id=resource.folder_id,
    )
    audit_logs.insert_rows(tx, [row])
