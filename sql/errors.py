"""The errors of the database, without its driver's names.

DatabaseError
├── DatabaseUnavailable   not reachable, shutting down, or no connection of the pool was free in time
│   ├── DatabaseSilent    has not answered for so long that nobody waits for it any more
│   ├── StatementEnded    the database ended a statement that took too long, or whose end its operator wanted
│   ├── LockNotTaken      another transaction had a lock for longer than this one may wait
│   └── DiskFull          the disk of the database has no room for rows, for its log, or for a sort
├── WriteConflict         a deadlock, a serialization failure, or a chunk that was dropped while its lock was
│                         waited for: the same work may succeed when tried again
├── RowsKept              a rule or a legal hold keeps rows of a log that were to be deleted
├── ChunkGone             a log has no chunk of that range, or the chunk was dropped
├── UniqueConflict        a unique constraint refused a row; `constraint` names it
├── LimitExceeded         a value is larger than PostgreSQL can store
├── RowsRefused           at least one row of a batch can't be stored
├── UnfitValue            a value does not fit its column's type: out of range, or a text that can't be stored
├── RoleNotGranted        the login was not granted a role that this work needs
└── SchemaError           the schema is missing, old, newer than this program, or may not be changed
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg.errors
from sqlalchemy import exc

from sql.silence import SilenceError

# The SQLSTATE that functions which delete rows of logs raise if the rows are kept.
ROWS_KEPT = "RK001"


# The error of a write that waited for the lock of a chunk which was then dropped. The next attempt makes a
# new chunk.
_NO_RELATION = "could not open relation with OID"
# A connection that is refused has no SQLSTATE: libpq repeats the words of the server.
_NO_ROOM = "No space left on device"
_NO_ROLE = "permission denied to set role"


class DatabaseError(Exception):
    """The database refused or did not answer."""


class DatabaseUnavailable(DatabaseError):
    """The database can't be reached."""


class DatabaseSilent(DatabaseUnavailable):
    """The database has not answered for too long; the message says for how long, and names no host."""


class StatementEnded(DatabaseUnavailable):
    """The database ended the statement before it was done; the transaction is rolled back."""


class LockNotTaken(DatabaseUnavailable):
    """Another transaction has the lock: the same work may succeed when tried again."""


class DiskFull(DatabaseUnavailable):
    """The disk of the database is full: the same work may succeed once there is room."""


class WriteConflict(DatabaseError):
    """The database ended the transaction in favour of another."""


class LimitExceeded(DatabaseError):
    """A value is larger than the database can store."""


class UnfitValue(DatabaseError):
    """A value does not fit its column."""


class RowsRefused(DatabaseError):
    """A batch contains a row that the database refuses."""


class SchemaError(DatabaseError):
    """The schema does not fit this program."""


class RowsKept(DatabaseError):
    """A rule of retention, or a legal hold, keeps rows that were to be deleted."""


class ChunkGone(DatabaseError):
    """The chunk does not exist: another transaction dropped it."""


class RoleNotGranted(DatabaseError):
    """The login may not take a role of Annals; everything else works without that role."""


class UniqueConflict(DatabaseError):
    """A unique constraint refused a row."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"unique constraint {constraint}")
        self.constraint = constraint

    def __reduce__(self) -> tuple[type["UniqueConflict"], tuple[str]]:
        # Errors are pickled to cross a socket. By default an exception is rebuilt from its message alone.
        return type(self), (self.constraint,)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into this module's, once, at the edge of the database."""
    try:
        yield
    except exc.TimeoutError as error:
        raise DatabaseUnavailable("no database connection came free in time") from error
    except (exc.DBAPIError, psycopg.Error) as error:
        raise translate(error) from error


def translate(error: exc.DBAPIError | psycopg.Error) -> Exception:
    """Translate a driver's error to this module's. An unknown one, a fault of ours, is returned unchanged."""
    # Errors of a pipeline are the driver's own, not wrapped by SQLAlchemy.
    origin = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(origin, psycopg.errors.UniqueViolation):
        return UniqueConflict(origin.diag.constraint_name or "")
    if isinstance(origin, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure):
        return WriteConflict(_said(origin))
    if isinstance(origin, psycopg.errors.InternalError_) and _NO_RELATION in str(origin):
        return WriteConflict(_said(origin))
    if isinstance(origin, psycopg.errors.NoDataFound):
        return ChunkGone(_said(origin))
    if isinstance(origin, psycopg.errors.Error) and origin.sqlstate == ROWS_KEPT:
        return RowsKept(_said(origin))
    if isinstance(origin, psycopg.errors.InsufficientPrivilege) and _NO_ROLE in str(origin):
        role = str(origin).partition(_NO_ROLE)[2].strip().split("\n")[0]
        return RoleNotGranted(f"this login may not take the role {role}: GRANT it, as its administrator")
    if isinstance(origin, psycopg.errors.DiskFull):
        return DiskFull(_said(origin))
    if isinstance(origin, SilenceError):
        return DatabaseSilent(str(origin))
    if isinstance(origin, psycopg.errors.QueryCanceled):
        return StatementEnded(_said(origin))
    if isinstance(origin, psycopg.errors.LockNotAvailable):
        return LockNotTaken(_said(origin))
    if isinstance(origin, psycopg.errors.Error) and (origin.sqlstate or "").startswith("54"):
        return LimitExceeded(str(origin))
    if isinstance(origin, psycopg.DataError):
        return UnfitValue(str(origin))
    invalidated = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    lost = invalidated or isinstance(origin, psycopg.InterfaceError)
    if lost or isinstance(origin, psycopg.OperationalError):
        if _NO_ROOM in str(origin):
            return DiskFull(str(origin))
        return DatabaseUnavailable(str(origin))
    return error


def _said(origin: psycopg.Error) -> str:
    """Return the message of an error, without the lines that name its place in a database function."""
    return origin.diag.message_primary or str(origin)
