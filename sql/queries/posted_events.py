"""Rows beside posted audit events: the senders' ids of the events, and the addresses of their actors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from sql.database import Transaction
from sql.models import TABLES
from sql.queries.audit_logs import AuditRow

_IDS = TABLES["reported_event_ids"]

# Some 2 MB. A stream of 1 GB can name millions of actors.
MOST_IN_MEMORY: Final = 10_000

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
_KEEP = """
INSERT INTO reported_actors AS known (subscription_id, actor_id, email)
SELECT :subscription_id, given.actor_id, given.email
FROM {source} AS given (actor_id, email)
LEFT JOIN reported_actors AS present
    ON present.subscription_id = :subscription_id AND present.actor_id = given.actor_id
WHERE present.actor_id IS NULL OR (present.erased_at IS NULL AND present.email <> given.email)
ORDER BY given.actor_id COLLATE "C"
ON CONFLICT (subscription_id, actor_id) DO UPDATE SET email = excluded.email WHERE known.erased_at IS NULL
"""
_KEEP_GIVEN = text(
    _KEEP.format(source="unnest(CAST(:actor_ids AS TEXT[]), CAST(:emails AS TEXT[]))"),
)
_KEEP_HELD = text(
    _KEEP.format(
        source="(SELECT DISTINCT ON (actor_id) actor_id, email FROM pg_temp.held_addresses"
        " ORDER BY actor_id, turn DESC)"
    )
)
_MAKE_HELD = text(
    "CREATE TEMPORARY TABLE IF NOT EXISTS held_addresses (turn INTEGER, actor_id TEXT, email TEXT)"
    " ON COMMIT DELETE ROWS"
)
_HOLD = text(
    "INSERT INTO pg_temp.held_addresses SELECT :turn, actor_id, email"
    " FROM unnest(CAST(:actor_ids AS TEXT[]), CAST(:emails AS TEXT[])) AS given (actor_id, email)"
)
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


class HeldAddresses:
    """Addresses of actors, the latest of each, which a transaction stores at its end.

    The row of an actor is locked from then on, and whoever names the same new address waits. So a stream does
    not lock it for its minutes. More than MOST_IN_MEMORY addresses go to a temporary table.
    """

    def __init__(self, tx: Transaction, subscription_id: UUID) -> None:
        self._tx = tx
        self._subscription_id = subscription_id
        self._emails: dict[str, str] = {}
        self._turns = 0

    def add(self, emails: Mapping[str, str]) -> None:
        """Hold addresses by the ids of their actors; each takes the place of an earlier one."""
        self._emails.update(emails)
        if len(self._emails) > MOST_IN_MEMORY:
            self._put_aside()

    def store(self) -> None:
        """Store all addresses in the order of their actors; an erased address stays erased."""
        of_subscription = {"subscription_id": self._subscription_id}
        if self._turns:
            self._put_aside()
            self._tx.execute(_KEEP_HELD, of_subscription)
        elif self._emails:
            self._tx.execute(_KEEP_GIVEN, of_subscription | self._given())

    def _given(self) -> dict[str, Any]:
        return {"actor_ids": list(self._emails), "emails": list(self._emails.values())}

    def _put_aside(self) -> None:
        if not self._turns:
            self._tx.execute(_MAKE_HELD)
        self._turns += 1
        self._tx.execute(_HOLD, self._given() | {"turn": self._turns})
        self._emails.clear()


def erase_address(tx: Transaction, subscription_id: UUID, actor_id: str, at: datetime) -> bool:
    """Erase the address of an actor, also for later events; returns False if it was erased before."""
    values = {"subscription_id": subscription_id, "actor_id": actor_id, "at": at}
    return bool(tx.execute(_ERASE, values).rowcount)
