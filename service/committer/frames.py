"""Changes and their outcomes as bytes on a socket: a length, then a pickle.

Pickle, because both ends are this program, started by one supervisor, and meet in a folder that nobody else
can enter (docs/decisions/0011-committer-process.md): it takes plain dataclasses and refusals as they are.
Those that cross have no slots: such are pickled by functions in Python, at a seventh of a worker's time.
"""

import pickle
from collections.abc import Iterator
from struct import Struct
from typing import Any

import structlog

from gitstore.errors import GitStoreError
from service.domain.errors import AnnalsError
from sql.errors import DatabaseError

log = structlog.get_logger(__name__)

_LENGTH = Struct(">I")


class CommitterError(Exception):
    """Something in the committer failed that is no refusal and no store's failure; its log says more."""


def encode(value: Any) -> bytes:
    """One frame."""
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def portable(error: Exception) -> Exception:
    """An error that the other end can read and tell apart; what is none of a family is logged here."""
    if isinstance(error, AnnalsError | DatabaseError | GitStoreError) and _survives(error):
        return error
    # The other end learns no more than its name: only here is it known where it came from.
    log.error("a change failed", exc_info=error)
    return CommitterError(repr(error))


def _survives(error: Exception) -> bool:
    try:
        # One that can be written but not read would break the connection for everybody else.
        pickle.loads(pickle.dumps(error, protocol=pickle.HIGHEST_PROTOCOL))  # noqa: S301 - written just now
    except Exception:  # noqa: BLE001 - what is in it may raise anything
        return False
    return True


class Decoder:
    """Puts frames together from the pieces in which they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The values of the frames that are whole by now."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, start)
            end = start + _LENGTH.size + size
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:
                value = pickle.loads(view[start + _LENGTH.size : end])  # noqa: S301 - see the module's docstring
            start = end
            yield value
        del buffer[:start]
