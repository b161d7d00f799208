"""Filters of the audit log, and the events that a platform records."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints

from service.domain.actions import EventOrigin
from service.http.schemas.body import Body
from service.http.schemas.fields import Line, QueryText, ShortLine
from service.http.schemas.filters import ActionName, Address, Person, TimeQuery, UserName
from service.http.schemas.log_fields import Bucket, Expanded, JsonObject, Operation, TypeName

AuditStatus = Literal["success", "failed", "unauthorized"]
Action = Annotated[str, StringConstraints(max_length=50, pattern=r"^[A-Z][A-Z0-9_]*$")]


class AuditQuery(TimeQuery):
    """Filters of a page of the audit log."""

    audit_id: UUID | None = None
    resource_type: QueryText | None = None
    resource_id: QueryText | None = None
    user_id: Person | None = None
    username: UserName | None = None
    action: ActionName | None = None
    status: AuditStatus | None = None
    workspace_id: UUID | None = None
    folder_id: UUID | None = None
    ip_address: Address | None = None
    request_id: QueryText | None = None
    origin: EventOrigin | None = None


class ExpandableAuditQuery(AuditQuery):
    """Filters of a page of a subscription's audit log, and what goes with each event."""

    expand: Expanded | None = None


class AuditStatisticsQuery(AuditQuery):
    """Filters, buckets and groups of the audit log's statistics."""

    bucket: Bucket = "1h"
    group_by: Literal["action", "resource_type", "status", "user_id", "workspace_id", "origin"] | None = None


class NewAuditEvent(Body):
    action: Action
    resource_type: TypeName
    resource_id: ShortLine | None = None
    resource_name: Line | None = None
    old_values: JsonObject | None = None
    new_values: JsonObject | None = None
    changes: list[Operation] | None = None
    workspace_id: UUID | None = None
    folder_id: UUID | None = None
    status: AuditStatus = "success"
    error_message: str | None = None
    on_behalf_of: ShortLine | None = None
