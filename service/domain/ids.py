"""Ids: UUIDv7s, each of its own type, and how they are minted."""

import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NewType
from uuid import UUID

from uuid_utils.compat import uuid7

SubscriptionId = NewType("SubscriptionId", UUID)
UserId = NewType("UserId", UUID)
ResourceId = NewType("ResourceId", UUID)

_CANONICAL = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def mint() -> UUID:
    """Make a UUIDv7: ordered by time, so that ids can serve as keyset positions.

    A clock before 1970 counts as 1970. The library would panic, which no `except Exception` catches, and so
    end the thread that asked.
    """
    return uuid7() if time.time() >= 0 else uuid7(nanoseconds=0)


class BatchIds:
    """Ids for the rows of one batch, in ascending order; no id of another batch lies among them.

    A UUIDv7 with the batch's instant, 42 random bits of the batch, and a counter of 32 bits. So the first and
    the last id name all rows of a batch. Fit for pickle, since rows are also made by document workers.
    """

    __slots__ = ("_base", "_next")

    def __init__(self, base: int | None = None, begin: int = 0) -> None:
        if base is None:
            made = mint().int >> 80 << 80
            base = made | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(30) << 32
        self._base = base
        self._next = begin

    def mint(self) -> UUID:
        """Make the next id."""
        found = UUID(int=self._base | self._next)
        self._next += 1
        return found

    def after(self, count: int) -> "BatchIds":
        """Ids of a part of the batch whose rows come after `count` others, which may be fewer in the end."""
        return BatchIds(self._base, count)

    def __reduce__(self) -> tuple[type["BatchIds"], tuple[int, int]]:
        return BatchIds, (self._base, self._next)


def derived(value: UUID, part: UUID) -> UUID:
    """Make a UUIDv7 with the instant of `value`; the same two ids always give the same result."""
    digest = int.from_bytes(sha256(value.bytes + part.bytes).digest()[:10], "big")
    high = digest >> 68 & 0xFFF
    low = digest & ((1 << 62) - 1)
    return UUID(int=value.int >> 80 << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


def parse(text: str) -> UUID | None:
    """Parse a UUID in its canonical form; None for any other text."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None


def canonical(text: str) -> str:
    """Write a UUID in lower case, as Annals shows UUIDs; any other text stays as it is."""
    return text.lower() if _CANONICAL.fullmatch(text) else text


def spellings(text: str) -> tuple[str, ...]:
    """Return the text of an id; if it spells a UUID in another form, also that in its canonical form."""
    try:
        return tuple(dict.fromkeys((text, str(UUID(text)))))
    except ValueError:
        return (text,)


def minted_at(value: UUID) -> datetime | None:
    """Instant in a UUIDv7, to the millisecond; None for a UUID of another version."""
    if value.version != 7:
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=value.int >> 80)
