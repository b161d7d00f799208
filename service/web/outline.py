"""Outline of a document that is no graph: its first two levels, with the kinds and sizes of values."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from service.web.value_changes import texts_of
from service.web.words import counted

MAX_ENTRIES = 40
MAX_BELOW = 12
_LONGEST = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineEntry:
    """A member or an item: its name, its kind with its size, and the beginning of a plain value."""

    name: str
    kind: str
    text: str
    below: tuple["OutlineEntry", ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """Outline of a document; `more` entries are left out."""

    kind: str
    entries: tuple[OutlineEntry, ...]
    more: int


def of(definition: Any) -> Outline:
    """Make the outline of a document."""
    return Outline(
        kind=_kind(definition),
        entries=tuple(_entry(name, value, has_below=True) for name, value in _first(definition, MAX_ENTRIES)),
        more=max(_size(definition) - MAX_ENTRIES, 0),
    )


def _entry(name: str, value: Any, *, has_below: bool) -> OutlineEntry:
    below = _first(value, MAX_BELOW) if has_below else ()
    return OutlineEntry(
        name=_cut(name),
        kind=_kind(value),
        text="" if isinstance(value, dict | list) else _cut(texts_of(None, value)[1] or ""),
        below=tuple(_entry(key, member, has_below=False) for key, member in below),
        more=max(_size(value) - MAX_BELOW, 0) if has_below else 0,
    )


def _first(value: Any, most: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from islice(value.items(), most)
    elif isinstance(value, list):
        for number, item in enumerate(islice(value, most)):
            yield _title(item) or f"[{number}]", item


def _title(item: Any) -> str:
    """Name that an item of a list gives itself."""
    if not isinstance(item, dict):
        return ""
    return next((item[key] for key in ("name", "label", "title", "id") if isinstance(item.get(key), str)), "")


def _size(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _kind(value: Any) -> str:
    match value:
        case dict():
            return f"object with {counted(len(value), 'member')}"
        case list():
            return f"list of {counted(len(value), 'item')}"
        case str():
            return "text" if len(value) <= _LONGEST else f"text of {counted(len(value), 'character')}"
        case bool():
            return "yes or no"
        case int() | float():
            return "number"
        case _:
            return "nothing"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
