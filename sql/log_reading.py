"""Read logs: a page of rows, newest first, or figures by buckets of time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, Text, cast, null, select, text, tuple_, union_all
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from sql.database import Transaction
from sql.hypertables import chunk_of
from sql.log_windows import LogPaging, TimeFilter, windows_of
from sql.time_buckets import bucket_of

RowT = TypeVar("RowT")
FilterT = TypeVar("FilterT", bound=TimeFilter)
BucketT = TypeVar("BucketT")
Columns = ReadOnlyColumnCollection[str, Any]
Conversions = Mapping[str, Callable[[Any], object]]

# A plan for all parameters can't leave chunks out: making it, and using it, locks every chunk.
_PLAN_ANEW = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
# The planner assumes that row-level security passes one row in a hundred. So it would read and sort a whole
# window, instead of reading only the rows of the page in the order of an index. With enable_sort off, a sort
# that can't be avoided has a high estimated cost, which would start the JIT compiler for nothing.
_IN_ORDER = text("SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Generic[RowT, FilterT]):
    """A log: its name, its tables, their order, and the way to make its rows.

    `name` is used in events and cursors. `tables` returns the tables that can have rows for a filter. The
    columns `time` and `row_id` order the log. `selected` makes a query, without conditions, for the arguments
    of `row`; `conversions` are applied to those that are not None. `derived` has the values that are computed
    from a row, by the names under which they are filtered and grouped. `conditions` are for fields of the
    filter that are not simply compared with the value of their name.
    """

    name: str
    row: Callable[..., RowT]
    tables: Callable[[FilterT], Sequence[Table]]
    time: str = "created_at"
    row_id: str = "log_id"
    # Filters by users, who may be given by a name; readers replace it by ids.
    people: frozenset[str] = frozenset()
    selected: Callable[[Table], Select[Any]]
    derived: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    conditions: Mapping[str, Callable[[Any], ColumnElement[bool]]] = field(default_factory=dict)
    conversions: Conversions = field(default_factory=dict)
    # Filters that have an index without the subscription. It is always better than the index of time, which
    # the planner prefers while it has no statistics: so the query permits only the first.
    indexed_alone: frozenset[str] = frozenset()
    # If True, a subscription of None asks for the rows of all subscriptions, not for the platform's own.
    none_is_all: bool = False

    def position_of(self, row: RowT) -> tuple[datetime, UUID]:
        """Return the position of a row in the order of the log."""
        return getattr(row, self.time), getattr(row, self.row_id)

    def value(self, table: Table, name: str) -> ColumnElement[Any]:
        """Return the derived value or the column of a name."""
        derived = self.derived.get(name)
        return table.c[name] if derived is None else derived

    def of(self, table: Table, subscription_id: UUID | None, filters: FilterT) -> list[ColumnElement[bool]]:
        """Make all conditions on a table except for the conditions on time."""
        derived = {name: value.__eq__ for name, value in self.derived.items()}
        found = matching(table.c, filters, {**derived, **self.conditions})
        if subscription_id is None and self.none_is_all:
            return found
        if self.indexed_alone.isdisjoint(filters.given()):
            return [table.c.subscription_id == subscription_id, *found]
        return [cast(table.c.subscription_id, Text()) == str(subscription_id), *found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics(Generic[FilterT, BucketT]):
    """Figures of a log by bucket of time and group, computed from the columns that `measured` lists."""

    log: Log[Any, FilterT]
    bucket: Callable[..., BucketT]
    measured: Sequence[str] = ()
    figures: Callable[[Columns], Mapping[str, ColumnElement[Any]]]
    conversions: Conversions = field(default_factory=dict)


def matching(
    columns: Columns,
    filters: TimeFilter,
    conditions: Mapping[str, Callable[[Any], ColumnElement[bool]]] | None = None,
) -> list[ColumnElement[bool]]:
    """Make all conditions of a filter except for the conditions on time.

    A field is compared with the column of its name, unless `conditions` has a condition for it.
    """
    special = conditions or {}
    return [
        special[name](value) if name in special else columns[name] == value
        for name, value in filters.given().items()
        if name not in ("since", "until")
    ]


def between(time: ColumnElement[datetime], filters: TimeFilter) -> list[ColumnElement[bool]]:
    """Make the conditions of a filter on time, both ends inclusive."""
    bounds = [] if filters.since is None else [time >= filters.since]
    return bounds + ([] if filters.until is None else [time <= filters.until])


def page(
    tx: Transaction,
    log: Log[RowT, FilterT],
    subscription_id: UUID | None,
    filters: FilterT,
    paging: LogPaging,
) -> list[RowT]:
    """Read the rows of a page, newest first.

    A `subscription_id` of None asks for the platform's own rows, or for all rows of a log with `none_is_all`.
    """
    tables = log.tables(filters)
    queries = [
        (table, log.selected(table).where(*log.of(table, subscription_id, each)))
        for table in tables
        for each in filters.alternatives()
    ]
    if not queries:
        return []
    tx.execute(_PLAN_ANEW)
    tx.execute(_IN_ORDER)
    found: list[RowT] = []
    for begin, end in windows_of(filters, paging, min(chunk_of(table.name) for table in tables)):
        parts = []
        for table, query in queries:
            time, row_id = table.c[log.time], table.c[log.row_id]
            bounds = [] if begin is None else [time >= begin]
            bounds += [time < end] if end is not None else _upper_bounds(time, row_id, filters, paging)
            parts.append(query.where(*bounds).order_by(time.desc(), row_id.desc()))
        newest = _newest(log, parts, paging.limit - len(found))
        # The locks of a window are released before the next is read: the server has only few thousand locks.
        with tx.begin_nested() as savepoint:
            found += [_made(log.row, log.conversions, row._mapping) for row in tx.execute(newest)]
            savepoint.rollback()
        if len(found) == paging.limit:
            break
    return found


def _upper_bounds(
    time: ColumnElement[datetime], row_id: ColumnElement[UUID], filters: TimeFilter, paging: LogPaging
) -> list[ColumnElement[bool]]:
    bounds = [] if filters.until is None else [time <= filters.until]
    if paging.before is not None:
        # The second condition implies the first, but only the first excludes chunks.
        bounds += [time <= paging.before[0], tuple_(time, row_id) < paging.before]
    return bounds


def _newest(log: Log[Any, Any], parts: Sequence[Select[Any]], limit: int) -> Any:
    """Select the newest rows of several ordered selections together."""
    selections = [part.limit(limit) for part in parts]
    if len(selections) == 1:
        return selections[0]
    everything = union_all(*selections)
    names = everything.selected_columns
    return everything.order_by(names[log.time].desc(), names[log.row_id].desc()).limit(limit)


def statistics(
    tx: Transaction,
    wanted: Statistics[FilterT, BucketT],
    subscription_id: UUID,
    filters: FilterT,
    *,
    width: timedelta,
    group_by: str | None,
    limit: int,
) -> list[BucketT]:
    """Compute at most `limit` rows of figures, ascending by bucket of time, then by value of `group_by`."""
    log = wanted.log
    selections = [
        select(
            bucket_of(tx, table.c[log.time], width).label("time"),
            cast(null() if group_by is None else log.value(table, group_by), Text()).label("group"),
            *(table.c[name] for name in wanted.measured),
        ).where(*log.of(table, subscription_id, each), *between(table.c[log.time], filters))
        for table in log.tables(filters)
        for each in filters.alternatives()
    ]
    if not selections:
        return []
    rows = union_all(*selections).subquery().c
    figures = [figure.label(name) for name, figure in wanted.figures(rows).items()]
    query = (
        select(rows.time, rows.group, *figures)
        .group_by(rows.time, rows.group)
        .order_by(rows.time, rows.group)
        .limit(limit)
    )
    tx.execute(_PLAN_ANEW)
    return [_made(wanted.bucket, wanted.conversions, row._mapping) for row in tx.execute(query)]


def _made(kind: Callable[..., RowT], conversions: Conversions, values: Mapping[Any, Any]) -> RowT:
    converted = {
        name: convert(values[name]) for name, convert in conversions.items() if values[name] is not None
    }
    return kind(**{**values, **converted})
