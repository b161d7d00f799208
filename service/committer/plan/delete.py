"""Delete a resource with all live resources below it, or purge a deleted resource; all or nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gitstore.commit_messages import DeletionLine
from service.audit import events
from service.audit.events import Subject, check_out_state
from service.committer.changes import Delete, Deleted, Purge
from service.committer.plan.ledger import Ledger
from service.committer.plan.planning import Planning
from service.committer.refusals import all_checked_out, check_match, checked_out
from service.committer.step import Entry, by_kind, running
from service.domain import ids, legal_holds
from service.domain.actions import Action
from service.domain.cascades import Candidate, cascade
from service.domain.errors import NotDeleted, StillRestorable
from service.domain.ids import mint
from service.domain.resource_kinds import PARENT_FIELDS, Kind
from sql.queries import expire_deletions, subtrees, versions
from sql.queries.audit_logs import Values
from sql.queries.deletions import DeletionRow, NewDeletion
from sql.queries.resources import ResourceRow
from sql.queries.versions import VersionRow

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _DeletedEntry:
    """A resource to delete, and its level below the root.

    `counts` are the numbers of resources in its row, by collection.
    """

    entry: Entry
    level: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class _Common:
    """The facts that all rows of a deletion share; `until` is None for a deletion for good."""

    deletion_id: UUID
    change: Delete | Purge
    until: datetime | None
    reason: str | None
    published: Mapping[UUID, VersionRow]
    commit: str
    commit_number: int

    def row(self, cascaded: _DeletedEntry, at: datetime) -> NewDeletion:
        """The deletion's row for one resource."""
        row, is_root = cascaded.entry.row, cascaded.level == 0
        published = self.published.get(row.resource_id)
        return NewDeletion(
            deletion_id=self.deletion_id if is_root else ids.derived(self.deletion_id, row.resource_id),
            root_deletion_id=self.deletion_id,
            resource_type=row.resource_type,
            resource_id=row.resource_id,
            resource_name=events.name(row.name, events.MAX_NAME),
            parent_resource_type=parent_kind(row),
            parent_resource_id=row.parent_id,
            cascade_level=cascaded.level,
            **{f"cascaded_{collection}": number for collection, number in cascaded.counts.items()},
            deleted_by=self.change.author.user_id,
            deletion_reason=self.reason,
            is_soft_delete=self.until is not None,
            can_be_restored=self.until is not None,
            restore_expiry_at=self.until,
            deleted_at=at,
            version_id=cascaded.entry.current.version_id,
            published_version_id=None if published is None else published.version_id,
            git_commit_hash=self.commit,
            commit_number=self.commit_number,
        )


def delete(planning: Planning, change: Delete) -> Deleted:
    """Delete a resource and all live ones below it.

    Raises ResourceNotFound, ResourceDeleted, StaleVersion, and CheckedOut if another user has checked
    out any of them.
    """
    ledger, applier = planning.ledger, planning.applier
    ledger.flush()
    entry = ledger.live(change.kind, change.resource_id)
    cascaded = _cascaded(entry, [each for each in _below(ledger, change) if each.row.deleted_at is None])
    leased = [each.entry for each in cascaded if running(each.entry.check_out, ledger.now) is not None]
    anothers = [each for each in leased if not _is_of(each, change)]
    if anothers and not change.force:
        raise _refusal(entry, anothers)
    check_match(change.kind, entry.current, change.if_match)
    until, reason = ledger.now + change.restorable_for, _reason(change)
    deletion_id = mint()
    published = _published(ledger, cascaded)
    line = DeletionLine(str(deletion_id), until, reason)
    commit = applier.delete(
        [each.entry.row for each in cascaded],
        line,
        author=change.author,
        root=entry.row,
        also=len(cascaded) - 1,
    )
    if published:
        applier.withdraw(published, line, author=change.author, root=entry.row)
    for each in leased:
        _end_check_out(planning, each, change)
    number = ledger.writes.tips.commits
    common = _Common(deletion_id, change, until, reason, _by_resource(published), commit, number)
    rows = ledger.writes.rows
    rows.deletions += [common.row(each, ledger.at) for each in cascaded]
    rows.to_delete = by_kind(each.entry.row for each in cascaded)
    return _finish(planning, common, cascaded)


def purge(planning: Planning, change: Purge) -> Deleted:
    """Delete a deleted resource, and all resources below it, for good.

    Raises ResourceNotFound, NotDeleted, StaleVersion, StillRestorable, Held.
    """
    ledger = planning.ledger
    ledger.flush()
    entry = ledger.present(change.kind, change.resource_id)
    if entry.row.deleted_at is None:
        raise NotDeleted(f"The {change.kind} lives: delete it first, without `permanent`.")
    check_match(change.kind, entry.current, change.if_match)
    # Not filtered: all resources below a deleted one are deleted.
    cascaded = _cascaded(entry, _below(ledger, change))
    if change.once_expired:
        _check_expired(ledger, cascaded)
    legal_holds.check(ledger.tx, ledger.subscription_id, [each.entry.row for each in cascaded], ledger.now)
    reason = _reason(change)
    deletion_id = mint()
    line = DeletionLine(str(deletion_id), None, reason)
    commit = planning.applier.delete([], line, author=change.author, root=entry.row, also=len(cascaded) - 1)
    common = _Common(deletion_id, change, None, reason, {}, commit, ledger.writes.tips.commits)
    rows = ledger.writes.rows
    rows.deletions += [common.row(each, ledger.at) for each in cascaded]
    rows.to_purge = by_kind(each.entry.row for each in cascaded)
    done = _finish(planning, common, cascaded)
    ledger.forget(each.entry for each in cascaded)
    return done


def _check_expired(ledger: Ledger, cascaded: Sequence[_DeletedEntry]) -> None:
    ids = [each.entry.row.resource_id for each in cascaded]
    until = expire_deletions.restorable_until(ledger.tx, ledger.subscription_id, ids, ledger.now)
    if until is not None:
        raise StillRestorable(f"Some of it can be restored until {until:%Y-%m-%dT%H:%M:%SZ}.")


def parent_kind(row: ResourceRow) -> Kind | None:
    """The kind of a resource's parent; None for a workspace."""
    kinds = [kind for _, kind in PARENT_FIELDS[Kind(row.resource_type)]]
    if not kinds:
        return None
    # The parent of a folder is a folder or its workspace.
    return Kind.WORKSPACE if row.parent_id == row.workspace_id else kinds[0]


def _finish(planning: Planning, common: _Common, cascaded: Sequence[_DeletedEntry]) -> Deleted:
    """Add the data changes and the audit row, and mark the entries as deleted."""
    ledger, applier = planning.ledger, planning.applier
    change, root, rows = common.change, cascaded[0], ledger.writes.rows
    entries = [each.entry for each in cascaded]
    applier.count_changes(entries, change.author, Action.DELETE, reason=common.reason)
    about: Values = {
        "deletion_id": common.deletion_id,
        "permanent": common.until is None,
        "restore_expiry_at": common.until,
        "reason": common.reason,
        "git_commit_hash": common.commit,
        "counts": dict(root.counts),
    }
    subject = Subject.of(root.entry.row)
    applier.record(change.author, subject, Action.DELETE, old=None, new=about)
    made = next(row for row in rows.deletions if row.deletion_id == common.deletion_id)
    connectors = {
        entry.row.resource_id: entry.row.name
        for entry in entries
        if entry.row.resource_type == Kind.CONNECTOR
    }
    for entry in entries:
        entry.delete(ledger.at)
    ledger.flush_before_next()
    deletion = DeletionRow.of(
        made, username=change.author.username, git_blob_id=root.entry.current.git_blob_id
    )
    return Deleted(deletion=deletion, connectors=connectors)


def _below(ledger: Ledger, change: Delete | Purge) -> list[Entry]:
    """Lock and load a resource and all resources below it, deleted or not."""
    found = subtrees.ids(ledger.tx, ledger.subscription_id, (change.kind, change.resource_id))
    ledger.load(found)
    entries = (ledger.get(Kind(kind), each) for kind, all_ids in found.items() for each in all_ids)
    return [entry for entry in entries if entry is not None]


def _cascaded(root: Entry, entries: Sequence[Entry]) -> list[_DeletedEntry]:
    """The root and the resources below it, each parent before its children, with counts."""
    by_id = {entry.row.resource_id: entry for entry in (root, *entries)}
    found = cascade(_falling(root), map(_falling, entries))
    return [_DeletedEntry(by_id[each.resource_id], each.level, each.counts) for each in found]


def _falling(entry: Entry) -> Candidate:
    row = entry.row
    return Candidate(Kind(row.resource_type), row.resource_id, row.parent_id)


def _published(ledger: Ledger, cascaded: Sequence[_DeletedEntry]) -> list[VersionRow]:
    return [
        version
        for kind, resource_ids in by_kind(each.entry.row for each in cascaded).items()
        for version in versions.published_of(
            ledger.tx, ledger.subscription_id, kind, resource_ids, at=ledger.now
        )
    ]


def _by_resource(rows: Iterable[VersionRow]) -> dict[UUID, VersionRow]:
    return {row.resource_id: row for row in rows}


def _reason(change: Delete | Purge) -> str | None:
    # Masked here, so that the commit and the row of the deletion, which is a log, say the same.
    return events.text(change.reason or change.author.origin.reason, events.MAX_TEXT_BYTES)


def _is_of(entry: Entry, change: Delete) -> bool:
    return entry.check_out is not None and entry.check_out.checked_out_by == change.author.user_id


def _refusal(root: Entry, of_others: Sequence[Entry]) -> Exception:
    if of_others == [root] and root.check_out is not None:
        return checked_out(root.row.resource_type, root.check_out)
    return all_checked_out(of_others)


def _end_check_out(planning: Planning, entry: Entry, change: Delete) -> None:
    lease = entry.check_out
    if lease is None:
        return
    is_own = _is_of(entry, change)
    how = "deleted" if is_own else "forced"
    planning.ledger.writes.rows.released.append((lease, change.author.user_id, how))
    planning.applier.record(
        change.author,
        Subject.of(entry.row),
        Action.CANCEL_CHECK_OUT if is_own else Action.FORCE_CANCEL,
        old=check_out_state(lease),
        new=None,
    )
