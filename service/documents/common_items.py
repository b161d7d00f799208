"""Find the longest common subsequence of two lists of JSON values, in a counted number of steps.

The search is Myers' ("An O(ND) Difference Algorithm and Its Variations", 1986). Its steps grow with the
length of the lists, and with the square of the number of items that only one of them has.
"""

import time
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

# A step takes 0.35 µs of a processor, so that the longest search takes 0.7 s. It finds 2,000 edits of a
# list, or 1,000 items in reverse order.
MAX_STEPS = 2_000_000
# A thread that computes in Python yields the interpreter only every 5 ms; a pause lets others in earlier.
STEPS_AT_A_TIME = 1_000
BREATH_SECONDS = 0.0002
# Writing so many bytes of an item's text takes about as long as a step.
_BYTES_A_STEP = 256


class CommonRun(NamedTuple):
    """Items that both lists have: `length` of them, from `old` on in one and from `new` on in the other."""

    old: int
    new: int
    length: int


class Steps:
    """The steps that one comparison has left: unlike time, they depend on its documents alone."""

    def __init__(self, most: int = MAX_STEPS) -> None:
        self.left = most
        self.are_used_up = False
        self._since_pause = 0

    def take(self, number: int) -> bool:
        """Take steps, and pause for other threads if it is time; False if so many are not left."""
        if number > self.left:
            self.are_used_up = True
            return False
        self.left -= number
        self.pause_after(number)
        return True

    def pause_after(self, number: int) -> None:
        """Count steps that are not limited, and pause for other threads if it is time."""
        self._since_pause += number
        if self._since_pause >= STEPS_AT_A_TIME:
            self._since_pause = 0
            time.sleep(BREATH_SECONDS)


def common_items(old: list[Any], new: list[Any], steps: Steps) -> list[CommonRun]:
    """Find the runs of a longest common subsequence, in order; none if the steps do not suffice."""
    numbers: dict[bytes, int] = {}
    olds, news = _numbered(old, numbers, steps), _numbered(new, numbers, steps)
    if olds is None or news is None:
        return []
    # An item that the other list lacks is part of no common subsequence.
    in_old, in_new = set(olds), set(news)
    old_places = [place for place, number in enumerate(olds) if number in in_new]
    new_places = [place for place, number in enumerate(news) if number in in_old]
    rounds = _search([olds[place] for place in old_places], [news[place] for place in new_places], steps)
    runs: list[CommonRun] = []
    for at, to in reversed(list(_pairs(rounds, len(old_places), len(new_places)))):
        place, other = old_places[at], new_places[to]
        last = runs[-1] if runs else None
        if last is not None and (last.old + last.length, last.new + last.length) == (place, other):
            runs[-1] = last._replace(length=last.length + 1)
        else:
            runs.append(CommonRun(place, other, 1))
    return runs


def _numbered(items: list[Any], numbers: dict[bytes, int], steps: Steps) -> list[int] | None:
    """Return one number for all items with the same text; None if the steps do not suffice."""
    found = []
    for item in items:
        text = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        if not steps.take(1 + len(text) // _BYTES_A_STEP):
            return None
        found.append(numbers.setdefault(text, len(numbers)))
    return found


class _Round(NamedTuple):
    """The furthest place in the old list on every second diagonal from `lowest` on.

    A diagonal holds the pairs of places whose difference is the same. Round `d` allows `d` items that only
    one list has.
    """

    lowest: int
    places: "array[int]"

    def on(self, diagonal: int) -> int:
        index = (diagonal - self.lowest) // 2
        return self.places[index] if 0 <= index < len(self.places) else 0


def _search(old: list[int], new: list[int], steps: Steps) -> list[_Round]:
    """Return the rounds up to the one that reaches both ends; none if the steps do not suffice."""
    olds, news = len(old), len(new)
    # Negative diagonals are at the end.
    furthest = [0] * (olds + news + 3)
    rounds: list[_Round] = []
    taken = 0
    for number in range(olds + news + 1):
        # Diagonals outside of the lists lead nowhere.
        lowest = -number + 2 * max(0, number - news)
        highest = number - 2 * max(0, number - olds)
        places = array("i")
        rounds.append(_Round(lowest, places))
        for diagonal in range(lowest, highest + 1, 2):
            below, above = furthest[diagonal - 1], furthest[diagonal + 1]
            place = above if _from_above(diagonal, number, olds, news, below, above) else below + 1
            began = place
            end = min(olds, news + diagonal)
            while place < end and old[place] == new[place - diagonal]:
                place += 1
            furthest[diagonal] = place
            places.append(place)
            if place >= olds and place - diagonal >= news:
                return rounds if steps.take(taken + place - began + 1) else []
            taken += place - began + 1
            if taken >= STEPS_AT_A_TIME:
                if not steps.take(taken):
                    return []
                taken = 0
    return rounds


def _from_above(diagonal: int, number: int, olds: int, news: int, below: int, above: int) -> bool:
    """Tell if the way to a diagonal in a round comes from the one above it, by an item of the new list."""
    if diagonal in (-number, -news):
        return True
    return diagonal not in (number, olds) and below < above


def _pairs(rounds: list[_Round], place: int, other: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of places on the way that the rounds found, from its end at `place` and `other`."""
    olds, news = place, other
    for number in reversed(range(1, len(rounds))):
        diagonal = place - other
        below, above = rounds[number - 1].on(diagonal - 1), rounds[number - 1].on(diagonal + 1)
        from_above = _from_above(diagonal, number, olds, news, below, above)
        began = above if from_above else below + 1
        for each in reversed(range(began, place)):
            yield each, each - diagonal
        place = began if from_above else began - 1
        other = place - diagonal - (1 if from_above else -1)
    if rounds:
        for each in reversed(range(place)):
            yield each, each
