"""Filters of the execution logs, and the events that a platform records."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from service.http.schemas.body import Body
from service.http.schemas.fields import QueryText, ShortLine
from service.http.schemas.filters import Person, TimeQuery
from service.http.schemas.log_fields import (
    Bucket,
    Instant,
    JsonObject,
    Megabytes,
    Milliseconds,
    Percent,
    RowCount,
)

ExecutionType = Literal["workflow", "job", "jobpackage", "node"]
ExecutionStatus = Literal["running", "success", "failed", "cancelled"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


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
