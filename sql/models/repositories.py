"""The row that orders the writers of a subscription's repository and names the heads of its branches."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT


class RepositoryTable(SQLModel, table=True):
    """Locked by each batch; the refs in git follow this row. `commits` is the number of commits of `main`."""

    __tablename__ = "repositories"

    subscription_id: UUID = Field(primary_key=True, foreign_key="subscriptions.subscription_id")
    head_commit: str | None = Field(default=None, max_length=40)
    published_commit: str | None = Field(default=None, max_length=40)
    commits: int = Field(default=0, sa_type=BigInteger(), sa_column_kwargs={"server_default": "0"})
    created_at: datetime = Field(sa_type=INSTANT)
    # As upkeep measured it last.
    packs: int | None = Field(default=None)
    bytes: int | None = Field(default=None, sa_type=BigInteger())
    measured_at: datetime | None = Field(default=None, sa_type=INSTANT)
