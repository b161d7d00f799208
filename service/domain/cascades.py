"""What falls with a resource: how far below it, and how much of each collection goes with each."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from service.domain.resource_kinds import Kind


@dataclass(frozen=True, slots=True)
class Candidate:
    """A resource that may fall, and what it lies in."""

    kind: Kind
    resource_id: UUID
    parent_id: UUID | None


@dataclass(frozen=True, slots=True)
class Cascaded:
    """One that falls, its level below the root, and by collection how many it stands for."""

    resource_id: UUID
    level: int
    counts: Mapping[str, int]


def cascade(root: Candidate, others: Iterable[Candidate]) -> list[Cascaded]:
    """The root and those of the others that lie below it, a parent before what lies in it."""
    inside: dict[UUID | None, list[Candidate]] = {}
    for each in others:
        if each.resource_id != root.resource_id:
            inside.setdefault(each.parent_id, []).append(each)
    ordered = [(root, 0)]
    for outer, level in ordered:
        # The list grows while it is gone through.
        ordered += [(each, level + 1) for each in inside.get(outer.resource_id, ())]
    counts = {each.resource_id: dict(_ITSELF[each.kind]) for each, _ in ordered}
    for each, level in reversed(ordered):
        if level:
            around = counts[each.parent_id]  # type: ignore[index]
            for collection, number in counts[each.resource_id].items():
                around[collection] += number
    return [Cascaded(each.resource_id, level, counts[each.resource_id]) for each, level in ordered]


def count(kinds: Iterable[str]) -> dict[str, int]:
    """How many there are of each collection."""
    found = Counter(kinds)
    return {kind.collection: found[kind] for kind in Kind}


# How many one alone stands for, by its kind.
_ITSELF = {kind: count([kind]) for kind in Kind}
