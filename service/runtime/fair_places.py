"""A bounded number of places, or bytes, that keys such as addresses or subscriptions take in turns."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.runtime import recent_keys
from service.runtime.recent_keys import RecentKeys


@dataclass(slots=True, eq=False)
class _Waiter:
    size: int
    granted: asyncio.Future[None]


class FairPlaces:
    """At most `total` places, for one event loop; who needs several at once takes them by `size`.

    While several keys are there, each has at most `each` places. A key that is alone may have `alone` of
    them, or all but `each`, so that a key that arrives finds places at once. Keys that wait get free places
    in turns. A large size is not overtaken by small ones: the key whose turn it is keeps it until enough
    places are free.
    """

    def __init__(
        self,
        total: int,
        *,
        each: int,
        alone: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._each = each
        self._alone = total - each if alone is None else alone
        self._held: dict[Hashable, int] = {}
        self._all_held = 0
        # Keys with waiters, in the order of their turns.
        self._waiting: OrderedDict[Hashable, deque[_Waiter]] = OrderedDict()
        # Keys that took, wanted or gave back a place.
        self._recent: RecentKeys[Hashable] = RecentKeys(clock)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> int:
        """The number of places that are taken."""
        return self._all_held

    @property
    def waiting(self) -> int:
        """The number of callers that wait for places; any thread may ask."""
        return sum(map(len, list(self._waiting.values())))

    @asynccontextmanager
    async def place(self, key: Hashable, size: int = 1) -> AsyncIterator[None]:
        """Hold places; waits for them as long as it takes."""
        await self.take(key, size)
        try:
            yield
        finally:
            self.release(key, size)

    def take_at_once(self, key: Hashable, size: int = 1) -> bool:
        """Take places, to be given back by `release`, if nobody has to be waited for; returns False else."""
        self._recent.note(key)
        # Those that wait may only lack a part of their own share: `take` finds out.
        if self._waiting or not self._fits(key, size):
            return False
        self._grant(key, size)
        return True

    async def take(self, key: Hashable, size: int = 1) -> None:
        """Take places, to be given back by `release`; waits for them as long as it takes."""
        if self.take_at_once(key, size):
            return
        waiter = _Waiter(size, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(key, deque()).append(waiter)
        self._hand_out()
        self._hand_out_later()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.cancelled():
                self._forget(key, waiter)
            else:
                # The places were granted in the moment in which the caller gave up.
                self.release(key, size)
            raise

    def release(self, key: Hashable, size: int = 1) -> None:
        """Give places back, and hand free places to those that wait."""
        self._all_held -= size
        self._held[key] -= size
        if not self._held[key]:
            del self._held[key]
        self._recent.note(key)
        if self._waiting:
            self._hand_out()

    def _hand_out(self) -> None:
        """Grant free places, one key after the other."""
        while (found := self._next()) is not None:
            key, waiters = found
            waiter = waiters.popleft()
            if waiters:
                self._waiting.move_to_end(key)
            else:
                del self._waiting[key]
            if not waiter.granted.done():
                self._grant(key, waiter.size)
                waiter.granted.set_result(None)

    def _hand_out_later(self) -> None:
        """Hand out again once other keys are forgotten: a key may be alone by then."""
        if self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(recent_keys.REMEMBERED_SECONDS, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._hand_out()
        self._hand_out_later()

    def _next(self) -> tuple[Hashable, deque[_Waiter]] | None:
        """Key whose turn it is, and its waiters; None if all have their share or too few places are free."""
        if self._all_held >= self._total:
            return None
        for key, waiters in self._waiting.items():
            size = waiters[0].size
            if self._may_have(key, size):
                return (key, waiters) if self._all_held + size <= self._total else None
        return None

    def _fits(self, key: Hashable, size: int) -> bool:
        return self._all_held + size <= self._total and self._may_have(key, size)

    def _may_have(self, key: Hashable, size: int) -> bool:
        held = self._held.get(key, 0)
        if held == 0 or held + size <= self._each:
            # A size above a whole share is taken alone: else it would wait for ever.
            return True
        return held + size <= self._alone and self.is_alone(key)

    def is_alone(self, key: Hashable) -> bool:
        """True if no other key has, wants or just had a place."""
        return self._recent.has_no_other(key) and all(
            all(each == key for each in keys) for keys in (self._held, self._waiting)
        )

    def _grant(self, key: Hashable, size: int) -> None:
        self._held[key] = self._held.get(key, 0) + size
        self._all_held += size

    def _forget(self, key: Hashable, waiter: _Waiter) -> None:
        waiters = self._waiting.get(key)
        if waiters is None or waiter not in waiters:
            # Its turn came after its cancellation, and passed.
            return
        waiters.remove(waiter)
        if not waiters:
            del self._waiting[key]
        # It may have kept the turn for a size that did not fit.
        self._hand_out()
