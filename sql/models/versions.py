"""Versions, their comments, and check-outs, publications and tags with the times for which they lasted."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, String, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, JSON, TEXT


class VersionTable(SQLModel, table=True):
    """One state of a resource's snapshot; its bytes are the git blob, `version_data` a queryable copy.

    `commit_number` is the place of its commit on `main`, from 1; versions of one commit share it.
    `unversioned_changes` counts the resource's deletions and restores until its next version, or until now.
    """

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("subscription_id", "resource_type", "resource_id", "version_number"),
        Index(
            "uq_versions_current",
            "resource_type",
            "resource_id",
            unique=True,
            postgresql_where=text("is_current"),
        ),
        Index(
            "uq_versions_tag",
            "subscription_id",
            "resource_type",
            "resource_id",
            "version_tag",
            unique=True,
            postgresql_where=text("version_tag IS NOT NULL"),
        ),
        Index(
            "uq_versions_published",
            "resource_type",
            "resource_id",
            unique=True,
            postgresql_where=text("is_published"),
        ),
        Index(None, "subscription_id", "git_commit_hash"),
        # Finds the commit of `main` at an instant.
        Index(None, "subscription_id", "created_at", "commit_number"),
        # Finds the resources that existed at a commit, without reading their later versions.
        Index(
            "ix_versions_first",
            "subscription_id",
            "resource_id",
            "commit_number",
            "resource_type",
            postgresql_where=text("version_number = 1"),
        ),
        Index(None, "checked_out_by", postgresql_where=text("checked_out_by IS NOT NULL")),
    )

    version_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    resource_type: str = Field(max_length=50)
    resource_id: UUID
    resource_name: str = Field(max_length=500)
    version_number: int
    version_tag: str | None = Field(default=None, max_length=100)
    version_description: str | None = Field(default=None, sa_type=TEXT)
    version_data: dict[str, Any] = Field(sa_type=JSON)
    is_current: bool
    is_published: bool
    checked_out_by: UUID | None = Field(default=None, foreign_key="actors.user_id")
    checked_out_at: datetime | None = Field(default=None, sa_type=INSTANT)
    checked_in_at: datetime | None = Field(default=None, sa_type=INSTANT)
    git_commit_hash: str = Field(max_length=40)
    git_blob_id: str = Field(max_length=40)
    commit_number: int = Field(sa_type=BigInteger())
    unversioned_changes: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    git_branch: str = Field(max_length=255)
    git_repo_url: str = Field(sa_type=TEXT)
    created_by: UUID = Field(foreign_key="actors.user_id")
    created_at: datetime = Field(sa_type=INSTANT)


class VersionCommentTable(SQLModel, table=True):
    """A comment on a version; the first one is the body of the commit."""

    __tablename__ = "version_comments"
    __table_args__ = (Index(None, "version_id", "commented_at"), Index(None, "subscription_id"))

    comment_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    version_id: UUID = Field(foreign_key="versions.version_id")
    comment_text: str = Field(sa_type=TEXT)
    commented_by: UUID = Field(foreign_key="actors.user_id")
    commented_at: datetime = Field(sa_type=INSTANT)


class CheckOutTable(SQLModel, table=True):
    """A lease on a resource, at most one unreleased. An unreleased lease has ended past `expires_at`."""

    __tablename__ = "check_outs"
    __table_args__ = (
        Index(
            "uq_check_outs_open",
            "resource_type",
            "resource_id",
            unique=True,
            postgresql_where=text("released_at IS NULL"),
        ),
        Index(None, "subscription_id", "resource_id", "checked_out_at"),
        Index(None, "checked_out_by", postgresql_where=text("released_at IS NULL")),
        Index(
            "ix_check_outs_running",
            "subscription_id",
            "checked_out_at",
            "check_out_id",
            postgresql_where=text("released_at IS NULL"),
        ),
        Index(None, "version_id"),
        Index(None, "expires_at", postgresql_where=text("released_at IS NULL")),
        CheckConstraint(
            "release_kind IN ('check_in', 'cancel', 'expired', 'forced', 'user_deleted', 'deleted')",
            name="release_kind",
        ),
        CheckConstraint("(released_at IS NULL) = (release_kind IS NULL)", name="released"),
    )

    check_out_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    resource_type: str = Field(max_length=50)
    resource_id: UUID
    version_id: UUID = Field(foreign_key="versions.version_id")
    checked_out_by: UUID = Field(foreign_key="actors.user_id")
    checked_out_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT)
    reason: str | None = Field(default=None, sa_type=TEXT)
    released_at: datetime | None = Field(default=None, sa_type=INSTANT)
    released_by: UUID | None = Field(default=None, foreign_key="actors.user_id")
    release_kind: str | None = Field(default=None, max_length=20)


class PublicationTable(SQLModel, table=True):
    """The time during which a version was the published one of its resource."""

    __tablename__ = "publications"
    __table_args__ = (
        Index(
            "uq_publications_open",
            "resource_type",
            "resource_id",
            unique=True,
            postgresql_where=text("unpublished_at IS NULL"),
        ),
        Index(None, "subscription_id", "resource_id", "published_at"),
        Index(None, "version_id"),
    )

    publication_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    resource_type: str = Field(max_length=50)
    resource_id: UUID
    version_id: UUID = Field(foreign_key="versions.version_id")
    published_by: UUID = Field(foreign_key="actors.user_id")
    published_at: datetime = Field(sa_type=INSTANT)
    unpublished_by: UUID | None = Field(default=None, foreign_key="actors.user_id")
    unpublished_at: datetime | None = Field(default=None, sa_type=INSTANT)


class TagTable(SQLModel, table=True):
    """The time during which a tag named a version, and the git object behind its ref.

    Open tags of a resource are unique by `tag_key`, the tag without regard to case, except for older ones.
    `ref_is_settled` is false while the ref in the repository has still to be made or removed.
    """

    __tablename__ = "tags"
    __table_args__ = (
        Index(
            "uq_tags_open_name",
            "resource_type",
            "resource_id",
            "tag",
            unique=True,
            postgresql_where=text("untagged_at IS NULL"),
        ),
        Index(
            "ix_tags_open_key",
            "resource_type",
            "resource_id",
            "tag_key",
            postgresql_where=text("untagged_at IS NULL"),
        ),
        Index(
            "uq_tags_open_version", "version_id", unique=True, postgresql_where=text("untagged_at IS NULL")
        ),
        Index(None, "version_id"),
        Index("ix_tags_unsettled", "subscription_id", postgresql_where=text("NOT ref_is_settled")),
        Index(None, "subscription_id", "tagged_at"),
    )

    tag_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    resource_type: str = Field(max_length=50)
    resource_id: UUID
    version_id: UUID = Field(foreign_key="versions.version_id")
    tag: str = Field(max_length=100)
    tag_object: str = Field(max_length=40)
    tagged_by: UUID = Field(foreign_key="actors.user_id")
    tagged_at: datetime = Field(sa_type=INSTANT)
    untagged_by: UUID | None = Field(default=None, foreign_key="actors.user_id")
    untagged_at: datetime | None = Field(default=None, sa_type=INSTANT)
    ref_is_settled: bool
    tag_key: str = Field(
        default=None,
        sa_column=Column(String(100), Computed("lower(tag)", persisted=True), nullable=True),
    )
