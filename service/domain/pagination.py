"""Pages of lists: cursors that are opaque to clients and bound to the list and its filters."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson

from service.domain.errors import Invalid

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
# Largest number that a request can name: it fits an integer column, and no resource has so many versions.
MAX_NUMBER = 999_999_999

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Page of a list, and the cursor of the next page; the last page has None."""

    items: Sequence[Item]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Paging:
    """Request for a page: the most items that it holds, and the cursor of the position before it.

    In the order of commits, for followers, each page has a cursor; `begins_now` leaves out what was before.
    A part of an export is not recorded as a reading: the export is, as a whole.
    """

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    in_commit_order: bool = False
    begins_now: bool = False
    is_part: bool = False

    def position(self, filters: Mapping[str, Any]) -> list[Any] | None:
        """Position in the cursor, or None if there is no cursor; raises Invalid for another list's cursor."""
        if self.cursor is None:
            return None
        try:
            padding = "=" * (-len(self.cursor) % 4)
            stamp, *found = orjson.loads(base64.urlsafe_b64decode(self.cursor + padding))
        except (binascii.Error, ValueError, TypeError):
            stamp, found = None, []
        position: list[Any] = found
        if stamp != _stamp(filters) or not position:
            detail = "this is no cursor of this list with these filters: take `next_cursor` of the last page"
            raise Invalid.of("cursor", detail)
        return position

    def page(
        self,
        rows: Sequence[Item],
        filters: Mapping[str, Any],
        position_of: Callable[[Item], Sequence[Any]],
    ) -> Page[Item]:
        """Page of `rows`; they were read with `limit + 1`, so that one row too many means a next page."""
        items = rows[: self.limit]
        if len(rows) <= self.limit:
            return Page(items, None)
        return self.page_to(items, filters, position_of(items[-1]))

    def page_to(
        self, items: Sequence[Item], filters: Mapping[str, Any], position: Sequence[Any]
    ) -> Page[Item]:
        """Page of these items; the next page begins after `position`."""
        raw = orjson.dumps([_stamp(filters), *position])
        return Page(items, base64.urlsafe_b64encode(raw).decode().rstrip("="))


def _stamp(filters: Mapping[str, Any]) -> str:
    """Short digest of the list and its filters; a guard against mistakes, not against forgery."""
    raw = orjson.dumps(filters, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(raw).hexdigest()[:12]


def uuid_position(position: list[Any] | None) -> UUID | None:
    """Id in a cursor; raises Invalid for anything else."""
    return None if position is None else _checked(lambda: UUID(position[0]))


def number_position(position: list[Any] | None) -> int | None:
    """Number in a cursor; raises Invalid for anything else."""
    return None if position is None else _checked(lambda: min(int(position[0]), MAX_NUMBER))


def time_position(position: list[Any] | None) -> tuple[datetime, UUID] | None:
    """Instant and id in a cursor; raises Invalid for anything else."""
    if position is None:
        return None
    return _checked(lambda: (datetime.fromisoformat(position[0]).astimezone(UTC), UUID(position[1])))


def text_position(position: list[Any] | None) -> tuple[datetime, str] | None:
    """Instant and text in a cursor; raises Invalid for anything else."""
    if position is None:
        return None
    return _checked(lambda: (datetime.fromisoformat(position[0]).astimezone(UTC), _text(position[1])))


def place_position(position: list[Any] | None) -> tuple[int, UUID | None] | None:
    """Position in the order of commits, and the id of a row of several there; raises Invalid for others."""
    if position is None:
        return None
    return _checked(lambda: (_place(position[0]), _row_id(position[1]) if len(position) > 1 else None))


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def _row_id(value: Any) -> UUID:
    found = UUID(value)
    # The rows after it are read from the next id on.
    if found.int == (1 << 128) - 1:
        raise ValueError
    return found


def _place(value: Any) -> int:
    if not -1 <= int(value) < 1 << 62:
        raise ValueError
    return int(value)


def _checked(read: Callable[[], Item]) -> Item:
    try:
        return read()
    except (ValueError, TypeError, IndexError, AttributeError, OverflowError):
        detail = "the cursor was altered"
        raise Invalid.of("cursor", detail) from None
