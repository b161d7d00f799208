"""Lines of the execution logs: what a reader who follows them sees of each event."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, Table, func, select

from sql.log_reading import Log, occurrence, plain
from sql.queries.execution_logs import EXECUTION_LOG, ExecutionFilter

# In characters.
MOST_OF_MESSAGE: Final = 300


# Not frozen, like the rows of logs.
@dataclass(kw_only=True)
class ExecutionLine:
    """An event of a workflow, job, job package or node; of its message only the beginning."""

    log_id: UUID
    created_at: datetime
    occurred_at: datetime
    execution_id: str
    execution_type: str
    workflow_id: UUID | None
    job_id: UUID | None
    jobpackage_id: UUID | None
    node_id: str | None
    log_level: str
    log_message: str
    duration_ms: float | None
    status: str | None
    error_code: str | None


_COLUMNS: Final = (
    *("log_id", "created_at", "execution_id", "execution_type", "workflow_id", "job_id", "jobpackage_id"),
    *("node_id", "log_level", "duration_ms", "status", "error_code"),
)


def _selected(table: Table) -> Select[Any]:
    message = func.left(table.c.log_message, MOST_OF_MESSAGE + 1).label("log_message")
    return select(*(table.c[name] for name in _COLUMNS), occurrence(table).label("occurred_at"), message)


EXECUTION_LINES: Log[ExecutionLine, ExecutionFilter] = Log(
    name="execution_log",
    row=ExecutionLine,
    tables=EXECUTION_LOG.tables,
    selected=_selected,
    conversions={"duration_ms": plain},
)
