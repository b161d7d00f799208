"""Idempotency keys: a retry of a POST gets the answer of the first try, by one mechanism for every call.

The result of a call is written in the transaction of its changes, so that either both are stored or neither.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from service.domain.errors import Fault, KeyReused, RequestInFlight
from sql.database import Transaction
from sql.queries import idempotency
from sql.queries.idempotency import StoredResult

HEADER = "Idempotency-Key"
# API.md promises this time.
LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class BodyDigests:
    """Digests of a body: of its values, whatever the order of its keys, and of its bytes, if it has some."""

    values: bytes
    raw: bytes = b""


@dataclass(frozen=True)
class Attempt:
    """Call with an Idempotency-Key: digests of its identity and of its body.

    Results that 0.3.0 stored have the fingerprint of the body's bytes, `raw_fingerprint`.
    """

    attempt_id: bytes
    fingerprint: bytes
    raw_fingerprint: bytes

    @classmethod
    def of(cls, *, caller: str, method: str, path: str, key: str, body: BodyDigests) -> "Attempt":
        """Make the attempt of a call from its caller, method, path, key and body."""
        parts = (part.encode("utf-8", "surrogateescape") for part in (caller, method, path, key))
        # HMACs whose key is not stored: a plain digest would allow to guess an e-mail address in the body.
        fingerprints = (hmac.digest(key.encode(), digest, "sha256") for digest in (body.values, body.raw))
        return cls(sha256(b"\0".join(parts)).digest(), *fingerprints)


def recall(tx: Transaction, subscription_id: UUID | None, attempt: Attempt, at: datetime) -> bytes | None:
    """Result of an earlier try; None if this is the first try.

    Raises RequestInFlight while another transaction carries the call out, KeyReused for another body.
    """
    if not idempotency.lock(tx, attempt.attempt_id):
        raise RequestInFlight("A call with this Idempotency-Key is being carried out: try again shortly.")
    stored = idempotency.find(tx, subscription_id, attempt.attempt_id, since=at - LIFETIME)
    if stored is None:
        return None
    check_body(attempt, stored.fingerprint)
    return stored.result


def check_body(attempt: Attempt, fingerprint: bytes) -> None:
    """Raise KeyReused unless the body is that of the first try."""
    if fingerprint not in (attempt.fingerprint, attempt.raw_fingerprint):
        detail = "it was used with another body: take a new key for a new call"
        raise KeyReused(f"{HEADER}: {detail}.", faults=[Fault(detail, parameter=HEADER)])


def keep(
    tx: Transaction, subscription_id: UUID | None, attempt: Attempt, result: bytes, at: datetime
) -> None:
    """Store the result of an attempt, for its retries."""
    stored = StoredResult(attempt.fingerprint, result)
    idempotency.keep(tx, subscription_id, attempt.attempt_id, stored, at)
