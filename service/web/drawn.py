"""Differences of two versions, drawn where the documents are read: a page gets what it shows, and no more."""

from dataclasses import dataclass, replace

import orjson

from service.usecases.diffs import WrittenDifference
from service.web import differences, text_lines
from service.web.differences import Difference
from service.web.graphs import GraphComparison
from service.web.graphs.comparison import ComparedNode
from service.web.text_lines import TextRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A difference as a page shows it; `operations` is the number of those that make a patch of it."""

    difference: Difference
    text: TextRows
    operations: int


def drawn(before: bytes, after: bytes, made: WrittenDifference) -> Drawn:
    """Draw the difference of two snapshots."""
    found = differences.of(orjson.loads(before), orjson.loads(after))
    return Drawn(
        difference=replace(
            found,
            comparison=None if found.comparison is None else _light(found.comparison),
            nodes=tuple(replace(each, compared=_light_node(each.compared)) for each in found.nodes),
        ),
        text=text_lines.read(orjson.loads(made.text)),
        operations=len(orjson.loads(made.json_patch)),
    )


def _light(found: GraphComparison) -> GraphComparison:
    """Leave out the values, which are compared already: a large document crosses to the page otherwise."""
    return replace(
        found,
        nodes=tuple(map(_light_node, found.nodes)),
        edges=tuple(replace(each, edge=replace(each.edge, value=None)) for each in found.edges),
    )


def _light_node(each: ComparedNode) -> ComparedNode:
    before, after = (node and replace(node, value=None) for node in (each.before, each.after))
    return replace(each, node=replace(each.node, value=None), before=before, after=after)
