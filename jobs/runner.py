"""Runner of job runs: claims a slot, calls the use case, writes the log of the run and records its end."""

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from gitstore.errors import GitStoreError
from service.archive.errors import ArchiveError
from service.audit import events
from service.audit.events import MAX_TEXT_BYTES
from service.domain.errors import AnnalsError, PlanOutdated
from service.domain.ids import mint
from service.domain.job_runs import Counts, JobRun
from service.masking.truncation import bounded_text
from service.usecases.context import JobContext
from service.usecases.maintenance.scheduled_jobs import checked_plan
from service.usecases.maintenance.table import SCHEDULED_JOBS, ScheduledJob
from sql.database import PLATFORM, Transaction
from sql.errors import DatabaseError
from sql.queries import execution_logs, scheduled_jobs
from sql.queries.execution_logs import ExecutionRow
from sql.queries.scheduled_jobs import RunRow

log = structlog.get_logger(__name__)

# These errors say what to do. Any other is a fault of the program, logged with its traceback.
_EXPECTED = (AnnalsError, ArchiveError, DatabaseError, GitStoreError, OSError)
# How the execution log calls the states of runs that ended.
_STATUSES = {
    scheduled_jobs.SUCCEEDED: "success",
    scheduled_jobs.FAILED: "failed",
    scheduled_jobs.MISSED: "skipped",
}


def process_name() -> str:
    """Name of this process in job runs, as host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Runner:
    """Carries out job runs, at most one of each job at a time; safe for several threads."""

    def __init__(
        self,
        context: JobContext,
        *,
        process: str | None = None,
        table: Mapping[str, ScheduledJob] = SCHEDULED_JOBS,
    ) -> None:
        self._context = context
        self._process = process or process_name()
        self._table = table
        self._busy = {job: threading.Lock() for job in table}
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask running jobs to stop soon, and begin no more."""
        self._stop.set()

    def interrupt_others(self) -> None:
        """Record as interrupted the runs that a former leader left running; a new leader calls this first."""
        with self._context.database.transaction(PLATFORM) as tx:
            interrupted = scheduled_jobs.interrupt_all(tx, self._context.clock(), "its process is gone")
        for row in interrupted:
            log.warning("a run was interrupted", job=row.job, run_id=str(row.run_id), process=row.process)

    def run_slots(self, job: str, slots: Sequence[datetime]) -> None:
        """Run a job for the latest of its due slots, and record the earlier ones as missed."""
        *late, slot = slots
        self.miss(job, late, "the scheduler was late: a later slot had come")
        if self._stop.is_set():
            return
        if not self._busy[job].acquire(blocking=False):
            self.miss(job, [slot], "the run before was still at work")
            return
        try:
            row = RunRow(
                run_id=mint(),
                job=job,
                scheduled_for=slot,
                trigger="schedule",
                state=scheduled_jobs.RUNNING,
                process=self._process,
                started_at=self._context.clock(),
            )
            self._take(row, lambda tx: scheduled_jobs.add_run(tx, row))
        finally:
            self._busy[job].release()

    def run_waiting(self, row: RunRow) -> bool:
        """Carry out a run that an operator asked for; returns False if the job is running already."""
        if not self._busy[row.job].acquire(blocking=False):
            return False
        try:
            at = self._context.clock()
            begun = replace(row, state=scheduled_jobs.RUNNING, process=self._process, started_at=at)
            self._take(
                begun,
                lambda tx: scheduled_jobs.begin_waiting(tx, row.run_id, process=self._process, at=at),
                {"requested_by": row.requested_by},
            )
        finally:
            self._busy[row.job].release()
        return True

    def miss(self, job: str, slots: Sequence[datetime], why: str) -> None:
        """Record slots as missed."""
        if not slots:
            return
        at = self._context.clock()
        rows = [
            RunRow(
                run_id=mint(),
                job=job,
                scheduled_for=slot,
                trigger="schedule",
                state=scheduled_jobs.MISSED,
                ended_at=at,
                error=why,
            )
            for slot in slots
        ]
        with self._context.database.transaction(PLATFORM) as tx:
            scheduled_jobs.add_runs(tx, rows)
        log.warning("runs of a job were missed", job=job, runs=len(rows), why=why)

    def _take(
        self, row: RunRow, take: Callable[[Transaction], bool], about: Mapping[str, Any] | None = None
    ) -> None:
        """Carry out a run unless another process has taken it."""
        with self._context.database.transaction(PLATFORM) as tx:
            mine = take(tx)
            if mine:
                self._say(tx, row, "started", about)
        if mine:
            self._carry_out(row)

    def _carry_out(self, row: RunRow) -> None:
        counts: Counts | None = None
        error: str | None = None
        failed = scheduled_jobs.FAILED
        try:
            counts = self._table[row.job].run(self._context, self._handed(row))
        except PlanOutdated as failure:
            # Another run did it meanwhile, or rules changed: the job itself is well.
            error, failed = bounded_text(str(failure), MAX_TEXT_BYTES), scheduled_jobs.MISSED
            log.warning("a plan did not fit any more", job=row.job, run_id=str(row.run_id))
        except _EXPECTED as failure:
            error = bounded_text(f"{type(failure).__name__}: {failure}", MAX_TEXT_BYTES)
            log.warning("a job failed", job=row.job, run_id=str(row.run_id), error=error)
        except Exception as failure:
            error = bounded_text(f"{type(failure).__name__}: {failure}", MAX_TEXT_BYTES)
            log.exception("a job failed", job=row.job, run_id=str(row.run_id))
        at = self._context.clock()
        state = scheduled_jobs.SUCCEEDED if error is None else failed
        kept = None if counts is None else events.plain(dict(counts))
        with self._context.database.transaction(PLATFORM) as tx:
            if scheduled_jobs.end_run(tx, row.run_id, state=state, at=at, counts=kept, error=error):
                message = "ended" if error is None else f"{state}: {error}"
                self._say(tx, row, message, kept, ended_at=at, status=_STATUSES[state])

    def _handed(self, row: RunRow) -> JobRun:
        at = row.started_at or self._context.clock()
        if row.plan_id is not None:
            # The plan is checked again, because the run may have waited.
            at = checked_plan(self._context, row.job, row.plan_id)
        return JobRun(
            run_id=row.run_id,
            job=row.job,
            at=at,
            stop=self._stop,
            tell=lambda message, details: self._tell(row, message, details),
            resume=self._resume(row.job),
        )

    def _resume(self, job: str) -> Any:
        with self._context.database.transaction(PLATFORM) as tx:
            last = scheduled_jobs.last_runs(tx, [job], state=scheduled_jobs.SUCCEEDED).get(job)
        return None if last is None or last.counts is None else last.counts.get("resume")

    def _tell(self, row: RunRow, message: str, details: Mapping[str, Any]) -> None:
        with self._context.database.transaction(PLATFORM) as tx:
            self._say(tx, row, message, details)

    def _say(
        self,
        tx: Transaction,
        row: RunRow,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        ended_at: datetime | None = None,
        status: str = "running",
    ) -> None:
        """Write an entry of the run's log to the execution log of the platform."""
        took = None if ended_at is None or row.started_at is None else ended_at - row.started_at
        rows = None if details is None else details.get("rows")
        said = ExecutionRow(
            log_id=mint(),
            created_at=ended_at or self._context.clock(),
            occurred_at=None,
            subscription_id=None,
            execution_id=str(row.run_id),
            execution_type="job",
            workflow_id=None,
            job_id=None,
            jobpackage_id=None,
            node_id=row.job,
            log_level="ERROR" if status == "failed" else "INFO",
            log_message=bounded_text(f"{row.job}: {message}", MAX_TEXT_BYTES),
            log_details=events.state(None if details is None else events.plain(dict(details))),
            duration_ms=None if took is None else int(took.total_seconds() * 1000),
            rows_processed=rows if isinstance(rows, int) else None,
            memory_used_mb=None,
            cpu_percent=None,
            status=status,
            error_code=None,
            error_details=None,
            triggered_by=None,
            recorded_by=None,
            request_id=f"job-{row.run_id}",
        )
        execution_logs.insert_rows(tx, [said])
