"""Differences of two versions, drawn where the documents are read: a page gets what it shows, and no more."""

from dataclasses import dataclass, replace

import orjson

from service.usecases.diffs import WrittenDifference
from service.web import differences, text_lines
from service.web.fitted import Fitted, Listed, fitted
from service.web.graphs import GraphComparison
from service.web.graphs.comparison import ComparedNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A difference as a page shows it; `operations` is the number of those that make a patch of it."""

    shown: Fitted
    operations: int


def drawn(before: bytes, after: bytes, made: WrittenDifference) -> Drawn:
    """Draw the difference of two snapshots."""
    found = differences.of(orjson.loads(before), orjson.loads(after))
    return Drawn(
        shown=_light(fitted(found, text_lines.read(orjson.loads(made.text)))),
        operations=len(orjson.loads(made.json_patch)),
    )


def _light(found: Fitted) -> Fitted:
    """Leave out the values, which are compared already: a large document crosses to the page otherwise."""
    difference = found.difference
    comparison = difference.comparison
    return replace(
        found,
        difference=replace(
            difference,
            comparison=None if comparison is None else _light_comparison(comparison),
            nodes=tuple(replace(each, compared=_light_node(each.compared)) for each in difference.nodes),
        ),
        connections=_light_edges(found.connections),
        lost=_light_edges(found.lost),
    )


def _light_comparison(found: GraphComparison) -> GraphComparison:
    return replace(
        found,
        nodes=tuple(map(_light_node, found.nodes)),
        edges=tuple(replace(each, edge=replace(each.edge, value=None)) for each in found.edges),
    )


def _light_edges(found: Listed) -> Listed:
    return replace(
        found, items=tuple(replace(each, edge=replace(each.edge, value=None)) for each in found.items)
    )


def _light_node(each: ComparedNode) -> ComparedNode:
    before, after = (node and replace(node, value=None) for node in (each.before, each.after))
    return replace(each, node=replace(each.node, value=None), before=before, after=after)
