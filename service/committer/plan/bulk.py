"""Changes of many resources in one commit, all or nothing: bulk check-in, and the rollback of a subtree."""

from collections.abc import Sequence
from datetime import datetime

from gitstore import snapshots
from service.audit.events import Subject
from service.committer.changes import (
    CheckInMany,
    Foreseen,
    ForeseenMany,
    Item,
    RollBackMany,
    Skipped,
    WrittenMany,
)
from service.committer.plan.ledger import Ledger
from service.committer.plan.planning import Planning
from service.committer.refusals import (
    all_checked_out,
    check_head_match,
    counted,
    head_facts,
    named,
    resource_deleted,
    resource_not_found,
)
from service.committer.step import Entry, Step, running
from service.domain import etags, version_refs
from service.domain.actions import Action
from service.domain.errors import AnnalsError, Fault, ResourceDeleted, ResourceNotFound, StaleVersion
from service.domain.resource_kinds import Kind
from sql.queries import as_of, subtrees, versions
from sql.queries.versions import VersionRow


def check_in(planning: Planning, change: CheckInMany) -> WrittenMany:
    """Store every item, and end the author's check-outs of them.

    Raises the first error that applies to any item, with a fault for each such item: ResourceNotFound,
    CheckedOut, ResourceDeleted, StaleVersion.
    """
    ledger = planning.ledger
    entries = _entries(ledger, change)
    check_head_match(ledger.writes.tips.head, change.if_match)
    steps = [
        Step(
            action=Action.CHECK_IN,
            author=change.author,
            entry=entry,
            row=entry.row.touched(ledger.at, entry.row.description),
            definition=item.definition,
            comment=change.comment,
            ends=running(entry.check_out, ledger.now),
        )
        for item, entry in zip(change.items, entries, strict=True)
    ]
    written = planning.applier.apply(steps, title=f"check-in of {counted(len(steps))}")
    made = [each.version.git_commit_hash for each in written if not each.unchanged]
    return WrittenMany(commit=made[0] if made else None, versions=tuple(written))


def _entries(ledger: Ledger, change: CheckInMany) -> list[Entry]:
    found = [ledger.get(item.kind, item.resource_id) for item in change.items]
    missing = [
        _fault(index, "/resource_id", str(resource_not_found(item.kind, item.resource_id)))
        for index, (item, entry) in enumerate(zip(change.items, found, strict=True))
        if entry is None
    ]
    _refuse(ResourceNotFound, missing)
    entries = [entry for entry in found if entry is not None]
    of_others = [each for each in entries if _is_anothers(ledger, each, change)]
    if of_others:
        raise all_checked_out(of_others)
    deleted = [
        _fault(index, "/resource_id", str(resource_deleted(entry.row.resource_type)))
        for index, entry in enumerate(entries)
        if entry.row.deleted_at is not None
    ]
    _refuse(ResourceDeleted, deleted)
    stale = [
        (index, entry)
        for index, (item, entry) in enumerate(zip(change.items, entries, strict=True))
        if not _matches(item, entry)
    ]
    if stale:
        faults = [
            _fault(index, "/if_match", f"it is at version {entry.current.version_number} now")
            for index, entry in stale
        ]
        current = [named(entry) | head_facts(entry.current) for _, entry in stale]
        raise StaleVersion(_detail(faults), faults=faults, facts={"current": current})
    return entries


def roll_back(planning: Planning, change: RollBackMany) -> WrittenMany | ForeseenMany:
    """Roll resources back to their definition and description at an instant or a commit.

    Skips resources that are deleted now, or that were deleted or did not exist then. Raises
    ResourceNotFound, ResourceDeleted, CommitNotFound, AmbiguousRef, StaleVersion, and CheckedOut if another
    user has checked out a resource that would change.
    """
    ledger = planning.ledger
    tx, subscription_id = ledger.tx, ledger.subscription_id
    # The query must find the resources of earlier changes of the batch, which are rolled back too.
    ledger.flush()
    found = subtrees.ids(tx, subscription_id, change.root)
    ledger.load(found)
    if change.root is not None and ledger.get(*change.root) is None:
        raise resource_not_found(*change.root)
    number = _number(ledger, change.to)
    if change.root is not None:
        ledger.live(*change.root)
    pairs: list[tuple[Entry, VersionRow]] = []
    skipped: list[Skipped] = []
    all_found = [(kind, resource_id) for kind, ids in found.items() for resource_id in ids]
    versions_then = versions.as_of(tx, subscription_id, all_found, number=number, at=ledger.now)
    were_deleted = as_of.deleted(tx, subscription_id, [each for _, each in all_found], number=number)
    for kind, resource_id in all_found:
        entry, then = ledger.get(Kind(kind), resource_id), versions_then.get((kind, resource_id))
        if entry is None:
            continue
        lives, lived = entry.row.deleted_at is None, resource_id not in were_deleted
        if then is not None and lives and lived:
            pairs.append((entry, then))
        elif lives:
            skipped.append(_skipped(entry, "newer" if then is None else "was_deleted"))
        elif then is not None and lived:
            skipped.append(_skipped(entry, "deleted"))
    steps = [step for entry, then in pairs if (step := _step(planning, change, entry, then)) is not None]
    of_others = [step.entry for step in steps if _is_anothers(ledger, step.entry, change)]
    if of_others:
        raise all_checked_out(of_others)
    check_head_match(ledger.writes.tips.head, change.if_match)
    if change.dry_run:
        targets = {entry.row.resource_id: then for entry, then in pairs}
        foreseen = tuple(
            Foreseen(resource=s.row, current=s.entry.current, target=targets[s.row.resource_id])
            for s in steps
        )
        return ForeseenMany(head=ledger.writes.tips.head, foreseen=foreseen, skipped=tuple(skipped))
    if not steps:
        _record_nothing(planning, change)
        return WrittenMany(commit=None, versions=(), skipped=tuple(skipped))
    title = f"rollback of {counted(len(steps))} to {_shown(change.to)}"
    written = planning.applier.apply(steps, title=title)
    commit = written[0].version.git_commit_hash
    return WrittenMany(commit=commit, versions=tuple(written), skipped=tuple(skipped))


def _number(ledger: Ledger, to: datetime | str) -> int:
    """Position on `main` of the commit to roll back to; 0 if `main` had no commit at that time."""
    if isinstance(to, datetime):
        commit = as_of.last_commit(ledger.tx, ledger.subscription_id, to)
        return 0 if commit is None else commit.commit_number
    return version_refs.commit(ledger.tx, ledger.subscription_id, to, given_as="/to").commit_number


def _step(planning: Planning, change: RollBackMany, entry: Entry, then: VersionRow) -> Step | None:
    """The step that rolls one resource back, or None if its content is the same already."""
    if then.git_blob_id == entry.current.git_blob_id:
        return None
    as_of = snapshots.split(planning.builder.read_blob(then.git_blob_id))
    now = snapshots.split(planning.builder.read_blob(entry.current.git_blob_id))
    # Name and parent are not rolled back, so the content can be equal while the blobs differ.
    if (as_of.definition, as_of.description) == (now.definition, now.description):
        return None
    return Step(
        action=Action.ROLLBACK,
        author=change.author,
        entry=entry,
        row=entry.row.touched(planning.ledger.at, as_of.description),
        definition=as_of.definition,
        comment=change.comment,
        about={"rolled_back_to": then.version_number},
    )


def _record_nothing(planning: Planning, change: RollBackMany) -> None:
    ledger = planning.ledger
    root = None if change.root is None else ledger.get(*change.root)
    subject = Subject("subscription", ledger.subscription_id, None) if root is None else Subject.of(root.row)
    about = {"rolled_back_to": _shown(change.to), "unchanged": True}
    planning.applier.record(change.author, subject, Action.ROLLBACK, old=None, new=about)


def _is_anothers(ledger: Ledger, entry: Entry, change: CheckInMany | RollBackMany) -> bool:
    lease = running(entry.check_out, ledger.now)
    return lease is not None and lease.checked_out_by != change.author.user_id


def _matches(item: Item, entry: Entry) -> bool:
    return item.if_match is None or etags.names(item.if_match, entry.current.git_commit_hash)


def _skipped(entry: Entry, reason: str) -> Skipped:
    row = entry.row
    return Skipped(
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        resource_name=row.name,
        reason=reason,
    )


def _fault(index: int, field: str, detail: str) -> Fault:
    return Fault(detail.rstrip("."), pointer=f"/items/{index}{field}")


def _refuse(error: type[AnnalsError], faults: Sequence[Fault]) -> None:
    if faults:
        raise error(_detail(faults), faults=faults)


def _detail(faults: Sequence[Fault]) -> str:
    return "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults[:3]) + "."


def _shown(to: datetime | str) -> str:
    return to if isinstance(to, str) else to.isoformat()
