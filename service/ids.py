"""Identities, each a UUIDv7 of its own type, and how they are minted."""

from typing import NewType
from uuid import UUID

from uuid_utils.compat import uuid7

SubscriptionId = NewType("SubscriptionId", UUID)
UserId = NewType("UserId", UUID)
ResourceId = NewType("ResourceId", UUID)


def mint() -> UUID:
    """A new UUIDv7: ordered by the time it was made, so that ids can serve as keyset positions."""
    return uuid7()


def parse(text: str) -> UUID | None:
    """The UUID in its canonical form that `text` is, None for anything else."""
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None
