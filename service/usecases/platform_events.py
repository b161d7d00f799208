"""Events of the server itself: rows of the server log at the level of the platform, in one form."""

import threading
import time
from collections import deque
from datetime import datetime
from typing import Final, Literal

import structlog

from service.domain.ids import mint
from service.runtime.clock import Clock
from sql.database import PLATFORM, Database
from sql.queries import server_logs
from sql.queries.server_logs import ServerLogRow

log = structlog.get_logger(__name__)

# docs/guide/server-log.md lists them.
Code = Literal[
    "api_worker_restarted",
    "committer_restarted",
    "leader_changed",
    "scheduler_restarted",
    "server_log_overflow",
    "storage_full",
]

MOST_HELD: Final = 100
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 10.0


def event_row(code: Code, text: str, at: datetime) -> ServerLogRow:
    """Row of an event: its code, a colon and a sentence, in place of an error."""
    return ServerLogRow(
        log_id=mint(), created_at=at, request_id=str(mint()), error_message=f"{code}: {text}."
    )


class PlatformEvents:
    """Holds events until the database takes them, for as long as the process lives."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._held: deque[ServerLogRow] = deque(maxlen=MOST_HELD)
        self._thread: threading.Thread | None = None

    def record(self, code: Code, text: str) -> None:
        """Take an event; never waits. Of more than MOST_HELD, the oldest is lost."""
        log.warning(code, detail=text)
        with self._lock:
            self._held.append(event_row(code, text, self._clock()))
            if self._thread is None:
                self._thread = threading.Thread(target=self._store, name="platform events", daemon=True)
                self._thread.start()

    def _store(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while (row := self._next()) is not None:
            try:
                with self._database.transaction(PLATFORM) as tx:
                    server_logs.copy_rows(tx, [row])
            except Exception as error:  # noqa: BLE001 - any error may be over at the next try
                log.warning("events of the server are held until the database takes them", error=str(error))
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                with self._lock:
                    if row in self._held:
                        self._held.remove(row)

    def _next(self) -> ServerLogRow | None:
        # One at a time: those that came during a COMMIT without an answer may not join a row that it stored.
        with self._lock:
            if not self._held:
                self._thread = None
                return None
            return self._held[0]
