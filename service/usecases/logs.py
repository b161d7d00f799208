"""Reading the audit log."""

from collections.abc import Mapping
from typing import Any

from service.context import Context
from service.ids import SubscriptionId
from service.pages import Page, Paging, time_position
from sql.queries import audit_logs
from sql.queries.audit_logs import AuditFilter
from sql.queries.audit_logs import AuditRead as AuditEvent

__all__ = ["AuditEvent"]


def audit_page(
    context: Context, subscription_id: SubscriptionId, narrow: Mapping[str, Any], paging: Paging
) -> Page[AuditEvent]:
    """Events of a subscription that match the fields of AuditFilter in `narrow`, newest first."""
    filters = {"list": "audit-logs", "of": subscription_id, **narrow}
    before = time_position(paging.position(filters))
    with context.database.transaction(subscription_id) as tx:
        rows = audit_logs.page(
            tx, subscription_id, AuditFilter(**narrow), before=before, limit=paging.limit + 1
        )
    return paging.page(rows, filters, lambda item: [item.created_at.isoformat(), str(item.audit_id)])
