"""Executions: the events of one execution_id together, as one row, with the version that ran."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CTE, Integer, Text, column, text

from sql.database import Transaction
from sql.log_reading import plain
from sql.log_statistics import Deadline
from sql.log_windows import AHEAD, FAR_PAST, TimeFilter

# The events of an execution are seen up to this far before and after the time in which it may begin, and up
# to this far from each other in their arrival: an execution that takes longer is seen in parts.
LONGEST: Final = timedelta(days=7)
# Times before and after those of all events, which may be imported from any past.
_EVER: Final = (datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC))
# Later than any arrival: clocks of servers differ.
_SOON: Final = timedelta(hours=1)
_FIRST_WINDOW: Final = timedelta(days=1)
COMMON: Final = Path(__file__).with_name("executions.sql").read_text()
_NAMES: Final = ("workflow_id", "job_id", "jobpackage_id", "execution_id", "execution_type", "status")
# The states of executions that did not do their work; one that was cancelled or skipped was not to do it.
FAILURES: Final = ("failed", "timed_out")
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionsFilter(TimeFilter):
    """Conditions on executions by their begin; the status of those that have not ended is `running`."""

    workflow_id: UUID | None = None
    job_id: UUID | None = None
    jobpackage_id: UUID | None = None
    execution_type: str | None = None
    status: str | None = None
    version_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSummary:
    """An execution; `ended_at` and `duration_ms` are None while no event says that it ended.

    `events` counts those of the workflow, job or job package, without those of nodes. `version_from` is
    `event` for a version that the events name, `publication` for the one that was published at the begin.
    """

    execution_id: str
    execution_type: str
    workflow_id: UUID | None
    job_id: UUID | None
    jobpackage_id: UUID | None
    begun_at: datetime
    ended_at: datetime | None
    status: str | None
    duration_ms: float | None
    events: int
    version_number: int | None
    git_commit_hash: str | None
    version_from: str | None
    first_arrival: datetime
    last_arrival: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """The time in which the events of some executions arrived: other chunks are not looked into."""

    since: datetime
    until: datetime

    @classmethod
    def of(cls, found: Sequence[ExecutionSummary]) -> "Arrivals":
        """Return the time for all events of executions, of which there is at least one."""
        return cls(
            since=min(each.first_arrival for each in found) - LONGEST,
            until=max(each.last_arrival for each in found) + LONGEST,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFailure:
    """The first failed event of an execution; without a node it is of the execution itself."""

    happened_at: datetime
    node_id: str | None
    error_code: str | None
    log_message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedNode:
    """A node of an execution, as its events together tell."""

    node_id: str | None
    begun_at: datetime
    ended_at: datetime | None
    status: str | None
    duration_ms: float | None
    events: int
    error_code: str | None


_SELECTED: Final = """
SELECT execution_id, execution_type, workflow_id, job_id, jobpackage_id, begun_at, ended_at, status,
    duration_ms, events, version_number, git_commit_hash, version_from, first_arrival, last_arrival
FROM executions
WHERE CAST(:version_number AS INTEGER) IS NULL OR version_number = :version_number
ORDER BY begun_at DESC, execution_id DESC
LIMIT :limit
"""
_PAGE = text(COMMON + _SELECTED)


def parameters(
    subscription_id: UUID | None, filters: ExecutionsFilter, since: datetime, until: datetime, **more: Any
) -> dict[str, Any]:
    """Return the parameters of `executions.sql` for executions that began in a time; `more` replaces some."""
    narrow = {name: getattr(filters, name, None) for name in _NAMES}
    return {
        "of_subscription": subscription_id,
        **narrow,
        "arrived_since": max(since, FAR_PAST) - LONGEST - AHEAD,
        "arrived_until": None,
        "seen_since": max(since, _EVER[0] + LONGEST) - LONGEST,
        "seen_until": min(until, _EVER[1] - LONGEST) + LONGEST,
        "begun_since": since,
        "begun_until": until,
        "before_time": None,
        "before_id": None,
        "is_window": False,
        "ended_as": None,
        "most": None,
        **more,
    }


def page(
    tx: Transaction,
    subscription_id: UUID,
    filters: ExecutionsFilter,
    *,
    since: datetime,
    until: datetime,
    before: tuple[datetime, str] | None,
    limit: int,
    deadline: Deadline,
) -> list[ExecutionSummary]:
    """Read executions that began from `since` to `until`, the newest first; raises StatementEnded.

    Windows, each twice as long as the last, are read until the page is full.
    """
    found: list[ExecutionSummary] = []
    end = until if before is None else min(until, before[0])
    width = _FIRST_WINDOW
    while True:
        # The first years have no week before them.
        begin = since if end - since <= width else end - width
        room = limit - len(found)
        values = parameters(
            subscription_id,
            filters,
            begin,
            end,
            before_time=None if before is None else before[0],
            before_id=None if before is None else before[1],
            is_window=True,
            ended_as=None if filters.status == "running" else filters.status,
            most=None if filters.version_number is not None else room,
        )
        deadline.bound(tx)
        values |= {"version_number": filters.version_number, "limit": room}
        # The locks of a window are released before the next is read.
        with tx.begin_nested() as savepoint:
            found += [_summary(row._mapping) for row in tx.execute(_PAGE, values)]
            savepoint.rollback()
        if len(found) >= limit or begin <= since:
            return found
        end, width = begin, width * 2
        # A window includes both its ends: what began at this instant was found.
        end -= timedelta(microseconds=1)


def _summary(values: Mapping[Any, Any]) -> ExecutionSummary:
    found = ExecutionSummary(**values)
    return replace(found, duration_ms=None if found.duration_ms is None else plain(found.duration_ms))


_LAST_ARRIVAL = text("""
SELECT created_at FROM execution_logs
WHERE subscription_id = :of_subscription AND execution_id = :execution_id
    AND created_at >= :begin AND created_at < :end
ORDER BY created_at DESC LIMIT 1
""")


def find(
    tx: Transaction, subscription_id: UUID, execution_id: str, *, at: datetime, deadline: Deadline
) -> ExecutionSummary | None:
    """Read one execution; None if there is none. Its last event is searched back in time."""
    last = _last_arrival(tx, subscription_id, execution_id, at, deadline)
    if last is None:
        return None
    values = parameters(
        subscription_id,
        ExecutionsFilter(),
        *_EVER,
        execution_id=execution_id,
        arrived_since=last - LONGEST,
        arrived_until=last,
        version_number=None,
        limit=1,
    )
    deadline.bound(tx)
    row = tx.execute(_PAGE, values).one_or_none()
    return None if row is None else _summary(row._mapping)


def _last_arrival(
    tx: Transaction, subscription_id: UUID, execution_id: str, at: datetime, deadline: Deadline
) -> datetime | None:
    end, width = at + _SOON, LONGEST
    while end > FAR_PAST:
        begin = end - width
        values = {"of_subscription": subscription_id, "execution_id": execution_id}
        deadline.bound(tx)
        with tx.begin_nested() as savepoint:
            found: datetime | None = tx.execute(
                _LAST_ARRIVAL, values | {"begin": begin, "end": end}
            ).scalar_one_or_none()
            savepoint.rollback()
        if found is not None:
            return found
        end, width = begin, width * 2
    return None


_FIRST_FAILURES = text("""
SELECT DISTINCT ON (execution_id) execution_id, happened_at, node_id, error_code, log_message
FROM (
    SELECT execution_id, node_id, error_code, log_message, log_id, 0 AS place,
        CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END AS happened_at
    FROM node_execution_logs
    WHERE subscription_id = :of_subscription AND execution_id = ANY(:execution_ids)
        AND created_at >= :arrived_since
        AND created_at <= :arrived_until AND status IN ('failed', 'timed_out')
    UNION ALL
    SELECT execution_id, node_id, error_code, log_message, log_id, 1 AS place,
        CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END AS happened_at
    FROM execution_logs
    WHERE subscription_id = :of_subscription AND execution_id = ANY(:execution_ids)
        AND created_at >= :arrived_since
        AND created_at <= :arrived_until AND status IN ('failed', 'timed_out')
) AS failures
ORDER BY execution_id, happened_at, place, log_id
""")


def first_failures(
    tx: Transaction,
    subscription_id: UUID,
    execution_ids: Sequence[str],
    *,
    arrivals: Arrivals,
    deadline: Deadline,
) -> dict[str, FirstFailure]:
    """Read the first failed event of each execution; of those at one instant, a node's comes first."""
    if not execution_ids:
        return {}
    deadline.bound(tx)
    values = {"of_subscription": subscription_id, "execution_ids": list(execution_ids), **_of(arrivals)}
    found: dict[str, FirstFailure] = {}
    for row in tx.execute(_FIRST_FAILURES, values):
        fields = dict(row._mapping)
        name = fields.pop("execution_id")
        found[name] = FirstFailure(**fields)
    return found


def _of(arrivals: Arrivals) -> dict[str, datetime]:
    return {"arrived_since": arrivals.since, "arrived_until": arrivals.until}


_NODES = text("""
SELECT node_id, min(happened_at) AS begun_at,
    CASE WHEN bool_or(is_end) THEN (array_agg(happened_at ORDER BY happened_at, log_id) FILTER (WHERE is_end))
        [count(*) FILTER (WHERE is_end)] END AS ended_at,
    (array_agg(status ORDER BY happened_at, log_id) FILTER (WHERE status IS NOT NULL))[count(status)]
        AS status,
    (array_agg(duration_ms ORDER BY happened_at, log_id) FILTER (WHERE is_end))
        [count(*) FILTER (WHERE is_end)] AS duration_ms,
    count(*) AS events,
    (array_agg(error_code ORDER BY happened_at, log_id) FILTER (WHERE error_code IS NOT NULL))[1]
        AS error_code,
    count(*) OVER () AS nodes
FROM (
    SELECT node_id, status, duration_ms, error_code, log_id,
        CASE WHEN occurred_at IS NULL THEN created_at ELSE occurred_at END AS happened_at,
        coalesce(status IN ('success', 'failed', 'cancelled', 'skipped', 'timed_out'), false) AS is_end
    FROM node_execution_logs
    WHERE subscription_id = :of_subscription AND execution_id = :execution_id
        AND created_at >= :arrived_since AND created_at <= :arrived_until
) AS seen
GROUP BY node_id
ORDER BY begun_at, node_id
LIMIT :most
""")
_ENDS: Final = frozenset({"success", "failed", "cancelled", "skipped", "timed_out"})


def nodes(
    tx: Transaction,
    subscription_id: UUID,
    execution_id: str,
    *,
    arrivals: Arrivals,
    most: int,
    deadline: Deadline,
) -> tuple[list[ExecutedNode], int]:
    """Read the nodes of an execution in the order in which they began, and count all of them."""
    deadline.bound(tx)
    values = {"of_subscription": subscription_id, "execution_id": execution_id, **_of(arrivals)}
    rows = tx.execute(_NODES, values | {"most": most}).all()
    found = []
    for row in rows:
        fields = dict(row._mapping)
        del fields["nodes"]
        found.append(_ended(ExecutedNode(**fields)))
    return found, rows[0].nodes if rows else 0


def _ended(node: ExecutedNode) -> ExecutedNode:
    """Remove the end of a node that began again since, and compute a duration that no event tells."""
    if node.status not in _ENDS or node.ended_at is None:
        return replace(node, ended_at=None, duration_ms=None)
    passed = (node.ended_at - node.begun_at) / _MILLISECOND or None
    duration = passed if node.duration_ms is None else node.duration_ms
    return replace(node, duration_ms=None if duration is None else plain(duration))


def versions_of_events(subscription_id: UUID | None, narrow: ExecutionsFilter, *, by_occurrence: bool) -> CTE:
    """Make a table of executions with their version numbers, for events of a time to be joined with."""
    since, until = narrow.since or FAR_PAST, narrow.until or _EVER[1]
    times = {"begun_since": _EVER[0], "begun_until": _EVER[1]}
    if not by_occurrence:
        times |= {"seen_since": _EVER[0], "seen_until": _EVER[1]}
    values = parameters(subscription_id, narrow, since, until, **times)
    query = text(COMMON + "SELECT execution_id, version_number FROM executions")  # noqa: S608 - constants
    selected = query.bindparams(**values).columns(
        column("execution_id", Text()), column("version_number", Integer())
    )
    return selected.cte("execution_versions")
