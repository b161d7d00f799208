"""Executions of workflows, jobs and job packages: pages of them, and one with its nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from service.audit import events
from service.domain.callers import Caller
from service.domain.errors import ExecutionNotFound
from service.domain.ids import SubscriptionId, canonical
from service.domain.pagination import Page, Paging, text_position
from service.usecases.context import Context
from service.usecases.log_reading import asked_time
from sql import log_reading
from sql.database import Transaction
from sql.log_statistics import Deadline
from sql.log_windows import LogPaging
from sql.queries import executions, resources
from sql.queries.execution_logs import EXECUTION_LOG, ExecutionFilter, ExecutionRow
from sql.queries.executions import (
    FAILURES,
    Arrivals,
    ExecutedNode,
    ExecutionsFilter,
    ExecutionSummary,
    FirstFailure,
)

__all__ = ["ExecutedNode", "ExecutionsFilter"]

# The time of a list whose reader asks for none.
DEFAULT_TIME: Final = timedelta(days=7)
MAX_NODES: Final = 1_000
# Events of an execution that a page shows.
MAX_LINES: Final = 200
_LOG: Final = "execution_log"
_KINDS: Final = ("workflow", "job", "jobpackage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An execution of a workflow, job or job package, whose name is `resource_name`.

    `status` is the last that was reported; without one of an end `ended_at` is null. `duration_ms` is
    that of the event that ended it, else the time between the first event and that one. `events` leaves out
    those of nodes. `version_from` is `event` for a version that the events name, `publication` for the one
    that was published at the begin. `failure` is the first failed event of one that failed.
    """

    execution_id: str
    execution_type: str
    workflow_id: UUID | None
    job_id: UUID | None
    jobpackage_id: UUID | None
    resource_name: str | None
    begun_at: datetime
    ended_at: datetime | None
    status: str | None
    duration_ms: float | None
    events: int
    version_number: int | None
    git_commit_hash: str | None
    version_from: str | None
    failure: FirstFailure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionWithNodes:
    """An execution and its nodes, the first to begin first; `nodes_in_all` counts also those left out."""

    execution: Execution
    nodes: Sequence[ExecutedNode]
    nodes_in_all: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionWithLog:
    """An execution with its nodes, and its last events, the oldest first."""

    execution: Execution
    nodes: Sequence[ExecutedNode]
    nodes_in_all: int
    lines: Sequence[ExecutionRow]
    has_more_lines: bool


def page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    filters: ExecutionsFilter,
    paging: Paging,
) -> Page[Execution]:
    """Read a page of executions, the newest begin first.

    Raises Invalid for another list's cursor, and for a time that ends before it begins.
    """
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        found, reached = page_within(tx, subscription_id, filters, paging, at, Deadline())
        if not paging.is_part:
            asked: Mapping[str, Any] = {"of": "executions", **filters.given()}
            rows = len(found.items)
            events.record_reading(
                tx, caller, subscription_id, _LOG, at, filters=asked, rows=rows, after=reached
            )
    return found


def page_within(
    tx: Transaction,
    subscription_id: SubscriptionId,
    filters: ExecutionsFilter,
    paging: Paging,
    at: datetime,
    deadline: Deadline,
) -> tuple[Page[Execution], list[Any] | None]:
    """Read what `page` does, in a transaction that records the reading itself; with its position."""
    stamped = {"list": "executions", "of": subscription_id, **filters.given()}
    reached = paging.position(stamped)
    since, until = asked_time(filters.since, filters.until, at, DEFAULT_TIME)
    rows = executions.page(
        tx,
        subscription_id,
        filters,
        since=since,
        until=until,
        before=text_position(reached),
        limit=paging.limit + 1,
        deadline=deadline,
    )
    shown = paging.page(rows, stamped, lambda row: [row.begun_at.isoformat(), row.execution_id])
    items = _completed(tx, subscription_id, shown.items, deadline)
    return Page(items, shown.next_cursor), reached


def read(
    context: Context, caller: Caller, subscription_id: SubscriptionId, execution_id: str
) -> ExecutionWithNodes:
    """Read an execution with its first MAX_NODES nodes; raises ExecutionNotFound."""
    at = context.clock()
    with context.database.transaction(subscription_id) as tx:
        _, found = _found(tx, subscription_id, execution_id, at)
        asked = {"of": "executions", "execution_id": canonical(execution_id)}
        rows = 1 + len(found.nodes)
        events.record_reading(tx, caller, subscription_id, _LOG, at, filters=asked, rows=rows)
    return found


def read_with_log(
    context: Context, caller: Caller, subscription_id: SubscriptionId, execution_id: str
) -> ExecutionWithLog:
    """Read an execution with its nodes and its last MAX_LINES events; raises ExecutionNotFound."""
    at = context.clock()
    wanted = canonical(execution_id)
    with context.database.transaction(subscription_id) as tx:
        row, found = _found(tx, subscription_id, execution_id, at)
        # Events of nodes may arrive before and after those of the execution itself.
        arrivals = Arrivals.of([row])
        filters = ExecutionFilter(execution_id=wanted, since=arrivals.since, until=arrivals.until)
        paging = LogPaging(limit=MAX_LINES + 1, at=at)
        lines = log_reading.page(tx, EXECUTION_LOG, subscription_id, filters, paging)
        asked = {"of": "executions", "execution_id": wanted, "with": "log"}
        rows = 1 + len(found.nodes) + len(lines)
        events.record_reading(tx, caller, subscription_id, _LOG, at, filters=asked, rows=rows)
    return ExecutionWithLog(
        execution=found.execution,
        nodes=found.nodes,
        nodes_in_all=found.nodes_in_all,
        lines=sorted(lines[:MAX_LINES], key=lambda line: (line.occurred_at or line.created_at, line.log_id)),
        has_more_lines=len(lines) > MAX_LINES,
    )


def _found(
    tx: Transaction, subscription_id: SubscriptionId, execution_id: str, at: datetime
) -> tuple[ExecutionSummary, ExecutionWithNodes]:
    deadline, wanted = Deadline(), canonical(execution_id)
    row = executions.find(tx, subscription_id, wanted, at=at, deadline=deadline)
    if row is None:
        raise ExecutionNotFound(f"There is no execution {execution_id!r} in this subscription.")
    [found] = _completed(tx, subscription_id, [row], deadline)
    nodes, count = executions.nodes(
        tx, subscription_id, wanted, arrivals=Arrivals.of([row]), most=MAX_NODES, deadline=deadline
    )
    return row, ExecutionWithNodes(execution=found, nodes=nodes, nodes_in_all=count)


def _completed(
    tx: Transaction, subscription_id: SubscriptionId, rows: Sequence[ExecutionSummary], deadline: Deadline
) -> list[Execution]:
    """Add names, and the first failures of executions that failed."""
    failed = [row for row in rows if row.status in FAILURES]
    failures: dict[str, FirstFailure] = {}
    if failed:
        failures = executions.first_failures(
            tx,
            subscription_id,
            [row.execution_id for row in failed],
            arrivals=Arrivals.of(failed),
            deadline=deadline,
        )
    names: dict[UUID, str] = {}
    for kind in _KINDS:
        executed = {_resource_of(row) for row in rows if row.execution_type == kind}
        of_kind = [each for each in executed if each is not None]
        if of_kind:
            names |= resources.names(tx, subscription_id, kind, of_kind)
    found = []
    for row in rows:
        values = asdict(row)
        del values["first_arrival"], values["last_arrival"]
        resource_id = _resource_of(row)
        name = None if resource_id is None else names.get(resource_id)
        failure = failures.get(row.execution_id)
        found.append(Execution(**values, resource_name=name, failure=failure))
    return found


def _resource_of(row: ExecutionSummary) -> UUID | None:
    return {"workflow": row.workflow_id, "job": row.job_id}.get(row.execution_type, row.jobpackage_id)
