"""Reading stored documents from git, whose bytes are the truth."""

from typing import Annotated, Any, NamedTuple

import orjson
from anyio import to_thread
from pydantic import WithJsonSchema

from gitstore.read.blob_reader import LARGE_BYTES, Blob, content_of
from service.domain.ids import SubscriptionId
from service.usecases.context import Context

# A JSON object in an answer, which is compact JSON already: large documents are written by document workers.
JsonObject = Annotated[Any, WithJsonSchema({"additionalProperties": True, "type": "object"})]


class ShownSnapshot(NamedTuple):
    """A snapshot and its definition, as answers show them.

    Numbers are as in the document; JSONB would normalise them.
    """

    definition: JsonObject
    whole: JsonObject


def snapshot_bytes(context: Context, subscription_id: SubscriptionId, blob_id: str) -> bytes:
    """The canonical bytes of a snapshot in git."""
    return context.reader.read_blob(str(subscription_id), blob_id)


def found_snapshot(context: Context, subscription_id: SubscriptionId, blob_id: str) -> Blob:
    """The canonical bytes of a snapshot in git, or a large snapshot that is not read yet."""
    return context.reader.find_blob(str(subscription_id), blob_id)


def snapshot_of(context: Context, subscription_id: SubscriptionId, blob_id: str) -> ShownSnapshot:
    """Read a snapshot for an answer."""
    found = found_snapshot(context, subscription_id, blob_id)
    return ShownSnapshot(*map(orjson.Fragment, context.documents.run(len(found), _written, found)))


def definition_of(context: Context, subscription_id: SubscriptionId, blob_id: str) -> JsonObject:
    """Read the definition in a snapshot for an answer."""
    found = found_snapshot(context, subscription_id, blob_id)
    return orjson.Fragment(context.documents.run(len(found), _written_definition, found))


async def shown_definition(context: Context, definition: bytes) -> JsonObject:
    """Write a definition for an answer, from its canonical bytes."""
    if len(definition) < LARGE_BYTES:
        return orjson.Fragment(_compact(definition))
    run = context.documents.run
    return orjson.Fragment(await to_thread.run_sync(run, len(definition), _compact, definition))


def _written(snapshot: Blob) -> tuple[bytes, bytes]:
    value = orjson.loads(content_of(snapshot))
    return orjson.dumps(value["definition"]), orjson.dumps(value)


def _written_definition(snapshot: Blob) -> bytes:
    return orjson.dumps(orjson.loads(content_of(snapshot))["definition"])


def _compact(definition: bytes) -> bytes:
    return orjson.dumps(orjson.loads(definition))
