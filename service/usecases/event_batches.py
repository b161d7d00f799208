"""Events that a platform sends: one, or many that are stored together or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from service.documents.strict_json import MAX_FAULTS, Step, pointer_of
from service.domain.errors import Fault, Invalid

MAX_EVENTS = 1_000

Event = TypeVar("Event")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class EventBatch(Generic[Event]):
    """Events in the order in which they were sent, and whether it was a single one, not an array."""

    events: Sequence[Event]
    is_single: bool

    def place(self, index: int) -> list[Step]:
        """Where in the body an event stands."""
        return [] if self.is_single else [index]

    def map(self, made_of: Callable[[Event], Other]) -> "EventBatch[Other]":
        """The same batch of other things."""
        return EventBatch([made_of(event) for event in self.events], self.is_single)

    def check(self, fault_of: Callable[[Event], tuple[str, str] | None]) -> None:
        """Raise Invalid for events that have a fault: the name of a field, and what is wrong with it."""
        faults: list[Fault] = []
        for index, event in enumerate(self.events):
            found = fault_of(event)
            if found is not None:
                field, detail = found
                faults.append(Fault(detail, pointer=pointer_of([*self.place(index), field])))
            if len(faults) == MAX_FAULTS:
                break
        if faults:
            first = faults[0]
            raise Invalid(f"The body is not valid: {first.pointer}: {first.detail}.", faults=faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """How many events were stored, and the id of a single one."""

    accepted: int
    ids: list[UUID] | None

    @classmethod
    def of(cls, ids: Sequence[UUID], *, is_single: bool) -> "Accepted":
        """The answer about events that got these ids."""
        return cls(accepted=len(ids), ids=list(ids) if is_single else None)

    def shown(self) -> dict[str, int | list[UUID]]:
        """The answer as clients get it."""
        found: dict[str, int | list[UUID]] = {"accepted": self.accepted}
        return found if self.ids is None else found | {"ids": self.ids}
