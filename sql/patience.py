"""Schema changes beside transactions that hold locks on the same tables.

A change that waits for a table keeps everybody waiting who comes after it. So it waits for a moment only,
ends its transaction, and is tried again after a pause, which doubles.
"""

import time
from collections.abc import Callable
from typing import Final

import psycopg.errors
from sqlalchemy import Connection, exc, text

from sql.errors import SchemaError

Progress = Callable[[str], None]

# The longest that a change waits for a lock, and so the longest that it keeps others waiting. After a second
# PostgreSQL looks for deadlocks, and could end a transaction of the others.
LOCK_SECONDS = 0.8
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
# A stream of events takes minutes. After so long somebody has to look at the transactions.
PATIENCE_SECONDS = 900.0

# Granted locks of other sessions on tables, with the age of their transactions. The activity of a session of
# another role can be hidden; such a session has no age. Locks on chunks and indexes name no table of Annals.
_IN_USE = text("""
SELECT used.relation::regclass::text, extract(epoch FROM clock_timestamp() - min(session.xact_start))
FROM pg_locks AS used
JOIN pg_class AS "table" ON "table".oid = used.relation AND "table".relkind IN ('r', 'p')
JOIN pg_stat_activity AS session ON session.pid = used.pid
WHERE used.locktype = 'relation' AND used.granted AND used.pid <> pg_backend_pid()
    AND used.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND "table".relnamespace = 'public'::regnamespace
    AND used.mode <> 'AccessShareLock'
GROUP BY used.relation
ORDER BY min(session.xact_start), used.relation::regclass::text
LIMIT 3
""")


def change(connection: Connection, step: Callable[[], None], progress: Progress) -> None:
    """Carry out a step in a transaction of its own, and commit it, as soon as its tables are free.

    Raises SchemaError after PATIENCE_SECONDS; nothing of the step was changed then.
    """
    began, pause = time.monotonic(), FIRST_PAUSE_SECONDS
    while True:
        try:
            connection.execute(text(f"SET LOCAL lock_timeout = '{round(LOCK_SECONDS * 1000)}ms'"))
            step()
            connection.commit()
        except exc.DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
                raise
        else:
            return
        connection.rollback()
        users = _users(connection)
        waited = time.monotonic() - began
        if waited + pause > PATIENCE_SECONDS:
            raise SchemaError(
                f"the schema could not be changed for {waited:.0f} s, since other transactions use its "
                f"tables: {users}. Nothing was changed; end them, and run `annals db upgrade` again"
            )
        progress(f"Other transactions use tables that are to be changed: {users}. Next try in {pause:g} s …")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _users(connection: Connection) -> str:
    """Name the tables that others use, with the ages of the transactions."""
    found = connection.execute(_IN_USE).all()
    connection.rollback()
    named = [name if age is None else f"{name} for {float(age):.0f} s" for name, age in found]
    return ", ".join(named) or "no longer known which"
