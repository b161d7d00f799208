"""Results of calls with an Idempotency-Key, kept so that a retry gets the same answer."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT


class IdempotencyKeyTable(SQLModel, table=True):
    """The result of one call; `attempt_id` is a digest of caller, method, path and key."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"), Index(None, "subscription_id"))

    attempt_id: bytes = Field(primary_key=True, sa_type=LargeBinary())
    subscription_id: UUID | None = Field(default=None, foreign_key="subscriptions.subscription_id")
    fingerprint: bytes = Field(sa_type=LargeBinary())
    result: bytes = Field(sa_type=LargeBinary())
    created_at: datetime = Field(sa_type=INSTANT)
