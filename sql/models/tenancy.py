"""Subscriptions, the actors that history names, and the users and keys that may call."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, TEXT


class SubscriptionTable(SQLModel, table=True):
    """A tenant; with `require_if_match` each change of a resource has to name the version it is based on.

    A closed subscription can only be read. After `purge_after` it is exported, then purged; this row stays.
    A quota that is null is no limit. `log_rows_of_day` counts the events posted on `log_rows_day` (UTC),
    while there is a quota of them. Pages of `cors_origins` may call in browsers. `clone_after_purge` says who
    may clone once something was deleted for good.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        CheckConstraint(
            "(closed_at IS NULL) = (purge_after IS NULL) AND (closed_at IS NULL) = (closed_by IS NULL)"
            " AND (exported_at IS NULL OR closed_at IS NOT NULL)"
            " AND (purged_at IS NULL OR exported_at IS NOT NULL)",
            name="closed",
        ),
        CheckConstraint(
            "quota_repository_bytes >= 0 AND quota_resources >= 0"
            " AND quota_versions_a_day >= 0 AND quota_log_rows_a_day >= 0",
            name="quotas",
        ),
        CheckConstraint("clone_after_purge IN ('everybody', 'admin')", name="clone_after_purge"),
        Index(
            "ix_subscriptions_closed",
            "purge_after",
            postgresql_where=text("closed_at IS NOT NULL AND purged_at IS NULL"),
        ),
    )

    subscription_id: UUID = Field(primary_key=True)
    name: str = Field(max_length=255)
    created_at: datetime = Field(sa_type=INSTANT)
    require_if_match: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})
    closed_at: datetime | None = Field(default=None, sa_type=INSTANT)
    closed_by: str | None = Field(default=None, max_length=255)
    close_reason: str | None = Field(default=None, sa_type=TEXT)
    purge_after: datetime | None = Field(default=None, sa_type=INSTANT)
    exported_at: datetime | None = Field(default=None, sa_type=INSTANT)
    purged_at: datetime | None = Field(default=None, sa_type=INSTANT)
    quota_repository_bytes: int | None = Field(default=None, sa_type=BigInteger())
    quota_resources: int | None = Field(default=None, sa_type=BigInteger())
    quota_versions_a_day: int | None = Field(default=None, sa_type=BigInteger())
    quota_log_rows_a_day: int | None = Field(default=None, sa_type=BigInteger())
    log_rows_day: date | None = Field(default=None)
    log_rows_of_day: int = Field(default=0, sa_type=BigInteger(), sa_column_kwargs={"server_default": "0"})
    cors_origins: list[str] = Field(sa_type=ARRAY(Text()), sa_column_kwargs={"server_default": "{}"})
    clone_after_purge: str = Field(
        default="everybody", max_length=10, sa_column_kwargs={"server_default": "everybody"}
    )


class ActorTable(SQLModel, table=True):
    """A person that history names. The row outlives the user, and no other row has the e-mail address."""

    __tablename__ = "actors"
    __table_args__ = (Index(None, "subscription_id"),)

    user_id: UUID = Field(primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    username: str = Field(max_length=255)
    email: str | None = Field(max_length=255)


class UserTable(SQLModel, table=True):
    """An actor that may call, with a role in one subscription.

    `name_key` is the username without regard to case; it is null for an older user whose key another has.
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("subscription_id", "username"),
        CheckConstraint("role IN ('viewer', 'editor', 'auditor', 'admin')", name="role"),
        CheckConstraint("kind IN ('human', 'service')", name="kind"),
        Index("uq_users_name_key", "subscription_id", "name_key", unique=True),
    )

    user_id: UUID = Field(primary_key=True, foreign_key="actors.user_id")
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    username: str = Field(max_length=255)
    role: str = Field(max_length=20)
    created_at: datetime = Field(sa_type=INSTANT)
    updated_at: datetime = Field(sa_type=INSTANT)
    kind: str = Field(default="human", max_length=10, sa_column_kwargs={"server_default": "human"})
    name_key: str | None = Field(default=None, sa_type=TEXT)


class ApiKeyTable(SQLModel, table=True):
    """The SHA-256 of a key; the operator's key is the one row without subscription and user."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("(subscription_id IS NULL) = (user_id IS NULL)", name="owner"),
        Index("ix_api_keys_subscription_id_key_id", "subscription_id", "key_id"),
        Index(
            "uq_api_keys_operator",
            "name",
            unique=True,
            postgresql_where="subscription_id IS NULL",
        ),
        Index(None, "user_id"),
        Index(None, "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    )

    key_id: UUID = Field(primary_key=True)
    subscription_id: UUID | None = Field(foreign_key="subscriptions.subscription_id")
    user_id: UUID | None = Field(foreign_key="users.user_id", ondelete="CASCADE")
    name: str = Field(sa_type=TEXT)
    secret_hash: bytes = Field(sa_type=LargeBinary())
    created_by: UUID | None = Field(default=None)
    created_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime | None = Field(sa_type=INSTANT)
    last_login_at: datetime | None = Field(default=None, sa_type=INSTANT)


class AuditPolicyTable(SQLModel, table=True):
    """A rule of how much the audit log keeps of an action on a type of resource. The first to fit applies."""

    __tablename__ = "audit_policies"
    __table_args__ = (
        CheckConstraint("depth IN ('none', 'metadata', 'changes', 'full')", name="depth"),
        UniqueConstraint("subscription_id", "resource_type", "action"),
    )

    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id", primary_key=True)
    position: int = Field(primary_key=True)
    resource_type: str = Field(max_length=100)
    action: str = Field(max_length=50)
    depth: str = Field(max_length=20)
