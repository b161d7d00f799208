"""Counting of executions by whole days: which days are stale, and the figures of each."""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from sql.database import Transaction
from sql.duration_bins import BIN_OF
from sql.log_reading import PLAN_ANEW
from sql.log_windows import AHEAD, FAR_PAST

DAY: Final = timedelta(days=1)
# Earlier and later than any arrival.
_EVER: Final = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
NODE: Final = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleDay:
    """A day whose events of a type have to be counted, and what its figures count so far."""

    day: date
    execution_type: str
    events: int
    first_arrival: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedDay:
    """The number of events of a day and type, and the first and the last arrival of these."""

    events: int
    first_arrival: datetime | None
    last_arrival: datetime | None

    def lacks(self, earlier: StaleDay) -> bool:
        """Tell if rows that were counted earlier have been deleted since.

        Retention deletes the rows first that arrived first.
        """
        if self.events < earlier.events:
            return True
        first = earlier.first_arrival
        return first is not None and (self.first_arrival is None or self.first_arrival > first)


def begin_of_day(day: date) -> datetime:
    """Return the first instant of a day."""
    return datetime.combine(day, time(), UTC)


# A batch that waits in the queue is looked at when it has its position.
_CHANGED = text("""
SELECT trees.subscription_id
FROM log_trees AS trees
JOIN subscriptions USING (subscription_id)
LEFT JOIN execution_figure_positions AS seen USING (subscription_id)
WHERE subscriptions.closed_at IS NULL AND (seen.position IS NULL OR seen.position < trees.batches)
ORDER BY trees.subscription_id
""")
_WITH_STALE_DAYS = text("""
SELECT DISTINCT days.subscription_id
FROM execution_figure_days AS days JOIN subscriptions USING (subscription_id)
WHERE days.is_stale AND days.day < :before AND subscriptions.closed_at IS NULL
ORDER BY days.subscription_id
""")


def changed(tx: Transaction) -> list[UUID]:
    """Read the open subscriptions with batches that were not looked at."""
    return list(tx.execute(_CHANGED).scalars())


def with_stale_days(tx: Transaction, before: date) -> list[UUID]:
    """Read the open subscriptions with stale days before a day."""
    return list(tx.execute(_WITH_STALE_DAYS, {"before": before}).scalars())


_LOCK_POSITION = text(
    "SELECT position FROM execution_figure_positions WHERE subscription_id = :of_subscription FOR UPDATE"
)
_ARRIVALS = text("""
SELECT min(first_at) AS first_at, max(last_at) AS last_at
FROM log_batches
WHERE subscription_id = :of_subscription AND log = 'execution_logs'
    AND position >= :after AND position < :before
""")
_POSITION = text("SELECT batches FROM log_trees WHERE subscription_id = :of_subscription")
_MARK = text("""
INSERT INTO execution_figure_days AS known (subscription_id, day, execution_type, is_stale, events)
SELECT DISTINCT :of_subscription,
    ((CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END) AT TIME ZONE 'UTC')::DATE,
    execution_type, true, 0
FROM (
    SELECT occurred_at, created_at, execution_type FROM execution_logs
    WHERE subscription_id = :of_subscription AND created_at BETWEEN :first_at AND :last_at
    UNION ALL
    SELECT occurred_at, created_at, execution_type FROM node_execution_logs
    WHERE subscription_id = :of_subscription AND created_at BETWEEN :first_at AND :last_at
) AS arrived
ORDER BY 2, 3
ON CONFLICT (subscription_id, day, execution_type) DO UPDATE SET is_stale = true WHERE NOT known.is_stale
""")
_SET_POSITION = text("""
INSERT INTO execution_figure_positions AS seen (subscription_id, position)
VALUES (:of_subscription, :position)
ON CONFLICT (subscription_id) DO UPDATE SET position = greatest(seen.position, :position)
""")


def mark(tx: Transaction, subscription_id: UUID) -> None:
    """Mark the days stale in which events happened that arrived since the last call; at first all days.

    Days of others that arrived meanwhile are marked, too: they are counted again to the same figures.
    """
    values: dict[str, Any] = {"of_subscription": subscription_id}
    tx.execute(PLAN_ANEW)
    after = tx.execute(_LOCK_POSITION, values).scalar_one_or_none()
    before = tx.execute(_POSITION, values).scalar_one()
    first_at: datetime | None
    first_at, last_at = _EVER
    if after is not None:
        first_at, last_at = tx.execute(_ARRIVALS, values | {"after": after, "before": before}).one()
    if first_at is not None:
        tx.execute(_MARK, values | {"first_at": first_at, "last_at": last_at})
    tx.execute(_SET_POSITION, values | {"position": before})


# A day with many events is counted again less often, so that late events of a large subscription take a small
# share of the run's time.
_STALE = text("""
SELECT day, execution_type, events, first_arrival
FROM execution_figure_days
WHERE subscription_id = :of_subscription AND is_stale AND day < :before
    AND (counted_at IS NULL OR counted_at + events * INTERVAL '0.1 milliseconds' < :at)
ORDER BY day DESC, execution_type
LIMIT 1
FOR UPDATE SKIP LOCKED
""")
_THESE = "WHERE subscription_id = :of_subscription AND day = :day AND execution_type = :execution_type"
_FORGET = text(f"DELETE FROM execution_figures {_THESE}")  # noqa: S608 - constants
_COUNT: Final = {
    table: text(Path(__file__).with_suffix(".sql").read_text().format(bin=BIN_OF, table=table))
    for table in ("execution_logs", "node_execution_logs")
}
# The planner assumes that row-level security passes few rows, and would sort all rows of the day.
_HASHED = text("SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)")
_STORE = text(
    "UPDATE execution_figure_days SET is_stale = false, counted_at = :at, events = :events,"  # noqa: S608
    f" first_arrival = :first_arrival, last_arrival = :last_arrival {_THESE}"
)
_KEEP = text(f"UPDATE execution_figure_days SET is_stale = false {_THESE}")  # noqa: S608 - constants


def next_stale(tx: Transaction, subscription_id: UUID, *, before: date, at: datetime) -> StaleDay | None:
    """Lock the newest stale day before a day, until the transaction ends; None if there is none to count."""
    values = {"of_subscription": subscription_id, "before": before, "at": at}
    row = tx.execute(_STALE, values).one_or_none()
    return None if row is None else StaleDay(**row._mapping)


def count(tx: Transaction, subscription_id: UUID, stale: StaleDay, *, at: datetime) -> CountedDay | None:
    """Count a locked day; None, and its figures stay, if rows that they count have been deleted since."""
    these = {"of_subscription": subscription_id, "day": stale.day, "execution_type": stale.execution_type}
    begin = begin_of_day(stale.day)
    arrived_since = _EVER[0] if begin <= FAR_PAST else begin - AHEAD
    values = {**these, "begin": begin, "end": begin + DAY, "arrived_since": arrived_since}
    table = "node_execution_logs" if stale.execution_type == NODE else "execution_logs"
    savepoint = tx.begin_nested()
    tx.execute(PLAN_ANEW)
    tx.execute(_HASHED)
    tx.execute(_FORGET, these)
    counted = CountedDay(**tx.execute(_COUNT[table], values).one()._mapping)
    if counted.lacks(stale):
        savepoint.rollback()
        tx.execute(_KEEP, these)
        return None
    savepoint.commit()
    tx.execute(_STORE, {**these, **asdict(counted), "at": at})
    return counted


_EXPIRE = text("""
WITH expired AS (
    DELETE FROM execution_figure_days
    WHERE subscription_id = :of_subscription AND NOT is_stale AND last_arrival < :before
    RETURNING day, execution_type
)
DELETE FROM execution_figures AS figures USING expired
WHERE figures.subscription_id = :of_subscription AND figures.day = expired.day
    AND figures.execution_type = expired.execution_type
""")
_COUNTED = text("SELECT DISTINCT subscription_id FROM execution_figure_days WHERE last_arrival < :before")


def with_old_days(tx: Transaction, before: datetime) -> list[UUID]:
    """Read the subscriptions with counted days whose last event arrived before a time."""
    return list(tx.execute(_COUNTED, {"before": before}).scalars())


def expire(tx: Transaction, subscription_id: UUID, before: datetime) -> int:
    """Delete the figures of days whose last event arrived before a time; returns how many there were."""
    return tx.execute(_EXPIRE, {"of_subscription": subscription_id, "before": before}).rowcount
