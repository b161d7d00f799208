"""Rows beside posted audit events: the senders' ids of the events, and the addresses of their actors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from sql.database import Transaction
from sql.models import TABLES
from sql.queries.audit_logs import AuditRow

_IDS = TABLES["reported_event_ids"]

# Always in the order of the digests and ids: two transactions with the same ones wait for each other, and do
# not both wait.
_TAKE = text("""
INSERT INTO reported_event_ids (subscription_id, digest, audit_id, created_at)
SELECT :subscription_id, given.digest, given.audit_id, :at
FROM unnest(CAST(:digests AS BYTEA[]), CAST(:audit_ids AS UUID[])) AS given (digest, audit_id)
ORDER BY given.digest
ON CONFLICT DO NOTHING
RETURNING digest
""")
# Addresses that are there already are not written again: that would lock the row of each busy actor.
_KEEP = text("""
INSERT INTO reported_actors AS known (subscription_id, actor_id, email)
SELECT :subscription_id, given.actor_id, given.email
FROM unnest(CAST(:actor_ids AS TEXT[]), CAST(:emails AS TEXT[])) AS given (actor_id, email)
LEFT JOIN reported_actors AS present
    ON present.subscription_id = :subscription_id AND present.actor_id = given.actor_id
WHERE present.actor_id IS NULL OR (present.erased_at IS NULL AND present.email <> given.email)
ORDER BY given.actor_id COLLATE "C"
ON CONFLICT (subscription_id, actor_id) DO UPDATE SET email = excluded.email WHERE known.erased_at IS NULL
""")
_ERASE = text("""
INSERT INTO reported_actors AS known (subscription_id, actor_id, email, erased_at)
VALUES (:subscription_id, :actor_id, NULL, :at)
ON CONFLICT (subscription_id, actor_id) DO UPDATE SET email = NULL, erased_at = excluded.erased_at
WHERE known.erased_at IS NULL
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedEvent:
    """An event as it is stored: its row, its actor's address, and the digest of the sender's id of it."""

    row: AuditRow
    email: str | None = None
    digest: bytes | None = None


def unseen(tx: Transaction, subscription_id: UUID, events: Sequence[PostedEvent]) -> list[PostedEvent]:
    """Take the senders' ids of events; returns the events whose ids nobody had taken, and those without.

    Waits for another transaction that takes the same ids.
    """
    named: dict[bytes, PostedEvent] = {}
    for event in events:
        if event.digest is not None:
            named.setdefault(event.digest, event)
    if not named:
        return list(events)
    values = {
        "subscription_id": subscription_id,
        "digests": list(named),
        "audit_ids": [event.row.audit_id for event in named.values()],
        "at": events[0].row.created_at,
    }
    taken = {bytes(digest) for digest in tx.execute(_TAKE, values).scalars()}
    return [
        event
        for event in events
        if event.digest is None or (event.digest in taken and named[event.digest] is event)
    ]


def audit_ids(tx: Transaction, subscription_id: UUID, digests: Collection[bytes]) -> dict[bytes, UUID]:
    """Find the stored events by the digests of their senders' ids."""
    query = select(_IDS.c.digest, _IDS.c.audit_id).where(
        _IDS.c.subscription_id == subscription_id,
        _IDS.c.digest == literal(list(digests), ARRAY(BYTEA())).any_(),
    )
    return {bytes(digest): audit_id for digest, audit_id in tx.execute(query)}


def keep_addresses(tx: Transaction, subscription_id: UUID, emails: Mapping[str, str]) -> None:
    """Store the addresses of actors by their ids, the latest for each; an erased address stays erased."""
    if emails:
        values = {"actor_ids": list(emails), "emails": list(emails.values())}
        tx.execute(_KEEP, {"subscription_id": subscription_id, **values})


def erase_address(tx: Transaction, subscription_id: UUID, actor_id: str, at: datetime) -> bool:
    """Erase the address of an actor, also for later events; returns False if it was erased before."""
    values = {"subscription_id": subscription_id, "actor_id": actor_id, "at": at}
    return bool(tx.execute(_ERASE, values).rowcount)
