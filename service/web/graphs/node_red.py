"""Flows of Node-RED: a list of nodes with `wires`, on tabs; tabs and configurations stand among them."""

from collections.abc import Iterator
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

_LAYOUT = ("id", "x", "y", "w", "h", "wires")
_LINKS = ("link out", "link call")


def read(definition: Any) -> Graph | None:
    """Read a graph; None for a document of another shape."""
    flows = definition if isinstance(definition, list) else members_of(definition).get("flows")
    if not isinstance(flows, list) or not any(map(_is_wired, flows)):
        return None
    builder = GraphBuilder()
    others = []
    for number, item in enumerate(flows):
        if not _is_wired(item):
            others.append(item)
            continue
        key = builder.free_key(identifier(item.get("id")) or f"#{number + 1}")
        kind = first_text(item.get("type"))
        builder.nodes[key] = Node(
            key=key,
            label=first_text(item.get("name"), item.get("label")) or kind or key,
            kind=f"{kind}, disabled" if item.get("d") is True else kind,
            value=without(item, *_LAYOUT),
            spot=spot_of(item.get("x"), item.get("y")),
            group=identifier(item.get("z")),
        )
        for edge in _edges(key, item):
            builder.add_edge(edge)
    rest = {"flows": others} if isinstance(definition, list) else {**definition, "flows": others}
    edges = tuple(builder.edges)
    return Graph(nodes=builder.nodes, edges=edges, rest=rest, flow="right", groups=_titles(others))


def _is_wired(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("wires"), list)


def _edges(key: str, node: dict[str, Any]) -> Iterator[Edge]:
    outputs = items_of(node.get("wires"))
    for number, targets in enumerate(outputs, 1):
        label = f"output {number}" if len(outputs) > 1 else ""
        for target in items_of(targets):
            yield Edge(source=key, target=identifier(target), port=str(number), label=label)
    if node.get("type") in _LINKS:
        for target in items_of(node.get("links")):
            yield Edge(source=key, target=identifier(target), port="link", label="link")


def _titles(others: list[Any]) -> dict[str, str]:
    """Titles of the tabs, by their ids."""
    found = {}
    for item in others:
        tab = members_of(item)
        if tab.get("type") in ("tab", "subflow"):
            found[identifier(tab.get("id"))] = first_text(tab.get("label"), tab.get("name"))
    return found
