"""Reading the server log."""

from collections.abc import Mapping
from typing import Any

from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.usecases.context import Context
from service.usecases.log_reading import page_of_log
from sql.queries import server_logs
from sql.queries.server_logs import ServerLogFilter
from sql.queries.server_logs import ServerLogRow as ServerEvent

__all__ = ["ServerEvent"]


def server_page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    narrow: Mapping[str, Any],
    paging: Paging,
) -> Page[ServerEvent]:
    """Requests that match the fields of ServerLogFilter in `narrow`, newest first.

    Those of one subscription, or with None all, those of nobody included. A status such as `4xx` is a class.
    """
    return page_of_log(
        context,
        caller,
        subscription_id,
        "server_log",
        narrow,
        paging,
        of="server-logs",
        read=lambda tx, reach: server_logs.page(tx, subscription_id, _filter(narrow), **reach._asdict()),
        position_of=lambda item: (item.created_at, item.log_id),
    )


def _filter(narrow: Mapping[str, Any]) -> ServerLogFilter:
    if "status" not in narrow:
        return ServerLogFilter(**narrow)
    text: str = narrow["status"]
    statuses = (int(text.replace("x", "0")), int(text.replace("x", "9")))
    return ServerLogFilter(**{**narrow, "status": statuses})
