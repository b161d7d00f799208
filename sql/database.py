"""The engine, and transactions that are bound to a subscription."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal
from uuid import UUID

import orjson
import psycopg
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
from sqlalchemy.pool import ConnectionPoolEntry

from sql.errors import translated
from sql.pipelines import Command, pipelined

Transaction = Connection

PLATFORM: Final = "platform"
Scope = UUID | Literal["platform"]

SERVICE_ROLE: Final = "annals_service"
# Owns the tables and so may change what the service may not: for repairs alone, each of which is audited.
OWNER_ROLE: Final = "annals_owner"
# What may call the checked functions by which rows of logs go.
RETENTION_ROLE: Final = "annals_retention"

CONNECT_TIMEOUT_SECONDS = 5
POOL_TIMEOUT_SECONDS = 10
# An abandoned transaction (a stopped process that still holds its socket) must not hold row locks for ever.
IDLE_TRANSACTION_TIMEOUT = "60s"
# Nor may a wait for one go on for ever: the caller is told to come back.
LOCK_TIMEOUT = "15s"
KEEPALIVE_SECONDS = 15
# A connection used so lately is taken to be alive: asking it would be one more round trip of each call.
FRESH_SECONDS = 1.0

# For statements made once. The first is not named like its column: an UPDATE would take it for a value.
OF_SUBSCRIPTION = bindparam("of_subscription", type_=Uuid())
IDS = bindparam("ids", type_=ARRAY(Uuid()))

# Has to be the first statement of its transaction.
_SNAPSHOT = Command(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))

# In each transaction, not once a connection: behind a pooler the next one may have another connection.
_ENTER = Command(
    text(
        "SELECT set_config('role', :role, true), set_config('annals.scope', :scope, true), "
        f"set_config('lock_timeout', '{LOCK_TIMEOUT}', true), "
        f"set_config('idle_in_transaction_session_timeout', '{IDLE_TRANSACTION_TIMEOUT}', true)"
    )
)


def among(column: ColumnElement[Any], ids: Collection[UUID]) -> ColumnElement[bool]:
    """Whether a column is one of some ids: one parameter, where IN takes one each and 65,535 at the most."""
    return column == any_(literal(list(ids), ARRAY(Uuid())))


def driver_url(url: str) -> URL:
    """The SQLAlchemy URL for psycopg of a `postgresql://` or `postgres://` URL.

    Raises ValueError for what is no PostgreSQL URL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("not a URL: it reads postgresql://user:password@host:port/database") from None
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError(f"not a PostgreSQL URL: it begins with {parsed.drivername}://")
    return parsed.set(drivername="postgresql+psycopg")


class Database:
    """A pool of connections whose transactions act as the service's role, never as the tables' owner."""

    def __init__(self, url: str, *, pool_size: int) -> None:
        self.engine: Engine = create_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            # The one used last knows its tables and statements: PostgreSQL keeps those per connection.
            pool_use_lifo=True,
            # Parameters are e-mail addresses, hashes and documents: no error message may hold them.
            hide_parameters=True,
            # JSONB writes a large double out as an integer: this reads it as the same double again.
            json_deserializer=orjson.loads,
            connect_args=connect_arguments("annals"),
        )
        event.listen(self.engine, "connect", _configure)
        event.listen(self.engine, "checkin", _note_use)
        event.listen(self.engine, "checkout", _check_idle)

    @contextmanager
    def transaction(
        self,
        scope: Scope,
        *,
        first: Callable[[Transaction], None] | None = None,
        role: Literal["annals_service", "annals_owner", "annals_retention"] = SERVICE_ROLE,
        snapshot: bool = False,
    ) -> Iterator[Transaction]:
        """A transaction that sees one subscription's rows, or with PLATFORM all; commits when left in peace.

        What `first` sends goes over with its beginning. With `snapshot` all that it reads is of one instant,
        and it writes nothing. Row-level security does not hold the owner. Raises the errors of `sql.errors`.
        """
        with translated(), self.engine.connect() as connection, connection.begin():
            with pipelined(connection):
                if snapshot:
                    _SNAPSHOT.execute(connection)
                _ENTER.execute(connection, role=role, scope=str(scope))
                if first is not None:
                    first(connection)
            yield connection

    def close(self) -> None:
        """Close the pool's connections."""
        self.engine.dispose()


def _configure(connection: Any, _record: object) -> None:
    # Outside a transaction, so that a rollback does not undo it.
    connection.autocommit = True
    # A pooler takes this one over to the connections that it gives instead.
    connection.execute("SET TIME ZONE 'UTC'")
    if is_pooled(connection):
        # Prepared on one connection, a statement is looked for on another.
        connection.prepare_threshold = None
    connection.autocommit = False


def is_pooled(connection: Any) -> bool:
    """Whether a pooler answers in the place of the server: it makes up the process that a cancellation names.

    `connection` is the driver's.
    """
    [process] = connection.execute("SELECT pg_backend_pid()").fetchone()
    return bool(process != connection.info.backend_pid)


def _note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _check_idle(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Ask a connection that lay idle whether it still lives; raised, the pool makes another."""
    if time.monotonic() - record.info.get("used_at", float("inf")) < FRESH_SECONDS:
        return
    try:
        connection.autocommit = True
        connection.execute("")
        connection.autocommit = False
    except psycopg.Error as error:
        raise exc.DisconnectionError from error


def connect_arguments(application: str) -> dict[str, Any]:
    """What libpq is told of every connection: how soon to give up on a server that is gone."""
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": application,
        "keepalives_idle": KEEPALIVE_SECONDS,
        "keepalives_interval": KEEPALIVE_SECONDS // 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 2 * KEEPALIVE_SECONDS * 1000,
    }
