"""Types of answers that no use case returns as a dataclass: for the description of the API."""

from typing import Any, Literal, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from service.domain.callers import Role
from service.domain.resource_kinds import Kind
from service.usecases.versions import Version


class Liveness(TypedDict):
    """Sign of life of a process."""

    status: Literal["alive"]


class ServerVersion(TypedDict):
    """Version of this server."""

    name: str
    version: str


class CallerIdentity(TypedDict):
    """Caller that a key stands for; the operator has no user and no subscription."""

    user_id: UUID | None
    username: str
    role: Role
    subscription_id: UUID | None


class SkippedEvent(TypedDict):
    """Fault of an event that was left out: its line in a stream, and a JSON pointer."""

    detail: str
    line: NotRequired[int]
    pointer: NotRequired[str]


class RecordedEvents(TypedDict):
    """Answer to recorded events; only an event that was sent alone is named.

    `duplicates` is the number of audit events that had been stored before. `skipped` is that of events with
    faults that `on_error=skip` left out, of which `errors` tells the first hundred.
    """

    accepted: int
    duplicates: NotRequired[int]
    ids: NotRequired[list[UUID]]
    skipped: NotRequired[int]
    errors: NotRequired[list[SkippedEvent]]


class ResourceSnapshot(TypedDict):
    """State of a resource, as git stores it."""

    resource_type: Kind
    resource_id: UUID
    name: str
    description: str | None
    parent_id: UUID | None
    definition: dict[str, Any]


# `from` is a word of Python, so that these types can't be classes.
PatchOperation = TypedDict(
    "PatchOperation",
    {"op": str, "path": str, "from": NotRequired[str], "value": NotRequired[Any]},
)
PatchOperation.__doc__ = "Operation of a JSON patch (RFC 6902)."

VersionDiff = TypedDict(
    "VersionDiff",
    {
        "from": Version,
        "to": Version,
        "json_patch": list[PatchOperation],
        "text": str,
        "truncated": bool,
    },
)
VersionDiff.__doc__ = """Operations from one snapshot to the other, and the unified diff of their bytes.

`truncated` is set if a bound made either of them coarser than it could be; both are exact nevertheless.
"""


class RollbackPreview(VersionDiff):
    """Effect of a rollback, as a dry run returns it."""

    unchanged: bool
    dry_run: bool
