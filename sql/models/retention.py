"""Retention policies, legal holds, and archives of rows that were deleted afterwards."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, TEXT


class RetentionPolicyTable(SQLModel, table=True):
    """The days for which rows of a level are kept. No subscription means all; no number means for good."""

    __tablename__ = "retention_policies"
    __table_args__ = (
        CheckConstraint(
            "level IN ('server', 'workflow', 'node', 'job', 'jobpackage', 'user_actions', 'data_changes')",
            name="level",
        ),
        CheckConstraint("keep_days BETWEEN 1 AND 36500", name="keep_days"),
        Index(
            "uq_retention_policies_platform",
            "level",
            unique=True,
            postgresql_where=text("subscription_id IS NULL"),
        ),
        Index("uq_retention_policies_subscription_id_level", "subscription_id", "level", unique=True),
    )

    policy_id: UUID = Field(primary_key=True)
    subscription_id: UUID | None = Field(default=None, foreign_key="subscriptions.subscription_id")
    level: str = Field(max_length=20)
    keep_days: int | None
    changed_at: datetime = Field(sa_type=INSTANT)
    changed_by: str = Field(max_length=255)


class LegalHoldTable(SQLModel, table=True):
    """A legal hold: keeps the rows of a subscription, of a resource and all below it, or of a user.

    It ends when it is released, or at `until` if that is set.
    """

    __tablename__ = "legal_holds"
    __table_args__ = (
        CheckConstraint(
            "(resource_type IS NULL) = (resource_id IS NULL) AND num_nonnulls(resource_id, user_id) <= 1",
            name="scope",
        ),
        CheckConstraint("(released_at IS NULL) = (released_by IS NULL)", name="released"),
        Index(None, "subscription_id", "hold_id"),
        Index("ix_legal_holds_running", "subscription_id", postgresql_where=text("released_at IS NULL")),
    )

    hold_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    resource_type: str | None = Field(default=None, max_length=50)
    resource_id: UUID | None = Field(default=None)
    user_id: UUID | None = Field(default=None)
    reason: str = Field(sa_type=TEXT)
    placed_by: str = Field(max_length=255)
    placed_at: datetime = Field(sa_type=INSTANT)
    until: datetime | None = Field(default=None, sa_type=INSTANT)
    released_by: str | None = Field(default=None, max_length=255)
    released_at: datetime | None = Field(default=None, sa_type=INSTANT)
    release_reason: str | None = Field(default=None, sa_type=TEXT)


class LegalHoldMoveTable(SQLModel, table=True):
    """A resource that was moved out of or into a held tree: the hold keeps it and all below it."""

    __tablename__ = "legal_hold_moves"
    __table_args__ = (Index(None, "subscription_id", "resource_id"),)

    hold_id: UUID = Field(primary_key=True, foreign_key="legal_holds.hold_id")
    resource_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")


class ArchiveTable(SQLModel, table=True):
    """A verified file of expired rows, or of the rows of a closed subscription.

    It has no foreign key, since it outlives the rows and the subscription. `range_end` is exclusive; `bytes`
    is the compressed size of the file.
    """

    __tablename__ = "archives"
    __table_args__ = (
        Index(None, "log", "range_start"),
        Index(None, "made_at", "archive_id"),
        Index(None, "subscription_id"),
    )

    archive_id: UUID = Field(primary_key=True)
    log: str = Field(max_length=100)
    subscription_id: UUID | None = Field(default=None)
    range_start: datetime = Field(sa_type=INSTANT)
    range_end: datetime = Field(sa_type=INSTANT)
    rows: int = Field(sa_type=BigInteger())
    bytes: int = Field(sa_type=BigInteger())
    sha256: str = Field(max_length=64)
    location: str = Field(sa_type=TEXT)
    run_id: UUID | None = Field(default=None)
    made_at: datetime = Field(sa_type=INSTANT)


class RulesSeenTable(SQLModel, table=True):
    """The rules by which a transaction found rows to delete, stored until the transaction ends.

    Only functions of `retention.sql` use this table.
    """

    __tablename__ = "rules_seen"

    seen_by: int = Field(sa_type=BigInteger(), primary_key=True, sa_column_kwargs={"autoincrement": False})
    rules: str = Field(sa_type=TEXT, primary_key=True)
