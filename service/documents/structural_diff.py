"""Compute the JSON patch (RFC 6902) between two values, exact to the type of each number, in counted steps.

The change history compares lists item by item, in linear time: a row of it is made with each save. Answers to
people look for items that both lists have, within a number of steps.
"""

from collections.abc import Iterable
from math import copysign
from typing import Any, NamedTuple

import orjson

from service.documents.common_items import Steps, common_items

Operation = dict[str, Any]

# Nobody reads more operations, and a longer patch takes longer to apply than the whole value.
MAX_OPERATIONS = 10_000
# A patch may outweigh a small document, but not a large one: every operation repeats its path, so ten
# thousand below one long key would make gigabytes.
MAX_SMALL_PATCH_BYTES = 64 * 1024


class Patch(NamedTuple):
    """Operations that turn one document into exactly the other; `truncated` if a bound made them coarser."""

    operations: list[Operation]
    truncated: bool


class DocumentPatch(NamedTuple):
    """Operations that turn one document into the other, with both documents."""

    operations: list[Operation]
    before: Any
    after: Any


def structural_patch(old: Any, new: Any) -> list[Operation]:
    """Compute the operations that turn one JSON value into exactly the other, including the types of numbers.

    Objects are compared by key. Lists are compared item by item, after their common beginning and end.
    """
    comparison = _PositionalComparison()
    comparison.compare(old, new, "")
    return comparison.operations


def document_patch(old: bytes, new: bytes) -> DocumentPatch:
    """Compute the operations between two JSON texts; the whole value is replaced if that is shorter."""
    after = orjson.loads(new)
    before = orjson.loads(old)
    comparison = _PositionalComparison()
    comparison.compare(before, after, "")
    is_short = len(orjson.dumps(comparison.operations)) <= len(new)
    return DocumentPatch(comparison.operations if is_short else _whole(after), before, after)


def searched_patch(old: bytes, new: bytes, steps: Steps) -> Patch:
    """Compute short operations between two JSON texts; the same texts always have the same patch.

    Lists for which no steps are left are compared item by item. The whole value is replaced by a patch of
    more than MAX_OPERATIONS, and by one that is longer than `new` and MAX_SMALL_PATCH_BYTES.
    """
    if old == new:
        return Patch([], truncated=False)
    after = orjson.loads(new)
    most_bytes = max(len(new), MAX_SMALL_PATCH_BYTES)
    comparison = _SearchingComparison(steps, most_bytes)
    try:
        comparison.compare(orjson.loads(old), after, "")
    except _TooLongError:
        return Patch(_whole(after), truncated=True)
    if len(orjson.dumps(comparison.operations)) > most_bytes:
        return Patch(_whole(after), truncated=True)
    return Patch(comparison.operations, steps.are_used_up)


def _whole(value: Any) -> list[Operation]:
    return [{"op": "replace", "path": "", "value": value}]


class _TooLongError(Exception):
    """The patch has more operations, or longer paths, than a patch may have."""


class _Gap(NamedTuple):
    """Items of two lists between items that both have: `old[old_from:old_to]` and `new[new_from:new_to]`."""

    old_from: int
    old_to: int
    new_from: int
    new_to: int


class _PositionalComparison:
    """One comparison of two values, in linear time."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def compare(self, old: Any, new: Any, path: str) -> None:
        """Add the operations between two values that differ."""
        if isinstance(old, dict) and isinstance(new, dict):
            self._compare_objects(old, new, path)
        elif isinstance(old, list) and isinstance(new, list):
            self._compare_lists(old, new, path)
        else:
            self._add({"op": "replace", "path": path, "value": new})

    def _add(self, operation: Operation) -> None:
        self.operations.append(operation)

    def _same(self, old: Any, new: Any) -> bool:
        if old != new or type(old) is not type(new):
            return False
        if isinstance(old, dict | list):
            # The texts are compared, since for Python 1, 1.0 and true are equal.
            return orjson.dumps(old, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
                new, option=orjson.OPT_SORT_KEYS
            )
        return not isinstance(old, float) or copysign(1, old) == copysign(1, new)

    def _gaps(self, _old: list[Any], _new: list[Any], middle: _Gap) -> Iterable[_Gap]:
        """Yield the gaps of two lists in order; `middle` lies between their common beginning and end."""
        yield middle

    def _compare_objects(self, old: dict[str, Any], new: dict[str, Any], path: str) -> None:
        for key, value in old.items():
            if key not in new:
                self._add({"op": "remove", "path": f"{path}/{_escaped(key)}"})
            elif not self._same(value, new[key]):
                self.compare(value, new[key], f"{path}/{_escaped(key)}")
        for key, value in new.items():
            if key not in old:
                self._add({"op": "add", "path": f"{path}/{_escaped(key)}", "value": value})

    def _compare_lists(self, old: list[Any], new: list[Any], path: str) -> None:
        shorter = min(len(old), len(new))
        begin = 0
        while begin < shorter and self._same(old[begin], new[begin]):
            begin += 1
        end = 0
        while end < shorter - begin and self._same(old[-1 - end], new[-1 - end]):
            end += 1
        # Everything before a gap is as in the new list already, so that the new list's indices hold.
        for gap in self._gaps(old, new, _Gap(begin, len(old) - end, begin, len(new) - end)):
            both = min(gap.old_to - gap.old_from, gap.new_to - gap.new_from)
            for number in range(both):
                before, after = old[gap.old_from + number], new[gap.new_from + number]
                if not self._same(before, after):
                    self.compare(before, after, f"{path}/{gap.new_from + number}")
            first = gap.new_from + both
            # Items are removed from the last one backwards, so that no index shifts before it is used.
            for number in reversed(range(gap.old_to - gap.old_from - both)):
                self._add({"op": "remove", "path": f"{path}/{first + number}"})
            for index in range(first, gap.new_to):
                self._add({"op": "add", "path": f"{path}/{index}", "value": new[index]})


class _SearchingComparison(_PositionalComparison):
    """A comparison that looks for common items of lists, too, stops a long patch, and pauses for others."""

    def __init__(self, steps: Steps, most_bytes: int) -> None:
        super().__init__()
        self._steps = steps
        self._bytes_left = most_bytes

    def _same(self, old: Any, new: Any) -> bool:
        self._steps.pause_after(1)
        return super()._same(old, new)

    def _add(self, operation: Operation) -> None:
        # The values together are no longer than the new document, but the paths may be.
        self._bytes_left -= len(operation["path"])
        if len(self.operations) == MAX_OPERATIONS or self._bytes_left < 0:
            raise _TooLongError
        super()._add(operation)

    def _gaps(self, old: list[Any], new: list[Any], middle: _Gap) -> Iterable[_Gap]:
        old_from, new_from = middle.old_from, middle.new_from
        if max(middle.old_to - old_from, middle.new_to - new_from) > 1:
            olds, news = old[old_from : middle.old_to], new[new_from : middle.new_to]
            for at, to, length in common_items(olds, news, self._steps):
                yield _Gap(old_from, middle.old_from + at, new_from, middle.new_from + to)
                old_from, new_from = middle.old_from + at + length, middle.new_from + to + length
        yield _Gap(old_from, middle.old_to, new_from, middle.new_to)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
