"""What can go wrong in the database, without its driver's names.

DatabaseError
├── DatabaseUnavailable   not reachable, shutting down, or no connection came free in time
│   └── LockNotTaken      somebody else held a lock for longer than the wait was to be
├── WriteConflict         a deadlock, a serialization failure, or a chunk that was dropped while its lock was
│                         waited for: the same work may succeed when tried again
├── RowsKept              rows of a log were to go that a rule or a hold keeps
├── ChunkGone             a log has no chunk of that range, or not any more
├── UniqueConflict        a unique constraint refused a row; `constraint` names it
├── LimitExceeded         a value is past what PostgreSQL can store
├── RowsRefused           one row or more of a batch can't be stored as they are
├── UnfitValue            a value is none of its column's type: out of range, or a text that it can't hold
├── RoleNotGranted        the login was not granted a role that this needs
└── SchemaError           the schema is missing, old, newer than this program, or may not be changed
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg.errors
from sqlalchemy import exc

# Of the functions by which rows of logs go.
ROWS_KEPT = "RK001"


# Of who waited to write to a chunk that another transaction then dropped: the next attempt makes a new one.
_NO_RELATION = "could not open relation with OID"
_NO_ROLE = "permission denied to set role"


class DatabaseError(Exception):
    """The database refused or did not answer."""


class DatabaseUnavailable(DatabaseError):
    """The database can't be reached."""


class LockNotTaken(DatabaseUnavailable):
    """Another transaction is in the way of a lock: the same work may succeed when tried again."""


class WriteConflict(DatabaseError):
    """The database ended the transaction in favour of another."""


class LimitExceeded(DatabaseError):
    """A value is larger than the database can store."""


class UnfitValue(DatabaseError):
    """A value does not fit its column."""


class RowsRefused(DatabaseError):
    """A batch holds a row that the database does not take."""


class SchemaError(DatabaseError):
    """The schema does not fit this program."""


class RowsKept(DatabaseError):
    """A rule of retention, or a legal hold, keeps rows that were to go."""


class ChunkGone(DatabaseError):
    """The chunk is not there: somebody else dropped it."""


class RoleNotGranted(DatabaseError):
    """The login may not take a role of Annals; only what needs that role is out of reach."""


class UniqueConflict(DatabaseError):
    """A unique constraint refused a row."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"unique constraint {constraint}")
        self.constraint = constraint

    def __reduce__(self) -> tuple[type["UniqueConflict"], tuple[str]]:
        # To cross a socket: exceptions are copied by their message alone.
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
    """The error of this module that `error` is, or `error` itself: then the fault is ours."""
    # Those of a pipeline come from the driver as they are.
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
    if isinstance(origin, psycopg.errors.LockNotAvailable):
        return LockNotTaken(_said(origin))
    if isinstance(origin, psycopg.errors.Error) and (origin.sqlstate or "").startswith("54"):
        return LimitExceeded(str(origin))
    if isinstance(origin, psycopg.DataError):
        return UnfitValue(str(origin))
    invalidated = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    lost = invalidated or isinstance(origin, psycopg.InterfaceError)
    if lost or isinstance(origin, psycopg.OperationalError):
        return DatabaseUnavailable(str(origin))
    return error


def _said(origin: psycopg.Error) -> str:
    """What went wrong, without where in which function."""
    return origin.diag.message_primary or str(origin)
