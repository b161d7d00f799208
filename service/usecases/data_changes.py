"""The history of data changes."""

from collections.abc import Mapping
from typing import Any

from service.context import Context
from service.ids import SubscriptionId
from service.pages import Page, Paging, time_position
from sql.queries import data_changes
from sql.queries.data_changes import ChangeFilter
from sql.queries.data_changes import ChangeRead as DataChange

__all__ = ["DataChange"]


def change_page(
    context: Context, subscription_id: SubscriptionId, narrow: Mapping[str, Any], paging: Paging
) -> Page[DataChange]:
    """Changes that match the fields of ChangeFilter in `narrow`, newest first."""
    filters = {"list": "change-history", "of": subscription_id, **narrow}
    before = time_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        rows = data_changes.page(
            tx,
            subscription_id,
            ChangeFilter(**narrow),
            before=before,
            limit=paging.limit + 1,
            at=context.clock(),
        )
    return paging.page(rows, filters, lambda item: [item.changed_at.isoformat(), str(item.change_id)])
