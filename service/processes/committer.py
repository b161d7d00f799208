"""The committer process, one a host: writes the changes that API workers send by a Unix socket.

The supervisor keeps the listening socket open. A change that is sent during a restart of the committer only
has to wait.
"""

import fcntl
import os
import sys
from datetime import timedelta
from pathlib import Path

from gitstore.store import Store
from service.committer.consolidation import Consolidator
from service.committer.deletion_requests import DeletionRequests
from service.committer.group_commit import WRITERS, GroupCommit
from service.committer.server import GRACE_SECONDS, Server
from service.documents.workers import DocumentWorkers
from service.processes.children import Setup
from service.runtime import garbage_collector
from service.runtime.clock import system_clock
from service.runtime.lifeline import Lifeline
from service.runtime.sampling import Sampler
from service.usecases import disks
from service.usecases.disk_watch import DiskWatch
from service.usecases.platform_events import PlatformEvents
from sql.database import Database


def run(setup: Setup) -> None:
    """Serve until the supervisor closes the pipe."""
    lifeline = Lifeline(grace_seconds=GRACE_SECONDS)
    settings = setup.settings
    try:
        # This process holds the lock until it ends.
        _take_lock(setup.runtime)
    except BlockingIOError:
        sys.exit("another committer is at work on this host")
    # One connection for each writer, and three for upkeep, requests of operators and events.
    database = Database(setup.database_url, pool_size=WRITERS + 3)
    store = Store(settings.git_dir)
    consolidator = Consolidator(database, store)
    events = PlatformEvents(database, system_clock)
    watch = DiskWatch(disks.folders(settings, setup.database_url), events)
    group = GroupCommit(
        database,
        store,
        clock=system_clock,
        public_url=str(settings.public_url),
        documents=DocumentWorkers(setup.documents_socket),
        when_written=consolidator.note,
        when_refused=watch.refused,
    )
    requests = DeletionRequests(
        database, group, clock=system_clock, restorable_for=timedelta(days=settings.restore_days)
    )
    assert setup.listener is not None  # noqa: S101 - the supervisor opened it
    server = Server(setup.listener, group, beat=setup.heartbeat.beat)
    group.start()
    consolidator.start()
    requests.start()
    sampler = Sampler("committer", {"batches": database}, group.sample)
    sampler.start()
    watch.start()
    if setup.replaces is not None:
        events.record("committer_restarted", f"the committer was started again: {setup.replaces}")
    lifeline.on_end = server.stop
    garbage_collector.spare_what_stays()
    server.run()
    watch.stop()
    sampler.stop()
    requests.stop()
    consolidator.stop()
    database.close()


def _take_lock(runtime: Path) -> None:
    """Lock out other committers of this host until the process ends; raises BlockingIOError if one runs."""
    lock = os.open(runtime / "committer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
