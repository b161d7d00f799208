"""Deletions in a platform's own systems, which it posts; Annals shows them and can restore none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from service.audit import events
from service.audit.events import MAX_NAME, MAX_TEXT_BYTES
from service.domain.ids import SubscriptionId
from service.usecases.event_batches import Arrival
from service.usecases.posted_events import MAX_SOURCE
from service.usecases.recording import EventKind, Stored
from sql.database import Transaction
from sql.queries import posted_deletions
from sql.queries.audit_logs import Values
from sql.queries.posted_deletions import PostedDeletion

# In characters, as wide as the column is.
MAX_TYPE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedDeletion:
    """A deletion in a platform's own system, as the platform reports it; ids and people are any text.

    The deletion's own time is `occurred_at` or, as others name it, `created_at`. `cascaded_counts` has the
    number of deleted resources by collection.
    """

    occurred_at: datetime | None
    created_at: datetime | None
    resource_type: str
    resource_id: str
    resource_name: str | None
    resource_data: Values | None
    deleted_by: str | None
    parent_resource_type: str | None
    parent_resource_id: str | None
    cascade_level: int
    cascaded_counts: Mapping[str, int]
    deletion_reason: str | None
    is_soft_delete: bool
    restore_expiry_days: int
    source: str | None


def row_of(arrival: Arrival, report: ReportedDeletion) -> PostedDeletion:
    """Make the row of a posted deletion, with its texts and data masked and cut; runs in any process."""
    occurred_at = report.occurred_at or report.created_at
    term = timedelta(days=report.restore_expiry_days)
    counts = report.cascaded_counts
    return PostedDeletion(
        deletion_id=arrival.ids.mint(),
        deleted_at=arrival.at,
        occurred_at=occurred_at,
        resource_type=events.name(report.resource_type, MAX_TYPE),
        reported_resource_id=events.reported_id(report.resource_id),
        resource_name=events.name(report.resource_name, MAX_NAME),
        resource_data=events.state(report.resource_data),
        parent_resource_type=events.name(report.parent_resource_type, MAX_TYPE),
        reported_parent_id=events.reported_id(report.parent_resource_id),
        cascade_level=report.cascade_level,
        cascaded_workspaces=counts["workspaces"],
        cascaded_folders=counts["folders"],
        cascaded_jobs=counts["jobs"],
        cascaded_workflows=counts["workflows"],
        cascaded_jobpackages=counts["jobpackages"],
        cascaded_connectors=counts["connectors"],
        reported_deleted_by=events.reported_id(report.deleted_by),
        deletion_reason=events.text(report.deletion_reason or arrival.caller.origin.reason, MAX_TEXT_BYTES),
        is_soft_delete=report.is_soft_delete,
        restore_expiry_at=(occurred_at or arrival.at) + term if report.is_soft_delete else None,
        source=events.name(report.source, MAX_SOURCE),
        recorded_by=arrival.caller.user_id,
        request_id=arrival.caller.origin.request_id,
    )


def store(tx: Transaction, subscription_id: SubscriptionId, rows: Sequence[PostedDeletion]) -> Stored:
    """Add posted deletions of one subscription."""
    posted_deletions.insert_rows(tx, subscription_id, rows)
    return Stored(len(rows), rows[0].deletion_id)


DELETIONS: Final = EventKind(log="deletion", hypertables=(), row_of=row_of, pack=list, store=store)
