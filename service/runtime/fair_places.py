"""A bounded number of places that keys, such as addresses or subscriptions, take in turns."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

# A key that had or wanted a place so recently is still there: a caller that sends one request after the other
# has none in between.
REMEMBERED_SECONDS = 5.0


class FairPlaces:
    """At most `total` places, for one event loop.

    While several keys are there, each has at most `each` places. A key that is alone may have all but `each`
    of them, so that a key that arrives finds places at once. Keys that wait get free places in turns.
    """

    def __init__(self, total: int, *, each: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._each = each
        self._clock = clock
        self._held: dict[Hashable, int] = {}
        self._all_held = 0
        # Keys with waiters, in the order of their turns.
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        # Keys by the time at which each last took or wanted a place; the latest is last.
        self._seen: OrderedDict[Hashable, float] = OrderedDict()

    @property
    def held(self) -> int:
        """The number of places that are taken."""
        return self._all_held

    @property
    def waiting(self) -> int:
        """The number of callers that wait for a place."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, key: Hashable) -> AsyncIterator[None]:
        """Hold a place; waits for it as long as it takes."""
        await self.take(key)
        try:
            yield
        finally:
            self.release(key)

    async def take(self, key: Hashable) -> None:
        """Take a place, to be given back by `release`; waits for it as long as it takes."""
        self._note(key)
        if key not in self._waiting and self._is_free_for(key):
            self._grant(key)
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                # The place was granted in the moment in which the caller gave up.
                self.release(key)
            else:
                self._forget(key, granted)
            raise

    def release(self, key: Hashable) -> None:
        """Give a place back, and hand free places to those that wait."""
        self._all_held -= 1
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
        self._note(key)
        self._hand_out()

    def _hand_out(self) -> None:
        """Grant free places, one key after the other."""
        passed_over = 0
        while self._waiting and passed_over < len(self._waiting):
            key = next(iter(self._waiting))
            if not self._is_free_for(key):
                if self._all_held >= self._total:
                    return
                self._waiting.move_to_end(key)
                passed_over += 1
                continue
            passed_over = 0
            waiters = self._waiting[key]
            granted = waiters.popleft()
            if waiters:
                self._waiting.move_to_end(key)
            else:
                del self._waiting[key]
            if not granted.done():
                self._grant(key)
                granted.set_result(None)

    def _is_free_for(self, key: Hashable) -> bool:
        if self._all_held >= self._total:
            return False
        most = self._total - self._each if self._is_alone(key) else self._each
        return self._held.get(key, 0) < most

    def _is_alone(self, key: Hashable) -> bool:
        self._forget_old()
        return all(each == key for each in self._held) and all(each == key for each in self._seen)

    def _grant(self, key: Hashable) -> None:
        self._held[key] = self._held.get(key, 0) + 1
        self._all_held += 1

    def _note(self, key: Hashable) -> None:
        self._seen[key] = self._clock()
        self._seen.move_to_end(key)

    def _forget_old(self) -> None:
        since = self._clock() - REMEMBERED_SECONDS
        while self._seen and next(iter(self._seen.values())) < since:
            self._seen.popitem(last=False)

    def _forget(self, key: Hashable, granted: asyncio.Future[None]) -> None:
        waiters = self._waiting[key]
        waiters.remove(granted)
        if not waiters:
            del self._waiting[key]
