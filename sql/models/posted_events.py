"""Rows beside posted audit events: e-mail addresses of their actors, and the senders' ids of the events."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT


class ReportedActorTable(SQLModel, table=True):
    """The e-mail address of an actor whom a platform names. No log has the address, so it can be erased.

    After `erased_at` the row stays, without the address: a later event does not bring it back.
    """

    __tablename__ = "reported_actors"

    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id", primary_key=True)
    actor_id: str = Field(max_length=255, primary_key=True)
    email: str | None = Field(max_length=255)
    erased_at: datetime | None = Field(default=None, sa_type=INSTANT)


class ReportedEventIdTable(SQLModel, table=True):
    """A posted event by the SHA-256 of its subscription, source and the source's id, so it is stored once."""

    __tablename__ = "reported_event_ids"
    __table_args__ = (Index(None, "subscription_id", "created_at"), Index(None, "created_at"))

    digest: bytes = Field(sa_type=LargeBinary(), primary_key=True)
    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id")
    audit_id: UUID
    created_at: datetime = Field(sa_type=INSTANT)
