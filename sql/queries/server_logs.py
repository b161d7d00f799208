"""The server log: written in batches by COPY, read newest first."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import Copy, errors, sql
from sqlalchemy import ColumnElement, Double, Text, and_, case, cast, func, literal_column, select

from sql import bulk
from sql.copying import Incoming
from sql.database import Transaction
from sql.errors import RowsRefused
from sql.log_reading import Columns, Log, occurrence, plain
from sql.log_statistics import Statistics, percentiles, whole_sum
from sql.log_windows import LogFilter, OneOf, People
from sql.models import TABLES
from sql.models.logs import FAILED, RECORDED_ORIGIN
from sql.pipelines import driver_of
from sql.queries import log_queue

_SERVER_LOGS = TABLES["server_logs"]
FIRST_FAILURE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLogRow:
    """One request, or an event of the server itself; `subscription_id` is None at the platform's level.

    Repeats of a refused request are one row with `occurrences`. A row that a platform posts has the `origin`
    posted: `user_id` is then the user who sent it in the request `received_request_id`, and `actor_id` the
    platform's own user. `route` is the pattern of the path.
    """

    log_id: UUID
    created_at: datetime
    request_id: str
    http_method: str | None = None
    endpoint: str | None = None
    query_params: dict[str, Any] | None = None
    user_id: UUID | None = None
    subscription_id: UUID | None = None
    auth_method: str | None = None
    request_body: Any = None
    response_status: int | None = None
    response_body: Any = None
    response_time_ms: int | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    referer: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    request_bytes: int | None = None
    response_bytes: int | None = None
    occurrences: int = 1
    occurred_at: datetime | None = None
    origin: str = "annals"
    source: str | None = None
    actor_id: str | None = None
    received_request_id: str | None = None
    route: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLogRead(ServerLogRow):
    """A row as it is read, with the time of the request itself."""

    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLogFilter(LogFilter):
    """Conditions on requests; `status` is one such as 404, or a class such as 4xx."""

    subscription_id: UUID | None = None
    log_id: UUID | None = None
    status: str | None = None
    endpoint: str | None = None
    user_id: People | None = None
    ip_address: str | None = None
    request_id: str | None = None
    origin: str | None = None
    source: str | None = None
    actor_id: OneOf[str] | None = None
    received_request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBucket:
    """Figures of requests in the bucket that begins at `time`.

    `groups` has the group's value of each column, `group` the first. The percentiles and the sum are those of
    the measure that was asked for; a row that stands for repeats counts as often for all but these. `rate` is
    of requests a second, which readers add.
    """

    time: datetime
    group: str | None
    groups: list[str | None]
    count: int
    client_errors: int
    server_errors: int
    request_bytes: int
    response_bytes: int
    sum: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    rate: float | None = None


_NAMES = [field.name for field in fields(ServerLogRow)]
_DOCUMENTS = frozenset({"query_params", "request_body", "response_body"})

_INCOMING = Incoming(_SERVER_LOGS, _NAMES, twice=True)
# Rows are written as the role of ingest, which has fewer rights, if the login was granted this role.
_TAKE_ROLE = sql.SQL(
    "SELECT set_config('role', name, true) FROM (VALUES ('annals_ingest')) ingest (name)"
    " WHERE pg_has_role(session_user, name, 'SET')"
)
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, errors.RaiseException, errors.ProgramLimitExceeded)


def copy_rows(tx: Transaction, rows: Sequence[ServerLogRow]) -> None:
    """Add rows, and queue them; rows that are there already stay as they are.

    The ids of each subscription's rows are those of one batch.
    Raises RowsRefused if PostgreSQL does not take the content of a row.
    """

    def write(copy: Copy) -> None:
        for row in rows:
            copy.write_row([_field(row, name) for name in _NAMES])

    try:
        driver_of(tx).execute(_TAKE_ROLE)
        # None is stored if the connection broke in an earlier COMMIT of these rows, which queued them, too.
        if _INCOMING.add(tx, write) > 0:
            log_queue.add_batches(tx, "server_logs", rows)
    except (*_REFUSALS, UnicodeEncodeError) as error:
        raise RowsRefused(str(error)) from error


_INSERT = bulk.insertion(_SERVER_LOGS, *_NAMES)


def insert_rows(tx: Transaction, rows: Sequence[ServerLogRow]) -> None:
    """Add rows, whose ids are those of one batch, and queue them; all by the role of the transaction."""
    bulk.execute(tx, _INSERT, rows)
    log_queue.add_batches(tx, "server_logs", rows)


def _field(row: ServerLogRow, name: str) -> object:
    value = getattr(row, name)
    return orjson.dumps(value).decode() if name in _DOCUMENTS and value is not None else value


def _has_status(status: str) -> ColumnElement[bool]:
    lowest, highest = int(status.replace("x", "0")), int(status.replace("x", "9"))
    column = _SERVER_LOGS.c.response_status
    # An index finds rows of one status in the order of time, but not rows of a class of statuses.
    found = column == lowest if lowest == highest else column.between(lowest, highest)
    # The condition is written as in the index of failures, so that the planner uses that index.
    return and_(found, FAILED) if lowest >= FIRST_FAILURE else found


_ORIGIN = literal_column(RECORDED_ORIGIN, Text())
_COMPUTED = {
    "occurred_at": occurrence(_SERVER_LOGS),
    "origin": _ORIGIN,
}
_READ = [_COMPUTED[name].label(name) if name in _COMPUTED else _SERVER_LOGS.c[name] for name in _NAMES]

SERVER_LOG: Log[ServerLogRead, ServerLogFilter] = Log(
    name="server_log",
    row=ServerLogRead,
    tables=lambda _: [_SERVER_LOGS],
    selected=lambda _: select(*_READ),
    derived={"origin": _ORIGIN},
    conditions={"status": _has_status},
    indexed_alone=frozenset({"endpoint", "log_id", "request_id", "user_id"}),
    people=frozenset({"user_id"}),
    reported_people=frozenset({"actor_id"}),
    none_is_all=True,
)


def _figures(rows: Columns, measure: str | None) -> dict[str, ColumnElement[Any]]:
    measured = rows[measure or "response_time_ms"]

    def requests(condition: ColumnElement[bool]) -> ColumnElement[Any]:
        return whole_sum(case((condition, rows.occurrences), else_=0))

    return {
        "count": whole_sum(rows.occurrences),
        "client_errors": requests(rows.response_status.between(400, 499)),
        "server_errors": requests(rows.response_status >= 500),
        "request_bytes": whole_sum(rows.request_bytes * rows.occurrences),
        "response_bytes": whole_sum(rows.response_bytes * rows.occurrences),
        "sum": cast(func.sum(measured), Double()),
        **percentiles(measured),
    }


FIGURES = Statistics(
    log=SERVER_LOG,
    bucket=ServerBucket,
    measured=("occurrences", "response_status", "response_time_ms", "request_bytes", "response_bytes"),
    figures=_figures,
    conversions={"request_bytes": int, "response_bytes": int, "sum": plain},
)
