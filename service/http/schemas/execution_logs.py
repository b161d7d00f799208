"""Filters of the execution logs, and the events that a platform records."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from service.domain.actions import EventOrigin
from service.http.schemas.fields import QueryInteger, QueryText, ShortLine
from service.http.schemas.filters import Person, ReportedId, Several, TimeQuery
from service.http.schemas.log_fields import (
    CommitHash,
    DatedEvent,
    JsonObject,
    LogTime,
    Megabytes,
    Milliseconds,
    Percent,
    RowCount,
    Source,
    VersionNumber,
)
from service.http.schemas.statistics import StatisticsQuery
from service.usecases.execution_logs import ReportedExecution

ExecutionType = Literal["workflow", "job", "jobpackage", "node"]
ExecutionStatus = Literal[
    "queued", "running", "retrying", "success", "failed", "cancelled", "skipped", "timed_out"
]
ExecutionGroup = Literal[
    "execution_type",
    "status",
    "log_level",
    "workflow_id",
    "job_id",
    "node_id",
    "error_code",
    "source",
    "version",
]
# What percentiles and sums are of.
ExecutionMeasure = Literal["duration_ms", "rows_processed", "memory_used_mb"]
LogLevel = Literal["TRACE", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]


class ExecutionQuery(TimeQuery):
    """Filters of a page of the execution logs."""

    log_id: UUID | None = None
    execution_id: ReportedId | None = None
    execution_type: ExecutionType | None = None
    workflow_id: Several[UUID] = Field(default_factory=list)
    job_id: UUID | None = None
    jobpackage_id: UUID | None = None
    node_id: Several[QueryText] = Field(default_factory=list)
    log_level: Several[LogLevel] = Field(default_factory=list)
    status: Several[ExecutionStatus] = Field(default_factory=list)
    error_code: Several[QueryText] = Field(default_factory=list)
    triggered_by: ReportedId | None = None
    recorded_by: Person | None = None
    request_id: QueryText | None = None
    source: QueryText | None = None
    version_number: Annotated[QueryInteger, Field(ge=1, le=2**31 - 1)] | None = None
    git_commit_hash: CommitHash | None = None
    origin: EventOrigin | None = None
    time: LogTime | None = None


class ExecutionStatisticsQuery(ExecutionQuery, StatisticsQuery):
    """Filters, buckets and groups of the execution logs' statistics."""

    group_by: Annotated[list[ExecutionGroup], Field(max_length=2)] = Field(default_factory=list)
    measure: ExecutionMeasure = "duration_ms"
    order: (
        Literal["count", "failed", "avg_duration_ms", "max_duration_ms", "sum", "p50", "p95", "p99"] | None
    ) = None


class NewExecutionEvent(DatedEvent):
    execution_id: ShortLine
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
    triggered_by: ShortLine | None = None
    source: Source | None = None
    version_number: VersionNumber | None = None
    git_commit_hash: CommitHash | None = None

    def reported(self) -> ReportedExecution:
        """Return the event as the use case takes it."""
        return ReportedExecution(**vars(self))
