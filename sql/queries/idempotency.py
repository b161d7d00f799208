"""Results of calls with an Idempotency-Key, so that a retry gets the same answer."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from sql.database import Transaction
from sql.models import TABLES

_KEYS = TABLES["idempotency_keys"]


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The fingerprint of a call's body, and the result of the call."""

    fingerprint: bytes
    result: bytes


def lock(tx: Transaction, attempt_id: bytes) -> bool:
    """Lock an attempt until the transaction ends; False if another transaction has the lock."""
    key = int.from_bytes(attempt_id[:8], "big", signed=True)
    is_locked: bool = tx.execute(select(func.pg_try_advisory_xact_lock(key))).scalar_one()
    return is_locked


def find(
    tx: Transaction, subscription_id: UUID | None, attempt_id: bytes, *, since: datetime
) -> StoredResult | None:
    """The result of an attempt, if it was stored after `since`."""
    query = select(_KEYS.c.fingerprint, _KEYS.c.result).where(
        _KEYS.c.subscription_id.is_not_distinct_from(subscription_id),
        _KEYS.c.attempt_id == attempt_id,
        _KEYS.c.created_at > since,
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else StoredResult(*row)


def keep(
    tx: Transaction,
    subscription_id: UUID | None,
    attempt_id: bytes,
    stored: StoredResult,
    at: datetime,
) -> None:
    """Store the result of an attempt, in place of an expired result of the same key."""
    values = {"fingerprint": stored.fingerprint, "result": stored.result, "created_at": at}
    statement = insert(_KEYS).values(attempt_id=attempt_id, subscription_id=subscription_id, **values)
    tx.execute(statement.on_conflict_do_update(index_elements=["attempt_id"], set_=values))
