"""Searching logs from their newest row back, window by window, so that a page touches few chunks.

Without a lower bound, PostgreSQL locks every chunk of a log and every index of each before it reads a row.
So the first window is as long as a chunk, and each further one twice as long as the last, until the page is
full.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Row, Select, text, tuple_, union_all
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from sql.database import Transaction

# Before there was any log. What lies before it all the same is found by one last window without a beginning.
FAR_PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)
TIMES: Final = ("since", "until")

# A plan that is kept for all parameters can't leave chunks out: making one, and using it, locks them all.
_PLAN_ANEW = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
# The planner takes row-level security to let one row in a hundred pass, and so would rather read and sort a
# whole window than read no more rows than it needs in an index's order. Where it must sort all the same, the
# price that it now puts on that is no reason to compile.
_IN_ORDER = text("SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Which rows a page may hold; `since` and `until` are inclusive, `before` is the last position seen.

    `at` is the time now, where a search without an end begins; rows a little ahead of it are found as well.
    """

    since: datetime | None
    until: datetime | None
    before: tuple[datetime, UUID] | None
    limit: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A selection from one log without conditions on time, and the columns that order it."""

    query: Select[Any]
    time: Column[Any]
    row_id: Column[Any]


def matching(
    columns: ReadOnlyColumnCollection[str, Any], narrow: Any, *, leaving: Collection[str] = ()
) -> list[ColumnElement[bool]]:
    """The conditions of a filter, whose fields are columns' names, but for those on time and some others."""
    names = [field.name for field in fields(narrow) if field.name not in (*TIMES, *leaving)]
    values = {name: getattr(narrow, name) for name in names}
    return [columns[name] == value for name, value in values.items() if value is not None]


def between(time: ColumnElement[datetime], narrow: Any) -> list[ColumnElement[bool]]:
    """The conditions on time of the same filter, both ends inclusive."""
    bounds = [] if narrow.since is None else [time >= narrow.since]
    return bounds + ([] if narrow.until is None else [time <= narrow.until])


def newest(tx: Transaction, parts: Sequence[Part], reach: Reach, *, span: timedelta) -> list[Row[Any]]:
    """The newest rows of one or several logs within `reach`; `span` is that of their shortest chunks."""
    plan_anew(tx)
    tx.execute(_IN_ORDER)
    found: list[Row[Any]] = []
    for begin, end in windows_of(reach, span):
        query = _in_window(parts, reach, begin, end, reach.limit - len(found))
        # The locks of a window are given back before the next is looked at: the server has few thousand.
        with tx.begin_nested() as savepoint:
            found += tx.execute(query).all()
            savepoint.rollback()
        if len(found) == reach.limit:
            break
    return found


def plan_anew(tx: Transaction) -> None:
    """Let the statements of this transaction be planned for their own parameters, and so touch few chunks."""
    tx.execute(_PLAN_ANEW)


def windows_of(reach: Reach, span: timedelta) -> Iterator[tuple[datetime | None, datetime | None]]:
    """Beginnings, inclusive, and ends, exclusive, from the newest back; no end means that of `reach`."""
    top = min([reach.at, *filter(None, (reach.until, reach.before and reach.before[0]))])
    bottom = max(reach.since or FAR_PAST, FAR_PAST)
    end = None
    while top - bottom > span:
        yield (begin := top - span), end
        top = end = begin
        span *= 2
    yield reach.since, end


def _in_window(
    parts: Sequence[Part], reach: Reach, begin: datetime | None, end: datetime | None, limit: int
) -> Any:
    selections = []
    for part in parts:
        bounds = [] if begin is None else [part.time >= begin]
        bounds += _upper_bounds(part, reach) if end is None else [part.time < end]
        order = part.time.desc(), part.row_id.desc()
        selections.append(part.query.where(*bounds).order_by(*order).limit(limit))
    if len(selections) == 1:
        return selections[0]
    everything = union_all(*selections)
    names = everything.selected_columns
    order_of_all = names[parts[0].time.name].desc(), names[parts[0].row_id.name].desc()
    return everything.order_by(*order_of_all).limit(limit)


def _upper_bounds(part: Part, reach: Reach) -> list[ColumnElement[bool]]:
    bounds = [] if reach.until is None else [part.time <= reach.until]
    if reach.before is not None:
        # The first of the two is implied, but only by it are chunks left out.
        bounds += [part.time <= reach.before[0], tuple_(part.time, part.row_id) < reach.before]
    return bounds
