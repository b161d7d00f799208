"""Plan each change of a batch, against the database and the changes accepted before it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import assert_never
from uuid import UUID

from pydantic import TypeAdapter

from gitstore.write.commit_builder import CommitBuilder
from service.committer.changes import (
    Amend,
    Change,
    CheckIn,
    CheckInMany,
    Create,
    Delete,
    Purge,
    Restore,
    Result,
    RollBack,
    RollBackMany,
    Save,
    SetPublished,
    SetTag,
)
from service.committer.plan import amend, bulk, delete, restore, single
from service.committer.plan.applier import Applier
from service.committer.plan.ledger import Ledger
from service.committer.plan.planning import Planning
from service.committer.plan.quotas import Quotas
from service.committer.plan.tree import Tree
from service.committer.plan.writes import Writes
from service.documents.workers import DocumentWorkers
from service.domain import idempotency
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from sql.database import Transaction
from sql.queries.batch_opening import LockedResource
from sql.queries.repositories import RepositoryState
from sql.queries.tenancy import ChangeBounds

_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


def named(changes: Iterable[Change]) -> dict[str, set[UUID]]:
    """The resources that changes name, by kind: to lock and read before the changes are planned."""
    wanted: dict[str, set[UUID]] = defaultdict(set)
    for change in changes:
        match change:
            case CheckInMany():
                for item in change.items:
                    wanted[item.kind].add(item.resource_id)
            case Create() | RollBackMany() | Restore():
                pass
            case _:
                wanted[change.kind].add(change.resource_id)
    return wanted


class Planner:
    """Plans the changes of one batch in order; a refused change adds nothing."""

    def __init__(
        self,
        tx: Transaction,
        subscription_id: SubscriptionId,
        locked: Iterable[LockedResource],
        *,
        builder: CommitBuilder,
        documents: DocumentWorkers,
        repository: RepositoryState,
        bounds: ChangeBounds,
        at: datetime,
        now: datetime,
        git_url: str,
    ) -> None:
        self._tx = tx
        self._subscription_id = subscription_id
        self._now = now
        self.writes = Writes(tx, subscription_id, repository, at=at, now=now)
        ledger = Ledger(tx, subscription_id, at=at, now=now, writes=self.writes)
        ledger.add(locked)
        quotas = Quotas(ledger, bounds, repository, builder)
        applier = Applier(ledger, quotas, builder=builder, documents=documents, git_url=git_url)
        self._planning = Planning(ledger, Tree(ledger), quotas, applier, builder)
        # Results of changes with an Idempotency-Key: their retries may be in the same batch.
        self._done: dict[bytes, tuple[Attempt, Result]] = {}

    def plan(self, change: Change) -> Result:
        """Plan a change and add its rows to `writes`; raises the AnnalsError that refuses it.

        A retry, recognized by its Idempotency-Key, changes nothing and gets the result of the first try.
        """
        if change.once is None:
            return self._plan(change)
        earlier = self._recall(change.once)
        if earlier is not None:
            return earlier
        result = self._plan(change)
        self._done[change.once.attempt_id] = (change.once, result)
        self.writes.rows.kept.append((change.once, _RESULT.dump_json(result)))
        return result

    def _recall(self, attempt: Attempt) -> Result | None:
        if attempt.attempt_id in self._done:
            first, result = self._done[attempt.attempt_id]
            idempotency.check_body(attempt, first.fingerprint)
            return result
        stored = idempotency.recall(self._tx, self._subscription_id, attempt, self._now)
        return None if stored is None else _RESULT.validate_json(stored)

    def _plan(self, change: Change) -> Result:
        planning = self._planning
        planning.ledger.flush_if_due()
        match change:
            case Create():
                return single.create(planning, change)
            case Amend():
                return amend.amend(planning, change)
            case Save():
                return single.save(planning, change)
            case CheckIn():
                return single.check_in(planning, change)
            case RollBack():
                return single.roll_back(planning, change)
            case SetTag():
                return single.set_tag(planning, change)
            case SetPublished():
                return single.set_published(planning, change)
            case CheckInMany():
                return bulk.check_in(planning, change)
            case RollBackMany():
                return bulk.roll_back(planning, change)
            case Delete():
                return delete.delete(planning, change)
            case Purge():
                return delete.purge(planning, change)
            case Restore():
                return restore.restore(planning, change)
            case _:
                assert_never(change)
