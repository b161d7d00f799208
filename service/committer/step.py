"""One step of a plan: a resource's state, and the change of it."""

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


class Named(Protocol):
    """Whatever is about one resource: its row, a version of it, its deletion."""

    @property
    def resource_type(self) -> str:
        """The kind."""

    @property
    def resource_id(self) -> UUID:
        """The id."""


def path_of(named: Named) -> str:
    """Where a resource's snapshot lies in the trees of both branches."""
    return snapshot_path(Kind(named.resource_type).collection, str(named.resource_id))


def by_kind(many: Iterable[Named]) -> dict[str, list[UUID]]:
    """The ids of resources by their kinds, as a ledger loads them and writes take them."""
    found: dict[str, list[UUID]] = {}
    for each in many:
        found.setdefault(each.resource_type, []).append(each.resource_id)
    return found


@dataclass(slots=True)
class Entry:
    """A resource after the changes accepted so far; `dirty` while rows of it are not flushed."""

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
    """What a change does to one resource, `row` being how it stands afterwards."""

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
    # What the audit says besides the versions, of before and after.
    was: Values = field(default_factory=dict)
    about: Values = field(default_factory=dict)


def running(held: CheckOutRow | None, at: datetime) -> CheckOutRow | None:
    """The check-out if its lease still runs: one that ran out counts as none."""
    return None if held is None or held.expires_at <= at else held


def snapshot_of(row: ResourceRow, definition: bytes) -> bytes:
    """The canonical bytes of a resource as `row` has it, with a definition."""
    return snapshots.assemble(
        definition=definition,
        description=row.description,
        name=row.name,
        parent_id=None if row.parent_id is None else str(row.parent_id),
        resource_id=str(row.resource_id),
        resource_type=row.resource_type,
    )


def version_state(version: VersionRow) -> Values:
    """A version as log rows name it: its body lives once, in git."""
    return {
        "version_id": version.version_id,
        "version_number": version.version_number,
        "version_tag": version.version_tag,
        "git_commit_hash": version.git_commit_hash,
    }


def folder_of(parent: ResourceRow | None, row_id: UUID, kind: Kind) -> UUID | None:
    """The folder that a new resource lies in, for the audit: a folder itself, or its parent's."""
    if kind is Kind.FOLDER:
        return row_id
    return None if parent is None else parent.folder_id
