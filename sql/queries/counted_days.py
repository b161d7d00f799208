"""The days of a time whose executions are counted, and the rest of the time, whose rows have to be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from sql.database import Transaction
from sql.log_reading import PLAN_ANEW
from sql.queries.execution_figures import DAY, begin_of_day

# Each part of the rest is a selection of its own in a statement: more parts are read as one, with the days
# between them.
MOST_PARTS: Final = 6
_TICK: Final = timedelta(microseconds=1)
# Days before and after those of all events.
_FIRST, _LAST = date(1, 1, 2), date(9999, 12, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class UncountedTime:
    """A part of a time, both ends inclusive; `arrived_until` is the last arrival of its rows, if known."""

    since: datetime
    until: datetime | None
    arrived_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedTime:
    """A time: its counted days, from the first to the last but for `without`, and the rest.

    `events` is the number of events of the counted days.
    """

    first: date
    last: date
    without: Sequence[date]
    rest: Sequence[UncountedTime]
    events: int


class CountedTimes:
    """Times that one transaction has parted: those of many figures are the same, and are looked up once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], CountedTime | None] = {}

    def parted(
        self,
        tx: Transaction,
        subscription_id: UUID,
        *,
        since: datetime,
        until: datetime | None,
        execution_type: str | None,
    ) -> CountedTime | None:
        """Part a time as `counted_time` does."""
        key = subscription_id, since, until, execution_type
        if key not in self._known:
            self._known[key] = counted_time(
                tx, subscription_id, since=since, until=until, execution_type=execution_type
            )
        return self._known[key]


_DAYS = text("""
SELECT seen.position, days.day, days.is_stale, days.events, days.last_arrival
FROM execution_figure_positions AS seen
LEFT JOIN (
    SELECT subscription_id, day, bool_or(is_stale) AS is_stale, sum(events)::BIGINT AS events,
        max(last_arrival) AS last_arrival
    FROM execution_figure_days
    WHERE subscription_id = :of_subscription AND day BETWEEN :first AND :last
        AND execution_type = ANY(CAST(:types AS TEXT[])) = :among_types
    GROUP BY subscription_id, day
) AS days USING (subscription_id)
WHERE seen.subscription_id = :of_subscription
""")
_NEW = text("""
SELECT min(first_at)
FROM (
    SELECT first_at FROM log_batches
    WHERE subscription_id = :of_subscription AND position >= :position AND log = 'execution_logs'
    UNION ALL
    SELECT first_at FROM log_queue WHERE subscription_id = :of_subscription AND log = 'execution_logs'
) AS batches
""")
_NEW_DAYS = text("""
SELECT DISTINCT
    ((CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END) AT TIME ZONE 'UTC')::DATE
FROM (
    SELECT occurred_at, created_at FROM execution_logs
    WHERE subscription_id = :of_subscription AND created_at >= CAST(:arrived_since AS TIMESTAMPTZ)
    UNION ALL
    SELECT occurred_at, created_at FROM node_execution_logs
    WHERE subscription_id = :of_subscription AND created_at >= CAST(:arrived_since AS TIMESTAMPTZ)
) AS arrived
""")


def counted_time(
    tx: Transaction,
    subscription_id: UUID,
    *,
    since: datetime,
    until: datetime | None,
    execution_type: str | None,
) -> CountedTime | None:
    """Part a time into counted days and the rest; None if no whole day is counted.

    Days of which events arrived since they were counted are of the rest.
    """
    first = _whole_from(since)
    last = _whole_until(until)
    if first > last:
        return None
    values: dict[str, Any] = {"of_subscription": subscription_id}
    # The days at both ends, too, for the last arrivals of their rows.
    ends = {"first": first - DAY, "last": last + DAY}
    asked = _types(execution_type)
    rows = tx.execute(_DAYS, values | ends | asked).all()
    if not rows:
        return None
    # The position is read before what is new beyond it: a day marked stale between is found twice.
    touched = _touched(tx, values | {"position": rows[0].position})
    days = {row.day: row for row in rows if row.day is not None}
    stale = {day for day, row in days.items() if row.is_stale} | touched
    missing = sorted(day for day in stale if first <= day <= last)
    events = sum(row.events for day, row in days.items() if first <= day <= last and day not in stale)
    if not events:
        return None
    parts = _parts(since, until, first, last, missing)
    if len(parts) > MOST_PARTS:
        missing = _filled(missing)
        parts = _parts(since, until, first, last, missing)
    known = {day: row.last_arrival for day, row in days.items() if day not in stale}
    rest = [_bounded(part, known, touched) for part in parts]
    return CountedTime(first=first, last=last, without=missing, rest=rest, events=events)


def _types(execution_type: str | None) -> dict[str, Any]:
    """Make the condition on types: one, or none that is unknown."""
    if execution_type is None:
        return {"types": [], "among_types": False}
    return {"types": [execution_type], "among_types": True}


def _whole_from(since: datetime) -> date:
    """Return the first day of which no instant is before a time."""
    day = since.astimezone(UTC).date()
    day = min(max(day, _FIRST), _LAST)
    return day if since <= begin_of_day(day) else day + DAY


def _whole_until(until: datetime | None) -> date:
    """Return the last day of which no instant is after a time."""
    end = begin_of_day(_LAST)
    following = (min(end, until or end).astimezone(UTC) + _TICK).date()
    return max(following, _FIRST) - DAY


def _touched(tx: Transaction, values: Mapping[str, Any]) -> set[date]:
    first_at = tx.execute(_NEW, values).scalar_one()
    if first_at is None:
        return set()
    tx.execute(PLAN_ANEW)
    return set(tx.execute(_NEW_DAYS, {**values, "arrived_since": first_at}).scalars())


def _filled(missing: Sequence[date]) -> list[date]:
    """Return all days from the first to the last of some."""
    return [missing[0] + DAY * number for number in range((missing[-1] - missing[0]).days + 1)]


def _parts(
    since: datetime, until: datetime | None, first: date, last: date, missing: Sequence[date]
) -> list[UncountedTime]:
    """Make the parts of a time that lie in no counted day; neighbours are one part."""
    begin, end = begin_of_day(first), begin_of_day(last + DAY)
    found: list[tuple[datetime, datetime | None]] = []
    if since < begin:
        found.append((since, begin - _TICK))
    found += [(begin_of_day(day), begin_of_day(day + DAY) - _TICK) for day in missing]
    if until is None or until >= end:
        found.append((end, until))
    joined: list[tuple[datetime, datetime | None]] = []
    for part_since, part_until in found:
        if joined and joined[-1][1] is not None and joined[-1][1] + _TICK == part_since:
            joined[-1] = (joined[-1][0], part_until)
        else:
            joined.append((part_since, part_until))
    return [UncountedTime(since=part_since, until=part_until) for part_since, part_until in joined]


def _bounded(part: UncountedTime, known: Mapping[date, datetime | None], touched: set[date]) -> UncountedTime:
    """Add the last arrival of a part of one day, all of whose events are counted."""
    if part.until is None:
        return part
    day = part.since.astimezone(UTC).date()
    if day != part.until.astimezone(UTC).date() or day in touched or known.get(day) is None:
        return part
    return UncountedTime(since=part.since, until=part.until, arrived_until=known[day])
