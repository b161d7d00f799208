"""The server log: read its pages."""

from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.usecases.context import Context
from service.usecases.log_reading import page_of_log
from sql.queries.server_logs import SERVER_LOG, ServerLogFilter
from sql.queries.server_logs import ServerLogRow as ServerEvent

__all__ = ["ServerEvent", "ServerLogFilter"]


def server_page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    filters: ServerLogFilter,
    paging: Paging,
) -> Page[ServerEvent]:
    """Read the requests that match, newest first. No subscription means all, also those without one."""
    return page_of_log(context, caller, subscription_id, SERVER_LOG, filters, paging)
