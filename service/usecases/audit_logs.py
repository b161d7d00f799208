"""The audit log: record a platform's own events, read pages and statistics."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from service.domain.callers import Caller
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.domain.resource_kinds import KIND_OF_COLLECTION
from service.usecases import posted_events
from service.usecases.context import Context
from service.usecases.event_batches import Accepted, Arrival, EventBatch
from service.usecases.log_reading import figures_of_log, page_of_log
from service.usecases.posted_events import ReportedEvent
from service.usecases.quotas import LogRowsQuota
from service.usecases.retries import run_once
from sql.database import Transaction
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
    is_import: bool,
    once: Attempt | None,
) -> Accepted:
    """Add events of a platform, all of them or none, each `event_id` of a source once.

    Raises Invalid for the time of an event, and QuotaExceeded.
    """
    quota = LogRowsQuota(subscription_id)

    def work(tx: Transaction) -> Accepted:
        arrival = Arrival(
            caller=caller, subscription_id=subscription_id, at=context.clock(), is_import=is_import
        )
        batch.check(arrival.fault_of)
        rows = batch.map(lambda event: posted_events.row_of(arrival, event)).events
        stored = posted_events.store(tx, subscription_id, rows)
        quota.take(tx, len(rows) - stored.duplicates, arrival.at)
        return Accepted.of(stored.ids, is_single=batch.is_single, duplicates=stored.duplicates)

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
    """Make a filter of a type or an action that also finds it as Annals writes it.

    Types are in lower case and in the singular, actions in upper case. Those of posted events are any text,
    so they are also looked for as they were given.
    """
    found: dict[str, tuple[str, ...]] = {}
    if isinstance(filters.resource_type, str):
        lower = filters.resource_type.lower()
        found["resource_type"] = (filters.resource_type, lower, KIND_OF_COLLECTION.get(lower, lower))
    if isinstance(filters.action, str):
        found["action"] = (filters.action, filters.action.upper())
    spellings: dict[str, Any] = {name: tuple(dict.fromkeys(words)) for name, words in found.items()}
    return replace(filters, **{name: words for name, words in spellings.items() if len(words) > 1})
