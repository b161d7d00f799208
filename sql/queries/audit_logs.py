"""The audit log: written in the transaction of what it records, read newest first."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Text, cast, func, null, select

from sql import bulk, log_windows
from sql.database import Transaction
from sql.hypertables import chunk_of
from sql.log_windows import Part, Reach
from sql.models import TABLES
from sql.time_buckets import bucket_of

_AUDIT_LOGS = TABLES["audit_logs"]
_ACTORS = TABLES["actors"]

Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One event: who, what, when, where, how, and the state before and after.

    `on_behalf_of` is whom the recorder says that it was done for; nobody has checked that. `changes` are
    RFC 6902 operations, or, where they were too large, what is left of them.
    """

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
    changes: list[Values] | Values | None
    ip_address: str | None
    user_agent: str | None
    api_endpoint: str | None
    http_method: str | None
    request_id: str | None
    workspace_id: UUID | None
    folder_id: UUID | None
    status: str
    error_message: str | None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditBucket:
    """How many events of a group there were from `time` on, for the width of a bucket."""

    time: datetime
    group: str | None
    count: int


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
    subscription_id: UUID | None,
    narrow: AuditFilter,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
    at: datetime,
) -> list[AuditRead]:
    """At most `limit` events older than the position `before`, newest first; the platform's for None."""
    columns = _AUDIT_LOGS.c
    query = (
        select(_AUDIT_LOGS, _ACTORS.c.email.label("user_email"))
        .outerjoin(_ACTORS, _ACTORS.c.user_id == columns.user_id)
        .where(columns.subscription_id == subscription_id, *log_windows.matching(columns, narrow))
    )
    part = Part(query=query, time=columns.created_at, row_id=columns.audit_id)
    reach = Reach(since=narrow.since, until=narrow.until, before=before, limit=limit, at=at)
    rows = log_windows.newest(tx, [part], reach, span=chunk_of("audit_logs"))
    return [
        AuditRead(**{**row._mapping, "ip_address": None if row.ip_address is None else str(row.ip_address)})
        for row in rows
    ]


def statistics(
    tx: Transaction,
    subscription_id: UUID,
    narrow: AuditFilter,
    *,
    width: timedelta,
    group_by: str | None,
    limit: int,
) -> list[AuditBucket]:
    """At most `limit` counts, by buckets of time in ascending order and the values of a column."""
    columns = _AUDIT_LOGS.c
    group = cast(null() if group_by is None else columns[group_by], Text())
    query = (
        select(
            bucket_of(tx, columns.created_at, width).label("time"),
            group.label("group"),
            func.count().label("count"),
        )
        .where(
            columns.subscription_id == subscription_id,
            *log_windows.matching(columns, narrow),
            *log_windows.between(columns.created_at, narrow),
        )
        .group_by("time", "group")
        .order_by("time", "group")
        .limit(limit)
    )
    log_windows.plan_anew(tx)
    return [AuditBucket(**row._mapping) for row in tx.execute(query)]
