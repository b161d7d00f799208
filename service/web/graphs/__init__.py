"""Graphs of workflows: read from the shapes of several editors, compared, laid out, drawn."""

from service.web.graphs.comparison import GraphComparison, compared
from service.web.graphs.drawing import Drawing, drawn
from service.web.graphs.graph import Graph
from service.web.graphs.shapes import graph_of, note_on

__all__ = ["Drawing", "Graph", "GraphComparison", "compared", "drawn", "graph_of", "note_on"]
