"""Wait for a condition."""

import time
from collections.abc import Callable
from typing import Any, LiteralString

from tests.support.databases import Database

SECONDS = 30
# Sessions of a database that wait for a lock.
WAITING: LiteralString = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def until(holds: Callable[[], Any], seconds: float = SECONDS) -> float:
    """Wait until the condition holds; returns the seconds that took, fails after `seconds`."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def waits_for_a_lock(database: Database) -> bool:
    """True while a session of the database waits for a lock: a batch has begun and can't continue."""
    return bool(database.value(WAITING))
