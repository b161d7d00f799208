"""Figures of executions by whole days in UTC, and the days that are counted. They follow from the logs."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, Numeric, SmallInteger, text
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT


class ExecutionFigureTable(SQLModel, table=True):
    """Figures of the events of a day that are of one type, one resource, one node, one status and one error.

    `events` counts them, and `durations` those with a duration. `bins` has the bins of durations, ascending,
    and `counts` how many are in each: see `sql.duration_bins`.
    """

    __tablename__ = "execution_figures"

    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id", primary_key=True)
    day: date = Field(primary_key=True)
    execution_type: str = Field(max_length=50, primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    workflow_id: UUID | None
    job_id: UUID | None
    jobpackage_id: UUID | None
    node_id: str | None = Field(max_length=255)
    status: str | None = Field(max_length=50)
    error_code: str | None = Field(max_length=100)
    events: int = Field(sa_type=BigInteger())
    durations: int = Field(sa_type=BigInteger())
    total_ms: float | None = Field(sa_type=DOUBLE_PRECISION())
    max_ms: float | None = Field(sa_type=DOUBLE_PRECISION())
    rows_processed: Decimal = Field(sa_type=Numeric())
    bins: list[int] = Field(sa_type=ARRAY(SmallInteger()))
    counts: list[int] = Field(sa_type=ARRAY(Integer()))


class ExecutionFigureDayTable(SQLModel, table=True):
    """A day with events of a type: how many are counted, and between which arrivals.

    A day that was not counted since events of it arrived is stale. Days without a row have no events.
    """

    __tablename__ = "execution_figure_days"
    __table_args__ = (
        Index(
            "ix_execution_figure_days_stale",
            *("subscription_id", "day"),
            postgresql_where=text("is_stale"),
        ),
    )

    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id", primary_key=True)
    day: date = Field(primary_key=True)
    execution_type: str = Field(max_length=50, primary_key=True)
    is_stale: bool
    events: int = Field(sa_type=BigInteger())
    first_arrival: datetime | None = Field(default=None, sa_type=INSTANT)
    last_arrival: datetime | None = Field(default=None, sa_type=INSTANT)
    counted_at: datetime | None = Field(default=None, sa_type=INSTANT)


class ExecutionFigurePositionTable(SQLModel, table=True):
    """The position of the first batch of a subscription whose days are not known to be stale yet."""

    __tablename__ = "execution_figure_positions"

    subscription_id: UUID = Field(foreign_key="subscriptions.subscription_id", primary_key=True)
    position: int = Field(sa_type=BigInteger())
