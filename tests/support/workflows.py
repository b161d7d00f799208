"""Workflow documents of several editors, and JSON values of any kind, for tests of drawings."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import strategies as st

from service.web import render
from tests.support.project import ROOT

FOLDER = ROOT / "tests" / "web" / "documents"
DEMO = ROOT / "service" / "cli" / "demo_workflows"
# Breaks out of markup, turns the direction of text, joins nothing to nothing, and needs four bytes.
HOSTILE = "\"><script>alert(1)</script>\u202e\u200b\U0001f9a5'&amp;"
SHAPES = {
    "react_flow": DEMO / "order_etl.json",
    "n8n": FOLDER / "n8n_leads.json",
    "step_functions": FOLDER / "step_functions_inventory_2.json",
    "node_red": FOLDER / "node_red_greenhouse.json",
}
WORKFLOWS = sorted({*FOLDER.glob("*.json"), *DEMO.glob("*.json")}, key=lambda path: path.name)

_texts = st.text(max_size=4) | st.sampled_from(["a", "b", "c", HOSTILE])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.sampled_from([0, 1, 1.0, True, "1", 1e308, -1e308])
    | _texts
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_names = (
    *("nodes", "edges", "connections", "States", "StartAt", "flows", "id", "position", "x", "y", "source"),
    *("target", "data", "label", "name", "type", "wires", "z", "main", "node", "Next", "Choices", "Catch"),
    *("Branches", "Iterator", "ItemProcessor", "parentId", "links", "Default", "ErrorEquals"),
)
# Values in which the names of all shapes stand in wrong places.
shapeless = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(_names) | _texts, inner, max_size=5)
        | st.fixed_dictionaries({"nodes": st.lists(inner, max_size=4), "edges": st.lists(inner, max_size=4)})
        | st.fixed_dictionaries({"nodes": st.lists(inner, max_size=4), "connections": inner})
        | st.fixed_dictionaries({"States": st.dictionaries(_texts, inner, max_size=4), "StartAt": _texts})
        | st.fixed_dictionaries({"id": inner, "type": _texts, "wires": st.lists(inner, max_size=3)})
        | st.fixed_dictionaries({"Branches": st.lists(inner, max_size=2), "Next": _texts})
    ),
    max_leaves=20,
)
# Graphs of ReactFlow with few ids, so that many ends meet, and some are missing.
_ids = st.sampled_from("abcdef")
_coordinates = st.sampled_from([-300, -20, 0, 0.5, 10, 150, 151, 400, 1e6])
_nodes = st.fixed_dictionaries(
    {"id": _ids, "data": st.fixed_dictionaries({"label": _texts, "n": st.integers(0, 2)})},
    optional={"position": st.fixed_dictionaries({"x": _coordinates, "y": _coordinates})},
)
_edges = st.fixed_dictionaries({"source": _ids, "target": _ids}, optional={"label": st.sampled_from("xy")})
react_flows = st.fixed_dictionaries(
    {
        "nodes": st.lists(_nodes, max_size=6, unique_by=lambda node: str(node["id"])),
        "edges": st.lists(_edges, max_size=8),
    }
)


def loaded(path: Path) -> Any:
    """The document in a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def rendered(template: str, **values: Any) -> str:
    """Text of a template that imports `graph.html` as graphs and `difference.html` as differences."""
    head = '{% import "graph.html" as graphs %}{% import "difference.html" as differences %}'
    return render._templates.from_string(head + template).render(values)


def calls_of(function: Callable[[], object]) -> int:
    """Count the calls that a function makes: unlike time, they depend on its input alone."""
    number = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal number
        number += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return number
