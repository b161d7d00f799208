"""Differences cut to the room of a page: a drawing, lists of changes, and as much of the text as fits."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from service.web.differences import ChangedNode, Difference
from service.web.graphs import Drawing, drawn
from service.web.graphs.comparison import ComparedEdge, GraphComparison
from service.web.graphs.labels import whole
from service.web.room import Room, size_of
from service.web.text_lines import TextRow, TextRows
from service.web.value_changes import ValueChanges
from service.web.words import compact, counted

# A page has at most 3,000 elements and 150 KiB; its frame and the choice of versions take the rest.
ELEMENTS = 2_350
SIZE = 116 * 1024
# A larger drawing would leave no room for the text.
_OF_A_DRAWING = (1_700, 80 * 1024)
# Share of the lists in what the drawing leaves, and in it that of the connections that lead nowhere.
_OF_LISTS, _OF_LOST = 0.45, 0.25
# Connections of a list.
_LISTED = 100
_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Connections that a page lists, and the number of further ones."""

    items: tuple[ComparedEdge, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A difference as a page has room for it; its `drawing` is None where no version has a graph."""

    difference: Difference
    drawing: Drawing | None
    connections: Listed
    lost: Listed
    text: TextRows


def fitted(found: Difference, text: TextRows) -> Fitted:
    """Cut a difference to the room of a page."""
    room = Room(ELEMENTS, SIZE)
    graph = found.comparison
    drawing = None if graph is None else _drawing(graph, room)
    lists = room.part(_OF_LISTS)
    lost_room = lists.part(_OF_LOST)
    lost = _edges([] if graph is None else graph.lost_edges, lost_room)
    lists.give_back(lost_room)
    fields = _values(found.fields, lists)
    nodes = _nodes(found.nodes, lists)
    settings = _values(found.settings, lists)
    connections = _edges([] if graph is None else graph.changed_edges, lists)
    room.give_back(lists)
    return Fitted(
        difference=replace(
            found,
            fields=fields,
            nodes=nodes,
            more_nodes=found.more_nodes + len(found.nodes) - len(nodes),
            settings=settings,
        ),
        drawing=drawing,
        connections=connections,
        lost=lost,
        text=_text(text, room),
    )


def _drawing(graph: GraphComparison, room: Room) -> Drawing:
    made = drawn(graph)
    elements, size = len(made.titles), sum(60 + size_of(each.text) for each in made.titles)
    for box in made.boxes:
        has_kind, has_sign, is_link = bool(box.kind), bool(box.sign), box.leads_to_change
        elements += 4 + has_kind + 2 * has_sign + is_link
        size += 165 + 45 * has_kind + 145 * has_sign + 35 * is_link
        size += size_of(box.title, box.label, box.kind)
    for line in made.lines:
        elements += 3 + bool(line.label)
        size += 110 + 50 * bool(line.label) + len(line.path) + size_of(line.title, line.label)
    most_elements, most_size = _OF_A_DRAWING
    if elements <= most_elements and size <= most_size and room.take(elements, size):
        return made
    nodes = counted(len(graph.nodes), "node")
    note = f"The two versions have {nodes} together: too much for a drawing beside what changed."
    return replace(made, boxes=(), lines=(), titles=(), note=note)


def _values(found: ValueChanges, room: Room) -> ValueChanges:
    items = found.items
    kept = _first(
        items,
        room,
        ((10, 150 + size_of(each.path, each.before or "(empty)", each.after or "(empty)")) for each in items),
    )
    return ValueChanges(items[:kept], found.more + len(items) - kept)


def _nodes(nodes: Iterable[ChangedNode], room: Room) -> tuple[ChangedNode, ...]:
    kept: list[ChangedNode] = []
    for each in nodes:
        node = each.compared.node
        names = size_of(*(compact(whole(text), _NAME) for text in (node.key, node.kind)), whole(node.label))
        if not room.take(10, 360 + names):
            break
        kept.append(replace(each, values=_values(each.values, room)))
    return tuple(kept)


def _edges(edges: list[ComparedEdge], room: Room) -> Listed:
    first = edges[:_LISTED]
    costs = ((6, 200 + size_of(*(compact(whole(text), _NAME) for text in _names(each)))) for each in first)
    kept = _first(first, room, costs)
    return Listed(items=tuple(first[:kept]), more=len(edges) - kept)


def _names(each: ComparedEdge) -> tuple[str, str, str]:
    return each.source_label, each.target_label, each.edge.label


def _text(text: TextRows, room: Room) -> TextRows:
    kept = _first(text.rows, room, map(_cost, text.rows))
    return replace(text, rows=text.rows[:kept], is_cut=text.is_cut or kept < len(text.rows))


def _cost(row: TextRow) -> tuple[int, int]:
    marks = sum(differs for _, differs in row.parts)
    return 5 + marks, 90 + 13 * marks + size_of(*(part for part, _ in row.parts))


def _first(items: Iterable[object], room: Room, costs: Iterable[tuple[int, int]]) -> int:
    """Take the room of the first items, as many as fit, and return their number."""
    kept = 0
    for _, (elements, size) in zip(items, costs, strict=False):
        if not room.take(elements, size):
            break
        kept += 1
    return kept
