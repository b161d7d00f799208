"""Reading stored documents from git, whose bytes are the truth."""

from typing import Any

import orjson

from service.domain.ids import SubscriptionId
from service.usecases.context import Context


def snapshot_bytes(context: Context, subscription_id: SubscriptionId, blob_id: str) -> bytes:
    """The canonical bytes of a snapshot in git."""
    return context.reader.read_blob(str(subscription_id), blob_id)


def snapshot_of(context: Context, subscription_id: SubscriptionId, blob_id: str) -> dict[str, Any]:
    """Read a snapshot as a value. Its numbers are as in the document; JSONB would normalise them."""
    snapshot: dict[str, Any] = orjson.loads(snapshot_bytes(context, subscription_id, blob_id))
    return snapshot


def definition_of(context: Context, subscription_id: SubscriptionId, blob_id: str) -> dict[str, Any]:
    """The definition in a snapshot."""
    definition: dict[str, Any] = snapshot_of(context, subscription_id, blob_id)["definition"]
    return definition
