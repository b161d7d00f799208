"""The tables; importing this package fills the metadata against which the migrations are tested."""

from sqlmodel import SQLModel

from sql.models import (
    deletion_requests,
    deletions,
    execution_figures,
    following,
    idempotency,
    logs,
    posted_events,
    repositories,
    resources,
    retention,
    scheduled_jobs,
    tenancy,
    versions,
    web_sessions,
)

TABLES = SQLModel.metadata.tables

__all__ = [
    "TABLES",
    "deletion_requests",
    "deletions",
    "execution_figures",
    "following",
    "idempotency",
    "logs",
    "posted_events",
    "repositories",
    "resources",
    "retention",
    "scheduled_jobs",
    "tenancy",
    "versions",
    "web_sessions",
]
