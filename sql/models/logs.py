"""The logs: hypertables on TimescaleDB, plain tables elsewhere.

None has a foreign key, since a log outlives the resources that it names; each primary key ends in the time
column, since TimescaleDB wants the partitioning column in every unique index.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, Numeric, TextClause, text
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, INET
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, JSON, NOW, RANDOM_ID, TEXT
from sql.models.log_indexes import filters_of, given, occurrences

# Conditions of partial indexes: only rare rows are looked for by status or level, others are found by time.
REFUSED = text("status <> 'success'")
NOTABLE = text("log_level <> 'INFO'")
UNSUCCESSFUL = text("status IN ('failed', 'cancelled', 'timed_out', 'skipped', 'retrying')")
FAILED = text("response_status >= 400")

# The origin of an event: the column, or what the request of an older row tells. Such a row was posted if its
# request posted events, unless it may also be the caller's LOGIN or a refusal of that request.
AUDIT_ORIGIN = """COALESCE(origin, CASE
    WHEN http_method = 'POST' AND api_endpoint LIKE '/v1/subscriptions/%/audit-logs'
        THEN CASE WHEN action <> 'LOGIN' AND (status = 'success' OR resource_type <> 'audit_log')
            THEN 'posted' END
    WHEN http_method IS NOT NULL THEN 'annals'
END)"""
POSTED = text(f"{AUDIT_ORIGIN} = 'posted'")
# The origin of a row of the server log or the change history. Under row-level security PostgreSQL uses no
# index for a condition with COALESCE, which it does not know to be leakproof. The text is as PostgreSQL
# writes it, so that the schema can be compared.
RECORDED_ORIGIN = """
CASE
    WHEN origin IS NULL THEN 'annals'::text
    ELSE origin
END"""


def _origin_index(table: str, time: str, row_id: str) -> Index:
    """Make the index of the origin, which older rows lack: they are of Annals itself."""
    return Index(f"ix_{table}_origin", "subscription_id", text(RECORDED_ORIGIN), time, row_id)


class AuditLogTable(SQLModel, table=True):
    """User actions, kept for good; `subscription_id` is null for the platform's own events.

    `occurred_at` is null for an event that happened when it arrived. The actor is the person whom a platform
    names; `on_behalf_of` is its name in rows of versions before 0.5.0. `request_id` may be the platform's
    own; `received_request_id` is that of the request that posted the event.
    """

    __tablename__ = "audit_logs"
    __table_args__ = (
        Index(None, "subscription_id", "created_at", "audit_id"),
        *filters_of(
            "audit_logs",
            "created_at",
            "audit_id",
            resource_type=None,
            resource_id=None,
            user_id=None,
            action=None,
            status=REFUSED,
            workspace_id=None,
            request_id=None,
            username=given("username"),
            folder_id=given("folder_id"),
            ip_address=given("ip_address"),
            actor_id=given("actor_id"),
            actor_name=given("actor_name"),
            source=given("source"),
            event_id=given("event_id"),
            received_request_id=given("received_request_id"),
        ),
        occurrences("audit_logs", "created_at", "audit_id"),
        Index("ix_audit_logs_posted", "subscription_id", "created_at", "audit_id", postgresql_where=POSTED),
        Index(None, "created_at", "audit_id", postgresql_where=text("subscription_id IS NULL")),
    )

    audit_id: UUID = Field(primary_key=True, sa_column_kwargs=RANDOM_ID)
    created_at: datetime = Field(sa_type=INSTANT, primary_key=True, sa_column_kwargs=NOW)
    subscription_id: UUID | None
    user_id: UUID | None
    username: str | None = Field(max_length=255)
    action: str = Field(max_length=200)
    resource_type: str = Field(max_length=100)
    resource_id: str | None = Field(max_length=255)
    resource_name: str | None = Field(max_length=500)
    old_values: Any = Field(default=None, sa_type=JSON, nullable=True)
    new_values: Any = Field(default=None, sa_type=JSON, nullable=True)
    changes: Any = Field(default=None, sa_type=JSON, nullable=True)
    ip_address: str | None = Field(sa_type=INET())
    user_agent: str | None = Field(sa_type=TEXT)
    api_endpoint: str | None = Field(max_length=500)
    http_method: str | None = Field(max_length=10)
    request_id: str | None = Field(max_length=128)
    workspace_id: UUID | None
    folder_id: UUID | None
    status: str = Field(max_length=50, sa_column_kwargs={"server_default": text("'success'")})
    error_message: str | None = Field(sa_type=TEXT)
    on_behalf_of: str | None = Field(max_length=255)
    occurrences: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    origin: str | None = Field(default=None, sa_type=TEXT)
    occurred_at: datetime | None = Field(default=None, sa_type=INSTANT)
    actor_id: str | None = Field(default=None, max_length=255)
    actor_name: str | None = Field(default=None, max_length=255)
    actor_kind: str | None = Field(default=None, max_length=10)
    source: str | None = Field(default=None, max_length=200)
    event_id: str | None = Field(default=None, max_length=255)
    received_request_id: str | None = Field(default=None, max_length=128)


class ExecutionColumns(SQLModel):
    """The columns of both execution logs."""

    log_id: UUID = Field(primary_key=True, sa_column_kwargs=RANDOM_ID)
    created_at: datetime = Field(sa_type=INSTANT, primary_key=True, sa_column_kwargs=NOW)
    subscription_id: UUID | None
    execution_id: str = Field(max_length=255)
    execution_type: str = Field(max_length=50)
    workflow_id: UUID | None
    job_id: UUID | None
    jobpackage_id: UUID | None
    node_id: str | None = Field(max_length=255)
    log_level: str = Field(max_length=20)
    log_message: str = Field(sa_type=TEXT)
    log_details: Any = Field(
        default=None, sa_type=JSON, nullable=True, sa_column_kwargs={"server_default": text("'{}'::jsonb")}
    )
    duration_ms: float | None = Field(sa_type=DOUBLE_PRECISION())
    rows_processed: int | None = Field(sa_type=BigInteger())
    memory_used_mb: Decimal | None = Field(sa_type=Numeric(10, 2))
    cpu_percent: Decimal | None = Field(sa_type=Numeric(5, 2))
    status: str | None = Field(max_length=50)
    error_code: str | None = Field(max_length=100)
    error_details: Any = Field(default=None, sa_type=JSON, nullable=True)
    triggered_by: str | None = Field(max_length=255)
    recorded_by: UUID | None
    request_id: str | None = Field(max_length=128)
    occurred_at: datetime | None = Field(default=None, sa_type=INSTANT)
    source: str | None = Field(default=None, max_length=200)
    version_number: int | None = Field(default=None)
    git_commit_hash: str | None = Field(default=None, max_length=40)


_SPARSE = (
    *("workflow_id", "job_id", "jobpackage_id", "node_id"),
    *("error_code", "triggered_by", "recorded_by", "request_id", "source", "git_commit_hash"),
)


def _execution_indexes(table: str, /, **filters: TextClause | None) -> tuple[Index, ...]:
    return (
        Index(None, "subscription_id", "created_at", "log_id"),
        occurrences(table, "created_at", "log_id"),
        *filters_of(
            table,
            "created_at",
            "log_id",
            execution_id=None,
            **{name: given(name) for name in _SPARSE},
            log_level=NOTABLE,
            status=UNSUCCESSFUL,
            **filters,
        ),
    )


class ExecutionLogTable(ExecutionColumns, table=True):
    """Executions of workflows, jobs and job packages, kept a year."""

    __tablename__ = "execution_logs"
    __table_args__ = _execution_indexes("execution_logs", execution_type=None)


class NodeExecutionLogTable(ExecutionColumns, table=True):
    """Executions of single nodes, kept 90 days: a hypertable of its own, so that whole chunks can expire."""

    __tablename__ = "node_execution_logs"
    __table_args__ = _execution_indexes("node_execution_logs")


class ServerLogTable(SQLModel, table=True):
    """HTTP requests and system errors, kept 90 days.

    `route` is the pattern of the path, such as `/v1/subscriptions/{subscription_id}`; rows of versions before
    0.7.0 have none.
    """

    __tablename__ = "server_logs"
    __table_args__ = (
        Index(None, "created_at", "log_id"),
        Index(None, "response_status", "created_at", postgresql_where=FAILED),
        Index(None, "subscription_id", "created_at", "log_id"),
        Index(None, "subscription_id", "response_status", "created_at", postgresql_where=FAILED),
        Index("ix_server_logs_failures", "created_at", "log_id", postgresql_where=FAILED),
        Index(
            *("ix_server_logs_failures_of_subscription", "subscription_id", "created_at", "log_id"),
            postgresql_where=FAILED,
        ),
        Index(None, "endpoint", "created_at"),
        Index(None, "request_id", "created_at"),
        Index(None, "user_id", "created_at"),
        # An address may be shared by all subscriptions, such as that of a proxy.
        Index(
            *("ix_server_logs_ip_address_of_subscription", "subscription_id", "ip_address", "created_at"),
            postgresql_where=given("ip_address"),
        ),
        Index(None, "ip_address", "created_at", postgresql_where=given("ip_address")),
        occurrences("server_logs", "created_at", "log_id"),
        _origin_index("server_logs", "created_at", "log_id"),
        *filters_of(
            *("server_logs", "created_at", "log_id"),
            source=given("source"),
            actor_id=given("actor_id"),
            received_request_id=given("received_request_id"),
        ),
    )

    log_id: UUID = Field(primary_key=True, sa_column_kwargs=RANDOM_ID)
    created_at: datetime = Field(sa_type=INSTANT, primary_key=True, sa_column_kwargs=NOW)
    request_id: str = Field(max_length=128)
    http_method: str | None = Field(max_length=10)
    endpoint: str | None = Field(max_length=500)
    query_params: Any = Field(default=None, sa_type=JSON, nullable=True)
    user_id: UUID | None
    subscription_id: UUID | None
    auth_method: str | None = Field(max_length=50)
    request_body: Any = Field(default=None, sa_type=JSON, nullable=True)
    response_status: int | None
    response_body: Any = Field(default=None, sa_type=JSON, nullable=True)
    response_time_ms: int | None
    ip_address: str | None = Field(sa_type=INET())
    user_agent: str | None = Field(sa_type=TEXT)
    referer: str | None = Field(sa_type=TEXT)
    error_message: str | None = Field(sa_type=TEXT)
    error_traceback: str | None = Field(sa_type=TEXT)
    request_bytes: int | None = Field(sa_type=BigInteger())
    response_bytes: int | None = Field(sa_type=BigInteger())
    occurrences: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    occurred_at: datetime | None = Field(default=None, sa_type=INSTANT)
    origin: str | None = Field(default=None, sa_type=TEXT)
    source: str | None = Field(default=None, max_length=200)
    actor_id: str | None = Field(default=None, max_length=255)
    received_request_id: str | None = Field(default=None, max_length=128)
    route: str | None = Field(default=None, max_length=500)


class DataChangeHistoryTable(SQLModel, table=True):
    """Inserts, updates and deletes of records, numbered per record, kept for good."""

    __tablename__ = "data_change_history"
    __table_args__ = (
        Index(None, "subscription_id", "changed_at", "change_id"),
        *filters_of(
            "data_change_history",
            "changed_at",
            "change_id",
            table_name=None,
            record_id=None,
            changed_by=None,
            request_id=given("request_id"),
            source=given("source"),
            recorded_by=given("recorded_by"),
        ),
        occurrences("data_change_history", "changed_at", "change_id"),
        _origin_index("data_change_history", "changed_at", "change_id"),
        Index(None, "table_name", "record_id", "version_number"),
    )

    change_id: UUID = Field(primary_key=True, sa_column_kwargs=RANDOM_ID)
    changed_at: datetime = Field(sa_type=INSTANT, primary_key=True, sa_column_kwargs=NOW)
    subscription_id: UUID | None
    table_name: str = Field(max_length=100)
    record_id: str = Field(max_length=255)
    record_name: str | None = Field(max_length=500)
    change_type: str = Field(max_length=20)
    old_data: Any = Field(default=None, sa_type=JSON, nullable=True)
    new_data: Any = Field(default=None, sa_type=JSON, nullable=True)
    diff: Any = Field(default=None, sa_type=JSON, nullable=True)
    changed_by: str | None = Field(max_length=255)
    change_reason: str | None = Field(sa_type=TEXT)
    version_number: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    request_id: str | None = Field(max_length=128)
    occurred_at: datetime | None = Field(default=None, sa_type=INSTANT)
    origin: str | None = Field(default=None, sa_type=TEXT)
    source: str | None = Field(default=None, max_length=200)
    recorded_by: UUID | None = None


class ChangeNumberTable(SQLModel, table=True):
    """The number of data changes of a record, so that the next one is numbered without a gap.

    Resources need no row here: their data changes are numbered under the lock on their repository.
    """

    __tablename__ = "change_numbers"

    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id", primary_key=True)
    table_name: str = Field(max_length=100, primary_key=True)
    record_id: str = Field(max_length=255, primary_key=True)
    changes: int
