"""API keys: their text, `annals_<id>_<secret>`, and the digest that is stored."""

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

PREFIX = "annals_"
# 256 random bits can't be guessed, so that no slow password hash is needed in each request.
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Minted:
    """New key: the text for its owner, the hash for the database."""

    text: str
    secret_hash: bytes


def mint_key(key_id: UUID) -> Minted:
    """Make a key, `annals_<id>_<secret>`."""
    text = f"{PREFIX}{key_id.hex}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return Minted(text, digest(text))


def digest(key: str) -> bytes:
    """SHA-256 of a whole key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def id_of(key: str) -> UUID | None:
    """Id in the text of a key; None if the text holds no id."""
    head, _, _ = key.removeprefix(PREFIX).partition("_")
    if not key.startswith(PREFIX) or len(head) != 32:
        return None
    try:
        return UUID(hex=head)
    except ValueError:
        return None
