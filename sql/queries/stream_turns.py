"""Turns of long streams: of those that share rows, one of a subscription is stored at a time."""

import time
from typing import Final
from uuid import UUID

from sqlalchemy import text

from sql.database import Transaction

# The first number of an advisory lock's key, which has two numbers; no other lock of Annals has it.
_TURN_LOCK: Final = 0x5EA2
_TRY = text("SELECT pg_try_advisory_xact_lock(:lock, hashtext(:name))")
_PAUSE_SECONDS: Final = 0.1


def take(tx: Transaction, subscription_id: UUID, log: str, *, seconds: float) -> bool:
    """Take the turn until the transaction ends; returns False if it did not come free in so many seconds.

    The turn is asked for again and again: a wait for a lock would end after LOCK_TIMEOUT.
    """
    until = time.monotonic() + seconds
    named = {"lock": _TURN_LOCK, "name": f"{subscription_id} {log}"}
    while not tx.execute(_TRY, named).scalar_one():
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
