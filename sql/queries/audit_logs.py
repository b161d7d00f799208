"""The audit log: written in the transaction that an event records, read newest first."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, Text, and_, func, literal_column, not_, select

from sql import bulk
from sql.database import Transaction
from sql.log_reading import Log, has_value, occurrence
from sql.log_statistics import Statistics
from sql.log_windows import LogFilter, OneOf, People
from sql.models import TABLES
from sql.models.logs import AUDIT_ORIGIN

_AUDIT_LOGS = TABLES["audit_logs"]
_ACTORS, _REPORTED_ACTORS = TABLES["actors"], TABLES["reported_actors"]

Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFields:
    """The fields of an event that rows and answers share: its author, action, subject, times and requests.

    `changes` are RFC 6902 operations, or their beginning if they were too large. Repeats of a refusal are one
    row with `occurrences`. `origin` is `posted` for an event that a platform sent, `annals` for the service's
    own; None where an older row does not tell. `source` and `event_id` are the sending system and its id of
    the event. `request_id` is the sender's, if it gave one; `received_request_id` is that of the posting.
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
    occurrences: int = 1
    origin: str | None = "annals"
    source: str | None = None
    event_id: str | None = None
    received_request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow(AuditFields):
    """An event as it is stored; without a time of its own it occurred when it arrived, at `created_at`."""

    occurred_at: datetime | None = None
    actor_id: str | None = None
    actor_name: str | None = None
    actor_kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedActor:
    """The person, program or agent that acted, as a platform names it: nobody has checked this.

    `email` can be erased, and then is None.
    """

    id: str | None
    name: str | None
    email: str | None
    kind: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRead(AuditFields):
    """An event as it is read; `user_email`, of the user who recorded it, is read from `actors`."""

    occurred_at: datetime
    actor: ReportedActor | None
    user_email: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter(LogFilter):
    """Conditions on events; both ends of the time are inclusive, as in the specification.

    `without` has actions: their events are left out.
    """

    audit_id: UUID | None = None
    resource_type: OneOf[str] | None = None
    resource_id: str | None = None
    user_id: People | None = None
    username: OneOf[str] | None = None
    action: OneOf[str] | None = None
    without: OneOf[str] | None = None
    status: OneOf[str] | None = None
    workspace_id: UUID | None = None
    folder_id: UUID | None = None
    ip_address: str | None = None
    request_id: str | None = None
    origin: OneOf[str] | None = None
    actor_id: OneOf[str] | None = None
    actor_name: str | None = None
    source: OneOf[str] | None = None
    event_id: str | None = None
    received_request_id: str | None = None

    joint: ClassVar[frozenset[str]] = frozenset({"without"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditBucket:
    """The number of events of a group in the bucket that begins at `time`.

    `groups` has the group's value of each column, `group` the first.
    """

    time: datetime
    group: str | None
    groups: list[str | None]
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


_READ = [field.name for field in fields(AuditFields) if field.name != "origin"]


def _selected(table: Table) -> Select[Any]:
    is_reported = and_(
        _REPORTED_ACTORS.c.subscription_id == table.c.subscription_id,
        _REPORTED_ACTORS.c.actor_id == table.c.actor_id,
    )
    return (
        select(
            *(table.c[name] for name in _READ),
            _ORIGIN.label("origin"),
            occurrence(table).label("occurred_at"),
            table.c.actor_id,
            func.coalesce(table.c.actor_name, table.c.on_behalf_of).label("actor_name"),
            table.c.actor_kind,
            _REPORTED_ACTORS.c.email.label("actor_email"),
            _ACTORS.c.email.label("user_email"),
        )
        .outerjoin(_ACTORS, _ACTORS.c.user_id == table.c.user_id)
        .outerjoin(_REPORTED_ACTORS, is_reported)
    )


def _read(
    *,
    actor_id: str | None,
    actor_name: str | None,
    actor_kind: str | None,
    actor_email: str | None,
    **values: Any,
) -> AuditRead:
    has_actor = actor_id is not None or actor_name is not None
    actor = ReportedActor(id=actor_id, name=actor_name, email=actor_email, kind=actor_kind)
    return AuditRead(**values, actor=actor if has_actor else None)


AUDIT_LOG: Log[AuditRead, AuditFilter] = Log(
    name="audit_log",
    row=_read,
    tables=lambda _: [_AUDIT_LOGS],
    row_id="audit_id",
    people=frozenset({"user_id"}),
    reported_ids=frozenset({"actor_id"}),
    selected=_selected,
    derived={"origin": _ORIGIN},
    conditions={"without": lambda actions: not_(has_value(_AUDIT_LOGS.c.action, actions))},
)
COUNTS = Statistics(
    log=AUDIT_LOG,
    bucket=AuditBucket,
    measured=("occurrences",),
    figures=lambda rows, _: {"count": func.sum(rows.occurrences)},
)
