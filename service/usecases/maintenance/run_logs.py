"""Logs of job runs, which are rows of the platform in the execution log."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from service.domain.errors import RunNotFound
from service.usecases.context import Parts
from service.usecases.maintenance import scheduled_jobs
from service.usecases.maintenance.scheduled_jobs import Run
from sql import log_reading
from sql.database import PLATFORM
from sql.log_windows import LogPaging
from sql.queries.execution_logs import EXECUTION_LOG, ExecutionFilter

# Log entries of one run, at most.
MAX_EVENTS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLogEntry:
    """Entry of a run's log."""

    created_at: datetime
    log_level: str
    log_message: str
    log_details: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWithLog(Run):
    """A run with its log, oldest entry first."""

    events: Sequence[RunLogEntry] = ()


def read(context: Parts, run_id: UUID | None) -> RunWithLog:
    """One run with its log; raises RunNotFound."""
    if run_id is None:
        raise RunNotFound("There is no such run.")
    row = scheduled_jobs.run(context, run_id)
    if row.started_at is None:
        return RunWithLog(**asdict(row))
    narrow = ExecutionFilter(execution_id=str(run_id), since=row.started_at, until=row.ended_at)
    with context.database.transaction(PLATFORM) as tx:
        newest = LogPaging(limit=MAX_EVENTS, at=context.clock())
        told = log_reading.page(tx, EXECUTION_LOG, None, narrow, newest)
    story = [
        RunLogEntry(
            created_at=each.created_at,
            log_level=each.log_level,
            log_message=each.log_message,
            log_details=each.log_details,
        )
        for each in reversed(told)
    ]
    return RunWithLog(**asdict(row), events=story)
