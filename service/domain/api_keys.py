"""API keys: their text, `annals_<id>_<secret>`, and the digest by which they are kept."""

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

PREFIX = "annals_"
# 256 random bits: no password hash is needed against guessing, and none slows each request down.
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key: the text for its owner, the hash for the database."""

    text: str
    secret_hash: bytes


def mint_key(key_id: UUID) -> Minted:
    """A new key, `annals_<id>_<secret>`."""
    text = f"{PREFIX}{key_id.hex}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return Minted(text, digest(text))


def digest(key: str) -> bytes:
    """The SHA-256 of a whole key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def id_of(key: str) -> UUID | None:
    """The id in a key's text, None where it holds none."""
    head, _, _ = key.removeprefix(PREFIX).partition("_")
    if not key.startswith(PREFIX) or len(head) != 32:
        return None
    try:
        return UUID(hex=head)
    except ValueError:
        return None
