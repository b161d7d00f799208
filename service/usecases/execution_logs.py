"""The execution logs: record and read events of workflows, jobs, job packages and nodes that run."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from service.audit import events
from service.audit.events import MAX_ID, MAX_TEXT_BYTES
from service.domain.callers import Caller
from service.domain.ids import SubscriptionId, canonical
from service.domain.pagination import Page, Paging
from service.masking.truncation import bounded_text
from service.usecases.context import Context
from service.usecases.event_batches import Arrival
from service.usecases.log_reading import (
    AskedFigures,
    CountedFigures,
    LogFigures,
    figures_of_log,
    figures_within,
    page_of_log,
)
from service.usecases.posted_events import MAX_SOURCE
from service.usecases.recording import EventKind, Stored
from sql.database import Transaction
from sql.log_statistics import Deadline
from sql.queries import execution_day_figures, execution_logs
from sql.queries.counted_days import CountedTimes
from sql.queries.execution_logs import (
    EXECUTION_LOG,
    FIGURES,
    ExecutionBucket,
    ExecutionDetails,
    ExecutionFilter,
    PackedExecutions,
)
from sql.queries.execution_logs import ExecutionRow as ExecutionEvent

__all__ = ["ExecutionBucket", "ExecutionEvent", "ExecutionFilter"]

# In characters, as wide as the column is.
MAX_CODE = 100


@dataclass(kw_only=True)
class ReportedExecution(ExecutionDetails):
    """An execution event as a platform reports it, with its own time under either name."""

    occurred_at: datetime | None = None
    created_at: datetime | None = None


def row_of(arrival: Arrival, event: ReportedExecution) -> ExecutionEvent:
    """Make the row of an event, with its texts and documents masked and cut; runs in any process."""
    shown = vars(event) if arrival.is_plain else vars(event) | _masked(event)
    by = shown["triggered_by"]
    added = {
        "execution_id": canonical(shown["execution_id"]),
        "triggered_by": None if by is None else canonical(by),
        "log_id": arrival.ids.mint(),
        "created_at": arrival.at,
        "occurred_at": event.occurred_at or event.created_at,
        "subscription_id": arrival.subscription_id,
        "recorded_by": arrival.caller.user_id,
        "request_id": arrival.caller.origin.request_id,
    }
    return ExecutionEvent(**shown | added)


def _masked(event: ReportedExecution) -> dict[str, Any]:
    return {
        "execution_id": events.name(event.execution_id, MAX_ID),
        "node_id": events.name(event.node_id, MAX_ID),
        "log_message": bounded_text(event.log_message, MAX_TEXT_BYTES),
        "error_code": events.name(event.error_code, MAX_CODE),
        "log_details": events.state(event.log_details),
        "error_details": events.state(event.error_details),
        "triggered_by": events.name(event.triggered_by, MAX_ID),
        "source": events.name(event.source, MAX_SOURCE),
    }


def store(tx: Transaction, _: SubscriptionId, rows: PackedExecutions) -> Stored:
    """Add rows of one subscription, each to the table of its type."""
    execution_logs.add(tx, rows)
    return Stored(rows.count, rows.first_id)


EXECUTIONS: Final = EventKind(
    log="execution_log",
    hypertables=("execution_logs", "node_execution_logs"),
    row_of=row_of,
    pack=execution_logs.packed,
    store=store,
    tells_plain=True,
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
    asked: AskedFigures,
) -> LogFigures[ExecutionBucket]:
    """Compute figures of executions in each bucket of time; raises Invalid like `figures_of_log`.

    Where more rows are in the time than the setting says, they come from the figures of whole days.
    """
    counted = by_days(context.settings.exact_rows)
    return figures_of_log(context, caller, subscription_id, FIGURES, filters, asked, counted=counted)


def statistics_within(
    tx: Transaction,
    subscription_id: SubscriptionId,
    filters: ExecutionFilter,
    asked: AskedFigures,
    at: datetime,
    deadline: Deadline,
    *,
    counted: CountedFigures[ExecutionFilter, ExecutionBucket],
) -> LogFigures[ExecutionBucket]:
    """Compute the figures of `execution_statistics` in a transaction that records the reading itself."""
    return figures_within(
        tx, subscription_id, FIGURES, filters, asked, at, deadline=deadline, counted=counted
    )


def by_days(exact_rows: int) -> CountedFigures[ExecutionFilter, ExecutionBucket]:
    """Make what computes figures of more rows by counted days, for all figures of one transaction."""
    return partial(execution_day_figures.figures, most_rows=exact_rows, times=CountedTimes())
