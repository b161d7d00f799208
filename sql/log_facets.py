"""Facets of a log: how many of the rows that match have each value of some columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import BigInteger, Select, Text, cast, func, select, text, tuple_, union_all

from sql.database import Transaction
from sql.log_reading import Log
from sql.log_statistics import Deadline, matches
from sql.log_windows import LogFilter

# The planner assumes that row-level security passes few rows: it would sort them into their groups, or read
# them in the order of an index of one column.
_BY_HASH = text(
    "SELECT set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true),"
    " set_config('jit', 'off', true)"
)

FilterT = TypeVar("FilterT", bound=LogFilter)


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value, None for rows without one, and the number of rows that have it."""

    value: str | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """The most frequent values of a column, the highest count first.

    `others` is the number of rows with any other value, `other_values` the number of these values.
    """

    values: Sequence[ValueCount]
    others: int
    other_values: int


def facets(
    tx: Transaction,
    log: Log[Any, FilterT],
    subscription_id: UUID,
    filters: FilterT,
    columns: Sequence[str],
    *,
    weight: str,
    limit: int,
    deadline: Deadline | None = None,
) -> dict[str, Facet]:
    """Count the rows that match by the values of each column; `weight` is the column of a row's repeats.

    Each facet has `limit` values at most. All are made by one scan.
    Raises StatementEnded after SECONDS of the statistics.
    """
    found: dict[str, list[Any]] = {name: [] for name in columns}
    if filters.size > 0:
        (deadline or Deadline()).bound(tx)
        tx.execute(_BY_HASH)
        for row in tx.execute(_ranked(log, subscription_id, filters, columns, weight, limit)):
            found[_column_of(row.others_of, columns)].append(row)
    return {name: _facet(rows) for name, rows in found.items()}


def _ranked(
    log: Log[Any, FilterT],
    subscription_id: UUID,
    filters: FilterT,
    columns: Sequence[str],
    weight: str,
    limit: int,
) -> Select[Any]:
    selections = [
        select(
            *(log.value(table, name).label(name) for name in columns), table.c[weight].label("weight")
        ).where(*matches(log, table, subscription_id, filters))
        for table in log.tables(filters)
    ]
    rows = union_all(*selections).subquery().c
    # Grouped twice: the rows by all columns together, and these few groups by each column.
    values = [rows[name] for name in columns]
    combined = select(*values, func.sum(rows.weight).label("weight")).group_by(*values).subquery().c
    each = [combined[name] for name in columns]
    counted = (
        select(
            func.grouping(*each).label("others_of"),
            # Of a set's columns, all but its own are null.
            func.coalesce(*(cast(column, Text()) for column in each)).label("value"),
            func.sum(combined.weight).label("weight"),
        )
        .group_by(func.grouping_sets(*(tuple_(column) for column in each)))
        .subquery()
        .c
    )
    ranked = (
        select(
            counted.others_of,
            counted.value,
            cast(counted.weight, BigInteger()).label("weight"),
            func.row_number()
            .over(partition_by=counted.others_of, order_by=(counted.weight.desc(), counted.value))
            .label("place"),
            cast(func.sum(counted.weight).over(partition_by=counted.others_of), BigInteger()).label("of_all"),
            func.count().over(partition_by=counted.others_of).label("different"),
        )
        .subquery()
        .c
    )
    return select(*ranked).where(ranked.place <= limit).order_by(ranked.others_of, ranked.place)


def _column_of(others: int, columns: Sequence[str]) -> str:
    """Return the column of a set of one; GROUPING has a bit for each other, the lowest for the last one."""
    own = ~others & ((1 << len(columns)) - 1)
    return columns[-own.bit_length()]


def _facet(rows: Sequence[Any]) -> Facet:
    if not rows:
        return Facet(values=[], others=0, other_values=0)
    values = [ValueCount(row.value, row.weight) for row in rows]
    named = sum(each.count for each in values)
    return Facet(values=values, others=rows[0].of_all - named, other_values=rows[0].different - len(values))
