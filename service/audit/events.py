"""Rows of audit events. The transaction that causes an event also writes its row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, Protocol, overload
from uuid import UUID

import orjson

from service.documents.structural_diff import Operation, structural_patch
from service.domain.actions import Action
from service.domain.audit_policy import Depth, Policy
from service.domain.callers import Caller, Origin
from service.domain.ids import canonical, mint
from service.masking.texts import hints_of, masked_text
from service.masking.truncation import (
    bounded,
    bounded_all,
    bounded_patch,
    bounded_patches,
    bounded_text,
    clean,
    clean_text,
)
from service.masking.values import masked
from sql.database import Transaction
from sql.queries import audit_logs, web_sessions
from sql.queries.audit_logs import AuditRow, Values
from sql.queries.check_outs import CheckOutRow
from sql.queries.resources import ResourceRow

# In characters, as wide as the columns are.
MAX_ID = 255
MAX_NAME = 500
# Limits of texts that people write, and of states.
MAX_TEXT_BYTES = 16 * 1024
MAX_STATE_BYTES = 64 * 1024
# People reload pages; one event tells of all readings of the same within this time.
READING_FOR = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Subject:
    """The object of an event, and its place in the tree."""

    resource_type: str
    resource_id: UUID | str | None
    name: str | None
    workspace_id: UUID | None = None
    folder_id: UUID | None = None

    @classmethod
    def of(cls, row: ResourceRow) -> "Subject":
        """Make the subject of a resource."""
        return cls(row.resource_type, row.resource_id, row.name, row.workspace_id, row.folder_id)


class Author(Protocol):
    """The cause of an event: a caller, or a member as the author of a change."""

    @property
    def user_id(self) -> UUID | None:
        """The user, None for the operator."""

    @property
    def username(self) -> str:
        """The name at the time of the event."""

    @property
    def origin(self) -> Origin:
        """The request that caused the event."""

    @property
    def policy(self) -> Policy:
        """The subscription's audit policy."""


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
    """Write an event in the transaction of its action, unless the audit policy excludes the event."""
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
    """Make the row of a successful event.

    `old` and `new` are the metadata before and after, None if the subject did not exist.
    """
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
    reader: Caller,
    subscription_id: UUID | None,
    log: str,
    at: datetime,
    *,
    filters: Mapping[str, Any],
    rows: int,
    after: Sequence[Any] | None = None,
) -> None:
    """Record that a log was read, with filters and number of rows; if that fails, so does the reading.

    `after` is the position before the page, None for the first one. A web session that reads the same page
    again is not recorded again within READING_FOR. The order of a follower is kept at every depth: it is no
    state, and tells followers which rows only their readings have caused.
    """
    if reader.session_id is not None:
        page = [log, subscription_id, filters, after]
        digest = sha256(orjson.dumps(page, default=str, option=orjson.OPT_SORT_KEYS)).digest()
        since = at - READING_FOR
        if not web_sessions.note_reading(tx, subscription_id, reader.session_id, digest, at, since=since):
            return
    if reader.policy.depth(log, Action.READ) is Depth.NONE:
        return
    about = {"filters": dict(filters), "rows": rows}
    row = event(reader, subscription_id, Subject(log, subscription_id, None), Action.READ, at, new=about)
    if row.new_values is None and "order" in filters:
        row = replace(row, new_values={"filters": {"order": filters["order"]}})
    audit_logs.insert_rows(tx, [row])


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
    """Make the row of an attempt that failed or was refused; `author` is None for an unknown caller."""
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
    action: Action,
    at: datetime,
    *,
    user_id: UUID | None,
    username: str | None,
    old_values: Values | None = None,
    new_values: Values | None = None,
    changes: list[Values] | None = None,
    status: str = "success",
    error_message: str | None = None,
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
        changes=operations(changes, MAX_STATE_BYTES, (old_values, new_values)),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        api_endpoint=origin.endpoint,
        http_method=origin.method,
        request_id=origin.request_id,
        workspace_id=subject.workspace_id,
        folder_id=subject.folder_id,
        status=status,
        error_message=text(error_message, MAX_TEXT_BYTES),
    )


def is_plain(raw: bytes) -> bool:
    """Tell of a JSON object that a log stores each of its texts and states as it is.

    It is short, has no sign of a secret, and no escape, which could hide one. Most events are of this kind,
    and one search of all their text is quicker than one of each.
    """
    return len(raw) <= MAX_TEXT_BYTES and b"\\" not in raw and not hints_of(raw.decode()).signs


def text(value: str | None, max_bytes: int) -> str | None:
    """Mask a text for a log, and cut it to `max_bytes`."""
    return None if value is None else bounded_text(value, max_bytes)


@overload
def name(value: str, length: int) -> str: ...
@overload
def name(value: str | None, length: int) -> str | None: ...
def name(value: str | None, length: int) -> str | None:
    """Mask a name for a log, and cut it to `length` characters, the width of its column."""
    if value is not None and len(value) <= length:
        found = masked_text(clean_text(value))
        if len(found) <= length:
            return found
    return text(value, length)


@overload
def reported_id(value: str) -> str: ...
@overload
def reported_id(value: str | None) -> str | None: ...
def reported_id(value: str | None) -> str | None:
    """Mask the id of something, or of a person, as a platform names it; a UUID gets its canonical form."""
    return None if value is None else name(canonical(value), MAX_ID)


def names(values: Sequence[str], length: int) -> list[str]:
    """Mask and cut many names, with one search for secrets over all of them, which mostly finds nothing."""
    found = masked(clean(list(values)))
    return [
        kept if len(value) <= length >= len(kept) else bounded_text(value, length)
        for value, kept in zip(values, found, strict=True)
    ]


def state(value: Values | None) -> Values | None:
    """Mask a state for a log, and cut it to MAX_STATE_BYTES."""
    return None if value is None else bounded(value, MAX_STATE_BYTES)


def states(values: Sequence[Values]) -> list[Values]:
    """Mask and cut many states."""
    return bounded_all(list(values), MAX_STATE_BYTES)


def operations(value: list[Operation] | None, max_bytes: int, documents: Sequence[Any] = ()) -> Any:
    """Mask RFC 6902 operations for a log, and cut them to `max_bytes`.

    `documents` are those before and after the operations: a name beside a value may stand in them alone.
    """
    return None if value is None else bounded_patch(value, max_bytes, documents)


def patches(values: Sequence[list[Operation]], max_bytes: int) -> list[Any]:
    """Mask and cut many lists of operations."""
    return bounded_patches(list(values), max_bytes)


def check_out_state(row: CheckOutRow) -> Values:
    """Make the state of a check-out, with the names that its fields have in log rows."""
    return {
        "checked_out_by": row.checked_out_by,
        "checked_out_by_username": row.username,
        "version_id": row.version_id,
        "expires_at": row.expires_at,
        "reason": row.reason,
    }


def changes(old: Values | None, new: Values | None) -> list[dict[str, Any]] | None:
    """Compute the RFC 6902 operations from one state to another; None is a missing state, {} an empty one."""
    if old is None and new is None:
        return None
    if old is None:
        return [{"op": "add", "path": "", "value": new}]
    if new is None:
        return [{"op": "remove", "path": ""}]
    return structural_patch(old, new)


def plain(values: Values) -> Values:
    """Convert values to plain JSON values."""
    return plain_all([values])[0]


def plain_all(values: Sequence[Values]) -> list[Values]:
    """Convert many values to plain JSON values."""
    found: list[Values] = orjson.loads(orjson.dumps(values, option=orjson.OPT_UTC_Z))
    return found
