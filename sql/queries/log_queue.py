"""The queue of rows without a position: batches are added by who stores their rows, entries by a trigger."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from sqlalchemy import insert

from sql.database import Transaction
from sql.models import TABLES
from sql.models.following import NOBODY
from sql.pipelines import Command

_QUEUE = TABLES["log_queue"]

# The logs whose rows have one position for a batch. `execution_logs` stands for its nodes, too.
BatchLog: TypeAlias = Literal["execution_logs", "server_logs"]
# The ids of a batch are equal but for these lowest bits, which count: see `service.domain.ids.BatchIds`.
_COUNTER_BITS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBatch:
    """All rows of a log that a transaction adds for a subscription, None for the platform's own.

    The bounds are inclusive. No other row of the log may have an id between `first_id` and `last_id`.
    """

    log: BatchLog
    subscription_id: UUID | None
    first_id: UUID
    last_id: UUID
    first_at: datetime
    last_at: datetime
    rows: int


class RowOfBatch(Protocol):
    """A row of a log whose rows have one position for a batch."""

    @property
    def log_id(self) -> UUID:
        """The id, one of the batch's range."""

    @property
    def created_at(self) -> datetime:
        """The time that orders the log."""

    @property
    def subscription_id(self) -> UUID | None:
        """The subscription, None for the platform's own rows."""


# Inline: the roles that add rows may not read the number that a row gets.
_ADD = Command(insert(_QUEUE).values({field.name: None for field in fields(LogBatch)}).inline())


def add_batch(tx: Transaction, batch: LogBatch) -> None:
    """Queue a batch, in the transaction that stores its rows; a batch is queued once.

    Raises ValueError for ids that are not of one range.
    """
    if batch.first_id.int >> _COUNTER_BITS != batch.last_id.int >> _COUNTER_BITS:
        raise ValueError("the ids of a batch are not of one range")
    _ADD.execute(
        tx,
        **{field.name: getattr(batch, field.name) for field in fields(batch)}
        | {"subscription_id": batch.subscription_id or NOBODY},
    )


def add_batches(tx: Transaction, log: BatchLog, rows: Iterable[RowOfBatch]) -> None:
    """Queue rows, in the transaction that stores them, as one batch for each subscription."""
    for batch in _batches_of(log, rows):
        add_batch(tx, batch)


def _batches_of(log: BatchLog, rows: Iterable[RowOfBatch]) -> Iterator[LogBatch]:
    scope = attrgetter("subscription_id")
    for subscription_id, group in groupby(sorted(rows, key=lambda row: str(scope(row))), key=scope):
        of_one = list(group)
        yield LogBatch(
            log=log,
            subscription_id=subscription_id,
            first_id=min(row.log_id for row in of_one),
            last_id=max(row.log_id for row in of_one),
            first_at=min(row.created_at for row in of_one),
            last_at=max(row.created_at for row in of_one),
            rows=len(of_one),
        )
