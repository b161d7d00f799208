"""The audit log: written in the transaction of what it records, read newest first."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_

from sql import bulk
from sql.database import Transaction
from sql.models import TABLES

_AUDIT_LOGS = TABLES["audit_logs"]
_ACTORS = TABLES["actors"]

Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One event: who, what, when, where, how, and the state before and after."""

    audit_id: UUID
    created_at: datetime
    subscription_id: UUID | None
    user_id: UUID | None
    username: str | None
    action: str
    resource_type: str
    resource_id: str | None
    resource_name: str | None
    old_values: Values | None
    new_values: Values | None
    changes: list[Values] | None
    ip_address: str | None
    user_agent: str | None
    api_endpoint: str | None
    http_method: str | None
    request_id: str | None
    workspace_id: UUID | None
    folder_id: UUID | None
    status: str
    error_message: str | None
    # Whom a platform says that it acts for; it is the caller that is known.
    on_behalf_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRead(AuditRow):
    """An event as it is read: the e-mail address comes from the erasable `actors` row."""

    user_email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What narrows a page; `since` and `until` are both inclusive, as in the specification."""

    resource_type: str | None = None
    resource_id: str | None = None
    user_id: UUID | None = None
    action: str | None = None
    status: str | None = None
    workspace_id: UUID | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_INSERT = bulk.insertion(_AUDIT_LOGS, *(field.name for field in fields(AuditRow)))


def insert_rows(tx: Transaction, rows: Sequence[AuditRow]) -> None:
    """Add events."""
    bulk.execute(tx, _INSERT, rows)


def exists(tx: Transaction, subscription_id: UUID, row: AuditRow) -> bool:
    """Whether that event was committed."""
    query = select(_AUDIT_LOGS.c.audit_id).where(
        _AUDIT_LOGS.c.subscription_id == subscription_id,
        _AUDIT_LOGS.c.audit_id == row.audit_id,
        _AUDIT_LOGS.c.created_at == row.created_at,
    )
    return tx.execute(query).one_or_none() is not None


def page(
    tx: Transaction,
    subscription_id: UUID,
    narrow: AuditFilter,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[AuditRead]:
    """At most `limit` events older than the position `before`, newest first."""
    columns = _AUDIT_LOGS.c
    query = (
        select(_AUDIT_LOGS, _ACTORS.c.email.label("user_email"))
        .outerjoin(_ACTORS, _ACTORS.c.user_id == columns.user_id)
        .where(columns.subscription_id == subscription_id)
        .order_by(columns.created_at.desc(), columns.audit_id.desc())
        .limit(limit)
    )
    for name in ("resource_type", "resource_id", "user_id", "action", "status", "workspace_id", "request_id"):
        value = getattr(narrow, name)
        if value is not None:
            query = query.where(columns[name] == value)
    if narrow.since is not None:
        query = query.where(columns.created_at >= narrow.since)
    if narrow.until is not None:
        query = query.where(columns.created_at <= narrow.until)
    if before is not None:
        query = query.where(tuple_(columns.created_at, columns.audit_id) < before)
    rows = tx.execute(query)
    return [
        AuditRead(**{**row._mapping, "ip_address": None if row.ip_address is None else str(row.ip_address)})
        for row in rows
    ]
