"""The tree of resources after the changes accepted so far in a batch."""

from uuid import UUID

from service.committer.plan.ledger import Ledger
from service.committer.refusals import name_taken
from service.committer.step import Entry
from service.domain import legal_holds, names
from service.domain.errors import Fault, FolderCycle, ParentNotFound, ResourceDeleted
from service.domain.resource_kinds import PARENT_FIELDS, Kind, Place
from sql.queries import places
from sql.queries.resources import ResourceRow


class Tree:
    """Finds parents, checks names and places, and moves resources."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def parent(self, kind: Kind, place: Place) -> ResourceRow | None:
        """The parent that a place names, deleted or not; None for a workspace. Raises ParentNotFound."""
        tx, subscription_id = self._ledger.tx, self._ledger.subscription_id
        for field_name, parent_kind in PARENT_FIELDS[kind]:
            parent_id = getattr(place, field_name)
            if parent_id is None:
                continue
            parent = places.lock_parent(tx, subscription_id, parent_kind, parent_id)
            if parent is None:
                detail = f"there is no {parent_kind} {parent_id} in this subscription"
            elif place.workspace_id not in (None, parent.workspace_id):
                detail = f"the {parent_kind} {parent_id} lies in another workspace"
            else:
                return parent
            raise ParentNotFound(f"/{field_name}: {detail}.", faults=[_fault(field_name, detail)])
        return None

    def check_lives(self, parent: ResourceRow | None, kind: Kind) -> None:
        """Raise ResourceDeleted if the parent of a resource is deleted; `kind` is the resource's kind."""
        if parent is None or parent.deleted_at is None:
            return
        field_name = field_of(kind, parent)
        detail = f"the {parent.resource_type} {parent.resource_id} is deleted"
        raise ResourceDeleted(f"/{field_name}: {detail}.", faults=[_fault(field_name, detail)])

    def check_outside(self, entry: Entry, parent: ResourceRow | None) -> None:
        """Raise FolderCycle if the parent of a folder is the folder itself or below it."""
        row, tx, subscription_id = entry.row, self._ledger.tx, self._ledger.subscription_id
        if parent is None or not row.resource_type == parent.resource_type == Kind.FOLDER:
            return
        if places.lies_in(tx, subscription_id, parent.resource_id, row.resource_id):
            detail = f"the folder {parent.resource_id} is this folder, or lies in it"
            fault = _fault("parent_folder_id", detail)
            raise FolderCycle(f"{fault.pointer}: {detail}.", faults=[fault])

    def check_name(
        self,
        kind: Kind,
        parent_id: UUID | None,
        name: str,
        pointer: str = "/name",
        *,
        own_id: UUID | None = None,
    ) -> None:
        """Raise NameTaken if a live sibling has the name, or one that looks like it.

        `pointer` is the JSON pointer of the field; `own_id` is the resource that may have such a name itself.
        """
        tx, subscription_id = self._ledger.tx, self._ledger.subscription_id
        alike = names.comparable(name)
        owner = places.name_owner(tx, subscription_id, kind, parent_id, name, alike, but=own_id)
        if owner is not None or (kind, parent_id, alike) in self._ledger.new_names:
            raise name_taken(kind, name, pointer)

    def add(self, row: ResourceRow) -> None:
        """Add a new resource."""
        self._ledger.new_names.add((row.resource_type, row.parent_id, names.comparable(row.name)))
        self._ledger.writes.rows.resources.append(row)

    def move(self, before: ResourceRow, entry: Entry) -> None:
        """Record the resource's new parent or name; its descendants move with it.

        A legal hold that covers it at the old place or the new one still covers it after later moves.
        """
        ledger, row = self._ledger, entry.row
        with legal_holds.following(ledger.tx, ledger.subscription_id, before, row, ledger.now):
            ledger.writes.rows.placed = row
            # Flushed at once: the next change asks the database about names and places.
            ledger.flush()
        if row.parent_id != before.parent_id:
            ledger.reread()


def field_of(kind: Kind, parent: ResourceRow) -> str:
    """The field in which a resource of a kind names this parent, such as `workspace_id`."""
    return next(name for name, parent_kind in PARENT_FIELDS[kind] if parent_kind == parent.resource_type)


def _fault(field_name: str, detail: str) -> Fault:
    return Fault(detail, pointer=f"/{field_name}")
