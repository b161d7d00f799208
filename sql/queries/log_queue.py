"""The queue of rows without a position: who stores rows adds them, and the sequencer takes them.

Batches are added by `add_batch`, rows of the audit log and of the change history by a trigger.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from sqlalchemy import bindparam, insert, text

from sql.database import Transaction
from sql.models import TABLES
from sql.models.columns import INSTANT
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


# Any fixed number that no other program uses for its advisory locks in the same database.
_LOCK: Final = 0x5EA1
_TRY = text("SELECT pg_try_advisory_xact_lock(:key)")
_PLACE = text(Path(__file__).with_name("place_rows.sql").read_text()).bindparams(
    bindparam("at", type_=INSTANT)
)
_STATE = text(
    "SELECT count(*), coalesce(extract(epoch FROM now() - min(queued_at)), 0)"
    " FROM (SELECT queued_at FROM log_queue ORDER BY queued LIMIT :most) AS waiting"
)


def try_place(tx: Transaction) -> bool:
    """Take the turn of the sequencer until the transaction ends; False if another has it."""
    taken: bool = tx.execute(_TRY, {"key": _LOCK}).scalar_one()
    return taken


def place(tx: Transaction, at: datetime, *, limit: int) -> tuple[int, int]:
    """Give positions to the first rows of the queue, and of each subscription, in a repeatable read.

    `limit` is the number of the first rows, and that of the subscriptions' first rows together.
    Returns how many rows were taken from the queue, and how many got a position. In a transaction that sees
    what others commit meanwhile, a row could be taken while the position of its subscription is an older one.
    """
    taken, placed = tx.execute(_PLACE, {"limit": limit, "at": at}).one()
    return taken, placed


@dataclass(frozen=True, slots=True)
class QueueState:
    """The number of rows without a position, counted up to `MOST_COUNTED`, and the age of the oldest."""

    rows: int
    oldest_seconds: float


MOST_COUNTED: Final = 100_000


def state(tx: Transaction) -> QueueState:
    """Read the state of the queue."""
    rows, seconds = tx.execute(_STATE, {"most": MOST_COUNTED}).one()
    return QueueState(rows, max(0.0, float(seconds)))
