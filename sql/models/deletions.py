"""Deletions: a row for each deleted resource, with the time until which it can be restored."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, JSON, NOW, RANDOM_ID, TEXT
from sql.models.log_indexes import filters_of, given, occurrences

# Defaults for programs that write rows in SQL, by the specification's statement.
ZERO = {"server_default": "0"}
FALSE, TRUE = {"server_default": text("false")}, {"server_default": text("true")}


_KEYS = ("deletion_logs", "deleted_at", "deletion_id")
_REPORTED = ("reported_resource_id", "reported_parent_id", "reported_deleted_by", "source", "recorded_by")


class DeletionLogTable(SQLModel, table=True):
    """One row for the root of a deletion (`cascade_level` 0) and one for each descendant deleted with it.

    A permanent deletion has rows of its own; the rows of the soft deletion before it get its time as
    `purged_at`. The counts include the resource itself, and all below it that the same deletion deleted.

    A row without a version was posted by a platform, and is about its own system. Its ids and its person lie
    in the `reported_…` columns, so that no query takes them for a resource or a user of Annals.
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
        Index(
            *("ix_deletion_logs_permanent", "subscription_id"),
            postgresql_where=text("NOT is_soft_delete AND version_id IS NOT NULL"),
        ),
        Index("ix_deletion_logs_restorable", "restore_expiry_at", postgresql_where=text("can_be_restored")),
        occurrences(*_KEYS),
        Index("ix_deletion_logs_origin", "subscription_id", "origin", "deleted_at", "deletion_id"),
        *filters_of(*_KEYS, **{name: given(name) for name in _REPORTED}),
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
        CheckConstraint(
            "CASE WHEN version_id IS NULL THEN num_nonnulls(root_deletion_id, published_version_id,"
            " git_commit_hash, commit_number, restored_at, purged_at) = 0"
            " AND num_nonnulls(resource_id, reported_resource_id) = 1"
            " ELSE num_nulls(root_deletion_id, git_commit_hash, commit_number, resource_id,"
            " resource_name) = 0"
            " AND num_nonnulls(reported_resource_id, reported_parent_id, reported_deleted_by, recorded_by,"
            " source, occurred_at) = 0 END",
            name="posted",
        ),
    )

    deletion_id: UUID = Field(primary_key=True, sa_column_kwargs=RANDOM_ID)
    root_deletion_id: UUID | None = None
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    resource_type: str = Field(max_length=50)
    resource_id: UUID | None = None
    resource_name: str | None = Field(default=None, max_length=500)
    resource_data: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    parent_resource_type: str | None = Field(default=None, max_length=50)
    parent_resource_id: UUID | None = None
    cascade_level: int = Field(sa_column_kwargs=ZERO)
    cascaded_workspaces: int = Field(sa_column_kwargs=ZERO)
    cascaded_folders: int = Field(sa_column_kwargs=ZERO)
    cascaded_jobs: int = Field(sa_column_kwargs=ZERO)
    cascaded_workflows: int = Field(sa_column_kwargs=ZERO)
    cascaded_jobpackages: int = Field(sa_column_kwargs=ZERO)
    cascaded_connectors: int = Field(sa_column_kwargs=ZERO)
    deleted_by: UUID | None = Field(default=None, foreign_key="actors.user_id")
    deletion_reason: str | None = Field(default=None, sa_type=TEXT)
    is_soft_delete: bool = Field(sa_column_kwargs=FALSE)
    # A trigger makes it false in a row without a version.
    can_be_restored: bool = Field(sa_column_kwargs=TRUE)
    restore_expiry_at: datetime | None = Field(default=None, sa_type=INSTANT)
    deleted_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=NOW)
    # The version that was current when the resource was deleted, and the published one, if any.
    version_id: UUID | None = Field(default=None, foreign_key="versions.version_id")
    published_version_id: UUID | None = None
    git_commit_hash: str | None = Field(default=None, max_length=40)
    commit_number: int | None = Field(default=None, sa_type=BigInteger())
    restored_at: datetime | None = Field(default=None, sa_type=INSTANT)
    restored_by: UUID | None = Field(default=None, foreign_key="actors.user_id")
    restored_commit_hash: str | None = Field(default=None, max_length=40)
    restored_commit_number: int | None = Field(default=None, sa_type=BigInteger())
    purged_at: datetime | None = Field(default=None, sa_type=INSTANT)
    occurred_at: datetime | None = Field(default=None, sa_type=INSTANT)
    source: str | None = Field(default=None, max_length=200)
    recorded_by: UUID | None = None
    request_id: str | None = Field(default=None, max_length=128)
    reported_resource_id: str | None = Field(default=None, max_length=255)
    reported_parent_id: str | None = Field(default=None, max_length=255)
    reported_deleted_by: str | None = Field(default=None, max_length=255)
    origin: str = Field(
        sa_column=Column(
            *("origin", TEXT),
            Computed("CASE WHEN version_id IS NULL THEN 'posted' ELSE 'annals' END", persisted=True),
            nullable=False,
        )
    )
