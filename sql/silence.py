"""Silence of PostgreSQL: noticed by statements that wait in vain, and ended by a probe that is answered.

TCP's settings do nothing on a Unix socket, and `statement_timeout` does nothing in a server that is stopped.
"""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

Result = TypeVar("Result")

# Callers are answered 503 within 10 s: this leaves two for those that wait behind them.
SILENCE_SECONDS: Final = 8.0
# The part of that time after which a probe asks if PostgreSQL only works for long on this statement.
ASK_AFTER: Final = 5 / 8
PROBE_SECONDS: Final = 5
PROBE_PAUSE_SECONDS: Final = 0.5
_READABLE: Final = 1
# A statement of which nothing is heard for this long may be one whose server process is stopped.
LONGEST_WORK_SECONDS: Final = 60
# How often the driver's wait looks up from the socket, as the driver has it.
_LOOK_UP_SECONDS: Final = 0.1


class SilenceError(psycopg.OperationalError):
    """PostgreSQL has not answered for too long; the connection is closed."""


class Silence:
    """The silence of one server, shared by all connections to it.

    It begins when no connection has heard anything for `seconds` while a statement waits, and no probe was
    answered meanwhile: so a long statement does not count while PostgreSQL answers others. It ends when a
    probe is answered. `probe` connects and executes a statement, within PROBE_SECONDS or so.
    A statement that waits for `longest_seconds` is given up, whatever PostgreSQL answers to others.
    """

    def __init__(
        self, probe: Callable[[], None], *, seconds: float = SILENCE_SECONDS, longest_seconds: float | None
    ) -> None:
        self._probe = probe
        self._seconds = seconds
        self._longest_seconds = longest_seconds
        self._heard_at = monotonic()
        self._since: float | None = None
        self._prober: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = threading.Event()
        # Threads that wait for an answer, and since when; a short wait is not noted.
        self._waiting: dict[int, float] = {}

    def works_for(self, thread: int) -> bool:
        """True while PostgreSQL, which answers others, has a long statement of a thread under way."""
        since = self._waiting.get(thread)
        return since is not None and self._since is None and monotonic() - since < LONGEST_WORK_SECONDS

    @property
    def reason(self) -> str | None:
        """Sentence for callers while the silence lasts, else None."""
        since = self._since
        return None if since is None else f"PostgreSQL has not answered for {monotonic() - since:.0f} s"

    def close(self) -> None:
        """End the probes."""
        self._closed.set()

    def missed(self, began: float) -> None:
        """Note that a connection could not be made in time, begun at `began` (monotonic)."""
        if self._heard_at < began:
            self._begin(began)

    def watch(self, waiting: PQGen[Result], give_up: Callable[[], None]) -> PQGen[Result]:
        """Wait for what the driver waits for; calls `give_up` and raises SilenceError if that is in vain.

        Each byte that arrives or leaves begins the time anew.
        """
        since = monotonic()
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if ready:
                    since = monotonic()
                    if ready & _READABLE:
                        self._heard_at = since
                else:
                    self._waiting[threading.get_ident()] = since
                    vain = self._in_vain(since)
                    if vain is not None:
                        give_up()
                        raise SilenceError(vain)
                wanted = waiting.send(ready)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            if self._waiting:
                self._waiting.pop(threading.get_ident(), None)

    def _in_vain(self, since: float) -> str | None:
        """Tell why a statement that has waited since then waits in vain; None if it may wait longer."""
        now = monotonic()
        if self._longest_seconds is not None and now - since > self._longest_seconds:
            return f"PostgreSQL has not answered a statement for {now - since:.0f} s"
        heard_or_began = max(since, self._heard_at)
        quiet = now - heard_or_began
        if quiet > self._seconds * ASK_AFTER:
            self._ask()
        if quiet > self._seconds:
            self._begin(heard_or_began)
        return self.reason

    def _begin(self, since: float) -> None:
        with self._starting:
            if self._since is None:
                self._since = since
        self._ask()

    def _ask(self) -> None:
        """Probe in a thread of its own until PostgreSQL answers."""
        with self._starting:
            if self._prober is None and not self._closed.is_set():
                self._prober = threading.Thread(target=self._ask_until_heard, name="probe", daemon=True)
                self._prober.start()

    def _ask_until_heard(self) -> None:
        while not self._closed.is_set():
            try:
                self._probe()
            except (psycopg.errors.ConnectionTimeout, SilenceError):
                self._closed.wait(PROBE_PAUSE_SECONDS)
                continue
            except psycopg.Error:
                # Refused, so not silent: each call meets the reason by itself.
                pass
            break
        with self._starting:
            self._heard_at = monotonic()
            self._since = self._prober = None


class WatchedConnection(psycopg.Connection[TupleRow]):
    """A connection that gives up on a silent server, if `silence` is set; it is closed then."""

    silence: Silence | None = None

    def wait(
        self, gen: PQGen[Result], interval: float = _LOOK_UP_SECONDS, timeout: float | None = None
    ) -> Result:
        """Wait for the end of `gen`; raises SilenceError if that is in vain."""
        if self.silence is not None:
            gen = self.silence.watch(gen, self.pgconn.finish)
        return super().wait(gen, interval, timeout)


def connected(silence: Silence, **parameters: object) -> WatchedConnection:
    """Connect to the server that may be silent; raises SilenceError at once while it is."""
    if silence.reason is not None:
        raise SilenceError(silence.reason)
    began = monotonic()
    try:
        connection = WatchedConnection.connect(**parameters)  # type: ignore[arg-type]
    except psycopg.errors.ConnectionTimeout as error:
        silence.missed(began)
        if silence.reason is not None:
            raise SilenceError(silence.reason) from error
        raise
    connection.silence = silence
    return connection


def probe(**parameters: object) -> None:
    """Connect and execute a statement; raises ConnectionTimeout or SilenceError after PROBE_SECONDS each."""
    bounded = Silence(lambda: None, seconds=float("inf"), longest_seconds=PROBE_SECONDS)
    with connected(bounded, **{**parameters, "connect_timeout": PROBE_SECONDS}) as connection:
        connection.autocommit = True
        # A pooler connects without its server, so a statement is executed, too.
        connection.execute("")
