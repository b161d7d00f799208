"""Sessions of the web pages: a key is shown once, and a cookie stands for it until either of them ends."""

import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Final
from uuid import UUID

from anyio import to_thread

from service.audit import events
from service.audit.events import Subject
from service.domain import api_keys
from service.domain.actions import Action
from service.domain.callers import Caller, Origin, Right
from service.domain.errors import Unauthenticated
from service.domain.ids import SubscriptionId, mint
from service.runtime.clock import Clock
from service.usecases.authentication import Authenticator
from service.usecases.context import Context
from sql.database import PLATFORM, Database
from sql.queries import web_sessions
from sql.queries.web_sessions import FoundSession, NewSession
from sql.queries.web_sessions import SessionRow as WebSession

__all__ = ["WebSession"]

LONGEST: Final = timedelta(hours=12)
IDLE: Final = timedelta(hours=2)
# A use is noted at most so often: otherwise each page would write a row.
NOTED_EVERY: Final = timedelta(minutes=5)
LINK_LIFETIME: Final = timedelta(minutes=10)
# A key has no more sessions than browsers that somebody may use; the oldest end first.
MAX_OF_KEY: Final = 50
# Sessions that a list shows.
MAX_SHOWN: Final = 200
TYPE: Final = "session"
# 256 random bits can't be guessed.
_TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: the token for the cookie, and the caller of the pages that follow."""

    token: str
    caller: Caller


async def sign_in(
    context: Context,
    authenticator: Authenticator,
    key: str,
    origin: Origin,
    admit: Callable[[Caller], object],
) -> SignedIn:
    """Begin a session for the holder of a key; raises Unauthenticated, and what `admit` raises."""
    caller = await authenticator.authenticate(key, origin)
    admit(caller)
    return await to_thread.run_sync(partial(_begin, context, caller, secret_hash=api_keys.digest(key)))


async def sign_in_by_link(
    context: Context,
    authenticator: Authenticator,
    token: str,
    origin: Origin,
    admit: Callable[[Caller], object],
) -> SignedIn:
    """Begin a session for the reader of a link; raises Unauthenticated for one that is spent or expired.

    The link is spent in the transaction that begins the session: of two readers one gets it. Raises what
    `admit` raises, too, and then leaves the link as it is.
    """
    link = _digest(token)

    def key_of_link() -> UUID | None:
        with context.database.transaction(PLATFORM) as tx:
            return web_sessions.key_of_link(tx, link, context.clock())

    key_id = await to_thread.run_sync(key_of_link)
    if key_id is None:
        raise _link_is_over()
    caller = await authenticator.caller_of_key(key_id, origin)
    admit(caller)
    return await to_thread.run_sync(partial(_begin, context, caller, link=link))


async def resume(context: Context, authenticator: Authenticator, token: str, origin: Origin) -> Caller:
    """Return the caller of a session, with the rights that its key has now; raises Unauthenticated."""
    if not _TOKEN.fullmatch(token):
        raise _is_over()
    at = context.clock()
    found = await authenticator.sessions.session(_digest(token))
    if found is None or not _runs(found, at):
        raise _is_over()
    if found.last_seen_at <= at - NOTED_EVERY:
        await to_thread.run_sync(_note_use, context, found.session_id, at)
    return await authenticator.caller_of_key(found.key_id, origin, session_id=found.session_id)


def sign_out(context: Context, caller: Caller) -> None:
    """End the session of the caller."""
    if caller.session_id is not None:
        _end(context, caller, caller.subscription_id, [caller.session_id])


def sessions(context: Context, subscription_id: SubscriptionId, *, user_id: UUID | None) -> list[WebSession]:
    """List at most MAX_SHOWN running sessions of a user, or with None of a subscription, newest first."""
    return _running(context, subscription_id, user_id)


def operator_sessions(context: Context, caller: Caller) -> list[WebSession]:
    """List at most MAX_SHOWN running sessions of the operator, newest first; raises Forbidden for others."""
    caller.needs(Right.CREATE_SUBSCRIPTIONS)
    return _running(context, None, None)


def _running(
    context: Context, subscription_id: SubscriptionId | None, user_id: UUID | None
) -> list[WebSession]:
    at = context.clock()
    with context.database.transaction(subscription_id or PLATFORM) as tx:
        return web_sessions.running(
            tx, subscription_id, user_id=user_id, at=at, seen_after=at - IDLE, limit=MAX_SHOWN
        )


def end(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    session_ids: Collection[UUID] | None,
    *,
    of_others: bool,
) -> int:
    """End sessions; returns their number. None stands for all sessions of the caller's user but this one.

    Without `of_others` only sessions of the caller's user end.
    """
    if caller.user_id is None and (session_ids is None or not of_others):
        # The operator is no user of a subscription: None would stand for everybody there.
        return 0
    user_id = caller.user_id if session_ids is None or not of_others else None
    but = caller.session_id if session_ids is None else None
    return _end(context, caller, subscription_id, session_ids, user_id=user_id, but=but)


def end_of_operator(context: Context, caller: Caller, session_ids: Collection[UUID] | None) -> int:
    """End sessions of the operator, with None all but the caller's; returns their number.

    Raises Forbidden for anybody else.
    """
    caller.needs(Right.CREATE_SUBSCRIPTIONS)
    but = caller.session_id if session_ids is None else None
    return _end(context, caller, None, session_ids, but=but)


def offer_link(database: Database, clock: Clock, subscription_id: SubscriptionId, key: str) -> str | None:
    """Make a link that signs in once as the holder of a key; returns its token, None for no usual key."""
    key_id = api_keys.id_of(key)
    if key_id is None:
        return None
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    with database.transaction(subscription_id) as tx:
        web_sessions.insert_link(
            tx,
            subscription_id,
            token_hash=_digest(token),
            key_id=key_id,
            expires_at=clock() + LINK_LIFETIME,
        )
    return token


def _note_use(context: Context, session_id: UUID, at: datetime) -> None:
    with context.database.transaction(PLATFORM) as tx:
        web_sessions.note_use(tx, session_id, at)


def _is_over() -> Unauthenticated:
    return Unauthenticated("You are not signed in, or your session has ended.")


def _link_is_over() -> Unauthenticated:
    return Unauthenticated("The link was used already, or is older than ten minutes: sign in with a key.")


def _begin(
    context: Context, caller: Caller, *, secret_hash: bytes | None = None, link: bytes | None = None
) -> SignedIn:
    """Store a session of the caller; `link` is spent with it. Raises Unauthenticated.

    `secret_hash` is that of the key that was verified, which may be replaced meanwhile.
    """
    assert caller.key_id is not None  # noqa: S101 - the authenticator has found it
    at, token, session_id = context.clock(), secrets.token_urlsafe(_TOKEN_BYTES), mint()
    row = NewSession(
        session_id=session_id,
        subscription_id=caller.subscription_id,
        key_id=caller.key_id,
        token_hash=_digest(token),
        created_at=at,
        last_seen_at=at,
        expires_at=at + LONGEST,
        ip_address=caller.origin.ip_address,
        user_agent=caller.origin.user_agent,
    )
    with context.database.transaction(caller.subscription_id or PLATFORM) as tx:
        if link is not None and not web_sessions.take_link(tx, link, at):
            raise _link_is_over()
        if not web_sessions.insert_session(tx, row, secret_hash=secret_hash):
            raise Unauthenticated("The API key was deleted or replaced: sign in with another.")
        web_sessions.end_oldest(tx, caller.key_id, keep=MAX_OF_KEY)
        subject = Subject(TYPE, session_id, None)
        events.record(tx, caller, caller.subscription_id, subject, Action.LOGIN, at)
    return SignedIn(token, caller)


def _end(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    session_ids: Collection[UUID] | None,
    *,
    user_id: UUID | None = None,
    but: UUID | None = None,
) -> int:
    at = context.clock()
    with context.database.transaction(subscription_id or PLATFORM) as tx:
        ended = web_sessions.end(
            tx, subscription_id, session_ids, user_id=user_id, but=but, at=at, seen_after=at - IDLE
        )
        for session_id in ended:
            subject = Subject(TYPE, session_id, None)
            events.record(tx, caller, subscription_id, subject, Action.LOGOUT, at)
    return len(ended)


def _runs(found: FoundSession, at: datetime) -> bool:
    return at < found.expires_at and at - found.last_seen_at < IDLE


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
