"""Diffs of two versions of a resource: a patch for programs, and text for people."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar
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


@dataclass(frozen=True, kw_only=True)
class WrittenDifference:
    """RFC 6902 operations between two snapshots, and the unified diff of their canonical bytes, as JSON.

    `truncated` is set if a bound made either of them coarser than it could be; both are exact nevertheless.
    """

    json_patch: bytes
    text: bytes
    truncated: bool


Drawing = TypeVar("Drawing")
# Makes something of two snapshots and their difference.
Draw = Callable[[bytes, bytes, WrittenDifference], Drawing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared(Generic[Drawing]):
    """Two versions, and the drawing of their difference."""

    old: Version
    new: Version
    drawing: Drawing


def as_it_is(_old: bytes, _new: bytes, made: WrittenDifference) -> WrittenDifference:
    """Draw nothing: the difference itself is what a program asks for."""
    return made


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
    refs = (from_ref, to_ref)
    return described(await drawn(context, subscription_id, kind, resource_id, refs, as_it_is, purged=purged))


async def drawn(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    refs: tuple[str, str],
    draw: Draw[Drawing],
    *,
    purged: bool,
) -> Compared[Drawing]:
    """Compare the versions that two refs name, and draw their difference beside it.

    A document worker draws the difference of large documents, so `draw` and its result have to be fit for
    pickle. Raises ResourceNotFound, VersionNotFound, AmbiguousRef.
    """
    work = partial(_drawn, context, subscription_id, kind, resource_id, refs, draw, purged)
    return await context.diffs.run(subscription_id, work)


def _drawn(
    context: Context,
    subscription_id: SubscriptionId,
    kind: Kind,
    resource_id: UUID,
    refs: tuple[str, str],
    draw: Draw[Drawing],
    purged: bool,
) -> Compared[Drawing]:
    at = context.clock()
    with reading(context, subscription_id, kind, resource_id, purged=purged) as tx:
        old, new = (find(tx, subscription_id, kind, resource_id, ref, at) for ref in refs)
    before, after = (found_snapshot(context, subscription_id, row.git_blob_id) for row in (old, new))
    made = context.documents.run(len(before) + len(after), _beside, kind, resource_id, before, after, draw)
    return Compared(
        old=shown(context, subscription_id, old), new=shown(context, subscription_id, new), drawing=made
    )


def _beside(kind: Kind, resource_id: UUID, old: Blob, new: Blob, draw: Draw[Drawing]) -> Drawing:
    before, after = content_of(old), content_of(new)
    return draw(before, after, difference(kind, resource_id, before, after))


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


def described(found: Compared[WrittenDifference]) -> dict[str, Any]:
    """Make the API's answer from a diff and its two versions."""
    made = found.drawing
    return {
        "from": found.old,
        "to": found.new,
        "json_patch": orjson.Fragment(made.json_patch),
        "text": orjson.Fragment(made.text),
        "truncated": made.truncated,
    }
