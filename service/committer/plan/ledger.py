"""The state of a batch's resources after the changes accepted so far."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from service.committer.plan.writes import Writes
from service.committer.refusals import checked_out, resource_deleted, resource_not_found, version_not_found
from service.committer.step import Entry, running
from service.domain import version_refs
from service.domain.callers import Member
from service.domain.ids import SubscriptionId
from service.domain.resource_kinds import Kind
from sql.database import Transaction
from sql.pipelines import pipelined
from sql.queries import resources, tags, versions
from sql.queries.batch_opening import LockedResource, Resources
from sql.queries.versions import VersionRow


class Ledger:
    """Locks and reads each resource once; the planning functions keep its entries up to date.

    Accepted changes are in the database only after a flush: a query about a changed resource needs one.
    """

    def __init__(
        self, tx: Transaction, subscription_id: SubscriptionId, *, at: datetime, now: datetime, writes: Writes
    ) -> None:
        self.tx = tx
        self.subscription_id = subscription_id
        # The time of the batch's commits, which may be ahead of the clock, and the time of the clock.
        self.at, self.now = at, now
        self.writes = writes
        # Kind, parent and name of each resource made since the last flush.
        self.new_names: set[tuple[str, UUID | None, str]] = set()
        self._entries: dict[tuple[str, UUID], Entry] = {}
        self._is_flush_due = False

    def load(self, wanted: Mapping[str, Collection[UUID]]) -> None:
        """Lock and read resources by kind; ids without a resource are left out."""
        missing = {
            kind: ids
            for kind, all_ids in wanted.items()
            if (ids := [each for each in all_ids if (kind, each) not in self._entries])
        }
        found = Resources(self.subscription_id, missing, at=self.now)
        with pipelined(self.tx):
            found.send(self.tx)
        self.add(found.found())

    def add(self, locked: Iterable[LockedResource]) -> None:
        """Add resources whose rows are locked."""
        for each in locked:
            current = each.current
            if current.checked_out_by is not None and running(each.check_out, self.now) is None:
                # The lease expired while the batch waited for its turn.
                current = replace(current, checked_out_by=None, checked_out_at=None)
            kind, resource_id = each.row.resource_type, each.row.resource_id
            self._entries[kind, resource_id] = Entry(each.row, current, each.check_out)

    def get(self, kind: Kind, resource_id: UUID) -> Entry | None:
        """A loaded resource, deleted or not; None if it does not exist."""
        return self._entries.get((kind, resource_id))

    def present(self, kind: Kind, resource_id: UUID) -> Entry:
        """A loaded resource, deleted or not; raises ResourceNotFound."""
        entry = self.get(kind, resource_id)
        if entry is None:
            raise resource_not_found(kind, resource_id)
        return entry

    def live(self, kind: Kind, resource_id: UUID) -> Entry:
        """A loaded resource that is not deleted; raises ResourceNotFound, ResourceDeleted."""
        entry = self.present(kind, resource_id)
        if entry.row.deleted_at is not None:
            raise resource_deleted(kind)
        return entry

    def writable(self, kind: Kind, resource_id: UUID, author: Member) -> Entry:
        """A resource whose content the author may change; raises the errors of `live`, and CheckedOut."""
        entry = self.live(kind, resource_id)
        lease = running(entry.check_out, self.now)
        if lease is not None and lease.checked_out_by != author.user_id:
            raise checked_out(kind, lease)
        return entry

    def find(self, entry: Entry, ref: str | int) -> VersionRow:
        """The version of a resource that `ref` names; raises VersionNotFound, AmbiguousRef."""
        self.flush_if_dirty([entry])
        kind, resource_id = entry.row.resource_type, entry.row.resource_id
        found = version_refs.resolve(self.tx, self.subscription_id, kind, resource_id, ref, self.now)
        if found is None:
            raise version_not_found(kind, ref)
        return found

    def published(self, entry: Entry) -> VersionRow | None:
        """The published version of a resource, if any."""
        self.flush_if_dirty([entry])
        row = entry.row
        return versions.published(
            self.tx, self.subscription_id, row.resource_type, row.resource_id, at=self.now
        )

    def tag_owner(self, entry: Entry, tag: str) -> UUID | None:
        """The id of the resource's version that has a tag; None if the tag is free."""
        self.flush_if_dirty([entry])
        row = entry.row
        return tags.owner(self.tx, self.subscription_id, row.resource_type, row.resource_id, tag)

    def flush(self) -> None:
        """Write the rows of all changes accepted so far."""
        self.writes.flush()
        for entry in self._entries.values():
            entry.dirty = False
        self.new_names.clear()
        self._is_flush_due = False

    def flush_if_dirty(self, entries: Iterable[Entry]) -> None:
        """Flush if the batch changed one of these resources."""
        if any(entry.dirty for entry in entries):
            self.flush()

    def flush_before_next(self) -> None:
        """Ask for a flush before the next change of the batch is planned.

        If there is no next change, the rows are sent at the end, while the pack is written.
        """
        self._is_flush_due = True

    def flush_if_due(self) -> None:
        """Flush if the previous change asked for it."""
        if self._is_flush_due:
            self.flush()

    def forget(self, entries: Iterable[Entry]) -> None:
        """Drop resources that were purged."""
        for entry in entries:
            del self._entries[entry.row.resource_type, entry.row.resource_id]

    def reread(self) -> None:
        """Read the rows of all resources again: a move changed the workspace or folder of its descendants."""
        of_kind: dict[str, list[UUID]] = {}
        for kind, resource_id in self._entries:
            of_kind.setdefault(kind, []).append(resource_id)
        for kind in sorted(of_kind):
            rows = resources.lock(self.tx, self.subscription_id, kind, of_kind[kind])
            for resource_id, row in rows.items():
                self._entries[kind, resource_id].row = row
