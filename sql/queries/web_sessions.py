"""Sessions of the web pages, links that begin one, and readings of logs in one."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    LargeBinary,
    any_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from sql.database import Transaction
from sql.models import TABLES
from sql.pipelines import Query
from sql.queries.tenancy import OPERATOR_KEY_NAME

_SESSIONS, _LINKS, _READINGS = (TABLES[name] for name in ("web_sessions", "sign_in_links", "web_readings"))
_KEYS, _USERS = TABLES["api_keys"], TABLES["users"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session to be stored."""

    session_id: UUID
    subscription_id: UUID | None
    key_id: UUID
    token_hash: bytes
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip_address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSession:
    """A session whose token a browser sent."""

    token_hash: bytes
    session_id: UUID
    key_id: UUID
    last_seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session as lists show it, with its user and the name of its key; the operator is no user."""

    session_id: UUID
    key_id: UUID
    key_name: str
    user_id: UUID | None
    username: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip_address: str | None
    user_agent: str | None


def insert_session(tx: Transaction, row: NewSession, *, secret_hash: bytes | None = None) -> bool:
    """Add a session, unless its key was deleted meanwhile; tells if it did.

    With `secret_hash`, the key must still have that secret: the operator's key is replaced in its row.
    """
    key = select(_KEYS.c.key_id).where(_KEYS.c.key_id == row.key_id)
    if secret_hash is not None:
        key = key.where(_KEYS.c.secret_hash == secret_hash)
    # Stronger than a foreign key's lock: a replacement waits, and then ends this session, too.
    key = key.with_for_update(read=True)
    if tx.execute(key).one_or_none() is None:
        return False
    tx.execute(insert(_SESSIONS), asdict(row))
    return True


# Sessions of tokens, over or not; the parameter `token_hashes` is their digests.
FIND = Query(
    select(
        _SESSIONS.c.token_hash,
        _SESSIONS.c.session_id,
        _SESSIONS.c.key_id,
        _SESSIONS.c.last_seen_at,
        _SESSIONS.c.expires_at,
    ).where(_SESSIONS.c.token_hash == any_(bindparam("token_hashes", type_=ARRAY(LargeBinary())))),
    FoundSession,
)


def note_use(tx: Transaction, session_id: UUID, at: datetime) -> None:
    """Note that a session was used."""
    c = _SESSIONS.c
    tx.execute(
        update(_SESSIONS).where(c.session_id == session_id, c.last_seen_at < at).values(last_seen_at=at)
    )


def running(
    tx: Transaction,
    subscription_id: UUID | None,
    *,
    user_id: UUID | None,
    at: datetime,
    seen_after: datetime,
    limit: int,
) -> list[SessionRow]:
    """Sessions that run at `at` and were used after `seen_after`, newest first; of one user, or of all.

    Without a subscription they are the operator's.
    """
    c = _SESSIONS.c
    query = (
        select(
            c.session_id,
            c.key_id,
            _KEYS.c.name.label("key_name"),
            _KEYS.c.user_id,
            func.coalesce(_USERS.c.username, OPERATOR_KEY_NAME).label("username"),
            c.created_at,
            c.last_seen_at,
            c.expires_at,
            c.ip_address,
            c.user_agent,
        )
        .join(_KEYS, _KEYS.c.key_id == c.key_id)
        .outerjoin(_USERS, _USERS.c.user_id == _KEYS.c.user_id)
        .where(_of(subscription_id), c.expires_at > at, c.last_seen_at > seen_after)
        .order_by(c.session_id.desc())
        .limit(limit)
    )
    if user_id is not None:
        query = query.where(_KEYS.c.user_id == user_id)
    return [SessionRow(**row._mapping) for row in tx.execute(query)]


def _of(subscription_id: UUID | None) -> ColumnElement[bool]:
    c = _SESSIONS.c
    return c.subscription_id.is_(None) if subscription_id is None else c.subscription_id == subscription_id


def end(
    tx: Transaction,
    subscription_id: UUID | None,
    session_ids: Collection[UUID] | None,
    *,
    user_id: UUID | None,
    but: UUID | None,
    at: datetime,
    seen_after: datetime,
) -> list[UUID]:
    """Delete running sessions of a subscription, or with None of the operator; returns those that were there.

    They are the ones with these ids, or with None all; with `user_id` those of a user alone; and not `but`.
    """
    c = _SESSIONS.c
    statement = delete(_SESSIONS).where(_of(subscription_id), c.expires_at > at, c.last_seen_at > seen_after)
    if session_ids is not None:
        statement = statement.where(c.session_id.in_(list(session_ids)))
    if user_id is not None:
        keys = select(_KEYS.c.key_id).where(
            _KEYS.c.subscription_id == subscription_id, _KEYS.c.user_id == user_id
        )
        statement = statement.where(c.key_id.in_(keys))
    if but is not None:
        statement = statement.where(c.session_id != but)
    return sorted(tx.execute(statement.returning(c.session_id)).scalars())


def end_oldest(tx: Transaction, key_id: UUID, *, keep: int) -> None:
    """Delete the sessions of a key but for the newest."""
    c = _SESSIONS.c
    oldest = select(c.session_id).where(c.key_id == key_id).order_by(c.session_id.desc()).offset(keep)
    tx.execute(delete(_SESSIONS).where(c.session_id.in_(oldest)))


def end_of_operator(tx: Transaction) -> None:
    """Delete all sessions of the operator."""
    tx.execute(delete(_SESSIONS).where(_SESSIONS.c.subscription_id.is_(None)))


def insert_link(
    tx: Transaction, subscription_id: UUID, *, token_hash: bytes, key_id: UUID, expires_at: datetime
) -> None:
    """Add a link that signs in once."""
    tx.execute(
        insert(_LINKS),
        {
            "token_hash": token_hash,
            "subscription_id": subscription_id,
            "key_id": key_id,
            "expires_at": expires_at,
        },
    )


def key_of_link(tx: Transaction, token_hash: bytes, at: datetime) -> UUID | None:
    """Find the key that a link stands for; None for a link that is spent, expired or unknown."""
    c = _LINKS.c
    return tx.execute(
        select(c.key_id).where(c.token_hash == token_hash, c.expires_at > at)
    ).scalar_one_or_none()


def take_link(tx: Transaction, token_hash: bytes, at: datetime) -> bool:
    """Spend a link; False if it was spent meanwhile."""
    c = _LINKS.c
    return tx.execute(delete(_LINKS).where(c.token_hash == token_hash, c.expires_at > at)).rowcount == 1


def note_reading(
    tx: Transaction,
    subscription_id: UUID | None,
    session_id: UUID,
    digest: bytes,
    at: datetime,
    *,
    since: datetime,
) -> bool:
    """Note a reading of a log in a session; False if an event says so already, at or after `since`.

    A session that was ended meanwhile notes nothing: each reading then needs its event.
    """
    session = select(_SESSIONS.c.session_id).where(_SESSIONS.c.session_id == session_id)
    if tx.execute(session.with_for_update(read=True, key_share=True)).one_or_none() is None:
        return True
    c = _READINGS.c
    statement = (
        postgresql.insert(_READINGS)
        .values(session_id=session_id, digest=digest, subscription_id=subscription_id, read_at=at)
        .on_conflict_do_update(
            index_elements=[c.session_id, c.digest], set_={"read_at": at}, where=c.read_at < since
        )
        .returning(c.session_id)
    )
    return tx.execute(statement).one_or_none() is not None
