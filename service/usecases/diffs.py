"""Diffs of two versions of a resource: a patch for programs, and text for people."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from anyio import to_thread

from gitstore.read import text_diff
from gitstore.store import snapshot_path
from service.documents import diff
from service.domain.ids import SubscriptionId
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from service.usecases.documents import snapshot_bytes
from service.usecases.versions import Version, find, reading, shown
from sql.queries.versions import VersionRow

# No diff of documents that people edit takes this long. After this time, the patch replaces the whole value.
LIMIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """RFC 6902 operations from one snapshot to the other, and the unified diff of their canonical bytes."""

    json_patch: list[dict[str, Any]]
    text: str


async def between(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    *,
    from_ref: str,
    to_ref: str,
    purged: bool,
) -> dict[str, Any]:
    """Compare the versions that two refs name; returns `{from, to, json_patch, text}`.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef.
    """
    arguments = (context, subscription_id, kind, resource_id, from_ref, to_ref, purged)
    return await to_thread.run_sync(_between, *arguments, limiter=context.diff_threads)


def _between(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    from_ref: str,
    to_ref: str,
    purged: bool,
) -> dict[str, Any]:
    at = context.clock()
    with reading(context, subscription_id, kind, resource_id, purged=purged) as tx:
        old = find(tx, subscription_id, kind, resource_id, from_ref, at)
        new = find(tx, subscription_id, kind, resource_id, to_ref, at)
    contents = [snapshot_bytes(context, subscription_id, row.git_blob_id) for row in (old, new)]
    made = difference(kind, resource_id, contents[0], contents[1])
    return described(context, subscription_id, old, new, made)


def difference(kind: Kind, resource_id: UUID, old: bytes, new: bytes) -> Difference:
    """Compare two snapshots of a resource, in bounded time."""
    path = snapshot_path(kind.collection, str(resource_id))
    return Difference(
        json_patch=diff.json_patch(old, new, seconds=LIMIT_SECONDS),
        text=text_diff.unified(old, new, old_label=f"a/{path}", new_label=f"b/{path}", seconds=LIMIT_SECONDS),
    )


def described(
    context: Context, subscription_id: SubscriptionId, old: VersionRow, new: VersionRow, made: Difference
) -> dict[str, Any]:
    """Make the API's answer from a diff and its two versions."""
    ends: dict[str, Version] = {
        "from": shown(context, subscription_id, old),
        "to": shown(context, subscription_id, new),
    }
    return {**ends, "json_patch": made.json_patch, "text": made.text}
