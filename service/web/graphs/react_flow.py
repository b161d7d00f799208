"""Workflows of ReactFlow: `nodes` with ids and positions, `edges` between ids."""

from typing import Any

from service.web.graphs.graph import (
    Edge,
    Flow,
    Graph,
    GraphBuilder,
    Node,
    Spot,
    first_text,
    identifier,
    items_of,
    members_of,
    spot_of,
    without,
)

# The state of an editor, not the workflow.
_COSMETIC = (
    *("position", "positionAbsolute", "width", "height", "measured", "selected", "dragging", "resizing"),
    *("zIndex", "sourcePosition", "targetPosition"),
)
_MOST_PARENTS = 20


def read(definition: Any) -> Graph | None:
    """Read a graph; None for a document of another shape."""
    document = members_of(definition)
    nodes = document.get("nodes")
    if not isinstance(nodes, list) or not _is_graph(nodes, document.get("edges")):
        return None
    builder = GraphBuilder()
    spots = _spots(nodes)
    for number, item in enumerate(nodes):
        node = members_of(item)
        data = members_of(node.get("data"))
        key = builder.free_key(identifier(node.get("id")) or f"#{number + 1}")
        label = first_text(
            *(data.get("label"), data.get("title"), data.get("name"), node.get("label"), node.get("name"))
        )
        builder.nodes[key] = Node(
            key=key,
            label=label or key,
            kind=first_text(node.get("type"), data.get("type")),
            value=_value(node) if isinstance(item, dict) else item,
            spot=spots[number],
        )
    for item in items_of(document.get("edges")):
        edge = members_of(item)
        builder.add_edge(
            Edge(
                source=identifier(edge.get("source")),
                target=identifier(edge.get("target")),
                port=f"{identifier(edge.get('sourceHandle'))} {identifier(edge.get('targetHandle'))}",
                label=first_text(edge.get("label"), members_of(edge.get("data")).get("label")),
                # Some editors make ids anew with each save: ends tell edges apart.
                value=without(edge, "id", "source", "target", "sourceHandle", "targetHandle", *_COSMETIC),
            )
        )
    rest = without(document, "nodes", "edges", "viewport")
    edges = tuple(builder.edges)
    return Graph(nodes=builder.nodes, edges=edges, rest=rest, flow=_flow(builder.nodes, edges))


def _value(node: dict[str, Any]) -> dict[str, Any]:
    value = without(node, "id", *_COSMETIC)
    if isinstance(node.get("style"), dict):
        # Some editors keep a size that was dragged there.
        value["style"] = without(node["style"], "width", "height")
    return value


def _is_graph(nodes: list[Any], edges: Any) -> bool:
    if not nodes:
        return isinstance(edges, list)
    with_id = [node for node in nodes if isinstance(node, dict) and identifier(node.get("id"))]
    return bool(with_id) and (isinstance(edges, list) or any("position" in node for node in with_id))


def _spots(nodes: list[Any]) -> list[Spot | None]:
    """Spots of nodes on the whole canvas: those of a node in a group are relative to the group."""
    own = [_own_spot(members_of(node)) for node in nodes]
    numbers = {identifier(members_of(node).get("id")): number for number, node in enumerate(nodes)}
    found: list[Spot | None] = []
    for number, begin in enumerate(own):
        spot, at = begin, number
        for _ in range(_MOST_PARENTS):
            node = members_of(nodes[at])
            parent = numbers.get(identifier(node.get("parentId") or node.get("parentNode")))
            above = None if parent is None else own[parent]
            if spot is None or parent is None or above is None:
                break
            spot, at = spot_of(spot.x + above.x, spot.y + above.y), parent
        found.append(spot)
    return found


def _own_spot(node: dict[str, Any]) -> Spot | None:
    position = members_of(node.get("position"))
    return spot_of(position.get("x"), position.get("y"))


def _flow(nodes: dict[str, Node], edges: tuple[Edge, ...]) -> Flow:
    """Direction in which most edges lead further."""
    down = right = 0.0
    for edge in edges:
        source, target = nodes.get(edge.source), nodes.get(edge.target)
        if source and target and source.spot and target.spot:
            across, along = abs(target.spot.x - source.spot.x), abs(target.spot.y - source.spot.y)
            right += across > along
            down += along >= across
    return "right" if right > down else "down"
