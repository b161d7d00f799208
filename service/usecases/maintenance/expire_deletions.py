"""Delete for good the soft-deleted resources that can no longer be restored, each with its own record.

A resource is purged together with all its descendants, and nothing is purged before its own time. Where a
descendant was deleted separately and can be restored for longer, to another parent, its ancestors wait for
it. In closed subscriptions nothing expires: they are read-only, and purged as a whole.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from service.committer.changes import Purge
from service.committer.group_commit import carry_out
from service.domain import legal_holds
from service.domain.callers import Member
from service.domain.cascades import Candidate, cascade
from service.domain.errors import Held, NotDeleted, ResourceNotFound, StillRestorable, SubscriptionClosed
from service.domain.idempotency import Attempt, BodyDigests
from service.domain.ids import ResourceId, SubscriptionId
from service.domain.job_runs import Blocked, Counts, JobRun, PlannedPart, RunPlan
from service.domain.resource_kinds import Kind
from service.usecases.context import JobContext, Parts
from service.usecases.maintenance import actors
from service.usecases.maintenance.turns import take_turns
from sql.database import PLATFORM, Transaction
from sql.queries import expire_deletions, resources
from sql.queries import legal_holds as held_rows
from sql.queries.expire_deletions import ExpiredRow

NAME: Final = "expire-deletions"

# Deletions of one subscription before the next subscription has its turn.
TURN = 100
WHAT = "deleted resources"
_Position = tuple[datetime, UUID]

# Another caller was faster: the resource was deleted for good, restored, or restored and deleted again, or
# the subscription was closed.
_OVERTAKEN = (ResourceNotFound, NotDeleted, StillRestorable, SubscriptionClosed)


def run(context: JobContext, run: JobRun) -> Counts:
    """Delete expired resources for good, the oldest first; subscriptions take turns."""
    counts: Counter[str] = Counter(deletions=0, resources=0, blocked=0)

    def turn(subscription_id: SubscriptionId, after: _Position | None) -> _Position | None:
        with context.database.transaction(subscription_id) as tx:
            found = expire_deletions.roots(tx, subscription_id, run.at, after=after, limit=TURN)
        if not found:
            return None
        author = actors.author(context.database, subscription_id, run.machine)
        for row in found:
            if run.is_over:
                return None
            counts.update(_expire(context, run, author, row))
        return found[-1].restore_expiry_at, found[-1].deletion_id

    with context.database.transaction(PLATFORM) as tx:
        waiting = expire_deletions.subscriptions(tx, run.at)
    take_turns(run, waiting, turn)
    return dict(counts)


def plan(context: Parts, at: datetime) -> RunPlan:
    """Count the resources that a run would delete for good, and those that legal holds keep."""
    parts: list[PlannedPart] = []
    blocked: list[Blocked] = []
    with context.database.transaction(PLATFORM) as tx:
        under_hold = {hold.subscription_id for hold in held_rows.all_running(tx, at)}
        for subscription_id in expire_deletions.subscriptions(tx, at):
            found = expire_deletions.roots(
                tx, subscription_id, at, limit=None if subscription_id in under_hold else 1
            )
            kept: Counter[UUID] = Counter()
            if subscription_id in under_hold:
                for hold_id, size in _kept(tx, subscription_id, found, at):
                    kept[hold_id] += size
            rows = found[0].total - kept.total() if found else 0
            if rows:
                parts.append(PlannedPart(what=WHAT, subscription_id=subscription_id, rows=rows))
            blocked += [Blocked(hold_id=hold_id, what=WHAT, rows=size) for hold_id, size in kept.items()]
    return RunPlan(at=at, parts=parts, blocked=blocked)


def _expire(context: JobContext, run: JobRun, author: Member, row: ExpiredRow) -> dict[str, int]:
    """Delete a resource and its descendants for good; returns the counts."""
    about = {
        "subscription_id": author.subscription_id,
        "resource_type": row.resource_type,
        "resource_id": row.resource_id,
        "deletion_id": row.deletion_id,
    }
    purge = Purge(
        author=author,
        once=_attempt(author, row),
        kind=Kind(row.resource_type),
        resource_id=ResourceId(row.resource_id),
        reason=f"it could be restored until {row.restore_expiry_at:%Y-%m-%dT%H:%M:%SZ}",
        once_expired=True,
    )
    try:
        done = carry_out(context.group, purge)
    except Held as held:
        run.tell("a legal hold keeps what has expired", about | dict(held.facts))
        return {"blocked": 1}
    except _OVERTAKEN as overtaken:
        run.tell("what had expired is so no longer", about | {"code": overtaken.code})
        return {}
    size = sum(getattr(done.deletion, f"cascaded_{kind.collection}") for kind in Kind)
    run.tell("what had expired was deleted for good", about | {"resources": size})
    return {"deletions": 1, "resources": size}


def _attempt(author: Member, row: ExpiredRow) -> Attempt:
    """Make the attempt that identifies an expiry, so that an expiry stored before a crash is not repeated."""
    return Attempt.of(
        caller=author.username,
        method=author.origin.method,
        path=author.origin.endpoint,
        key=str(row.deletion_id),
        body=BodyDigests(row.resource_id.bytes),
    )


def _kept(
    tx: Transaction, subscription_id: UUID, found: Sequence[ExpiredRow], at: datetime
) -> Iterator[tuple[UUID, int]]:
    """Yield, for each expired resource under a legal hold, the hold and the number of resources it keeps."""
    rows = {row.resource_id: row for row in resources.every(tx, subscription_id)}
    others = [Candidate(Kind(row.resource_type), row.resource_id, row.parent_id) for row in rows.values()]
    for root in found:
        row = rows[root.resource_id]
        falling = Candidate(Kind(row.resource_type), row.resource_id, row.parent_id)
        tree = [rows[each.resource_id] for each in cascade(falling, others)]
        hold = legal_holds.blocking(tx, subscription_id, tree, at)
        if hold is not None:
            yield hold.hold_id, len(tree)
