"""Statistics of logs: figures of the rows that match, by buckets of time and by groups of equal values."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    FromClause,
    Table,
    Text,
    cast,
    func,
    literal,
    select,
    text,
    union_all,
)

from sql.database import Transaction
from sql.log_reading import Columns, Conversions, Log, arrived_since, between, made
from sql.log_windows import FAR_PAST, LogFilter
from sql.models.columns import INSTANT
from sql.time_buckets import bucket_of

FilterT = TypeVar("FilterT", bound=LogFilter)
BucketT = TypeVar("BucketT")

# Figures are for a person who waits.
SECONDS: Final = 5.0
# A statement may end so much later than the time that all have together.
_SLACK: Final = 0.2
# Planned anew as by PLAN_ANEW.
_BOUND = text(
    "SELECT set_config('statement_timeout', :timeout, true), "
    "set_config('plan_cache_mode', 'force_custom_plan', true)"
)

# The planner assumes that row-level security passes few rows, and would compare each row with each of the
# table beside it. The estimated costs without such loops are so high that they would start the JIT compiler.
_HASHED = text("SELECT set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true)")


class Deadline:
    """The time that the statements of one answer have together, SECONDS from now on, in one transaction."""

    def __init__(self) -> None:
        self._end = time.monotonic() + SECONDS
        self._told: float | None = None

    def bound(self, tx: Transaction) -> None:
        """End the next statements of the transaction, each, where the time is over.

        They are planned for their own parameters. After a quick statement, the next one has the same time.
        """
        left = self._end - time.monotonic()
        if self._told is not None and self._told - left < _SLACK:
            return
        self._told = left
        tx.execute(_BOUND, {"timeout": str(max(1, round(1000 * left)))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Groups of rows: by buckets of a width, or None for the whole time, and by the values of some columns.

    With `order`, the name of a figure, groups with more of it come first, and those without a value last. The
    percentiles and the sum are those of the column `measure`.
    """

    width: timedelta | None
    by: tuple[str, ...] = ()
    order: str | None = None
    measure: str | None = None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside(Generic[FilterT]):
    """Values to group by that are not in the rows: they lie in a table that is joined by a column.

    `table` makes it for a filter, and `value` an expression of a log's table and that one.
    """

    column: str
    table: Callable[[UUID | None, FilterT], CTE]
    value: Callable[[Table, CTE], ColumnElement[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics(Generic[FilterT, BucketT]):
    """Figures of a log by bucket of time and group, computed from the columns that `measured` lists.

    `figures` makes them from these columns and the name of the one whose percentiles are asked for.
    """

    log: Log[Any, FilterT]
    bucket: Callable[..., BucketT]
    measured: Sequence[str] = ()
    figures: Callable[[Columns, str | None], Mapping[str, ColumnElement[Any]]]
    conversions: Conversions = field(default_factory=dict)
    beside: Mapping[str, Beside[FilterT]] = field(default_factory=dict)


def percentiles(column: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    """Make p50, p95 and p99 of a column, interpolated between the two nearest values; null without any.

    PostgreSQL sorts once for the three.
    """
    values: ColumnElement[Any] = cast(column, Double())
    return {
        f"p{share}": func.percentile_cont(literal(share / 100, Double())).within_group(values)
        for share in (50, 95, 99)
    }


def whole_sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Make the sum of a column of integers, 0 without any, and 2⁶³ − 1 if it is larger.

    A sum of PostgreSQL can be longer than 64 bits, but readers of JSON take no longer integers.
    """
    return func.least(func.coalesce(func.sum(column), 0), 2**63 - 1)


def statistics(
    tx: Transaction,
    wanted: Statistics[FilterT, BucketT],
    subscription_id: UUID | None,
    filters: FilterT,
    grouping: Grouping,
    *,
    deadline: Deadline | None = None,
) -> list[BucketT]:
    """Compute figures of a subscription's rows, or of those that None means to `log_reading.page`.

    They ascend by bucket of time, then by the groups' values or by the order that is asked for.
    Raises StatementEnded after SECONDS, or at the deadline.
    """
    log = wanted.log
    if filters.size == 0:
        return []
    names = [f"group_{number}" for number in range(len(grouping.by))]
    besides = {
        by: wanted.beside[by].table(subscription_id, filters) for by in grouping.by if by in wanted.beside
    }
    selections = [
        select(
            _bucket(tx, log.time_of(table, filters), filters, grouping.width).label("time"),
            *(
                cast(_value(wanted, table, besides, by), Text()).label(name)
                for name, by in zip(names, grouping.by, strict=True)
            ),
            *(table.c[name] for name in wanted.measured),
        )
        .select_from(_joined(wanted, table, besides))
        .where(*matches(log, table, subscription_id, filters))
        for table in log.tables(filters)
    ]
    rows = union_all(*selections).subquery().c
    figures = {name: figure.label(name) for name, figure in wanted.figures(rows, grouping.measure).items()}
    groups = [rows[name] for name in names]
    order = [] if grouping.order is None else [figures[grouping.order].desc().nulls_last()]
    query = (
        select(rows.time, *groups, *figures.values())
        .group_by(rows.time, *groups)
        .order_by(rows.time, *order, *groups)
        .limit(grouping.limit)
    )
    (deadline or Deadline()).bound(tx)
    if besides:
        tx.execute(_HASHED)
    return made_buckets(wanted, tx.execute(query).mappings(), names)


def made_buckets(
    wanted: Statistics[Any, BucketT], rows: Iterable[Mapping[Any, Any]], names: Sequence[str]
) -> list[BucketT]:
    """Make the buckets of rows; `names` are those of the columns with the groups' values."""
    found: list[BucketT] = []
    for row in rows:
        values = dict(row)
        given = [values.pop(name) for name in names]
        grouped = {"group": given[0] if given else None, "groups": given}
        found.append(made(wanted.bucket, wanted.conversions, values | grouped))
    return found


def _value(
    wanted: Statistics[Any, Any], table: Table, besides: Mapping[str, CTE], by: str
) -> ColumnElement[Any]:
    return wanted.beside[by].value(table, besides[by]) if by in besides else wanted.log.value(table, by)


def _joined(wanted: Statistics[Any, Any], table: Table, besides: Mapping[str, CTE]) -> FromClause:
    found: FromClause = table
    for by, beside in besides.items():
        column = wanted.beside[by].column
        found = found.outerjoin(beside, table.c[column] == beside.c[column])
    return found


def matches(
    log: Log[Any, FilterT], table: Table, subscription_id: UUID | None, filters: FilterT
) -> list[ColumnElement[bool]]:
    """Make all conditions of a filter on the rows of a table."""
    return [
        *log.of(table, subscription_id, filters),
        *between(log.time_of(table, filters), filters),
        *arrived_since(table.c[log.time], filters),
    ]


def _bucket(
    tx: Transaction, time: ColumnElement[datetime], filters: LogFilter, width: timedelta | None
) -> ColumnElement[datetime]:
    if width is None:
        return literal(filters.since or FAR_PAST, INSTANT)
    return bucket_of(tx, time, width)
