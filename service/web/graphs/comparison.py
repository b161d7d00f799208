"""Two graphs laid over each other: which nodes and connections one of them has, and which differ."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from service.web.graphs.graph import Edge, Flow, Graph, Node, written
from service.web.words import counted

EMPTY = Graph(nodes={}, edges=(), rest={})


class GraphState(StrEnum):
    """State of a node or a connection between two versions."""

    SAME = "same"
    MOVED = "moved"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedNode:
    """A node in two versions: `node` as it is now, or as it was. `number` names it on a page."""

    number: int
    state: GraphState
    node: Node
    before: Node | None
    after: Node | None
    is_renamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedEdge:
    """A connection in two versions, with the labels of its ends.

    `is_lost`: the new version has it, but not both of its ends. `was_lost`: the same of the old version.
    """

    state: GraphState
    edge: Edge
    source_label: str
    target_label: str
    is_lost: bool
    was_lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphComparison:
    """Two graphs laid over each other; nodes have the keys of the new one."""

    nodes: tuple[ComparedNode, ...]
    edges: tuple[ComparedEdge, ...]
    flow: Flow
    groups: dict[str, str]

    def count(self, *states: GraphState) -> int:
        """Count the nodes in some states."""
        return sum(node.state in states for node in self.nodes)

    @property
    def changed_nodes(self) -> list[ComparedNode]:
        """Nodes that were added, removed or changed."""
        return [node for node in self.nodes if node.state not in (GraphState.SAME, GraphState.MOVED)]

    @property
    def changed_edges(self) -> list[ComparedEdge]:
        """Connections that were added, removed or changed."""
        return [edge for edge in self.edges if edge.state != GraphState.SAME]

    @property
    def lost_edges(self) -> list[ComparedEdge]:
        """Connections of the new version that lead nowhere."""
        return [edge for edge in self.edges if edge.is_lost]

    @property
    def moved(self) -> int:
        """Number of nodes that have another position, and nothing else."""
        return self.count(GraphState.MOVED)

    @property
    def parts(self) -> list[str]:
        """Parts of a sentence on what changed; empty if nothing but the layout did."""
        states = (GraphState.ADDED, GraphState.REMOVED, GraphState.CHANGED)
        found = [f"{counted(self.count(state), 'node')} {state}" for state in states if self.count(state)]
        edges = Counter(edge.state for edge in self.changed_edges)
        found += [f"{counted(edges[state], 'connection')} {state}" for state in states if edges[state]]
        lost = sum(edge.is_lost and not edge.was_lost for edge in self.edges)
        if lost:
            found.append(counted(lost, "connection leads nowhere", "connections lead nowhere"))
        return found

    @property
    def sentence(self) -> str:
        """Sentence on what changed."""
        return ", ".join(self.parts) or ("nothing but layout" if self.moved else "nothing")


def compared(old: Graph | None, new: Graph | None) -> GraphComparison:
    """Compare two graphs; None is a graph without nodes."""
    before, after = old or EMPTY, new or EMPTY
    shape = after if new else before
    renamed = _renamed(before, after) if before.is_by_name and after.is_by_name else {}
    before = _with_keys(before, {**_only_named(after, before), **renamed})
    after = _with_keys(after, _only_named(before, after))
    nodes = tuple(_nodes(before, after, set(renamed.values())))
    return GraphComparison(
        nodes=nodes,
        edges=tuple(_edges(before, after, {each.node.key: each.node.label for each in nodes})),
        flow=shape.flow,
        groups={**before.groups, **after.groups},
    )


def _only_named(other: Graph, graph: Graph) -> dict[str, str]:
    """Keys in the other graph of nodes that this graph names, but lacks: their edges are the same edges."""
    return {
        name: key
        for name, key in other.aliases.items()
        if name not in graph.aliases and name not in graph.nodes
    }


def _renamed(old: Graph, new: Graph) -> dict[str, str]:
    """Find nodes that have another name and are equal else, by their old names.

    Several equal nodes can't be told apart, so that none of them counts as renamed.
    """
    removed = _by_value(node for key, node in old.nodes.items() if key not in new.nodes)
    added = _by_value(node for key, node in new.nodes.items() if key not in old.nodes)
    return {
        nodes[0].key: added[text][0].key
        for text, nodes in removed.items()
        if len(nodes) == 1 and len(added.get(text, ())) == 1
    }


def _by_value(nodes: Iterable[Node]) -> dict[bytes, list[Node]]:
    found = defaultdict(list)
    for node in nodes:
        found[written(node.value)].append(node)
    return found


def _with_keys(graph: Graph, keys: dict[str, str]) -> Graph:
    """Return a graph some of whose nodes have other keys."""
    if not keys:
        return graph
    return replace(
        graph,
        nodes={keys.get(key, key): node for key, node in graph.nodes.items()},
        edges=tuple(
            replace(
                edge, source=keys.get(edge.source, edge.source), target=keys.get(edge.target, edge.target)
            )
            for edge in graph.edges
        ),
    )


def _nodes(old: Graph, new: Graph, renamed: set[str]) -> Iterator[ComparedNode]:
    keys = [*new.nodes, *(key for key in old.nodes if key not in new.nodes)]
    for number, key in enumerate(keys, 1):
        before, after = old.nodes.get(key), new.nodes.get(key)
        is_renamed = key in renamed
        yield ComparedNode(
            number=number,
            state=GraphState.CHANGED if is_renamed else _state(before, after),
            node=after or old.nodes[key],
            before=before,
            after=after,
            is_renamed=is_renamed,
        )


def _state(before: Node | None, after: Node | None) -> GraphState:
    if before is None:
        return GraphState.ADDED
    if after is None:
        return GraphState.REMOVED
    if written(before.value) != written(after.value):
        return GraphState.CHANGED
    return GraphState.SAME if before.spot == after.spot else GraphState.MOVED


def _edges(old: Graph, new: Graph, labels: dict[str, str]) -> Iterator[ComparedEdge]:
    before, after = _numbered(old.edges), _numbered(new.edges)
    for name in [*after, *(name for name in before if name not in after)]:
        was, now = before.get(name), after.get(name)
        edge = now or before[name]
        yield ComparedEdge(
            state=_edge_state(was, now),
            edge=edge,
            source_label=labels.get(edge.source, edge.source),
            target_label=labels.get(edge.target, edge.target),
            is_lost=_is_lost(now, new),
            was_lost=_is_lost(was, old),
        )


def _numbered(edges: Iterable[Edge]) -> dict[tuple[str, str, str, int], Edge]:
    """Edges by their ends; equal ones are counted, since a document may repeat them."""
    found: dict[tuple[str, str, str, int], Edge] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for edge in edges:
        ends = (edge.source, edge.target, edge.port)
        found[*ends, seen[ends]] = edge
        seen[ends] += 1
    return found


def _edge_state(was: Edge | None, now: Edge | None) -> GraphState:
    if was is None:
        return GraphState.ADDED
    if now is None:
        return GraphState.REMOVED
    is_same = was.label == now.label and written(was.value) == written(now.value)
    return GraphState.SAME if is_same else GraphState.CHANGED


def _is_lost(edge: Edge | None, graph: Graph) -> bool:
    return edge is not None and not (edge.source in graph.nodes and edge.target in graph.nodes)
