"""What callers hand the committer, and what it answers: plain data, so that it can cross a socket."""

from dataclasses import dataclass
from typing import Protocol

from service.callers import Member
from service.ids import ResourceId
from service.kinds import Kind, Place
from sql.queries.resources import ResourceRow
from sql.queries.versions import VersionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Make a resource and its first version; `definition` is in canonical bytes."""

    author: Member
    kind: Kind
    resource_id: ResourceId
    name: str
    description: str | None
    place: Place
    definition: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """Store a definition as the next version, without or beside a check-out of one's own."""

    author: Member
    kind: Kind
    resource_id: ResourceId
    definition: bytes
    description: str | None
    tag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckIn:
    """End one's own check-out, with a new version where `definition` brings something new."""

    author: Member
    kind: Kind
    resource_id: ResourceId
    definition: bytes | None
    comment: str | None
    tag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBack:
    """Make a new version with the definition and description of an older one, given by its blob."""

    author: Member
    kind: Kind
    resource_id: ResourceId
    to_number: int
    to_commit: str
    to_blob: str
    comment: str | None


Change = Create | Save | CheckIn | RollBack


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a change; `unchanged` where the content was equal and no version was made."""

    resource: ResourceRow
    version: VersionRow
    unchanged: bool


class Committer(Protocol):
    """Whoever takes changes, in this process or another."""

    async def submit(self, change: Change) -> Written:
        """Wait until the change is durable and its ref moved.

        Raises the AnnalsError that refused it, Busy where too much is queued, or an error of `sql.errors`
        or `gitstore.errors` where a store failed.
        """
        ...

    def is_alive(self) -> bool:
        """Whether changes are being taken."""
        ...
