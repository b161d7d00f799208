"""Following of logs: pages in the order of commits, each with a cursor for the rows to come."""

from typing import Any, TypeVar

from service.audit import events
from service.domain.actions import Action, EventOrigin
from service.domain.callers import Caller
from service.domain.errors import Fault, Invalid
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, place_position
from service.usecases import people
from service.usecases.context import Context
from sql import log_following
from sql.database import PLATFORM
from sql.log_following import Reached
from sql.log_reading import Log
from sql.log_windows import LogFilter
from sql.queries.audit_logs import AuditRead
from sql.queries.server_logs import ServerLogRow

RowT = TypeVar("RowT")
FilterT = TypeVar("FilterT", bound=LogFilter)

# The order by which requests and events of followers are known.
ORDER = "commit"
_PAST = "lies past the last row, as after the log was restored from a back-up: begin anew"
_LOGS = frozenset({"audit_log", "change_history", "execution_log", "server_log"})


def page_in_commit_order(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    log: Log[RowT, FilterT],
    filters: FilterT,
    paging: Paging,
    *,
    expand: str | None,
) -> Page[RowT]:
    """Read the next rows that match, in the order of their commits; raises Invalid for another list's cursor.

    The page can have fewer rows than its limit, or none, and always has a cursor. The reading is recorded if
    it begins, or finds a row. Rows that readings of followers cause do not count, or a follower of the audit
    log would cause a row by each row that it finds.
    """
    given = filters.given()
    stamped = {"list": log.name, "of": subscription_id, "order": ORDER, **given}
    position = place_position(paging.position(stamped))
    with context.database.transaction(subscription_id or PLATFORM) as tx:
        found = people.resolved(tx, subscription_id, filters, log)
        if position is None:
            reached = log_following.start(tx, log, subscription_id, found, is_now=paging.begins_now)
        else:
            reached = Reached(*position)
            if reached.position > log_following.newest(tx, log, subscription_id, found):
                raise Invalid(f"cursor: {_PAST}.", faults=[Fault(_PAST, parameter="cursor")])
        page = log_following.follow(tx, log, subscription_id, found, reached, limit=paging.limit)
        if position is None or not all(map(_is_of_follower, page.rows)):
            at = context.clock()
            asked = {**given, "order": ORDER} | ({} if expand is None else {"expand": expand})
            count = len(page.rows)
            events.record_reading(
                tx, caller, subscription_id, log.name, at, filters=asked, rows=count, after=position
            )
    return paging.page_to(page.rows, stamped, _cursor_of(page.reached))


def _cursor_of(reached: Reached) -> list[int | str]:
    return [reached.position, *([] if reached.row_id is None else [str(reached.row_id)])]


def _is_of_follower(row: Any) -> bool:
    """Tell if a row is the event, or the request, of a page in the order of commits."""
    if not isinstance(row, AuditRead | ServerLogRow) or row.origin == EventOrigin.POSTED:
        return False
    if isinstance(row, AuditRead):
        if row.action != Action.READ or row.resource_type not in _LOGS:
            return False
        # An audit policy can leave the filters out, but not the order of a follower.
        asked = (row.new_values or {}).get("filters")
        return isinstance(asked, dict) and asked.get("order") == ORDER
    return (row.query_params or {}).get("order") == ORDER
