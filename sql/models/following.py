"""The order in which rows of logs were committed: a queue, and the positions that the sequencer gives.

The platform's own rows are those of the subscription `NOBODY`, since a key has no nulls.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, text
from sqlmodel import Field, SQLModel

from sql.models.columns import INSTANT

# The time of the statement, of which a transaction may have many.
CLOCK: Final = {"server_default": text("clock_timestamp()")}
NOBODY: Final = UUID(int=0)


class LogQueueTable(SQLModel, table=True):
    """Rows of logs that have no position yet: one of a log with entries, or all of a batch."""

    __tablename__ = "log_queue"
    __table_args__ = (
        CheckConstraint(
            "log IN ('audit_logs', 'data_change_history', 'execution_logs', 'server_logs')", name="log"
        ),
        CheckConstraint(
            "rows > 0 AND (rows = 1 OR log NOT IN ('audit_logs', 'data_change_history'))", name="rows"
        ),
        # For the turns of subscriptions.
        Index(None, "subscription_id", "queued"),
    )

    queued: int = Field(sa_column=Column(BigInteger(), Identity(always=True), primary_key=True))
    log: str = Field(max_length=100)
    subscription_id: UUID
    first_id: UUID
    last_id: UUID
    first_at: datetime = Field(sa_type=INSTANT)
    last_at: datetime = Field(sa_type=INSTANT)
    rows: int
    queued_at: datetime = Field(sa_type=INSTANT, sa_column_kwargs=CLOCK)


class LogEntryTable(SQLModel, table=True):
    """One position for each row of the audit log and the change history together, dense from 0."""

    __tablename__ = "log_entries"

    subscription_id: UUID = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger(), primary_key=True)
    log: str = Field(max_length=100)
    row_id: UUID
    row_at: datetime = Field(sa_type=INSTANT)
    placed_at: datetime = Field(sa_type=INSTANT)


class LogBatchTable(SQLModel, table=True):
    """One position for all rows that a transaction added to the execution logs, or to the server log.

    Their ids lie between `first_id` and `last_id`, where no other row's id lies, and their times between
    `first_at` and `last_at`.
    """

    __tablename__ = "log_batches"

    subscription_id: UUID = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger(), primary_key=True)
    log: str = Field(max_length=100)
    first_id: UUID
    last_id: UUID
    first_at: datetime = Field(sa_type=INSTANT)
    last_at: datetime = Field(sa_type=INSTANT)
    rows: int
    placed_at: datetime = Field(sa_type=INSTANT)


class LogTreeTable(SQLModel, table=True):
    """The next position of a subscription's entries, `size`, and of its batches."""

    __tablename__ = "log_trees"

    subscription_id: UUID = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger())
    batches: int = Field(sa_type=BigInteger())
