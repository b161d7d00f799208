"""Posted audit events: their rows, the ids by which each is stored once, and addresses of their actors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from service.audit import events
from service.audit.events import MAX_ID, MAX_NAME, MAX_TEXT_BYTES
from service.domain.actions import EventOrigin
from service.domain.ids import SubscriptionId, canonical
from service.usecases.context import Context
from service.usecases.event_batches import Arrival
from service.usecases.recording import Stored
from sql.database import Transaction
from sql.queries import audit_logs, posted_events
from sql.queries.audit_logs import AuditRow, Values
from sql.queries.posted_events import PostedEvent

# In characters, as wide as the columns are.
MAX_ACTION = 200
MAX_TYPE = 100
MAX_SOURCE = 200
MAX_REQUEST_ID = 128
MAX_ENDPOINT = 500
MAX_METHOD = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedEvent:
    """An event as a platform reports it; Annals adds the reporter, the arrival and the request.

    The event's own time is `occurred_at` or, as others name it, `created_at`. `changes` are the RFC 6902
    operations from one state to the other; if None, they are computed.
    """

    action: str
    resource_type: str
    resource_id: str | None = None
    resource_name: str | None = None
    old_values: Values | None = None
    new_values: Values | None = None
    changes: list[Values] | None = None
    workspace_id: UUID | None = None
    folder_id: UUID | None = None
    status: str = "success"
    error_message: str | None = None
    occurred_at: datetime | None = None
    created_at: datetime | None = None
    actor_id: str | None = None
    actor_name: str | None = None
    actor_email: str | None = None
    actor_kind: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    api_endpoint: str | None = None
    http_method: str | None = None
    request_id: str | None = None
    source: str | None = None
    event_id: str | None = None


def row_of(arrival: Arrival, report: ReportedEvent) -> PostedEvent:
    """Make the row of an event, with its texts and states masked and cut; no policy excludes it."""
    before = None if report.old_values is None else events.plain(report.old_values)
    after = None if report.new_values is None else events.plain(report.new_values)
    # Computed before masking, so that the log says that a secret changed, but not its value.
    operations = events.changes(before, after) if report.changes is None else report.changes
    request_id = arrival.caller.origin.request_id
    row = AuditRow(
        audit_id=arrival.ids.mint(),
        created_at=arrival.at,
        subscription_id=arrival.subscription_id,
        user_id=arrival.caller.user_id,
        username=events.name(arrival.caller.username, MAX_ID),
        # A platform's types and actions may be any text, so they are masked; Annals' own are known words.
        action=events.name(report.action, MAX_ACTION),
        resource_type=events.name(report.resource_type, MAX_TYPE),
        resource_id=events.name(report.resource_id, MAX_ID),
        resource_name=events.name(report.resource_name, MAX_NAME),
        old_values=events.state(before),
        new_values=events.state(after),
        changes=events.operations(operations, events.MAX_STATE_BYTES, (before, after)),
        ip_address=report.ip_address,
        user_agent=events.text(report.user_agent, MAX_TEXT_BYTES),
        api_endpoint=events.name(report.api_endpoint, MAX_ENDPOINT),
        http_method=report.http_method,
        request_id=events.name(report.request_id, MAX_REQUEST_ID) or request_id,
        workspace_id=report.workspace_id,
        folder_id=report.folder_id,
        status=report.status,
        error_message=events.text(report.error_message, MAX_TEXT_BYTES),
        origin=EventOrigin.POSTED,
        source=events.name(report.source, MAX_SOURCE),
        event_id=events.name(report.event_id, MAX_ID),
        received_request_id=request_id,
        occurred_at=report.occurred_at or report.created_at,
        actor_id=events.name(_actor_id(report), MAX_ID),
        actor_name=events.name(report.actor_name, MAX_ID),
        actor_kind=report.actor_kind,
    )
    # Two actors could have the same masked id.
    is_named = row.actor_id == _actor_id(report)
    return PostedEvent(
        row=row, email=report.actor_email if is_named else None, digest=_digest(arrival, report)
    )


def _actor_id(report: ReportedEvent) -> str | None:
    """Return the id of the actor: an address has to belong to one, so the name stands in for it."""
    if report.actor_id is None and report.actor_email is not None:
        return report.actor_name
    return None if report.actor_id is None else canonical(report.actor_id)


def _digest(arrival: Arrival, report: ReportedEvent) -> bytes | None:
    """Digest the source and its id of the event as they were sent: masking can make two ids the same."""
    if report.event_id is None:
        return None
    named = f"{arrival.subscription_id}\0{report.source or ''}\0{report.event_id}"
    return sha256(named.encode()).digest()


def store(tx: Transaction, subscription_id: SubscriptionId, posted: Sequence[PostedEvent]) -> Stored:
    """Add events, each `event_id` of a source once, in the caller's transaction; it stores the addresses."""
    fresh = posted_events.unseen(tx, subscription_id, posted)
    named = [(event.row.actor_id, event.email) for event in fresh]
    emails = {actor_id: email for actor_id, email in named if actor_id is not None and email is not None}
    audit_logs.insert_rows(tx, [event.row for event in fresh])
    first = posted[0]
    # A duplicate has the id of the event that is there.
    known = {} if first.digest is None else posted_events.audit_ids(tx, subscription_id, {first.digest})
    return Stored(len(fresh), known.get(first.digest or b"", first.row.audit_id), emails)


def shares_rows(posted: Sequence[PostedEvent]) -> bool:
    """Tell if any event has an id of its sender: whoever sends the same one waits for its row."""
    return any(event.digest is not None for event in posted)


def erase_address(context: Context, subscription_id: SubscriptionId, actor_id: str) -> bool:
    """Erase an actor's e-mail address for good; returns False if it was erased before."""
    with context.database.transaction(subscription_id) as tx:
        return posted_events.erase_address(tx, subscription_id, actor_id, context.clock())
