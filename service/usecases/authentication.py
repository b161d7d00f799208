"""API keys: how they look, how they are kept and who they stand for."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.audit import data_changes, events
from service.audit.events import Author, Subject
from service.domain.actions import Action
from service.domain.audit_policy import Policy
from service.domain.callers import Caller, Origin, Role, Standing
from service.domain.errors import Unauthenticated
from service.domain.ids import SubscriptionId, UserId
from service.usecases.context import Context
from sql.database import Transaction
from sql.queries.audit_logs import Values
from sql.queries.tenancy import Credential, KeyRow

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


async def authenticate(context: Context, key: str, origin: Origin) -> Caller:
    """Whom a key stands for; raises Unauthenticated for an unknown, expired or deleted one."""
    candidates = await context.credentials.candidates(_key_id(key))
    presented = digest(key)
    at = context.clock()
    for credential in candidates:
        # Each candidate is compared in constant time: how long it takes tells nothing about the key.
        if hmac.compare_digest(credential.secret_hash, presented):
            caller = _caller(credential, origin)
            if credential.expires_at is not None and credential.expires_at <= at:
                expired = Unauthenticated("The API key has expired: ask an admin for another.")
                expired.whose = caller
                raise expired
            await context.logins.note(caller, credential.key_id)
            return caller
    raise Unauthenticated("The API key is not known here.")


def _key_id(key: str) -> UUID | None:
    head, _, _ = key.removeprefix(PREFIX).partition("_")
    if not key.startswith(PREFIX) or len(head) != 32:
        return None
    try:
        return UUID(hex=head)
    except ValueError:
        return None


def _caller(credential: Credential, origin: Origin) -> Caller:
    if credential.subscription_id is None or credential.user_id is None or credential.role is None:
        return Caller(
            user_id=None, username="operator", role=Role.OPERATOR, subscription_id=None, origin=origin
        )
    return Caller(
        user_id=UserId(credential.user_id),
        username=credential.username or "",
        role=Role(credential.role),
        subscription_id=SubscriptionId(credential.subscription_id),
        origin=origin,
        demands_if_match=bool(credential.require_if_match),
        standing=Standing.of(credential.closed_at, credential.exported_at),
        policy=Policy.of(credential.policy),
    )


def key_state(key: KeyRow) -> Values:
    """A key as log rows name it."""
    return {"key_id": key.key_id, "user_id": key.user_id, "name": key.name, "expires_at": key.expires_at}


def record_revocation(
    tx: Transaction, author: Author, subscription_id: UUID, key: KeyRow, at: datetime
) -> None:
    """Record the end of a key: as the deletion that it is, and as its user's LOGOUT."""
    subject = Subject("api_key", key.key_id, key.name)
    state = key_state(key)
    data_changes.record(
        tx,
        author,
        subscription_id,
        subject,
        Action.DELETE,
        at,
        table="api_keys",
        record_id=key.key_id,
        old=state,
    )
    about = {"user_id": key.user_id, "username": key.username}
    events.record(tx, author, subscription_id, subject, Action.LOGOUT, at, old=about)
