"""Find the resources that are deleted with a root, and count them by collection."""

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
    """A resource deleted with a root, and its level below the root.

    `counts` holds the number of resources in each collection: the resource itself and all below it.
    """

    resource_id: UUID
    level: int
    counts: Mapping[str, int]


def cascade(root: Candidate, others: Iterable[Candidate]) -> list[Cascaded]:
    """Find the resources of `others` below the root; returns the root and these, parents before children."""
    inside: dict[UUID | None, list[Candidate]] = {}
    for each in others:
        if each.resource_id != root.resource_id:
            inside.setdefault(each.parent_id, []).append(each)
    ordered = [(root, 0)]
    for outer, level in ordered:
        # The loop also visits the resources that it adds to the list here.
        ordered += [(each, level + 1) for each in inside.get(outer.resource_id, ())]
    counts = {each.resource_id: dict(_ITSELF[each.kind]) for each, _ in ordered}
    for each, level in reversed(ordered):
        if level:
            around = counts[each.parent_id]  # type: ignore[index]
            for collection, number in counts[each.resource_id].items():
                around[collection] += number
    return [Cascaded(each.resource_id, level, counts[each.resource_id]) for each, level in ordered]


def count(kinds: Iterable[str]) -> dict[str, int]:
    """Count resources, given by their kinds; every collection has a number, even 0."""
    found = Counter(kinds)
    return {kind.collection: found[kind] for kind in Kind}


# The counts of a resource without children, by its kind.
_ITSELF = {kind: count([kind]) for kind in Kind}
