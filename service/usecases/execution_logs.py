"""The execution logs: record and read events of workflows, jobs, job packages and nodes that run."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Final

from pydantic import TypeAdapter

from service.audit import events
from service.audit.events import MAX_ID, MAX_TEXT_BYTES, Subject
from service.domain.actions import Action
from service.domain.callers import Caller
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, canonical
from service.domain.pagination import Page, Paging
from service.masking.truncation import bounded_text
from service.usecases.context import Context
from service.usecases.event_batches import Accepted, Arrival, EventBatch
from service.usecases.log_reading import figures_of_log, page_of_log
from service.usecases.quotas import LogRowsQuota
from service.usecases.retries import run_once
from sql.database import Transaction
from sql.queries import execution_logs
from sql.queries.execution_logs import (
    EXECUTION_LOG,
    FIGURES,
    ExecutionBucket,
    ExecutionDetails,
    ExecutionFilter,
)
from sql.queries.execution_logs import ExecutionRow as ExecutionEvent

__all__ = ["ExecutionBucket", "ExecutionEvent", "ExecutionFilter"]

# In characters, as wide as the column is.
MAX_CODE = 100
MAX_SOURCE = 200

_ACCEPTED = TypeAdapter(Accepted)
_DETAILS: Final = tuple(field.name for field in fields(ExecutionDetails))


@dataclass(frozen=True, kw_only=True)
class ReportedExecution(ExecutionDetails):
    """An execution event as a platform reports it, with its own time under either name."""

    occurred_at: datetime | None = None
    created_at: datetime | None = None


def record_executions(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    batch: EventBatch[ReportedExecution],
    *,
    is_import: bool,
    once: Attempt | None,
) -> Accepted:
    """Add events of a platform, all of them or none.

    Raises QuotaExceeded, and Invalid for a time more than 7 days back or 5 minutes ahead; `is_import` permits
    any past.
    """
    quota = LogRowsQuota(subscription_id)

    def work(tx: Transaction) -> Accepted:
        at = context.clock()
        arrival = Arrival(caller=caller, subscription_id=subscription_id, at=at, is_import=is_import)
        batch.check(arrival.fault_of)
        rows = batch.map(partial(row_of, arrival)).events
        quota.take(tx, len(rows), at)
        store(tx, subscription_id, rows)
        subject = Subject("execution_log", subscription_id, None)
        events.record(tx, caller, subscription_id, subject, Action.RECORD, at, new={"accepted": len(rows)})
        return Accepted.of([row.log_id for row in rows], is_single=batch.is_single)

    return run_once(context, subscription_id, once, _ACCEPTED, work, first=quota.send)


def row_of(arrival: Arrival, event: ReportedExecution) -> ExecutionEvent:
    """Make the row of an event, with its texts and documents masked and cut; runs in any process."""
    given = {name: getattr(event, name) for name in _DETAILS}
    kept = {
        "execution_id": events.name(canonical(event.execution_id), MAX_ID),
        "node_id": events.name(event.node_id, MAX_ID),
        "log_message": bounded_text(event.log_message, MAX_TEXT_BYTES),
        "error_code": events.name(event.error_code, MAX_CODE),
        "log_details": events.state(event.log_details),
        "error_details": events.state(event.error_details),
        "triggered_by": None
        if event.triggered_by is None
        else events.name(canonical(event.triggered_by), MAX_ID),
        "source": events.name(event.source, MAX_SOURCE),
    }
    return ExecutionEvent(
        **given | kept,
        log_id=arrival.ids.mint(),
        created_at=arrival.at,
        occurred_at=event.occurred_at or event.created_at,
        subscription_id=arrival.subscription_id,
        recorded_by=arrival.caller.user_id,
        request_id=arrival.caller.origin.request_id,
    )


def store(tx: Transaction, subscription_id: SubscriptionId, rows: Sequence[ExecutionEvent]) -> int:
    """Add rows of one subscription, each to the table of its type; returns their number."""
    execution_logs.insert_rows(tx, rows)
    return len(rows)


def execution_page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    filters: ExecutionFilter,
    paging: Paging,
) -> Page[ExecutionEvent]:
    """Read the events that match, newest first."""
    return page_of_log(context, caller, subscription_id, EXECUTION_LOG, filters, paging)


def execution_statistics(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    filters: ExecutionFilter,
    *,
    bucket: str,
    group_by: str | None,
) -> Sequence[ExecutionBucket]:
    """Compute figures of executions in each bucket of time; raises Invalid for too many buckets."""
    return figures_of_log(
        context, caller, subscription_id, FIGURES, filters, bucket=bucket, group_by=group_by
    )
