"""Tables of the overview as files have them: the groups of its page, and more of them than it shows."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import assert_never

from service.domain.callers import Caller
from service.domain.ids import ResourceId, SubscriptionId
from service.usecases import execution_logs, overview
from service.usecases.context import Context
from service.usecases.execution_logs import ExecutionBucket, ExecutionFilter
from service.usecases.log_exploring import MOST_IN_FILE
from service.usecases.log_reading import AskedFigures, LogFigures
from service.usecases.overview import FigureSpan
from sql.queries.execution_logs import NODE
from sql.queries.executions import FAILURES


class OverviewTable(StrEnum):
    """A table of the overview, whose groups come in the order of its page."""

    WORKFLOWS = "workflows"
    NODES = "nodes"
    CODES = "codes"


def read(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    table: OverviewTable,
    span: FigureSpan,
    workflow_id: ResourceId | None,
) -> tuple[Sequence[str], LogFigures[ExecutionBucket]]:
    """Read the first MOST_IN_FILE groups of a table, with the names of their columns.

    Workflows are also those of which no execution failed. Raises QueryTooLong after five seconds.
    """
    filters, by, order = _asked(table, overview.executed(span, workflow_id), workflow_id)
    asked = AskedFigures(bucket="all", group_by=by, order=order, limit=MOST_IN_FILE)
    return by, execution_logs.execution_statistics(context, caller, subscription_id, filters, asked)


def _asked(
    table: OverviewTable, ended: ExecutionFilter, workflow_id: ResourceId | None
) -> tuple[ExecutionFilter, tuple[str, ...], str]:
    match table:
        case OverviewTable.WORKFLOWS:
            return ended, ("workflow_id",), "failed"
        case OverviewTable.NODES:
            of_workflow = () if workflow_id is not None else ("workflow_id",)
            return replace(ended, execution_type=NODE), (*of_workflow, "node_id"), "p95"
        case OverviewTable.CODES:
            return replace(ended, status=FAILURES), ("error_code",), "count"
    assert_never(table)
