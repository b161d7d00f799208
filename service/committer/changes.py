"""The changes that the committer takes, and its answers: plain data, so that they can cross a socket."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Protocol, overload
from uuid import UUID

from service.domain.callers import Member
from service.domain.errors import (
    AmbiguousRef,
    AnnalsError,
    CheckedOut,
    CommitNotFound,
    DeletionNotFound,
    DeletionPosted,
    DocumentTooLarge,
    FolderCycle,
    Held,
    Invalid,
    NameTaken,
    NotCheckedOut,
    NotDeleted,
    NotHolder,
    NotRestorable,
    ParentNotFound,
    QuotaExceeded,
    ResourceDeleted,
    ResourceNotFound,
    RestoreConflict,
    StaleVersion,
    StillRestorable,
    TagTaken,
    VersionNotFound,
)
from service.domain.etags import Match
from service.domain.idempotency import Attempt
from service.domain.ids import ResourceId
from service.domain.resource_kinds import Kind, Place
from sql.queries.deletions import DeletionRow
from sql.queries.resources import ResourceRow
from sql.queries.versions import VersionRow


@dataclass(frozen=True, kw_only=True)
class Request:
    """The fields of every change: its author, and the attempt of its Idempotency-Key, if any.

    `refusals` are the errors that refuse a change of the class.
    """

    refusals: ClassVar[tuple[type[AnnalsError], ...]] = ()

    author: Member
    once: Attempt | None = None

    @property
    def size(self) -> int:
        """The bytes of the documents in the change."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Create(Request):
    """Make a resource and its first version; `definition` is in canonical bytes."""

    refusals = (ParentNotFound, ResourceDeleted, NameTaken, QuotaExceeded, DocumentTooLarge)

    kind: Kind
    resource_id: ResourceId
    name: str
    description: str | None
    place: Place
    definition: bytes

    @property
    def size(self) -> int:
        return len(self.definition)


@dataclass(frozen=True, kw_only=True)
class OfResource(Request):
    """A change of one resource; an `if_match` must name the commit of its current version."""

    kind: Kind
    resource_id: ResourceId
    if_match: Match | None = None


@dataclass(frozen=True, kw_only=True)
class Amend(OfResource):
    """Make a new version with the name, description or parent in `wanted`.

    The keys of `wanted` are `name`, `description` and the fields that name a parent, such as `workspace_id`.
    """

    refusals = (
        *(ResourceNotFound, ParentNotFound, CheckedOut, ResourceDeleted, FolderCycle, NameTaken),
        *(StaleVersion, QuotaExceeded),
    )

    wanted: Mapping[str, str | UUID | None]


@dataclass(frozen=True, kw_only=True)
class Save(OfResource):
    """Store a definition, in canonical bytes, as the next version; the author needs no check-out."""

    refusals = (
        *(ResourceNotFound, CheckedOut, ResourceDeleted, TagTaken, StaleVersion),
        *(QuotaExceeded, DocumentTooLarge),
    )

    definition: bytes
    description: str | None = None
    tag: str | None = None
    publish: bool = False

    @property
    def size(self) -> int:
        return len(self.definition)


@dataclass(frozen=True, kw_only=True)
class CheckIn(OfResource):
    """End the author's check-out; a `definition` that differs from the current one becomes a new version."""

    refusals = (
        *(ResourceNotFound, ResourceDeleted, NotCheckedOut, NotHolder, TagTaken, StaleVersion),
        *(QuotaExceeded, DocumentTooLarge),
    )

    definition: bytes | None = None
    comment: str | None = None
    tag: str | None = None
    publish: bool = False

    @property
    def size(self) -> int:
        return len(self.definition or b"")


@dataclass(frozen=True, kw_only=True)
class RollBack(OfResource):
    """Make a new version with the definition and description of the version that `to` names."""

    refusals = (
        *(ResourceNotFound, VersionNotFound, AmbiguousRef, ResourceDeleted, CheckedOut, StaleVersion),
        QuotaExceeded,
    )

    to: str | int
    comment: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class SetTag(OfResource):
    """Replace the tag of the version that `ref` names; None removes the tag.

    `instead_of` is the tag that the author saw, empty for none. StaleVersion refuses the change if the
    version has another one, unless the result is the same.
    """

    refusals = (ResourceNotFound, VersionNotFound, AmbiguousRef, ResourceDeleted, TagTaken, StaleVersion)

    ref: str
    tag: str | None
    instead_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class SetPublished(OfResource):
    """Publish the version that `ref` names instead of the one published before, or unpublish it.

    `instead_of` is the number of the version that the author saw published, 0 for none. StaleVersion refuses
    the change if others published or withdrew a version since, unless the result is the same.
    """

    refusals = (ResourceNotFound, VersionNotFound, AmbiguousRef, ResourceDeleted, StaleVersion)

    ref: str
    published: bool
    instead_of: int | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One resource of a bulk check-in."""

    kind: Kind
    resource_id: ResourceId
    definition: bytes
    if_match: Match | None = None


@dataclass(frozen=True, kw_only=True)
class CheckInMany(Request):
    """Store definitions of many resources in one commit, and end the author's check-outs; all or nothing.

    `if_match` names the head of `main`; the `if_match` of an item names the current commit of its resource.
    The first refusal that applies to any item refuses the change, with a fault for each such item.
    """

    refusals = (
        *(ResourceNotFound, CheckedOut, ResourceDeleted, StaleVersion),
        *(QuotaExceeded, DocumentTooLarge),
    )

    items: tuple[Item, ...]
    comment: str | None = None
    if_match: Match | None = None

    @property
    def size(self) -> int:
        return sum(len(item.definition) for item in self.items)


@dataclass(frozen=True, kw_only=True)
class RollBackMany(Request):
    """Roll resources back, in one commit, to their definition and description at an instant or a commit.

    `to` is an instant or the beginning of a commit's id. `root` is a workspace or folder; None means the
    whole subscription. `if_match` names the head of `main`. CheckedOut refuses it if another user has checked
    out a resource that would change.
    """

    refusals = (
        *(ResourceNotFound, ResourceDeleted, CommitNotFound, AmbiguousRef, StaleVersion, CheckedOut),
        QuotaExceeded,
    )

    to: datetime | str
    root: tuple[Kind, ResourceId] | None = None
    comment: str | None = None
    if_match: Match | None = None
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Delete(OfResource):
    """Delete a resource and all live resources below it; they can be restored during `restorable_for`.

    A check-out of another user refuses the deletion; `force` ends it instead.
    """

    refusals = (ResourceNotFound, ResourceDeleted, CheckedOut, StaleVersion)

    reason: str | None
    restorable_for: timedelta
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Purge(OfResource):
    """Delete a deleted resource, and all resources below it, for good.

    `once_expired` refuses this with StillRestorable while any of them can be restored.
    """

    refusals = (ResourceNotFound, NotDeleted, StaleVersion, StillRestorable, Held)

    reason: str | None
    once_expired: bool = False


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """The caller's choices that resolve the conflicts of a restore.

    A new name and a new parent apply to the resource that the deletion names. `keep_restored` leaves alone
    the parts that were restored on their own.
    """

    rename: str | None = None
    new_parent_id: UUID | None = None
    keep_restored: bool = False


@dataclass(frozen=True, kw_only=True)
class Restore(Request):
    """Restore the resources of a deletion; the `deletion_id` of a part restores this part and all below it.

    RestoreConflict has all conflicts; a dry run returns them instead.
    """

    refusals = (
        *(DeletionNotFound, DeletionPosted, NotRestorable, ParentNotFound, Invalid),
        *(RestoreConflict, QuotaExceeded),
    )

    deletion_id: UUID
    resolution: Resolution = Resolution()
    dry_run: bool = False


OneChange = Create | Amend | Save | CheckIn | RollBack | SetTag | SetPublished
ManyChange = CheckInMany | RollBackMany | Delete | Purge | Restore
Change = OneChange | ManyChange


@dataclass(frozen=True, kw_only=True)
class Written:
    """The result of a change; `unchanged` is true if the change made no difference and no commit."""

    resource: ResourceRow
    version: VersionRow
    unchanged: bool


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """The effect of a dry-run rollback: the resource afterwards, its current and its target version."""

    resource: ResourceRow
    current: VersionRow
    target: VersionRow


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A resource that a rollback leaves unchanged.

    `reason` is `newer` (than the target), `was_deleted` (at the target) or `deleted` (since).
    """

    resource_type: str
    resource_id: UUID
    resource_name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class WrittenMany:
    """The result of a change of many resources; `commit` is None if nothing changed."""

    commit: str | None
    versions: tuple[Written, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ForeseenMany:
    """The effects of a dry-run rollback of many resources; `head` is the head of `main` that it is of."""

    head: str | None
    foreseen: tuple[Foreseen, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """The result of a deletion; `connectors` are the names of the deleted connectors by id."""

    deletion: DeletionRow
    connectors: Mapping[UUID, str]


@dataclass(frozen=True, kw_only=True)
class DeletedPart:
    """One resource of a deletion; `deletion_id` is the id of its own row."""

    resource_type: str
    resource_id: UUID
    resource_name: str
    deletion_id: UUID


@dataclass(frozen=True, kw_only=True)
class RestoreObstacle:
    """A conflict of a restore: `name_taken`, `parent_deleted`, `already_restored` or `content_differs`.

    `resource_…` name the resource that cannot be restored, `other_…` the one that it conflicts with.
    """

    reason: str
    detail: str
    resource_type: str
    resource_id: UUID
    resource_name: str
    other_type: str | None = None
    other_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class Blobs:
    """The number of restored paths compared with the commit before the deletion, and of those that are equal.

    A path that the restore changed, by a new name or parent, is not compared.
    """

    compared: int
    equal: int


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The result of a restore; `counts` are the restored resources by collection.

    The parts in `missing` were purged since the deletion; the parts in `kept` were restored before.
    """

    deletion_id: UUID
    commit: str
    root: Written
    counts: Mapping[str, int]
    blobs: Blobs
    missing: tuple[DeletedPart, ...]
    kept: tuple[DeletedPart, ...]


@dataclass(frozen=True, kw_only=True)
class ForeseenRestore:
    """The effects of a dry-run restore, and its conflicts."""

    deletion_id: UUID
    counts: Mapping[str, int]
    conflicts: tuple[RestoreObstacle, ...]
    missing: tuple[DeletedPart, ...]
    kept: tuple[DeletedPart, ...]


# Results of changes that were stored in the history; the other results are of dry runs.
STORED = (Written, WrittenMany, Deleted, Restored)

Result = Written | Foreseen | WrittenMany | ForeseenMany | Deleted | Restored | ForeseenRestore


class Committer(Protocol):
    """The committer, in this process or another.

    `submit` waits until the change is durable and its refs moved. It raises the AnnalsError that refused the
    change, Busy if too much is queued, or an error of `sql.errors` or `gitstore.errors` if a store failed.
    """

    @overload
    async def submit(self, change: RollBack) -> Written | Foreseen: ...

    @overload
    async def submit(self, change: Create | Amend | Save | CheckIn | SetTag | SetPublished) -> Written: ...

    @overload
    async def submit(self, change: CheckInMany) -> WrittenMany: ...

    @overload
    async def submit(self, change: RollBackMany) -> WrittenMany | ForeseenMany: ...

    @overload
    async def submit(self, change: Delete | Purge) -> Deleted: ...

    @overload
    async def submit(self, change: Restore) -> Restored | ForeseenRestore: ...

    def is_alive(self) -> bool:
        """True while the committer takes changes."""
        ...

    def silence(self) -> float | None:
        """Seconds since its last sign of life, which it gives each second; None while it is not there."""
        ...
