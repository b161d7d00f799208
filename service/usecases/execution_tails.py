"""Tails of the execution logs: the last lines, and those that follow a place, in the order of commits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from service.audit import events
from service.domain.callers import Caller
from service.domain.errors import Invalid
from service.domain.ids import SubscriptionId
from service.domain.pagination import place_position
from service.usecases.context import Context
from service.usecases.log_following import ORDER
from sql import log_following
from sql.database import Transaction
from sql.log_following import Followed, Reached
from sql.queries import resources
from sql.queries.execution_lines import EXECUTION_LINES, ExecutionLine
from sql.queries.execution_logs import ExecutionFilter

__all__ = ["ExecutionFilter", "ExecutionLine", "Reached"]

# Lines that are read at once for those who follow.
MOST_LINES: Final = 200
# After so many readings in a row that found as many, lines come faster than anybody reads.
MOST_TIMES_FULL: Final = 5
# A place so far behind the last one is given up, and lines between are left out.
MOST_PLACES_BEHIND: Final = 10_000
_KINDS: Final = ("workflow", "job", "jobpackage")
_PLACE: Final = re.compile(r"-1|[0-9]{1,18}(\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?")


@dataclass(frozen=True, slots=True)
class AskedLines:
    """The question for the lines after a place; `full` counts the last readings that found MOST_LINES."""

    filters: ExecutionFilter
    reached: Reached
    full: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Events that were left out, or more than so many, whether they match the filter or not."""

    events: int
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TailedLines:
    """Lines in the order of commits, names of what they and the filter name, and the question for more."""

    lines: Sequence[ExecutionLine]
    names: Mapping[UUID, str]
    after: AskedLines
    left_out: LeftOut | None = None


def last_lines(
    context: Context, caller: Caller, subscription_id: SubscriptionId, filters: ExecutionFilter, *, limit: int
) -> TailedLines:
    """Read the last lines that match, which is recorded."""
    with context.database.transaction(subscription_id) as tx:
        found = log_following.latest(tx, EXECUTION_LINES, subscription_id, filters, limit=limit)
        _record(tx, context, caller, subscription_id, filters, rows=len(found.rows))
        return _named(tx, subscription_id, found, AskedLines(filters, found.reached))


def begin(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    filters: ExecutionFilter,
    reached: Reached | None,
) -> AskedLines:
    """Record that a caller follows the lines; returns the first question, by default after the last line."""
    with context.database.transaction(subscription_id) as tx:
        _record(tx, context, caller, subscription_id, filters, rows=0)
        if reached is None:
            reached = log_following.start(tx, EXECUTION_LINES, subscription_id, filters, is_now=True)
    return AskedLines(filters, reached)


def next_lines(
    context: Context, subscription_id: SubscriptionId, asked: Sequence[AskedLines]
) -> list[TailedLines]:
    """Read the next lines for each question, at most MOST_LINES, in one transaction.

    The last lines take their place where a place is far behind, where lines come too fast, and where a place
    lies past the last one, as after the log was restored from a back-up.
    """
    with context.database.transaction(subscription_id) as tx:
        return [_next(tx, subscription_id, each) for each in asked]


def _next(tx: Transaction, subscription_id: SubscriptionId, asked: AskedLines) -> TailedLines:
    filters, reached = asked.filters, asked.reached
    newest = log_following.newest(tx, EXECUTION_LINES, subscription_id, filters)
    if reached == Reached(newest):
        return TailedLines(lines=(), names={}, after=AskedLines(filters, reached))
    behind = newest - reached.position
    if asked.full < MOST_TIMES_FULL and 0 <= behind <= MOST_PLACES_BEHIND:
        found = log_following.follow(tx, EXECUTION_LINES, subscription_id, filters, reached, limit=MOST_LINES)
        full = asked.full + 1 if len(found.rows) == MOST_LINES else 0
        return _named(tx, subscription_id, found, AskedLines(filters, found.reached, full))
    count = log_following.rows_after(tx, EXECUTION_LINES, subscription_id, filters, reached)
    found = log_following.latest(tx, EXECUTION_LINES, subscription_id, filters, limit=MOST_LINES)
    left_out = LeftOut(
        events=max(count - len(found.rows), 0),
        has_more=not 0 <= behind <= log_following.MOST_PLACES,
    )
    return _named(tx, subscription_id, found, AskedLines(filters, found.reached), left_out)


def _named(
    tx: Transaction,
    subscription_id: SubscriptionId,
    found: Followed[ExecutionLine],
    after: AskedLines,
    left_out: LeftOut | None = None,
) -> TailedLines:
    """Add the names of workflows, jobs and job packages."""
    names: dict[UUID, str] = {}
    for kind in _KINDS:
        ids = {getattr(line, f"{kind}_id") for line in found.rows}
        ids.add(getattr(after.filters, f"{kind}_id"))
        known = ids - {None}
        if known:
            names |= resources.names(tx, subscription_id, kind, known)
    return TailedLines(lines=found.rows, names=names, after=after, left_out=left_out)


def _record(
    tx: Transaction,
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    filters: ExecutionFilter,
    *,
    rows: int,
) -> None:
    """Record the reading; a session that goes on to follow what its page showed is not recorded again."""
    asked = {"of": "tail", "order": ORDER, **filters.given()}
    at = context.clock()
    events.record_reading(tx, caller, subscription_id, EXECUTION_LINES.name, at, filters=asked, rows=rows)


def place_text(reached: Reached) -> str:
    """Write a place as a short text, by which a reader goes on later."""
    return f"{reached.position}" + ("" if reached.row_id is None else f".{reached.row_id}")


def place_of(text: str) -> Reached:
    """Read a place; raises Invalid for any other text."""
    if _PLACE.fullmatch(text):
        position, *row_id = text.split(".")
        found = place_position([position, *row_id])
        if found is not None:
            return Reached(*found)
    raise Invalid.of("after", "is no place in this log")
