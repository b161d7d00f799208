"""Deletions: a row for each deleted resource, with the time until which it can be restored."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, JSON, TEXT


class DeletionLogTable(SQLModel, table=True):
    """One row for the root of a deletion (`cascade_level` 0) and one for each descendant deleted with it.

    A permanent deletion has rows of its own; the rows of the soft deletion before it get its time as
    `purged_at`. The counts include the resource itself, and all below it that the same deletion deleted.
    """

    __tablename__ = "deletion_logs"
    __table_args__ = (
        Index(None, "subscription_id", "deleted_at", "deletion_id"),
        Index(None, "subscription_id", "resource_id"),
        Index(None, "subscription_id", "parent_resource_id"),
        Index("ix_deletion_logs_deleted_by", "subscription_id", "deleted_by", "deleted_at", "deletion_id"),
        Index(
            *("ix_deletion_logs_restored_by", "subscription_id", "restored_by", "deleted_at", "deletion_id"),
            postgresql_where=text("restored_by IS NOT NULL"),
        ),
        Index(None, "root_deletion_id"),
        Index(None, "version_id"),
        Index(None, "subscription_id", "git_commit_hash"),
        Index(
            None,
            "subscription_id",
            "restored_commit_hash",
            postgresql_where=text("restored_commit_hash IS NOT NULL"),
        ),
        Index(
            "ix_deletion_logs_restored",
            "subscription_id",
            "restored_at",
            "restored_commit_number",
            postgresql_where=text("restored_at IS NOT NULL"),
        ),
        Index("ix_deletion_logs_permanent", "subscription_id", postgresql_where=text("NOT is_soft_delete")),
        Index("ix_deletion_logs_restorable", "restore_expiry_at", postgresql_where=text("can_be_restored")),
        CheckConstraint(
            "(restored_at IS NULL) = (restored_commit_hash IS NULL)"
            " AND (restored_at IS NULL) = (restored_commit_number IS NULL)",
            name="restored",
        ),
        CheckConstraint(
            "NOT can_be_restored OR (is_soft_delete AND restore_expiry_at IS NOT NULL"
            " AND restored_at IS NULL AND purged_at IS NULL)",
            name="restorable",
        ),
    )

    deletion_id: UUID = Field(primary_key=True)
    root_deletion_id: UUID
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
    # The version that was current when the resource was deleted, and the published one, if any.
    version_id: UUID = Field(foreign_key="versions.version_id")
    published_version_id: UUID | None = None
    git_commit_hash: str = Field(max_length=40)
    commit_number: int = Field(sa_type=BigInteger())
    restored_at: datetime | None = Field(default=None, sa_type=INSTANT)
    restored_by: UUID | None = Field(default=None, foreign_key="actors.user_id")
    restored_commit_hash: str | None = Field(default=None, max_length=40)
    restored_commit_number: int | None = Field(default=None, sa_type=BigInteger())
    purged_at: datetime | None = Field(default=None, sa_type=INSTANT)
