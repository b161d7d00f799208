"""Changes and their outcomes as bytes on a socket: a length, then a pickle.

Pickle is safe here: both ends are this program, started by one supervisor, and meet in a folder that nobody
else can enter (docs/decisions/0011-committer-process.md). It takes plain dataclasses and refusals as they
are. Dataclasses that cross the socket have no slots: pickle calls functions in Python for slots, which takes
a seventh of a worker's time.
"""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from struct import Struct
from typing import Any

import structlog

from gitstore.errors import GitStoreError
from service.domain.errors import AnnalsError
from service.domain.ids import SubscriptionId
from sql.errors import DatabaseError

log = structlog.get_logger(__name__)

_LENGTH = Struct(">I")


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A sign of life: if changes are taken, and of which subscriptions no change is written just now.

    `standing` names subscriptions whose batches have made no step for STANDING_SECONDS; None means that all
    writing threads are held up by such batches, so that nobody's changes are written.
    """

    takes_changes: bool
    standing: frozenset[SubscriptionId] | None = frozenset()

    def stands(self, subscription_id: SubscriptionId) -> bool:
        """True if changes of a subscription would wait in vain."""
        return self.standing is None or subscription_id in self.standing


class CommitterError(Exception):
    """A failure in the committer that is neither a refusal nor a store's failure; the log has more."""


def encode(value: Any) -> bytes:
    """Encode a value as one frame."""
    # Written behind the place of the length: to put the two together afterwards would copy a document of
    # 8 MiB once more, 4 ms of the event loop.
    frame = BytesIO()
    frame.seek(_LENGTH.size)
    pickle.dump(value, frame, protocol=pickle.HIGHEST_PROTOCOL)
    size = frame.tell() - _LENGTH.size
    frame.seek(0)
    frame.write(_LENGTH.pack(size))
    return frame.getvalue()


def portable(error: Exception) -> Exception:
    """Convert an error to one that the other end can unpickle and recognize; logs an unexpected error."""
    if isinstance(error, AnnalsError | DatabaseError | GitStoreError) and _survives(error):
        return error
    # The other end gets only the error's text, so its traceback has to be logged here.
    log.error("a change failed", exc_info=error)
    return CommitterError(repr(error))


def _survives(error: Exception) -> bool:
    try:
        # A pickle that cannot be read would break the connection for all callers.
        pickle.loads(pickle.dumps(error, protocol=pickle.HIGHEST_PROTOCOL))  # noqa: S301 - written just now
    except Exception:  # noqa: BLE001 - a pickled object may raise anything
        return False
    return True


class Decoder:
    """Assembles frames from the pieces that arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Add received bytes, and yield the value of each complete frame."""
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
