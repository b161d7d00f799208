"""Changes of values between two JSON documents, with paths and texts that people read."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import copysign
from typing import Any

from service.documents.common_items import Steps, common_items
from service.web.graphs.graph import identifier, written

MAX_CHANGES = 80
# Pairs of values looked at: a document has at most 100,000 values.
MAX_PAIRS = 300_000
MAX_TEXT = 300
MAX_PATH = 200
_MAX_KEY = 60
# Characters that both texts have before the first one that differs.
_BEFORE = 60
# Lists without ids are searched for common items in so many steps.
_STEPS = 20_000
_IDS = ("id", "key", "name")
_FIRST_IDS = 12


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A value that differs; `before` or `after` is None where there was or is no value."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class ValueChanges:
    """The first changes between two documents, and the number of further ones."""

    items: tuple[ValueChange, ...] = ()
    more: int = 0

    @property
    def count(self) -> int:
        """Number of changes."""
        return len(self.items) + self.more


class _Missing:
    """Absence of a value, unlike null."""


MISSING = _Missing()


def between(old: Any, new: Any, most: int = MAX_CHANGES) -> ValueChanges:
    """Compare two values, either of which may be MISSING.

    Items of lists are matched by their ids, if they have any. Only the first `most` changes are written out.
    """
    walk = _Walk()
    items: list[ValueChange] = []
    more = 0
    for path, before, after in walk.changes(old, new, ""):
        if len(items) < most:
            items.append(ValueChange(path or "(all)", *texts_of(before, after)))
        else:
            more += 1
    return ValueChanges(tuple(items), more)


class _Walk:
    """One comparison, in a bounded number of steps; past the bound, values are compared as wholes."""

    def __init__(self) -> None:
        self._pairs = MAX_PAIRS
        self._steps = Steps(_STEPS)

    def changes(self, old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
        """Yield path, value before and value after of what differs."""
        self._pairs -= 1
        self._steps.pause_after(1)
        if old is MISSING or new is MISSING:
            if old is not new:
                yield path, old, new
        elif self._pairs < 0:
            if written(old) != written(new):
                yield path, old, new
        elif isinstance(old, dict) and isinstance(new, dict):
            for name in [*new, *(name for name in old if name not in new)]:
                yield from self._member(old, new, name, path)
        elif isinstance(old, list) and isinstance(new, list):
            yield from self._lists(old, new, path)
        elif not _is_same(old, new):
            yield path, old, new

    def _member(
        self, old: dict[str, Any], new: dict[str, Any], name: str, path: str
    ) -> Iterator[tuple[str, Any, Any]]:
        yield from self.changes(old.get(name, MISSING), new.get(name, MISSING), _below(path, name))

    def _lists(self, old: list[Any], new: list[Any], path: str) -> Iterator[tuple[str, Any, Any]]:
        member = next((name for name in _IDS if _has_ids(old, name) and _has_ids(new, name)), None)
        if member is None or not (old or new):
            yield from self._by_place(old, new, path)
            return
        olds, news = _by_id(old, member), _by_id(new, member)
        for key in [*news, *(key for key in olds if key not in news)]:
            yield from self.changes(olds.get(key, MISSING), news.get(key, MISSING), f"{path}[{_cut(key)}]")
        before, after = [key for key in olds if key in news], [key for key in news if key in olds]
        if before != after:
            yield f"{path} (order)", before[:_FIRST_IDS], after[:_FIRST_IDS]

    def _by_place(self, old: list[Any], new: list[Any], path: str) -> Iterator[tuple[str, Any, Any]]:
        at = to = 0
        for run_at, run_to, length in [*self._common(old, new), (len(old), len(new), 0)]:
            both = min(run_at - at, run_to - to)
            for number in range(both):
                yield from self.changes(old[at + number], new[to + number], f"{path}[{to + number}]")
            for number in range(at + both, run_at):
                yield f"{path}[{number}]", old[number], MISSING
            for number in range(to + both, run_to):
                yield f"{path}[{number}]", MISSING, new[number]
            at, to = run_at + length, run_to + length

    def _common(self, old: list[Any], new: list[Any]) -> Iterable[tuple[int, int, int]]:
        try:
            return common_items(old, new, self._steps)
        except TypeError:
            # No stored document has values that can't be written.
            return []


def _has_ids(items: list[Any], member: str) -> bool:
    """Tell if each item is an object with an id of its own."""
    keys = [identifier(item.get(member)) if isinstance(item, dict) else "" for item in items]
    return all(keys) and len(set(keys)) == len(keys)


def _by_id(items: list[Any], member: str) -> dict[str, Any]:
    return {identifier(item[member]): item for item in items}


def _is_same(old: Any, new: Any) -> bool:
    if type(old) is not type(new) or old != new:
        return False
    return not isinstance(old, float) or copysign(1, old) == copysign(1, new)


def _below(path: str, name: str) -> str:
    is_plain = name != "" and not any(character in '.[]" \n\t' for character in name)
    if not is_plain:
        return _cut_path(f"{path}[{json.dumps(_cut(name), ensure_ascii=False)}]")
    return _cut_path(f"{path}.{_cut(name)}" if path else _cut(name))


def _cut(name: str) -> str:
    return name if len(name) <= _MAX_KEY else f"{name[: _MAX_KEY - 1]}…"


def _cut_path(path: str) -> str:
    """Leave out the middle of a long path."""
    return path if len(path) <= MAX_PATH else f"{path[: MAX_PATH // 2]}…{path[1 - MAX_PATH // 2 :]}"


def texts_of(before: Any, after: Any) -> tuple[str | None, str | None]:
    """Write two values in short texts that differ: long ones from a little before their first difference."""
    if isinstance(before, str) and isinstance(after, str):
        begin = _first_difference(before, after)
        begin = begin - _BEFORE if max(len(before), len(after)) > MAX_TEXT and begin > 2 * _BEFORE else 0
        return _from(before, begin), _from(after, begin)
    old, new = _text(before), _text(after)
    if old == new and old is not None:
        # A text may look as a number does.
        return _json(before), _json(after)
    return old, new


def _text(value: Any) -> str | None:
    if value is MISSING:
        return None
    return _from(value, 0) if isinstance(value, str) and value.strip() else _json(value)


def _json(value: Any) -> str:
    """Write the beginning of a value as JSON."""
    text = ""
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        text += part
        if len(text) > MAX_TEXT:
            break
    return _from(text, 0)


def _from(text: str, begin: int) -> str:
    shown = text[begin : begin + MAX_TEXT]
    return f"{'…' if begin else ''}{shown}{'…' if len(text) > begin + MAX_TEXT else ''}"


def _first_difference(one: str, two: str) -> int:
    """Find the first place at which two texts differ, by halves."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == two[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
