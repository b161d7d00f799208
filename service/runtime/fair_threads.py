"""A few threads that keys, such as subscriptions, take in turns."""

from collections.abc import Callable, Hashable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from service.runtime.fair_places import FairPlaces

Result = TypeVar("Result")


class FairThreads:
    """At most `total` threads that work at once for one event loop; a key never takes more than its share.

    The shares are those of FairPlaces.
    """

    def __init__(self, total: int, *, each: int) -> None:
        self._places = FairPlaces(total, each=each)
        # It is never waited for: the places are as many.
        self._threads = CapacityLimiter(total)

    async def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """Do some work in a thread, when it is the key's turn; raises its errors.

        A caller that gives up while it waits leaves the queue. Work that was begun is finished.
        """
        async with self._places.place(key):
            return await to_thread.run_sync(work, limiter=self._threads)
