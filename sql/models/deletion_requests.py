"""Deletions that operators ask for in SQL, and their outcomes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, TEXT

_WAITING = text("done_at IS NULL")


class DeletionRequestTable(SQLModel, table=True):
    """A call of `cascade_delete_workspace`: it waits until `done_at`, then has a deletion or a problem.

    `workspace_id` is not a foreign key: a permanent deletion deletes the workspace's row, not the request.
    """

    __tablename__ = "deletion_requests"
    __table_args__ = (
        # While a request waits, a second one for the same deletion returns the first.
        Index(
            "uq_deletion_requests_waiting",
            "workspace_id",
            "is_soft_delete",
            unique=True,
            postgresql_where=_WAITING,
        ),
        Index(
            "ix_deletion_requests_waiting",
            *("subscription_id", "requested_at", "request_id"),
            postgresql_where=_WAITING,
        ),
        CheckConstraint(
            "num_nonnulls(deletion_id, problem) = CASE WHEN done_at IS NULL THEN 0 ELSE 1 END", name="outcome"
        ),
    )

    request_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    workspace_id: UUID
    requested_by: UUID = Field(foreign_key="actors.user_id")
    is_soft_delete: bool
    # The time by PostgreSQL's clock: a function in SQL makes the request.
    requested_at: datetime = Field(sa_type=INSTANT)
    done_at: datetime | None = Field(default=None, sa_type=INSTANT)
    deletion_id: UUID | None = Field(default=None, foreign_key="deletion_logs.deletion_id")
    problem: str | None = Field(default=None, sa_type=TEXT)
