"""Follow a log: read its rows in the order in which they were committed, from a position on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Table,
    Uuid,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from sql.database import Transaction
from sql.log_reading import PLAN_ANEW, Log, between, made
from sql.log_windows import LogFilter
from sql.models.columns import INSTANT
from sql.queries import log_positions
from sql.queries.log_positions import LogPlace

RowT = TypeVar("RowT")
FilterT = TypeVar("FilterT", bound=LogFilter)

# The most places that one page looks at, however few rows match: it may have fewer rows than its limit, or
# none, and a cursor that goes on from there.
MOST_PLACES: Final = 2_000
# The most rows that one page looks at: a place can have thousands. At least one place is looked at.
MOST_ROWS: Final = 20_000
# Rows that match are looked for among this many at once, at most.
MOST_ROWS_AT_ONCE: Final = 1_000

# The queue knows both execution logs by one name.
_QUEUED_AS: Final = {"node_execution_logs": "execution_logs"}


@dataclass(frozen=True, slots=True)
class Reached:
    """The last position that was read; `row_id` is the last id that was read of it, None for all of them."""

    position: int = -1
    row_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Followed(Generic[RowT]):
    """Rows in the order of their commits, and how far they reach."""

    rows: Sequence[RowT]
    reached: Reached


def start(
    tx: Transaction, log: Log[Any, FilterT], subscription_id: UUID | None, filters: FilterT, *, is_now: bool
) -> Reached:
    """Find the place at which a follower begins: now, at the first time that the filter permits, or at all.

    A filter by the events' own time begins with the first row of all.
    """
    name = _queued_as(log, filters)
    if is_now:
        return Reached(newest(tx, log, subscription_id, filters))
    if filters.since is None or filters.by_occurrence:
        return Reached()
    return Reached(log_positions.before(tx, name, subscription_id, filters.since))


def newest(tx: Transaction, log: Log[Any, FilterT], subscription_id: UUID | None, filters: FilterT) -> int:
    """Return the last position of a log; -1 if there is none."""
    return log_positions.newest(tx, _queued_as(log, filters), subscription_id)


def follow(
    tx: Transaction,
    log: Log[RowT, FilterT],
    subscription_id: UUID | None,
    filters: FilterT,
    reached: Reached,
    *,
    limit: int,
) -> Followed[RowT]:
    """Read at most `limit` rows that match, after those that were reached."""
    tx.execute(PLAN_ANEW)
    name = _queued_as(log, filters)
    found: list[RowT] = []
    looked_at = rows_looked_at = 0
    while len(found) < limit and looked_at < MOST_PLACES:
        room = limit - len(found)
        first = reached.position - (reached.row_id is not None)
        places = log_positions.after(tx, name, subscription_id, first, limit=min(MOST_PLACES, 4 * room))
        if not places:
            break
        looked_at += len(places)
        for part in _parts([place for place in places if place.log == name], room):
            rows, reached = _read(tx, log, subscription_id, filters, part, reached, limit - len(found))
            found += rows
            rows_looked_at += sum(place.rows for place in part)
            if len(found) == limit or rows_looked_at >= MOST_ROWS:
                return Followed(found, reached)
        reached = Reached(places[-1].position)
    return Followed(found, reached)


def latest(
    tx: Transaction, log: Log[RowT, FilterT], subscription_id: UUID | None, filters: FilterT, *, limit: int
) -> Followed[RowT]:
    """Read the last rows that match, at most `limit`; they reach to the last position.

    They are fewer where the last MOST_PLACES places, or MOST_ROWS rows, have no more.
    """
    tx.execute(PLAN_ANEW)
    name = _queued_as(log, filters)
    end = newest(tx, log, subscription_id, filters)
    found: list[RowT] = []
    before = end + 1
    looked_at = rows_looked_at = 0
    while len(found) < limit and looked_at < MOST_PLACES and rows_looked_at < MOST_ROWS:
        room = limit - len(found)
        places = log_positions.down_to(
            tx, name, subscription_id, before, limit=min(MOST_PLACES - looked_at, 4 * room)
        )
        if not places:
            break
        looked_at += len(places)
        before = places[-1].position
        for part in _parts([place for place in places if place.log == name], room):
            query = _query(log, subscription_id, filters, part, Reached(), limit - len(found), is_last=True)
            if query is not None:
                found += [row for _, row in _executed(tx, log, query)]
            rows_looked_at += sum(place.rows for place in part)
            if len(found) == limit or rows_looked_at >= MOST_ROWS:
                break
    return Followed(found[::-1], Reached(end))


def rows_after(
    tx: Transaction, log: Log[Any, FilterT], subscription_id: UUID | None, filters: FilterT, reached: Reached
) -> int:
    """Count the rows in the next MOST_PLACES places after a position, whether they match or not."""
    name = _queued_as(log, filters)
    places = log_positions.after(tx, name, subscription_id, reached.position, limit=MOST_PLACES)
    return sum(place.rows for place in places if place.log == name)


def _queued_as(log: Log[Any, FilterT], filters: FilterT) -> str:
    name = log.tables(filters)[0].name
    return _QUEUED_AS.get(name, name)


def _parts(places: Sequence[LogPlace], rows: int) -> Iterator[list[LogPlace]]:
    """Split places, so that each part has not many more rows than are needed."""
    part: list[LogPlace] = []
    size = 0
    for place in places:
        part.append(place)
        size += place.rows
        if size >= min(rows, MOST_ROWS_AT_ONCE):
            yield part
            part, size = [], 0
    if part:
        yield part


def _read(
    tx: Transaction,
    log: Log[RowT, FilterT],
    subscription_id: UUID | None,
    filters: FilterT,
    places: Sequence[LogPlace],
    reached: Reached,
    limit: int,
) -> tuple[list[RowT], Reached]:
    query = _query(log, subscription_id, filters, places, reached, limit)
    rows = [] if query is None else _executed(tx, log, query)
    if len(rows) < limit:
        return [row for _, row in rows], Reached(places[-1].position)
    position, last = rows[-1]
    is_entry = log_positions.of_entries(places[0].log)
    return [row for _, row in rows], Reached(position, None if is_entry else getattr(last, log.row_id))


def _query(
    log: Log[Any, FilterT],
    subscription_id: UUID | None,
    filters: FilterT,
    places: Sequence[LogPlace],
    reached: Reached,
    limit: int,
    *,
    is_last: bool = False,
) -> Select[Any] | None:
    """Select the first rows of places that match, or with `is_last` the last; None if no row can."""
    given = _given(places, reached)
    selections = [
        selection
        for table in log.tables(filters)
        if (selection := _selection(log, table, subscription_id, filters, places, given)) is not None
    ]
    if not selections:
        return None
    each = (selections[0] if len(selections) == 1 else union_all(*selections)).subquery("each")
    order = (each.c.place, each.c[log.row_id])
    return select(each).order_by(*(column.desc() for column in order) if is_last else order).limit(limit)


def _executed(tx: Transaction, log: Log[RowT, Any], query: Select[Any]) -> list[tuple[int, RowT]]:
    """Read rows, each with its position."""
    rows = []
    for row in tx.execute(query).all():
        values = dict(row._mapping)
        position = values.pop("place")
        rows.append((position, made(log.row, log.conversions, values)))
    return rows


def _given(places: Sequence[LogPlace], reached: Reached) -> Any:
    """Make a table of the places: the bounds of the ids that were not read yet."""
    first_ids = [
        UUID(int=reached.row_id.int + 1)
        if reached.row_id is not None and place.position == reached.position
        else place.first_id
        for place in places
    ]
    columns = (
        literal([place.position for place in places], ARRAY(BigInteger())),
        literal(first_ids, ARRAY(Uuid())),
        literal([place.last_id for place in places], ARRAY(Uuid())),
        literal([place.first_at for place in places], ARRAY(INSTANT)),
        literal([place.last_at for place in places], ARRAY(INSTANT)),
    )
    names = ("place", "first_id", "last_id", "first_at", "last_at")
    return func.unnest(*columns).table_valued(*names, name="places").render_derived()


def _selection(
    log: Log[Any, FilterT],
    table: Table,
    subscription_id: UUID | None,
    filters: FilterT,
    places: Sequence[LogPlace],
    given: Any,
) -> Select[Any] | None:
    """Select the rows of places that match; None if no row can.

    The times of all places together exclude chunks when the query is planned.
    """
    if filters.size == 0:
        return None
    arrival, row_id = table.c[log.time], table.c[log.row_id]
    conditions: list[ColumnElement[bool]] = [
        arrival.between(min(place.first_at for place in places), max(place.last_at for place in places)),
        *log.of(table, subscription_id, filters),
        *between(log.time_of(table, filters), filters),
    ]
    if log_positions.of_entries(table.name):
        conditions += [arrival == given.c.first_at, row_id == given.c.first_id]
    else:
        conditions += [
            arrival.between(given.c.first_at, given.c.last_at),
            row_id.between(given.c.first_id, given.c.last_id),
        ]
    if subscription_id is None:
        conditions.append(table.c.subscription_id.is_(None))
    return log.selected(table).add_columns(given.c.place.label("place")).where(*conditions)
