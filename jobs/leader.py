"""Election of the one process among all hosts that runs scheduled jobs, by an advisory lock.

PostgreSQL frees the lock when the process dies.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from sql.database import PLATFORM, Database, Transaction
from sql.queries import scheduled_jobs

_BEAT = text("SELECT 1")


class Leadership:
    """Leadership lasts as long as its transaction is open; `beat` raises DatabaseUnavailable after that.

    The lock belongs to the transaction, not to the session: PgBouncer in transaction mode keeps only a
    transaction on one connection. Between beats the transaction has no snapshot, so it delays no vacuum.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def beat(self) -> None:
        """Keep the transaction open: the server ends a transaction that is idle for a minute."""
        self._tx.execute(_BEAT)


@contextmanager
def elected(database: Database) -> Iterator[Leadership | None]:
    """Lead while the block runs; it gets the Leadership, or None if another process leads."""
    with database.transaction(PLATFORM) as tx:
        yield Leadership(tx) if scheduled_jobs.try_lead(tx) else None
