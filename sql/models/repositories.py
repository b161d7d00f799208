"""The row that orders the writers of a subscription's repository and names the heads of its branches."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT


class RepositoryTable(SQLModel, table=True):
    """A row that each batch locks, and that git's refs follow; `commits` counts the commits of `main`.

    `versions_of_day` counts the versions made on `versions_day` (UTC). `live_resources` is right as long as
    `live_at_commits` equals `commits`: each creation, deletion and restore is a commit of `main`.
    """

    __tablename__ = "repositories"

    subscription_id: UUID = Field(primary_key=True, foreign_key="subscriptions.subscription_id")
    head_commit: str | None = Field(default=None, max_length=40)
    published_commit: str | None = Field(default=None, max_length=40)
    commits: int = Field(default=0, sa_type=BigInteger(), sa_column_kwargs={"server_default": "0"})
    created_at: datetime = Field(sa_type=INSTANT)
    # The size, as upkeep last measured it; each batch adds the size of its pack.
    packs: int | None = Field(default=None)
    bytes: int | None = Field(default=None, sa_type=BigInteger())
    measured_at: datetime | None = Field(default=None, sa_type=INSTANT)
    versions_day: date | None = Field(default=None)
    versions_of_day: int = Field(default=0, sa_type=BigInteger(), sa_column_kwargs={"server_default": "0"})
    live_resources: int = Field(default=0, sa_type=BigInteger(), sa_column_kwargs={"server_default": "0"})
    live_at_commits: int = Field(default=0, sa_type=BigInteger(), sa_column_kwargs={"server_default": "0"})
