"""What a commit says of itself in its trailers, as far as rows have to agree with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gitstore import commit_records
from gitstore.commit_messages import DeletionLine, VersionLine
from gitstore.store import snapshot_path
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind


@dataclass(frozen=True, slots=True)
class Line:
    """A version that a commit makes, publishes or unpublishes."""

    kind: Kind
    resource_id: UUID
    number: int
    version_id: UUID

    @property
    def subject(self) -> str:
        """How findings name it."""
        return subject(self.kind, self.resource_id, self.number)

    @property
    def path(self) -> str:
        """Where its snapshot lies."""
        return snapshot_path(self.kind.collection, str(self.resource_id))


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a commit, by the name of then."""

    user_id: UUID
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The trailers of a commit; those that Annals can't have written are left out.

    `is_record` where Annals can have written all of it: then what is absent was never said.
    """

    versions: list[Line]
    published: list[Line]
    unpublished: list[Line]
    deletion: DeletionLine | None
    restored: UUID | None
    # The resource in the subject, which alone says what was deleted for good.
    about: tuple[Kind, UUID] | None
    author: Author | None
    time: datetime | None
    description: str | None
    is_record: bool


def told_by(message: str) -> Told:
    """Read a commit's message."""
    found = commit_records.glean(message)
    actor = found.actor
    return Told(
        versions=_lines(found.versions),
        published=_lines(found.published),
        unpublished=_lines(found.unpublished),
        deletion=found.deletion,
        restored=None if found.restored is None else UUID(found.restored),
        about=None if found.about is None else _key(*found.about),
        author=None if actor is None else Author(UUID(actor.user_id), actor.username),
        time=found.time,
        description=found.description,
        is_record=not found.faults,
    )


def subject(kind: str, resource_id: UUID, number: int | None = None) -> str:
    """How findings name a resource, or a version of it."""
    return f"{Kind(kind).collection}/{resource_id}" + ("" if number is None else f"@{number}")


def _key(collection: str, resource_id: str) -> tuple[Kind, UUID] | None:
    kind = KIND_OF_COLLECTION.get(collection)
    return None if kind is None else (kind, UUID(resource_id))


def _lines(lines: Iterable[VersionLine]) -> list[Line]:
    return [
        Line(KIND_OF_COLLECTION[line.collection], UUID(line.resource_id), line.number, UUID(line.version_id))
        for line in lines
        if line.collection in KIND_OF_COLLECTION
    ]
