"""The values that cross the committer's socket, and their assembly from the pieces that arrive.

Plain dataclasses and refusals are pickled as they are. Dataclasses that cross the socket have no slots:
pickle calls functions in Python for slots, which takes a seventh of a worker's time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from gitstore.errors import GitStoreError
from service.domain.errors import AnnalsError
from service.domain.ids import SubscriptionId
from service.runtime.pickles import decoded, message, survives
from sql.errors import DatabaseError

log = structlog.get_logger(__name__)


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
    """Encode a value as one message."""
    return b"".join(message(value))


def portable(error: Exception) -> Exception:
    """Convert an error to one that the other end can unpickle and recognize; logs an unexpected error."""
    if isinstance(error, AnnalsError | DatabaseError | GitStoreError) and survives(error):
        return error
    # The other end gets only the error's text, so its traceback has to be logged here.
    log.error("a change failed", exc_info=error)
    return CommitterError(repr(error))


class Decoder:
    """Assembles messages from the pieces that arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Add received bytes, and yield the value of each complete message."""
        buffer = self._buffer
        buffer += data
        start = 0
        while True:
            try:
                with memoryview(buffer) as view, view[start:] as rest:
                    value, length = decoded(rest)
            except EOFError:
                # The rest of this message is still to come.
                break
            start += length
            yield value
        del buffer[:start]
