"""Workflow definitions of about 6.6 KB as users draw them, and the small edits that users make."""

import random
from typing import Any
from uuid import UUID

import orjson

from gitstore import snapshots
from gitstore.store import snapshot_path

COLLECTION = "workflows"
# The size of the canonical snapshot, which is the blob in git, in bytes.
TARGET_BYTES = 6_600
_SNAPSHOT_OVERHEAD = 250

_KINDS = ("http_request", "sql_query", "transform", "filter", "join", "branch", "notify", "approve", "store")
_WORDS = (
    *("order", "invoice", "customer", "ledger", "shipment", "payment", "contract", "ticket", "report"),
    *("region", "batch", "source", "target", "amount", "status", "currency", "period", "account"),
    *("validate", "enrich", "merge", "export", "import", "archive", "approve", "reconcile", "notify"),
)


def document(seed: int) -> bytes:
    """Make the definition of a workflow by its number, as compact JSON, always with the same bytes."""
    rng = random.Random(seed)
    definition: dict[str, Any] = {
        "description": f"{_phrase(rng, 6)}, owned by team {rng.choice(_WORDS)}",
        "schedule": {
            "cron": f"{rng.randrange(60)} {rng.randrange(24)} * * {rng.randrange(7)}",
            "timezone": rng.choice(("Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC")),
            "retries": rng.randrange(6),
        },
        "nodes": [],
        "edges": [],
    }
    nodes, edges = definition["nodes"], definition["edges"]
    # Indentation adds a constant number of bytes, so one measurement of the indented length is enough.
    while (missing := TARGET_BYTES - _SNAPSHOT_OVERHEAD - _pretty_length(definition)) > 700:
        nodes.append(_node(rng, len(nodes)))
        if len(nodes) > 1:
            edges.append({"from": nodes[-2]["id"], "to": nodes[-1]["id"], "on": rng.choice(("ok", "error"))})
    definition["notes"] = _text(rng, max(0, missing - 20))
    return orjson.dumps(definition)


def edited(definition: bytes, rng: random.Random) -> bytes:
    """Change one or two values of one node, as a user does; the result always differs."""
    value: dict[str, Any] = orjson.loads(definition)
    node = rng.choice(value["nodes"])
    for change in rng.sample((_retime, _move, _rephrase), rng.choice((1, 1, 2))):
        change(node, rng)
    return orjson.dumps(value)


def snapshot(definition: bytes, resource_id: str, name: str, parent_id: str) -> bytes:
    """Make the canonical bytes that the service would store, for commits of a reference."""
    return snapshots.assemble(
        definition=snapshots.canonical_definition(orjson.loads(definition)),
        description=None,
        name=name,
        parent_id=parent_id,
        resource_id=resource_id,
        resource_type="workflow",
    )


def identities(count: int) -> list[str]:
    """Make ids for the resources of a reference; they are always the same."""
    rng = random.Random(count)
    return [str(UUID(int=rng.getrandbits(128), version=4)) for _ in range(count)]


def path_of(resource_id: str) -> str:
    """Return the path of a snapshot in the tree."""
    return snapshot_path(COLLECTION, resource_id)


def _retime(node: dict[str, Any], rng: random.Random) -> None:
    node["parameters"]["timeout_ms"] = _other(node["parameters"]["timeout_ms"], rng, 10**9)


def _move(node: dict[str, Any], rng: random.Random) -> None:
    node["position"]["x"] = _other(node["position"]["x"], rng, 10**6)


def _rephrase(node: dict[str, Any], rng: random.Random) -> None:
    node["parameters"]["expression"] = f"{_phrase(rng, 3)} > {_other(0, rng, 10**9)}"


def _other(value: int, rng: random.Random, limit: int) -> int:
    while (new := rng.randrange(1, limit)) == value:
        pass
    return new


def _node(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "id": f"node-{number}-{rng.getrandbits(32):08x}",
        "type": rng.choice(_KINDS),
        "name": _phrase(rng, 2),
        "position": {"x": rng.randrange(2000), "y": rng.randrange(1200)},
        "parameters": {
            "expression": f"{_phrase(rng, 3)} > {rng.randrange(10_000)}",
            "connection": f"connections/{rng.choice(_WORDS)}-{rng.randrange(40)}",
            "timeout_ms": rng.randrange(1000, 120_000),
            "retry": {"attempts": rng.randrange(1, 6), "backoff": rng.choice((0.5, 1.0, 1.5, 2.0))},
            "on_error": rng.choice(("stop", "continue", "compensate")),
        },
    }


def _phrase(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words))


def _text(rng: random.Random, length: int) -> str:
    text = ""
    while len(text) < length:
        text += rng.choice(_WORDS) + " "
    return text[:length]


def _pretty_length(definition: dict[str, Any]) -> int:
    return len(snapshots.canonical_definition(definition))
