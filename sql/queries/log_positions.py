"""The positions of rows of logs: those after one, the first of a time, and the last."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, Table, func, literal, select

from sql.database import Transaction
from sql.log_windows import FAR_PAST
from sql.models import TABLES
from sql.models.following import NOBODY

_ENTRIES, _BATCHES, _TREES = (TABLES[name] for name in ("log_entries", "log_batches", "log_trees"))

# The logs whose rows each have a position; those of the others have one together with their batch.
ENTRY_LOGS: Final = frozenset({"audit_logs", "data_change_history"})
# A row gets its position after the time that it has, however late it was committed, if clocks differ by less.
_CLOCKS_DIFFER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class LogPlace:
    """A position, and the rows that have it: their number, and the bounds of their ids and times."""

    position: int
    log: str
    first_id: UUID
    last_id: UUID
    first_at: datetime
    last_at: datetime
    rows: int


def of_entries(log: str) -> bool:
    """Tell if the rows of a table each have a position."""
    return log in ENTRY_LOGS


def after(
    tx: Transaction, log: str, subscription_id: UUID | None, position: int, *, limit: int
) -> list[LogPlace]:
    """Read the next places after a position, in their order; those of other logs are among them."""
    table = _table(log)
    query = _places(log).where(
        table.c.subscription_id == (subscription_id or NOBODY), table.c.position > position
    )
    rows = tx.execute(query.order_by(table.c.position).limit(limit))
    return [LogPlace(*row) for row in rows]


def down_to(
    tx: Transaction, log: str, subscription_id: UUID | None, position: int, *, limit: int
) -> list[LogPlace]:
    """Read the last places before a position, the last first; those of other logs are among them."""
    table = _table(log)
    query = _places(log).where(
        table.c.subscription_id == (subscription_id or NOBODY), table.c.position < position
    )
    rows = tx.execute(query.order_by(table.c.position.desc()).limit(limit))
    return [LogPlace(*row) for row in rows]


def newest(tx: Transaction, log: str, subscription_id: UUID | None) -> int:
    """Return the last position; -1 if there is none."""
    size = _TREES.c.size if of_entries(log) else _TREES.c.batches
    query = select(size).where(_TREES.c.subscription_id == (subscription_id or NOBODY))
    found: int | None = tx.execute(query).scalar_one_or_none()
    return -1 if found is None else found - 1


def before(tx: Transaction, log: str, subscription_id: UUID | None, at: datetime) -> int:
    """Return a position after which all rows of a time and of later times come.

    Positions are in the order in which they were given, so the position is found by halving.
    """
    if at <= FAR_PAST:
        return -1
    sought = at - _CLOCKS_DIFFER
    table = _table(log)
    own = table.c.subscription_id == (subscription_id or NOBODY)
    low, high = 0, newest(tx, log, subscription_id) + 1
    while low < high:
        middle = (low + high) // 2
        query = select(table.c.position, table.c.placed_at).where(own, table.c.position >= middle)
        found = tx.execute(query.order_by(table.c.position).limit(1)).one_or_none()
        if found is not None and found.placed_at < sought:
            low = found.position + 1
        else:
            high = middle
    return low - 1


def _table(log: str) -> Table:
    return _ENTRIES if of_entries(log) else _BATCHES


def _places(log: str) -> Select[Any]:
    c = _table(log).c
    if of_entries(log):
        return select(c.position, c.log, c.row_id, c.row_id, c.row_at, c.row_at, literal(1))
    return select(c.position, c.log, c.first_id, c.last_id, c.first_at, c.last_at, c.rows)


def numbered(tx: Transaction) -> list[UUID]:
    """Read the subscriptions that have positions; the platform's own rows are those of one of them."""
    return list(tx.execute(select(_TREES.c.subscription_id).order_by(_TREES.c.subscription_id)).scalars())


def delete_gone(
    tx: Transaction, subscription_id: UUID, log: str, until: datetime, after: int, *, limit: int
) -> int | None:
    """Delete positions whose rows from before `until` are gone, among `limit` ones after a position.

    Returns the last position that was looked at, None at the end. The transaction acts as the role of
    retention.
    """
    looked_at = func.delete_gone_positions(subscription_id, log, until, after, limit)
    last: int | None = tx.execute(select(looked_at)).scalar_one()
    return last
