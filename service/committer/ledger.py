"""The resources of a batch as they stand after the changes accepted so far."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from service import version_refs
from service.callers import Member
from service.committer.refusals import checked_out, resource_deleted, resource_not_found, version_not_found
from service.committer.step import Entry, running
from service.committer.writes import Writes
from service.ids import SubscriptionId
from service.kinds import Kind
from sql.database import Transaction
from sql.queries import check_outs, resources, tags, versions
from sql.queries.versions import VersionRow


class Ledger:
    """Reads resources, their rows held, once; what the batch changed of them is told to it in its entries."""

    def __init__(
        self, tx: Transaction, subscription_id: SubscriptionId, *, at: datetime, writes: Writes
    ) -> None:
        self.tx = tx
        self.subscription_id = subscription_id
        self.at = at
        self.writes = writes
        self._entries: dict[tuple[Kind, UUID], Entry] = {}

    def load(self, kind: Kind, resource_ids: Collection[UUID]) -> None:
        """Hold and read some resources of a kind; those that are not there are left out."""
        wanted = {each for each in resource_ids if (kind, each) not in self._entries}
        if not wanted:
            return
        rows = resources.lock(self.tx, self.subscription_id, kind, wanted)
        current = versions.current(self.tx, self.subscription_id, kind, wanted, at=self.at)
        held = check_outs.unreleased(self.tx, self.subscription_id, kind, wanted)
        for resource_id, row in rows.items():
            self._entries[kind, resource_id] = Entry(row, current[resource_id], held.get(resource_id))

    def get(self, kind: Kind, resource_id: UUID) -> Entry | None:
        """A loaded resource, deleted or not, None for what is not there."""
        return self._entries.get((kind, resource_id))

    def present(self, kind: Kind, resource_id: UUID) -> Entry:
        """A loaded resource, deleted or not; raises ResourceNotFound."""
        entry = self.get(kind, resource_id)
        if entry is None:
            raise resource_not_found(kind, resource_id)
        return entry

    def live(self, kind: Kind, resource_id: UUID) -> Entry:
        """A resource that may be changed; raises ResourceNotFound, ResourceDeleted."""
        entry = self.present(kind, resource_id)
        if entry.row.deleted_at is not None:
            raise resource_deleted(kind)
        return entry

    def writable(self, kind: Kind, resource_id: UUID, author: Member) -> Entry:
        """A resource whose content the author may change; raises CheckedOut too."""
        entry = self.live(kind, resource_id)
        held = running(entry.check_out, self.at)
        if held is not None and held.checked_out_by != author.user_id:
            raise checked_out(kind, held)
        return entry

    def find(self, entry: Entry, ref: str | int) -> VersionRow:
        """The version of a resource that `ref` names; raises VersionNotFound, AmbiguousRef."""
        self.tell([entry])
        kind, resource_id = entry.row.resource_type, entry.row.resource_id
        found = version_refs.resolve(self.tx, self.subscription_id, kind, resource_id, ref, self.at)
        if found is None:
            raise version_not_found(kind, ref)
        return found

    def tag_owner(self, entry: Entry, tag: str) -> UUID | None:
        """The version of a resource that has a tag."""
        self.tell([entry])
        row = entry.row
        return tags.owner(self.tx, self.subscription_id, row.resource_type, row.resource_id, tag)

    def tell(self, entries: Iterable[Entry]) -> None:
        """Let the database know what the batch changed, where it is asked about something changed."""
        if any(entry.dirty for entry in entries):
            self.writes.flush(self.tx, self.subscription_id, self.at)
            for entry in self._entries.values():
                entry.dirty = False
