"""Who runs the jobs: one process among all hosts, by an advisory lock that its death sets free."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from sql.database import PLATFORM, Database, Transaction
from sql.queries import jobs

_BEAT = text("SELECT 1")


class Leadership:
    """Held while its transaction is open; `beat` raises DatabaseUnavailable when it was lost.

    The lock is the transaction's, not the session's: PgBouncer and its like keep a transaction on one
    connection, and nothing else. Between beats it holds no snapshot, and so keeps no row from being vacuumed.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def beat(self) -> None:
        """Show that the process lives; an idle transaction is ended by the server after a minute."""
        self._tx.execute(_BEAT)


@contextmanager
def elected(database: Database) -> Iterator[Leadership | None]:
    """Be the leader within the block; None where another process is."""
    with database.transaction(PLATFORM) as tx:
        yield Leadership(tx) if jobs.try_lead(tx) else None
