"""The six kinds of resource, with their places in the tree; their contents are in their versions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Column, Computed, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, TEXT

LIVE = text("deleted_at IS NULL")
# The text that is equal for names that look alike, as `service/domain/names.py` has it.
_IGNORABLE = (
    r"'[\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B\u200E\u200F\u202A-\u202E\u2060-\u206F"
    r"\u3164\uFE00-\uFE0D\uFEFF\uFFA0\uFFF0-\uFFF8\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A"
    r"\U000E0000-\U000E0FFF]'"
)
_BLANKS = r"'[\u00A0\u2000-\u200A\u202F\u205F]'"
_AROUND = r"[\u0020\u0009-\u000D\u001C-\u001F\u0085\u1680\u2028\u2029\u3000\u2800]+"
_PLAIN = f"regexp_replace(regexp_replace(name, {_IGNORABLE}, '', 'g'), {_BLANKS}, ' ', 'g')"
COMPARABLE_NAME = f"regexp_replace(normalize({_PLAIN}, NFC), '^{_AROUND}|{_AROUND}$', '', 'g')"
# True of names from before 0.4.0 that would be stored in another form today.
UNUSUAL_NAME = f"name <> {COMPARABLE_NAME}"


def unusual_names(table: str, parent: Any) -> Index:
    """An index of the siblings whose names are not in today's form, which are few.

    Row-level security keeps a function of the name from being looked for in an index, so that it has no such
    column.
    """
    condition = text(f"deleted_at IS NULL AND {UNUSUAL_NAME}")
    name = f"ix_{table}_unusual_name"
    return Index(name, parent, postgresql_where=condition)


def parent_key(parent: str, column: str, parent_column: str) -> ForeignKeyConstraint:
    """A foreign key to a parent in the same workspace and subscription; it follows a move of the parent."""
    return ForeignKeyConstraint(
        [column, "workspace_id", "subscription_id"],
        [f"{parent}.{parent_column}", f"{parent}.workspace_id", f"{parent}.subscription_id"],
        onupdate="CASCADE",
    )


def workspace_key() -> ForeignKeyConstraint:
    """A foreign key to the workspace of the same subscription."""
    return ForeignKeyConstraint(
        ["workspace_id", "subscription_id"], ["workspaces.workspace_id", "workspaces.subscription_id"]
    )


def soft_deleted() -> Any:
    """The specification's flag `soft_deleted`, generated so that it cannot disagree with `deleted_at`."""
    return Field(
        default=None,
        sa_column=Column(
            "soft_deleted", Boolean, Computed("deleted_at IS NOT NULL", persisted=True), nullable=True
        ),
    )


class ResourceColumns(SQLModel):
    """The columns of every kind of resource."""

    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    name: str = Field(max_length=500)
    description: str | None = Field(sa_type=TEXT)
    created_by: UUID = Field(foreign_key="actors.user_id")
    created_at: datetime = Field(sa_type=INSTANT)
    updated_at: datetime = Field(sa_type=INSTANT)
    deleted_at: datetime | None = Field(default=None, sa_type=INSTANT)


class WorkspaceTable(ResourceColumns, table=True):
    __tablename__ = "workspaces"
    __table_args__ = (
        UniqueConstraint("workspace_id", "subscription_id"),
        Index(None, "subscription_id", "workspace_id"),
        Index("uq_workspaces_live_name", "subscription_id", "name", unique=True, postgresql_where=LIVE),
        unusual_names("workspaces", "subscription_id"),
    )

    workspace_id: UUID = Field(primary_key=True)
    soft_deleted: bool = soft_deleted()


class FolderTable(ResourceColumns, table=True):
    __tablename__ = "folders"
    __table_args__ = (
        UniqueConstraint("folder_id", "workspace_id", "subscription_id"),
        workspace_key(),
        parent_key("folders", "parent_folder_id", "folder_id"),
        Index(None, "subscription_id", "folder_id"),
        Index(
            "uq_folders_live_name",
            text("COALESCE(parent_folder_id, workspace_id)"),
            "name",
            unique=True,
            postgresql_where=LIVE,
        ),
        Index(None, "workspace_id"),
        Index(None, "parent_folder_id"),
        unusual_names("folders", text("COALESCE(parent_folder_id, workspace_id)")),
    )

    folder_id: UUID = Field(primary_key=True)
    workspace_id: UUID
    parent_folder_id: UUID | None = None
    soft_deleted: bool = soft_deleted()


class JobTable(ResourceColumns, table=True):
    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("job_id", "workspace_id", "subscription_id"),
        parent_key("folders", "folder_id", "folder_id"),
        Index(None, "subscription_id", "job_id"),
        Index("uq_jobs_live_name", "folder_id", "name", unique=True, postgresql_where=LIVE),
        Index(None, "workspace_id"),
        Index(None, "folder_id"),
        unusual_names("jobs", "folder_id"),
    )

    job_id: UUID = Field(primary_key=True)
    workspace_id: UUID
    folder_id: UUID
    soft_deleted: bool = soft_deleted()


class WorkflowTable(ResourceColumns, table=True):
    __tablename__ = "workflows"
    __table_args__ = (
        parent_key("jobs", "job_id", "job_id"),
        Index(None, "subscription_id", "workflow_id"),
        Index("uq_workflows_live_name", "job_id", "name", unique=True, postgresql_where=LIVE),
        Index(None, "workspace_id"),
        Index(None, "job_id"),
        unusual_names("workflows", "job_id"),
    )

    workflow_id: UUID = Field(primary_key=True)
    workspace_id: UUID
    job_id: UUID
    soft_deleted: bool = soft_deleted()


class JobPackageTable(ResourceColumns, table=True):
    __tablename__ = "jobpackages"
    __table_args__ = (
        parent_key("folders", "folder_id", "folder_id"),
        Index(None, "subscription_id", "jobpackage_id"),
        Index("uq_jobpackages_live_name", "folder_id", "name", unique=True, postgresql_where=LIVE),
        Index(None, "workspace_id"),
        Index(None, "folder_id"),
        unusual_names("jobpackages", "folder_id"),
    )

    jobpackage_id: UUID = Field(primary_key=True)
    workspace_id: UUID
    folder_id: UUID
    soft_deleted: bool = soft_deleted()


class ConnectorTable(ResourceColumns, table=True):
    __tablename__ = "connectors"
    __table_args__ = (
        workspace_key(),
        Index(None, "subscription_id", "connector_id"),
        Index("uq_connectors_live_name", "workspace_id", "name", unique=True, postgresql_where=LIVE),
        unusual_names("connectors", "workspace_id"),
    )

    connector_id: UUID = Field(primary_key=True)
    workspace_id: UUID
    soft_deleted: bool = soft_deleted()
