"""Figures of executions of a long time: those of counted days, and the rows of the rest, added."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    DateTime,
    Double,
    Integer,
    Label,
    Numeric,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    null,
    select,
    text,
    union_all,
)

from sql.database import Transaction
from sql.duration_bins import bin_of, value_of
from sql.log_reading import matching
from sql.log_statistics import Deadline, Grouping, made_buckets, matches
from sql.log_windows import FAR_PAST
from sql.models import TABLES
from sql.models.columns import INSTANT
from sql.queries.counted_days import CountedTime, CountedTimes, UncountedTime
from sql.queries.execution_figures import DAY
from sql.queries.execution_logs import EXECUTION_LOG, FIGURES, ExecutionBucket, ExecutionFilter
from sql.queries.executions import FAILURES
from sql.time_buckets import bucket_of

_FIGURES = TABLES["execution_figures"]
_VALUES: Final = (
    "workflow_id",
    "job_id",
    "jobpackage_id",
    "node_id",
    "status",
    "error_code",
    "execution_type",
)
# A filter without a time has no days, and other conditions are not of the figures.
_FILTERS: Final = frozenset({*_VALUES, "since", "until", "time"})
_MATCHED: Final = "matched"
_SHARES: Final = (50, 95, 99)
# The planner assumes that row-level security passes few rows: it would sort the bins rather than hash them.
# The estimated costs without sorts would start the JIT compiler, and other processes, which others wait for.
# The hashes of many bins need some memory.
_HASHED = text(
    "SELECT set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true), "
    "set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true), "
    "set_config('work_mem', '16MB', true)"
)


def figures(
    tx: Transaction,
    subscription_id: UUID,
    filters: ExecutionFilter,
    grouping: Grouping,
    deadline: Deadline,
    *,
    most_rows: int,
    times: CountedTimes | None = None,
) -> list[ExecutionBucket] | None:
    """Compute figures by counted days; None where rows have to be read.

    Rows are read if there are at most `most_rows` in the counted days, or for a question that the figures of
    days do not answer. `times` are those of the other figures of the transaction. Raises StatementEnded.
    """
    if filters.since is None or not _is_answered(filters, grouping):
        return None
    deadline.bound(tx)
    time = (times or CountedTimes()).parted(
        tx,
        subscription_id,
        since=filters.since,
        until=filters.until,
        execution_type=filters.execution_type,
    )
    if time is None or time.events <= most_rows:
        return None
    deadline.bound(tx)
    names = [f"group_{number}" for number in range(len(grouping.by))]
    query = _query(tx, subscription_id, filters, grouping, time, names)
    deadline.bound(tx)
    # The settings end with the savepoint.
    with tx.begin_nested() as savepoint:
        tx.execute(_HASHED)
        rows = tx.execute(query).mappings().all()
        savepoint.rollback()
    # Filters leave out rows of the counted days: how many remain is known now.
    if not rows or rows[0][_MATCHED] <= most_rows:
        return None
    shown = ({name: value for name, value in row.items() if name != _MATCHED} for row in rows)
    return made_buckets(FIGURES, shown, names)


def _is_answered(filters: ExecutionFilter, grouping: Grouping) -> bool:
    return (
        filters.by_occurrence
        and filters.size > 0
        and filters.given().keys() <= _FILTERS
        and set(grouping.by) <= set(_VALUES)
        and grouping.measure in (None, "duration_ms")
        and (grouping.width is None or grouping.width % DAY == timedelta())
    )


def _of_days(subscription_id: UUID, filters: ExecutionFilter, time: CountedTime) -> list[ColumnElement[bool]]:
    day = _FIGURES.c.day
    found = [
        _FIGURES.c.subscription_id == subscription_id,
        day.between(time.first, time.last),
        *matching(_FIGURES.c, filters),
    ]
    return [*found, day.not_in(time.without)] if time.without else found


def _query(
    tx: Transaction,
    subscription_id: UUID,
    filters: ExecutionFilter,
    grouping: Grouping,
    time: CountedTime,
    names: Sequence[str],
) -> Select[Any]:
    begin = func.timezone("UTC", cast(_FIGURES.c.day, DateTime()), type_=INSTANT)
    days = (
        select(
            _bucket(tx, begin, filters, grouping.width).label("time"),
            *(_FIGURES.c[by].label(name) for by, name in zip(grouping.by, names, strict=True)),
            *(_FIGURES.c[name] for name in ("status", "events", "durations", "total_ms", "max_ms")),
            *(_FIGURES.c[name] for name in ("rows_processed", "bins", "counts")),
        )
        .where(*_of_days(subscription_id, filters, time))
        .cte("days")
    )
    groups = ["time", *names]
    parts = [
        _whole(days, groups),
        _binned(days, groups),
        *(each for part in time.rest for each in _rest(tx, subscription_id, filters, grouping, part, names)),
    ]
    merged = _merged(union_all(*parts).cte("parts"), groups)
    return _shown(_ranked(merged, groups), names, grouping)


def _bucket(
    tx: Transaction, time: ColumnElement[Any], filters: ExecutionFilter, width: timedelta | None
) -> ColumnElement[Any]:
    if width is None:
        return literal(filters.since or FAR_PAST, INSTANT)
    return bucket_of(tx, time, width)


def _whole(days: CTE, groups: Sequence[str]) -> Select[Any]:
    """Select the sums of figures, which are of all bins together."""
    c = days.c
    of_group = [c[name] for name in groups]
    sums = _sums(
        place=null(),
        number=literal(0),
        events=func.sum(c.events),
        failed=func.coalesce(func.sum(c.events).filter(c.status.in_(FAILURES)), 0),
        durations=func.sum(c.durations),
        total_ms=func.sum(c.total_ms),
        max_ms=func.max(c.max_ms),
        rows_processed=func.sum(c.rows_processed),
    )
    return select(*of_group, *sums).group_by(*of_group)


def _binned(days: CTE, groups: Sequence[str]) -> Select[Any]:
    """Select the number of durations in each bin. There are many bins, so nothing else is summed up here."""
    bins = select(
        *(days.c[name] for name in groups),
        func.unnest(days.c.bins).label("place"),
        func.unnest(days.c.counts).label("number"),
    ).subquery()
    of_group = [bins.c[name] for name in groups]
    zero = literal(0)
    sums = _sums(
        place=bins.c.place,
        number=func.sum(bins.c.number),
        events=zero,
        failed=zero,
        durations=zero,
        total_ms=null(),
        max_ms=null(),
        rows_processed=zero,
    )
    return select(*of_group, *sums).group_by(*of_group, bins.c.place)


def _rest(
    tx: Transaction,
    subscription_id: UUID,
    filters: ExecutionFilter,
    grouping: Grouping,
    part: UncountedTime,
    names: Sequence[str],
) -> list[Select[Any]]:
    """Select the rows of a part of the time."""
    narrow = replace(filters, since=part.since, until=part.until)
    found = []
    for table in EXECUTION_LOG.tables(narrow):
        c = table.c
        time = EXECUTION_LOG.time_of(table, narrow)
        duration = c.duration_ms
        selected = select(
            _bucket(tx, time, filters, grouping.width).label("time"),
            *(c[by].label(name) for by, name in zip(grouping.by, names, strict=True)),
            *_sums(
                place=bin_of(duration),
                number=case((duration.is_(None), 0), else_=1),
                events=literal(1),
                failed=case((c.status.in_(FAILURES), 1), else_=0),
                durations=case((duration.is_(None), 0), else_=1),
                total_ms=duration,
                max_ms=duration,
                rows_processed=func.coalesce(c.rows_processed, 0),
            ),
        ).where(*matches(EXECUTION_LOG, table, subscription_id, narrow))
        if part.arrived_until is not None:
            selected = selected.where(c.created_at <= part.arrived_until)
        found.append(selected)
    return found


def _sums(
    *,
    place: ColumnElement[Any],
    number: ColumnElement[Any],
    events: ColumnElement[Any],
    failed: ColumnElement[Any],
    durations: ColumnElement[Any],
    total_ms: ColumnElement[Any],
    max_ms: ColumnElement[Any],
    rows_processed: ColumnElement[Any],
) -> list[Label[Any]]:
    """Name the columns of all parts, and give them their types."""
    return [
        cast(place, Integer()).label("bin"),
        cast(number, BigInteger()).label("number"),
        cast(events, BigInteger()).label("events"),
        cast(failed, BigInteger()).label("failed"),
        cast(durations, BigInteger()).label("durations"),
        cast(total_ms, Double()).label("total_ms"),
        cast(max_ms, Double()).label("max_ms"),
        cast(rows_processed, Numeric()).label("rows_processed"),
    ]


def _merged(parts: CTE, groups: Sequence[str]) -> CTE:
    """Add the figures of each group and bin."""
    c = parts.c
    columns = [*(c[name] for name in groups), c.bin]
    added = [func.sum(c[name]).label(name) for name in ("number", "events", "failed", "durations")]
    query = select(
        *columns, *added, func.sum(c.total_ms).label("total_ms"), func.max(c.max_ms).label("max_ms")
    )
    query = query.add_columns(func.sum(c.rows_processed).label("rows_processed"))
    return query.group_by(*columns).cte("merged")


def _ranked(merged: CTE, groups: Sequence[str]) -> CTE:
    """Add how many durations are in all bins of a group up to each one, and in all of them."""
    c = merged.c
    of_group = [c[name] for name in groups]
    up_to = func.sum(c.number).over(partition_by=of_group, order_by=c.bin.nulls_first())
    whole = func.sum(c.number).over(partition_by=of_group)
    return select(merged, up_to.label("up_to"), whole.label("whole")).cte("ranked")


def _shown(ranked: CTE, names: Sequence[str], grouping: Grouping) -> Select[Any]:
    c = ranked.c
    durations: ColumnElement[Any] = cast(func.nullif(func.sum(c.durations), 0), Double())
    total: ColumnElement[Any] = cast(func.sum(c.total_ms), Double())
    longest = func.max(c.max_ms)
    shown: dict[str, ColumnElement[Any]] = {
        "count": cast(func.sum(c.events), BigInteger()),
        "failed": cast(func.sum(c.failed), BigInteger()),
        "avg_duration_ms": total / durations,
        "max_duration_ms": longest,
        "rows_processed": func.least(func.sum(c.rows_processed), 2**63 - 1),
        "sum": total,
        **{f"p{share}": func.least(_percentile(ranked, share / 100), longest) for share in _SHARES},
    }
    labelled = {name: figure.label(name) for name, figure in shown.items()}
    groups = [cast(c[name], Text()).label(name) for name in names]
    # Windows are computed before the limit.
    matched = func.sum(func.sum(c.events)).over()
    order = [] if grouping.order is None else [labelled[grouping.order].desc().nulls_last()]
    return (
        select(c.time, *groups, *labelled.values(), matched.label(_MATCHED))
        .group_by(c.time, *(c[name] for name in names))
        .order_by(c.time, *order, *groups)
        .limit(grouping.limit)
    )


def _percentile(ranked: CTE, share: float) -> ColumnElement[Any]:
    """Make a percentile, which lies between the two nearest values as in `percentile_cont`."""
    c = ranked.c
    place: ColumnElement[Any] = literal(share, Double()) * cast(c.whole - 1, Double())

    def nearest(rank: ColumnElement[Any]) -> ColumnElement[Any]:
        return value_of(func.min(c.bin).filter(c.bin.is_not(None), c.up_to > rank))

    below, above = nearest(func.floor(place)), nearest(func.ceil(place))
    # The place is the same in all rows of a group.
    return below + (above - below) * func.max(place - func.floor(place))
