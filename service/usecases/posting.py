"""Posting: the events of a platform are stored in one transaction, all of them or none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from service.audit import events
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.callers import Caller
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from service.usecases.context import Context
from service.usecases.event_batches import Accepted, Arrival, Dated, EventBatch
from service.usecases.quotas import LogRowsQuota
from service.usecases.retries import run_once
from sql.database import Transaction

ReportT = TypeVar("ReportT", bound=Dated)
RowT = TypeVar("RowT")

_ACCEPTED = TypeAdapter(Accepted)


@dataclass(frozen=True, slots=True)
class Posting(Generic[ReportT, RowT]):
    """A kind of posted events: the log that takes them, and how a report becomes a row there.

    `row_of` is pure and runs in any process. `store` adds rows within the caller's transaction, and returns
    their ids.
    """

    log: str
    row_of: Callable[[Arrival, ReportT], RowT]
    store: Callable[[Transaction, SubscriptionId, Sequence[RowT]], Sequence[UUID]]

    def record(
        self,
        context: Context,
        caller: Caller,
        subscription_id: SubscriptionId,
        batch: EventBatch[ReportT],
        *,
        is_import: bool,
        once: Attempt | None,
    ) -> Accepted:
        """Store events, all of them or none, and record that they were posted.

        Raises QuotaExceeded, and Invalid for a time more than 7 days back or 5 minutes ahead; `is_import`
        permits any past.
        """
        quota = LogRowsQuota(subscription_id)

        def work(tx: Transaction) -> Accepted:
            at = context.clock()
            arrival = Arrival(caller=caller, subscription_id=subscription_id, at=at, is_import=is_import)
            batch.check(arrival.fault_of)
            rows = batch.map(partial(self.row_of, arrival)).events
            quota.take(tx, len(rows), at)
            found = self.store(tx, subscription_id, rows)
            subject = Subject(self.log, subscription_id, None)
            accepted = {"accepted": len(rows)}
            events.record(tx, caller, subscription_id, subject, Action.RECORD, at, new=accepted)
            return Accepted.of(found, is_single=batch.is_single)

        return run_once(context, subscription_id, once, _ACCEPTED, work, first=quota.send)
