"""The resources deleted with a root: their levels below it, and the counts of each collection."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from service.domain.resource_kinds import Kind


@dataclass(frozen=True, slots=True)
class Candidate:
    """A resource that may be deleted with a root, and its parent."""

    kind: Kind
    resource_id: UUID
    parent_id: UUID | None


@dataclass(frozen=True, slots=True)
class Cascaded:
    """A resource deleted with a root: its level below the root, and the number of resources by collection.

    The counts include the resource itself and all below it.
    """

    resource_id: UUID
    level: int
    counts: Mapping[str, int]


def cascade(root: Candidate, others: Iterable[Candidate]) -> list[Cascaded]:
    """The root and those of the others that are below it, a parent before its children."""
    inside: dict[UUID | None, list[Candidate]] = {}
    for each in others:
        if each.resource_id != root.resource_id:
            inside.setdefault(each.parent_id, []).append(each)
    ordered = [(root, 0)]
    for outer, level in ordered:
        # The list grows during the loop.
        ordered += [(each, level + 1) for each in inside.get(outer.resource_id, ())]
    counts = {each.resource_id: dict(_ITSELF[each.kind]) for each, _ in ordered}
    for each, level in reversed(ordered):
        if level:
            around = counts[each.parent_id]  # type: ignore[index]
            for collection, number in counts[each.resource_id].items():
                around[collection] += number
    return [Cascaded(each.resource_id, level, counts[each.resource_id]) for each, level in ordered]


def count(kinds: Iterable[str]) -> dict[str, int]:
    """Count the kinds by collection."""
    found = Counter(kinds)
    return {kind.collection: found[kind] for kind in Kind}


# The counts of a resource without children, by its kind.
_ITSELF = {kind: count([kind]) for kind in Kind}
