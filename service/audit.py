"""Making the row that records an event; whoever causes the event writes it in the same transaction."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import jsonpatch
import orjson

from service.callers import Origin
from service.ids import mint
from sql.queries.audit_logs import AuditRow, Values


class Action(StrEnum):
    """What was done."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CHECK_OUT = "CHECK_OUT"
    CANCEL_CHECK_OUT = "CANCEL_CHECK_OUT"
    CHECK_IN = "CHECK_IN"
    ROLLBACK = "ROLLBACK"
    CLONE = "CLONE"
    FETCH = "FETCH"


def event(
    action: Action,
    *,
    subscription_id: UUID | None,
    user_id: UUID | None,
    username: str,
    origin: Origin,
    at: datetime,
    resource_type: str,
    resource_id: UUID | None,
    resource_name: str | None,
    old: Values | None = None,
    new: Values | None = None,
    workspace_id: UUID | None = None,
    folder_id: UUID | None = None,
) -> AuditRow:
    """A successful event; `old` and `new` are the metadata before and after, None where there was nothing."""
    before, after = _plain(old), _plain(new)
    return AuditRow(
        audit_id=mint(),
        created_at=at,
        subscription_id=subscription_id,
        user_id=user_id,
        username=username,
        action=action,
        resource_type=resource_type,
        resource_id=None if resource_id is None else str(resource_id),
        resource_name=resource_name,
        old_values=before,
        new_values=after,
        changes=changes(before, after),
        ip_address=origin.ip_address,
        user_agent=origin.user_agent,
        api_endpoint=origin.endpoint,
        http_method=origin.method,
        request_id=origin.request_id,
        workspace_id=workspace_id,
        folder_id=folder_id,
        status="success",
        error_message=None,
    )


def changes(old: Values | None, new: Values | None) -> list[dict[str, Any]] | None:
    """The RFC 6902 operations from one state to another; a missing state is not an empty one."""
    if old is None and new is None:
        return None
    if old is None:
        return [{"op": "add", "path": "", "value": new}]
    if new is None:
        return [{"op": "remove", "path": ""}]
    patch: list[dict[str, Any]] = jsonpatch.make_patch(old, new).patch
    return patch


def _plain(values: Values | None) -> Values | None:
    if values is None:
        return None
    plain: Values = orjson.loads(orjson.dumps(values, option=orjson.OPT_UTC_Z))
    return plain
