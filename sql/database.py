"""The engine, and transactions that are bound to a subscription."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, cast
from uuid import UUID

import orjson
import psycopg
from psycopg.types.string import TextLoader
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Uuid,
    any_,
    bindparam,
    create_engine,
    event,
    exc,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from sql.errors import DatabaseSilent, translated
from sql.pipelines import Command, driver_of, pipelined
from sql.silence import (
    LONGEST_WORK_SECONDS,
    SILENCE_SECONDS,
    Silence,
    SilenceError,
    WatchedConnection,
    connected,
    probe,
)

Transaction = Connection

PLATFORM: Final = "platform"
Scope = UUID | Literal["platform"]

SERVICE_ROLE: Final = "annals_service"
# Owns the tables, and so may change more than the service. Only repairs use it, and each of them is audited.
OWNER_ROLE: Final = "annals_owner"
# May call the checked functions that delete rows of logs.
RETENTION_ROLE: Final = "annals_retention"
# Takes rows from the queue of logs and gives them their positions.
SEALER_ROLE: Final = "annals_sealer"

# This and the next times are such that a caller is answered within 10 s, whatever it is that he waits for.
CONNECT_TIMEOUT_SECONDS = 4
POOL_TIMEOUT_SECONDS = 8
# An abandoned transaction (a stopped process whose socket is open) must not keep its row locks for ever.
IDLE_TRANSACTION_SECONDS = 60.0
# Nor may a wait for a lock last for ever: the caller gets an error and may retry.
# It is a second less than it takes until a change that waits counts as standing, so that its caller learns
# that nothing was changed.
LOCK_TIMEOUT = "7s"
# A lost host is noticed as soon as one that is silent (`sql.silence`), where nothing was to be sent to it.
KEEPALIVE_SECONDS = 4
# Bytes that PostgreSQL does not take are no sign of a lost host: while it executes a statement, it reads
# no further ones. Linux ends the connection after this time in either case (tcp(7), TCP_USER_TIMEOUT).
UNTAKEN_SECONDS = LONGEST_WORK_SECONDS
# A connection used in the last second is assumed to be alive: a check would cost each call a round trip.
FRESH_SECONDS = 1.0

# Parameters of statements that are compiled once. The first is not named subscription_id, like its column: in
# an UPDATE SQLAlchemy would take it for the new value of the column.
OF_SUBSCRIPTION = bindparam("of_subscription", type_=Uuid())
IDS = bindparam("ids", type_=ARRAY(Uuid()))

# For statements of callers who wait. PostgreSQL ends a statement that takes longer, and says so.
STATEMENT_SECONDS = 9
# If it does not: the server process of this connection is stopped, or the connection is lost.
STATEMENT_GRACE_SECONDS = 0.5

# Has to be the first statement of its transaction.
_SNAPSHOT = Command(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
_REPEATABLE = Command(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))

# Set in each transaction, not once for a connection: a pooler may give the next transaction another one.
_ENTER_TEXT = (
    "SELECT set_config('role', :role, true), set_config('annals.scope', :scope, true), "
    f"set_config('lock_timeout', '{LOCK_TIMEOUT}', true), "
    "set_config('idle_in_transaction_session_timeout', :idle, true)"
)


def among(column: ColumnElement[Any], ids: Collection[UUID]) -> ColumnElement[bool]:
    """Make the condition that a column is one of the given ids.

    It takes one parameter. IN would take one for each id, and 65,535 at the most.
    """
    return column == any_(literal(list(ids), ARRAY(Uuid())))


def driver_url(url: str) -> URL:
    """Turn a `postgresql://` or `postgres://` URL into SQLAlchemy's URL for the driver psycopg.

    Raises ValueError for anything but a PostgreSQL URL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("not a URL: it reads postgresql://user:password@host:port/database") from None
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError(f"not a PostgreSQL URL: it begins with {parsed.drivername}://")
    return parsed.set(drivername="postgresql+psycopg")


class Database:
    """A pool of connections whose transactions act as the service's role, never as the tables' owner.

    A statement that PostgreSQL does not answer is given up: see `sql.silence`. With `statement_seconds` one
    that takes longer is ended, too.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int,
        silence_seconds: float = SILENCE_SECONDS,
        statement_seconds: float | None = None,
        idle_seconds: float = IDLE_TRANSACTION_SECONDS,
    ) -> None:
        entering = _ENTER_TEXT
        if statement_seconds is not None:
            entering += f", set_config('statement_timeout', '{round(statement_seconds * 1000)}', true)"
        self._enter = Command(text(entering))
        self._idle = f"{round(idle_seconds * 1000)}ms"
        self._parameters: dict[str, Any] = {}
        self._silence = Silence(
            lambda: probe(**self._parameters),
            seconds=silence_seconds,
            longest_seconds=None
            if statement_seconds is None
            else statement_seconds + STATEMENT_GRACE_SECONDS,
        )
        self.engine: Engine = create_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            # Prefer the connection used last: PostgreSQL caches tables and statements for each connection.
            pool_use_lifo=True,
            # Parameters are e-mail addresses, hashes and documents: no error message may contain them.
            hide_parameters=True,
            # PostgreSQL returns a large double in JSONB as an integer. orjson makes it the same double again.
            json_deserializer=orjson.loads,
            connect_args=connect_arguments("annals"),
        )
        event.listen(self.engine, "do_connect", self._connect)
        event.listen(self.engine, "connect", _configure)
        event.listen(self.engine, "checkin", _note_use)
        event.listen(self.engine, "checkout", _check_idle)

    @contextmanager
    def transaction(
        self,
        scope: Scope,
        *,
        first: Callable[[Transaction], None] | None = None,
        role: Literal["annals_service", "annals_owner", "annals_retention", "annals_sealer"] = SERVICE_ROLE,
        snapshot: bool = False,
        repeatable: bool = False,
    ) -> Iterator[Transaction]:
        """Open a transaction on one subscription's rows, or on all with PLATFORM; commit at a normal end.

        The statements of `first` are sent together with the beginning of the transaction, in one round trip.
        With `snapshot` everything is read as of one instant, and nothing can be written. With `repeatable`
        rows can be written, too; WriteConflict if another transaction did since then. Row-level security does
        not bind the owner's role. Raises the errors of `sql.errors`; at once while PostgreSQL is silent.
        """
        silent = self._silence.reason
        if silent is not None:
            raise DatabaseSilent(silent)
        with translated(), self.engine.connect() as connection, connection.begin():
            try:
                with pipelined(connection):
                    if snapshot:
                        _SNAPSHOT.execute(connection)
                    if repeatable:
                        _REPEATABLE.execute(connection)
                    self._enter.execute(connection, role=role, scope=str(scope), idle=self._idle)
                    if first is not None:
                        first(connection)
                yield connection
            except psycopg.Error:
                # The driver's own error passed SQLAlchemy by: a rollback would hide it behind another one.
                if driver_of(connection).closed:
                    connection.invalidate()
                raise

    @property
    def silence(self) -> str | None:
        """Sentence that says for how long PostgreSQL has not answered; None while it is not silent."""
        return self._silence.reason

    def connections(self) -> tuple[int, int, int]:
        """Count the pool's connections: in use, open, and the most that there may be."""
        pool = cast("QueuePool", self.engine.pool)
        used = pool.checkedout()
        return used, used + pool.checkedin(), pool.size()

    def works_for(self, thread: int) -> bool:
        """True while PostgreSQL has a long statement of a thread under way, and answers others."""
        return self._silence.works_for(thread)

    def close(self) -> None:
        """Close the pool's connections."""
        self._silence.close()
        self.engine.dispose()

    def _connect(
        self, _dialect: object, _record: object, _given: object, parameters: dict[str, Any]
    ) -> WatchedConnection:
        self._parameters = parameters
        return connected(self._silence, **parameters)


class Pulse:
    """Sign of life of a transaction that waits for its next statement: PostgreSQL ends one that has none."""

    def __init__(self, tx: Transaction, seconds: float) -> None:
        self._tx = tx
        self._seconds = seconds
        self._beaten_at = time.monotonic()

    def beat(self) -> None:
        """Execute a statement if the last one was so many seconds ago."""
        if time.monotonic() - self._beaten_at >= self._seconds:
            driver_of(self._tx).execute("SELECT 1")
            self._beaten_at = time.monotonic()


def _configure(connection: Any, _record: object) -> None:
    # Outside a transaction, so that a rollback does not undo it.
    connection.autocommit = True
    # Set once for the connection: a pooler applies this setting to each server connection that it hands out.
    connection.execute("SET TIME ZONE 'UTC'")
    # An address is read as its text, which is what all readers show.
    connection.adapters.register_loader("inet", TextLoader)
    if is_pooled(connection):
        # No statements are prepared: one that is prepared on a server connection is unknown on the next.
        connection.prepare_threshold = None
    connection.autocommit = False


def is_pooled(connection: Any) -> bool:
    """True if the connection is to a pooler, which invents the process id that cancellations name.

    `connection` is the driver's.
    """
    [process] = connection.execute("SELECT pg_backend_pid()").fetchone()
    return bool(process != connection.info.backend_pid)


def _note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _check_idle(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Check a connection that was idle; raises DisconnectionError, so that the pool makes a new one."""
    if time.monotonic() - record.info.get("used_at", float("inf")) < FRESH_SECONDS:
        return
    try:
        connection.autocommit = True
        connection.execute("")
        connection.autocommit = False
    except SilenceError:
        # A new connection would be silent, too.
        raise
    except psycopg.Error as error:
        raise exc.DisconnectionError from error


def connect_arguments(application: str) -> dict[str, Any]:
    """The arguments of libpq for each connection: how soon to give up on a lost server."""
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": application,
        "keepalives_idle": KEEPALIVE_SECONDS,
        "keepalives_interval": KEEPALIVE_SECONDS // 2,
        "keepalives_count": 2,
        "tcp_user_timeout": UNTAKEN_SECONDS * 1000,
    }
