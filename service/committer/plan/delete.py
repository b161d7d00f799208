"""Deletion, softly with all that lives below, or for good of what is deleted already; all or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gitstore.commit_messages import DeletionLine
from service.audit.events import Subject, check_out_state
from service.committer.changes import Delete, Deleted, Purge
from service.committer.plan.applier import Applier
from service.committer.plan.ledger import Ledger
from service.committer.plan.tree import Tree
from service.committer.refusals import all_checked_out, check_match, checked_out
from service.committer.step import Entry, by_kind, running
from service.domain import ids, legal_holds
from service.domain.actions import Action
from service.domain.cascades import Candidate, cascade
from service.domain.errors import NotDeleted, StillRestorable
from service.domain.ids import mint
from service.domain.resource_kinds import PARENT_FIELDS, Kind
from sql.queries import expire_deletions, resources, versions
from sql.queries.audit_logs import Values
from sql.queries.deletions import DeletionRow, NewDeletion
from sql.queries.resources import ResourceRow
from sql.queries.versions import VersionRow

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Fallen:
    """A resource that falls, how far below the root, and how much of each collection falls with it."""

    entry: Entry
    level: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class _Fall:
    """What a deletion is, apart from what falls by it: `until` is None where that is for good."""

    deletion_id: UUID
    change: Delete | Purge
    until: datetime | None
    reason: str | None
    published: Mapping[UUID, VersionRow]
    commit: str
    commit_number: int

    def row(self, fallen: _Fallen, at: datetime) -> NewDeletion:
        """The row of one that falls."""
        row, is_root = fallen.entry.row, fallen.level == 0
        published = self.published.get(row.resource_id)
        return NewDeletion(
            deletion_id=self.deletion_id if is_root else ids.derived(self.deletion_id, row.resource_id),
            root_deletion_id=self.deletion_id,
            resource_type=row.resource_type,
            resource_id=row.resource_id,
            resource_name=row.name,
            parent_resource_type=parent_kind(row),
            parent_resource_id=row.parent_id,
            cascade_level=fallen.level,
            **{f"cascaded_{collection}": number for collection, number in fallen.counts.items()},
            deleted_by=self.change.author.user_id,
            deletion_reason=self.reason,
            is_soft_delete=self.until is not None,
            can_be_restored=self.until is not None,
            restore_expiry_at=self.until,
            deleted_at=at,
            version_id=fallen.entry.current.version_id,
            published_version_id=None if published is None else published.version_id,
            git_commit_hash=self.commit,
            commit_number=self.commit_number,
        )


def delete(ledger: Ledger, tree: Tree, applier: Applier, change: Delete) -> Deleted:
    """Let a resource and all that lives below it fall.

    Raises ResourceNotFound, ResourceDeleted, CheckedOut where another holds any of it, StaleVersion.
    """
    tree.tell()
    entry = ledger.live(change.kind, change.resource_id)
    fallen = _fallen(entry, [each for each in _below(ledger, change) if each.row.deleted_at is None])
    held = [each.entry for each in fallen if running(each.entry.check_out, ledger.at) is not None]
    anothers = [holder for holder in held if not _is_of(holder, change)]
    if anothers and not change.force:
        raise _refusal(entry, anothers)
    check_match(change.kind, entry.current, change.if_match)
    until, reason = ledger.at + change.restorable_for, _reason(change)
    deletion_id = mint()
    published = _published(ledger, fallen)
    line = DeletionLine(str(deletion_id), until, reason)
    commit = applier.delete(
        [each.entry.row for each in fallen],
        line,
        author=change.author,
        root=entry.row,
        also=len(fallen) - 1,
    )
    if published:
        applier.withdraw(published, line, author=change.author, root=entry.row)
    for holder in held:
        _end_check_out(ledger, applier, holder, change)
    number = ledger.writes.tips.commits
    fall = _Fall(deletion_id, change, until, reason, _by_resource(published), commit, number)
    rows = ledger.writes.rows
    rows.deletions += [fall.row(each, ledger.at) for each in fallen]
    rows.fell = by_kind(each.entry.row for each in fallen)
    return _finish(ledger, tree, applier, fall, fallen)


def purge(ledger: Ledger, tree: Tree, applier: Applier, change: Purge) -> Deleted:
    """Delete a resource for good that is deleted already, and all below it.

    Raises ResourceNotFound, NotDeleted, StaleVersion, StillRestorable, Held.
    """
    tree.tell()
    entry = ledger.present(change.kind, change.resource_id)
    if entry.row.deleted_at is None:
        raise NotDeleted(f"The {change.kind} lives: delete it first, without `permanent`.")
    check_match(change.kind, entry.current, change.if_match)
    # All of it is deleted: nothing lives below what does not.
    fallen = _fallen(entry, _below(ledger, change))
    if change.once_expired:
        _check_expired(ledger, fallen)
    legal_holds.check(ledger.tx, ledger.subscription_id, [each.entry.row for each in fallen], ledger.at)
    reason = _reason(change)
    deletion_id = mint()
    line = DeletionLine(str(deletion_id), None, reason)
    commit = applier.delete([], line, author=change.author, root=entry.row, also=len(fallen) - 1)
    fall = _Fall(deletion_id, change, None, reason, {}, commit, ledger.writes.tips.commits)
    rows = ledger.writes.rows
    rows.purged += [each.entry.row.resource_id for each in fallen]
    rows.deletions += [fall.row(each, ledger.at) for each in fallen]
    rows.removed = by_kind(each.entry.row for each in fallen)
    done = _finish(ledger, tree, applier, fall, fallen)
    ledger.forget(each.entry for each in fallen)
    return done


def _check_expired(ledger: Ledger, fallen: Sequence[_Fallen]) -> None:
    ids = [each.entry.row.resource_id for each in fallen]
    until = expire_deletions.restorable_until(ledger.tx, ledger.subscription_id, ids, ledger.at)
    if until is not None:
        raise StillRestorable(f"Some of it can be restored until {until:%Y-%m-%dT%H:%M:%SZ}.")


def parent_kind(row: ResourceRow) -> Kind | None:
    """The kind of what a resource lies in; None for a workspace."""
    kinds = [kind for _, kind in PARENT_FIELDS[Kind(row.resource_type)]]
    if not kinds:
        return None
    # A folder lies in a folder, or in its workspace.
    return Kind.WORKSPACE if row.parent_id == row.workspace_id else kinds[0]


def _finish(ledger: Ledger, tree: Tree, applier: Applier, fall: _Fall, fallen: Sequence[_Fallen]) -> Deleted:
    """Count the change of each, record the deletion, and let the rest of the batch see what is left."""
    change, root, rows = fall.change, fallen[0], ledger.writes.rows
    applier.count_changes([each.entry for each in fallen], change.author, Action.DELETE, reason=fall.reason)
    about: Values = {
        "deletion_id": fall.deletion_id,
        "permanent": fall.until is None,
        "restore_expiry_at": fall.until,
        "reason": fall.reason,
        "git_commit_hash": fall.commit,
        "counts": dict(root.counts),
    }
    subject = Subject.of(root.entry.row)
    applier.record(change.author, subject, Action.DELETE, old=None, new=about)
    made = next(row for row in rows.deletions if row.deletion_id == fall.deletion_id)
    connectors = {
        each.entry.row.resource_id: each.entry.row.name
        for each in fallen
        if each.entry.row.resource_type == Kind.CONNECTOR
    }
    for each in fallen:
        each.entry.fell(ledger.at)
    tree.tell_next()
    deletion = DeletionRow.of(
        made, username=change.author.username, git_blob_id=root.entry.current.git_blob_id
    )
    return Deleted(deletion=deletion, connectors=connectors)


def _below(ledger: Ledger, change: Delete | Purge) -> list[Entry]:
    """A resource and all below it, deleted or not, each row held."""
    found = resources.below(ledger.tx, ledger.subscription_id, (change.kind, change.resource_id))
    ledger.load(found)
    entries = (ledger.get(Kind(kind), each) for kind, all_ids in found.items() for each in all_ids)
    return [entry for entry in entries if entry is not None]


def _fallen(root: Entry, entries: Sequence[Entry]) -> list[_Fallen]:
    """What falls with a root, a parent before what lies in it, with counts of what lies in each."""
    by_id = {entry.row.resource_id: entry for entry in (root, *entries)}
    found = cascade(_falling(root), map(_falling, entries))
    return [_Fallen(by_id[each.resource_id], each.level, each.counts) for each in found]


def _falling(entry: Entry) -> Candidate:
    row = entry.row
    return Candidate(Kind(row.resource_type), row.resource_id, row.parent_id)


def _published(ledger: Ledger, fallen: Sequence[_Fallen]) -> list[VersionRow]:
    return [
        version
        for kind, resource_ids in by_kind(each.entry.row for each in fallen).items()
        for version in versions.published_of(
            ledger.tx, ledger.subscription_id, kind, resource_ids, at=ledger.at
        )
    ]


def _by_resource(rows: Iterable[VersionRow]) -> dict[UUID, VersionRow]:
    return {row.resource_id: row for row in rows}


def _reason(change: Delete | Purge) -> str | None:
    return change.reason or change.author.origin.reason


def _is_of(entry: Entry, change: Delete) -> bool:
    return entry.check_out is not None and entry.check_out.checked_out_by == change.author.user_id


def _refusal(root: Entry, held: Sequence[Entry]) -> Exception:
    if held == [root] and root.check_out is not None:
        return checked_out(root.row.resource_type, root.check_out)
    return all_checked_out(held)


def _end_check_out(ledger: Ledger, applier: Applier, entry: Entry, change: Delete) -> None:
    held = entry.check_out
    if held is None:
        return
    is_own = _is_of(entry, change)
    ledger.writes.rows.released.append((held, change.author.user_id, "deleted" if is_own else "forced"))
    applier.record(
        change.author,
        Subject.of(entry.row),
        Action.CANCEL_CHECK_OUT if is_own else Action.FORCE_CANCEL,
        old=check_out_state(held),
        new=None,
    )
