"""Drawings of graphs: boxes, lines and titles with their places, which a template writes as SVG."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.web.graphs import labels
from service.web.graphs.comparison import ComparedEdge, GraphComparison, GraphState, compared
from service.web.graphs.graph import Graph, Spot
from service.web.graphs.layout import HEIGHT, WIDTH, placed
from service.web.graphs.paths import path_between
from service.web.words import counted

# Two versions laid over each other may have twice the nodes of one.
MAX_BOXES = 400
MAX_LINES = 600
# Ends that are missing are drawn, too, but a document may name any number of them.
MAX_MISSING = 20
MARGIN = 18
_TITLE_HEIGHT = 26
# A drawing is made smaller by at most a quarter, and scrolled then: nobody could read it else. The style
# sheet has the least width of each size.
_SIZES = {"small": 540, "middle": 840, "large": 1240}

MISSING = "missing"
LOST = "lost"
SIGNS = {
    GraphState.ADDED: "+",
    GraphState.REMOVED: "−",
    GraphState.CHANGED: "≠",
    GraphState.MOVED: "↔",
    MISSING: "?",
    LOST: "?",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node at its place; `number` is that of the compared node, 0 for a missing one."""

    number: int
    state: str
    sign: str
    title: str
    label: str
    kind: str
    x: float
    y: float
    leads_to_change: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnLine:
    """A connection as a path, with its label beside it."""

    state: str
    path: str
    title: str
    label: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class GroupTitle:
    """Title of a part of the drawing."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A graph, or two laid over each other; `title` tells it in words, `note` what of it is not drawn."""

    boxes: tuple[Box, ...]
    lines: tuple[DrawnLine, ...]
    titles: tuple[GroupTitle, ...]
    width: int
    height: int
    title: str
    note: str
    size: str
    box_width: int = int(WIDTH)
    box_height: int = int(HEIGHT)


def drawn(what: Graph | GraphComparison) -> Drawing:
    """Draw a graph, or a comparison of two; only a comparison has marks of what changed."""
    is_graph = isinstance(what, Graph)
    comparison = compared(what, what) if isinstance(what, Graph) else what
    nodes = {each.node.key: each for each in comparison.nodes}
    if len(nodes) > MAX_BOXES:
        note = f"The two versions have {counted(len(nodes), 'node')} together: too many for one drawing."
        return _empty(note)
    missing = _missing(comparison, set(nodes))
    spots, titles = _spots(comparison, missing)
    edges = [each for each in comparison.edges if each.edge.source in spots and each.edge.target in spots]
    boxes = [
        Box(
            number=each.number,
            state="" if is_graph else each.state,
            sign="" if is_graph else SIGNS.get(each.state, ""),
            title=labels.whole(each.node.label, each.node.kind),
            label=labels.short(each.node.label, labels.LABEL_ROOM, labels.LABEL_LETTER),
            kind=labels.short(each.node.kind, labels.KIND_ROOM, labels.KIND_LETTER) if each.node.kind else "",
            x=spots[key].x,
            y=spots[key].y,
            leads_to_change=not is_graph and each.state not in (GraphState.SAME, GraphState.MOVED),
        )
        for key, each in nodes.items()
    ]
    boxes += [
        Box(
            number=0,
            state=MISSING,
            sign=SIGNS[MISSING],
            title=labels.whole(key, "missing node"),
            label=labels.short(key, labels.LABEL_ROOM, labels.LABEL_LETTER),
            kind="missing node",
            x=spots[key].x,
            y=spots[key].y,
            leads_to_change=False,
        )
        for key in missing
    ]
    width, height = _size(spots)
    return Drawing(
        boxes=tuple(boxes),
        lines=tuple(_lines(edges[:MAX_LINES], comparison, spots, is_graph=is_graph)),
        titles=tuple(titles),
        width=width,
        height=height,
        title=_title(comparison, is_graph=is_graph),
        note=_note(len(comparison.edges) - len(edges[:MAX_LINES])),
        size=next((size for size, most in _SIZES.items() if width <= most), ""),
    )


def _empty(note: str) -> Drawing:
    return Drawing(boxes=(), lines=(), titles=(), width=0, height=0, title="", note=note, size="")


def _missing(comparison: GraphComparison, known: set[str]) -> dict[str, str]:
    """Keys of nodes that edges name, but neither version has, with the group of the other end."""
    groups = {each.node.key: each.node.group for each in comparison.nodes}
    found: dict[str, str] = {}
    for each in comparison.edges:
        for end, other in ((each.edge.source, each.edge.target), (each.edge.target, each.edge.source)):
            if end not in known and other in known and len(found) < MAX_MISSING:
                found.setdefault(end, groups[other])
    return found


def _spots(comparison: GraphComparison, missing: dict[str, str]) -> tuple[dict[str, Spot], list[GroupTitle]]:
    """Place all boxes, group by group below each other, each group with its title."""
    groups: dict[str, dict[str, Spot | None]] = {}
    for each in comparison.nodes:
        spot = each.node.spot or (each.before.spot if each.before else None)
        groups.setdefault(each.node.group, {})[each.node.key] = spot
    for key, group in missing.items():
        groups[group][key] = None
    ends = [(each.edge.source, each.edge.target) for each in comparison.edges]
    found: dict[str, Spot] = {}
    titles: list[GroupTitle] = []
    top = float(MARGIN)
    for group, wanted in groups.items():
        if text := comparison.groups.get(group, ""):
            titles.append(
                GroupTitle(labels.short(text, labels.TITLE_ROOM, labels.TITLE_LETTER), MARGIN, top + 10)
            )
            top += _TITLE_HEIGHT
        spots = placed(wanted, ends, comparison.flow)
        found |= {key: Spot(spot.x + MARGIN, spot.y + top) for key, spot in spots.items()}
        top = max(spot.y for spot in found.values()) + HEIGHT + 2 * MARGIN
    return found, titles


def _size(spots: dict[str, Spot]) -> tuple[int, int]:
    right = max((spot.x + WIDTH for spot in spots.values()), default=0)
    below = max((spot.y + HEIGHT for spot in spots.values()), default=0)
    # Lines that lead around boxes need room beside them.
    return int(right + 2.5 * MARGIN), int(below + MARGIN)


def _lines(
    edges: list[ComparedEdge], comparison: GraphComparison, spots: dict[str, Spot], *, is_graph: bool
) -> Iterator[DrawnLine]:
    places = labels.LabelPlaces(spots.values())
    columns = sorted(spots.values(), key=lambda spot: (spot.x, spot.y))
    for each in edges:
        path = path_between(spots[each.edge.source], spots[each.edge.target], columns, comparison.flow)
        state = LOST if each.is_lost else "" if is_graph else each.state
        ways = f"{labels.whole(each.source_label)} → {labels.whole(each.target_label)}"
        said = {LOST: "leads nowhere: ", "": "", GraphState.SAME: ""}.get(state, f"{state}: ")
        sign = "" if state in ("", GraphState.SAME) else SIGNS.get(state, "")
        label = each.edge.label.strip()
        label = labels.short(label, labels.LINE_ROOM, labels.LINE_LETTER) if label else ""
        shown = " ".join(filter(None, (sign, label)))
        place = places.take(path, shown) if shown else path.begin
        yield DrawnLine(
            state=state,
            path=path.text,
            title=said + labels.whole(ways, each.edge.label),
            label=shown,
            x=place.x,
            y=place.y,
        )


def _title(comparison: GraphComparison, *, is_graph: bool) -> str:
    size = f"{counted(len(comparison.nodes), 'node')}, {counted(len(comparison.edges), 'connection')}"
    return f"Workflow of {size}" if is_graph else f"Two versions of a workflow: {comparison.sentence}"


def _note(left_out: int) -> str:
    return f"{counted(left_out, 'connection is', 'connections are')} not drawn." if left_out else ""
