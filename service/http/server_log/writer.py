"""Write the server log: rows wait within bounds, and a thread of its own stores them."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog
from prometheus_client import Counter

from service.domain.ids import BatchIds
from service.http.server_log.exchange import Exchange
from service.http.server_log.refused import in_short, likeness_of
from service.http.server_log.rows import row_of, row_of_dropped
from service.runtime.clock import Clock
from service.runtime.metrics import SERVER_LOG_ROWS, SERVER_LOG_WAITING, SERVER_LOG_WAITING_BYTES
from service.runtime.repeats import Repeats
from sql.database import PLATFORM, Database
from sql.errors import RowsRefused
from sql.queries import server_logs
from sql.queries.server_logs import ServerLogRow

log = structlog.get_logger(__name__)

# Bounds of the waiting rows: half a minute of a busy process, or some 60 MB.
MAX_ROWS = 20_000
MAX_BYTES = 64 * 1024 * 1024
BATCH_ROWS = 500
BATCH_BYTES = 4 * 1024 * 1024
FLUSH_SECONDS = 1.0
# After so many rows the thread pauses for requests: without pauses it yields the interpreter only every 5 ms.
ROWS_AT_A_TIME = 20
BREATH_SECONDS = 0.0002
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
# Time to store the waiting rows when the server stops.
STOP_SECONDS = 6.0


class _OutOfTime(Exception):
    """The time to stop is over, and the database still does not answer."""


class ServerLogWriter:
    """Take exchanges without waiting, and write them by COPY: after a second at the latest, or 500 at a time.

    While the database does not answer, exchanges wait, up to MAX_ROWS and MAX_BYTES. Later exchanges are
    dropped and counted, since the oldest ones show how the trouble began. When all waiting exchanges are
    stored, one row states how many were dropped.
    Exchanges that wait when the process is killed are lost.
    """

    def __init__(
        self,
        database_url: str,
        clock: Clock,
        *,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        outcomes: Counter = SERVER_LOG_ROWS,
    ) -> None:
        # A pool of its own, so that this writer and the requests never wait for connections of each other.
        self._database = Database(database_url, pool_size=1)
        self._clock = clock
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._outcomes = outcomes
        self._lock = threading.Lock()
        self._waiting: deque[Exchange] = deque()
        # Totals of the waiting exchanges and of the batch that is being written.
        self._rows = self._bytes = 0
        self._dropped = 0
        self._dropped_since: datetime | None = None
        self._repeats: Repeats[Exchange] = Repeats(clock)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._is_failing = False
        # A daemon, for which the interpreter does not wait: a stuck database must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="server log", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, exchange: Exchange) -> None:
        """Take one exchange, or count a repeat of a refused one; never waits."""
        likeness = likeness_of(exchange)
        with self._lock:
            if likeness is not None:
                beginning = self._repeats.beginning(likeness)
                if beginning is None:
                    return
                if not beginning.is_exact:
                    exchange = in_short(exchange)
                self._repeats.begin(beginning, exchange.in_brief())
            fits, is_full_batch = self._hold(exchange)
        if not fits:
            self._outcomes.labels("dropped").inc()
        if is_full_batch:
            self._wake.set()

    def sample(self) -> None:
        """Sample the waiting exchanges."""
        SERVER_LOG_WAITING.set(self._rows)
        SERVER_LOG_WAITING_BYTES.set(self._bytes)

    def _hold(self, exchange: Exchange) -> tuple[bool, bool]:
        """Hold an exchange, if it fits; returns if it does, and if a batch is full now."""
        weight = exchange.weight
        fits = self._rows < self._max_rows and self._bytes + weight <= self._max_bytes
        if fits:
            self._waiting.append(exchange)
            self._rows += 1
            self._bytes += weight
        else:
            self._dropped += exchange.occurrences
            self._dropped_since = self._dropped_since or exchange.began_at
        return fits, len(self._waiting) == BATCH_ROWS

    def stop(self) -> None:
        """Write the waiting exchanges, for STOP_SECONDS at the most."""
        self._deadline = time.monotonic() + STOP_SECONDS
        self._stopping.set()
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        with self._lock:
            left = self._rows
        if left:
            self._outcomes.labels("dropped").inc(left)
            log.error("the server log lost rows: the database did not take them in time", rows=left)
        if not self._thread.is_alive():
            self._database.close()

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            is_last = self._stopping.is_set()
            try:
                self._drain()
            except _OutOfTime:
                return

    def _drain(self) -> None:
        self._take_repeats()
        while batch := self._take():
            self._store(self._made(batch))
            with self._lock:
                self._rows -= len(batch)
                self._bytes -= sum(exchange.weight for exchange in batch)
        self._report_dropped()

    def _take_repeats(self) -> None:
        with self._lock:
            for found in self._repeats.ended(also_open=self._stopping.is_set()):
                fits, _ = self._hold(found.first.repeated(found.occurrences, self._clock()))
                if not fits:
                    self._outcomes.labels("dropped").inc()

    def _take(self) -> list[Exchange]:
        batch: list[Exchange] = []
        weight = 0
        with self._lock:
            while self._waiting and len(batch) < BATCH_ROWS and weight < BATCH_BYTES:
                batch.append(self._waiting.popleft())
                weight += batch[-1].weight
        return batch

    def _made(self, batch: Iterable[Exchange]) -> list[ServerLogRow]:
        rows = []
        # The rows may be of several subscriptions: each has some of the ids.
        ids = BatchIds()
        for number, exchange in enumerate(batch, 1):
            if number % ROWS_AT_A_TIME == 0:
                time.sleep(BREATH_SECONDS)
            try:
                rows.append(row_of(exchange, ids.mint()))
            except Exception:
                self._outcomes.labels("refused").inc()
                log.exception("no row could be made of a request")
        return rows

    def _store(self, rows: Sequence[ServerLogRow]) -> None:
        """Write rows, however long it takes; leave out those whose values the database refuses."""
        pause = FIRST_PAUSE_SECONDS
        while rows:
            try:
                with self._database.transaction(PLATFORM) as tx:
                    server_logs.copy_rows(tx, rows)
            except RowsRefused as error:
                self._store_parts(rows, error)
                return
            except Exception as error:  # noqa: BLE001 - any error may be over at the next try
                self._wait(error, pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                self._outcomes.labels("stored").inc(len(rows))
                self._note_recovery()
                return

    def _store_parts(self, rows: Sequence[ServerLogRow], error: RowsRefused) -> None:
        if len(rows) == 1:
            self._outcomes.labels("refused").inc()
            log.error("a row of the server log was refused", request_id=rows[0].request_id, error=str(error))
            return
        middle = len(rows) // 2
        self._store(rows[:middle])
        self._store(rows[middle:])

    def _wait(self, error: Exception, seconds: float) -> None:
        if not self._is_failing:
            self._is_failing = True
            log.warning("the server log can't be written; it is held meanwhile", error=str(error))
        if time.monotonic() + seconds >= self._deadline:
            raise _OutOfTime
        # A stop ends the present pause; later pauses take their full time.
        if self._stopping.is_set():
            time.sleep(seconds)
        else:
            self._stopping.wait(seconds)

    def _note_recovery(self) -> None:
        if self._is_failing:
            self._is_failing = False
            log.info("the server log is written again")

    def _report_dropped(self) -> None:
        with self._lock:
            number, since = self._dropped, self._dropped_since
            self._dropped, self._dropped_since = 0, None
        if since is not None:
            self._store([row_of_dropped(number, since=since, until=self._clock())])
