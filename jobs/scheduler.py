"""Scheduler: runs each job at its slots, runs that operators ask for, and records missed slots."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from jobs.leader import Leadership, elected
from jobs.runner import Runner, process_name
from service.sealing.sequencer import Sequencer
from service.usecases.context import JobContext
from service.usecases.maintenance.scheduled_jobs import last_of, schedule_of
from service.usecases.maintenance.table import SCHEDULED_JOBS, ScheduledJob
from service.usecases.platform_events import event_row
from sql.database import PLATFORM
from sql.errors import DatabaseError
from sql.queries import scheduled_jobs, server_logs
from sql.queries.scheduled_jobs import RunRow, ScheduleRow

log = structlog.get_logger(__name__)

BEAT_SECONDS: Final = 1.0
# One thread runs the job; another records slots that come due meanwhile.
THREADS_PER_JOB: Final = 2
# At most this many slots of a job are recorded as missed after a downtime: the latest ones. The first record
# says how many slots came before it.
MAX_MISSED: Final = 10_000
# About as many slots before now are looked at for that: a slot takes a tenth of a millisecond, and the last
# one may be of a clock that stood at 1970.
MAX_COUNTED: Final = 50_000
# Missed slots in one transaction.
MISSED_AT_ONCE: Final = 1_000
# Clocks are adjusted by less without a step.
LEAST_STEP: Final = timedelta(minutes=1)


class Scheduler:
    """Runs scheduled jobs while this process is the leader, and tries to become it while it is not."""

    def __init__(
        self,
        context: JobContext,
        *,
        table: Mapping[str, ScheduledJob] = SCHEDULED_JOBS,
        process: str | None = None,
    ) -> None:
        self._context = context
        self._table = table
        self._process = process
        self._stop = threading.Event()
        self._term: _Term | None = None

    def run(self) -> None:
        """Run until `stop` is called."""
        while not self._stop.is_set():
            try:
                with elected(self._context.database) as leadership:
                    if leadership is not None:
                        self._lead(leadership)
            except DatabaseError as error:
                log.warning("jobs have to wait for the database", error=str(error))
            self._stop.wait(BEAT_SECONDS)

    def stop(self) -> None:
        """End the scheduler, and ask running jobs to stop."""
        self._stop.set()
        term = self._term
        if term is not None:
            term.stop()

    def _lead(self, leadership: Leadership) -> None:
        runner = Runner(self._context, process=self._process, table=self._table)
        term = self._term = _Term(self._context, self._table, runner)
        sequencer = Sequencer(self._context.database, self._context.clock)
        sequencer.start()
        try:
            self._record_change()
            term.begin()
            while not self._stop.wait(BEAT_SECONDS):
                leadership.beat()
                if not term.refresh():
                    log.warning("a run could not be recorded: this process no longer leads")
                    return
        finally:
            self._term = None
            sequencer.stop()
            term.end()

    def _record_change(self) -> None:
        leads = f"{self._process or process_name()} runs the scheduled jobs from now on"
        with self._context.database.transaction(PLATFORM) as tx:
            server_logs.copy_rows(tx, [event_row("leader_changed", leads, self._context.clock())])


class _Term:
    """One leadership term."""

    def __init__(self, context: JobContext, table: Mapping[str, ScheduledJob], runner: Runner) -> None:
        self._context = context
        self._table = table
        self._runner = runner
        self._set: dict[str, list[ScheduleRow]] = {}
        # Latest slot of each job that was run or recorded as missed.
        self._done: dict[str, datetime] = {}
        self._pool = ThreadPoolExecutor(THREADS_PER_JOB * len(table), thread_name_prefix="job")
        self._asked: dict[str, Future[None]] = {}
        self._failed = threading.Event()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": _Slots(self._slots_came)},
            # APScheduler must pass on every slot, however late: the runner decides which slots run.
            job_defaults={"misfire_grace_time": None, "coalesce": False, "max_instances": 1_000_000},
        )

    def begin(self) -> None:
        """Record the interrupted runs and the missed slots of the time without a leader, then start."""
        at = self._context.clock()
        self._set_watch(at)
        self._runner.interrupt_others()
        with self._context.database.transaction(PLATFORM) as tx:
            self._set = scheduled_jobs.schedules(tx)
            self._done = scheduled_jobs.last_slots(tx, self._table)
        for job in self._table:
            self._miss_until(job, at)
            self._plan(job)
        self._scheduler.start()

    def refresh(self) -> bool:
        """Apply changed schedules and begin requested runs; returns False if a run could not be recorded."""
        self._follow_clock()
        with self._context.database.transaction(PLATFORM) as tx:
            schedules, waiting = scheduled_jobs.schedules(tx), scheduled_jobs.waiting(tx)
        for job in self._table:
            if job in schedules and schedules[job] != self._set.get(job):
                self._reschedule(job, schedules[job])
        for row in waiting:
            self._begin_waiting(row)
        return not self._failed.is_set()

    def stop(self) -> None:
        """Ask running jobs to stop."""
        self._runner.stop()

    def end(self) -> None:
        """Begin no more runs, and wait for running ones."""
        self._runner.stop()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _set_watch(self, at: datetime) -> None:
        self._watch = at - timedelta(seconds=time.monotonic())

    def _follow_clock(self) -> None:
        """Plan anew if the clock was set: APScheduler would wait for slots by the former time.

        https://github.com/agronholm/apscheduler/issues/752
        """
        at, began = self._context.clock(), self._watch
        self._set_watch(at)
        if abs(self._watch - began) < LEAST_STEP:
            return
        log.warning("the clock was set", seconds=(self._watch - began).total_seconds())
        for job in self._table:
            if self._watch > began:
                self._miss_until(job, at)
            self._done[job] = at
            self._plan_anew(job)

    def _miss_until(self, job: str, at: datetime) -> None:
        done = self._done.get(job)
        self._done[job] = at
        if done is None:
            return
        earliest = self._earliest(job, at)
        slots: deque[datetime] = deque(maxlen=MAX_MISSED)
        count = 0
        for after, until, row in self._terms(job, max(done, earliest), at):
            for slot in self._due(job, row, after, until):
                slots.append(slot)
                count += 1
        why = "no scheduler was at work"
        if count > len(slots):
            before = f"{count - len(slots)}" if done >= earliest else f"more than {count - len(slots)}"
            self._runner.miss(job, [slots.popleft()], f"{why}, nor in the {before} slots before")
        latest = list(slots)
        for first in range(0, len(latest), MISSED_AT_ONCE):
            self._runner.miss(job, latest[first : first + MISSED_AT_ONCE], why)

    def _earliest(self, job: str, at: datetime) -> datetime:
        """Instant from which on the present schedule has about as many slots as may be counted."""
        hour = timedelta(hours=1)
        in_an_hour = sum(1 for _ in self._due(job, last_of(self._set.get(job)), at - hour, at))
        return at - hour * (MAX_COUNTED / max(in_an_hour, 1))

    def _terms(
        self, job: str, since: datetime, until: datetime
    ) -> Iterator[tuple[datetime, datetime, ScheduleRow | None]]:
        """Yield the schedules within a span of time, each with its begin and end."""
        rows: list[ScheduleRow | None] = [None, *self._set.get(job, ())]
        for row, following in zip(rows, [*rows[1:], None], strict=True):
            begin = since if row is None else max(since, row.changed_at)
            end = until if following is None else min(until, following.changed_at)
            if begin < end:
                yield begin, end, row

    def _due(self, job: str, row: ScheduleRow | None, after: datetime, until: datetime) -> Iterator[datetime]:
        if row is None or not row.is_paused:
            yield from schedule_of(self._table[job], row).slots(after, until)

    def _plan(self, job: str) -> None:
        """Schedule the slots of a job that follow its last recorded slot."""
        row = last_of(self._set.get(job))
        if row is not None and row.is_paused:
            return
        schedule = schedule_of(self._table[job], row)
        # A setting by another host's clock may be ahead: it applies nevertheless.
        begin = self._done[job] if row is None else min(row.changed_at, self._context.clock())
        after = max(self._done[job], begin)
        self._scheduler.add_job(
            _nothing,
            schedule.trigger,
            id=job,
            replace_existing=True,
            # By default APScheduler begins now, and would lose a slot between the last recorded one and now.
            next_run_time=schedule.next_after(after),
        )

    def _reschedule(self, job: str, rows: list[ScheduleRow]) -> None:
        self._set[job] = rows
        self._plan_anew(job)

    def _plan_anew(self, job: str) -> None:
        if self._scheduler.get_job(job) is not None:
            self._scheduler.remove_job(job)
        self._plan(job)

    def _slots_came(self, job: str, slots: Sequence[datetime]) -> Future[None]:
        self._done[job] = max(self._done[job], slots[-1])
        return self._submit(lambda: self._runner.run_slots(job, slots))

    def _begin_waiting(self, row: RunRow) -> None:
        going = self._asked.get(row.job)
        if row.job in self._table and (going is None or going.done()):
            self._asked[row.job] = self._submit(lambda: self._runner.run_waiting(row))

    def _submit(self, work: Callable[[], object]) -> Future[None]:
        def guarded() -> None:
            try:
                work()
            except Exception:
                # This process gives up its leadership; the next leader records the run.
                log.exception("a run could not be recorded")
                self._failed.set()

        return self._pool.submit(guarded)


class _Slots(BaseExecutor):  # type: ignore[misc]
    """Executor that calls back with the slots, because APScheduler does not tell a job its scheduled time."""

    def __init__(self, came: Callable[[str, Sequence[datetime]], Future[None]]) -> None:
        super().__init__()
        self._came = came

    def _do_submit_job(self, job: Any, run_times: Sequence[datetime]) -> None:
        slots = [slot.astimezone(UTC) for slot in run_times]
        future = self._came(job.id, slots)
        future.add_done_callback(lambda _: self._run_job_success(job.id, []))


def _nothing() -> None:
    """Placeholder for APScheduler's job function: `_Slots` runs jobs instead."""
