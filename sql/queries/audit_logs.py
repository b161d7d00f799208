"""The audit log: written in the transaction that an event records, read newest first."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, Text, func, literal_column, select

from sql import bulk
from sql.database import Transaction
from sql.log_reading import Log, Statistics
from sql.log_windows import OneOf, People, TimeFilter
from sql.models import TABLES
from sql.models.logs import AUDIT_ORIGIN

_AUDIT_LOGS = TABLES["audit_logs"]
_ACTORS = TABLES["actors"]

Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One event: its author, action, subject, time and request, and the state before and after.

    `on_behalf_of` is the person for whom, as the recorder says, the action was done; nobody has checked this.
    `changes` are RFC 6902 operations, or their beginning if they were too large. Repeats of a refusal are one
    row with `occurrences`. `origin` is `posted` for an event that a platform sent, `annals` for the service's
    own; None where an older row does not tell.
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
    occurrences: int = 1
    origin: str | None = "annals"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRead(AuditRow):
    """An event as it is read, with the user's e-mail address, which can be erased, from `actors`."""

    user_email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter(TimeFilter):
    """Conditions on events; both ends of the time are inclusive, as in the specification."""

    audit_id: UUID | None = None
    resource_type: OneOf[str] | None = None
    resource_id: str | None = None
    user_id: People | None = None
    username: str | None = None
    action: str | None = None
    status: str | None = None
    workspace_id: UUID | None = None
    folder_id: UUID | None = None
    ip_address: str | None = None
    request_id: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditBucket:
    """The number of events of a group in the bucket that begins at `time`."""

    time: datetime
    group: str | None
    count: int


_INSERT = bulk.insertion(_AUDIT_LOGS, *(field.name for field in fields(AuditRow)))


def insert_rows(tx: Transaction, rows: Sequence[AuditRow]) -> None:
    """Add events."""
    bulk.execute(tx, _INSERT, rows)


def exists(tx: Transaction, subscription_id: UUID, row: AuditRow) -> bool:
    """Find out whether an event was committed."""
    query = select(_AUDIT_LOGS.c.audit_id).where(
        _AUDIT_LOGS.c.subscription_id == subscription_id,
        _AUDIT_LOGS.c.audit_id == row.audit_id,
        _AUDIT_LOGS.c.created_at == row.created_at,
    )
    return tx.execute(query).one_or_none() is not None


_ORIGIN: ColumnElement[str | None] = literal_column(AUDIT_ORIGIN, Text())


def _selected(table: Table) -> Select[Any]:
    stored = [column for column in table.c if column.name != "origin"]
    return select(*stored, _ORIGIN.label("origin"), _ACTORS.c.email.label("user_email")).outerjoin(
        _ACTORS, _ACTORS.c.user_id == table.c.user_id
    )


AUDIT_LOG: Log[AuditRead, AuditFilter] = Log(
    name="audit_log",
    row=AuditRead,
    tables=lambda _: [_AUDIT_LOGS],
    row_id="audit_id",
    people=frozenset({"user_id"}),
    selected=_selected,
    derived={"origin": _ORIGIN},
    conversions={"ip_address": str},
)
COUNTS = Statistics(
    log=AUDIT_LOG,
    bucket=AuditBucket,
    measured=("occurrences",),
    figures=lambda rows: {"count": func.sum(rows.occurrences)},
)
