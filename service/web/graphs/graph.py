"""Graph of a workflow: its nodes and the edges between them, whichever editor wrote it."""

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

# A drawing of more boxes is a carpet, and its page too heavy.
MAX_NODES = 300
MAX_EDGES = 2_000
# Positions further out are mistakes, and their differences no numbers to compute with.
_FURTHEST = 1e7

Flow = Literal["down", "right"]


class TooLargeToDraw(Exception):
    """The graph has more nodes or connections than a drawing may have."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Upper left corner of a box."""

    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node. `value` is what counts in a comparison, so neither the id nor the position."""

    key: str
    label: str
    kind: str
    value: Any
    spot: Spot | None = None
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A connection between two nodes, of which either may be missing.

    `port` tells apart connections between the same nodes; `value` is what else counts in a comparison.
    """

    source: str
    target: str
    port: str = ""
    label: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A workflow. `rest` is the document without nodes, edges and layout.

    `groups` has the titles of parts that are drawn below each other. `aliases` leads from the names by which
    edges name nodes to the keys of these nodes. Nodes of a shape with `is_by_name` have no ids.
    """

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    rest: Any
    flow: Flow = "down"
    groups: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    is_by_name: bool = False


class GraphBuilder:
    """Collects nodes and edges; raises TooLargeToDraw when they become too many."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []

    def free_key(self, wanted: str) -> str:
        """Return a key that no node has yet, for a document may repeat an id."""
        if len(self.nodes) >= MAX_NODES:
            raise TooLargeToDraw(f"The workflow has more than the {MAX_NODES} nodes that are drawn.")
        key, number = wanted, 1
        while key in self.nodes:
            number += 1
            key = f"{wanted} ({number})"
        return key

    def add_edge(self, edge: Edge) -> None:
        """Add an edge, whose ends may be missing."""
        if len(self.edges) >= MAX_EDGES:
            raise TooLargeToDraw(f"The workflow has more than the {MAX_EDGES:,} connections that are drawn.")
        self.edges.append(edge)


def written(value: Any) -> bytes:
    """Write a value so that equal texts mean equal values, including the types of numbers."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # No stored document has such values.
        return json.dumps(value, sort_keys=True).encode("ascii")


def identifier(value: Any) -> str:
    """Return an id as text; empty for a value that is none."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def first_text(*values: Any) -> str:
    """Return the first value that is a text with something in it, else an empty one."""
    return next((value for value in values if isinstance(value, str) and value.strip()), "")


def items_of(value: Any) -> list[Any]:
    """Return a list as it is; an empty one for anything else."""
    return value if isinstance(value, list) else []


def members_of(value: Any) -> dict[str, Any]:
    """Return an object as it is; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return an object without some of its members."""
    return {name: member for name, member in value.items() if name not in names}


def spot_of(x: Any, y: Any) -> Spot | None:
    """Make a spot of two coordinates; None unless both are usable numbers."""
    return Spot(float(x), float(y)) if _is_coordinate(x) and _is_coordinate(y) else None


def _is_coordinate(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and abs(value) <= _FURTHEST
