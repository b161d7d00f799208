"""Differences between two stored documents of a resource, as people understand them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from service.web.graphs import GraphComparison, compared, graph_of, note_on
from service.web.graphs.comparison import ComparedNode
from service.web.graphs.graph import Graph, members_of, written
from service.web.value_changes import ValueChange, ValueChanges, between
from service.web.words import counted

Snapshot = Mapping[str, Any]

# A page of the history has 25 summaries, which have to take a moment together.
MAX_SUMMARY_BYTES = 256 * 1024
# Nodes of which the changes are listed on a page.
MAX_LISTED_NODES = 60
_NODE_CHANGES = 12
_LISTED_VALUES = 120
_FIELDS = {"name": "name", "description": "description", "parent_id": "place"}


@dataclass(frozen=True, slots=True)
class Summary:
    """Few words on what a version changed."""

    text: str


CREATED = Summary("created")
TOO_LARGE = Summary("too large to compare here")


@dataclass(frozen=True, slots=True)
class ChangedNode:
    """A node of the comparison that differs, with its values."""

    compared: ComparedNode
    values: ValueChanges


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Everything that differs between two documents.

    `comparison` is None unless one of the documents has a graph; `note` tells why a graph is not drawn.
    `settings` are the values outside of nodes and connections, `fields` those beside the definition.
    """

    summary: Summary
    comparison: GraphComparison | None
    note: str | None
    nodes: tuple[ChangedNode, ...]
    more_nodes: int
    settings: ValueChanges
    fields: ValueChanges
    is_equal: bool

    @property
    def is_layout_only(self) -> bool:
        """True if the documents differ in nothing that counts."""
        return not self.is_equal and not self.fields.count and not _counts(self.comparison, self.settings)


def summary(old: Snapshot | None, new: Snapshot) -> Summary:
    """Summarize what a new document changed; `old` is None for the first version."""
    if old is None:
        return CREATED
    definitions = [written(snapshot.get("definition")) for snapshot in (old, new)]
    if max(map(len, definitions)) > MAX_SUMMARY_BYTES:
        return TOO_LARGE
    if definitions[0] == definitions[1]:
        return _summary(_changed_fields(old, new), None, ValueChanges(), is_equal=True)
    comparison, settings, _ = _of_definitions(old.get("definition"), new.get("definition"), most=0)
    return _summary(_changed_fields(old, new), comparison, settings, is_equal=False)


def summary_of(old: bytes | None, new: bytes) -> Summary:
    """Summarize what a new document changed, from the bytes of both: large ones are not even parsed."""
    if old is None:
        return CREATED
    if max(len(old), len(new)) > MAX_SUMMARY_BYTES:
        return TOO_LARGE
    return summary(orjson.loads(old), orjson.loads(new))


def of(old: Snapshot | None, new: Snapshot) -> Difference:
    """Compare two documents; None is one that is not there yet, and so adds nothing to what is removed."""
    before = old or {}
    definitions = (before.get("definition", {}), new.get("definition", {}))
    is_equal = written(definitions[0]) == written(definitions[1])
    comparison, settings, note = _of_definitions(*definitions)
    fields = _changed_fields(before, new) if old is not None else ValueChanges()
    nodes = comparison.changed_nodes if comparison else []
    return Difference(
        summary=_summary(fields, comparison, settings, is_equal=is_equal) if old is not None else CREATED,
        comparison=comparison,
        note=note,
        nodes=tuple(_listed(nodes[:MAX_LISTED_NODES])),
        more_nodes=max(len(nodes) - MAX_LISTED_NODES, 0),
        settings=settings,
        fields=fields,
        is_equal=is_equal and not fields.count,
    )


def _of_definitions(
    old: Any, new: Any, most: int | None = None
) -> tuple[GraphComparison | None, ValueChanges, str | None]:
    """Compare two definitions: their graphs, their other values, and why there is no graph."""
    before, after = graph_of(old), graph_of(new)
    bound = {} if most is None else {"most": most}
    note = note_on(new) or note_on(old) if before is None or after is None else None
    if note is not None or (before is None and after is None):
        return None, between(old, new, **bound), note
    return compared(before, after), between(_rest(before, old), _rest(after, new), **bound), None


def _rest(graph: Graph | None, definition: Any) -> Any:
    return members_of(definition) if graph is None else graph.rest


def _changed_fields(old: Snapshot, new: Snapshot) -> ValueChanges:
    return ValueChanges(
        tuple(
            ValueChange(name, change.before, change.after)
            for field, name in _FIELDS.items()
            for change in between(old.get(field), new.get(field)).items
        )
    )


def _listed(nodes: Iterable[ComparedNode]) -> Iterator[ChangedNode]:
    """Yield nodes with their values, of which a page has a bounded number."""
    left = _LISTED_VALUES
    for node in nodes:
        values = _values(node, min(_NODE_CHANGES, left))
        left -= len(values.items)
        yield ChangedNode(node, values)


def _values(node: ComparedNode, most: int) -> ValueChanges:
    """Values of a node that differ; those of an added node are told by its drawing and the text."""
    if node.before is None or node.after is None:
        return ValueChanges()
    found = between(node.before.value, node.after.value, max(most, 0))
    if not node.is_renamed:
        return found
    name = ValueChange("name", node.before.label, node.after.label)
    return ValueChanges((name, *found.items), found.more)


def _counts(comparison: GraphComparison | None, settings: ValueChanges) -> bool:
    return bool(settings.count or (comparison is not None and comparison.parts))


def _summary(
    fields: ValueChanges, comparison: GraphComparison | None, settings: ValueChanges, *, is_equal: bool
) -> Summary:
    names = {"name": "renamed", "place": "moved to another place", "description": "description changed"}
    parts = [names[change.path] for change in fields.items]
    if comparison is not None:
        parts += comparison.parts
    if settings.count:
        parts.append(f"{counted(settings.count, 'setting' if comparison else 'value')} changed")
    return Summary(", ".join(parts) or ("no change" if is_equal else "nothing but layout"))


__all__ = ["Difference", "Summary", "of", "summary", "summary_of"]
