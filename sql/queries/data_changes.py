"""The data change history: written in the transaction that a data change records, read newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from orjson import Fragment
from sqlalchemy import ColumnElement, Integer, Text, Uuid, bindparam, case, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from sql import bulk
from sql.database import Transaction
from sql.log_reading import Log, occurrence
from sql.log_windows import LogFilter, OneOf, People
from sql.models import TABLES
from sql.models.logs import RECORDED_ORIGIN

_CHANGES, _NUMBERS, _VERSIONS = TABLES["data_change_history"], TABLES["change_numbers"], TABLES["versions"]

# A record: its table and its id.
RecordKey: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDataChange:
    """A change of a record: the states before and after, as logs write them, and RFC 6902 operations.

    If the operations were too large, `diff` is their beginning. A change that a platform posts has the
    `origin` posted, and `recorded_by` is the user who sent it; `changed_by` is then any text.
    """

    change_id: UUID
    changed_at: datetime
    subscription_id: UUID | None
    table_name: str
    record_id: str
    record_name: str | None
    change_type: str
    old_data: dict[str, Any] | None
    new_data: dict[str, Any] | None
    diff: list[dict[str, Any]] | dict[str, Any] | Fragment | None
    changed_by: str | None
    change_reason: str | None
    version_number: int
    request_id: str | None
    occurred_at: datetime | None = None
    origin: str = "annals"
    source: str | None = None
    recorded_by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRead(NewDataChange):
    """A data change as it is read; `is_current_version` is true for the last data change of its record."""

    diff: list[dict[str, Any]] | dict[str, Any] | None
    occurred_at: datetime
    is_current_version: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChangeFilter(LogFilter):
    """Conditions on data changes."""

    change_id: UUID | None = None
    table_name: str | None = None
    record_id: OneOf[str] | None = None
    changed_by: OneOf[str] | None = None
    recorded_by: People | None = None
    request_id: str | None = None
    origin: str | None = None
    source: str | None = None


_INSERT = bulk.insertion(_CHANGES, *(field.name for field in fields(NewDataChange)))


def insert_rows(tx: Transaction, rows: Sequence[NewDataChange]) -> None:
    """Add data changes."""
    bulk.execute(tx, _INSERT, rows)


_GIVEN = (
    func.unnest(
        bindparam("tables", type_=ARRAY(Text())),
        bindparam("records", type_=ARRAY(Text())),
        bindparam("counts", type_=ARRAY(Integer())),
    )
    .table_valued("table_name", "record_id", "changes", name="given")
    .render_derived()
)
_TAKE = insert(_NUMBERS).from_select(
    ["subscription_id", "table_name", "record_id", "changes"],
    # All transactions take the numbers of several records in one order, so that no two wait for each other.
    select(
        bindparam("subscription", type_=Uuid()), _GIVEN.c.table_name, _GIVEN.c.record_id, _GIVEN.c.changes
    ).order_by(_GIVEN.c.table_name.collate("C"), _GIVEN.c.record_id.collate("C")),
)
_NEXT = _TAKE.on_conflict_do_update(
    constraint="pk_change_numbers", set_={"changes": _NUMBERS.c.changes + _TAKE.excluded.changes}
).returning(_NUMBERS.c.table_name, _NUMBERS.c.record_id, _NUMBERS.c.changes)


def next_numbers(
    tx: Transaction, subscription_id: UUID, changes: Mapping[RecordKey, int]
) -> dict[RecordKey, int]:
    """Take numbers for so many data changes of each record; returns the last number of each.

    Other transactions wait for the numbers of these records until this one ends.
    """
    given = {
        "subscription": subscription_id,
        "tables": [table for table, _ in changes],
        "records": [record_id for _, record_id in changes],
        "counts": list(changes.values()),
    }
    return {(row.table_name, row.record_id): row.changes for row in tx.execute(_NEXT, given)}


# The number of a record's last data change. In the log all newer rows would have to be searched for it, so it
# is read from plain tables with one row for a record. A resource's kind is its table's name without the s.
# The id of a record is any text, since platforms post changes, too; only a UUID can be that of a resource.
_UUID: ColumnElement[str] = literal_column("'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'", Text())
_RESOURCE_ID = case((_CHANGES.c.record_id.regexp_match(_UUID), cast(_CHANGES.c.record_id, Uuid())))
_LAST_NUMBER = func.coalesce(
    select(_NUMBERS.c.changes)
    .where(
        _NUMBERS.c.subscription_id == _CHANGES.c.subscription_id,
        _NUMBERS.c.table_name == _CHANGES.c.table_name,
        _NUMBERS.c.record_id == _CHANGES.c.record_id,
    )
    .correlate(_CHANGES)
    .scalar_subquery(),
    select(_VERSIONS.c.version_number + _VERSIONS.c.unversioned_changes)
    .where(
        _VERSIONS.c.subscription_id == _CHANGES.c.subscription_id,
        _VERSIONS.c.resource_type == func.left(_CHANGES.c.table_name, -1),
        _VERSIONS.c.resource_id == _RESOURCE_ID,
        _VERSIONS.c.is_current,
    )
    .correlate(_CHANGES)
    .scalar_subquery(),
)
_IS_CURRENT = func.coalesce(_CHANGES.c.version_number == _LAST_NUMBER, False)
_ORIGIN = literal_column(RECORDED_ORIGIN, Text())
_COMPUTED = {
    "occurred_at": occurrence(_CHANGES, "changed_at"),
    "origin": _ORIGIN,
    "is_current_version": _IS_CURRENT,
}
_READ = [
    _COMPUTED[field.name].label(field.name) if field.name in _COMPUTED else _CHANGES.c[field.name]
    for field in fields(ChangeRead)
]


CHANGE_HISTORY: Log[ChangeRead, DataChangeFilter] = Log(
    name="change_history",
    row=ChangeRead,
    tables=lambda _: [_CHANGES],
    time="changed_at",
    row_id="change_id",
    people=frozenset({"recorded_by"}),
    reported_people=frozenset({"changed_by"}),
    reported_ids=frozenset({"record_id"}),
    derived={"origin": _ORIGIN},
    selected=lambda _: select(*_READ),
)
