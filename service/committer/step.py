"""The state of a resource while a batch is planned, and one step of a plan."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from gitstore import snapshots
from gitstore.store import snapshot_path
from service.domain.actions import Action
from service.domain.callers import Member
from service.domain.etags import Match
from service.domain.resource_kinds import Kind
from sql.queries.audit_logs import Values
from sql.queries.check_outs import CheckOutRow
from sql.queries.resources import ResourceRow
from sql.queries.versions import VersionRow


class ResourceRef(Protocol):
    """Any row that names one resource: its own, a version's, a deletion's."""

    @property
    def resource_type(self) -> str:
        """The kind of the resource."""

    @property
    def resource_id(self) -> UUID:
        """The id of the resource."""


def path_of(named: ResourceRef) -> str:
    """The path of a resource's snapshot in the trees of both branches."""
    return snapshot_path(Kind(named.resource_type).collection, str(named.resource_id))


def by_kind(many: Iterable[ResourceRef]) -> dict[str, list[UUID]]:
    """Group the ids of resources by kind, the form that a ledger loads and `Rows` takes."""
    found: dict[str, list[UUID]] = {}
    for each in many:
        found.setdefault(each.resource_type, []).append(each.resource_id)
    return found


@dataclass(slots=True)
class Entry:
    """A resource after the changes accepted so far; `dirty` while some of its rows are not flushed."""

    row: ResourceRow
    current: VersionRow
    check_out: CheckOutRow | None
    dirty: bool = False

    def delete(self, at: datetime) -> None:
        """Mark the resource as deleted at an instant: not checked out, and not published."""
        self.row = replace(self.row, deleted_at=at)
        self.check_out = None
        self.current = replace(
            self.current,
            is_published=False,
            checked_out_by=None,
            checked_out_at=None,
            unversioned_changes=self.current.unversioned_changes + 1,
        )

    def restore(self) -> None:
        """Mark the resource as live again."""
        self.row = replace(self.row, deleted_at=None)
        self.current = replace(self.current, unversioned_changes=self.current.unversioned_changes + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The change of one resource; `row` is its row afterwards."""

    action: Action
    author: Member
    entry: Entry
    row: ResourceRow
    definition: bytes | None
    if_match: Match | None = None
    description: str | None = None
    tag: str | None = None
    publish: bool = False
    comment: str | None = None
    body: str | None = None
    ends: CheckOutRow | None = None
    # Values for the audit row besides the version's: `was` before the step, `about` after it.
    was: Values = field(default_factory=dict)
    about: Values = field(default_factory=dict)


def running(lease: CheckOutRow | None, at: datetime) -> CheckOutRow | None:
    """The check-out, or None if its lease has expired."""
    return None if lease is None or lease.expires_at <= at else lease


def snapshot_of(row: ResourceRow, definition: bytes) -> bytes:
    """The canonical bytes of a resource: the fields of `row`, with a definition."""
    return snapshots.assemble(
        definition=definition,
        description=row.description,
        name=row.name,
        parent_id=None if row.parent_id is None else str(row.parent_id),
        resource_id=str(row.resource_id),
        resource_type=row.resource_type,
    )


def version_state(version: VersionRow) -> Values:
    """A version as log rows show it; its document is stored once, in git."""
    return {
        "version_id": version.version_id,
        "version_number": version.version_number,
        "version_tag": version.version_tag,
        "git_commit_hash": version.git_commit_hash,
    }


def folder_of(parent: ResourceRow | None, row_id: UUID, kind: Kind) -> UUID | None:
    """The folder of a resource for the audit: a folder's own id, or else the folder of its parent."""
    if kind is Kind.FOLDER:
        return row_id
    return None if parent is None else parent.folder_id
