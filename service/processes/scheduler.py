"""The process of the scheduler: `annals serve` starts it, or `annals jobs run` alone."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gitstore.store import Store
from jobs.scheduler import Scheduler
from service.committer.group_commit import WRITERS, GroupCommit
from service.processes.children import Setup
from service.runtime import garbage_collector
from service.runtime.clock import system_clock
from service.runtime.lifeline import Lifeline
from service.runtime.sampling import Sampler
from service.runtime.settings import Settings
from service.usecases.context import JobContext
from service.usecases.maintenance.table import SCHEDULED_JOBS
from service.usecases.platform_events import PlatformEvents
from sql.database import Database

# Time after the order to stop in which job runs can finish the step that they are in.
GRACE_SECONDS = 15
# For the leader's own transaction, its other queries, the sequencer, and further connections of a job run.
SPARE_CONNECTIONS = 5


@contextmanager
def job_context(settings: Settings, database_url: str) -> Iterator[JobContext]:
    """Open the context of scheduled jobs; a committer in this process writes their purges."""
    database = Database(database_url, pool_size=WRITERS + 2 * len(SCHEDULED_JOBS) + SPARE_CONNECTIONS)
    store = Store(settings.git_dir)
    group = GroupCommit(database, store, clock=system_clock, public_url=settings.reachable_url)
    group.start()
    try:
        yield JobContext(settings=settings, database=database, store=store, group=group, clock=system_clock)
    finally:
        group.stop()
        database.close()


def run_alone(settings: Settings, database_url: str) -> None:
    """Run jobs until SIGINT or SIGTERM."""
    with job_context(settings, database_url) as context:
        scheduler = Scheduler(context)
        working = threading.Thread(target=scheduler.run, name="scheduler")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: scheduler.stop())
        working.start()
        working.join()


def run(setup: Setup) -> None:
    """Run jobs until the supervisor closes the pipe."""
    lifeline = Lifeline(grace_seconds=GRACE_SECONDS)
    with job_context(setup.settings, setup.database_url) as context:
        scheduler = Scheduler(context)
        lifeline.on_end = scheduler.stop
        setup.heartbeat.beat_in_thread()
        garbage_collector.spare_what_stays()
        sampler = Sampler("scheduler", {"jobs": context.database})
        sampler.start()
        if setup.replaces is not None:
            events = PlatformEvents(context.database, system_clock)
            events.record("scheduler_restarted", f"the scheduler was started again: {setup.replaces}")
        scheduler.run()
        sampler.stop()
