"""Sessions of the web pages, and the links that begin one. They end with the API key that they stand for."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary, UniqueConstraint
from sqlalchemy.dialects.postgresql import INET
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT, TEXT


class WebSessionTable(SQLModel, table=True):
    """A session by the SHA-256 of its token; the operator's have no subscription."""

    __tablename__ = "web_sessions"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index(None, "subscription_id", "session_id"),
        Index(None, "key_id"),
        Index(None, "expires_at"),
    )

    session_id: UUID = Field(primary_key=True)
    subscription_id: UUID | None = Field(foreign_key="subscriptions.subscription_id")
    key_id: UUID = Field(foreign_key="api_keys.key_id", ondelete="CASCADE")
    token_hash: bytes = Field(sa_type=LargeBinary())
    created_at: datetime = Field(sa_type=INSTANT)
    last_seen_at: datetime = Field(sa_type=INSTANT)
    expires_at: datetime = Field(sa_type=INSTANT)
    ip_address: str | None = Field(sa_type=INET())
    user_agent: str | None = Field(sa_type=TEXT)


class SignInLinkTable(SQLModel, table=True):
    """A link that signs its reader in once, by the SHA-256 of its token."""

    __tablename__ = "sign_in_links"
    __table_args__ = (Index(None, "subscription_id"), Index(None, "key_id"), Index(None, "expires_at"))

    token_hash: bytes = Field(sa_type=LargeBinary(), primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    key_id: UUID = Field(foreign_key="api_keys.key_id", ondelete="CASCADE")
    expires_at: datetime = Field(sa_type=INSTANT)


class WebReadingTable(SQLModel, table=True):
    """The last event of a session that read a log with some filters, by the SHA-256 of both."""

    __tablename__ = "web_readings"
    __table_args__ = (Index(None, "subscription_id"),)

    session_id: UUID = Field(foreign_key="web_sessions.session_id", ondelete="CASCADE", primary_key=True)
    digest: bytes = Field(sa_type=LargeBinary(), primary_key=True)
    subscription_id: UUID | None = Field(foreign_key="subscriptions.subscription_id")
    read_at: datetime = Field(sa_type=INSTANT)
