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
from sql.database import Transaction
from sql.log_statistics import Deadline
from sql.queries import executions, resources
from sql.queries.executions import (
    FAILURES,
    Arrivals,
    ExecutedNode,
    ExecutionsFilter,
    ExecutionSummary,
    FirstFailure,
)

__all__ = ["ExecutionsFilter"]

# The time of a list whose reader asks for none.
DEFAULT_TIME: Final = timedelta(days=7)
MAX_NODES: Final = 1_000
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
    given = filters.given()
    stamped = {"list": "executions", "of": subscription_id, **given}
    reached = paging.position(stamped)
    before = text_position(reached)
    at = context.clock()
    since, until = asked_time(filters.since, filters.until, at, DEFAULT_TIME)
    with context.database.transaction(subscription_id) as tx:
        deadline = Deadline()
        rows = executions.page(
            tx,
            subscription_id,
            filters,
            since=since,
            until=until,
            before=before,
            limit=paging.limit + 1,
            deadline=deadline,
        )
        shown = paging.page(rows, stamped, lambda row: [row.begun_at.isoformat(), row.execution_id])
        items = _completed(tx, subscription_id, shown.items, deadline)
        if not paging.is_part:
            asked: Mapping[str, Any] = {"of": "executions", **given}
            events.record_reading(
                tx, caller, subscription_id, _LOG, at, filters=asked, rows=len(items), after=reached
            )
    return Page(items, shown.next_cursor)


def read(
    context: Context, caller: Caller, subscription_id: SubscriptionId, execution_id: str
) -> ExecutionWithNodes:
    """Read an execution with its first MAX_NODES nodes; raises ExecutionNotFound."""
    at = context.clock()
    wanted = canonical(execution_id)
    with context.database.transaction(subscription_id) as tx:
        deadline = Deadline()
        row = executions.find(tx, subscription_id, wanted, at=at, deadline=deadline)
        if row is None:
            raise ExecutionNotFound(f"There is no execution {execution_id!r} in this subscription.")
        [found] = _completed(tx, subscription_id, [row], deadline)
        nodes, count = executions.nodes(
            tx, subscription_id, wanted, arrivals=Arrivals.of([row]), most=MAX_NODES, deadline=deadline
        )
        asked = {"of": "executions", "execution_id": wanted}
        events.record_reading(tx, caller, subscription_id, _LOG, at, filters=asked, rows=1 + len(nodes))
    return ExecutionWithNodes(execution=found, nodes=nodes, nodes_in_all=count)


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
