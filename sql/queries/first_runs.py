"""First executions of versions that were saved later: those of a history that was brought in afterwards."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select

from sql.database import Transaction
from sql.log_statistics import Deadline, matches
from sql.models import TABLES
from sql.queries.execution_logs import EXECUTION_LOG, ExecutionFilter
from sql.queries.latest_versions import VersionEvent

RUN: Final = "RUN"
_VERSIONS, _WORKFLOWS = TABLES["versions"], TABLES["workflows"]


def events(
    tx: Transaction, subscription_id: UUID, filters: ExecutionFilter, deadline: Deadline, *, limit: int
) -> list[VersionEvent]:
    """Read the newest first executions, among those that match, of versions that were saved after them.

    The first version that a workflow runs in the time has none, since it may have run before.
    Raises StatementEnded.
    """
    [table] = EXECUTION_LOG.tables(filters)
    c = table.c
    time: ColumnElement[datetime] = EXECUTION_LOG.time_of(table, filters)
    named = or_(c.version_number.is_not(None), c.git_commit_hash.is_not(None))
    columns = (c.workflow_id, c.version_number, c.git_commit_hash)
    first = (
        select(*columns, func.min(time).label("at"))
        .where(*matches(EXECUTION_LOG, table, subscription_id, filters), named)
        .group_by(*columns)
        .cte("first")
    )
    f, v, w = first.c, _VERSIONS.c, _WORKFLOWS.c
    # An event that has a number and a commit is of the version of the number.
    is_named = or_(
        v.version_number == f.version_number,
        and_(f.version_number.is_(None), v.git_commit_hash == f.git_commit_hash),
    )
    found = (
        select(f.workflow_id, v.version_number, v.created_at, f.at)
        .join(
            _VERSIONS,
            and_(
                v.subscription_id == subscription_id,
                v.resource_type == "workflow",
                v.resource_id == f.workflow_id,
                is_named,
            ),
        )
        .subquery()
    )
    ranked = select(
        found,
        func.row_number()
        .over(partition_by=(found.c.workflow_id, found.c.version_number), order_by=found.c.at)
        .label("place"),
        func.min(found.c.at).over(partition_by=found.c.workflow_id).label("begins"),
    ).subquery()
    r = ranked.c
    query = (
        select(r.at, r.workflow_id.label("resource_id"), w.name, r.version_number)
        .join(_WORKFLOWS, and_(w.subscription_id == subscription_id, w.workflow_id == r.workflow_id))
        .where(r.place == 1, r.at < r.created_at, r.at > r.begins)
        .order_by(r.at.desc(), r.workflow_id)
        .limit(limit)
    )
    deadline.bound(tx)
    return [VersionEvent(action=RUN, **row._mapping) for row in tx.execute(query)]
