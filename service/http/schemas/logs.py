"""Filters of the logs' pages and statistics, and the events that a platform records."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    Strict,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)

from service.audit.data_changes import TableName
from service.domain.actions import EventOrigin
from service.http.schemas.body import Body
from service.http.schemas.fields import Line, QueryText, ShortLine
from service.http.schemas.filters import ActionName, Address, Person, TimeQuery, UserName
from service.usecases.maintenance.table import SCHEDULED_JOBS

AuditStatus = Literal["success", "failed", "unauthorized"]
ExecutionType = Literal["workflow", "job", "jobpackage", "node"]
ExecutionStatus = Literal["running", "success", "failed", "cancelled"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")


def _instant(value: object) -> object:
    # Pydantic would take numbers and other notations, and cut fractions finer than a microsecond.
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError("is an instant with its zone (RFC 3339), to the microsecond at the most")
    return value


def _in_utc(value: datetime) -> datetime:
    # RFC 3339 has offsets up to 23:59, but PostgreSQL reads none of 16 hours or more.
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies in no year from 1 to 9999") from None


def _operation(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("op") not in _OPERATIONS or not isinstance(value.get("path"), str):
        raise ValueError("is an operation of RFC 6902, with `op` and `path`")
    return value


def _two_decimals(value: float) -> float:
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -2:
        raise ValueError("has two decimals at the most: round it")
    return value


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_instant),
    AfterValidator(_in_utc),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
JsonObject = dict[str, Any]
Operation = Annotated[JsonObject, AfterValidator(_operation)]
Action = Annotated[str, StringConstraints(max_length=50, pattern=r"^[A-Z][A-Z0-9_]*$")]
TypeName = Annotated[ShortLine, Field(max_length=100)]
# The ranges of the columns: INTEGER, BIGINT, NUMERIC(10,2) and NUMERIC(5,2).
Milliseconds = Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]
RowCount = Annotated[StrictInt, Field(ge=0, le=2**63 - 1)]
Megabytes = Annotated[float, Strict(), Field(ge=0, le=99_999_999.99), AfterValidator(_two_decimals)]
Percent = Annotated[float, Strict(), Field(ge=0, le=999.99), AfterValidator(_two_decimals)]
# A width of buckets: minutes, hours, days or weeks.
Bucket = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}[mhdw]$")]


def _job(text: str) -> str:
    if text.casefold() not in SCHEDULED_JOBS:
        raise ValueError(f"is one of {', '.join(SCHEDULED_JOBS)}")
    return text.casefold()


JobName = Annotated[str, AfterValidator(_job), WithJsonSchema({"enum": list(SCHEDULED_JOBS)})]
ResponseStatus = Annotated[str, StringConstraints(pattern=r"^[1-5](xx|[0-9]{2})$")]


# `data`: the documents on both sides of a change.
Expanded = Literal["data"]


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


class ExecutionQuery(TimeQuery):
    """Filters of a page of the execution logs."""

    log_id: UUID | None = None
    execution_id: UUID | None = None
    execution_type: ExecutionType | None = None
    workflow_id: UUID | None = None
    job_id: UUID | None = None
    jobpackage_id: UUID | None = None
    node_id: QueryText | None = None
    log_level: LogLevel | None = None
    status: ExecutionStatus | None = None
    error_code: QueryText | None = None
    triggered_by: Person | None = None
    recorded_by: Person | None = None
    request_id: QueryText | None = None


class ExecutionStatisticsQuery(ExecutionQuery):
    """Filters, buckets and groups of the execution logs' statistics."""

    bucket: Bucket = "1h"
    group_by: (
        Literal["execution_type", "status", "log_level", "workflow_id", "job_id", "node_id", "error_code"]
        | None
    ) = None


class ChangeQuery(TimeQuery):
    """Filters of a page of the history of data changes."""

    change_id: UUID | None = None
    table_name: TableName | None = None
    record_id: UUID | None = None
    changed_by: Person | None = None
    request_id: QueryText | None = None
    expand: Expanded | None = None


class RunQuery(TimeQuery):
    """Filters of a page of job runs."""

    job: JobName | None = None
    state: Literal["waiting", "running", "succeeded", "failed", "interrupted", "missed"] | None = None


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


class NewExecutionEvent(Body):
    execution_id: UUID
    execution_type: ExecutionType
    workflow_id: UUID | None = None
    job_id: UUID | None = None
    jobpackage_id: UUID | None = None
    node_id: ShortLine | None = None
    log_level: LogLevel
    log_message: str
    log_details: JsonObject | None = Field(default_factory=dict)
    duration_ms: Milliseconds | None = None
    rows_processed: RowCount | None = None
    memory_used_mb: Megabytes | None = None
    cpu_percent: Percent | None = None
    status: ExecutionStatus | None = None
    error_code: Annotated[ShortLine, Field(max_length=100)] | None = None
    error_details: JsonObject | None = None
    triggered_by: UUID | None = None
    created_at: Instant | None = None


class ServerLogQuery(TimeQuery):
    """Filters of a page of the server log."""

    log_id: UUID | None = None
    status: ResponseStatus | None = Field(
        default=None, description="a status, such as 404, or a class of them, such as 4xx"
    )
    endpoint: QueryText | None = None
    user_id: Person | None = None
    ip_address: Address | None = None
    request_id: QueryText | None = None


class PlatformServerLogQuery(ServerLogQuery):
    """Filters of a page of the server log of all subscriptions."""

    subscription_id: UUID | None = None
