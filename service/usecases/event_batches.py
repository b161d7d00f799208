"""Events of platforms: their arrival, which all rows of a request share, and the times that they may have."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from service.domain.callers import Caller
from service.domain.ids import BatchIds, SubscriptionId
from sql.log_windows import AHEAD

MAX_EVENTS = 1_000
# The limit of the time that a platform reports: it may send events late, after an outage.
OLDEST = timedelta(days=7)


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

    `is_import` permits events of any past; `is_plain` is said of events in which there is nothing to mask or
    cut. Each row gets its id by `ids.mint()`. Fit for pickle, since rows are also made by document workers.
    """

    caller: Caller
    subscription_id: SubscriptionId
    at: datetime
    is_import: bool = False
    is_plain: bool = False
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
