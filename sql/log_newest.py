"""The newest rows of a log: since when there are so many, so that figures of a long time can be bounded."""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, select, union_all

from sql.database import Transaction
from sql.log_reading import Log
from sql.log_statistics import Deadline, matches
from sql.log_windows import LogFilter

FilterT = TypeVar("FilterT", bound=LogFilter)


def since_newest(
    tx: Transaction,
    log: Log[Any, FilterT],
    subscription_id: UUID | None,
    filters: FilterT,
    count: int,
    *,
    deadline: Deadline,
) -> datetime | None:
    """Return the time of the row after the `count` newest of those that match; None if there are no more.

    The rows are found in the order of an index, by the settings of `log_reading.read_in_order` or of facets,
    one of which comes before in the transaction. Raises StatementEnded.
    """
    parts = [
        _times(log, table, subscription_id, each, count)
        for table in log.tables(filters)
        for each in filters.alternatives()
    ]
    if not parts:
        return None
    deadline.bound(tx)
    times = (parts[0] if len(parts) == 1 else union_all(*parts)).subquery().c
    query = select(times.time).order_by(times.time.desc()).offset(count).limit(1)
    found: datetime | None = tx.execute(query).scalar_one_or_none()
    return found


def _times(
    log: Log[Any, FilterT], table: Any, subscription_id: UUID | None, filters: FilterT, count: int
) -> Select[Any]:
    time = log.time_of(table, filters)
    return (
        select(time.label("time"))
        .where(*matches(log, table, subscription_id, filters))
        .order_by(time.desc(), table.c[log.row_id].desc())
        .limit(count + 1)
    )
