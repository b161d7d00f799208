"""Rate limits: so many calls in a moving window, counted by each process alone."""

import math
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass

from limits import RateLimitItem, parse_many
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

from service.runtime.clock import Clock

# One number is kept for each counted call: 100,000 of them take some 3 MB.
MAX_AMOUNT = 100_000
# So many are counted apart. Beyond, the one that was counted longest ago begins anew.
MAX_COUNTED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Standing under a limit after a call; `reset_seconds` passes until its oldest call no longer counts."""

    name: str
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    is_within: bool


class RateLimit:
    """Limit of calls; the rate has the notation of the library `limits`: 10/minute, or 100 per 2 hours."""

    def __init__(self, name: str, rate: str, clock: Clock, *, processes: int = 1) -> None:
        """Divide the rate by the processes that count, rounded up; raises ValueError for no rate."""
        whole = rate_of(rate)
        self._name = name
        self._item = type(whole)(math.ceil(whole.amount / processes), whole.multiples)
        self._clock = clock
        self._calls = CountedCalls(clock)
        self._limiter = MovingWindowRateLimiter(self._calls)

    @property
    def counted(self) -> int:
        """The number of those whose calls are in memory."""
        return len(self._calls)

    def count(self, who: str) -> Standing:
        """Count a call; a call that is beyond the limit is not counted."""
        is_within = self._limiter.hit(self._item, who)
        resets_at, remaining = self._limiter.get_window_stats(self._item, who)
        return Standing(
            name=self._name,
            quota=self._item.amount,
            window_seconds=self._item.get_expiry(),
            remaining=remaining,
            reset_seconds=max(1, math.ceil(resets_at - self._clock().timestamp())),
            is_within=is_within,
        )


def rate_of(rate: str) -> RateLimitItem:
    """Parse a rate; raises ValueError."""
    rates = parse_many(rate)
    if len(rates) != 1 or not 1 <= rates[0].amount <= MAX_AMOUNT:
        raise ValueError(f"a rate is one number from 1 to {MAX_AMOUNT:,} in a time, such as 10/minute")
    return rates[0]


class CountedCalls(Storage, MovingWindowSupport):
    """Times of calls, ascending, for one limit and one thread.

    The library's own storage in memory never forgets an address, and starts a thread every 10 ms to look at
    all of them: 34 µs a call, and 17 MB for 100,000 addresses that are gone.
    """

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        # In the order of their newest calls.
        self._times: OrderedDict[str, list[float]] = OrderedDict()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = self._clock().timestamp()
        times = self._counting(key, now, expiry)
        if len(times) + amount > limit:
            return False
        times.extend([now] * amount)
        self._times[key] = times
        self._times.move_to_end(key)
        self._forget(now, expiry)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = self._clock().timestamp()
        times = self._counting(key, now, expiry)
        return (times[0], len(times)) if times else (now, 0)

    def _counting(self, key: str, now: float, expiry: int) -> list[float]:
        times = self._times.get(key, [])
        if times and times[-1] > now:
            # The clock was set back: counting begins anew, since no call would else be forgotten in time.
            times.clear()
        del times[: bisect_right(times, now - expiry)]
        return times

    def _forget(self, now: float, expiry: int) -> None:
        while len(self._times) > MAX_COUNTED or next(iter(self._times.values()))[-1:] <= [now - expiry]:
            self._times.popitem(last=False)

    def __len__(self) -> int:
        return len(self._times)

    # The rest of the interface serves limits with fixed windows, which nobody makes here.

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        return len(self._times.get(key, ()))

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        count = len(self._times)
        self._times.clear()
        return count

    def clear(self, key: str) -> None:
        self._times.pop(key, None)
