"""Figures of the whole platform: subscriptions and users, versions of a time, and the activity of tenants."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, literal, select, true, union_all

from sql.database import Transaction, among
from sql.log_reading import arrived_since, between
from sql.log_statistics import Deadline
from sql.models import TABLES
from sql.queries.execution_logs import EXECUTION_LOG, ExecutionFilter
from sql.queries.executions import FAILURES

_SUBSCRIPTIONS, _VERSIONS, _REPOSITORIES, _KEYS, _USERS = (
    TABLES[name] for name in ("subscriptions", "versions", "repositories", "api_keys", "users")
)
# The logs, and the times of their rows.
_LOGS: Final = tuple(
    (TABLES[name], TABLES[name].c["changed_at" if name == "data_change_history" else "created_at"])
    for name in ("server_logs", "execution_logs", "node_execution_logs", "audit_logs", "data_change_history")
)
# More rows of a subscription are not counted for a list.
MAX_LOG_ROWS: Final = 20_000


class TenantOrder(StrEnum):
    """Order of a list of subscriptions; all but names begin with the largest or the latest."""

    NAME = "name"
    SIZE = "size"
    VERSIONS = "versions"
    ROWS = "rows"
    ACTIVITY = "activity"


@dataclass(frozen=True, slots=True)
class PlatformCounts:
    """Numbers of subscriptions that are open, closed, and purged, and of users."""

    open: int
    closed: int
    purged: int
    users: int


@dataclass(frozen=True, slots=True)
class EndedExecutions:
    """Numbers of executions that ended in a time, of those that failed, and of those of the time before."""

    ended: int
    failed: int
    ended_before: int


@dataclass(frozen=True, slots=True)
class TenantActivity:
    """Activity of a subscription: versions and log rows since a time, and when a key was used last.

    At most MAX_LOG_ROWS + 1 of each are counted. The use of a key is noted once an hour.
    """

    subscription_id: UUID
    versions: int
    log_rows: int
    last_use_at: datetime | None


def counts(tx: Transaction) -> PlatformCounts:
    """Count subscriptions and users."""
    c = _SUBSCRIPTIONS.c
    is_purged, is_closed = c.exported_at.is_not(None), c.closed_at.is_not(None)
    users = select(func.count()).select_from(_USERS).scalar_subquery()
    query = select(
        func.count().filter(~is_closed),
        func.count().filter(is_closed, ~is_purged),
        func.count().filter(is_purged),
        users,
    ).select_from(_SUBSCRIPTIONS)
    return PlatformCounts(*tx.execute(query).one())


def versions(tx: Transaction, *, before: datetime, since: datetime, until: datetime) -> tuple[int, int]:
    """Count the versions of a time, and those of the time before."""
    own = (
        select(_VERSIONS.c.created_at)
        .where(
            _VERSIONS.c.subscription_id == _SUBSCRIPTIONS.c.subscription_id,
            _VERSIONS.c.created_at.between(before, until),
        )
        .lateral("own")
    )
    query = select(
        func.count().filter(own.c.created_at >= since), func.count().filter(own.c.created_at < since)
    ).select_from(_SUBSCRIPTIONS.join(own, true()))
    now, earlier = tx.execute(query).one()
    return now, earlier


def executions(
    tx: Transaction, *, before: datetime, since: datetime, until: datetime, ended: Sequence[str]
) -> EndedExecutions:
    """Count the executions of workflows that ended in a time, and those of the time before."""
    table = TABLES["execution_logs"]
    filters = ExecutionFilter(since=before, until=until, time="occurred_at")
    time = EXECUTION_LOG.time_of(table, filters)
    has_failed = table.c.status.in_(FAILURES)
    query = select(
        func.count().filter(time >= since),
        func.count().filter(time >= since, has_failed),
        func.count().filter(time < since),
    ).where(
        table.c.execution_type == "workflow",
        table.c.status.in_(ended),
        table.c.subscription_id.is_not(None),
        *between(time, filters),
        *arrived_since(table.c.created_at, filters),
    )
    return EndedExecutions(*tx.execute(query).one())


def ranked(
    tx: Transaction, order: TenantOrder, *, since: datetime, limit: int, deadline: Deadline
) -> list[UUID]:
    """The first subscriptions in an order; those that were purged are left out. Raises StatementEnded."""
    c = _SUBSCRIPTIONS.c
    query = select(c.subscription_id).where(c.exported_at.is_(None)).limit(limit)
    match order:
        case TenantOrder.NAME:
            query = query.order_by(func.lower(c.name))
        case TenantOrder.SIZE:
            query = query.outerjoin(
                _REPOSITORIES, _REPOSITORIES.c.subscription_id == c.subscription_id
            ).order_by(_REPOSITORIES.c.bytes.desc().nulls_last())
        case TenantOrder.VERSIONS:
            query = query.order_by(_counted(_versions(since)).desc())
        case TenantOrder.ROWS:
            rows = _all_log_rows(since).subquery()
            query = query.outerjoin(rows, rows.c.subscription_id == c.subscription_id).order_by(
                rows.c.rows.desc().nulls_last()
            )
        case TenantOrder.ACTIVITY:
            query = query.order_by(func.greatest(_last_version(), _last_use()).desc().nulls_last())
    deadline.bound(tx)
    return list(tx.execute(query.order_by(c.subscription_id.desc())).scalars())


def activity(
    tx: Transaction, subscription_ids: Sequence[UUID], *, since: datetime, deadline: Deadline
) -> dict[UUID, TenantActivity]:
    """Measure the activity of some subscriptions; raises StatementEnded."""
    c = _SUBSCRIPTIONS.c
    logged = union_all(*(_own(table.c, time, since).subquery().select() for table, time in _LOGS))
    query = select(
        c.subscription_id,
        _counted(_versions(since)),
        _counted(select(logged.subquery())),
        _last_use(),
    ).where(among(c.subscription_id, subscription_ids))
    deadline.bound(tx)
    return {row[0]: TenantActivity(*row) for row in tx.execute(query)}


def _versions(since: datetime) -> Select[Any]:
    return _own(_VERSIONS.c, _VERSIONS.c.created_at, since)


def _own(columns: Any, time: ColumnElement[datetime], since: datetime) -> Select[Any]:
    """Rows of a subscription since a time, at most MAX_LOG_ROWS + 1."""
    return (
        select(literal(1).label("one"))
        .where(columns.subscription_id == _SUBSCRIPTIONS.c.subscription_id, time >= since)
        .correlate(_SUBSCRIPTIONS)
        .limit(MAX_LOG_ROWS + 1)
    )


def _counted(rows: Select[Any]) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows.limit(MAX_LOG_ROWS + 1).subquery()).scalar_subquery()


def _all_log_rows(since: datetime) -> Select[Any]:
    """Number of rows of each subscription in all logs."""
    parts = union_all(
        *(
            select(table.c.subscription_id, func.count().label("rows"))
            .where(time >= since, table.c.subscription_id.is_not(None))
            .group_by(table.c.subscription_id)
            for table, time in _LOGS
        )
    ).subquery()
    return select(parts.c.subscription_id, func.sum(parts.c.rows).label("rows")).group_by(
        parts.c.subscription_id
    )


def _last_version() -> ScalarSelect[datetime]:
    return (
        select(func.max(_VERSIONS.c.created_at))
        .where(_VERSIONS.c.subscription_id == _SUBSCRIPTIONS.c.subscription_id)
        .correlate(_SUBSCRIPTIONS)
        .scalar_subquery()
    )


def _last_use() -> ScalarSelect[datetime]:
    return (
        select(func.max(_KEYS.c.last_login_at))
        .where(_KEYS.c.subscription_id == _SUBSCRIPTIONS.c.subscription_id)
        .correlate(_SUBSCRIPTIONS)
        .scalar_subquery()
    )
