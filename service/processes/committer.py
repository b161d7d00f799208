"""The committer process, one a host: writes the changes that API workers send by a Unix socket.

`annals serve` starts it with a listening socket, so that a change sent while it is restarted only waits.
"""

import json
import os
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from service.committer.server import GRACE_SECONDS, Server
from service.runtime import garbage_collector
from service.runtime.lifeline import Lifeline


def _take_lock(runtime: Path) -> int:
    """Be the only committer of this host until the process ends; raises BlockingIOError where another is."""
    import fcntl

    lock = os.open(runtime / "committer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


def main() -> None:
    """Serve until the supervisor closes the pipe."""
    handed: dict[str, Any] = json.loads(sys.stdin.readline())
    lifeline = Lifeline(grace_seconds=GRACE_SECONDS)
    garbage_collector.put_off()

    from gitstore.store import Store
    from service.committer.consolidation import Consolidator
    from service.committer.deletion_requests import DeletionRequests
    from service.committer.group_commit import WRITERS, GroupCommit
    from service.runtime import log_setup
    from service.runtime.clock import system_clock
    from service.runtime.settings import Settings
    from sql.database import Database

    settings = Settings(**handed["settings"])
    log_setup.configure(settings.log_format, settings.log_level)
    try:
        # Held until the process ends.
        _take_lock(Path(handed["runtime"]))
    except BlockingIOError:
        sys.exit("another committer is at work on this host")
    # Two more than the writers have, for upkeep and for requests of operators.
    database = Database(handed["database_url"], pool_size=WRITERS + 2)
    store = Store(settings.git_dir)
    consolidator = Consolidator(database, store)
    group = GroupCommit(
        database,
        store,
        clock=system_clock,
        public_url=str(settings.public_url),
        when_written=consolidator.note,
    )
    requests = DeletionRequests(
        database, group, clock=system_clock, restorable_for=timedelta(days=settings.restore_days)
    )
    server = Server(socket.socket(fileno=handed["listener"]), group)
    group.start()
    consolidator.start()
    requests.start()
    lifeline.on_end = server.stop
    garbage_collector.spare_what_stays()
    server.run()
    requests.stop()
    consolidator.stop()
    database.close()


if __name__ == "__main__":
    main()
