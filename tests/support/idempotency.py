"""Calls with an Idempotency-Key that another transaction carries out at the moment."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from service.domain.idempotency import Attempt, BodyDigests
from tests.support.api import Caller


@contextmanager
def carried_out(caller: Caller, path: str, key: str) -> Iterator[None]:
    """Hold a call's lock in another transaction until the block ends."""
    who = caller.user_id or "operator"
    attempt = Attempt.of(caller=who, method="POST", path=path, key=key, body=BodyDigests(b""))
    lock = int.from_bytes(attempt.attempt_id[:8], "big", signed=True)
    with psycopg.connect(caller.server.database.url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [lock])
        yield
