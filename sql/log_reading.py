"""Read logs: a page of rows, newest first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, Text, bindparam, case, cast, text, tuple_, union_all
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from sql.database import Transaction
from sql.hypertables import chunk_of
from sql.log_windows import LogFilter, LogPaging, TimeFilter, earliest_arrival, windows_of

RowT = TypeVar("RowT")
FilterT = TypeVar("FilterT", bound=LogFilter)
Columns = ReadOnlyColumnCollection[str, Any]
Conversions = Mapping[str, Callable[[Any], object]]

# A plan for all parameters can't leave chunks out: making it, and using it, locks every chunk.
PLAN_ANEW = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
# The planner assumes that row-level security passes one row in a hundred. So it would read and sort a whole
# window, instead of reading only the rows of the page in the order of an index. With enable_sort off, a sort
# that can't be avoided has a high estimated cost, which would start the JIT compiler for nothing.
_IN_ORDER = text("SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)")
# The indexes of filters have the order of arrivals: in another order, few rows of a filter are best sorted.
# A condition that leaves rows out has no index.
_IN_ANY_ORDER = text("SELECT set_config('enable_sort', 'on', true), set_config('jit', 'off', true)")
_OF_TIME = frozenset({"since", "until", "time"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Generic[RowT, FilterT]):
    """A log: its name, its tables, their order, and the way to make its rows.

    `name` is used in events and cursors. `tables` returns the tables that can have rows for a filter. The
    columns `time`, of the arrival, and `row_id` order the log; `occurred_at` of a table, which may be null,
    and of a row, which is not, is the time of the event itself. `selected` makes a query, without conditions,
    for the arguments of `row`; `conversions` are applied to those that are not None. `derived` has the values
    that are computed from a row, by the names under which they are filtered and grouped. `conditions` are for
    fields of the filter that are not simply compared with the value of their name.
    """

    name: str
    row: Callable[..., RowT]
    tables: Callable[[FilterT], Sequence[Table]]
    time: str = "created_at"
    row_id: str = "log_id"
    # Filters by users, who may be given by a name; readers replace it by ids.
    people: frozenset[str] = frozenset()
    # Filters by people as a platform names them; readers add the ids of users of that name.
    reported_people: frozenset[str] = frozenset()
    # Filters by ids of a platform; readers add the canonical form of a UUID.
    reported_ids: frozenset[str] = frozenset()
    selected: Callable[[Table], Select[Any]]
    derived: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    conditions: Mapping[str, Callable[[Any], ColumnElement[bool]]] = field(default_factory=dict)
    conversions: Conversions = field(default_factory=dict)
    # Filters that have an index without the subscription. It is always better than the index of time, which
    # the planner prefers while it has no statistics: so the query permits only the first.
    indexed_alone: frozenset[str] = frozenset()
    # If True, a subscription of None asks for the rows of all subscriptions, not for the platform's own.
    none_is_all: bool = False

    def position_of(self, row: RowT, filters: FilterT) -> tuple[datetime, UUID]:
        """Return the position of a row in the order that a filter means."""
        return getattr(row, self.time_name(filters)), getattr(row, self.row_id)

    def time_name(self, filters: FilterT) -> str:
        """Return the name of the time that a filter means, in selections and rows."""
        return "occurred_at" if filters.by_occurrence else self.time

    def time_of(self, table: Table, filters: FilterT) -> ColumnElement[datetime]:
        """Return the time that a filter means."""
        return occurrence(table, self.time) if filters.by_occurrence else table.c[self.time]

    def value(self, table: Table, name: str) -> ColumnElement[Any]:
        """Return the derived value or the column of a name."""
        derived = self.derived.get(name)
        return table.c[name] if derived is None else derived

    def of(self, table: Table, subscription_id: UUID | None, filters: FilterT) -> list[ColumnElement[bool]]:
        """Make all conditions on a table except for the conditions on time."""
        derived = {name: partial(has_value, value) for name, value in self.derived.items()}
        found = matching(table.c, filters, {**derived, **self.conditions})
        if subscription_id is None and self.none_is_all:
            return found
        if self.indexed_alone.isdisjoint(filters.given()):
            return [table.c.subscription_id == subscription_id, *found]
        return [cast(table.c.subscription_id, Text()) == str(subscription_id), *found]


def occurrence(table: Table, arrival: str = "created_at") -> ColumnElement[datetime]:
    """Return the time of the event itself, written as in the index of it; `arrival` is where it is null."""
    return case((table.c.occurred_at.is_(None), table.c[arrival]), else_=table.c.occurred_at)


def has_value(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """Make the condition that a column has a value, or one of several."""
    if isinstance(value, tuple):
        # Without a name of its own, the parameter would be named by the text of a derived column.
        values = bindparam("values", value, type_=column.type, expanding=True, unique=True)
        return column.in_(values)
    is_equal: ColumnElement[bool] = column == value
    return is_equal


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
        special[name](value) if name in special else has_value(columns[name], value)
        for name, value in filters.given().items()
        if name not in _OF_TIME
    ]


def between(time: ColumnElement[datetime], filters: TimeFilter) -> list[ColumnElement[bool]]:
    """Make the conditions of a filter on time, both ends inclusive."""
    bounds = [] if filters.since is None else [time >= filters.since]
    return bounds + ([] if filters.until is None else [time <= filters.until])


def read_in_order(tx: Transaction, filters: LogFilter) -> None:
    """Set that the next statements of the transaction read rows of a filter in the order of an index."""
    tx.execute(PLAN_ANEW)
    is_sorted = filters.by_occurrence and not (_OF_TIME | filters.joint).issuperset(filters.given())
    tx.execute(_IN_ANY_ORDER if is_sorted else _IN_ORDER)


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
    read_in_order(tx, filters)
    found: list[RowT] = []
    chunks = sorted(chunk_of(table.name) for table in tables)
    for begin, end in windows_of(filters, paging, chunks[-1 if filters.by_occurrence else 0]):
        last = log.position_of(found[-1], filters)[0] if len(found) == paging.limit else filters.since
        parts = []
        for table, query in queries:
            arrival, time, row_id = table.c[log.time], log.time_of(table, filters), table.c[log.row_id]
            bounds = [] if begin is None else [arrival >= begin]
            bounds += [] if end is None else [arrival < end]
            if end is None or filters.by_occurrence:
                bounds += _upper_bounds(time, row_id, filters, paging)
            if filters.by_occurrence and last is not None:
                bounds.append(time >= last)
            parts.append(query.where(*bounds).order_by(time.desc(), row_id.desc()))
        room = paging.limit if filters.by_occurrence else paging.limit - len(found)
        newest = _newest(parts, log.time_name(filters), log.row_id, room)
        # The locks of a window are released before the next is read: the server has only few thousand locks.
        with tx.begin_nested() as savepoint:
            found += [made(log.row, log.conversions, row._mapping) for row in tx.execute(newest).all()]
            savepoint.rollback()
        found.sort(key=lambda row: log.position_of(row, filters), reverse=True)
        del found[paging.limit :]
        if len(found) == paging.limit and _is_last(begin, log.position_of(found[-1], filters)[0], filters):
            break
    return found


def _is_last(begin: datetime | None, oldest: datetime, filters: LogFilter) -> bool:
    """Tell if no row that arrived before `begin` can be newer than the oldest row of a full page."""
    return begin is None or oldest >= begin + filters.ahead


def _upper_bounds(
    time: ColumnElement[datetime], row_id: ColumnElement[UUID], filters: TimeFilter, paging: LogPaging
) -> list[ColumnElement[bool]]:
    bounds = [] if filters.until is None else [time <= filters.until]
    if paging.before is not None:
        # The second condition implies the first, but only the first excludes chunks.
        bounds += [time <= paging.before[0], tuple_(time, row_id) < paging.before]
    return bounds


def _newest(parts: Sequence[Select[Any]], time: str, row_id: str, limit: int) -> Any:
    """Select the newest rows of several ordered selections together."""
    selections = [part.limit(limit) for part in parts]
    if len(selections) == 1:
        return selections[0]
    everything = union_all(*selections)
    names = everything.selected_columns
    return everything.order_by(names[time].desc(), names[row_id].desc()).limit(limit)


def arrived_since(arrival: ColumnElement[datetime], filters: LogFilter) -> list[ColumnElement[bool]]:
    """Make the condition that excludes the chunks of earlier arrivals than a filter can find."""
    earliest = earliest_arrival(filters) if filters.by_occurrence else None
    return [] if earliest is None else [arrival >= earliest]


def made(kind: Callable[..., RowT], conversions: Conversions, values: Mapping[Any, Any]) -> RowT:
    """Make a row of the values that a log selects."""
    converted = {
        name: convert(values[name]) for name, convert in conversions.items() if values[name] is not None
    }
    return kind(**{**values, **converted})


def plain(number: float) -> float:
    """Return a whole number as an integer, which is shown without a fraction."""
    return int(number) if number.is_integer() else number
