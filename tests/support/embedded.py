"""Kill embedded PostgreSQL servers."""

import os
import signal
import time
from contextlib import suppress

from sql.embedded.server import EmbeddedPostgres


def pid_of(server: EmbeddedPostgres) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def kill_server(server: EmbeddedPostgres) -> None:
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    # A process that is ending loses its command line before it can be waited for.
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    while server.status().running:
        time.sleep(0.01)
