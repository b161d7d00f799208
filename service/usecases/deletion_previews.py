"""Previews of a deletion, soft or for good: the resources that it would delete, and the obstacles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.committer.refusals import resource_deleted, resource_not_found
from service.domain import legal_holds
from service.domain.errors import DeletionNotFound, DeletionPosted, NotDeleted, NotRestorable
from service.domain.ids import SubscriptionId, UserId
from service.domain.resource_kinds import Kind
from service.usecases import check_outs
from service.usecases.check_outs import HeldCheckOut
from service.usecases.context import Context
from service.usecases.resources import ResourceSummary, summary_of
from sql.database import Transaction
from sql.queries import check_outs as check_out_queries
from sql.queries import deletions, posted_deletions, resources, subtrees
from sql.queries.deletions import DeletionRow
from sql.queries.legal_holds import HoldRow

# Check-outs that a preview names; it counts all.
MAX_CHECK_OUTS = 20
# Resources of a subtree in which a preview looks for legal holds; the deletion itself looks in all.
MAX_SEARCHED = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionPreview:
    """The resource to delete, and the number of resources that go with it and itself, by collection.

    `check_outs` are the first of those in it, others' before the caller's own; `check_out_count` counts all.
    """

    resource: ResourceSummary
    counts: Mapping[str, int]
    check_outs: Sequence[HeldCheckOut]
    check_out_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgePreview:
    """The deleted resource to delete for good, the counts of all that goes, and a hold that forbids it."""

    deletion: DeletionRow
    resource: ResourceSummary
    counts: Mapping[str, int]
    hold: HoldRow | None


def of_deletion(
    context: Context, subscription_id: SubscriptionId, kind: Kind, resource_id: UUID, user_id: UserId | None
) -> DeletionPreview:
    """Preview the deletion of a live resource; raises ResourceNotFound, ResourceDeleted."""
    at, root = context.clock(), (kind, resource_id)
    with context.database.transaction(subscription_id) as tx:
        row = resources.get(tx, subscription_id, kind, resource_id, at=at)
        if row is None:
            raise resource_not_found(kind, resource_id)
        if row.deleted_at is not None:
            raise resource_deleted(kind)
        counts = _counts(tx, subscription_id, root, live=True)
        held, number = check_out_queries.inside(
            tx, subscription_id, root, own=user_id, limit=MAX_CHECK_OUTS, at=at
        )
    return DeletionPreview(
        resource=summary_of(row),
        counts=counts,
        check_outs=[check_outs.shown(each) for each in held],
        check_out_count=number,
    )


def of_purge(context: Context, subscription_id: SubscriptionId, deletion_id: UUID) -> PurgePreview:
    """Preview the deletion for good of what a deletion deleted.

    Raises DeletionNotFound, DeletionPosted, NotRestorable where it is done already, and NotDeleted where the
    resource lives.
    """
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        deletion = deletions.get(tx, subscription_id, deletion_id)
        if deletion is None and posted_deletions.is_posted(tx, subscription_id, deletion_id):
            raise DeletionPosted("A platform posted this deletion: Annals has nothing of the resource.")
        if deletion is None:
            raise DeletionNotFound(f"There is no deletion {deletion_id} in this subscription.")
        kind = Kind(deletion.resource_type)
        if not deletion.is_soft_delete or deletion.purged_at is not None:
            raise NotRestorable(f"The {kind} was deleted for good.")
        row = resources.get(tx, subscription_id, kind, deletion.resource_id, at=at)
        if row is None or row.deleted_at is None or deletion.restored_at is not None:
            raise NotDeleted(f"The {kind} was restored.")
        root = (kind, deletion.resource_id)
        counts = _counts(tx, subscription_id, root, live=False)
        hold = None
        if sum(counts.values()) <= MAX_SEARCHED:
            hold = legal_holds.blocking(tx, subscription_id, subtrees.rows(tx, subscription_id, root), at)
    return PurgePreview(deletion=deletion, resource=summary_of(row), counts=counts, hold=hold)


def _counts(
    tx: Transaction, subscription_id: SubscriptionId, root: tuple[Kind, UUID], *, live: bool
) -> dict[str, int]:
    found = subtrees.counts(tx, subscription_id, root, live=live)
    return {kind.collection: found.get(kind, 0) for kind in Kind}
