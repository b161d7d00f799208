"""How every log is read: a page or figures, with the event that the reading is, in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from service import buckets
from service.audit import events
from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, time_position
from service.usecases.context import Context
from sql.database import PLATFORM, Transaction

Item = TypeVar("Item")


class Reach(NamedTuple):
    """What a page asks of its query: the position that it goes on from, how many rows, and the time now."""

    before: tuple[datetime, UUID] | None
    limit: int
    at: datetime


def page_of_log(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    log: str,
    narrow: Mapping[str, Any],
    paging: Paging,
    *,
    of: str,
    read: Callable[[Transaction, Reach], Sequence[Item]],
    position_of: Callable[[Item], tuple[datetime, UUID]],
) -> Page[Item]:
    """A page of what `read` finds, newest first; its cursors belong to the list that `of` names."""
    filters = {"list": of, "of": subscription_id, **narrow}
    before = time_position(paging.position(filters))
    at = context.clock()
    with context.database.transaction(subscription_id or PLATFORM) as tx:
        rows = read(tx, Reach(before, paging.limit + 1, at))
        shown = min(len(rows), paging.limit)
        events.record_reading(tx, caller, subscription_id, log, at, filters=narrow, rows=shown)

    def position(item: Item) -> list[str]:
        time, row_id = position_of(item)
        return [time.isoformat(), str(row_id)]

    return paging.page(rows, filters, position)


def figures_of_log(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    log: str,
    narrow: Mapping[str, Any],
    bucket: str,
    count: Callable[[Transaction, Mapping[str, Any], timedelta], Sequence[Item]],
) -> Sequence[Item]:
    """What `count` finds within a statistic's bounds and its width; raises Invalid for too many buckets."""
    at = context.clock()
    width = buckets.width_of(bucket)
    narrow = buckets.bounded(narrow, width, at)
    with context.database.transaction(subscription_id) as tx:
        rows = count(tx, narrow, width)
        # Before the reading is recorded: one that is refused has its own row.
        buckets.check_rows(rows)
        asked = {**narrow, "bucket": bucket}
        events.record_reading(tx, caller, subscription_id, log, at, filters=asked, rows=len(rows))
    return rows
