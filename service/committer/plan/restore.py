"""Restore exactly the resources of a deletion, from git, in one commit; all or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from gitstore import snapshots
from service.audit.events import Subject
from service.committer.changes import (
    Blobs,
    DeletedPart,
    ForeseenRestore,
    Resolution,
    Restore,
    Restored,
    RestoreObstacle,
    Written,
)
from service.committer.plan.delete import parent_kind
from service.committer.plan.ledger import Ledger
from service.committer.plan.planning import Planning
from service.committer.step import Entry, Step, by_kind, folder_of, path_of
from service.domain import names
from service.domain.actions import Action
from service.domain.cascades import count
from service.domain.errors import (
    DeletionNotFound,
    DeletionPosted,
    Fault,
    Invalid,
    NotRestorable,
    ParentNotFound,
    RestoreConflict,
)
from service.domain.resource_kinds import PARENT_FIELDS, Kind
from sql.queries import deletions, places, posted_deletions, versions
from sql.queries.audit_logs import Values
from sql.queries.deletions import DeletionRow, RestoredDeletions
from sql.queries.resources import ResourceRow
from sql.queries.versions import VersionRow

_NEW_PARENT = "/resolve/new_parent_id"


@dataclass(frozen=True, slots=True)
class _RestorePlan:
    """The effects of a restore; `root` is the named resource's row afterwards, None if it is live already."""

    root: ResourceRow | None
    parts: Sequence[tuple[DeletionRow, Entry]]
    # The blobs of the parts by their paths.
    places: Mapping[str, str]
    missing: tuple[DeletedPart, ...]
    kept: tuple[DeletedPart, ...]
    conflicts: tuple[RestoreObstacle, ...]

    @property
    def counts(self) -> dict[str, int]:
        """The number of resources to restore, by collection."""
        return count(entry.row.resource_type for _, entry in self.parts)


def restore(planning: Planning, change: Restore) -> Restored | ForeseenRestore:
    """Restore the resources of a deletion.

    Raises DeletionNotFound, DeletionPosted, NotRestorable, ParentNotFound, Invalid, RestoreConflict with all
    conflicts, and QuotaExceeded. A dry run only returns the resources and the conflicts.
    """
    ledger = planning.ledger
    ledger.flush()
    named = deletions.get(ledger.tx, ledger.subscription_id, change.deletion_id)
    if named is None and posted_deletions.is_posted(ledger.tx, ledger.subscription_id, change.deletion_id):
        raise DeletionPosted("A platform posted this deletion: only its own system can restore the resource.")
    if named is None:
        raise DeletionNotFound(f"There is no deletion {change.deletion_id} in this subscription.")
    _check_time(ledger, named)
    plan = _plan(planning, change, named)
    if change.dry_run:
        return ForeseenRestore(
            deletion_id=named.deletion_id,
            counts=plan.counts,
            conflicts=plan.conflicts,
            missing=plan.missing,
            kept=plan.kept,
        )
    if plan.conflicts or plan.root is None:
        shown = "; ".join(conflict.detail for conflict in plan.conflicts[:3])
        raise RestoreConflict(f"Nothing was restored: {shown}.", facts={"conflicts": list(plan.conflicts)})
    return _carry_out(planning, change, named, plan, plan.root)


def _check_time(ledger: Ledger, named: DeletionRow) -> None:
    if not named.is_soft_delete or named.purged_at is not None:
        raise NotRestorable(f"The {named.resource_type} was deleted for good.")
    if named.restore_expiry_at is not None and named.restore_expiry_at <= ledger.now:
        raise NotRestorable(
            f"The {named.resource_type} could be restored until {named.restore_expiry_at:%Y-%m-%dT%H:%M:%SZ}."
        )


# -- the resources to restore ------------------------------------------------------------------------


def _plan(planning: Planning, change: Restore, named: DeletionRow) -> _RestorePlan:
    ledger, builder = planning.ledger, planning.builder
    if named.restored_at is not None:
        detail = f"the {named.resource_type} {named.resource_name!r} was restored already"
        return _RestorePlan(None, (), {}, (), (), (_conflict(named, "already_restored", detail),))
    conflicts: list[RestoreObstacle] = []
    rows, missing, kept = _at_and_below(ledger, named)
    ledger.load(by_kind(rows))
    parts = [(row, ledger.present(Kind(row.resource_type), row.resource_id)) for row in rows]
    root_row = _placed(ledger, change.resolution, parts[0][1].row, named, conflicts)
    if not change.resolution.keep_restored:
        conflicts += [
            _conflict(
                row,
                "already_restored",
                f"the {row.resource_type} {row.resource_name!r} was restored on its own",
            )
            for row in kept
        ]
    paths = [path_of(row) for row in rows]
    # The blobs that git had just before the deletion.
    then = builder.blobs(builder.parent(named.git_commit_hash), paths)
    conflicts += [
        _conflict(row, "content_differs", f"git has another {row.resource_type} {row.resource_id}")
        for row, path in zip(rows, paths, strict=True)
        if then[path] != row.git_blob_id
    ]
    places = {path: row.git_blob_id for row, path in zip(rows, paths, strict=True)}
    return _RestorePlan(root_row, parts, places, missing, tuple(map(_part, kept)), tuple(conflicts))


def _at_and_below(
    ledger: Ledger, named: DeletionRow
) -> tuple[list[DeletionRow], tuple[DeletedPart, ...], list[DeletionRow]]:
    """The named row of a deletion and the rows below it: to restore, purged since, and restored already.

    Rows below a purged or a restored resource are left out.
    """
    inside: dict[UUID | None, list[DeletionRow]] = {}
    for row in deletions.of_root(ledger.tx, ledger.subscription_id, named.root_deletion_id):
        if row.cascade_level > named.cascade_level:
            inside.setdefault(row.parent_resource_id, []).append(row)
    found, purged, restored = [named], [], []
    for outer in found:
        for row in inside.get(outer.resource_id, ()):
            if row.purged_at is not None:
                purged.append(row)
            elif row.restored_at is not None:
                restored.append(row)
            else:
                found.append(row)
    # A restored resource may have been deleted again since, and then purged.
    ledger.load(by_kind(restored))
    kept: list[DeletionRow] = []
    for row in restored:
        is_there = ledger.get(Kind(row.resource_type), row.resource_id) is not None
        (kept if is_there else purged).append(row)
    return found, tuple(map(_part, purged)), kept


def _placed(
    ledger: Ledger,
    resolution: Resolution,
    row: ResourceRow,
    named: DeletionRow,
    conflicts: list[RestoreObstacle],
) -> ResourceRow:
    """The root's row with its name and parent after the restore; adds their conflicts to `conflicts`."""
    parent = _parent(ledger, resolution, row)
    if parent is not None and parent.deleted_at is not None:
        where = "that it lies in" if resolution.new_parent_id is None else "that it is to lie in"
        detail = f"the {parent.resource_type} {parent.name!r} {where} is deleted"
        conflicts.append(_conflict(named, "parent_deleted", detail, parent.resource_type, parent.resource_id))
    placed = row if resolution.rename is None else replace(row, name=resolution.rename)
    if parent is not None and resolution.new_parent_id is not None:
        placed = replace(
            placed,
            parent_id=parent.resource_id,
            workspace_id=parent.workspace_id,
            folder_id=folder_of(parent, row.resource_id, Kind(row.resource_type)),
        )
    owner = places.name_owner(
        ledger.tx,
        ledger.subscription_id,
        placed.resource_type,
        placed.parent_id,
        placed.name,
        names.comparable(placed.name),
    )
    if owner is not None:
        detail = f"a live {placed.resource_type} named {placed.name!r} is there"
        conflicts.append(_conflict(named, "name_taken", detail, placed.resource_type, owner))
    return placed


def _parent(ledger: Ledger, resolution: Resolution, row: ResourceRow) -> ResourceRow | None:
    """The parent of the root after the restore, its row locked; None for a workspace."""
    tx, subscription_id = ledger.tx, ledger.subscription_id
    if resolution.new_parent_id is None:
        kind = parent_kind(row)
        if kind is None or row.parent_id is None:
            return None
        return places.lock_parent(tx, subscription_id, kind, row.parent_id)
    kinds = [kind for _, kind in PARENT_FIELDS[Kind(row.resource_type)]]
    if not kinds:
        fault = Fault("a workspace lies in nothing", pointer=_NEW_PARENT)
        raise Invalid(f"{_NEW_PARENT}: {fault.detail}.", faults=[fault])
    for kind in kinds:
        parent = places.lock_parent(tx, subscription_id, kind, resolution.new_parent_id)
        if parent is not None:
            return parent
    detail = f"there is no {' or '.join(kinds)} {resolution.new_parent_id} in this subscription"
    raise ParentNotFound(f"{_NEW_PARENT}: {detail}.", faults=[Fault(detail, pointer=_NEW_PARENT)])


# -- the restore -------------------------------------------------------------------------------------


def _carry_out(
    planning: Planning, change: Restore, named: DeletionRow, plan: _RestorePlan, placed: ResourceRow
) -> Restored:
    ledger, applier = planning.ledger, planning.applier
    author, rows, root = change.author, ledger.writes.rows, plan.parts[0][1]
    before = root.row
    then = dict(plan.places)
    entries = [entry for _, entry in plan.parts]
    step = _step(planning, change, root, placed)
    planning.quotas.admit(
        versions=0 if step is None else 1,
        size=0 if step is None or step.definition is None else len(step.definition),
        resources=len(entries),
    )
    applier.count_changes(entries, author, Action.RESTORE, reason=author.origin.reason)
    rows.to_restore = by_kind(row for row, _ in plan.parts)
    for entry in entries:
        entry.restore()
    commit, version = applier.restore(then, named.deletion_id, author=author, root=placed, changed=step)
    published = _published(ledger, [row for row, _ in plan.parts])
    if published:
        applier.republish(published, named.deletion_id, author=author, root=placed)
    restored_ids = [row.deletion_id for row, _ in plan.parts]
    number = ledger.writes.tips.commits
    rows.restorations.append(
        RestoredDeletions(deletion_ids=restored_ids, by=author.user_id, commit=commit, number=number)
    )
    if version is not None and step is not None:
        root.row, root.current = step.row, version
        # The restore changed the root, so its blob is not compared.
        then.pop(path_of(named))
    is_published = {each.version_id for each in published}
    for _, entry in plan.parts:
        if entry.current.version_id in is_published:
            entry.current = replace(entry.current, is_published=True)
    now = planning.builder.blobs(commit, then)
    blobs = Blobs(compared=len(then), equal=sum(now[path] == blob for path, blob in then.items()))
    about: Values = {
        "deletion_id": named.deletion_id,
        "git_commit_hash": commit,
        "counts": plan.counts,
        "blobs": {"compared": blobs.compared, "equal": blobs.equal},
        "name": root.row.name,
        "parent_id": root.row.parent_id,
        "missing": len(plan.missing),
        "kept": len(plan.kept),
    }
    applier.record(author, Subject.of(root.row), Action.RESTORE, old=None, new=about)
    if root.row.place == before.place:
        ledger.flush_before_next()
    else:
        planning.tree.move(before, root)
    return Restored(
        deletion_id=named.deletion_id,
        commit=commit,
        root=Written(resource=root.row, version=root.current, unchanged=version is None),
        counts=plan.counts,
        blobs=blobs,
        missing=plan.missing,
        kept=plan.kept,
    )


def _step(planning: Planning, change: Restore, root: Entry, placed: ResourceRow) -> Step | None:
    """The new version of the root, if the restore gives it another name or parent."""
    if placed.place == root.row.place:
        return None
    return Step(
        action=Action.RESTORE,
        author=change.author,
        entry=root,
        row=replace(placed, deleted_at=None, updated_at=planning.ledger.at),
        definition=snapshots.split(planning.builder.read_blob(root.current.git_blob_id)).definition,
    )


def _published(ledger: Ledger, rows: Sequence[DeletionRow]) -> list[VersionRow]:
    wanted: dict[str, list[UUID]] = {}
    for row in rows:
        if row.published_version_id is not None:
            wanted.setdefault(row.resource_type, []).append(row.published_version_id)
    return [
        version
        for kind, ids in wanted.items()
        for version in versions.by_ids(ledger.tx, ledger.subscription_id, kind, ids, at=ledger.now)
    ]


def _part(row: DeletionRow) -> DeletedPart:
    return DeletedPart(
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        resource_name=row.resource_name,
        deletion_id=row.deletion_id,
    )


def _conflict(
    row: DeletionRow,
    reason: str,
    detail: str,
    other_type: str | None = None,
    other_id: UUID | None = None,
) -> RestoreObstacle:
    return RestoreObstacle(
        reason=reason,
        detail=detail,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        resource_name=row.resource_name,
        other_type=other_type,
        other_id=other_id,
    )
