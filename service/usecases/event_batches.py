"""Event batches: one event of a platform, or many that are stored together or not at all."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from service.documents.strict_json import MAX_FAULTS, Step, pointer_of
from service.domain.callers import Caller
from service.domain.errors import Fault, Invalid
from service.domain.ids import BatchIds, SubscriptionId
from service.runtime.breath import Breath
from sql.log_windows import AHEAD

MAX_EVENTS = 1_000
# The limit of the time that a platform reports: it may send events late, after an outage.
OLDEST = timedelta(days=7)

Event = TypeVar("Event")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class EventBatch(Generic[Event]):
    """Events in the order of the body; `is_single` if the body is one event instead of an array.

    Its pickle has one for each event, so that whoever reads it can rest between two of them.
    """

    events: Sequence[Event]
    is_single: bool

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, ([pickle.dumps(event) for event in self.events], self.is_single)

    def place(self, index: int) -> list[Step]:
        """Return the path of an event within the body."""
        return [] if self.is_single else [index]

    def map(self, made_of: Callable[[Event], Other]) -> "EventBatch[Other]":
        """Make a batch of other objects, one for each event; rests for other threads, so never on a loop."""
        breath = Breath()
        found = []
        for event in self.events:
            found.append(made_of(event))
            breath.take()
        return EventBatch(found, self.is_single)

    def check(self, fault_of: Callable[[Event], tuple[str, str] | None]) -> None:
        """Raise Invalid if events have faults; a fault is the name of a field and a description."""
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


def _unpickled(events: Sequence[bytes], is_single: bool) -> EventBatch[Any]:
    breath = Breath()
    found = []
    for event in events:
        found.append(pickle.loads(event))  # noqa: S301 - part of a pickle of this program
        breath.take()
    return EventBatch(found, is_single)


class Dated(Protocol):
    """An event with its own time, which senders name in one of two ways."""

    @property
    def occurred_at(self) -> datetime | None:
        """The time of the event."""

    @property
    def created_at(self) -> datetime | None:
        """The time of the event, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """The parts that all rows of a request share; `at` is the time that orders and expires them.

    `is_import` permits events of any past. Each row gets its id by `ids.mint()`. Fit for pickle, since rows
    are also made by document workers.
    """

    caller: Caller
    subscription_id: SubscriptionId
    at: datetime
    is_import: bool = False
    ids: BatchIds = field(default_factory=BatchIds, compare=False)

    def fault_of(self, event: Dated) -> tuple[str, str] | None:
        """Return the name of an event's field and its fault, if the event's time is refused."""
        for name, moment in (("occurred_at", event.occurred_at), ("created_at", event.created_at)):
            fault = self.time_fault(moment)
            if fault is not None:
                return name, fault
        return None

    def time_fault(self, occurred_at: datetime | None) -> str | None:
        """Describe why an event of this time is refused: it lies too far back or ahead."""
        if occurred_at is None or (
            occurred_at <= self.at + AHEAD and (self.is_import or occurred_at >= self.at - OLDEST)
        ):
            return None
        if occurred_at > self.at:
            return "lies more than 5 minutes ahead"
        return "lies more than 7 days back: an admin can send it with import=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The number of stored events, and the id of an event that was sent alone.

    `duplicates` is the number of events that were stored before; None for a kind without ids of the sender.
    """

    accepted: int
    ids: list[UUID] | None
    duplicates: int | None = None

    @classmethod
    def of(cls, ids: Sequence[UUID], *, is_single: bool, duplicates: int | None = None) -> "Accepted":
        """Make the answer about events that have these ids."""
        return cls(
            accepted=len(ids) - (duplicates or 0),
            ids=list(ids) if is_single else None,
            duplicates=duplicates,
        )

    def shown(self) -> dict[str, int | list[UUID]]:
        """Make the body of the answer; `ids` only for a single event."""
        found: dict[str, int | list[UUID]] = {"accepted": self.accepted}
        found |= {} if self.duplicates is None else {"duplicates": self.duplicates}
        return found if self.ids is None else found | {"ids": self.ids}

    @property
    def status(self) -> int:
        """Return the status of the answer: 200 if nothing new was stored."""
        return 201 if self.accepted else 200
