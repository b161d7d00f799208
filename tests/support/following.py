"""Followers of logs, and the sequencer that gives rows their positions."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from service.sealing.sequencer import Sequencer
from tests.support.api import Caller, Json, Server, ok

_PROGRAM = (
    "import sys, time\n"
    "from service.runtime.clock import system_clock\n"
    "from service.sealing.sequencer import Sequencer\n"
    "from sql.database import Database\n"
    "sequencer = Sequencer(Database(sys.argv[1], pool_size=1), system_clock)\n"
    "sequencer.start()\n"
    "print('ready', flush=True)\n"
    "time.sleep(3600)\n"
)


def sequence(server: Server) -> int:
    """Give positions to all rows that wait; returns how many waited."""
    sequencer = Sequencer(server.context.database, server.context.clock)
    total = 0
    while taken := sequencer.turn():
        total += taken
    return total


@contextmanager
def sequencing(server: Server) -> Iterator[None]:
    """Run a sequencer until the block ends."""
    sequencer = Sequencer(server.context.database, server.context.clock)
    sequencer.start()
    yield
    sequencer.stop()


@contextmanager
def sequencer_process(server: Server) -> Iterator[subprocess.Popen[str]]:
    """Run a sequencer in a process of its own, and kill it at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, server.database.url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@dataclass
class Follower:
    """Follower of a log: each call of `read` returns the rows that are new."""

    caller: Caller
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    cursor: str | None = None

    def page(self, limit: int = 200) -> list[Json]:
        """Read one page, which can be empty although more rows are there."""
        place = {} if self.cursor is None else {"cursor": self.cursor}
        query = {"order": "commit", "limit": limit} | self.query | place
        found = ok(self.caller.get(self.path, params=query))
        assert found["next_cursor"] is not None
        self.cursor = found["next_cursor"]
        items: list[Json] = found["items"]
        return items

    def read(self, limit: int = 200) -> list[Json]:
        """Read pages until the place stays the same."""
        found: list[Json] = []
        while True:
            before = self.cursor
            found += self.page(limit)
            if self.cursor == before:
                return found
