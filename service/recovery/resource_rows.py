"""Make the row of a resource from its history alone: its newest snapshot, and the times of its versions."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from gitstore import snapshots
from gitstore.errors import NotUnderstood
from gitstore.snapshots import Snapshot
from service.domain.resource_kinds import PARENT_FIELDS, Kind

Key = tuple[Kind, UUID]


@dataclass(frozen=True, slots=True)
class PastResource:
    """A resource as its history has it: its newest snapshot, and the author and time of its first version."""

    snapshot: Snapshot
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


def read_snapshot(key: Key, blob_id: str, content: bytes) -> Snapshot:
    """Read the snapshot of a resource; raises NotUnderstood if the blob is not a snapshot of it."""
    kind, resource_id = key
    try:
        content.decode()
        snapshot = snapshots.split(content)
        texts = (snapshot.name, snapshot.description or "", snapshot.parent_id or "")
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("its name, description or parent is no text")  # noqa: TRY301
        if snapshot.parent_id is not None:
            UUID(snapshot.parent_id)
    except ValueError as error:
        raise NotUnderstood(f"blob {blob_id} of {kind} {resource_id}: {error}") from error
    if (snapshot.resource_type, snapshot.resource_id) != (kind, str(resource_id)):
        raise NotUnderstood(f"blob {blob_id} is not a snapshot of the {kind} {resource_id}")
    return snapshot


def row(key: Key, resources: Mapping[Key, PastResource]) -> tuple[int, dict[str, Any]]:
    """Make the row of a resource, by columns, and count its ancestors; raises NotUnderstood for an orphan."""
    kind, resource_id = key
    resource = resources[key]
    above = list(_above(key, resources))
    values: dict[str, Any] = {
        f"{kind}_id": resource_id,
        "workspace_id": above[-1][1] if above else resource_id,
        "name": resource.snapshot.name,
        "description": resource.snapshot.description,
        "created_by": resource.created_by,
        "created_at": resource.created_at,
        "updated_at": resource.updated_at,
        "deleted_at": resource.deleted_at,
    }
    for field_name, parent_kind in PARENT_FIELDS[kind]:
        if field_name != "workspace_id":
            values[field_name] = above[0][1] if above[0][0] is parent_kind else None
    return len(above), values


def parent(key: Key, snapshot: Snapshot, known: Container[Key]) -> Key | None:
    """Find the parent of a resource, None for a workspace; raises NotUnderstood for an unknown parent."""
    kind, resource_id = key
    if kind is Kind.WORKSPACE:
        return None
    if snapshot.parent_id is not None:
        for _, each in PARENT_FIELDS[kind]:
            found = each, UUID(snapshot.parent_id)
            if found in known:
                return found
    raise NotUnderstood(f"{kind} {resource_id} lies in {snapshot.parent_id}, which main does not have")


def _above(key: Key, resources: Mapping[Key, PastResource]) -> Iterator[Key]:
    """Yield the ancestors of a resource, up to its workspace."""
    seen = {key}
    while (found := parent(key, resources[key].snapshot, resources)) is not None:
        if found in seen:
            raise NotUnderstood(f"{found[0]} {found[1]} lies in itself")
        seen.add(found)
        yield found
        key = found
