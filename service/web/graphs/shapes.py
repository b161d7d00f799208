"""Shapes of workflow documents that are read as graphs."""

from typing import Any

from service.web.graphs import n8n, node_red, react_flow, step_functions
from service.web.graphs.graph import Graph, TooLargeToDraw

_SHAPES = (n8n.read, react_flow.read, step_functions.read, node_red.read)


def graph_of(definition: Any) -> Graph | None:
    """Read the graph in a document; None if there is none, or one that is too large to draw."""
    try:
        return _read(definition)
    except TooLargeToDraw:
        return None


def note_on(definition: Any) -> str | None:
    """Tell why a document that has a graph is not drawn; None for every other document."""
    try:
        _read(definition)
    except TooLargeToDraw as error:
        return str(error)
    return None


def _read(definition: Any) -> Graph | None:
    for read in _SHAPES:
        graph = read(definition)
        if graph is not None:
            return graph
    return None
