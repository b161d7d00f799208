"""Drawings of workflows: the shapes of four editors, their comparison, and documents that no editor wrote."""

import copy
import re
import tracemalloc
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

from service.web.graphs import Drawing, Graph, compared, drawn, graph_of, note_on
from service.web.graphs.comparison import GraphState
from service.web.graphs.graph import MAX_EDGES, MAX_NODES
from service.web.words import revealed
from tests.support.workflows import (
    HOSTILE,
    SHAPES,
    WORKFLOWS,
    calls_of,
    loaded,
    react_flows,
    rendered,
    shapeless,
)

# Calls of a drawing with as many nodes and edges as it may have; seconds would depend on the machine.
MOST_CALLS = 700_000
# Least size of a letter in the label of a connection.
LETTER_WIDTH, LETTER_HEIGHT = 5, 8
# A document of rules has no nodes.
DRAWN = [path for path in WORKFLOWS if graph_of(loaded(path)) is not None]


def graph(definition: Any) -> Graph:
    found = graph_of(definition)
    assert found is not None
    return found


def ways(found: Graph) -> set[str]:
    labels = {key: node.label for key, node in found.nodes.items()}
    return {f"{labels[edge.source]} -{edge.label}> {labels[edge.target]}" for edge in found.edges}


def assert_apart(drawing: Drawing) -> None:
    for one, two in combinations(drawing.boxes, 2):
        is_beside = abs(one.x - two.x) >= drawing.box_width or abs(one.y - two.y) >= drawing.box_height
        assert is_beside, (one, two)
    for box in drawing.boxes:
        assert 0 <= box.x <= drawing.width - drawing.box_width
        assert 0 <= box.y <= drawing.height - drawing.box_height


def test_a_workflow_of_reactflow_is_read() -> None:
    found = graph(loaded(SHAPES["react_flow"]))
    assert found.nodes["validate"].label == "Check required fields"
    assert found.nodes["validate"].kind == "transform"
    assert "Check required fields -invalid> Quarantine" in ways(found)
    assert set(found.rest) == {"title", "retry"}
    assert found.flow == "down"


def test_a_workflow_of_n8n_is_read() -> None:
    found = graph(loaded(SHAPES["n8n"]))
    assert found.nodes["a6"].label == "Add to CRM"
    assert {
        "Is a company? -true> Enrich",
        "Is a company? -false> Say thanks",
        "Model -language model> Enrich",
        "Search -tool> Enrich",
    } <= ways(found)
    assert found.flow == "right"


def test_a_state_machine_is_read_with_what_is_inside_of_its_states() -> None:
    found = graph(loaded(SHAPES["step_functions"]))
    choice = "Check if Stock Level is below the threshold"
    assert {
        "Start -> Format parameters",
        "Format parameters -> Check Stock Levels",
        f"Check Stock Levels -branch 1> {choice}",
        f"{choice} -stockNumeric ≤ thresholdNumeric> Send create-purchase-order event",
        f"{choice} -otherwise> Pass not below threshold",
    } <= ways(found)
    assert found.nodes["Pass not zero"].kind == "Pass in Check Stock Levels"


def test_catches_and_maps_of_a_state_machine_are_ways() -> None:
    inner = {"StartAt": "Each", "States": {"Each": {"Type": "Pass", "End": True}}}
    states = {
        "All": {
            "Type": "Map",
            "ItemProcessor": inner,
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Sorry"}],
            "End": True,
        },
        "Sorry": {"Type": "Fail"},
    }
    found = graph({"StartAt": "All", "States": states})
    assert ways(found) == {"Start -> All", "All -each item> Each", "All -on ALL> Sorry"}


def test_a_flow_of_node_red_is_read_with_its_tabs() -> None:
    document = loaded(SHAPES["node_red"])
    found = graph(document)
    assert {
        "Sensors -> json",
        "Too hot? -output 1> Open vents",
        "To alarms -link> From climate",
    } <= ways(found)
    assert [title.text for title in drawn(found).titles] == ["Climate", "Alarms"]
    assert [item["type"] for item in found.rest["flows"]] == ["tab", "tab", "mqtt-broker"]
    assert graph(document["flows"]).nodes == found.nodes


@pytest.mark.parametrize(
    "definition",
    [
        None,
        "nodes",
        [],
        {},
        {"nodes": "a", "edges": []},
        {"nodes": [1, 2], "edges": []},
        {"nodes": [{"name": "a"}]},
        {"States": []},
        {"flows": [{"id": "a"}]},
        {"steps": [{"id": "a"}]},
    ],
)
def test_other_documents_are_no_graphs(definition: Any) -> None:
    assert graph_of(definition) is None
    assert note_on(definition) is None


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_no_boxes_of_a_drawing_overlap(path: Path) -> None:
    drawing = drawn(graph(loaded(path)))
    assert len(drawing.boxes) >= 3
    assert len(drawing.lines) >= 2
    assert_apart(drawing)


@settings(max_examples=80, deadline=None)
@given(shapeless)
def test_any_value_is_drawn_or_is_no_graph(definition: Any) -> None:
    found = graph_of(definition)
    if found is not None:
        assert_apart(drawn(found))


@settings(max_examples=40, deadline=None)
@given(react_flows, react_flows)
def test_boxes_of_two_versions_are_apart(old: Any, new: Any) -> None:
    drawing = drawn(compared(graph_of(old), graph_of(new)))
    assert_apart(drawing)


@settings(max_examples=40, deadline=None)
@given(shapeless)
def test_a_graph_does_not_differ_from_itself(definition: Any) -> None:
    found = graph_of(definition)
    comparison = compared(found, copy.deepcopy(found))
    assert comparison.parts == []
    assert comparison.changed_nodes == []
    assert comparison.changed_edges == []


@settings(max_examples=40, deadline=None)
@given(react_flows, react_flows)
def test_whatever_is_added_one_way_is_removed_the_other_way(old: Any, new: Any) -> None:
    there, back = compared(graph_of(old), graph_of(new)), compared(graph_of(new), graph_of(old))

    def nodes(comparison: Any, state: GraphState) -> set[str]:
        return {each.node.key for each in comparison.nodes if each.state == state}

    def edges(comparison: Any, state: GraphState) -> list[tuple[str, str]]:
        return sorted(
            (each.edge.source, each.edge.target) for each in comparison.edges if each.state == state
        )

    for which in (nodes, edges):
        assert which(there, GraphState.ADDED) == which(back, GraphState.REMOVED)
        assert which(there, GraphState.REMOVED) == which(back, GraphState.ADDED)
        assert which(there, GraphState.CHANGED) == which(back, GraphState.CHANGED)


@pytest.mark.parametrize("shape", ["react_flow", "n8n", "node_red"])
def test_another_layout_is_no_change(shape: str) -> None:
    old = loaded(SHAPES[shape])
    new = copy.deepcopy(old)
    move: dict[str, Callable[[Any], Any]] = {
        "react_flow": lambda node: node["position"].update(x=node["position"]["x"] + 20),
        "n8n": lambda node: node.update(position=[node["position"][0] + 20, node["position"][1]]),
        "node_red": lambda node: node.update(x=node["x"] + 20) if "x" in node else None,
    }
    for node in new["flows" if shape == "node_red" else "nodes"]:
        move[shape](node)
    comparison = compared(graph(old), graph(new))
    assert comparison.parts == []
    assert comparison.moved == len(graph(old).nodes)
    assert comparison.sentence == "nothing but layout"


def renamed_in_reactflow(document: Any) -> None:
    document["nodes"][1]["data"]["label"] = "Other"


def renamed_in_n8n(document: Any) -> None:
    document["nodes"][1]["name"] = "Other"
    connections = document["connections"]
    connections["Other"] = connections.pop("Is a company?")
    connections["Form sent"]["main"][0][0]["node"] = "Other"


def renamed_in_step_functions(document: Any) -> None:
    states = document["States"]
    states["Other"] = states.pop("Check Stock Levels")
    states["Format parameters"]["Next"] = "Other"


def renamed_in_node_red(document: Any) -> None:
    document["flows"][3]["name"] = "Other"


@pytest.mark.parametrize(
    ("shape", "rename"),
    [
        ("react_flow", renamed_in_reactflow),
        ("n8n", renamed_in_n8n),
        ("step_functions", renamed_in_step_functions),
        ("node_red", renamed_in_node_red),
    ],
)
def test_a_renamed_node_is_one_change(shape: str, rename: Callable[[Any], None]) -> None:
    old = loaded(SHAPES[shape])
    new = copy.deepcopy(old)
    rename(new)
    assert compared(graph(old), graph(new)).parts == ["1 node changed"]


def test_a_removed_node_leaves_connections_that_lead_nowhere() -> None:
    old = loaded(SHAPES["react_flow"])
    new = copy.deepcopy(old)
    new["nodes"] = [node for node in new["nodes"] if node["id"] != "validate"]
    comparison = compared(graph(old), graph(new))
    assert comparison.sentence == "1 node removed, 3 connections lead nowhere"
    assert [(each.source_label, each.target_label) for each in comparison.lost_edges] == [
        ("New orders", "Check required fields"),
        ("Check required fields", "Quarantine"),
        ("Check required fields", "Convert to EUR"),
    ]
    assert [line.state for line in drawn(comparison).lines].count("lost") == 3
    # They led nowhere before the next version, too.
    later = compared(graph(new), graph(new))
    assert later.parts == []
    assert len(later.lost_edges) == 3


def test_a_removed_node_of_n8n_leaves_the_same_connections() -> None:
    old = loaded(SHAPES["n8n"])
    new = copy.deepcopy(old)
    new["nodes"] = [node for node in new["nodes"] if node["name"] != "Enrich"]
    assert compared(graph(old), graph(new)).sentence == "1 node removed, 4 connections lead nowhere"
    assert compared(graph(new), graph(old)).sentence == "1 node added"


def test_an_end_that_no_version_has_is_drawn_as_missing() -> None:
    document = {"nodes": [{"id": "a"}], "edges": [{"source": "a", "target": "gone"}]}
    drawing = drawn(graph(document))
    assert [(box.state, box.label) for box in drawing.boxes] == [("", "a"), ("missing", "gone")]
    assert_apart(drawing)


def test_equal_connections_are_counted() -> None:
    edge = {"source": "a", "target": "a"}
    one = graph({"nodes": [{"id": "a"}], "edges": [edge]})
    two = graph({"nodes": [{"id": "a"}], "edges": [edge, edge]})
    assert compared(one, two).sentence == "1 connection added"
    assert compared(two, one).sentence == "1 connection removed"


def test_repeated_and_missing_ids_are_nodes_of_their_own() -> None:
    document = {"nodes": [{"id": "a"}, {"id": "a"}, {}, 7, {"id": [1]}], "edges": []}
    assert list(graph(document).nodes) == ["a", "a (2)", "#3", "#4", "#5"]


def wide(nodes: int, edges: int, spot: Callable[[int], Any]) -> Any:
    return {
        "nodes": [{"id": str(number), "position": spot(number)} for number in range(nodes)],
        "edges": [
            {"source": str(number % nodes), "target": str(number * 7 % nodes), "label": "abc"}
            for number in range(edges)
        ],
    }


@pytest.mark.parametrize(
    "spot",
    [
        lambda _: {"x": 0, "y": 0},
        lambda number: {"x": number / 1000, "y": 0},
        lambda number: {"x": 0, "y": number},
        lambda number: {"x": number * 1e300, "y": float("inf")},
        lambda number: {"x": 2 ** (number % 23), "y": -(2 ** (number % 19))},
        lambda _: None,
    ],
    ids=["one place", "a dense line", "a dense column", "no numbers", "powers", "no places"],
)
def test_the_largest_drawing_takes_a_bounded_number_of_steps(spot: Callable[[int], Any]) -> None:
    document = wide(MAX_NODES, MAX_EDGES, spot)
    found = graph(document)
    drawings: list[Drawing] = []
    assert calls_of(lambda: drawings.append(drawn(found))) < MOST_CALLS
    drawing = drawings[0]
    assert_apart(drawing)
    assert drawing.note == "1,400 connections are not drawn."


def test_a_document_that_is_too_large_says_so_in_few_steps() -> None:
    document = wide(MAX_NODES + 1, 1, lambda _: None)
    assert graph_of(document) is None
    assert note_on(document) == "The workflow has more than the 300 nodes that are drawn."
    document = wide(3, 100_000, lambda _: None)
    assert note_on(document) == "The workflow has more than the 2,000 connections that are drawn."
    assert calls_of(lambda: graph_of(document)) < 200_000


@pytest.mark.parametrize(
    "document",
    [
        {"nodes": [], "connections": {"a": {"ai_" + "K" * 100_000: [[0] * MAX_EDGES]}}},
        {"nodes": [], "connections": {"a": {"K" * 100_000: [[0]] * MAX_EDGES}}},
        {
            "States": {
                "N" * 100_000: {"Branches": [{"States": {f"{n}": {} for n in range(MAX_NODES - 1)}}]},
            }
        },
    ],
    ids=["connections of one output", "many outputs", "states inside of one"],
)
def test_a_long_name_is_not_copied_for_each_that_tells_it(document: Any) -> None:
    tracemalloc.start()
    try:
        found = graph_of(document)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found is not None
    assert most < 5_000_000


def test_long_kinds_of_connections_differ() -> None:
    def kinds(*names: str) -> Any:
        targets = [[{"node": "a"}]]
        return {"nodes": [{"name": "a"}], "connections": {"a": dict.fromkeys(names, targets)}}

    long = "K" * 1000
    drawing = compared(graph(kinds(f"{long}1")), graph(kinds(f"{long}2")))
    assert drawing != compared(graph(kinds(f"{long}1")), graph(kinds(f"{long}1")))
    assert len({edge.port for edge in graph(kinds(f"{long}1", f"{long}2")).edges}) == 2


def test_two_versions_without_a_node_in_common_are_not_drawn() -> None:
    old, new = wide(MAX_NODES, 1, lambda _: None), wide(MAX_NODES, 1, lambda _: None)
    for number, node in enumerate(new["nodes"]):
        node["id"] = f"new {number}"
    drawing = drawn(compared(graph(old), graph(new)))
    assert drawing.boxes == ()
    assert drawing.note == "The two versions have 600 nodes together: too many for one drawing."


def svg(text: str) -> ElementTree.Element:
    """The one drawing in a text, which has to be well formed."""
    found = re.search(r"<svg class=\"graph.*?</svg>", text, re.DOTALL)
    assert found is not None
    return ElementTree.fromstring(found[0])  # noqa: S314 - written by our own template


def hostile_document() -> Any:
    return {
        "nodes": [
            {"id": HOSTILE, "type": HOSTILE, "data": {"label": HOSTILE}},
            {"id": "b", "data": {"label": "\u200b\u202e"}},
            {"id": "c", "data": {"label": "\x01\x0b漢字" * 100}},
        ],
        "edges": [
            {"source": HOSTILE, "target": "b", "label": HOSTILE},
            {"source": "b", "target": HOSTILE * 9},
        ],
    }


def test_hostile_text_is_inert_in_a_drawing() -> None:
    found = graph(hostile_document())
    for text in (
        rendered("{{ graphs.picture(graph|drawn) }}", graph=found),
        rendered("{{ graphs.comparison(comparison|drawn) }}", comparison=compared(None, found)),
    ):
        drawing = svg(text)
        tags = {element.tag for element in drawing.iter()}
        assert tags <= {"svg", "title", "defs", "marker", "path", "text", "g", "rect", "circle", "a"}
        assert not [name for element in drawing.iter() for name in element.attrib if name.startswith("on")]
        assert "style" not in {name for element in drawing.iter() for name in element.attrib}
        assert any(revealed(HOSTILE) in (element.text or "") for element in drawing.iter("title"))
        assert "(no name)" in {element.text for element in drawing.iter("text")}


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_labels_of_connections_cover_neither_each_other_nor_boxes(path: Path) -> None:
    drawing = drawn(graph(loaded(path)))
    texts = [
        (line.x, line.y - LETTER_HEIGHT, line.x + len(line.label) * LETTER_WIDTH, line.y)
        for line in drawing.lines
        if line.label
    ]
    boxes = [(box.x, box.y, box.x + drawing.box_width, box.y + drawing.box_height) for box in drawing.boxes]
    for number, one in enumerate(texts):
        for other in texts[number + 1 :] + boxes:
            is_beside = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert is_beside, (one, other)


def test_a_drawing_has_a_title_and_each_box_the_whole_label() -> None:
    document = {
        "nodes": [{"id": "a", "data": {"label": "A label that is too long for its box"}}],
        "edges": [],
    }
    drawing = svg(rendered("{{ graphs.picture(graph|drawn) }}", graph=graph(document)))
    assert drawing.attrib["role"] == "img"
    titles = [element.text for element in drawing.iter("title")]
    assert titles == ["Workflow of 1 node, 0 connections", "A label that is too long for its box"]
    assert [element.text for element in drawing.iter("text")] == ["A label that is too lon…"]


def test_boxes_that_changed_lead_to_their_changes_and_have_a_sign() -> None:
    old = loaded(SHAPES["react_flow"])
    new = copy.deepcopy(old)
    new["nodes"][0]["data"]["label"] = "Every hour"
    new["nodes"].append({"id": "new", "position": {"x": 500, "y": 0}})
    drawing = svg(rendered("{{ graphs.comparison(c|drawn) }}", c=compared(graph(old), graph(new))))
    assert drawing.attrib["role"] == "group"
    links = {link.attrib["href"]: [text.text for text in link.iter("text")] for link in drawing.iter("a")}
    assert links == {"#node-1": ["Every hour", "trigger", "≠"], "#node-10": ["new", "+"]}


@pytest.mark.parametrize("count", [100, MAX_NODES])
def test_a_page_of_a_large_drawing_has_a_bounded_weight(count: int) -> None:
    document = wide(count, 2 * count, lambda number: {"x": number % 20 * 300, "y": number // 20 * 100})
    text = rendered("{{ graphs.picture(graph|drawn) }}", graph=graph(document))
    assert len(text) < 750 * count
    assert text.count("<") - text.count("</") < 12 * count + 20


def test_notes_of_n8n_are_no_nodes_and_disabled_nodes_say_so() -> None:
    document = loaded(SHAPES["n8n"])
    document["nodes"].append({"id": "s", "name": "Sticky Note", "type": "n8n-nodes-base.stickyNote"})
    document["nodes"][0]["disabled"] = True
    found = graph(document)
    assert "s" not in found.nodes
    assert found.rest["notes"] == [{"name": "Sticky Note", "type": "n8n-nodes-base.stickyNote"}]
    assert found.nodes["a1"].kind == "formTrigger, disabled"


def test_a_state_that_becomes_the_last_has_another_connection_alone() -> None:
    old = loaded(SHAPES["step_functions"])
    new = copy.deepcopy(old)
    del new["States"]["Format parameters"]["Next"]
    new["States"]["Format parameters"]["End"] = True
    assert compared(graph(old), graph(new)).sentence == "1 connection removed"
