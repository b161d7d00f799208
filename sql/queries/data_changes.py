"""The history of data changes: written in the transaction of what it records."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from sql import bulk
from sql.database import Transaction
from sql.models import TABLES

_NUMBERS = TABLES["change_numbers"]


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


_INSERT = bulk.insertion(TABLES["data_change_history"], *(field.name for field in fields(NewChange)))


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
