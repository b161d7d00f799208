"""Check-out, check-in and release: one holder at a time, by a lease on the resource."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import events
from service.audit.events import Subject, check_out_state
from service.committer.changes import CheckInMany, Item
from service.committer.refusals import (
    check_match,
    checked_out,
    holder_facts,
    resource_deleted,
    resource_not_found,
)
from service.committer.step import running
from service.domain.actions import Action
from service.domain.callers import Member, Right, Role
from service.domain.errors import Fault, IfMatchRequired, Invalid, NotCheckedOut, NotHolder, Unauthenticated
from service.domain.etags import Match
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, UserId, mint
from service.domain.pagination import Page, Paging, time_position
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from service.usecases.documents import JsonObject, definition_of
from service.usecases.resources import ResourceSummary, summary_of
from service.usecases.retries import run_once
from service.usecases.versions import Saved, find, lock_live_resource, saved
from sql.database import Transaction
from sql.pipelines import Later, pipelined
from sql.queries import batch_opening, check_outs, resources, tenancy, versions
from sql.queries.batch_opening import LockedResource
from sql.queries.check_outs import CheckOutRow
from sql.queries.resources import ResourceRow
from sql.queries.tenancy import LockedUser
from sql.queries.versions import VersionRow

DEFAULT_LEASE = timedelta(hours=8)
MAX_LEASE = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOut:
    """A check-out, and the version that was checked out."""

    version_id: UUID
    version_number: int
    commit: str
    checked_out_by: UUID
    checked_out_by_username: str
    checked_out_at: datetime
    expires_at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCheckOut(CheckOut):
    """A check-out as lists show it, with its resource."""

    resource_type: str
    resource_id: UUID
    resource_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOuts:
    """A page of the running check-outs: the caller's own in one list, other users' in another."""

    ours: list[HeldCheckOut]
    theirs: list[HeldCheckOut]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceWithCheckOut:
    """A live resource, and its running check-out, if it has one."""

    resource: ResourceSummary
    check_out: HeldCheckOut | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedInMany:
    """The result of a bulk check-in; `commit` is None if nothing changed."""

    commit: str | None
    versions: list[Saved]
    unchanged: bool


@dataclass(frozen=True, slots=True)
class _Taken:
    """A check-out and the git blob of its content, stored to answer a retry.

    `current_commit` is None if an older release stored it: then the check-out is of the current version.
    """

    check_out: CheckOut
    git_blob_id: str
    current_commit: str | None = None


_TAKEN = TypeAdapter(_Taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOutDocument:
    """A check-out with the definition to edit."""

    check_out: CheckOut
    data: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenCheckOut(CheckedOutDocument):
    """A check-out as its call returns it, with the commit of the current version, which `If-Match` names."""

    current_commit: str


def check_out(
    context: Context,
    author: Member,
    kind: Kind,
    resource_id: UUID,
    *,
    from_ref: str | int | None = None,
    reason: str | None,
    lease: timedelta | None,
    if_match: Match | None = None,
    once: Attempt | None = None,
) -> TakenCheckOut:
    """Take the lease on a resource, or renew the caller's own lease.

    A new lease starts from the version that `from_ref` names, by default the current one. A renewed lease
    moves to the version that `from_ref` names, by default it stays at its own. Raises ResourceNotFound,
    ResourceDeleted, VersionNotFound, AmbiguousRef, StaleVersion; CheckedOut while another user's lease runs;
    Unauthenticated or Forbidden if the user was deleted or lost its right to write meanwhile.
    """
    subscription_id = author.subscription_id

    found = batch_opening.Resources(subscription_id, {kind: [resource_id]}, at=context.clock())
    user: list[Later[LockedUser]] = []

    def send(tx: Transaction) -> None:
        user.append(tenancy.LOCK_USER.send(tx, of_subscription=subscription_id, locked=author.user_id))
        found.send(tx)

    def work(tx: Transaction) -> _Taken:
        present = user[0]()
        # Read again: a user who may not write, or is deleted, could not end the lease.
        if not present:
            raise Unauthenticated("The user of this API key was deleted.")
        Role(present[0].role).needs(Right.WRITE)
        locked = _live(found.found(), kind, resource_id)
        resource, current, held = locked.row, locked.current, locked.check_out
        at = context.clock()
        still = running(held, at)
        # A missing version is refused before a conflict: 404 before 423 and 412.
        version = _start(tx, subscription_id, locked, from_ref, still, at)
        if still is not None and still.checked_out_by != author.user_id:
            raise checked_out(kind, still)
        check_match(kind, current, if_match)
        expires_at = at + (lease or DEFAULT_LEASE)
        if still is not None:
            row = replace(
                still,
                version_id=version.version_id,
                expires_at=expires_at,
                reason=still.reason if reason is None else reason,
            )
        else:
            row = CheckOutRow(
                check_out_id=mint(),
                resource_type=kind,
                resource_id=resource_id,
                version_id=version.version_id,
                checked_out_by=author.user_id,
                username=author.username,
                checked_out_at=at,
                expires_at=expires_at,
                reason=reason,
            )
        before, after = None if still is None else check_out_state(still), check_out_state(row)
        with pipelined(tx):
            if still is not None:
                check_outs.renew(tx, subscription_id, still, expires_at=expires_at, reason=row.reason)
                if still.version_id != version.version_id:
                    check_outs.move(tx, subscription_id, still, version.version_id)
            else:
                if held is not None:
                    check_outs.release(tx, subscription_id, held, at=held.expires_at, by=None, kind="expired")
                check_outs.take(tx, subscription_id, row)
            subject = Subject.of(resource)
            events.record(tx, author, subscription_id, subject, Action.CHECK_OUT, at, old=before, new=after)
        shown = CheckOut(
            version_id=version.version_id,
            version_number=version.version_number,
            commit=version.git_commit_hash,
            checked_out_by=row.checked_out_by,
            checked_out_by_username=row.username,
            checked_out_at=row.checked_out_at,
            expires_at=row.expires_at,
            reason=row.reason,
        )
        return _Taken(shown, version.git_blob_id, current.git_commit_hash)

    taken = run_once(context, subscription_id, once, _TAKEN, work, first=send)
    return TakenCheckOut(
        check_out=taken.check_out,
        data=definition_of(context, subscription_id, taken.git_blob_id),
        current_commit=taken.current_commit or taken.check_out.commit,
    )


def _start(
    tx: Transaction,
    subscription_id: SubscriptionId,
    locked: LockedResource,
    from_ref: str | int | None,
    still: CheckOutRow | None,
    at: datetime,
) -> VersionRow:
    """Find the version that a lease starts from; raises VersionNotFound, AmbiguousRef."""
    kind, resource_id = Kind(locked.row.resource_type), locked.row.resource_id
    if from_ref is not None:
        return find(tx, subscription_id, kind, resource_id, from_ref, at)
    if still is None or still.version_id == locked.current.version_id:
        return locked.current
    return versions.by_ids(tx, subscription_id, kind, [still.version_id], at=at)[0]


async def check_in_many(context: Context, change: CheckInMany, *, demands_if_match: bool) -> CheckedInMany:
    """Store many resources in one commit and end the caller's check-outs of them: all or none.

    Raises Invalid if a resource is named twice, IfMatchRequired, and the errors that the change's class
    names.
    """
    _check_items(change.items, demands_if_match=demands_if_match)
    result = await context.committer.submit(change)
    return CheckedInMany(
        commit=result.commit,
        versions=[saved(context, change.author.subscription_id, written) for written in result.versions],
        unchanged=result.commit is None,
    )


def _check_items(items: Sequence[Item], *, demands_if_match: bool) -> None:
    seen: set[tuple[Kind, UUID]] = set()
    faults = []
    for index, each in enumerate(items):
        if (each.kind, each.resource_id) in seen:
            faults.append(
                Fault("this resource is in the list already", pointer=f"/items/{index}/resource_id")
            )
        seen.add((each.kind, each.resource_id))
    if faults:
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}.", faults=faults)
    if demands_if_match:
        faults = [
            Fault("this subscription wants the current commit here", pointer=f"/items/{index}/if_match")
            for index, each in enumerate(items)
            if each.if_match is None
        ]
        if faults:
            raise IfMatchRequired(f"{faults[0].pointer}: {faults[0].detail}.", faults=faults)


def release(
    context: Context,
    author: Member,
    kind: Kind,
    resource_id: UUID,
    *,
    force: bool,
    if_match: Match | None,
    holder: UUID | None = None,
    began: str | None = None,
) -> None:
    """Release the caller's check-out without a new version; with `force`, another user's check-out.

    With `holder`, force ends the check-out of this user alone; with `began`, only one that was taken at this
    time ends. Raises ResourceNotFound, ResourceDeleted,
    NotCheckedOut, NotHolder, StaleVersion. The caller checks that only an admin uses force.
    """
    with context.database.transaction(author.subscription_id) as tx:
        resource, held = _lock(tx, author.subscription_id, kind, resource_id)
        at = context.clock()
        still = running(held, at)
        if still is None:
            raise NotCheckedOut(f"Nobody holds a check-out of this {kind}.")
        forced = still.checked_out_by != author.user_id
        if forced and (not force or holder not in (None, still.checked_out_by)):
            raise NotHolder(f"{still.username} holds the check-out.", facts=holder_facts(still))
        if began not in (None, still.checked_out_at.isoformat()):
            detail = f"{still.username} released that check-out, and holds a newer one."
            raise NotHolder(detail, facts=holder_facts(still))
        current = versions.current(tx, author.subscription_id, kind, [resource_id], at=at)[resource_id]
        check_match(kind, current, if_match)
        check_outs.release(
            tx,
            author.subscription_id,
            still,
            at=at,
            by=author.user_id,
            kind="forced" if forced else "cancel",
        )
        events.record(
            tx,
            author,
            author.subscription_id,
            Subject.of(resource),
            Action.FORCE_CANCEL if forced else Action.CANCEL_CHECK_OUT,
            at,
            old=check_out_state(still),
        )


def of_resource(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID
) -> ResourceWithCheckOut:
    """Read a live resource and its running check-out; raises ResourceNotFound, ResourceDeleted."""
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        row = resources.get(tx, subscription_id, kind, resource_id, at=at)
        held = check_outs.of_resource(tx, subscription_id, kind, resource_id, at=at)
    if row is None:
        raise resource_not_found(kind, resource_id)
    if row.deleted_at is not None:
        raise resource_deleted(kind)
    return ResourceWithCheckOut(resource=summary_of(row), check_out=None if held is None else shown(held))


def page(
    context: Context, subscription_id: SubscriptionId, user_id: UserId | None, paging: Paging
) -> CheckOuts:
    """List the running check-outs, newest first; the user's own are in a list of their own."""
    found = page_of_all(context, subscription_id, paging, reader=user_id)
    ours: list[HeldCheckOut] = []
    theirs: list[HeldCheckOut] = []
    for each in found.items:
        (ours if each.checked_out_by == user_id else theirs).append(each)
    return CheckOuts(ours=ours, theirs=theirs, next_cursor=found.next_cursor)


def page_of_all(
    context: Context, subscription_id: SubscriptionId, paging: Paging, *, reader: UserId | None = None
) -> Page[HeldCheckOut]:
    """List the running check-outs of all users, newest first; a cursor is of one reader."""
    filters = {"list": "check-outs", "of": subscription_id, "for": reader}
    before = time_position(paging.position(filters))
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        rows = check_outs.page(tx, subscription_id, before=before, limit=paging.limit + 1, at=at)
    found: Page[check_outs.RunningCheckOut] = paging.page(
        rows, filters, lambda row: [row.checked_out_at.isoformat(), str(row.check_out_id)]
    )
    return Page([shown(row) for row in found.items], found.next_cursor)


def shown(row: check_outs.RunningCheckOut) -> HeldCheckOut:
    """Make a check-out as lists show it from its row."""
    values = asdict(row)
    return HeldCheckOut(
        **{name: values[name] for name in HeldCheckOut.__dataclass_fields__ if name in values},
        commit=row.git_commit_hash,
        checked_out_by_username=row.username,
    )


def _live(found: Sequence[LockedResource], kind: Kind, resource_id: UUID) -> LockedResource:
    """Return the resource that was found; raises ResourceNotFound, ResourceDeleted."""
    if not found:
        raise resource_not_found(kind, resource_id)
    if found[0].row.deleted_at is not None:
        raise resource_deleted(kind)
    return found[0]


def _lock(
    tx: Transaction, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID
) -> tuple[ResourceRow, CheckOutRow | None]:
    """Lock a live resource's row until the transaction ends; returns it and its unreleased check-out."""
    row = lock_live_resource(tx, subscription_id, kind, resource_id)
    return row, check_outs.unreleased(tx, subscription_id, kind, [resource_id]).get(resource_id)
