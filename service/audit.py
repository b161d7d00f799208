"""Making the row that records an event; whoever causes the event writes it in the same transaction."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import orjson

from service.callers import Origin
from service.ids import mint
from service.structural_patches import structural_patch
from sql.database import Transaction
from sql.queries import audit_logs
from sql.queries.audit_logs import AuditRow, Values
from sql.queries.check_outs import CheckOutRow
from sql.queries.resources import ResourceRow


class Action(StrEnum):
    """What was done."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CHECK_OUT = "CHECK_OUT"
    CANCEL_CHECK_OUT = "CANCEL_CHECK_OUT"
    CHECK_IN = "CHECK_IN"
    ROLLBACK = "ROLLBACK"
    FORCE_CANCEL = "FORCE_CANCEL"
    TAG = "TAG"
    UNTAG = "UNTAG"
    PUBLISH = "PUBLISH"
    UNPUBLISH = "UNPUBLISH"
    COMMENT = "COMMENT"
    CLONE = "CLONE"
    FETCH = "FETCH"
    REBUILD = "REBUILD"
    REPAIR = "REPAIR"


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about, and where in the tree that is."""

    resource_type: str
    resource_id: UUID | None
    name: str | None
    workspace_id: UUID | None = None
    folder_id: UUID | None = None

    @classmethod
    def of(cls, row: ResourceRow) -> "Subject":
        """A resource."""
        return cls(row.resource_type, row.resource_id, row.name, row.workspace_id, row.folder_id)


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
    """Write an event in the transaction of what it records."""
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
    before = None if old is None else plain(old)
    after = None if new is None else plain(new)
    origin = author.origin
    return AuditRow(
        audit_id=mint(),
        created_at=at,
        subscription_id=subscription_id,
        user_id=author.user_id,
        username=author.username,
        action=action,
        resource_type=subject.resource_type,
        resource_id=None if subject.resource_id is None else str(subject.resource_id),
        resource_name=subject.name,
        old_values=before,
        new_values=after,
        changes=changes(before, after),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        api_endpoint=origin.endpoint,
        http_method=origin.method,
        request_id=origin.request_id,
        workspace_id=subject.workspace_id,
        folder_id=subject.folder_id,
        status="success",
        error_message=None,
    )


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
    found: Values = orjson.loads(orjson.dumps(values, option=orjson.OPT_UTC_Z))
    return found
