"""Making the row that records an event; whoever causes the event writes it in the same transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, overload
from uuid import UUID

import orjson

from service.documents.structural_diff import Operation, structural_patch
from service.domain.actions import Action
from service.domain.audit_policy import Depth, Policy
from service.domain.callers import Origin
from service.domain.ids import mint
from service.masking.truncation import (
    bounded,
    bounded_all,
    bounded_patch,
    bounded_patches,
    bounded_text,
    clean,
    clean_text,
)
from service.masking.values import masked, masked_text
from sql.database import Transaction
from sql.queries import audit_logs
from sql.queries.audit_logs import AuditRow, Values
from sql.queries.check_outs import CheckOutRow
from sql.queries.resources import ResourceRow

# Characters, as wide as the columns are.
MAX_TYPE = 100
MAX_ID = 255
MAX_NAME = 500
# For what people write, and for states.
MAX_TEXT_BYTES = 16 * 1024
MAX_STATE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about, and where in the tree that is."""

    resource_type: str
    resource_id: UUID | str | None
    name: str | None
    workspace_id: UUID | None = None
    folder_id: UUID | None = None

    @classmethod
    def of(cls, row: ResourceRow) -> "Subject":
        """A resource."""
        return cls(row.resource_type, row.resource_id, row.name, row.workspace_id, row.folder_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedEvent:
    """An event as a platform reports it; its reporter, time and request are Annals' own observation.

    `changes` are the RFC 6902 operations from one state to the other, computed where None.
    """

    action: str
    resource_type: str
    resource_id: str | None
    resource_name: str | None
    old_values: Values | None
    new_values: Values | None
    changes: list[Values] | None
    workspace_id: UUID | None
    folder_id: UUID | None
    status: str
    error_message: str | None
    on_behalf_of: str | None


class Author(Protocol):
    """Who causes an event: a caller, or a member as the author of a change."""

    @property
    def user_id(self) -> UUID | None:
        """The user, None for the operator."""

    @property
    def username(self) -> str:
        """The name at the time of the event."""

    @property
    def origin(self) -> Origin:
        """The request."""

    @property
    def policy(self) -> Policy:
        """What the subscription keeps of events."""


def record(
    tx: Transaction,
    author: Author,
    subscription_id: UUID | None,
    subject: Subject,
    action: Action,
    at: datetime,
    *,
    old: Values | None = None,
    new: Values | None = None,
) -> None:
    """Write an event in the transaction of what it records, unless the policy says that it is not kept."""
    if author.policy.depth(subject.resource_type, action) is Depth.NONE:
        return
    audit_logs.insert_rows(tx, [event(author, subscription_id, subject, action, at, old=old, new=new)])


def event(
    author: Author,
    subscription_id: UUID | None,
    subject: Subject,
    action: Action,
    at: datetime,
    *,
    old: Values | None = None,
    new: Values | None = None,
) -> AuditRow:
    """A successful event; `old` and `new` are the metadata before and after, None where there was nothing."""
    has_states = author.policy.depth(subject.resource_type, action) in (Depth.CHANGES, Depth.FULL)
    before = plain(old) if has_states and old is not None else None
    after = plain(new) if has_states and new is not None else None
    return _row(
        author.origin,
        subscription_id,
        subject,
        action,
        at,
        user_id=author.user_id,
        username=author.username,
        old_values=before,
        new_values=after,
        changes=changes(before, after),
    )


def record_reading(
    tx: Transaction,
    reader: Author,
    subscription_id: UUID | None,
    log: str,
    at: datetime,
    *,
    filters: Mapping[str, Any],
    rows: int,
) -> None:
    """Write that somebody read a log, by which filters and how many rows: no audit, no reading."""
    about = {"filters": dict(filters), "rows": rows}
    record(tx, reader, subscription_id, Subject(log, subscription_id, None), Action.READ, at, new=about)


def reported(author: Author, subscription_id: UUID, report: ReportedEvent, at: datetime) -> AuditRow:
    """The row of an event that a platform reports, kept whatever the policy is: its record was asked for."""
    before = None if report.old_values is None else plain(report.old_values)
    after = None if report.new_values is None else plain(report.new_values)
    # Annals' own types and actions are known words; a platform's are texts like all others.
    subject = Subject(
        name(report.resource_type, MAX_TYPE),
        report.resource_id,
        report.resource_name,
        report.workspace_id,
        report.folder_id,
    )
    # Computed before anything is masked: the log says that a secret changed, though not to which.
    operations = changes(before, after) if report.changes is None else report.changes
    return _row(
        author.origin,
        subscription_id,
        subject,
        masked_text(report.action),
        at,
        user_id=author.user_id,
        username=author.username,
        old_values=before,
        new_values=after,
        changes=operations,
        status=report.status,
        error_message=report.error_message,
        on_behalf_of=report.on_behalf_of,
    )


def refusal(
    origin: Origin,
    author: Author | None,
    subscription_id: UUID | None,
    subject: Subject,
    action: Action,
    at: datetime,
    *,
    status: Literal["failed", "unauthorized"],
    error: str,
) -> AuditRow:
    """An attempt that came to nothing; without an author it is not known whose it was."""
    return _row(
        origin,
        subscription_id,
        subject,
        action,
        at,
        user_id=None if author is None else author.user_id,
        username=None if author is None else author.username,
        status=status,
        error_message=error,
    )


def _row(
    origin: Origin,
    subscription_id: UUID | None,
    subject: Subject,
    action: str,
    at: datetime,
    *,
    user_id: UUID | None,
    username: str | None,
    old_values: Values | None = None,
    new_values: Values | None = None,
    changes: list[Values] | None = None,
    status: str = "success",
    error_message: str | None = None,
    on_behalf_of: str | None = None,
) -> AuditRow:
    return AuditRow(
        audit_id=mint(),
        created_at=at,
        subscription_id=subscription_id,
        user_id=user_id,
        username=name(username, MAX_ID),
        action=action,
        resource_type=subject.resource_type,
        resource_id=None if subject.resource_id is None else name(str(subject.resource_id), MAX_ID),
        resource_name=name(subject.name, MAX_NAME),
        old_values=state(old_values),
        new_values=state(new_values),
        changes=operations(changes, MAX_STATE_BYTES),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        api_endpoint=origin.endpoint,
        http_method=origin.method,
        request_id=origin.request_id,
        workspace_id=subject.workspace_id,
        folder_id=subject.folder_id,
        status=status,
        error_message=text(error_message, MAX_TEXT_BYTES),
        on_behalf_of=name(on_behalf_of, MAX_ID),
    )


def text(value: str | None, max_bytes: int) -> str | None:
    """A text as a log has it: masked, and cut where it is too long."""
    return None if value is None else bounded_text(value, max_bytes)


@overload
def name(value: str, length: int) -> str: ...
@overload
def name(value: str | None, length: int) -> str | None: ...
def name(value: str | None, length: int) -> str | None:
    """A name as a log has it: masked, and cut only where it has more characters than its column takes."""
    if value is not None and len(value) <= length:
        found = masked_text(clean_text(value))
        if len(found) <= length:
            return found
    return text(value, length)


def names(values: Sequence[str], length: int) -> list[str]:
    """Names of many as a log has each; mostly one look tells that none of them holds a secret."""
    found = masked(clean(list(values)))
    return [
        kept if len(value) <= length >= len(kept) else bounded_text(value, length)
        for value, kept in zip(values, found, strict=True)
    ]


def state(value: Values | None) -> Values | None:
    """A state as a log has it: masked, and cut where it is too large."""
    return None if value is None else bounded(value, MAX_STATE_BYTES)


def states(values: Sequence[Values]) -> list[Values]:
    """States of many as a log has each."""
    return bounded_all(list(values), MAX_STATE_BYTES)


def operations(value: list[Operation] | None, max_bytes: int) -> Any:
    """Operations as a log has them: masked, and cut where they are too large."""
    return None if value is None else bounded_patch(value, max_bytes)


def patches(values: Sequence[list[Operation]], max_bytes: int) -> list[Any]:
    """Operations of many as a log has each."""
    return bounded_patches(list(values), max_bytes)


def check_out_state(row: CheckOutRow) -> Values:
    """A check-out as log rows name it."""
    return {
        "checked_out_by": row.checked_out_by,
        "checked_out_by_username": row.username,
        "version_id": row.version_id,
        "expires_at": row.expires_at,
        "reason": row.reason,
    }


def changes(old: Values | None, new: Values | None) -> list[dict[str, Any]] | None:
    """The RFC 6902 operations from one state to another; a missing state is not an empty one."""
    if old is None and new is None:
        return None
    if old is None:
        return [{"op": "add", "path": "", "value": new}]
    if new is None:
        return [{"op": "remove", "path": ""}]
    return structural_patch(old, new)


def plain(values: Values) -> Values:
    """Values as JSON has them."""
    return plain_all([values])[0]


def plain_all(values: Sequence[Values]) -> list[Values]:
    """Many values as JSON has them."""
    found: list[Values] = orjson.loads(orjson.dumps(values, option=orjson.OPT_UTC_Z))
    return found
