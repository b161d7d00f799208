"""Identities, each a UUIDv7 of its own type, and how they are minted."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NewType
from uuid import UUID

from uuid_utils.compat import uuid7

SubscriptionId = NewType("SubscriptionId", UUID)
UserId = NewType("UserId", UUID)
ResourceId = NewType("ResourceId", UUID)


def mint() -> UUID:
    """A new UUIDv7: ordered by the time it was made, so that ids can serve as keyset positions."""
    return uuid7()


def derived(value: UUID, part: UUID) -> UUID:
    """A UUIDv7 of the same instant as `value`, always the same for the two: whoever knows them knows it."""
    digest = int.from_bytes(sha256(value.bytes + part.bytes).digest()[:10], "big")
    high = digest >> 68 & 0xFFF
    low = digest & ((1 << 62) - 1)
    return UUID(int=value.int >> 80 << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


def parse(text: str) -> UUID | None:
    """The UUID in its canonical form that `text` is, None for anything else."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None


def minted_at(value: UUID) -> datetime | None:
    """The instant in a UUIDv7, to the millisecond; None for an id of another kind."""
    if value.version != 7:
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=value.int >> 80)
