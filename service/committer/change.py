"""What callers hand the committer, and what it answers: plain data, so that it can cross a socket."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, overload
from uuid import UUID

from service.callers import Member
from service.etags import Match
from service.idempotency import Attempt
from service.ids import ResourceId
from service.kinds import Kind, Place
from sql.queries.resources import ResourceRow
from sql.queries.versions import VersionRow


@dataclass(frozen=True, kw_only=True)
class Request:
    """What every change has: who wants it, and by which Idempotency-Key, if any."""

    author: Member
    once: Attempt | None = None

    @property
    def size(self) -> int:
        """The bytes of the documents in it."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Create(Request):
    """Make a resource and its first version; `definition` is in canonical bytes."""

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
    """A change of one resource; with `if_match` only if its current version's commit is named there."""

    kind: Kind
    resource_id: ResourceId
    if_match: Match | None = None


@dataclass(frozen=True, kw_only=True)
class Amend(OfResource):
    """Make a new version with another name, description or parent: as far as `wanted` has them.

    It holds `name`, `description` and the ids by which a resource of that kind names its parent.
    """

    wanted: Mapping[str, str | UUID | None]


@dataclass(frozen=True, kw_only=True)
class Save(OfResource):
    """Store a definition as the next version, without or beside a check-out of one's own."""

    definition: bytes
    description: str | None = None
    tag: str | None = None
    publish: bool = False

    @property
    def size(self) -> int:
        return len(self.definition)


@dataclass(frozen=True, kw_only=True)
class CheckIn(OfResource):
    """End one's own check-out, with a new version where `definition` brings something new."""

    definition: bytes | None = None
    comment: str | None = None
    tag: str | None = None
    publish: bool = False

    @property
    def size(self) -> int:
        return len(self.definition or b"")


@dataclass(frozen=True, kw_only=True)
class RollBack(OfResource):
    """Make a new version with the definition and description of the one that `to` names."""

    to: str | int
    comment: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class SetTag(OfResource):
    """Give the version that `ref` names a tag in place of the one that it has, or none."""

    ref: str
    tag: str | None


@dataclass(frozen=True, kw_only=True)
class SetPublished(OfResource):
    """Publish the version that `ref` names in place of the one that is, or let it no longer be published."""

    ref: str
    published: bool


@dataclass(frozen=True, kw_only=True)
class Item:
    """One resource of a bulk check-in."""

    kind: Kind
    resource_id: ResourceId
    definition: bytes
    if_match: Match | None = None


@dataclass(frozen=True, kw_only=True)
class CheckInMany(Request):
    """Store definitions of many resources in one commit, and end the author's check-outs of them; or nothing.

    `if_match` is about the head of `main`, that of an item about its resource.
    """

    items: tuple[Item, ...]
    comment: str | None = None
    if_match: Match | None = None

    @property
    def size(self) -> int:
        return sum(len(item.definition) for item in self.items)


@dataclass(frozen=True, kw_only=True)
class RollBackMany(Request):
    """Give resources the definition and description that they had at an instant or a commit, in one commit.

    `to` is an instant or the beginning of a commit's id; `root` a workspace or folder, None for the whole
    subscription; `if_match` is about the head of `main`.
    """

    to: datetime | str
    root: tuple[Kind, ResourceId] | None = None
    comment: str | None = None
    if_match: Match | None = None
    dry_run: bool = False


OneChange = Create | Amend | Save | CheckIn | RollBack | SetTag | SetPublished
ManyChange = CheckInMany | RollBackMany
Change = OneChange | ManyChange


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of a change; `unchanged` where things were so already, and no commit was made."""

    resource: ResourceRow
    version: VersionRow
    unchanged: bool


@dataclass(frozen=True, kw_only=True)
class Foreseen:
    """What a rollback would do: `resource` as it would stand, from its current version to the target."""

    resource: ResourceRow
    current: VersionRow
    target: VersionRow


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A resource that a rollback leaves as it is: `newer` than the target, or `deleted` since."""

    resource_type: str
    resource_id: UUID
    resource_name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class WrittenMany:
    """What became of a change of many resources; `commit` is None where nothing had to change."""

    commit: str | None
    versions: tuple[Written, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ForeseenMany:
    """What a rollback of many would do."""

    foreseen: tuple[Foreseen, ...]
    skipped: tuple[Skipped, ...]


Result = Written | Foreseen | WrittenMany | ForeseenMany


class Committer(Protocol):
    """Whoever takes changes, in this process or another.

    `submit` waits until the change is durable and its refs moved. It raises the AnnalsError that refused the
    change, Busy where too much is queued, or an error of `sql.errors` or `gitstore.errors` where a store
    failed.
    """

    @overload
    async def submit(self, change: RollBack) -> Written | Foreseen: ...

    @overload
    async def submit(self, change: Create | Amend | Save | CheckIn | SetTag | SetPublished) -> Written: ...

    @overload
    async def submit(self, change: CheckInMany) -> WrittenMany: ...

    @overload
    async def submit(self, change: RollBackMany) -> WrittenMany | ForeseenMany: ...

    def is_alive(self) -> bool:
        """Whether changes are being taken."""
        ...
