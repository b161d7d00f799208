"""Reading stored documents: from git, whose bytes are the truth."""

from typing import Any

import orjson
from anyio import to_thread

from gitstore import snapshots
from service.context import Context
from service.ids import SubscriptionId


def snapshot_bytes(context: Context, subscription_id: SubscriptionId, blob_id: str) -> bytes:
    """The canonical bytes of a snapshot, as git has them."""
    return context.reader.read_blob(str(subscription_id), blob_id)


def snapshot_of(context: Context, subscription_id: SubscriptionId, blob_id: str) -> dict[str, Any]:
    """A snapshot as a value; numbers are those of the document, which JSONB would normalise."""
    snapshot: dict[str, Any] = orjson.loads(snapshot_bytes(context, subscription_id, blob_id))
    return snapshot


def definition_of(context: Context, subscription_id: SubscriptionId, blob_id: str) -> dict[str, Any]:
    """The definition in a snapshot."""
    definition: dict[str, Any] = snapshot_of(context, subscription_id, blob_id)["definition"]
    return definition


async def canonical(definition: dict[str, Any]) -> bytes:
    """The canonical bytes of a definition, made aside: a large one would hold up the event loop."""
    return await to_thread.run_sync(snapshots.canonical_definition, definition)
