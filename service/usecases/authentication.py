"""Authentication: find the caller to whom an API key belongs."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain import api_keys
from service.domain.audit_policy import Policy
from service.domain.callers import (
    Caller,
    CloneAfterPurge,
    GuessedKey,
    Origin,
    Role,
    SubscriptionState,
    UserKind,
)
from service.domain.errors import Unauthenticated
from service.domain.ids import SubscriptionId, UserId
from service.runtime.clock import Clock
from service.usecases.credentials import CredentialReader, SessionReader
from service.usecases.logins import LoginRecorder
from sql.queries.tenancy import Credential


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Verify the API keys of all requests of a process, and read their sessions; for one event loop."""

    credentials: CredentialReader
    sessions: SessionReader
    logins: LoginRecorder
    clock: Clock

    async def authenticate(self, key: str, origin: Origin) -> Caller:
        """Return the caller of a key; raises Unauthenticated for an unknown, expired or deleted key."""
        key_id = api_keys.id_of(key)
        candidates = await self.credentials.candidates(key_id)
        presented = api_keys.digest(key)
        at = self.clock()
        for credential in candidates:
            # Compared in constant time, so that the duration tells nothing about the key.
            if hmac.compare_digest(credential.secret_hash, presented):
                caller = _valid_caller(credential, origin, at)
                await self.logins.note(caller, credential.key_id)
                return caller
        unknown = Unauthenticated("The API key is not known here.")
        unknown.guessed = next((_guessed(found) for found in candidates if found.key_id == key_id), None)
        raise unknown

    async def caller_of_key(self, key_id: UUID, origin: Origin, *, session_id: UUID | None = None) -> Caller:
        """Return the caller of a key that was verified before; raises Unauthenticated for an expired key.

        `session_id` is the web session that stands for the key.
        """
        for credential in await self.credentials.candidates(key_id):
            if credential.key_id == key_id:
                return _valid_caller(credential, origin, self.clock(), session_id)
        raise Unauthenticated("The API key was deleted: sign in with another.")


def _valid_caller(
    credential: Credential, origin: Origin, at: datetime, session_id: UUID | None = None
) -> Caller:
    caller = _caller(credential, origin, session_id)
    if credential.expires_at is not None and credential.expires_at <= at:
        expired = Unauthenticated("The API key has expired: ask an admin for another.")
        expired.whose = caller
        raise expired
    return caller


def _guessed(credential: Credential) -> GuessedKey:
    found = credential.subscription_id
    return GuessedKey(credential.key_id, None if found is None else SubscriptionId(found))


def _caller(credential: Credential, origin: Origin, session_id: UUID | None) -> Caller:
    if credential.subscription_id is None or credential.user_id is None or credential.role is None:
        return Caller(
            user_id=None,
            username="operator",
            role=Role.OPERATOR,
            subscription_id=None,
            origin=origin,
            key_id=credential.key_id,
            session_id=session_id,
        )
    return Caller(
        user_id=UserId(credential.user_id),
        username=credential.username or "",
        role=Role(credential.role),
        kind=UserKind(credential.kind or UserKind.HUMAN),
        subscription_id=SubscriptionId(credential.subscription_id),
        origin=origin,
        key_id=credential.key_id,
        session_id=session_id,
        subscription_name=credential.subscription_name,
        demands_if_match=bool(credential.require_if_match),
        clone_after_purge=CloneAfterPurge(credential.clone_after_purge or CloneAfterPurge.EVERYBODY),
        subscription_state=SubscriptionState.of(credential.closed_at, credential.exported_at),
        policy=Policy.of(credential.policy),
    )
