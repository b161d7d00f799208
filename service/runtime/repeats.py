"""Repeats: of equal things within a window the first is told at once, and the others are counted."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from service.runtime.clock import Clock

WINDOW = timedelta(seconds=60)
# Bounds of memory, some 10 MB: windows of all, and of one alone, whose own variety must not fill the rest.
MAX_WINDOWS = 5_000
MAX_WINDOWS_OF_ONE = 100

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Likeness:
    """Likeness of a thing: whose it is, what it is exactly, and in short, for want of room to tell more."""

    who: Hashable
    what: Hashable
    in_short: Hashable


@dataclass(frozen=True, slots=True)
class Beginning:
    """Beginning of a window; `is_exact` tells if all that it counts is equal, or equal in short."""

    key: Hashable
    who: Hashable
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Repeated(Generic[Item]):
    """The first of equal things, and how often it was repeated in its window."""

    first: Item
    occurrences: int


@dataclass(slots=True)
class _Window(Generic[Item]):
    first: Item
    who: Hashable
    began_at: datetime
    repeats: int = 0

    def is_open(self, now: datetime) -> bool:
        # A window also ends if the clock is set back.
        return self.began_at <= now < self.began_at + WINDOW


class Repeats(Generic[Item]):
    """Counts of repeats; for one thread, or under a lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[Hashable, _Window[Item]] = {}
        self._of_one: Counter[Hashable] = Counter()
        self._ended: list[Repeated[Item]] = []

    def __len__(self) -> int:
        return len(self._windows) + len(self._ended)

    def beginning(self, likeness: Likeness) -> Beginning | None:
        """Count a repeat; or return the window to begin with this thing, which the caller tells at once."""
        exact = ("exact", likeness.who, likeness.what)
        if self._counted(exact):
            return None
        has_room = len(self._windows) < MAX_WINDOWS and self._of_one[likeness.who] < MAX_WINDOWS_OF_ONE
        if has_room:
            return Beginning(exact, likeness.who, is_exact=True)
        in_short = ("in short", likeness.in_short)
        return None if self._counted(in_short) else Beginning(in_short, None, is_exact=False)

    def begin(self, beginning: Beginning, first: Item) -> None:
        """Begin a window with its first thing."""
        self._windows[beginning.key] = _Window(first, beginning.who, self._clock())
        self._of_one[beginning.who] += 1

    def ended(self, *, also_open: bool = False) -> list[Repeated[Item]]:
        """Take the repeats of the windows that have ended, or of all."""
        now = self._clock()
        for key in [k for k, window in self._windows.items() if also_open or not window.is_open(now)]:
            self._end(key)
        found, self._ended = self._ended, []
        return found

    def _counted(self, key: Hashable) -> bool:
        window = self._windows.get(key)
        if window is None:
            return False
        # Where nobody takes what has ended, the window stays open: else the list would grow without bound.
        if not window.is_open(self._clock()) and len(self._ended) < MAX_WINDOWS:
            self._end(key)
            return False
        window.repeats += 1
        return True

    def _end(self, key: Hashable) -> None:
        window = self._windows.pop(key)
        self._of_one[window.who] -= 1
        if not self._of_one[window.who]:
            del self._of_one[window.who]
        if window.repeats:
            self._ended.append(Repeated(window.first, window.repeats))
