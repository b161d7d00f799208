"""The execution logs: record and read events of workflows, jobs, job packages and nodes that run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from service.audit import events
from service.audit.events import MAX_ID, MAX_TEXT_BYTES, Subject
from service.domain.actions import Action
from service.domain.callers import Caller
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId, mint
from service.domain.pagination import Page, Paging
from service.masking.truncation import bounded_text
from service.usecases.context import Context
from service.usecases.event_batches import OLDEST, Accepted, EventBatch
from service.usecases.log_reading import figures_of_log, page_of_log
from service.usecases.quotas import LogRowsQuota
from service.usecases.retries import run_once
from sql.database import Transaction
from sql.log_windows import AHEAD
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

_ACCEPTED = TypeAdapter(Accepted)


@dataclass(frozen=True, kw_only=True)
class ReportedExecution(ExecutionDetails):
    """An execution event as a platform reports it; if `created_at` is None, it gets the time now."""

    created_at: datetime | None


def record_executions(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    batch: EventBatch[ReportedExecution],
    *,
    once: Attempt | None,
) -> Accepted:
    """Add events of a platform, all of them or none.

    Raises Invalid for a `created_at` more than 7 days back or 5 minutes ahead, and QuotaExceeded.
    """
    quota = LogRowsQuota(subscription_id)

    def work(tx: Transaction) -> Accepted:
        at = context.clock()
        batch.check(lambda event: _fault(event, at))
        rows = batch.map(lambda event: _row(event, caller, subscription_id, at)).events
        quota.take(tx, len(rows), at)
        execution_logs.insert_rows(tx, rows)
        subject = Subject("execution_log", subscription_id, None)
        events.record(tx, caller, subscription_id, subject, Action.RECORD, at, new={"accepted": len(rows)})
        return Accepted.of([row.log_id for row in rows], is_single=batch.is_single)

    return run_once(context, subscription_id, once, _ACCEPTED, work, first=quota.send)


def _fault(event: ReportedExecution, at: datetime) -> tuple[str, str] | None:
    if event.created_at is None or at - OLDEST <= event.created_at <= at + AHEAD:
        return None
    return "created_at", "lies more than 7 days back or 5 minutes ahead"


def _row(
    event: ReportedExecution, caller: Caller, subscription_id: SubscriptionId, at: datetime
) -> ExecutionEvent:
    """Make the row of an event, with its texts and documents masked and cut."""
    kept = {
        "created_at": event.created_at or at,
        "node_id": events.name(event.node_id, MAX_ID),
        "log_message": bounded_text(event.log_message, MAX_TEXT_BYTES),
        "error_code": events.name(event.error_code, MAX_CODE),
        "log_details": events.state(event.log_details),
        "error_details": events.state(event.error_details),
    }
    return ExecutionEvent(
        **vars(event) | kept,
        log_id=mint(),
        subscription_id=subscription_id,
        recorded_by=caller.user_id,
        request_id=caller.origin.request_id,
    )


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
