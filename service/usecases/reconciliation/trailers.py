"""What a commit says of itself in its trailers, as far as rows have to agree with it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from gitstore.layout import snapshot_path
from gitstore.messages import parse
from service.kinds import KIND_OF_COLLECTION, Kind

_LINE = re.compile(r"([a-z]+)/([0-9a-f-]{36})@([1-9]\d{0,9}) ([0-9a-f-]{36})")


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


@dataclass(slots=True)
class Told:
    """The trailers of a commit; those that Annals can't have written are left out."""

    versions: list[Line] = field(default_factory=list)
    published: list[Line] = field(default_factory=list)
    unpublished: list[Line] = field(default_factory=list)
    deletions: list[UUID] = field(default_factory=list)
    time: datetime | None = None


def told_by(message: str) -> Told:
    """Read a commit's message."""
    told = Told()
    lines = {
        "Annals-Version": told.versions,
        "Annals-Published": told.published,
        "Annals-Unpublished": told.unpublished,
    }
    for name, value in parse(message):
        if name in lines:
            lines[name].extend(_line(value))
        elif name in ("Annals-Deletion", "Annals-Restore"):
            with suppress(ValueError):
                told.deletions.append(UUID(value.partition(" ")[0]))
        elif name == "Annals-Time":
            with suppress(ValueError):
                told.time = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return told


def subject(kind: str, resource_id: UUID, number: int | None = None) -> str:
    """How findings name a resource, or a version of it."""
    return f"{Kind(kind).collection}/{resource_id}" + ("" if number is None else f"@{number}")


def _line(value: str) -> Iterator[Line]:
    match = _LINE.fullmatch(value)
    if match is None or match[1] not in KIND_OF_COLLECTION:
        return
    with suppress(ValueError):
        yield Line(KIND_OF_COLLECTION[match[1]], UUID(match[2]), int(match[3]), UUID(match[4]))
