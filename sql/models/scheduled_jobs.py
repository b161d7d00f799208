"""Scheduled jobs: schedules, job runs with their outcomes, and plans of the rows that a run would delete."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, JSON, TEXT


class JobScheduleTable(SQLModel, table=True):
    """A scheduled job's schedule as an operator set it; it applies from `changed_at` until the next row.

    If a row or a value in it is missing, the default applies. Earlier rows tell which slots were missed.
    """

    __tablename__ = "job_schedules"

    job: str = Field(max_length=100, primary_key=True)
    cron: str | None = Field(default=None, sa_type=TEXT)
    time_zone: str | None = Field(default=None, sa_type=TEXT)
    is_paused: bool
    changed_at: datetime = Field(sa_type=INSTANT, primary_key=True)
    changed_by: str = Field(max_length=255)


class JobPlanTable(SQLModel, table=True):
    """The plan of a job run, made at `planned_at`. It is applied only if a new plan has the same digest."""

    __tablename__ = "job_plans"
    __table_args__ = (Index(None, "planned_at"),)

    plan_id: UUID = Field(primary_key=True)
    job: str = Field(max_length=100)
    planned_at: datetime = Field(sa_type=INSTANT)
    made_by: str = Field(max_length=255)
    content: Any = Field(sa_type=JSON, nullable=False)
    digest: str = Field(max_length=64)


class JobRunTable(SQLModel, table=True):
    """One slot of a scheduled job, which runs once: the process that adds the row runs it."""

    __tablename__ = "job_runs"
    __table_args__ = (
        UniqueConstraint("job", "scheduled_for"),
        CheckConstraint("trigger IN ('schedule', 'operator')", name="trigger"),
        CheckConstraint(
            "state IN ('waiting', 'running', 'succeeded', 'failed', 'interrupted', 'missed')", name="state"
        ),
        CheckConstraint(
            "(started_at IS NOT NULL) = (state IN ('running', 'succeeded', 'failed', 'interrupted'))"
            " AND (started_at IS NULL) = (process IS NULL)",
            name="started",
        ),
        CheckConstraint("(ended_at IS NULL) = (state IN ('waiting', 'running'))", name="ended"),
        Index(None, "scheduled_for", "run_id"),
        Index(
            "ix_job_runs_open",
            *("job", "scheduled_for"),
            postgresql_where=text("state IN ('waiting', 'running')"),
        ),
        Index(
            "ix_job_runs_succeeded", *("job", "scheduled_for"), postgresql_where=text("state = 'succeeded'")
        ),
    )

    run_id: UUID = Field(primary_key=True)
    job: str = Field(max_length=100)
    scheduled_for: datetime = Field(sa_type=INSTANT)
    trigger: str = Field(max_length=20)
    state: str = Field(max_length=20)
    requested_by: str | None = Field(default=None, max_length=255)
    plan_id: UUID | None = Field(default=None)
    # The host and process id of the run.
    process: str | None = Field(default=None, max_length=255)
    started_at: datetime | None = Field(default=None, sa_type=INSTANT)
    ended_at: datetime | None = Field(default=None, sa_type=INSTANT)
    counts: Any = Field(default=None, sa_type=JSON, nullable=True)
    error: str | None = Field(default=None, sa_type=TEXT)
