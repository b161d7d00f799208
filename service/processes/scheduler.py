"""The scheduler as a process: of `annals serve`, or alone as `annals jobs run`."""

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
from service.runtime.settings import Settings
from service.usecases.context import JobContext
from service.usecases.maintenance.table import SCHEDULED_JOBS
from sql.database import Database

# After the order to stop, for runs to come to the end of their step.
GRACE_SECONDS = 15
# For the leader's own transaction, its looks, and what a run takes beside its first connection.
SPARE_CONNECTIONS = 4


@contextmanager
def job_context(settings: Settings, database_url: str) -> Iterator[JobContext]:
    """The context of jobs; their deletions for good pass through a committer of this process."""
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
        garbage_collector.spare_what_stays()
        scheduler.run()
