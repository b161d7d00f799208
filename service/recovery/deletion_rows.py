"""Make the rows of deletions and their restores from the commits of `main`, in order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from gitstore.commit_messages import DeletionLine
from gitstore.errors import NotUnderstood
from service.audit import events
from service.domain import ids
from service.domain.cascades import Candidate, cascade
from service.domain.resource_kinds import Kind
from service.recovery.resource_rows import Key
from sql.queries.rebuild import PastDeletion


@dataclass(frozen=True, slots=True)
class Moment:
    """A commit that deletes or restores: its place on `main`, counted from 1, its author and time."""

    commit_id: str
    place: int
    by: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class ResourceState:
    """A resource at the time of its deletion; `parent` is None for a workspace."""

    key: Key
    name: str
    parent: Key | None
    version_id: UUID


class PastDeletions:
    """The rows of deletions by their ids; a method that raises NotUnderstood has changed nothing."""

    def __init__(self) -> None:
        self.rows: dict[UUID, PastDeletion] = {}
        # Only resources that are deleted now: the deletion of each, and the deleted children of each parent.
        self._open: dict[UUID, UUID] = {}
        self._inside: dict[UUID | None, set[UUID]] = {}
        self._restored: dict[UUID, list[UUID]] = {}

    def delete(self, line: DeletionLine, moment: Moment, deleted: Sequence[ResourceState]) -> None:
        """Delete live resources: one resource, and others below it."""
        own = {each.key[1] for each in deleted}
        root = next((each for each in deleted if each.parent is None or each.parent[1] not in own), None)
        if root is None or not own.isdisjoint(self._open):
            raise NotUnderstood(f"{_of(line, moment)} takes what is deleted already, or lies in itself")
        for row in self._add(line, moment, root, deleted):
            self._open[row.resource_id] = row.deletion_id
            self._inside.setdefault(row.parent_resource_id, set()).add(row.resource_id)

    def purge(self, line: DeletionLine, moment: Moment, root: Key) -> list[Key]:
        """Delete a deleted resource, and all resources below it, for good; returns the purged resources."""
        before = self._state(root[1])
        if before is None or before.key != root:
            raise NotUnderstood(
                f"{_of(line, moment)} takes for good what is not deleted, {root[0]} {root[1]}"
            )
        purged = [before]
        for outer in purged:
            found = (self._state(each) for each in self._inside.get(outer.key[1], ()))
            purged += [each for each in found if each is not None]
        self._add(line, moment, before, purged)
        for each in purged:
            self._close(each.key[1], can_be_restored=False, purged_at=moment.at)
        return [each.key for each in purged]

    def restore(self, deletion_id: UUID, moment: Moment, back: Collection[UUID]) -> None:
        """Restore resources: the one that a deletion names, and others that were deleted with it."""
        named = self.rows.get(deletion_id)
        rows = [self.rows[self._open[each]] for each in back if each in self._open]
        if (
            named is None
            or len(rows) != len(back)
            or deletion_id not in {row.deletion_id for row in rows}
            or {row.root_deletion_id for row in rows} != {named.root_deletion_id}
        ):
            raise NotUnderstood(
                f"commit {moment.commit_id}: it restores what did not fall by deletion {deletion_id}"
            )
        self._restored[deletion_id] = [row.deletion_id for row in rows]
        for row in rows:
            self._close(
                row.resource_id,
                can_be_restored=False,
                restored_at=moment.at,
                restored_by=moment.by,
                restored_commit_hash=moment.commit_id,
                restored_commit_number=moment.place,
            )

    def withdraw(self, deletion_id: UUID, resource_id: UUID, version_id: UUID) -> None:
        """Note that a version was published until the deletion of its resource."""
        root = self.rows.get(deletion_id)
        is_root = root is not None and root.resource_id == resource_id
        row = root if is_root else self.rows.get(ids.derived(deletion_id, resource_id))
        if row is None or not row.is_soft_delete:
            raise NotUnderstood(f"deletion {deletion_id} did not take {resource_id}, which it withdraws")
        self.rows[row.deletion_id] = replace(row, published_version_id=version_id)

    def published_before(self, deletion_id: UUID) -> set[UUID]:
        """The versions that a restore has to publish again, since they were published until the deletion."""
        rows = (self.rows[each] for each in self._restored.get(deletion_id, ()))
        return {row.published_version_id for row in rows if row.published_version_id is not None}

    def _state(self, resource_id: UUID) -> ResourceState | None:
        """A deleted resource as it was at its deletion: it can't change since. None if it is not deleted."""
        if resource_id not in self._open:
            return None
        row = self.rows[self._open[resource_id]]
        parent = None
        if row.parent_resource_type is not None and row.parent_resource_id is not None:
            parent = Kind(row.parent_resource_type), row.parent_resource_id
        return ResourceState(
            (Kind(row.resource_type), resource_id), row.resource_name, parent, row.version_id
        )

    def _close(self, resource_id: UUID, **values: object) -> None:
        row = self.rows[self._open.pop(resource_id)]
        self._inside[row.parent_resource_id].discard(resource_id)
        self.rows[row.deletion_id] = replace(row, **values)  # type: ignore[arg-type]

    def _add(
        self, line: DeletionLine, moment: Moment, root: ResourceState, deleted: Sequence[ResourceState]
    ) -> list[PastDeletion]:
        by_id = {each.key[1]: each for each in deleted}
        found = cascade(_candidate(root), map(_candidate, deleted))
        deletion_id = UUID(line.deletion_id)
        if len(found) != len(by_id) or deletion_id in self.rows:
            raise NotUnderstood(f"{_of(line, moment)} takes what does not lie in its root, or is told twice")
        made = []
        for each in found:
            state = by_id[each.resource_id]
            kind, parent = state.key[0], state.parent
            counts: dict[str, Any] = {f"cascaded_{name}": number for name, number in each.counts.items()}
            row = PastDeletion(
                deletion_id=ids.derived(deletion_id, each.resource_id) if each.level else deletion_id,
                root_deletion_id=deletion_id,
                resource_type=kind,
                resource_id=each.resource_id,
                resource_name=events.name(state.name, events.MAX_NAME),
                parent_resource_type=None if parent is None else parent[0],
                parent_resource_id=None if parent is None else parent[1],
                cascade_level=each.level,
                **counts,
                deleted_by=moment.by,
                deletion_reason=events.text(line.reason, events.MAX_TEXT_BYTES),
                is_soft_delete=line.until is not None,
                can_be_restored=line.until is not None,
                restore_expiry_at=line.until,
                deleted_at=moment.at,
                version_id=state.version_id,
                published_version_id=None,
                git_commit_hash=moment.commit_id,
                commit_number=moment.place,
            )
            self.rows[row.deletion_id] = row
            made.append(row)
        return made


def _candidate(state: ResourceState) -> Candidate:
    kind, resource_id = state.key
    return Candidate(kind, resource_id, None if state.parent is None else state.parent[1])


def _of(line: DeletionLine, moment: Moment) -> str:
    return f"commit {moment.commit_id}: deletion {line.deletion_id}"
