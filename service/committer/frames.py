"""Changes and their outcomes as bytes on a socket: a length, then a pickle.

Pickle, because both ends are this program, started by one supervisor, and meet in a folder that nobody else
can enter (docs/decisions/0011-committer-process.md): it takes plain dataclasses and refusals as they are.
"""

import pickle
from collections.abc import Iterator
from struct import Struct
from typing import Any

from gitstore.errors import GitStoreError
from service.errors import AnnalsError
from sql.errors import DatabaseError

_LENGTH = Struct(">I")


class CommitterError(Exception):
    """Something in the committer failed that is no refusal and no store's failure; its log says more."""


def encode(value: Any) -> bytes:
    """One frame."""
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def portable(error: Exception) -> Exception:
    """An error that the other end can read and tell apart: a driver's own may hold what can't be sent."""
    if isinstance(error, AnnalsError | DatabaseError | GitStoreError):
        return error
    return CommitterError(repr(error))


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
