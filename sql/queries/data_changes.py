"""The history of data changes: written in the transaction of what it records, read newest first."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from sql import bulk, log_windows
from sql.database import Transaction
from sql.hypertables import chunk_of
from sql.log_windows import Part, Reach
from sql.models import TABLES

_CHANGES, _NUMBERS, _VERSIONS = TABLES["data_change_history"], TABLES["change_numbers"], TABLES["versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChange:
    """A record's change: the states before and after as log rows name them, and the RFC 6902 operations."""

    change_id: UUID
    changed_at: datetime
    subscription_id: UUID | None
    table_name: str
    record_id: UUID
    record_name: str | None
    change_type: str
    old_data: dict[str, Any] | None
    new_data: dict[str, Any] | None
    diff: Any
    changed_by: UUID | None
    change_reason: str | None
    version_number: int
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRead:
    """A change as it is read; `is_current_version` says whether it is still the last of its record.

    `diff` are RFC 6902 operations, or, where they were too large, what is left of them.
    """

    change_id: UUID
    changed_at: datetime
    subscription_id: UUID | None
    table_name: str
    record_id: UUID
    record_name: str | None
    change_type: str
    old_data: dict[str, Any] | None
    new_data: dict[str, Any] | None
    diff: list[dict[str, Any]] | dict[str, Any] | None
    changed_by: UUID | None
    change_reason: str | None
    version_number: int
    is_current_version: bool
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFilter:
    """What narrows a page; `since` and `until` are both inclusive."""

    table_name: str | None = None
    record_id: UUID | None = None
    changed_by: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


_INSERT = bulk.insertion(_CHANGES, *(field.name for field in fields(NewChange)))


def insert_rows(tx: Transaction, rows: Sequence[NewChange]) -> None:
    """Add changes."""
    bulk.execute(tx, _INSERT, rows)


def next_number(tx: Transaction, subscription_id: UUID, table_name: str, record_id: UUID) -> int:
    """The number of a record's next change; whoever asks after it waits until this transaction ends."""
    first = insert(_NUMBERS).values(
        table_name=table_name, record_id=record_id, subscription_id=subscription_id, changes=1
    )
    query = first.on_conflict_do_update(
        constraint="pk_change_numbers", set_={"changes": _NUMBERS.c.changes + 1}
    ).returning(_NUMBERS.c.changes)
    number: int = tx.execute(query).scalar_one()
    return number


# The number of a record's last change. The log itself could say it, but only by searching all that is newer:
# these are plain tables, with one row for a record. A resource's kind is its table's name without the s.
_LAST_NUMBER = func.coalesce(
    select(_NUMBERS.c.changes)
    .where(_NUMBERS.c.table_name == _CHANGES.c.table_name, _NUMBERS.c.record_id == _CHANGES.c.record_id)
    .correlate(_CHANGES)
    .scalar_subquery(),
    select(_VERSIONS.c.version_number + _VERSIONS.c.unversioned_changes)
    .where(
        _VERSIONS.c.subscription_id == _CHANGES.c.subscription_id,
        _VERSIONS.c.resource_type == func.left(_CHANGES.c.table_name, -1),
        _VERSIONS.c.resource_id == _CHANGES.c.record_id,
        _VERSIONS.c.is_current,
    )
    .correlate(_CHANGES)
    .scalar_subquery(),
)
_IS_CURRENT = func.coalesce(_CHANGES.c.version_number == _LAST_NUMBER, False)
_STORED = [_CHANGES.c[field.name] for field in fields(ChangeRead) if field.name != "is_current_version"]


def page(
    tx: Transaction,
    subscription_id: UUID,
    narrow: ChangeFilter,
    *,
    before: tuple[datetime, UUID] | None,
    limit: int,
    at: datetime,
) -> list[ChangeRead]:
    """At most `limit` changes older than the position `before`, newest first."""
    columns = _CHANGES.c
    query = select(*_STORED, _IS_CURRENT.label("is_current_version")).where(
        columns.subscription_id == subscription_id, *log_windows.matching(columns, narrow)
    )
    part = Part(query=query, time=columns.changed_at, row_id=columns.change_id)
    reach = Reach(since=narrow.since, until=narrow.until, before=before, limit=limit, at=at)
    rows = log_windows.newest(tx, [part], reach, span=chunk_of("data_change_history"))
    return [ChangeRead(**row._mapping) for row in rows]
