"""Diffs of two versions of a resource: a patch for programs, and text for people."""

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from gitstore.read import text_diff
from gitstore.read.blob_reader import Blob, content_of
from gitstore.store import snapshot_path
from service.documents.common_items import Steps
from service.documents.structural_diff import searched_patch
from service.domain.ids import SubscriptionId
from service.domain.resource_kinds import Kind
from service.usecases.context import Context
from service.usecases.documents import found_snapshot
from service.usecases.versions import Version, find, reading, shown
from sql.queries.versions import VersionRow


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
    """Compare the versions that two refs name; returns `{from, to, json_patch, text, truncated}`.

    Raises ResourceNotFound, VersionNotFound, AmbiguousRef.
    """
    arguments = (context, subscription_id, kind, resource_id, from_ref, to_ref, purged)
    return await context.diffs.run(subscription_id, partial(_between, *arguments))


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
    before, after = (found_snapshot(context, subscription_id, row.git_blob_id) for row in (old, new))
    made = context.documents.run(len(before) + len(after), _compared, kind, resource_id, before, after)
    return described(context, subscription_id, old, new, made)


def _compared(kind: Kind, resource_id: UUID, old: Blob, new: Blob) -> "WrittenDifference":
    return difference(kind, resource_id, content_of(old), content_of(new))


@dataclass(frozen=True, kw_only=True)
class WrittenDifference:
    """RFC 6902 operations between two snapshots, and the unified diff of their canonical bytes, as JSON.

    `truncated` is set if a bound made either of them coarser than it could be; both are exact nevertheless.
    """

    json_patch: bytes
    text: bytes
    truncated: bool


def difference(kind: Kind, resource_id: UUID, old: bytes, new: bytes) -> WrittenDifference:
    """Compare two snapshots of a resource; the same snapshots always have the same answer."""
    path = snapshot_path(kind.collection, str(resource_id))
    patch = searched_patch(old, new, Steps())
    text = text_diff.unified(old, new, old_label=f"a/{path}", new_label=f"b/{path}")
    return WrittenDifference(
        json_patch=orjson.dumps(patch.operations),
        text=orjson.dumps(text.text),
        truncated=patch.truncated or text.truncated,
    )


def described(
    context: Context,
    subscription_id: SubscriptionId,
    old: VersionRow,
    new: VersionRow,
    made: WrittenDifference,
) -> dict[str, Any]:
    """Make the API's answer from a diff and its two versions."""
    ends: dict[str, Version] = {
        "from": shown(context, subscription_id, old),
        "to": shown(context, subscription_id, new),
    }
    return {
        **ends,
        "json_patch": orjson.Fragment(made.json_patch),
        "text": orjson.Fragment(made.text),
        "truncated": made.truncated,
    }
