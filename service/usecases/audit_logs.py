"""The audit log: record a platform's own events, read pages and statistics."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import TypeAdapter

from service.audit import events
from service.audit.events import ReportedEvent
from service.domain.callers import Caller
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.domain.resource_kinds import KIND_OF_COLLECTION
from service.usecases.context import Context
from service.usecases.event_batches import Accepted, EventBatch
from service.usecases.log_reading import figures_of_log, page_of_log
from service.usecases.quotas import LogRowsQuota
from service.usecases.retries import run_once
from sql.database import Transaction
from sql.queries import audit_logs
from sql.queries.audit_logs import AUDIT_LOG, COUNTS, AuditBucket, AuditFilter
from sql.queries.audit_logs import AuditRead as AuditEvent

__all__ = ["AuditBucket", "AuditEvent", "AuditFilter", "ReportedEvent"]

_ACCEPTED = TypeAdapter(Accepted)


def record_events(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    batch: EventBatch[ReportedEvent],
    *,
    once: Attempt | None,
) -> Accepted:
    """Add events of a platform, all of them or none; raises QuotaExceeded."""
    quota = LogRowsQuota(subscription_id)

    def work(tx: Transaction) -> Accepted:
        at = context.clock()
        rows = batch.map(lambda event: events.reported(caller, subscription_id, event, at)).events
        quota.take(tx, len(rows), at)
        audit_logs.insert_rows(tx, rows)
        return Accepted.of([row.audit_id for row in rows], is_single=batch.is_single)

    return run_once(context, subscription_id, once, _ACCEPTED, work, first=quota.send)


def audit_page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    filters: AuditFilter,
    paging: Paging,
    *,
    expand: str | None = None,
) -> Page[AuditEvent]:
    """Read the events that match, newest first. No subscription means the platform's own events.

    `expand` is recorded with the filters.
    """
    filters = _of_any_spelling(filters)
    return page_of_log(context, caller, subscription_id, AUDIT_LOG, filters, paging, expand=expand)


def audit_statistics(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    filters: AuditFilter,
    *,
    bucket: str,
    group_by: str | None,
) -> Sequence[AuditBucket]:
    """Count events in each bucket of time; raises Invalid for too many buckets."""
    filters = _of_any_spelling(filters)
    return figures_of_log(context, caller, subscription_id, COUNTS, filters, bucket=bucket, group_by=group_by)


def _of_any_spelling(filters: AuditFilter) -> AuditFilter:
    """Make a filter of a type that also finds the type as Annals writes it: in lower case, in the singular.

    The types of posted events are any text, so the type is also looked for as it was given.
    """
    if not isinstance(filters.resource_type, str):
        return filters
    lower = filters.resource_type.lower()
    spellings = tuple(dict.fromkeys((filters.resource_type, lower, KIND_OF_COLLECTION.get(lower, lower))))
    return replace(filters, resource_type=spellings) if len(spellings) > 1 else filters
