"""Read the trailers of a commit; the rows have to agree with them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gitstore import commit_records
from gitstore.commit_messages import DeletionLine, VersionLine
from gitstore.errors import NotUnderstood
from gitstore.store import snapshot_path
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind
from service.recovery.resource_rows import Key


@dataclass(frozen=True, slots=True)
class Line:
    """A version that a commit makes, publishes or withdraws."""

    kind: Kind
    resource_id: UUID
    number: int
    version_id: UUID

    def __str__(self) -> str:
        return f"{self.subject} {self.version_id}"

    @property
    def key(self) -> Key:
        """The resource of the version."""
        return self.kind, self.resource_id

    @property
    def subject(self) -> str:
        """The name of the version in findings."""
        return subject(self.kind, self.resource_id, self.number)

    @property
    def path(self) -> str:
        """The path of the resource's snapshot in the tree."""
        return snapshot_path(self.kind.collection, str(self.resource_id))


@dataclass(frozen=True, slots=True)
class CommitAuthor:
    """The author of a commit, with the username of that time."""

    user_id: UUID
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailers:
    """The trailers of a commit that can be read.

    `faults` say why Annals can't have written the message. If there are none, the message never had the
    trailers that are absent. `unknown` are lines with a collection that Annals does not have.
    """

    versions: list[Line]
    published: list[Line]
    unpublished: list[Line]
    unknown: tuple[VersionLine, ...]
    deletion: DeletionLine | None
    restored: UUID | None
    # Collection and id of the resource in the subject: a deletion for good names its resource only there.
    about: tuple[str, str] | None
    author: CommitAuthor | None
    time: datetime | None
    description: str | None
    faults: tuple[str, ...]

    @property
    def is_record(self) -> bool:
        """True if Annals can have written the whole message."""
        return not self.faults

    @property
    def signed(self) -> tuple[CommitAuthor, datetime]:
        """The author and the time; raises NotUnderstood if one of them can't be read."""
        if self.author is None or self.time is None:
            raise NotUnderstood("it does not say by whom it is, or of when")
        return self.author, self.time

    @property
    def purged(self) -> Key | None:
        """The resource that a deletion for good is about; None if the subject names no resource."""
        if self.about is None or self.about[0] not in KIND_OF_COLLECTION:
            return None
        return KIND_OF_COLLECTION[self.about[0]], UUID(self.about[1])


def read_trailers(message: bytes) -> Trailers:
    """Read the message of any commit."""
    faults: tuple[str, ...] = ()
    try:
        text = message.decode()
    except UnicodeDecodeError as error:
        faults, text = (str(error),), message.decode("utf-8", "replace")
    found = commit_records.glean(text)
    actor = found.actor
    lines = (*found.versions, *found.published, *found.unpublished)
    return Trailers(
        versions=_lines(found.versions),
        published=_lines(found.published),
        unpublished=_lines(found.unpublished),
        unknown=tuple(line for line in lines if line.collection not in KIND_OF_COLLECTION),
        deletion=found.deletion,
        restored=None if found.restored is None else UUID(found.restored),
        about=found.about,
        author=None if actor is None else CommitAuthor(UUID(actor.user_id), actor.username),
        time=found.time,
        description=found.description,
        faults=faults + found.faults,
    )


def subject(kind: str, resource_id: UUID, number: int | None = None) -> str:
    """Name a resource, or a version of it, for findings."""
    return f"{Kind(kind).collection}/{resource_id}" + ("" if number is None else f"@{number}")


def line_of(line: VersionLine) -> Line | None:
    """Convert a line to one with a kind of resource; None if Annals does not have its collection."""
    kind = KIND_OF_COLLECTION.get(line.collection)
    if kind is None:
        return None
    return Line(kind, UUID(line.resource_id), line.number, UUID(line.version_id))


def _lines(lines: Iterable[VersionLine]) -> list[Line]:
    return [found for found in map(line_of, lines) if found is not None]
