"""Sequencer: gives committed rows of logs their positions, in the process that leads the scheduled jobs."""

import threading
from typing import Final

import structlog

from service.runtime.clock import Clock
from sql.database import PLATFORM, SEALER_ROLE, Database
from sql.errors import DatabaseError, WriteConflict
from sql.queries import log_queue

log = structlog.get_logger(__name__)

# Rows in one turn: the transaction takes less than a second. Of all subscriptions together, as many more are
# taken, so that a subscription with a million rows is not waited for.
ROWS_AT_ONCE: Final = 10_000
# A follower sees a row about so long after its COMMIT.
BUSY_SECONDS: Final = 0.02
IDLE_SECONDS: Final = 0.1
# After an error, which the next turn may not meet.
PAUSE_SECONDS: Final = 1.0


class Sequencer:
    """Takes turns until it is stopped. Two of them do no harm: one waits while the other has its turn."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)
        self._is_failing = False

    def start(self) -> None:
        """Begin to take turns."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present turn."""
        self._stop.set()
        self._thread.join()

    def turn(self) -> int:
        """Give positions to rows that wait, in one transaction; returns how many rows of the queue it took.

        Raises RuntimeError, and takes nothing, if a row would be left without its position.
        """
        with self._database.transaction(PLATFORM, role=SEALER_ROLE, repeatable=True) as tx:
            if not log_queue.try_place(tx):
                return 0
            taken, placed = log_queue.place(tx, self._clock(), limit=ROWS_AT_ONCE)
            if taken != placed:
                raise RuntimeError(f"{taken} rows were taken from the queue, but {placed} got a position")
            return taken

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self._pause()

    def _pause(self) -> float:
        try:
            taken = self.turn()
        except WriteConflict:
            return BUSY_SECONDS
        except DatabaseError as error:
            if not self._is_failing:
                log.warning("rows of logs wait for their positions", error=str(error))
            self._is_failing = True
            return PAUSE_SECONDS
        except Exception:
            log.exception("rows of logs got no positions")
            return PAUSE_SECONDS
        if self._is_failing:
            self._is_failing = False
            log.info("rows of logs get their positions again")
        if taken >= ROWS_AT_ONCE:
            return 0.0
        return BUSY_SECONDS if taken else IDLE_SECONDS
