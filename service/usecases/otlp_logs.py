"""Log records that exporters of OpenTelemetry send: they are stored as events of executions."""

from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from service.audit import events
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.idempotency import Attempt
from service.usecases.context import Context
from service.usecases.event_batches import Arrival, EventBatch
from service.usecases.execution_logs import ExecutionEvent, ReportedExecution, store
from service.usecases.quotas import LogRowsQuota
from service.usecases.retries import run_once
from sql.database import Transaction


@dataclass(frozen=True, slots=True)
class ReceivedLogs:
    """Rows of a request, the number of its records that are not taken with the reasons, and of late ones."""

    rows: EventBatch[ExecutionEvent]
    rejected: int
    reasons: tuple[str, ...]
    late: int


@dataclass(frozen=True, slots=True)
class RecordedLogs:
    """Numbers of stored and of rejected records, and a message for the sender, empty if all is well."""

    accepted: int
    rejected: int
    message: str


_RECORDED = TypeAdapter(RecordedLogs)


def timely(arrival: Arrival, event: ReportedExecution) -> tuple[ReportedExecution, bool]:
    """Return an event whose time may be stored, and tell if it is late.

    An exporter can't mend a time that lies too far off. So the event gets the time of its arrival, and its
    details keep the other.
    """
    own_time = event.occurred_at
    if own_time is None or arrival.time_fault(own_time) is None:
        return event, False
    reported = own_time.isoformat().replace("+00:00", "Z")
    details = {"reported_at": reported} | (event.log_details or {})
    return replace(event, occurred_at=None, log_details=details), True


def record_otlp_logs(
    context: Context, arrival: Arrival, received: ReceivedLogs, *, once: Attempt | None
) -> RecordedLogs:
    """Add the rows of a request, all of them or none; raises QuotaExceeded."""
    subscription_id = arrival.subscription_id
    quota = LogRowsQuota(subscription_id)

    def work(tx: Transaction) -> RecordedLogs:
        at = context.clock()
        rows = received.rows.events
        quota.take(tx, len(rows), at)
        store(tx, subscription_id, rows)
        subject = Subject("execution_log", subscription_id, None)
        numbers = {"accepted": len(rows), "rejected": received.rejected}
        events.record(tx, arrival.caller, subscription_id, subject, Action.RECORD, at, new=numbers)
        return RecordedLogs(len(rows), received.rejected, _message(received))

    return run_once(context, subscription_id, once, _RECORDED, work, first=quota.send)


def _message(received: ReceivedLogs) -> str:
    parts = list(received.reasons)
    if received.late:
        parts.append(
            f"{received.late} records lie more than 7 days back or 5 minutes ahead: they are stored at the "
            "time of their arrival, with their own time as reported_at"
        )
    return "; ".join(parts)
