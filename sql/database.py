"""The engine, and transactions that are bound to a subscription."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlmodel import Session

from sql.errors import translated

Transaction = Session

PLATFORM: Final = "platform"
Scope = UUID | Literal["platform"]

SERVICE_ROLE = "annals_service"

CONNECT_TIMEOUT_SECONDS = 5
POOL_TIMEOUT_SECONDS = 10
# An abandoned transaction (a stopped process that still holds its socket) must not hold row locks for ever.
IDLE_TRANSACTION_TIMEOUT = "60s"

_SET_SCOPE = text("SELECT set_config('annals.scope', :scope, true)")


def driver_url(url: str) -> URL:
    """The SQLAlchemy URL for psycopg of a `postgresql://` or `postgres://` URL.

    Raises ValueError for what is no PostgreSQL URL.
    """
    parsed = make_url(url)
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError(f"not a PostgreSQL URL: it begins with {parsed.drivername}://")
    return parsed.set(drivername="postgresql+psycopg")


class Database:
    """A pool of connections that act as the service's role, never as the owner of the tables."""

    def __init__(self, url: str, *, pool_size: int) -> None:
        self.engine: Engine = create_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "annals"},
        )
        event.listen(self.engine, "connect", _become_service)

    @contextmanager
    def transaction(self, scope: Scope) -> Iterator[Transaction]:
        """A transaction that sees one subscription's rows, or with PLATFORM all; commits when left in peace.

        Raises the errors of `sql.errors`.
        """
        with translated(), Session(self.engine) as session, session.begin():
            session.execute(_SET_SCOPE, {"scope": str(scope)})
            yield session

    def close(self) -> None:
        """Close the pool's connections."""
        self.engine.dispose()


def _become_service(connection: Any, _record: object) -> None:
    # Once a connection, not once a transaction: outside one, so that a rollback does not undo it.
    connection.autocommit = True
    connection.execute(f"SET ROLE {SERVICE_ROLE}")
    connection.execute("SET TIME ZONE 'UTC'")
    connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_TRANSACTION_TIMEOUT}'")
    connection.autocommit = False
