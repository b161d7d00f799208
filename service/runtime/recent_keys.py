"""Keys, such as addresses or subscriptions, that were there just now."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

# A key that was noted so recently is still there: a caller that sends one request after the other has none in
# between. A longer time would hold a busy key down for every chance visitor.
REMEMBERED_SECONDS = 2.0

Key = TypeVar("Key", bound=Hashable)


class RecentKeys(Generic[Key]):
    """Keys that were noted within REMEMBERED_SECONDS; for one thread at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The time of the latest note of each key; the latest key is last.
        self._noted: OrderedDict[Key, float] = OrderedDict()

    def note(self, key: Key) -> None:
        """Note that a key is there."""
        self._noted[key] = self._clock()
        self._noted.move_to_end(key)
        self._forget_old()
        self._forget_old()

    def has_no_other(self, key: Key) -> bool:
        """True if no other key was there just now."""
        self._forget_old()
        return all(each == key for each in self._noted)

    def _forget_old(self) -> None:
        since = self._clock() - REMEMBERED_SECONDS
        while self._noted and next(iter(self._noted.values())) < since:
            self._noted.popitem(last=False)
