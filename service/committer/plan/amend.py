"""Change a resource's name, description or parent, by a new version with the same definition."""

from dataclasses import replace
from typing import Any

from gitstore import snapshots
from service.committer.changes import Amend, Written
from service.committer.plan.planning import Planning
from service.committer.plan.tree import field_of
from service.committer.step import Step, folder_of
from service.domain.actions import Action
from service.domain.resource_kinds import PARENT_FIELDS, Kind, Place
from sql.queries.audit_logs import Values
from sql.queries.resources import ResourceRow


def amend(planning: Planning, change: Amend) -> Written:
    """Set the name, description or parent that the change holds.

    Raises ResourceNotFound, ParentNotFound, ResourceDeleted, CheckedOut, FolderCycle, NameTaken and
    StaleVersion.
    """
    ledger, tree = planning.ledger, planning.tree
    kind, before = change.kind, ledger.present(change.kind, change.resource_id).row
    place = _place(before, change)
    parent = None if place is None else tree.parent(kind, place)
    entry = ledger.writable(kind, change.resource_id, change.author)
    row = replace(before, updated_at=ledger.at, **_texts(change))
    if parent is not None:
        tree.check_lives(parent, kind)
        tree.check_outside(entry, parent)
        row = replace(
            row,
            parent_id=parent.resource_id,
            workspace_id=parent.workspace_id,
            folder_id=folder_of(parent, row.resource_id, kind),
        )
    if row.place != before.place:
        pointer = "/name"
        if parent is not None and row.name == before.name:
            # The name stays, so a conflict of names is the fault of the field that names the new parent.
            pointer = f"/{field_of(kind, parent)}"
        tree.check_name(kind, row.parent_id, row.name, pointer, own_id=row.resource_id)
    step = Step(
        action=Action.UPDATE,
        author=change.author,
        entry=entry,
        row=row,
        definition=snapshots.split(planning.builder.read_blob(entry.current.git_blob_id)).definition,
        if_match=change.if_match,
        was=_state(before),
        about=_state(row),
    )
    [written] = planning.applier.apply([step])
    if row.place != before.place:
        tree.move(before, entry)
    return written


def _texts(change: Amend) -> dict[str, Any]:
    return {name: change.wanted[name] for name in ("name", "description") if name in change.wanted}


def _place(row: ResourceRow, change: Amend) -> Place | None:
    """The new place, in the form that the creation of a resource has; None if the change names no parent."""
    fields = [name for name, _ in PARENT_FIELDS[change.kind]]
    wanted = {name: change.wanted[name] for name in fields if name in change.wanted}
    if not wanted:
        return None
    if change.kind is Kind.FOLDER:
        wanted = _place_of_folder(row, wanted)
    return Place(**wanted)  # type: ignore[arg-type]


def _place_of_folder(row: ResourceRow, wanted: dict[str, Any]) -> dict[str, Any]:
    """The ids of a folder's new place. A change that names only its own workspace leaves it in place."""
    inner = None if row.parent_id == row.workspace_id else row.parent_id
    if "parent_folder_id" not in wanted and wanted["workspace_id"] == row.workspace_id:
        return wanted | {"parent_folder_id": inner}
    if wanted.get("parent_folder_id") is None and "workspace_id" not in wanted:
        return wanted | {"workspace_id": row.workspace_id}
    return wanted


def _state(row: ResourceRow) -> Values:
    """The values of a resource in an audit event."""
    return {
        "name": row.name,
        "description": row.description,
        "parent_id": row.parent_id,
        "workspace_id": row.workspace_id,
    }
