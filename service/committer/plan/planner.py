"""Deciding what each change of a batch does, against the database and the changes accepted before it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import assert_never
from uuid import UUID

from pydantic import TypeAdapter

from gitstore import snapshots
from gitstore.write.commit_builder import CommitBuilder
from service.audit.events import Subject
from service.committer.changes import (
    Amend,
    Change,
    CheckIn,
    CheckInMany,
    Create,
    Delete,
    Foreseen,
    Purge,
    Restore,
    Result,
    RollBack,
    RollBackMany,
    Save,
    SetPublished,
    SetTag,
    Written,
)
from service.committer.plan import amend, bulk, delete, restore
from service.committer.plan.applier import Applier
from service.committer.plan.ledger import Ledger
from service.committer.plan.tree import Tree
from service.committer.plan.writes import Writes
from service.committer.refusals import check_match, holder_facts, tag_taken
from service.committer.step import Step, folder_of, running, version_state
from service.domain import idempotency
from service.domain.actions import Action
from service.domain.errors import NotCheckedOut, NotHolder
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from sql.database import Transaction
from sql.queries.batch_opening import LockedResource
from sql.queries.repositories import Tips
from sql.queries.resources import ResourceRow

_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


def named(changes: Iterable[Change]) -> dict[str, set[UUID]]:
    """The resources that changes name, by kind: to be held and read before they are planned."""
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
    """Plans the changes of one batch in order; a refused change leaves no trace."""

    def __init__(
        self,
        tx: Transaction,
        subscription_id: SubscriptionId,
        standing: Iterable[LockedResource],
        *,
        builder: CommitBuilder,
        tips: Tips,
        at: datetime,
        git_url: str,
    ) -> None:
        self._tx = tx
        self._subscription_id = subscription_id
        self._at = at
        self.writes = Writes(tips)
        self._ledger = Ledger(tx, subscription_id, at=at, writes=self.writes)
        self._tree = Tree(self._ledger)
        self._applier = Applier(self._ledger, builder=builder, git_url=git_url)
        self._builder = builder
        # What this batch did for calls with an Idempotency-Key: their retries may be in it as well.
        self._done: dict[bytes, tuple[Attempt, Result]] = {}
        self._ledger.add(standing)

    def plan(self, change: Change) -> Result:
        """What the change does, its rows added to `writes`; raises the AnnalsError that refuses it.

        A change whose Idempotency-Key was used for it before does nothing: its result is that of then.
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
        stored = idempotency.recall(self._tx, self._subscription_id, attempt, self._at)
        return None if stored is None else _RESULT.validate_json(stored)

    def _plan(self, change: Change) -> Result:
        self._tree.catch_up()
        match change:
            case Create():
                return self._create(change)
            case Amend():
                return amend.amend(self._ledger, self._tree, self._applier, self._builder, change)
            case Save():
                return self._save(change)
            case CheckIn():
                return self._check_in(change)
            case RollBack():
                return self._roll_back(change)
            case SetTag():
                return self._set_tag(change)
            case SetPublished():
                return self._set_published(change)
            case CheckInMany():
                return bulk.check_in(self._ledger, self._applier, change)
            case RollBackMany():
                return bulk.roll_back(self._ledger, self._applier, self._builder, change)
            case Delete():
                return delete.delete(self._ledger, self._tree, self._applier, change)
            case Purge():
                return delete.purge(self._ledger, self._tree, self._applier, change)
            case Restore():
                return restore.restore(self._ledger, self._tree, self._applier, self._builder, change)
            case _:
                assert_never(change)

    def _create(self, change: Create) -> Written:
        parent = self._tree.parent(change.kind, change.place)
        self._tree.check_lives(parent, change.kind)
        parent_id = None if parent is None else parent.resource_id
        self._tree.check_name(change.kind, parent_id, change.name)
        row = ResourceRow(
            resource_type=change.kind,
            resource_id=change.resource_id,
            name=change.name,
            description=change.description,
            parent_id=parent_id,
            workspace_id=change.resource_id if parent is None else parent.workspace_id,
            folder_id=folder_of(parent, change.resource_id, change.kind),
            created_by=change.author.user_id,
            created_at=self._at,
            updated_at=self._at,
            deleted_at=None,
        )
        self._tree.add(row)
        return self._applier.create(row, change.author, change.definition)

    def _save(self, change: Save) -> Written:
        entry = self._ledger.writable(change.kind, change.resource_id, change.author)
        step = Step(
            action=Action.UPDATE,
            author=change.author,
            entry=entry,
            row=entry.row.touched(self._at, entry.row.description),
            definition=change.definition,
            if_match=change.if_match,
            description=change.description,
            tag=change.tag,
            publish=change.publish,
        )
        return self._applier.apply([step])[0]

    def _check_in(self, change: CheckIn) -> Written:
        entry = self._ledger.live(change.kind, change.resource_id)
        held = running(entry.check_out, self._at)
        if held is None:
            raise NotCheckedOut("There is no check-out to end: check out first, or save a version.")
        if held.checked_out_by != change.author.user_id:
            raise NotHolder(f"{held.username} holds the check-out.", facts=holder_facts(held))
        step = Step(
            action=Action.CHECK_IN,
            author=change.author,
            entry=entry,
            row=entry.row.touched(self._at, entry.row.description),
            definition=change.definition,
            if_match=change.if_match,
            comment=change.comment,
            tag=change.tag,
            publish=change.publish,
            ends=held,
        )
        return self._applier.apply([step])[0]

    def _roll_back(self, change: RollBack) -> Written | Foreseen:
        # What is not there comes before what is in the way: 404 before 409 and 423.
        target = self._ledger.find(self._ledger.present(change.kind, change.resource_id), change.to)
        entry = self._ledger.writable(change.kind, change.resource_id, change.author)
        past = snapshots.split(self._builder.read_blob(target.git_blob_id))
        row = entry.row.touched(self._at, past.description)
        if change.dry_run:
            check_match(change.kind, entry.current, change.if_match)
            return Foreseen(resource=row, current=entry.current, target=target)
        step = Step(
            action=Action.ROLLBACK,
            author=change.author,
            entry=entry,
            row=row,
            definition=past.definition,
            if_match=change.if_match,
            comment=change.comment,
            body=f"Rolled back to version {target.version_number} ({target.git_commit_hash[:12]}).",
            about={"rolled_back_to": target.version_number},
        )
        return self._applier.apply([step])[0]

    def _set_tag(self, change: SetTag) -> Written:
        version = self._ledger.find(self._ledger.present(change.kind, change.resource_id), change.ref)
        entry = self._ledger.live(change.kind, change.resource_id)
        if change.tag is not None:
            owner = self._ledger.tag_owner(entry, change.tag)
            if owner is not None and owner != version.version_id:
                raise tag_taken(change.kind, change.tag)
        check_match(change.kind, entry.current, change.if_match)
        after = self._applier.set_tag(entry, version, change.tag, change.author)
        self._applier.record(
            change.author,
            Subject.of(entry.row),
            Action.UNTAG if change.tag is None else Action.TAG,
            old=version_state(version),
            new=version_state(after) | ({"unchanged": True} if after is version else {}),
        )
        return Written(resource=entry.row, version=after, unchanged=after is version)

    def _set_published(self, change: SetPublished) -> Written:
        version = self._ledger.find(self._ledger.present(change.kind, change.resource_id), change.ref)
        entry = self._ledger.live(change.kind, change.resource_id)
        check_match(change.kind, entry.current, change.if_match)
        after = self._applier.set_published(entry, version, change.author, published=change.published)
        self._applier.record(
            change.author,
            Subject.of(entry.row),
            Action.PUBLISH if change.published else Action.UNPUBLISH,
            old=version_state(version) | {"is_published": version.is_published},
            new=version_state(after)
            | {"is_published": after.is_published}
            | ({"unchanged": True} if after is version else {}),
        )
        return Written(resource=entry.row, version=after, unchanged=after is version)
