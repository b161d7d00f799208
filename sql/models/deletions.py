"""What was deleted, what fell with it, and until when it can come back."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, JSON, TEXT


class DeletionLog(SQLModel, table=True):
    """One row for the root of a deletion (`cascade_level` 0) and one for each descendant."""

    __tablename__ = "deletion_logs"
    __table_args__ = (
        Index(None, "subscription_id", "deleted_at"),
        Index(None, "resource_type", "resource_id"),
        Index(None, "parent_resource_type", "parent_resource_id"),
        Index("ix_deletion_logs_restorable", "restore_expiry_at", postgresql_where=text("can_be_restored")),
    )

    deletion_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    resource_type: str = Field(max_length=50)
    resource_id: UUID
    resource_name: str = Field(max_length=500)
    resource_data: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    parent_resource_type: str | None = Field(default=None, max_length=50)
    parent_resource_id: UUID | None = None
    cascade_level: int
    cascaded_workspaces: int
    cascaded_folders: int
    cascaded_jobs: int
    cascaded_workflows: int
    cascaded_jobpackages: int
    cascaded_connectors: int
    deleted_by: UUID | None = Field(default=None, foreign_key="actors.user_id")
    deletion_reason: str | None = Field(default=None, sa_type=TEXT)
    is_soft_delete: bool
    can_be_restored: bool
    restore_expiry_at: datetime | None = Field(default=None, sa_type=INSTANT)
    deleted_at: datetime = Field(sa_type=INSTANT)
