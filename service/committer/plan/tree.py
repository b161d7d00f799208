"""The tree that resources hang in, as the changes accepted so far in a batch have left it."""

from uuid import UUID

from service.committer.plan.ledger import Ledger
from service.committer.refusals import name_taken
from service.committer.step import Entry
from service.domain import legal_holds
from service.domain.errors import Fault, FolderCycle, ParentNotFound, ResourceDeleted
from service.domain.resource_kinds import PARENT_FIELDS, Kind, Place
from sql.queries import places
from sql.queries.resources import ResourceRow

_Name = tuple[str, UUID | None, str]


class Tree:
    """Finds parents, and keeps names and places as they have to be."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # Of what was made in this batch, which the database may not know yet.
        self._made: set[_Name] = set()
        self._is_behind = False

    def parent(self, kind: Kind, place: Place) -> ResourceRow | None:
        """What a place is in, deleted or not; None for that of a workspace. Raises ParentNotFound."""
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
        """Raise ResourceDeleted where nothing may be put under what was found as the parent of a kind."""
        if parent is None or parent.deleted_at is None:
            return
        field_name = field_of(kind, parent)
        detail = f"the {parent.resource_type} {parent.resource_id} is deleted"
        raise ResourceDeleted(f"/{field_name}: {detail}.", faults=[_fault(field_name, detail)])

    def check_outside(self, entry: Entry, parent: ResourceRow | None) -> None:
        """Raise FolderCycle where a folder is to lie in itself, at whatever depth."""
        row, tx, subscription_id = entry.row, self._ledger.tx, self._ledger.subscription_id
        if parent is None or not row.resource_type == parent.resource_type == Kind.FOLDER:
            return
        if places.lies_in(tx, subscription_id, parent.resource_id, row.resource_id):
            detail = f"the folder {parent.resource_id} is this folder, or lies in it"
            fault = _fault("parent_folder_id", detail)
            raise FolderCycle(f"{fault.pointer}: {detail}.", faults=[fault])

    def check_name(self, kind: Kind, parent_id: UUID | None, name: str, pointer: str = "/name") -> None:
        """Raise NameTaken, with a pointer to what brings the name there, where a live sibling has it."""
        tx, subscription_id = self._ledger.tx, self._ledger.subscription_id
        is_made = (kind, parent_id, name) in self._made
        if is_made or places.name_owner(tx, subscription_id, kind, parent_id, name) is not None:
            raise name_taken(kind, name, pointer)

    def add(self, row: ResourceRow) -> None:
        """Take in a new resource."""
        self._made.add((row.resource_type, row.parent_id, row.name))
        self._ledger.writes.rows.resources.append(row)

    def tell(self) -> None:
        """Let the database know all that the batch did so far: it is asked what lies where."""
        self._ledger.tell_all()
        self._made.clear()
        self._is_behind = False

    def tell_next(self) -> None:
        """Let the database know before the next change of the batch.

        Where there is none, all rows go over together, and the pack is written meanwhile.
        """
        self._is_behind = True

    def catch_up(self) -> None:
        """Tell what a change before has left to be told."""
        if self._is_behind:
            self.tell()

    def put(self, before: ResourceRow, entry: Entry) -> None:
        """Let a resource hang where its entry says from here on, and what lies in it with it.

        The holds that keep it where it hung, or keep it there, go on to keep it wherever it goes.
        """
        ledger, row = self._ledger, entry.row
        with legal_holds.following(ledger.tx, ledger.subscription_id, before, row, ledger.at):
            ledger.writes.rows.put = row
            # At once, since the next change asks the database about names and places.
            self.tell()
        if row.parent_id != before.parent_id:
            ledger.reread()


def field_of(kind: Kind, parent: ResourceRow) -> str:
    """The field by which a resource of a kind names such a parent."""
    return next(name for name, parent_kind in PARENT_FIELDS[kind] if parent_kind == parent.resource_type)


def _fault(field_name: str, detail: str) -> Fault:
    return Fault(detail, pointer=f"/{field_name}")
