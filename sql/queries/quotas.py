"""Numbers that count against the quotas of a subscription: live resources, and the log rows of a day."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import BigInteger, Date, bindparam, func, select, union_all, update

from sql.database import OF_SUBSCRIPTION, Transaction
from sql.models import TABLES
from sql.pipelines import Command, Later, Query
from sql.queries.resources import TABLE_OF

_SUBSCRIPTIONS = TABLES["subscriptions"]


@dataclass(frozen=True, slots=True)
class LogRows:
    """The quota of log rows a day, None without one, and the rows counted on `day`."""

    limit: int | None
    day: date | None
    rows: int


_LOG_ROWS = select(
    _SUBSCRIPTIONS.c.quota_log_rows_a_day.label("limit"),
    _SUBSCRIPTIONS.c.log_rows_day.label("day"),
    _SUBSCRIPTIONS.c.log_rows_of_day.label("rows"),
).where(_SUBSCRIPTIONS.c.subscription_id == OF_SUBSCRIPTION)
_READ_LOG_ROWS = Query(_LOG_ROWS, LogRows)
# Locks nothing where there is no quota: only then are posts of one subscription written at the same time.
_LOCK_LOG_ROWS = Query(
    _LOG_ROWS.where(_SUBSCRIPTIONS.c.quota_log_rows_a_day.is_not(None)).with_for_update(key_share=True),
    LogRows,
)
_COUNT_LOG_ROWS = Command(
    update(_SUBSCRIPTIONS)
    .where(_SUBSCRIPTIONS.c.subscription_id == OF_SUBSCRIPTION)
    .values(
        log_rows_day=bindparam("day", type_=Date()), log_rows_of_day=bindparam("rows", type_=BigInteger())
    )
)


def log_rows(tx: Transaction, subscription_id: UUID) -> LogRows:
    """Read the quota of log rows and their count, without waiting for a writer."""
    [found] = _READ_LOG_ROWS.all(tx, of_subscription=subscription_id)
    return found


def send_log_rows(tx: Transaction, subscription_id: UUID) -> Later[LogRows]:
    """Send the query for the quota of log rows and their count, within a pipeline."""
    return _READ_LOG_ROWS.send(tx, of_subscription=subscription_id)


def lock_log_rows(tx: Transaction, subscription_id: UUID) -> list[LogRows]:
    """Read the count of log rows, and lock it until the transaction ends; no row if there is no quota."""
    return _LOCK_LOG_ROWS.all(tx, of_subscription=subscription_id)


def count_log_rows(tx: Transaction, subscription_id: UUID, *, day: date, rows: int) -> None:
    """Set the number of log rows of a day; the caller has locked it."""
    _COUNT_LOG_ROWS.execute(tx, of_subscription=subscription_id, day=day, rows=rows)


def live_resources(tx: Transaction, subscription_id: UUID) -> int:
    """Count the resources of a subscription that are not deleted."""
    live = union_all(
        *(
            select(func.count().label("live")).where(
                table.c.subscription_id == subscription_id, table.c.deleted_at.is_(None)
            )
            for table in TABLE_OF.values()
        )
    ).subquery()
    return int(tx.execute(select(func.sum(live.c.live))).scalar_one())
