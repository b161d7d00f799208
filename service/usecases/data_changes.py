"""The data change history: read its pages."""

from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.usecases.context import Context
from service.usecases.log_reading import page_of_log
from sql.queries.data_changes import CHANGE_HISTORY, DataChangeFilter
from sql.queries.data_changes import ChangeRead as DataChange

__all__ = ["DataChange", "DataChangeFilter"]


def change_page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    filters: DataChangeFilter,
    paging: Paging,
    *,
    expand: str | None = None,
) -> Page[DataChange]:
    """Read the data changes that match, newest first; `expand` is recorded with the filters."""
    return page_of_log(context, caller, subscription_id, CHANGE_HISTORY, filters, paging, expand=expand)
