"""How every log is read: a page or figures, with the event that the reading is, in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from service.audit import events
from service.domain.callers import Caller
from service.domain.errors import Fault, Invalid
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, time_position
from service.usecases.context import Context
from sql.database import PLATFORM, Transaction
from sql.log_windows import FAR_PAST
from sql.time_buckets import begin_of

# Of those that end at `until` or now, where no `since` says otherwise.
DEFAULT_BUCKETS = 100
# What a chart can show, and what can be read in a moment; rows are buckets times groups.
MAX_BUCKETS = 2_000
MAX_ROWS = 10_000

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

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
    width = width_of(bucket)
    narrow = bounded(narrow, width, at)
    with context.database.transaction(subscription_id) as tx:
        rows = count(tx, narrow, width)
        # Before the reading is recorded: one that is refused has its own row.
        check_rows(rows)
        asked = {**narrow, "bucket": bucket}
        events.record_reading(tx, caller, subscription_id, log, at, filters=asked, rows=len(rows))
    return rows


def width_of(bucket: str) -> timedelta:
    """The width that a text like 15m, 1h, 7d or 2w means."""
    return timedelta(**{_UNITS[bucket[-1]]: int(bucket[:-1])})


def bounded(narrow: Mapping[str, Any], width: timedelta, at: datetime) -> dict[str, Any]:
    """The same filter with a `since`; raises Invalid where that makes too many buckets."""
    until = narrow.get("until") or at
    since = narrow.get("since")
    if since is None:
        whole = (DEFAULT_BUCKETS - 1) * width
        since = FAR_PAST if until - FAR_PAST < whole else begin_of(until - whole, width)
    elif (until - since) // width >= MAX_BUCKETS:
        raise _too_many(f"more than {MAX_BUCKETS:,} buckets", "bucket")
    return {**narrow, "since": since}


def check_rows(rows: Sequence[object]) -> None:
    """Raise Invalid where rows, which were asked for with one more than the limit, have that one."""
    if len(rows) > MAX_ROWS:
        raise _too_many(f"more than {MAX_ROWS:,} groups in all buckets together", "group_by")


def _too_many(what: str, parameter: str) -> Invalid:
    detail = f"{what}: take wider buckets or a shorter time"
    return Invalid(f"{parameter}: {detail}.", faults=[Fault(detail, parameter=parameter)])
