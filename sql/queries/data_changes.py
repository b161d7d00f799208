"""The data change history: written in the transaction that a data change records, read newest first."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from orjson import Fragment
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from sql import bulk
from sql.database import Transaction
from sql.log_reading import Log
from sql.log_windows import LogFilter, People
from sql.models import TABLES

_CHANGES, _NUMBERS, _VERSIONS = TABLES["data_change_history"], TABLES["change_numbers"], TABLES["versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDataChange:
    """A change of a record: the states before and after, as logs write them, and RFC 6902 operations.

    If the operations were too large, `diff` is their beginning.
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
    diff: list[dict[str, Any]] | dict[str, Any] | Fragment | None
    changed_by: UUID | None
    change_reason: str | None
    version_number: int
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRead(NewDataChange):
    """A data change as it is read; `is_current_version` is true for the last data change of its record."""

    diff: list[dict[str, Any]] | dict[str, Any] | None
    is_current_version: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChangeFilter(LogFilter):
    """Conditions on data changes."""

    change_id: UUID | None = None
    table_name: str | None = None
    record_id: UUID | None = None
    changed_by: People | None = None
    request_id: str | None = None


_INSERT = bulk.insertion(_CHANGES, *(field.name for field in fields(NewDataChange)))


def insert_rows(tx: Transaction, rows: Sequence[NewDataChange]) -> None:
    """Add data changes."""
    bulk.execute(tx, _INSERT, rows)


def next_number(tx: Transaction, subscription_id: UUID, table_name: str, record_id: UUID) -> int:
    """Take the number of a record's next data change; other transactions wait for it until this one ends."""
    first = insert(_NUMBERS).values(
        table_name=table_name, record_id=record_id, subscription_id=subscription_id, changes=1
    )
    query = first.on_conflict_do_update(
        constraint="pk_change_numbers", set_={"changes": _NUMBERS.c.changes + 1}
    ).returning(_NUMBERS.c.changes)
    number: int = tx.execute(query).scalar_one()
    return number


# The number of a record's last data change. In the log all newer rows would have to be searched for it, so it
# is read from plain tables with one row for a record. A resource's kind is its table's name without the s.
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
_STORED = [_CHANGES.c[field.name] for field in fields(NewDataChange)]


CHANGE_HISTORY: Log[ChangeRead, DataChangeFilter] = Log(
    name="change_history",
    row=ChangeRead,
    tables=lambda _: [_CHANGES],
    time="changed_at",
    row_id="change_id",
    people=frozenset({"changed_by"}),
    selected=lambda _: select(*_STORED, _IS_CURRENT.label("is_current_version")),
)
