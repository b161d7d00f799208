"""The history of data changes."""

from collections.abc import Mapping
from typing import Any

from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.usecases.context import Context
from service.usecases.log_reading import page_of_log
from sql.queries import data_changes
from sql.queries.data_changes import ChangeFilter
from sql.queries.data_changes import ChangeRead as DataChange

__all__ = ["DataChange"]


def change_page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    narrow: Mapping[str, Any],
    paging: Paging,
) -> Page[DataChange]:
    """Changes that match the fields of ChangeFilter in `narrow`, newest first."""
    return page_of_log(
        context,
        caller,
        subscription_id,
        "change_history",
        narrow,
        paging,
        of="change-history",
        read=lambda tx, reach: data_changes.page(
            tx, subscription_id, ChangeFilter(**narrow), **reach._asdict()
        ),
        position_of=lambda item: (item.changed_at, item.change_id),
    )
