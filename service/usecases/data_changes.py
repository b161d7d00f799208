"""The history of data changes."""

from collections.abc import Mapping
from typing import Any

from service import audit
from service.callers import Caller
from service.context import Context
from service.ids import SubscriptionId
from service.pages import Page, Paging, time_position
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
    filters = {"list": "change-history", "of": subscription_id, **narrow}
    before = time_position(paging.position(filters))
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        rows = data_changes.page(
            tx,
            subscription_id,
            ChangeFilter(**narrow),
            before=before,
            limit=paging.limit + 1,
            at=at,
        )
        audit.record_reading(
            tx,
            caller,
            subscription_id,
            "change_history",
            at,
            filters=narrow,
            rows=min(len(rows), paging.limit),
        )
    return paging.page(rows, filters, lambda item: [item.changed_at.isoformat(), str(item.change_id)])
