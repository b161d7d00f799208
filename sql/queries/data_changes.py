"""The history of data changes: written in the transaction of what it records."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from orjson import Fragment

from sql import bulk
from sql.database import Transaction
from sql.models import TABLES


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
    diff: Fragment
    changed_by: UUID | None
    change_reason: str | None
    version_number: int


_INSERT = bulk.insertion(TABLES["data_change_history"], *(field.name for field in fields(NewChange)))


def insert_rows(tx: Transaction, rows: Sequence[NewChange]) -> None:
    """Add changes."""
    bulk.execute(tx, _INSERT, rows)
