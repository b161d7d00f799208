"""Progress of batches: a batch whose thread uses no processor time waits for a disk or a lock.

A large change that takes minutes plans and packs meanwhile, and so its thread uses processor time; or the
database works on one of its statements. A wait for a database that does not answer ends by itself
(`sql.silence`).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.domain.ids import SubscriptionId

# A thread that waits uses less in a minute: it looks up from its wait ten times a second.
STEP_SECONDS = 0.02


@dataclass(slots=True)
class _Batch:
    subscription_id: SubscriptionId
    clock: int
    used: float
    moved_at: float


class Progress:
    """The batches under way, one of each writing thread, and how long each has made no step.

    `is_worked_for` tells of a thread if the database works on its statement.
    """

    def __init__(self, is_worked_for: Callable[[int], bool]) -> None:
        self._is_worked_for = is_worked_for
        self._batches: dict[int, _Batch] = {}

    def begin(self, subscription_id: SubscriptionId) -> None:
        """Note that this thread begins a batch."""
        thread = threading.get_ident()
        clock = time.pthread_getcpuclockid(thread)
        self._batches[thread] = _Batch(subscription_id, clock, time.clock_gettime(clock), time.monotonic())

    def end(self) -> None:
        """Note that this thread's batch has ended."""
        del self._batches[threading.get_ident()]

    def standing(self, seconds: float) -> list[SubscriptionId]:
        """Subscriptions whose batches have made no step for so long, as far as the calls of this tell.

        The time of a step is that of the first call after it: it has to be called about once a second.
        """
        now = time.monotonic()
        found = []
        for thread, batch in list(self._batches.items()):
            try:
                used = time.clock_gettime(batch.clock)
            except OSError:
                # The thread has ended since.
                continue
            if used - batch.used >= STEP_SECONDS or self._is_worked_for(thread):
                batch.used, batch.moved_at = used, now
            elif now - batch.moved_at >= seconds:
                found.append(batch.subscription_id)
        return found
