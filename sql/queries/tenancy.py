"""Subscriptions, users and API keys."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, any_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from sql.database import IDS, OF_SUBSCRIPTION, Transaction, among
from sql.models import TABLES
from sql.pipelines import Query
from sql.queries import audit_policies

_T = TABLES
_SUBSCRIPTIONS, _ACTORS, _USERS, _KEYS = (_T[n] for n in ("subscriptions", "actors", "users", "api_keys"))
_POLICIES = _T["audit_policies"]

OPERATOR_KEY_NAME = "operator"
# Any fixed number that no other advisory lock of this database has.
OPERATOR_LOCK = 0x6F70657261746F72


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    subscription_id: UUID
    name: str
    created_at: datetime
    require_if_match: bool
    cors_origins: list[str] = field(default_factory=list)
    closed_at: datetime | None = None
    closed_by: str | None = None
    close_reason: str | None = None
    purge_after: datetime | None = None
    exported_at: datetime | None = None
    purged_at: datetime | None = None
    quota_repository_bytes: int | None = None
    quota_resources: int | None = None
    quota_versions_a_day: int | None = None
    quota_log_rows_a_day: int | None = None
    clone_after_purge: str = "everybody"


@dataclass(frozen=True, slots=True)
class UserRow:
    user_id: UUID
    username: str
    email: str | None
    role: str
    created_at: datetime
    updated_at: datetime
    # It has a default, since results that an earlier release stored for retries lack it.
    kind: str = "human"


@dataclass(frozen=True, slots=True)
class KeyRow:
    key_id: UUID
    user_id: UUID
    username: str
    name: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credential:
    """A stored key with its user; user and subscription are None for the operator's key."""

    key_id: UUID
    secret_hash: bytes
    expires_at: datetime | None
    subscription_id: UUID | None
    user_id: UUID | None
    username: str | None
    kind: str | None
    role: str | None
    subscription_name: str | None
    require_if_match: bool | None
    clone_after_purge: str | None
    closed_at: datetime | None
    exported_at: datetime | None
    # Type, action and depth of each rule of the subscription's audit policy, in their order.
    policy: list[tuple[str, str, str]] | None


def insert_subscription(tx: Transaction, row: SubscriptionRow) -> None:
    """Add a subscription."""
    tx.execute(insert(_SUBSCRIPTIONS), asdict(row))


# The columns that a PATCH may set.
SETTINGS = (
    *("name", "require_if_match", "cors_origins", "clone_after_purge"),
    *("quota_repository_bytes", "quota_resources", "quota_versions_a_day", "quota_log_rows_a_day"),
)


def update_settings(tx: Transaction, row: SubscriptionRow) -> None:
    """Store what SETTINGS names of a subscription."""
    values = {name: getattr(row, name) for name in SETTINGS}
    tx.execute(
        update(_SUBSCRIPTIONS).where(_SUBSCRIPTIONS.c.subscription_id == row.subscription_id).values(values)
    )


SUBSCRIPTION = select(*(_SUBSCRIPTIONS.c[field.name] for field in fields(SubscriptionRow)))


def subscription(tx: Transaction, subscription_id: UUID, *, lock: bool = False) -> SubscriptionRow | None:
    """One subscription; with `lock`, its row is locked until the transaction ends."""
    query = SUBSCRIPTION.where(_SUBSCRIPTIONS.c.subscription_id == subscription_id)
    if lock:
        query = query.with_for_update(key_share=True)
    row = tx.execute(query).one_or_none()
    return None if row is None else SubscriptionRow(**row._mapping)


@dataclass(frozen=True, slots=True)
class AllowedOrigins:
    """Origins whose pages may call a subscription."""

    subscription_id: UUID
    cors_origins: list[str]


ALLOWED_ORIGINS = Query(
    select(_SUBSCRIPTIONS.c.subscription_id, _SUBSCRIPTIONS.c.cors_origins).where(
        _SUBSCRIPTIONS.c.subscription_id == any_(IDS)
    ),
    AllowedOrigins,
)


# The columns about the closing of a subscription.
CLOSING = ("closed_at", "closed_by", "close_reason", "purge_after", "exported_at", "purged_at")


def update_closing(tx: Transaction, row: SubscriptionRow) -> None:
    """Store the closing of a subscription, and the state of its purge."""
    values = {name: getattr(row, name) for name in CLOSING}
    tx.execute(
        update(_SUBSCRIPTIONS).where(_SUBSCRIPTIONS.c.subscription_id == row.subscription_id).values(values)
    )


@dataclass(frozen=True, slots=True)
class ChangeBounds:
    """The time since which a subscription can only be read, and the quotas of its changes; None for none."""

    closed_at: datetime | None
    repository_bytes: int | None
    resources: int | None
    versions_a_day: int | None


BOUNDS = Query(
    select(
        _SUBSCRIPTIONS.c.closed_at,
        _SUBSCRIPTIONS.c.quota_repository_bytes.label("repository_bytes"),
        _SUBSCRIPTIONS.c.quota_resources.label("resources"),
        _SUBSCRIPTIONS.c.quota_versions_a_day.label("versions_a_day"),
    ).where(_SUBSCRIPTIONS.c.subscription_id == OF_SUBSCRIPTION),
    ChangeBounds,
)


def subscriptions(
    tx: Transaction, only: UUID | None, *, before: UUID | None, limit: int
) -> list[SubscriptionRow]:
    """Subscriptions, newest first; with `only`, no subscription but this one."""
    query = SUBSCRIPTION.order_by(_SUBSCRIPTIONS.c.subscription_id.desc()).limit(limit)
    if only is not None:
        query = query.where(_SUBSCRIPTIONS.c.subscription_id == only)
    if before is not None:
        query = query.where(_SUBSCRIPTIONS.c.subscription_id < before)
    return [SubscriptionRow(**row._mapping) for row in tx.execute(query)]


def of_ids(tx: Transaction, subscription_ids: Collection[UUID]) -> list[SubscriptionRow]:
    """Read some subscriptions, in any order."""
    rows = tx.execute(SUBSCRIPTION.where(among(_SUBSCRIPTIONS.c.subscription_id, subscription_ids)))
    return [SubscriptionRow(**row._mapping) for row in rows]


def insert_user(
    tx: Transaction,
    subscription_id: UUID,
    row: UserRow,
    name_key: str,
) -> None:
    """Add a user and its actor; raises UniqueConflict if the username or its key is taken."""
    actor = {"user_id": row.user_id, "subscription_id": subscription_id, "username": row.username}
    tx.execute(insert(_ACTORS), actor | {"email": row.email})
    user = {name: getattr(row, name) for name in ("kind", "role", "created_at", "updated_at")}
    tx.execute(insert(_USERS), actor | user | {"name_key": name_key})


def known(tx: Transaction, subscription_ids: Collection[UUID]) -> set[UUID]:
    """The given subscriptions that exist."""
    query = select(_SUBSCRIPTIONS.c.subscription_id)
    return set(tx.execute(query.where(among(_SUBSCRIPTIONS.c.subscription_id, subscription_ids))).scalars())


def is_actor(tx: Transaction, subscription_id: UUID, user_id: UUID) -> bool:
    """True if history may name an actor: a present or former user of the subscription."""
    query = select(_ACTORS.c.user_id).where(
        _ACTORS.c.subscription_id == subscription_id, _ACTORS.c.user_id == user_id
    )
    return tx.execute(query).one_or_none() is not None


def ensure_actor(tx: Transaction, subscription_id: UUID, *, user_id: UUID, username: str) -> None:
    """Add an actor that is not a user, unless it exists."""
    actor = {"user_id": user_id, "subscription_id": subscription_id, "username": username}
    tx.execute(upsert(_ACTORS).values(actor).on_conflict_do_nothing(index_elements=["user_id"]))


_USER = select(
    _USERS.c.user_id,
    _USERS.c.username,
    _USERS.c.kind,
    _ACTORS.c.email,
    _USERS.c.role,
    _USERS.c.created_at,
    _USERS.c.updated_at,
).join(_ACTORS, _ACTORS.c.user_id == _USERS.c.user_id)


def user(tx: Transaction, subscription_id: UUID, user_id: UUID, *, lock: bool = False) -> UserRow | None:
    """One user; with `lock`, its row is locked until the transaction ends."""
    query = _USER.where(_USERS.c.subscription_id == subscription_id, _USERS.c.user_id == user_id)
    if lock:
        query = query.with_for_update(of=_USERS)
    row = tx.execute(query).one_or_none()
    return None if row is None else UserRow(**row._mapping)


def users(
    tx: Transaction, subscription_id: UUID, *, kind: str | None, before: UUID | None, limit: int
) -> list[UserRow]:
    """Users, newest first; with `kind`, only those of a kind."""
    query = _USER.where(_USERS.c.subscription_id == subscription_id)
    if kind is not None:
        query = query.where(_USERS.c.kind == kind)
    if before is not None:
        query = query.where(_USERS.c.user_id < before)
    rows = tx.execute(query.order_by(_USERS.c.user_id.desc()).limit(limit))
    return [UserRow(**row._mapping) for row in rows]


def has_other(tx: Transaction, subscription_id: UUID, user_id: UUID, *, role: str, at: datetime) -> bool:
    """True if a user besides the given one has a role and a key that is valid at a moment."""
    query = (
        select(_USERS.c.user_id)
        .join(_KEYS, _KEYS.c.user_id == _USERS.c.user_id)
        .where(
            _USERS.c.subscription_id == subscription_id,
            _USERS.c.role == role,
            _USERS.c.user_id != user_id,
            or_(_KEYS.c.expires_at.is_(None), _KEYS.c.expires_at > at),
        )
    )
    return tx.execute(query.limit(1)).one_or_none() is not None


def actors_named(tx: Transaction, subscription_id: UUID, forms: Collection[str]) -> list[UUID]:
    """The live users of a name in one of its forms, or else every former user who had it."""
    query = (
        select(_ACTORS.c.user_id, _USERS.c.user_id.is_not(None).label("is_live"))
        .outerjoin(_USERS, _USERS.c.user_id == _ACTORS.c.user_id)
        .where(_ACTORS.c.subscription_id == subscription_id, _ACTORS.c.username.in_(forms))
    )
    found = tx.execute(query).all()
    return [row.user_id for row in found if row.is_live] or [row.user_id for row in found]


def erase_email(tx: Transaction, subscription_id: UUID, user_id: UUID) -> str | None:
    """Erase the e-mail address of a present or former user; its name, or None if it has no address."""
    query = (
        update(_ACTORS)
        .where(
            _ACTORS.c.subscription_id == subscription_id,
            _ACTORS.c.user_id == user_id,
            _ACTORS.c.email.is_not(None),
        )
        .values(email=None)
    )
    username: str | None = tx.execute(query.returning(_ACTORS.c.username)).scalar_one_or_none()
    return username


def update_user(
    tx: Transaction, subscription_id: UUID, user_id: UUID, *, email: str | None, role: str, at: datetime
) -> None:
    """Set a user's e-mail address and role."""
    tx.execute(
        update(_ACTORS)
        .where(_ACTORS.c.subscription_id == subscription_id, _ACTORS.c.user_id == user_id)
        .values(email=email)
    )
    tx.execute(
        update(_USERS)
        .where(_USERS.c.subscription_id == subscription_id, _USERS.c.user_id == user_id)
        .values(role=role, updated_at=at)
    )


def delete_user(tx: Transaction, subscription_id: UUID, user_id: UUID) -> None:
    """Delete a user and its keys; the actor that history names stays."""
    tx.execute(delete(_USERS).where(_USERS.c.subscription_id == subscription_id, _USERS.c.user_id == user_id))


def insert_key(
    tx: Transaction,
    subscription_id: UUID | None,
    *,
    key_id: UUID,
    user_id: UUID | None,
    name: str,
    secret_hash: bytes,
    created_by: UUID | None,
    at: datetime,
    expires_at: datetime | None,
) -> None:
    """Add a key. No subscription and no user mean the operator's key."""
    tx.execute(
        insert(_KEYS),
        {
            "key_id": key_id,
            "subscription_id": subscription_id,
            "user_id": user_id,
            "name": name,
            "secret_hash": secret_hash,
            "created_by": created_by,
            "created_at": at,
            "expires_at": expires_at,
        },
    )


_KEY = select(
    _KEYS.c.key_id,
    _KEYS.c.user_id,
    _USERS.c.username,
    _KEYS.c.name,
    _KEYS.c.created_at,
    _KEYS.c.expires_at,
).join(_USERS, _USERS.c.user_id == _KEYS.c.user_id)


def key(tx: Transaction, subscription_id: UUID, key_id: UUID) -> KeyRow | None:
    """One key, without its secret."""
    query = _KEY.where(_KEYS.c.subscription_id == subscription_id, _KEYS.c.key_id == key_id)
    row = tx.execute(query).one_or_none()
    return None if row is None else KeyRow(**row._mapping)


def keys(
    tx: Transaction,
    subscription_id: UUID,
    *,
    user_id: UUID | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[KeyRow]:
    """Keys without their secrets, of one user or of all, newest first."""
    query = _KEY.where(_KEYS.c.subscription_id == subscription_id)
    if user_id is not None:
        query = query.where(_KEYS.c.user_id == user_id)
    if before is not None:
        query = query.where(_KEYS.c.key_id < before)
    rows = tx.execute(query.order_by(_KEYS.c.key_id.desc()).limit(limit))
    return [KeyRow(**row._mapping) for row in rows]


def last_logins(tx: Transaction, subscription_id: UUID, key_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """Times of the last noted logins with keys, as far as there were any."""
    query = select(_KEYS.c.key_id, _KEYS.c.last_login_at).where(
        _KEYS.c.subscription_id == subscription_id,
        among(_KEYS.c.key_id, key_ids),
        _KEYS.c.last_login_at.is_not(None),
    )
    return {row.key_id: row.last_login_at for row in tx.execute(query)}


def subscription_names(tx: Transaction, subscription_ids: Collection[UUID]) -> dict[UUID, str]:
    """Read the names of subscriptions, closed or not."""
    query = select(_SUBSCRIPTIONS.c.subscription_id, _SUBSCRIPTIONS.c.name).where(
        among(_SUBSCRIPTIONS.c.subscription_id, subscription_ids)
    )
    return {row.subscription_id: row.name for row in tx.execute(query)}


def usernames(tx: Transaction, subscription_id: UUID, user_ids: Collection[UUID]) -> dict[UUID, str]:
    """Names of present and former users."""
    query = select(_ACTORS.c.user_id, _ACTORS.c.username).where(
        _ACTORS.c.subscription_id == subscription_id, among(_ACTORS.c.user_id, user_ids)
    )
    return {row.user_id: row.username for row in tx.execute(query)}


def delete_key(tx: Transaction, subscription_id: UUID, key_id: UUID) -> bool:
    """Delete a key; False if it was deleted already."""
    query = (
        delete(_KEYS)
        .where(_KEYS.c.subscription_id == subscription_id, _KEYS.c.key_id == key_id)
        .returning(_KEYS.c.key_id)
    )
    return tx.execute(query).one_or_none() is not None


# The keys with the given ids, as far as they exist, and the operator's key.
CREDENTIALS = Query(
    select(
        _KEYS.c.key_id,
        _KEYS.c.secret_hash,
        _KEYS.c.expires_at,
        _KEYS.c.subscription_id,
        _USERS.c.user_id,
        _USERS.c.username,
        _USERS.c.kind,
        _USERS.c.role,
        _SUBSCRIPTIONS.c.name.label("subscription_name"),
        _SUBSCRIPTIONS.c.require_if_match,
        _SUBSCRIPTIONS.c.clone_after_purge,
        _SUBSCRIPTIONS.c.closed_at,
        _SUBSCRIPTIONS.c.exported_at,
        audit_policies.RULES.where(_POLICIES.c.subscription_id == _KEYS.c.subscription_id)
        .scalar_subquery()
        .label("policy"),
    )
    .outerjoin(_USERS, _USERS.c.user_id == _KEYS.c.user_id)
    .outerjoin(_SUBSCRIPTIONS, _SUBSCRIPTIONS.c.subscription_id == _KEYS.c.subscription_id)
    .where(or_(_KEYS.c.key_id == any_(IDS), _KEYS.c.subscription_id.is_(None))),
    Credential,
)


def lock_operator(tx: Transaction) -> None:
    """Take the lock under which the operator's key is looked for and made."""
    tx.execute(select(func.pg_advisory_xact_lock(OPERATOR_LOCK)))


@dataclass(frozen=True, slots=True)
class LockedUser:
    """A user that can't be deleted, and whose role can't change, until the transaction ends."""

    user_id: UUID
    role: str


LOCK_USER = Query(
    select(_USERS.c.user_id, _USERS.c.role)
    .where(_USERS.c.subscription_id == OF_SUBSCRIPTION, _USERS.c.user_id == bindparam("locked", type_=Uuid()))
    .with_for_update(read=True, key_share=True),
    LockedUser,
)


def operator_hash(tx: Transaction) -> bytes | None:
    """The SHA-256 of the operator's key, or None if it is not made yet."""
    query = select(_KEYS.c.secret_hash).where(_KEYS.c.subscription_id.is_(None))
    stored: bytes | None = tx.execute(query).scalar_one_or_none()
    return stored


def replace_operator_hash(tx: Transaction, secret_hash: bytes, at: datetime) -> None:
    """Replace the operator's key."""
    query = update(_KEYS).where(_KEYS.c.subscription_id.is_(None))
    tx.execute(query.values(secret_hash=secret_hash, created_at=at))


def note_login(tx: Transaction, key_id: UUID, *, at: datetime, since: datetime) -> bool:
    """Record the use of a key; False if one was recorded at `since` or later."""
    noted = _KEYS.c.last_login_at
    query = update(_KEYS).where(_KEYS.c.key_id == key_id, or_(noted.is_(None), noted < since))
    return tx.execute(query.values(last_login_at=at).returning(_KEYS.c.key_id)).one_or_none() is not None


def keys_of(tx: Transaction, subscription_id: UUID, user_id: UUID) -> list[KeyRow]:
    """The keys of a user, locked until the transaction ends."""
    query = _KEY.where(_KEYS.c.subscription_id == subscription_id, _KEYS.c.user_id == user_id)
    return [KeyRow(**row._mapping) for row in tx.execute(query.with_for_update(of=_KEYS))]
