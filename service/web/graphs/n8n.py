"""Workflows of n8n: `nodes` in a list, `connections` by the names of nodes."""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from service.web.graphs.graph import (
    Edge,
    Graph,
    GraphBuilder,
    Node,
    first_text,
    identifier,
    items_of,
    members_of,
    spot_of,
    without,
)

# Papers on the canvas, which nothing leads to.
_NOTE = ".stickyNote"
# Of a kind of connection, which each of its connections tells; editors have kinds of twenty letters.
_KIND_LENGTH = 100
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
# The editor's book-keeping, which changes with each save.
_BOOKS = ("versionId", "versionCounter", "activeVersionId", "createdAt", "updatedAt", "triggerCount")


def read(definition: Any) -> Graph | None:
    """Read a graph; None for a document of another shape."""
    document = members_of(definition)
    nodes, connections = document.get("nodes"), document.get("connections")
    if not isinstance(nodes, list) or not isinstance(connections, dict):
        return None
    builder = GraphBuilder()
    aliases: dict[str, str] = {}
    notes = []
    for number, item in enumerate(nodes):
        node = members_of(item)
        if first_text(node.get("type")).endswith(_NOTE):
            notes.append(_value(node))
            continue
        name = first_text(node.get("name"))
        key = builder.free_key(identifier(node.get("id")) or name or f"#{number + 1}")
        aliases.setdefault(name, key)
        position = [*items_of(node.get("position"))[:2], None, None]
        builder.nodes[key] = Node(
            key=key,
            label=name or key,
            kind=_kind(node),
            value=_value(node) if isinstance(item, dict) else item,
            spot=spot_of(*position[:2]),
        )
    conditions = {node.label for node in builder.nodes.values() if node.kind.split(",")[0] == "if"}
    for edge in _edges(connections, aliases, conditions):
        builder.add_edge(edge)
    rest = without(document, "nodes", "connections", *_BOOKS)
    if notes:
        rest["notes"] = notes
    edges = tuple(builder.edges)
    return Graph(nodes=builder.nodes, edges=edges, rest=rest, flow="right", aliases=aliases)


def _value(node: dict[str, Any]) -> dict[str, Any]:
    return without(node, "id", "position")


def _kind(node: dict[str, Any]) -> str:
    kind = first_text(node.get("type")).rpartition(".")[2]
    return f"{kind}, disabled" if node.get("disabled") is True else kind


def _edges(connections: dict[str, Any], aliases: dict[str, str], conditions: set[str]) -> Iterator[Edge]:
    for name, by_kind in connections.items():
        for kind, outputs in members_of(by_kind).items():
            lists = items_of(outputs)
            short = _short(kind)
            for output, targets in enumerate(lists):
                label = _label(short, output, len(lists), is_condition=name in conditions)
                for item in items_of(targets):
                    end = members_of(item)
                    target = first_text(end.get("node"))
                    yield Edge(
                        source=aliases.get(name, name),
                        target=aliases.get(target, target),
                        port=f"{short} {output} {identifier(end.get('type'))} {identifier(end.get('index'))}",
                        label=label,
                    )


def _short(kind: str) -> str:
    """Cut a long kind so that it still differs from others."""
    if len(kind) <= _KIND_LENGTH:
        return kind
    digest = sha256(kind.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{kind[:_KIND_LENGTH]}… {digest}"


def _label(kind: str, output: int, outputs: int, *, is_condition: bool) -> str:
    if kind != "main":
        return _WORD.sub(" ", kind.removeprefix("ai_")).lower()
    if is_condition:
        return "true" if output == 0 else "false"
    return f"output {output + 1}" if outputs > 1 else ""
